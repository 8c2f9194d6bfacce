/* roles.c - the children of the daemon: what they are, and what each is told at its start.
 *
 * Role: monitor. What a role may do is in its policy (sandbox/policy_<role>.c); what it gets is here and complete: its
 * executable, its namespaces, its CONFIG message with every descriptor that it will ever have from us.
 */
#include "monitor/monitor.h"

#include <sched.h>

#define OWN_NAMESPACES (CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)

static const char *transport_path(const struct config *cfg)
{
	return cfg->transport_path;
}

static const char *fsworker_path(const struct config *cfg)
{
	return cfg->fsworker_path;
}

static const char *keeper_path(const struct config *cfg)
{
	return cfg->keeper_path;
}

static int configure_transport(struct monitor *m, struct ipc_batch *b, struct ipc_heir **heir)
{
	const struct config *cfg = m->cfg;
	struct ipc_config_transport *c = ipc_batch_add(b, IPC_CONFIG_TRANSPORT, 0, 0, 0, NULL);

	if (!c)
		return -EMSGSIZE;
	c->log_level = cfg->log_level;
	c->flags = m->flags;
	c->uid = cfg->uid;
	c->gid = cfg->gid;
	c->cache = cfg->cache;
	c->thread_pool_size = cfg->thread_pool_size;
	c->nlinks = cfg->nlinks;
	c->config_queues = cfg->config_queues;
	c->poll_us = cfg->poll_us;
	c->max_open_files = m->max_open_files;
	c->timeout_ns = cfg->timeout_ns;
	_Static_assert(sizeof(c->tag) == sizeof(cfg->tag), "one tag");
	memcpy(c->tag, cfg->tag, sizeof(c->tag));
	*heir = &c->heir;
	return ipc_batch_fd(b, m->socket_fd, false) && ipc_batch_fd(b, m->bulk_fd, false) &&
		       ipc_batch_fd(b, m->tstate_fd, false) ? 0 : -EMSGSIZE;
}

static int configure_fsworker(struct monitor *m, struct ipc_batch *b, struct ipc_heir **heir)
{
	const struct config *cfg = m->cfg;
	struct ipc_config_fsworker *c = ipc_batch_add(b, IPC_CONFIG_FSWORKER, 0, 0, 0, NULL);

	if (!c)
		return -EMSGSIZE;
	c->log_level = cfg->log_level;
	c->flags = m->flags;
	c->thread_pool_size = cfg->thread_pool_size;
	c->nlinks = cfg->nlinks;
	c->max_open_files = m->max_open_files;
	c->has_mntns = m->mntns_fd >= 0;
	c->inode_slots = INODE_SLOTS;
	c->uid = cfg->uid;
	c->gid = cfg->gid;
	*heir = &c->heir;
	c->inode_fd_cache = cfg->inode_fd_cache;
	c->poll_us = cfg->poll_us;
	if (!ipc_batch_fd(b, m->source_fd, false) || !ipc_batch_fd(b, m->bulk_fd, false) ||
	    !ipc_batch_fd(b, m->state_fd, false) || !ipc_batch_fd(b, m->keeper_fd[0], false))
		return -EMSGSIZE;
	return m->mntns_fd < 0 || ipc_batch_fd(b, m->mntns_fd, false) ? 0 : -EMSGSIZE;
}

static int configure_keeper(struct monitor *m, struct ipc_batch *b, struct ipc_heir **heir)
{
	struct ipc_config_keeper *c = ipc_batch_add(b, IPC_CONFIG_KEEPER, 0, 0, 0, NULL);

	*heir = NULL;
	if (!c)
		return -EMSGSIZE;
	c->log_level = m->cfg->log_level;
	c->uid = m->cfg->uid;
	c->gid = m->cfg->gid;
	memcpy(c->key, m->keeper_key, sizeof(c->key));
	return ipc_batch_fd(b, m->keeper_fd[1], false) ? 0 : -EMSGSIZE;
}

const struct role roles[ROLE_COUNT] = {
	[ROLE_TRANSPORT] = {
		.name = "transport",
		.argv0 = "virtiofsd-transport",
		.namespaces = OWN_NAMESPACES & ~(uint64_t)CLONE_NEWPID, /* the worker makes that: see hold.c */
		.path = transport_path,
		.holds = true,
		.respawns = true,
		.link_end = 0,
		.configure = configure_transport,
	},
	[ROLE_FSWORKER] = {
		.name = "fsworker",
		.argv0 = "virtiofsd-fsworker",
		.namespaces = OWN_NAMESPACES & ~(uint64_t)CLONE_NEWPID, /* the worker makes that: see hold.c */
		.path = fsworker_path,
		.holds = true,
		.respawns = true,
		.link_end = 1,
		.configure = configure_fsworker,
	},
	[ROLE_KEEPER] = {
		.name = "keeper",
		.argv0 = "virtiofsd-keeper",
		.namespaces = OWN_NAMESPACES,
		.path = keeper_path,
		.respawns = true,
		.link_end = -1,
		.configure = configure_keeper,
	},
};

