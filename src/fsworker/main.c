/* main.c - virtiofsd-fsworker: does every file-system call by name or inode, inside a jail.
 *
 * Started by the monitor with the descriptors of ipc/roles.h; everything else comes in its CONFIG message. The
 * jail is up before a byte of the transport is read.
 */
#include "fsworker/fsworker.h"

#include "common/crashpoint.h"
#include "common/log.h"
#include "hold/hold.h"
#include "ipc/roles.h"
#include "sandbox/sandbox.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { FD_SOURCE, FD_BULK, FD_STATE, FD_KEEPER, FD_MNTNS_OR_REST };

/* The configuration and its descriptors; exits when there is none. */
static void receive_config(struct ipc_dgram *d, struct ipc_msg *m, struct ipc_config_fsworker *cfg)
{
	const char *why = "it ended, or sent something else";
	uint32_t fixed;

	if (ipc_recv(ROLE_FD_MONITOR, d, 0) == 1 && ipc_next(d, IPC_DIR_M2R, m, &why) == 1 &&
	    m->hdr->type == IPC_CONFIG_FSWORKER) {
		memcpy(cfg, m->body, sizeof(*cfg));
		fixed = FD_MNTNS_OR_REST + (cfg->has_mntns != 0) + IPC_HOLDERS;
		if (cfg->nlinks && cfg->nlinks <= IPC_LINKS_MAX && cfg->heir.nfetch <= IPC_FETCH_MAX &&
		    m->nfds == fixed + cfg->heir.nfetch + cfg->nlinks)
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

/* What happened in serving a request is held against it: see answer.c. A signal that somebody sent is not. */
static void blame(int sig, siginfo_t *si, void *context)
{
	(void)context;
	if (si->si_code > 0 || (si->si_code == SI_TKILL && si->si_pid == getpid()))
		journal_now->blame++;
	(void)sig; /* the default action is back: what caused it happens again, and ends the process */
}

static void blame_call(void)
{
	journal_now->blame++;
}

static void watch_faults(void)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
	struct sigaction sa = { .sa_sigaction = blame, .sa_flags = SA_SIGINFO | (int)SA_RESETHAND };

	for (size_t i = 0; i < ARRAY_SIZE(faults) && !SANDBOX_SANITIZED; i++)
		sigaction(faults[i], &sa, NULL);
	sandbox_on_refused = blame_call;
}

/* Wait for what the monitor has to say next. */
static void wait_for(uint16_t type)
{
	static struct ipc_dgram d;
	const char *why = "";
	struct ipc_msg m;
	int r;

	do
		r = ipc_recv(ROLE_FD_MONITOR, &d, 0);
	while (r == -EINTR);
	if (r == 0)
		_exit(ROLE_EXIT_OK);
	if (r != 1 || ipc_next(&d, IPC_DIR_M2R, &m, &why) != 1 || m.hdr->type != type) {
		log_err("no %s from the monitor: %s", ipc_type_name(type), why);
		_exit(ROLE_EXIT_PROTOCOL);
	}
	ipc_dgram_end(&d);
}

/* Say READY, wait for GO. */
static void wait_for_go(int mntns_fd, const struct ipc_ready *said)
{
	static struct ipc_batch b;
	struct ipc_ready *ready = ipc_batch_add(&b, IPC_READY, 0, 0, 0, NULL);

	if (ready)
		*ready = *said;
	if (!ready || (mntns_fd >= 0 && !ipc_batch_fd(&b, mntns_fd, true)) || ipc_batch_send_patiently(ROLE_FD_MONITOR, &b) < 0)
		_exit(ROLE_EXIT_FAIL);
	wait_for(IPC_GO);
}

static int fetch(void *arg, const uint32_t *held, int *fds, uint32_t n)
{
	return hold_inherit(arg, held, fds, n);
}

/* Several processes from here on: this one goes on as the worker. */
static void split(struct ipc_dgram *d, const struct ipc_msg *m, const struct ipc_config_fsworker *cfg, uint32_t *next,
		  struct hold_heir *heir)
{
	struct hold_params p = { .uid = cfg->uid, .gid = cfg->gid };
	int r;

	for (uint32_t i = 0; i < IPC_HOLDERS; i++)
		p.channel[i] = ipc_take_fd(d, m, (*next)++);
	r = hold_split(&p);
	if (r < 0) {
		log_err("cannot make the holders of the descriptors: %d", -r);
		exit(ROLE_EXIT_FAIL);
	}
	*heir = (struct hold_heir){ .n = cfg->heir.nfetch };
	for (uint32_t i = 0; i < heir->n; i++) {
		heir->generation[i] = cfg->heir.fetch_generation[i];
		heir->fd[i] = ipc_take_fd(d, m, (*next)++);
	}
}

int main(int argc, char **argv)
{
	static struct ipc_dgram d;
	static struct fsworker w;
	static struct link links[IPC_LINKS_MAX];
	struct sandbox_params params = { .mntns_fd = -1 };
	struct sandbox_result jail = { .root_fd = -1, .proc_fd = -1, .mntns_fd = -1 };
	struct ipc_config_fsworker cfg;
	struct hold_heir heir;
	struct ipc_ready said;
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
	prctl(PR_SET_NAME, argv[0]); /* it was executed by descriptor, which has no name */
	log_to_fd(ROLE_FD_LOG);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file size limit is an errno for the guest */
	receive_config(&d, &m, &cfg);
	log_level_limit = MIN(cfg.log_level, (uint32_t)LOG_LVL_DEBUG);
	w = (struct fsworker){ .flags = cfg.flags, .links = links, .nlinks = cfg.nlinks };
	next = FD_MNTNS_OR_REST + (cfg.has_mntns != 0);
	split(&d, &m, &cfg, &next, &heir);
	state = map_memory(ipc_take_fd(&d, &m, FD_STATE), IPC_STATE_BYTES(cfg.nlinks, cfg.inode_slots, cfg.max_open_files), "state");
	w.bulk = map_memory(ipc_take_fd(&d, &m, FD_BULK), cfg.nlinks * IPC_BULK_LINK, "bulk area");
	w.keeper_fd = ipc_take_fd(&d, &m, FD_KEEPER);
	params.source_fd = m.fds[FD_SOURCE];
	params.propagate = cfg.flags & CFG_PROPAGATE;
	if (cfg.has_mntns)
		params.mntns_fd = m.fds[FD_MNTNS_OR_REST];
	for (uint32_t i = 0; i < cfg.nlinks; i++)
		links[i].fd = ipc_take_fd(&d, &m, next + i);
	watch_faults();
	if (sandbox_enter(&policy_fsworker, &params, &jail) < 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return ROLE_EXIT_FAIL;
	/* One heap: the busy paths do not use it, and one for each thread is memory for nothing. After the sandbox, which sets a
	 * number of its own. */
	mallopt(M_ARENA_MAX, 1);
	ipc_dgram_end(&d);
	w.root_fd = jail.root_fd;
	w.proc_fd = jail.proc_fd;
	wait_for(IPC_TAKE);
	r = fsworker_init(&w, &cfg, state, (uint32_t)MIN(limit.rlim_cur, (rlim_t)UINT32_MAX));
	if (r == 0)
		r = fsworker_restore(&w, fetch, &heir, &said);
	if (r < 0) {
		log_err("cannot set up the tables: %d", -r);
		return ROLE_EXIT_FAIL;
	}
	for (uint32_t i = 0; i < heir.n; i++)
		close(heir.fd[i]);
	wait_for_go(jail.mntns_fd, &said);
	CRASHPOINT("go");
	_exit(loop_run(&w, ROLE_FD_MONITOR));
}
