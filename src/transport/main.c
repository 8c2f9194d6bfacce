/* main.c - virtiofsd-transport: the process that the VMM and its guest talk to.
 *
 * Role: transport. Started by the monitor with the descriptors of ipc/roles.h. Everything else comes in one CONFIG
 * message; then it splits (hold/hold.h), the sandbox closes, READY is said, and only after that is the first byte of the VMM
 * or of guest memory read. One that takes over fetches all that the process before it had between the split and the sandbox:
 * with READY the holders of that one end.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "common/log.h"
#include "hold/hold.h"
#include "ipc/channel.h"
#include "ipc/roles.h"
#include "sandbox/sandbox.h"
#include "transport/blame.h"
#include "transport/control_loop.h"
#include "transport/fuse_dev.h"

/* Where each of CONFIG's descriptors is; more follow, see ipc/messages.h. */
enum { FD_SOCKET, FD_BULK, FD_STATE, FD_HOLDERS };

struct start {
	struct ipc_config_transport config;
	int socket, bulk, state_fd;
	int links[IPC_LINKS_MAX];
	struct hold_params hold;
	struct hold_heir heir;
	struct state state;
};

static bool is_socket(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

static void take_descriptors(struct start *s, struct ipc_dgram *d, const struct ipc_msg *m)
{
	uint32_t next = FD_HOLDERS;

	s->socket = ipc_take_fd(d, m, FD_SOCKET);
	s->bulk = ipc_take_fd(d, m, FD_BULK);
	s->state_fd = ipc_take_fd(d, m, FD_STATE);
	for (uint32_t i = 0; i < HOLDERS; i++)
		s->hold.channel[i] = ipc_take_fd(d, m, next++);
	s->heir.n = s->config.heir.nfetch;
	for (uint32_t i = 0; i < s->heir.n; i++) {
		s->heir.generation[i] = s->config.heir.fetch_generation[i];
		s->heir.fd[i] = ipc_take_fd(d, m, next++);
	}
	for (uint32_t i = 0; i < s->config.nlinks; i++)
		s->links[i] = ipc_take_fd(d, m, next++);
	s->hold.uid = s->config.uid;
	s->hold.gid = s->config.gid;
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
		if (s->config.nlinks < 2 || s->config.nlinks > IPC_LINKS_MAX || s->config.heir.nfetch > IPC_FETCH_MAX ||
		    m.nfds != FD_HOLDERS + IPC_HOLDERS + s->config.heir.nfetch + s->config.nlinks) {
			why = "the links do not add up";
			r = -EPROTO;
		}
	}
	if (r != 1) {
		log_err("no configuration from the monitor: %s (error %d)", why, -r);
		ipc_dgram_end(&d);
		return false;
	}
	take_descriptors(s, &d, &m);
	ipc_dgram_end(&d);
	return true;
}

/* Wait for what the monitor has to say next. False: it says something else, or has gone. */
static bool told(uint16_t type)
{
	static struct ipc_dgram d;
	const char *why;
	struct ipc_msg m;
	int r;

	do
		r = ipc_recv(ROLE_FD_MONITOR, &d, 0);
	while (r == -EINTR);
	return r == 1 && ipc_next(&d, IPC_DIR_M2R, &m, &why) == 1 && m.hdr->type == type;
}

/* READY, and the monitor's GO. */
static bool say_ready(const struct start *s)
{
	static struct ipc_batch b;
	struct ipc_ready *ready;

	ipc_batch_reset(&b);
	ready = ipc_batch_add(&b, IPC_READY, 0, 0, 0, NULL);
	if (!ready)
		return false;
	ready->again = state_under_way(&s->state);
	ready->lost = s->state.lost;
	return ipc_batch_send(ROLE_FD_MONITOR, &b) == 0 && told(IPC_GO);
}

/* What could not be asked for is not taken for what there is not: the state would be written over, and all of it lost. The next
 * process asks again, perhaps another holder. */
static int fetch(void *heir, const uint32_t *held, int *fds, uint32_t n)
{
	int r = hold_inherit(heir, held, fds, n);

	if (r < 0) {
		log_err("those who keep the descriptors do not give them (error %d)", -r);
		_exit(ROLE_EXIT_FAIL);
	}
	return r;
}

/* All that the process before this one had becomes ours. */
static void take_over(struct start *s, struct vhost_dev *dev, struct fuse_dev *fuse)
{
	const struct state_fetch f = { fetch, &s->heir };
	int conn;

	fuse_dev_keep(fuse, &s->state, &f);
	if (!s->state.found)
		return;
	vhost_dev_inherit(dev, &f);
	conn = vhost_conn_inherit(&s->state.head->conn, s->state.generation, &f);
	if (conn >= 0 && !(s->config.flags & CFG_CONNECTED)) {
		close_fd(&s->socket);
		s->socket = conn;
		s->config.flags |= CFG_CONNECTED;
	} else {
		close_fd(&conn); /* the monitor gave it */
	}
	for (uint32_t i = 0; i < s->heir.n; i++)
		close_fd(&s->heir.fd[i]);
	log_info("taking over from the process before");
}

static struct vhost_dev *make_device(struct start *s)
{
	struct vhost_dev_params p = { .config = &s->config, .link_fds = s->links, .state = &s->state };
	struct vhost_dev *dev;
	int r = state_open(&s->state, s->state_fd, s->config.nlinks, s->config.max_open_files, s->config.heir.generation);

	if (r) {
		log_err("the state cannot be used: %s (error %d)", r == -EPROTO ? "another build made it" : "it is not mapped", -r);
		return NULL;
	}
	close_fd(&s->state_fd);

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
	dev = vhost_dev_new(&p);
	if (dev)
		take_over(s, dev, p.fuse);
	return dev;
}

int main(int argc, char **argv)
{
	static struct start s;
	struct sandbox_params params = { .source_fd = -1, .mntns_fd = -1 };
	struct vhost_dev *dev;
	int r;

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
	r = hold_split(&s.hold);
	if (r) {
		log_err("nobody can be made to hold the descriptors (error %d)", -r);
		return ROLE_EXIT_FAIL;
	}
	if (!told(IPC_TAKE))
		return ROLE_EXIT_FAIL;
	blame_install();
	sandbox_on_refused = blame_now;
	dev = gmem_install_sigbus() ? NULL : make_device(&s);
	if (!dev) {
		log_err("the device cannot be set up");
		return ROLE_EXIT_FAIL;
	}
	params.uid = s.config.uid;
	params.gid = s.config.gid;
	if (sandbox_enter(&policy_transport, &params, NULL) || !say_ready(&s))
		return ROLE_EXIT_FAIL;
	if (s.state.found)
		vhost_dev_resume(dev);
	return control_run(ROLE_FD_MONITOR, s.socket, s.config.flags & CFG_CONNECTED, dev, &s.state);
}
