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

/* Attach one end of every link; the batch owns it. */
static int attach_links(struct ipc_batch *b, int (*links)[2], uint32_t n, int end)
{
	for (uint32_t i = 0; i < n; i++)
		if (!ipc_batch_fd(b, take_fd(&links[i][end]), true))
			return -EMSGSIZE;
	return 0;
}

static int configure_transport(struct monitor *m, struct ipc_batch *b, int (*links)[2])
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
	c->max_open_files = m->max_open_files;
	c->timeout_ns = cfg->timeout_ns;
	_Static_assert(sizeof(c->tag) == sizeof(cfg->tag), "one tag");
	memcpy(c->tag, cfg->tag, sizeof(c->tag));
	if (!ipc_batch_fd(b, m->socket_fd, false) || !ipc_batch_fd(b, m->bulk_fd, false))
		return -EMSGSIZE;
	return attach_links(b, links, cfg->nlinks, 0);
}

static int configure_fsworker(struct monitor *m, struct ipc_batch *b, int (*links)[2])
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
	if (!ipc_batch_fd(b, m->source_fd, false) || !ipc_batch_fd(b, m->bulk_fd, false) ||
	    !ipc_batch_fd(b, m->state_fd, false))
		return -EMSGSIZE;
	if (m->mntns_fd >= 0 && !ipc_batch_fd(b, m->mntns_fd, false))
		return -EMSGSIZE;
	return attach_links(b, links, cfg->nlinks, 1);
}

const struct role roles[ROLE_COUNT] = {
	[ROLE_TRANSPORT] = {
		.name = "transport",
		.argv0 = "virtiofsd-transport",
		.namespaces = OWN_NAMESPACES,
		.path = transport_path,
		.configure = configure_transport,
	},
	[ROLE_FSWORKER] = {
		.name = "fsworker",
		.argv0 = "virtiofsd-fsworker",
		.namespaces = OWN_NAMESPACES,
		.path = fsworker_path,
		.configure = configure_fsworker,
	},
};

/**
 * roles_check() - can every executable be executed?
 *
 * Return: 0, or an exit status when the reason was logged.
 */
int roles_check(const struct config *cfg)
{
	for (size_t i = 0; i < ROLE_COUNT; i++)
		if (access(roles[i].path(cfg), X_OK) < 0) {
			log_err("cannot execute '%s': %s: install it, or give --%s-path=PATH", roles[i].path(cfg),
				strerror(errno), roles[i].name);
			return EXIT_FAILURE;
		}
	return 0;
}

static void close_links(int (*links)[2], uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		close_fd(&links[i][0]);
		close_fd(&links[i][1]);
	}
}

/**
 * roles_start() - start every child and send it its configuration.
 *
 * Return: 0, or -errno when the reason was logged; what was started then runs and must be ended.
 */
int roles_start(struct monitor *m)
{
	static struct ipc_batch batch;
	int links[IPC_LINKS_MAX][2];
	uint32_t n = 0;
	int r = 0;

	for (; n < m->cfg->nlinks; n++) {
		r = ipc_pair(links[n]);
		if (r < 0) {
			log_err("cannot make the links between the children: %s: raise %s", strerror(-r),
				r == -ENOBUFS ? "net.core.wmem_max (131072 will do)" : "the descriptor limit");
			close_links(links, n);
			return r;
		}
	}
	for (size_t i = 0; i < ROLE_COUNT && r == 0; i++) {
		struct child *c = &m->child[i];

		c->role = &roles[i];
		r = spawn_child(m, c);
		if (r < 0) {
			log_err("cannot start the %s: %s", c->role->name, strerror(-r));
			break;
		}
		ipc_batch_reset(&batch);
		r = c->role->configure(m, &batch, links);
		if (r == 0)
			r = ipc_batch_send(c->channel, &batch);
		else
			ipc_batch_reset(&batch);
		if (r < 0)
			log_err("cannot configure the %s: %s", c->role->name, strerror(-r));
	}
	close_links(links, n);
	return r;
}
