/* setup.c - everything that can fail, before any child runs.
 *
 * Role: monitor. In this order: descriptors that were handed to us are looked at before any is opened, so that a wrong
 * --fd never names one of our own; the socket last but the sandbox, so that whoever sees it may expect service.
 */
#include "monitor/monitor.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

#define FILE_MAX_RESERVE 16384u /* open files of the whole host that one guest cannot have */

/* 0, 1 and 2 must be something, or the next descriptor would become stderr. */
static int open_standard(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return EXIT_FAILURE;
	return 0;
}

/* How many files the whole host may have open; UINT64_MAX when it does not tell. */
static uint64_t host_file_max(void)
{
	char text[32] = "";
	AUTO_FD fd = open("/proc/sys/fs/file-max", O_RDONLY | O_CLOEXEC);
	uint64_t max = 0;

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return UINT64_MAX;
	for (const char *p = text; *p >= '0' && *p <= '9'; p++)
		max = max > UINT64_MAX / 10 - 1 ? UINT64_MAX / 10 - 1 : max * 10 + (uint64_t)(*p - '0');
	return max ? max : UINT64_MAX;
}

/* The hard limit, but not all that the host has: a guest that opens whatever it can must leave something to others. */
static rlim_t default_limit(struct monitor *m, rlim_t hard)
{
	uint64_t max = host_file_max();

	if (max <= FILE_MAX_RESERVE || hard <= max - FILE_MAX_RESERVE)
		return hard;
	m->nofile_lowered = max - FILE_MAX_RESERVE;
	return (rlim_t)m->nofile_lowered;
}

/* How many descriptors a process may have, and how many of them the guest's open files. */
static int set_limits(struct monitor *m)
{
	const struct config *cfg = m->cfg;
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return EXIT_FAILURE;
	if (cfg->raise_nofile) {
		rlim_t want = cfg->rlimit_nofile ? cfg->rlimit_nofile : default_limit(m, lim.rlim_max);

		lim.rlim_cur = want;
		if (want > lim.rlim_max)
			lim.rlim_max = want;
		if (setrlimit(RLIMIT_NOFILE, &lim) < 0) {
			log_err("--rlimit-nofile: cannot set the limit to %llu: %s: give a number up to the hard limit (ulimit -Hn) and to fs.nr_open",
				(unsigned long long)want, strerror(errno));
			return EXIT_FAILURE;
		}
	}

	/* Descriptors of a process that was replaced are told by 24 bits: see ipc_held(). */
	if (lim.rlim_cur > IPC_HELD_NUMBER_MAX) {
		lim.rlim_cur = IPC_HELD_NUMBER_MAX;
		if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
			return EXIT_FAILURE;
	}

	/* A link, three events and a loop's descriptors for each ring, memory regions, the daemon's own; of the rest
	 * half for open files, half for inodes that are only known. */
	uint64_t reserve = 8 * (uint64_t)cfg->nlinks + 128;

	if (lim.rlim_cur < reserve + 128) {
		log_err("the descriptor limit is %llu, too low for %u request queues: raise it to %llu at least, or lower --num-request-queues",
			(unsigned long long)lim.rlim_cur, cfg->nlinks - 1, (unsigned long long)reserve + 128);
		return EXIT_FAILURE;
	}

	uint64_t most = MIN((lim.rlim_cur - reserve) / 2, UINT64_C(1) << 24);

	if (cfg->max_open_files > most) {
		log_err("--max-open-files: %u is more than the descriptor limit of %llu leaves: give up to %llu, or raise that limit",
			cfg->max_open_files, (unsigned long long)lim.rlim_cur, (unsigned long long)most);
		return EXIT_FAILURE;
	}
	m->max_open_files = cfg->max_open_files ? cfg->max_open_files : (uint32_t)most;
	return 0;
}

