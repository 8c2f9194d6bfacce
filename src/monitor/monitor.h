/* monitor.h - what the files of the monitor share: the daemon's resources and its children.
 *
 * Role: monitor. One thread; nothing runs in a signal handler. Every function that can fail before the first child
 * runs returns 0 or an exit status, and has then logged the one line that says why.
 */
#ifndef VFSD_MONITOR_MONITOR_H
#define VFSD_MONITOR_MONITOR_H

#include "ipc/channel.h"
#include "monitor/config.h"
#include "sandbox/sandbox.h"

#include <sys/types.h>

enum role_id { ROLE_TRANSPORT, ROLE_FSWORKER, ROLE_COUNT };

/* Slots of the inode table (fsworker). Only touched pages cost anything. */
#define INODE_SLOTS (UINT64_C(1) << 24)

/* A child may make this many log records each second (and ten times as many when everything is to be logged). */
#define LOG_RECORDS_PER_S 100u

enum child_state {
	CHILD_NONE,     /* not started, or ended and collected */
	CHILD_STARTING, /* configured; READY may come once, nothing else */
	CHILD_SERVING,  /* READY came */
};

struct child {
	const struct role *role;
	enum child_state state;
	pid_t pid;      /* in the monitor's pid namespace; for messages only */
	int pidfd;      /* what signals and waits go through: a pid could be somebody else's by then */
	int channel;    /* -1: closed, which tells the role to end */
	int log;
	int refused_nr; /* system call that the child says was refused; believed once it died of SIGSYS; -1 none */
	int64_t log_second;
	uint32_t log_used, log_held;
};

struct monitor {
	const struct config *cfg;
	int socket_fd; /* listening, or connected when cfg_flags says so */
	int source_fd; /* O_PATH */
	int bulk_fd, state_fd;
	int mntns_fd;  /* the fsworker's mount namespace, once it sent it */
	int null_fd;
	int signal_fd;
	uint32_t flags;          /* cfg->flags and CFG_CONNECTED */
	uint32_t max_open_files;
	uint64_t nofile_lowered; /* the descriptor limit, where fs.file-max keeps it below the hard limit; else 0 */
	struct child child[ROLE_COUNT];
	bool stop;        /* end the daemon */
	int exit_status;
};

/* roles.c */
struct role {
	const char *name;
	const char *argv0;
	uint64_t namespaces; /* CLONE_NEW*, made as the child is */
	const char *(*path)(const struct config *cfg);
	int (*configure)(struct monitor *m, struct ipc_batch *b, int (*links)[2]); /* fills in its CONFIG message */
};
extern const struct role roles[ROLE_COUNT];
int roles_check(const struct config *cfg) NODISCARD;
int roles_start(struct monitor *m) NODISCARD;

/* spawn.c */
int spawn_child(struct monitor *m, struct child *c) NODISCARD;
void spawn_signal(const struct child *c, int sig);

/* listen.c */
int listen_open(struct monitor *m) NODISCARD;
void listen_remove(void);

/* shm.c */
int shm_make(const char *name, uint64_t size) NODISCARD;

/* answer.c */
void answer_child(struct monitor *m, struct child *c);

/* logsink.c */
void logsink_start(bool to_syslog);
void logsink_own(enum log_level level, const char *text, size_t len);
void logsink_drain(struct child *c, unsigned int most);
bool logsink_over_rate(const struct child *c) NODISCARD;

/* syslog_out.c */
void syslog_open(void);
void syslog_line(int level, const char *text, size_t len);

/* supervise.c */
void supervise_run(struct monitor *m);

/* setup.c */
int setup_all(struct monitor *m, const struct config *cfg) NODISCARD;

#endif