/**
 * roles_check() - open every executable that is to be executed.
 *
 * Return: 0, or an exit status when the reason was logged.
 */
int roles_check(struct monitor *m)
{
	const struct config *cfg = m->cfg;

	for (size_t i = 0; i < ROLE_COUNT; i++) {
		int fd = upgrade_open(&roles[i], cfg, false);

		if (fd < 0) {
			log_err("cannot execute '%s': %s: install it, or give --%s-path=PATH", roles[i].path(cfg),
				strerror(-fd), roles[i].name);
			return EXIT_FAILURE;
		}
		m->child[i].exe_fd = fd;
	}
	return 0;
}

/**
 * roles_links() - make the links between the children.
 *
 * Return: 0, or -errno when the reason was logged.
 */
int roles_links(struct monitor *m)
{
	for (uint32_t i = 0; i < m->cfg->nlinks; i++) {
		int r = ipc_pair(m->links[i]);

		if (r < 0) {
			log_err("cannot make the links between the children: %s: raise %s", strerror(-r),
				r == -ENOBUFS ? "net.core.wmem_max (131072 will do)" : "the descriptor limit");
			return r;
		}
	}
	return 0;
}

/* What a process needs of those before it: see ipc_heir. All that is attached is the batch's. */
static int attach_heir(struct child *c, struct ipc_batch *b, struct ipc_heir *heir, int (*far)[IPC_HOLDERS])
{
	heir->generation = c->own.generation;
	for (size_t i = 0; i < IPC_HOLDERS; i++)
		if (!ipc_batch_fd(b, take_fd(&(*far)[i]), true))
			return -EMSGSIZE;
	for (size_t i = 0; i < IPC_FETCH_MAX; i++) {
		int fd, r;

		if (c->before[i].generation == 0)
			continue;
		r = holders_show(&c->before[i], &fd);
		if (r < 0) {
			log_err("nobody keeps the descriptors of an earlier %s any more: %s", c->role->name, strerror(-r));
			holders_end(&c->before[i]);
			continue;
		}
		heir->fetch_generation[heir->nfetch++] = c->before[i].generation;
		if (!ipc_batch_fd(b, fd, true))
			return -EMSGSIZE;
	}
	return 0;
}

static int configure(struct monitor *m, struct child *c, struct ipc_batch *b, int (*far)[IPC_HOLDERS])
{
	struct ipc_heir *heir;
	int r = c->role->configure(m, b, &heir);

	if (r == 0 && c->role->holds)
		r = attach_heir(c, b, heir, far);
	for (uint32_t i = 0; r == 0 && c->role->link_end >= 0 && i < m->cfg->nlinks; i++)
		if (!ipc_batch_fd(b, m->links[i][c->role->link_end], false))
			r = -EMSGSIZE;
	return r;
}

/* Generations that nobody keeps any more are used again: see ipc_heir. */
static uint32_t next_generation(const struct child *c)
{
	uint32_t g = c->generation % IPC_GENERATIONS + 1;

	for (size_t i = 0; i < IPC_FETCH_MAX; i++)
		if (c->before[i].generation == g) {
			g = g % IPC_GENERATIONS + 1;
			i = (size_t)-1; /* from the first again: there are fewer sets than generations */
		}
	return g;
}

/**
 * roles_start() - start a process of a role and send it its configuration.
 *
 * Return: 0, or -errno when the reason was logged; whatever was started is ending then.
 */
int roles_start(struct monitor *m, struct child *c)
{
	static struct ipc_batch batch;
	int far[IPC_HOLDERS], r = 0;

	c->generation = next_generation(c);
	if (c->role->holds)
		r = holders_new(&c->own, c->generation, &far);
	if (r == 0)
		r = spawn_child(m, c);
	if (r < 0) {
		log_err("cannot start the %s: %s", c->role->name, strerror(-r));
		for (size_t i = 0; c->own.generation && i < IPC_HOLDERS; i++)
			close_fd(&far[i]);
		holders_end(&c->own);
		return r;
	}
	ipc_batch_reset(&batch);
	r = configure(m, c, &batch, &far);
	if (r == 0)
		r = ipc_batch_send(c->channel, &batch);
	ipc_batch_reset(&batch);
	if (r < 0) {
		/* It ends because of that, which is then found like any other end. */
		log_err("cannot configure the %s: %s", c->role->name, strerror(-r));
		close_fd(&c->channel);
	}
	return 0;
}
