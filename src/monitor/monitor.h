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

#include <signal.h>
#include <stdio.h>
#include <sys/types.h>

enum role_id { ROLE_TRANSPORT, ROLE_FSWORKER, ROLE_KEEPER, ROLE_COUNT };

/* Slots of the inode table (fsworker). Only touched pages cost anything. */
#define INODE_SLOTS (UINT64_C(1) << 24)

/* A child may make this many log records each second (and ten times as many when everything is to be logged). */
#define LOG_RECORDS_PER_S 100u

enum child_state {
	CHILD_NONE,     /* not started, or ended and collected */
	CHILD_STARTING, /* configured; READY may come once, nothing else */
	CHILD_SERVING,  /* READY came, GO was sent */
	CHILD_ENDING,   /* as SERVING, and killed to be replaced */
};

/* One of those who keep the descriptors of a process that has ended, or may (hold/hold.h). */
struct holder {
	int pidfd;   /* -1: not told yet, or ended */
	int channel; /* -1: none */
	int far;     /* number of the channel's other end in the holders' own table; -1: not told yet */
	pid_t pid;   /* for messages only */
	bool ready;  /* in its sandbox */
	bool shown;  /* a process that started was told to ask it */
};

/* The holders of one process. */
struct holders {
	uint32_t generation; /* 0: there are none */
	int64_t again_at_ms; /* when to ask again for one that is missing; 0: not planned */
	struct holder holder[IPC_HOLDERS];
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

	/* Its line of processes. */
	bool ever_served;
	int exe_fd;                             /* its executable: what served, serves again */
	int next_exe_fd;                        /* the one to be tried in its place (SIGHUP), or -1 */
	bool tries_next;                        /* this process was made of that */
	bool given_up;                          /* it is not started any more */
	bool stays;                             /* that came to nothing: it is still what it was before the last SIGHUP */
	uint32_t generation;
	struct holders own;                     /* of this process */
	struct holders before[IPC_FETCH_MAX];   /* of those whose descriptors it takes over; newest first */
	int64_t start_at_ms;                    /* when to start the next one; 0: not planned */
	int64_t died_ms, began_ms, served_ms;   /* when one was started, when it came to serve */
	uint32_t failures;                      /* starts that came to nothing, one after the other */
	int64_t failing_ms;                     /* since when */
	uint32_t short_lives;                   /* that ended by themselves soon after they came to serve, one after the other */
	bool thrown_away;                       /* its start was ended by the monitor, since a holder of it had died */
	bool at_fault;                          /* it was ended by the monitor for what it, or a holder of it, did itself */
	bool overdue;                           /* it was killed because it did not come to serve */
	bool taking;                            /* TAKE was sent */
	bool ready;                             /* READY came */
	bool asks_nobody;                       /* it starts, and a holder that it asks has ended */
	struct ipc_ready said;                  /* and this in it */
	char cause[160];                        /* why the last one that served ended */
	pid_t dead_pid;
};

struct monitor {
	const struct config *cfg;
	int socket_fd; /* listening, or connected when cfg_flags says so */
	int source_fd; /* O_PATH */
	int bulk_fd, state_fd, tstate_fd;
	int mntns_fd;  /* the fsworker's mount namespace, once it sent it */
	int keeper_fd[2]; /* channel between fsworker [0] and keeper [1]; both ends stay here, so that neither sees the other die */
	uint8_t keeper_key[IPC_KEEPER_KEY]; /* of the seals; for keepers only */
	int null_fd;
	int signal_fd;
	int links[IPC_LINKS_MAX][2]; /* both ends, kept: what was sent stays in them whoever dies */
	uint32_t flags;          /* cfg->flags and CFG_CONNECTED */
	uint32_t max_open_files;
	uint64_t nofile_lowered; /* the descriptor limit, where fs.file-max keeps it below the hard limit; else 0 */
	struct child child[ROLE_COUNT];
	uint32_t reloads; /* SIGHUPs */
	bool upgrade;     /* SIGHUP: children that are still to be replaced by what is on disk now */
	bool stop;        /* end the daemon */
	bool killing;     /* and kill what does not end by itself */
	int exit_status;
};

/* roles.c */
struct role {
	const char *name;
	const char *argv0;
	uint64_t namespaces; /* CLONE_NEW*, made as the child is */
	const char *(*path)(const struct config *cfg);
	bool respawns; /* one that dies is replaced; else its end is the daemon's */
	bool holds;    /* its descriptors outlive it */
	int link_end; /* which end of each link is its; -1: none */
	int (*configure)(struct monitor *m, struct ipc_batch *b, struct ipc_heir **heir); /* begins its CONFIG message */
};
extern const struct role roles[ROLE_COUNT];
int roles_check(struct monitor *m) NODISCARD;
int roles_links(struct monitor *m) NODISCARD;
int roles_start(struct monitor *m, struct child *c) NODISCARD;

/* holders.c */
int holders_new(struct holders *h, uint32_t generation, int (*far)[IPC_HOLDERS]) NODISCARD;
void holders_end(struct holders *h);
bool holders_alive(struct holders *h) NODISCARD;
bool holders_complete(const struct holders *h) NODISCARD;
void holders_hear(struct child *c, struct holders *h, size_t i);
void holders_collect(struct monitor *m, struct child *c, struct holders *h);
void holders_again(struct child *c, struct holders *h);
int holders_show(struct holders *h, int *fd) NODISCARD;
void holders_reap(void);
uint32_t holders_wait(int64_t ms);
bool holders_ending(void);

/* upgrade.c */
int upgrade_open(const struct role *role, const struct config *cfg, bool in_sandbox) NODISCARD;
void upgrade_begin(struct monitor *m);
void upgrade_step(struct monitor *m);
bool upgrade_failed(struct child *c) NODISCARD;
void upgrade_done(struct child *c);

/* respawn.c */
int64_t now_ms(void);
void respawn_ended(struct monitor *m, struct child *c, const char *cause, bool killed);
void respawn_go(struct monitor *m, struct child *c);
void respawn_due(struct monitor *m);
int64_t respawn_next_ms(const struct monitor *m);

/* spawn.c */
int spawn_child(struct monitor *m, struct child *c) NODISCARD;
void pidfd_kill(int pidfd);
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

/* notify.c */
void notify_open(void);
bool notify_flush(void);
void notify_ready(const char *status);
void notify_reloading(void);
void notify_stopping(void);

/* supervise.c */
void supervise_run(struct monitor *m);
void supervise_ended(struct monitor *m, struct child *c, const siginfo_t *si);

/* setup.c */
int setup_all(struct monitor *m, const struct config *cfg) NODISCARD;

#endif
