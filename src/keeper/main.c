/* main.c - virtiofsd-keeper: the one process that may open by file handle, and what it asks for that. See keeper.h.
 *
 * Started by the monitor with the descriptors of ipc/roles.h; everything else comes in its CONFIG message. One thread; no
 * memory is taken once the sandbox is up.
 */
#include "keeper/keeper.h"

#include "common/log.h"
#include "ipc/roles.h"
#include "sandbox/sandbox.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>

static struct keeper keeper;

/* The configuration; exits when there is none. Returns the channel to the fsworker. */
static int receive_config(struct ipc_config_keeper *cfg)
{
	const char *why = "it ended, or sent something else";
	struct ipc_msg m;
	int fd;

	if (ipc_recv(ROLE_FD_MONITOR, &keeper.in, 0) != 1 || ipc_next(&keeper.in, IPC_DIR_M2R, &m, &why) != 1 ||
	    m.hdr->type != IPC_CONFIG_KEEPER) {
		log_err("no configuration from the monitor: %s", why);
		exit(ROLE_EXIT_PROTOCOL);
	}
	memcpy(cfg, m.body, sizeof(*cfg));
	fd = ipc_take_fd(&keeper.in, &m, 0);
	ipc_dgram_end(&keeper.in);
	return fd;
}

/* Say READY, wait for GO. */
static void wait_for_go(void)
{
	const char *why = "";
	struct ipc_msg m;
	int r;

	if (!ipc_batch_add(&keeper.out, IPC_READY, 0, 0, 0, NULL) || ipc_batch_send(ROLE_FD_MONITOR, &keeper.out) < 0)
		_exit(ROLE_EXIT_FAIL);
	do
		r = ipc_recv(ROLE_FD_MONITOR, &keeper.in, 0);
	while (r == -EINTR);
	if (r == 0)
		_exit(ROLE_EXIT_OK);
	if (r != 1 || ipc_next(&keeper.in, IPC_DIR_M2R, &m, &why) != 1 || m.hdr->type != IPC_GO) {
		log_err("no GO from the monitor: %s", why);
		_exit(ROLE_EXIT_PROTOCOL);
	}
	ipc_dgram_end(&keeper.in);
}

/* Until the monitor goes, or says what it has no reason to say. */
static int serve(int fd)
{
	struct pollfd p[2] = { { .fd = ROLE_FD_MONITOR, .events = POLLIN }, { .fd = fd, .events = POLLIN } };
	const char *why;

	for (;;) {
		int r = 1;

		if (ppoll(p, 2, NULL, NULL) < 0)
			continue;
		if (p[0].revents)
			return p[0].revents & POLLHUP ? ROLE_EXIT_OK : ROLE_EXIT_PROTOCOL;
		if (p[1].revents)
			r = keeper_hear(&keeper, fd, &why);
		if (r == -EPROTO) {
			log_err("the fsworker broke the protocol: %s", why);
			return ROLE_EXIT_PROTOCOL;
		}
		if (r <= 0) {
			log_err("the channel to the fsworker is broken: %d", -r);
			return ROLE_EXIT_FAIL;
		}
	}
}

int main(int argc, char **argv)
{
	struct sandbox_params params = { .source_fd = -1, .mntns_fd = -1 };
	struct ipc_config_keeper cfg;
	socklen_t len = sizeof(int);
	int type, fd;

	if (argc == 2 && !strcmp(argv[1], "--dump-sandbox")) {
		sandbox_dump(&policy_keeper, stdout);
		return 0;
	}
	if (getsockopt(ROLE_FD_MONITOR, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET) {
		fprintf(stderr, "virtiofsd-keeper is started by virtiofsd(8), not by hand\n");
		return ROLE_EXIT_FAIL;
	}
	prctl(PR_SET_NAME, argv[0]); /* it was executed by descriptor, which has no name */
	log_to_fd(ROLE_FD_LOG);
	signal(SIGPIPE, SIG_IGN);
	fd = receive_config(&cfg);
	log_level_limit = MIN(cfg.log_level, (uint32_t)LOG_LVL_DEBUG);
	params.uid = cfg.uid;
	params.gid = cfg.gid;
	if (sandbox_enter(&policy_keeper, &params, NULL) < 0)
		return ROLE_EXIT_FAIL;
	keeper_init(&keeper, cfg.key);
	explicit_bzero(&cfg, sizeof(cfg));
	wait_for_go();
	_exit(serve(fd));
}
