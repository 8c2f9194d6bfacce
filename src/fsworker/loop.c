/* loop.c - the state of the process, and its first thread: it watches the monitor, and links that never spoke.
 *
 * A guest that uses one ring costs one thread, however many rings the VMM offers. When the monitor goes, everything
 * ends at once: nothing that is open here may outlive it.
 */
#include "fsworker/fsworker.h"
#include "fsworker/lock_wait.h"
#include "fsworker/resolve.h"

#include "common/crashpoint.h"
#include "common/log.h"
#include "ipc/roles.h"

#include <poll.h>

#define FD_RESERVE 192u /* for the process itself: links, waits, mounts, files open for the time of one request */
#define LOCK_OWNERS_MAX 16384u

/* How many descriptors each table may hold, so that one that is full never starves another. */
struct fd_budget {
	uint32_t handles, lock_owners, inodes;
};

static struct fd_budget divide(uint32_t limit, uint32_t nlinks, uint32_t max_open)
{
	uint32_t left = limit > FD_RESERVE + nlinks + 64 ? limit - FD_RESERVE - nlinks : 64;
	struct fd_budget b;

	b.handles = MAX(MIN(max_open, left / 2), 1u);
	b.lock_owners = MIN(LOCK_OWNERS_MAX, left / 16);
	b.inodes = left - b.handles - b.lock_owners;
	return b;
}

/* Descriptors of inodes become few, where there is a keeper. */
static int init_keeper(struct fsworker *w, const struct ipc_config_fsworker *cfg, const struct statx *root, uint32_t fd_limit)
{
	if (w->keeper_fd < 0)
		return 0;
	w->keeper = keeper_link_new(w->keeper_fd, w->proc_fd, w->state->mounts, cfg->heir.generation);
	if (!w->keeper)
		return -ENOMEM;
	keeper_add_root(w->keeper, w->root_fd, root->stx_mnt_id);
	return inode_use_keeper(&w->inodes, w->keeper, cfg->inode_fd_cache, fd_limit);
}

/*
 * fsworker_init() - Make the tables of a process that has its root, its procfs and its links
 * @w:		With flags, root_fd, proc_fd, keeper_fd, bulk, links and nlinks set
 * @cfg:	What the monitor wants
 * @state:	Memory of IPC_STATE_BYTES, all zero, or as a process before this one left it: see fsworker_restore()
 * @fd_limit:	RLIMIT_NOFILE
 *
 * Return: 0 or -errno
 */
int fsworker_init(struct fsworker *w, const struct ipc_config_fsworker *cfg, void *state, uint32_t fd_limit)
{
	struct fd_budget budget = divide(fd_limit, cfg->nlinks, cfg->max_open_files);
	struct inode_slot *slots = (struct inode_slot *)(void *)((char *)state + IPC_COMMON_STATE + (uint64_t)w->nlinks * IPC_LINK_STATE);
	struct handle_row *rows = (struct handle_row *)(void *)(slots + cfg->inode_slots);
	struct statx st;
	int r;

	pthread_mutex_init(&w->session_lock, NULL);
	w->poll_us = cfg->poll_us;
	for (uint32_t i = 0; i < w->nlinks; i++) {
		struct link *l = &w->links[i];

		l->w = w;
		l->index = i;
		l->journal = (struct journal *)(void *)((char *)state + IPC_COMMON_STATE + (uint64_t)i * IPC_LINK_STATE);
		atomic_store(&l->refs, 1);
		pthread_mutex_init(&l->busy, NULL);
		pthread_mutex_init(&l->late_lock, NULL);
	}
	w->state = state;
	if (w->state->magic != 0 && w->state->magic != STATE_MAGIC) {
		log_err("the state that the fsworker before this one has left is of another version of it");
		return -EPROTONOSUPPORT;
	}
	w->state->magic = STATE_MAGIC;
	w->close_matters = close_matters(w->root_fd);
	r = resolve_statx_fd(w->root_fd, 0, &st);
	if (r == 0)
		r = inode_table_init(&w->inodes, slots, cfg->inode_slots, budget.inodes, cfg->heir.generation);
	if (r == 0)
		r = inode_set_root(&w->inodes, w->root_fd, &st);
	if (r == 0)
		r = init_keeper(w, cfg, &st, fd_limit);
	if (r == 0)
		r = handle_table_init(&w->handles, rows, budget.handles, cfg->heir.generation);
	if (r == 0) {
		w->locks = locks_new(w, budget.lock_owners, cfg->heir.generation);
		if (!w->locks)
			r = -ENOMEM;
	}
	if (r == 0)
		r = lock_wait_init();
	if (r == 0 && cfg->thread_pool_size) {
		w->pool = pool_new(w, MIN(cfg->thread_pool_size, 1024u));
		if (!w->pool)
			r = -ENOMEM;
	}
	return r;
}

