/*
 * Starts the daemon under test, collects what it says, reports how it ended.
 */
#ifndef VUF_DAEMON_H
#define VUF_DAEMON_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct daemon {
	pid_t pid;		/* 0 when none runs or it has been reaped */
	int pidfd;
	int err_fd;		/* memory file that is the daemon's stderr */
	int out_fd;		/* the same for its stdout */
	int status;		/* as from waitpid(), valid once reaped */
	bool reaped;
};

struct daemon_args {
	const char *const *words;	/* NULL-terminated; {socket} {dir} replaced */
	const char *socket;
	const char *dir;
	int pass_fd;			/* descriptor the daemon inherits, or -1 */
	int pass_as;			/* number it has in the daemon */
};

int vuf_timeout_ms(void);

int daemon_start(struct daemon *d, const struct daemon_args *args);
int daemon_connect(struct daemon *d, const char *socket_path);
int daemon_wait(struct daemon *d, int timeout_ms);
int daemon_signal(struct daemon *d, int sig);
char *daemon_stderr(struct daemon *d);
char *daemon_stdout(struct daemon *d);
void daemon_close(struct daemon *d);

#endif