static int open_source(struct monitor *m)
{
	m->source_fd = open(m->cfg->source, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (m->source_fd >= 0)
		return 0;
	if (errno == ENOTDIR)
		log_err("-o source: '%s' is not a directory: give a directory", m->cfg->source);
	else
		log_err("-o source: cannot open '%s': %s: give an existing directory", m->cfg->source, strerror(errno));
	return EXIT_FAILURE;
}

static int make_memory(struct monitor *m)
{
	m->bulk_fd = shm_make("virtiofsd-bulk", m->cfg->nlinks * IPC_BULK_LINK);
	m->state_fd = shm_make("virtiofsd-state", IPC_STATE_BYTES(m->cfg->nlinks, INODE_SLOTS, m->max_open_files));
	m->tstate_fd = shm_make("virtiofsd-rings", IPC_TSTATE_BYTES(m->cfg->nlinks, m->max_open_files));
	if (m->bulk_fd < 0 || m->state_fd < 0 || m->tstate_fd < 0) {
		int r = MIN(m->bulk_fd, MIN(m->state_fd, m->tstate_fd));

		log_err("cannot make shared memory: %s: raise the limits of memory and of file size", strerror(-r));
		return EXIT_FAILURE;
	}
	m->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (m->null_fd < 0) {
		log_err("cannot open /dev/null: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	return 0;
}

/* What fsworkers and keepers need to go on where those before them ended. */
static int make_keeper_channel(struct monitor *m)
{
	int r = ipc_pair(m->keeper_fd);

	if (r == 0 && getrandom(m->keeper_key, sizeof(m->keeper_key), 0) != (ssize_t)sizeof(m->keeper_key))
		r = -errno;
	if (r == 0)
		return 0;
	log_err("cannot make the channel to the keeper, or its key: %s%s", strerror(-r),
		r == -ENOBUFS ? ": raise net.core.wmem_max (131072 will do)" : "");
	return EXIT_FAILURE;
}

/* Signals become something to read. A closed stderr or syslog must not kill us either. */
static int take_signals(struct monitor *m)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN }, dfl = { .sa_handler = SIG_DFL }, hup;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	if (sigaction(SIGHUP, NULL, &hup) < 0 || hup.sa_handler != SIG_IGN) /* else nohup(1) has its reasons */
		sigaddset(&set, SIGHUP);
	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGCHLD, &dfl, NULL); /* were it ignored, waitid() could not tell why a child ended */
	sigprocmask(SIG_SETMASK, &set, NULL);
	m->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (m->signal_fd < 0) {
		log_err("cannot take signals: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	return 0;
}

static int check_root(void)
{
	if (geteuid() == 0)
		return 0;
	log_err("not root: start virtiofsd as root (it gives up what it does not need)");
	return EXIT_FAILURE;
}

/**
 * setup_all() - make ready everything that children need, and enter the monitor's own sandbox.
 *
 * Return: 0, or an exit status when the reason was logged.
 */
int setup_all(struct monitor *m, const struct config *cfg)
{
	const struct sandbox_params params = { .source_fd = -1, .mntns_fd = -1 };
	int r;

	*m = (struct monitor){ .cfg = cfg, .flags = cfg->flags, .socket_fd = -1, .source_fd = -1, .bulk_fd = -1,
			       .state_fd = -1, .tstate_fd = -1, .mntns_fd = -1, .keeper_fd = { -1, -1 }, .null_fd = -1,
			       .signal_fd = -1 };
	for (size_t i = 0; i < ROLE_COUNT; i++)
		m->child[i] = (struct child){ .role = &roles[i], .exe_fd = -1, .next_exe_fd = -1, .pidfd = -1, .channel = -1, .log = -1, .refused_nr = -1 };
	for (uint32_t i = 0; i < IPC_LINKS_MAX; i++)
		m->links[i][0] = m->links[i][1] = -1;

	r = check_root();
	if (r == 0)
		r = open_standard();
	if (r == 0 && cfg->fd >= 0)
		r = listen_open(m);
	if (r == 0)
		r = set_limits(m);
	if (r == 0)
		r = open_source(m);
	if (r == 0)
		r = roles_check(m);
	if (r == 0)
		r = make_memory(m);
	if (r == 0)
		r = make_keeper_channel(m);
	if (r == 0)
		r = take_signals(m);
	if (r == 0 && cfg->fd < 0)
		r = listen_open(m);
	if (r)
		return r;
	log_level_limit = cfg->log_level;
	logsink_start(cfg->syslog);
	notify_open();
	if (m->nofile_lowered)
		log_info("the descriptor limit is %llu, below the hard limit: the host needs %u of fs.file-max itself",
			 (unsigned long long)m->nofile_lowered, FILE_MAX_RESERVE);
	return sandbox_enter(&policy_monitor, &params, NULL) < 0 ? EXIT_FAILURE : 0;
}