/*
 * fsworker_restore() - Take over from a process before this one, after fsworker_init() in its memory and before any thread
 * @w:		The process
 * @fetch:	How to get its descriptors
 * @arg:	For fetch
 * @said:	Out: for the monitor
 *
 * Return: 0; or -errno: another try may succeed, nothing was given up
 */
int fsworker_restore(struct fsworker *w, fetch_fn *fetch, void *arg, struct ipc_ready *said)
{
	int r;

	*said = (struct ipc_ready){ 0 };
	w->session = w->state->session;
	w->session_flags = w->state->session_flags;
	for (uint32_t i = 0; i < w->nlinks; i++)
		link_settle(&w->links[i]);
	for (uint32_t i = 0; i < w->nlinks; i++)
		link_undo(&w->links[i], said);
	for (uint32_t i = 0; i < STATE_JOBS; i++)
		if (w->state->jobs[i].state == ROW_ASKED)
			handle_undo(&w->handles, &w->state->jobs[i].step.handle);
	CRASHPOINT("restoring");
	r = keeper_link_restore(w->keeper, fetch, arg);
	if (r == 0)
		r = inode_restore(&w->inodes, fetch, arg, &said->lost);
	if (r == 0)
		r = handle_restore(&w->handles, fetch, arg, &said->lost);
	if (r == 0)
		r = locks_restore(w->locks, fetch, arg, &said->lost);
	if (r == 0)
		said->again += pool_restore(w->pool);
	CRASHPOINT("restored");
	return r;
}

/* fsworker_fini() - Free everything; the links' threads have ended. For tests: the process just exits. */
void fsworker_fini(struct fsworker *w)
{
	for (uint32_t i = 0; i < w->nlinks; i++)
		if (!w->links[i].started)
			link_put(&w->links[i]);
	link_wait_threads();
	pool_free(w->pool);
	lock_wait_fini();
	locks_free(w->locks);
	handle_table_fini(&w->handles);
	inode_table_fini(&w->inodes);
	keeper_link_free(w->keeper);
}

/*
 * loop_run() - Serve until the monitor goes
 * @w:		The process
 * @monitor_fd:	Channel to it
 *
 * Return: exit status
 */
int loop_run(struct fsworker *w, int monitor_fd)
{
	struct pollfd fds[1 + IPC_LINKS_MAX];
	struct link *link_of[1 + IPC_LINKS_MAX];

	pool_wake(w->pool);
	locks_wake(w->locks);
	for (uint32_t i = 0; i < w->nlinks; i++)
		if (w->links[i].resume && link_start(&w->links[i]) < 0) {
			log_err("link %u: no thread for it", i);
			return ROLE_EXIT_FAIL;
		}
	for (;;) {
		nfds_t n = 1;

		fds[0] = (struct pollfd){ .fd = monitor_fd, .events = POLLIN };
		for (uint32_t i = 0; i < w->nlinks; i++) {
			if (w->links[i].started)
				continue;
			link_of[n] = &w->links[i];
			fds[n++] = (struct pollfd){ .fd = w->links[i].fd, .events = POLLIN };
		}
		if (poll(fds, n, -1) < 0) {
			if (errno == EINTR)
				continue;
			log_err("cannot wait for requests: %d", errno);
			return ROLE_EXIT_FAIL;
		}
		if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
			return ROLE_EXIT_OK;
		if (fds[0].revents) {
			log_err("the monitor sent a message that is not expected now");
			return ROLE_EXIT_PROTOCOL;
		}
		for (nfds_t i = 1; i < n; i++) {
			int r = fds[i].revents ? link_start(link_of[i]) : 0;

			if (r < 0) {
				log_err("link %u: no thread for it: %d", link_of[i]->index, -r);
				return ROLE_EXIT_FAIL;
			}
		}
	}
}
