/* main.c - virtiofsd-transport: the process that the VMM and its guest talk to.
 *
 * Role: transport. Started by the monitor with the descriptors of ipc/roles.h. Everything else comes in one CONFIG
 * message; then the sandbox closes, READY is said, and only after that is the first byte of the VMM read.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "common/log.h"
#include "ipc/channel.h"
#include "ipc/roles.h"
#include "sandbox/sandbox.h"
#include "transport/control_loop.h"
#include "transport/fuse_dev.h"

struct start {
	struct ipc_config_transport config;
	int socket, bulk;
	int links[IPC_LINKS_MAX];
};

static bool is_socket(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* The one message of the monitor. Its sender is trusted, but a mistake should end here with a sentence. */
static bool receive_config(struct start *s)
{
	static struct ipc_dgram d;
	const char *why = "the monitor closed its channel";
	struct ipc_msg m;
	int r;

	do
		r = ipc_recv(ROLE_FD_MONITOR, &d, 0);
	while (r == -EINTR);
	if (r == 1)
		r = ipc_next(&d, IPC_DIR_M2R, &m, &why);
	if (r == 1 && m.hdr->type != IPC_CONFIG_TRANSPORT) {
		why = "it is for another role";
		r = -EPROTO;
	}
	if (r == 1) {
		memcpy(&s->config, m.body, sizeof(s->config));
		if (s->config.nlinks < 2 || s->config.nlinks > IPC_LINKS_MAX || m.nfds != 3 + s->config.nlinks) {
			why = "the links do not add up";
			r = -EPROTO;
		}
	}
	if (r != 1) {
		log_err("no configuration from the monitor: %s (error %d)", why, -r);
		ipc_dgram_end(&d);
		return false;
	}
	s->socket = ipc_take_fd(&d, &m, 0);
	s->bulk = ipc_take_fd(&d, &m, 1);
	for (uint32_t i = 0; i < s->config.nlinks; i++)
		s->links[i] = ipc_take_fd(&d, &m, 3 + i);
	ipc_dgram_end(&d);
	return true;
}

/* READY, and the monitor's GO. */
static bool say_ready(void)
{
	static struct ipc_batch b;
	static struct ipc_dgram d;
	const char *why;
	struct ipc_msg m;
	int r;

	ipc_batch_reset(&b);
	if (!ipc_batch_add(&b, IPC_READY, 0, 0, 0, NULL) || ipc_batch_send(ROLE_FD_MONITOR, &b))
		return false;
	do
		r = ipc_recv(ROLE_FD_MONITOR, &d, 0);
	while (r == -EINTR);
	return r == 1 && ipc_next(&d, IPC_DIR_M2R, &m, &why) == 1 && m.hdr->type == IPC_GO;
}

static struct vhost_dev *make_device(struct start *s)
{
	struct vhost_dev_params p = { .config = &s->config, .link_fds = s->links };

	p.bulk = gmem_map_bulk(s->bulk, s->config.nlinks * IPC_BULK_LINK);
	if (!p.bulk) {
		log_err("the bulk area cannot be mapped (error %d)", errno);
		return NULL;
	}
	close_fd(&s->bulk);
	p.fuse = fuse_dev_new(&s->config);
	if (!p.fuse)
		return NULL;
	p.fuse->while_waiting = control_while_waiting;
	return vhost_dev_new(&p);
}

int main(int argc, char **argv)
{
	static struct start s;
	struct sandbox_params params = { .source_fd = -1, .mntns_fd = -1 };
	struct vhost_dev *dev;

	if (argc == 2 && !strcmp(argv[1], "--dump-sandbox")) {
		sandbox_dump(&policy_transport, stdout);
		return fflush(stdout) ? ROLE_EXIT_FAIL : ROLE_EXIT_OK;
	}
	if (!is_socket(ROLE_FD_MONITOR) || !is_socket(ROLE_FD_LOG)) {
		fprintf(stderr, "%s is started by virtiofsd(8), not by hand\n", argc ? argv[0] : "this program");
		return ROLE_EXIT_FAIL;
	}
	prctl(PR_SET_NAME, argv[0]); /* it was executed by descriptor, which has no name */
	log_to_fd(ROLE_FD_LOG);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (!receive_config(&s))
		return ROLE_EXIT_FAIL;
	log_level_limit = s.config.log_level;
	dev = gmem_install_sigbus() ? NULL : make_device(&s);
	if (!dev) {
		log_err("the device cannot be set up");
		return ROLE_EXIT_FAIL;
	}
	params.uid = s.config.uid;
	params.gid = s.config.gid;
	if (sandbox_enter(&policy_transport, &params, NULL) || !say_ready())
		return ROLE_EXIT_FAIL;
	return control_run(ROLE_FD_MONITOR, s.socket, s.config.flags & CFG_CONNECTED, dev);
}
