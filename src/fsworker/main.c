/* main.c - virtiofsd-fsworker: does every file-system call by name or inode, inside a jail.
 *
 * Started by the monitor with the descriptors of ipc/roles.h; everything else comes in its CONFIG message. The
 * jail is up before a byte of the transport is read.
 */
#include "fsworker/fsworker.h"

#include "common/log.h"
#include "ipc/roles.h"
#include "sandbox/sandbox.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { FD_SOURCE, FD_BULK, FD_STATE, FD_MNTNS_OR_LINKS };

/* The configuration and its descriptors; exits when there is none. */
static void receive_config(struct ipc_dgram *d, struct ipc_msg *m, struct ipc_config_fsworker *cfg)
{
	const char *why = "it ended, or sent something else";
	uint32_t first_link;

	if (ipc_recv(ROLE_FD_MONITOR, d, 0) == 1 && ipc_next(d, IPC_DIR_M2R, m, &why) == 1 &&
	    m->hdr->type == IPC_CONFIG_FSWORKER) {
		memcpy(cfg, m->body, sizeof(*cfg));
		first_link = FD_MNTNS_OR_LINKS + (cfg->has_mntns != 0);
		if (cfg->nlinks && cfg->nlinks <= IPC_LINKS_MAX && m->nfds == first_link + cfg->nlinks)
			return;
		why = "the descriptors are not as many as it says";
	}
	log_err("no configuration from the monitor: %s", why);
	exit(ROLE_EXIT_PROTOCOL);
}

static void *map_memory(int fd, uint64_t bytes, const char *what)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);

	close(fd);
	if (p == MAP_FAILED) {
		log_err("cannot map the %s of %llu bytes: %d", what, (unsigned long long)bytes, errno);
		exit(ROLE_EXIT_FAIL);
	}
	return p;
}

static void send_ready(int mntns_fd)
{
	static struct ipc_batch b;

	if (!ipc_batch_add(&b, IPC_READY, 0, 0, 0, NULL) || (mntns_fd >= 0 && !ipc_batch_fd(&b, mntns_fd, true)) ||
	    ipc_batch_send(ROLE_FD_MONITOR, &b) < 0)
		exit(ROLE_EXIT_FAIL);
}

int main(int argc, char **argv)
{
	static struct ipc_dgram d;
	static struct fsworker w;
	static struct link links[IPC_LINKS_MAX];
	struct sandbox_params params = { .mntns_fd = -1 };
	struct sandbox_result jail = { .root_fd = -1, .proc_fd = -1, .mntns_fd = -1 };
	struct ipc_config_fsworker cfg;
	struct rlimit limit;
	struct ipc_msg m;
	socklen_t len = sizeof(int);
	void *state;
	uint32_t next;
	int type, r;

	if (argc == 2 && !strcmp(argv[1], "--dump-sandbox")) {
		sandbox_dump(&policy_fsworker, stdout);
		return 0;
	}
	if (getsockopt(ROLE_FD_MONITOR, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET) {
		fprintf(stderr, "virtiofsd-fsworker is started by virtiofsd(8), not by hand\n");
		return ROLE_EXIT_FAIL;
	}
	log_to_fd(ROLE_FD_LOG);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file size limit is an errno for the guest */
	receive_config(&d, &m, &cfg);
	log_level_limit = MIN(cfg.log_level, (uint32_t)LOG_LVL_DEBUG);
	w = (struct fsworker){ .flags = cfg.flags, .links = links, .nlinks = cfg.nlinks };
	state = map_memory(ipc_take_fd(&d, &m, FD_STATE), IPC_STATE_BYTES(cfg.nlinks, cfg.inode_slots, cfg.max_open_files), "state");
	w.bulk = map_memory(ipc_take_fd(&d, &m, FD_BULK), cfg.nlinks * IPC_BULK_LINK, "bulk area");
	params.source_fd = m.fds[FD_SOURCE];
	params.propagate = cfg.flags & CFG_PROPAGATE;
	next = FD_MNTNS_OR_LINKS;
	if (cfg.has_mntns)
		params.mntns_fd = m.fds[next++];
	for (uint32_t i = 0; i < cfg.nlinks; i++)
		links[i].fd = ipc_take_fd(&d, &m, next + i);
	if (sandbox_enter(&policy_fsworker, &params, &jail) < 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return ROLE_EXIT_FAIL;
	/* One heap: the busy paths do not use it, and one for each thread is memory for nothing. After the sandbox, which sets a
	 * number of its own. */
	mallopt(M_ARENA_MAX, 1);
	ipc_dgram_end(&d);
	w.root_fd = jail.root_fd;
	w.proc_fd = jail.proc_fd;
	r = fsworker_init(&w, &cfg, state, (uint32_t)MIN(limit.rlim_cur, (rlim_t)UINT32_MAX));
	if (r < 0) {
		log_err("cannot set up the tables: %d", -r);
		return ROLE_EXIT_FAIL;
	}
	send_ready(jail.mntns_fd);
	_exit(loop_run(&w, ROLE_FD_MONITOR));
}
