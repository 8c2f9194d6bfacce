/* control_loop.c - see control_loop.h.
 *
 * Role: transport. Distrusted: the VMM. The monitor has nothing to say after CONFIG, so its channel only tells that it is
 * still there: without a monitor nobody would end or restart this process, and it ends at once.
 *
 * One connection is served: the listening socket is closed as soon as it gave one, since the VMM cannot reconnect and
 * nobody else has any business here.
 */
#include "transport/control_loop.h"

#include <event2/event.h>
#include <poll.h>
#include <sys/socket.h>

#include "common/crashpoint.h"
#include "common/log.h"
#include "ipc/channel.h"
#include "ipc/roles.h"

struct control {
	struct event_base *base;
	struct event *on_monitor;
	struct event *on_listen;
	struct event *on_message;
	struct vhost_dev *dev;
	struct state *state;
	struct vhost_conn conn; /* conn.fd is -1 until there is one */
	struct vhost_reply reply;
	int listen_fd;
	int monitor_fd;
	int status;
};

static void finish(struct control *c, int status)
{
	c->status = status;
	event_base_loopbreak(c->base);
}

static void on_monitor(evutil_socket_t fd, short what, void *arg)
{
	static struct ipc_dgram d;
	struct control *c = arg;
	int r = ipc_recv(fd, &d, MSG_DONTWAIT);

	(void)what;
	if (r == -EAGAIN || r == -EINTR)
		return;
	if (r == 1) {
		ipc_dgram_end(&d);
		log_err("the monitor sent a message that is not due");
		finish(c, ROLE_EXIT_PROTOCOL);
		return;
	}
	_exit(ROLE_EXIT_OK);
}

/* The message that is whole now: obey, unless a process before this one has, and reply. False: give the connection up. */
static bool serve_message(struct control *c)
{
	uint32_t number = vhost_conn_number(&c->conn);
	bool due;
	int r = 0;

	if (!vhost_dev_answered(c->dev, number, &due, &c->reply)) {
		due = vhost_dev_handle(c->dev, &c->conn.msg, &c->reply);
		CRASHPOINT("message-obeyed");
		vhost_dev_obeyed(c->dev, number, due ? &c->reply : NULL);
	}
	if (due) {
		CRASHPOINT("before-reply");
		r = vhost_conn_send(&c->conn, &c->reply);
		close_fd(&c->reply.fd);
	}
	vhost_conn_done(&c->conn);
	if (r)
		log_warn("the VMM does not take a reply (error %d): the connection is given up", -r);
	return r == 0;
}

static void on_message(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = arg;
	const char *why = "";
	int r;

	(void)fd;
	(void)what;
	do
		r = vhost_conn_recv(&c->conn, &why);
	while (r == 1 && serve_message(c));
	if (r == -EAGAIN)
		return;
	if (r == 0)
		log_info("the VMM has closed the connection");
	else if (r == -EPROTO)
		log_err("the connection to the VMM is given up: %s", why);
	else if (r < 0)
		log_err("the connection to the VMM is lost (error %d)", -r);
	finish(c, ROLE_EXIT_OK);
}

static struct event *watch(struct control *c, int fd, event_callback_fn fn)
{
	struct event *ev = event_new(c->base, fd, EV_READ | EV_PERSIST, fn, c);

	if (ev && event_add(ev, NULL)) {
		event_free(ev);
		ev = NULL;
	}
	if (!ev)
		log_err("descriptor %d cannot be watched", fd);
	return ev;
}

static bool connected(struct control *c, int fd)
{
	vhost_conn_init(&c->conn, fd);
	vhost_conn_keep(&c->conn, &c->state->head->conn, c->state->generation);
	c->on_message = watch(c, fd, on_message);
	return c->on_message;
}

static void on_listen(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = arg;
	int conn = vhost_conn_accept(&c->state->head->conn, c->state->generation, fd);

	(void)what;
	if (conn < 0) {
		if (conn != -EAGAIN && conn != -EINTR && conn != -ECONNABORTED)
			log_limited(LOG_LVL_WARN, "a connection could not be accepted (error %d)", -conn);
		return;
	}
	log_info("the VMM has connected");
	event_free(c->on_listen);
	c->on_listen = NULL;
	close_fd(&c->listen_fd);
	if (!connected(c, conn))
		finish(c, ROLE_EXIT_FAIL);
}

static bool set_up(struct control *c, int monitor_fd, int socket, bool is_connected)
{
	struct event_config *cfg = event_config_new();

	if (cfg) {
		event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV);
		c->base = event_base_new_with_config(cfg);
		event_config_free(cfg);
	}
	if (!c->base) {
		log_err("there is no event loop to be had");
		return false;
	}
	c->on_monitor = watch(c, monitor_fd, on_monitor);
	if (!c->on_monitor)
		return false;
	if (is_connected)
		return connected(c, socket);
	c->listen_fd = socket;
	c->on_listen = watch(c, socket, on_listen);
	return c->on_listen;
}

static void say_gone(int monitor_fd)
{
	static struct ipc_batch b;

	ipc_batch_reset(&b);
	if (ipc_batch_add(&b, IPC_GONE, 0, 0, 0, NULL) && ipc_batch_send(monitor_fd, &b))
		log_warn("the monitor could not be told that the VMM is gone");
}

static struct control *waiting; /* the one there is, for control_while_waiting() */

/**
 * control_while_waiting() - The control thread waits for a ring: is the VMM still there?
 *
 * Does not return when it has gone: nothing is left to do, and whatever holds the ring up may do so for ever.
 */
void control_while_waiting(void)
{
	struct pollfd p = { .fd = waiting ? waiting->conn.fd : -1, .events = POLLRDHUP };

	if (p.fd < 0 || poll(&p, 1, 0) != 1 || !(p.revents & (POLLRDHUP | POLLHUP | POLLERR)))
		return;
	log_info("the VMM has closed the connection while a ring was busy");
	say_gone(waiting->monitor_fd);
	_exit(ROLE_EXIT_OK);
}

static void tear_down(struct control *c)
{
	struct event *events[] = { c->on_monitor, c->on_listen, c->on_message };

	for (size_t i = 0; i < ARRAY_SIZE(events); i++)
		if (events[i])
			event_free(events[i]);
	if (c->base)
		event_base_free(c->base);
	close_fd(&c->listen_fd);
	vhost_conn_close(&c->conn);
}

/**
 * control_run() - Serve one connection until it ends
 * @monitor_fd:		Channel to the monitor, borrowed
 * @socket:		The vhost-user socket, taken over
 * @is_connected:	It is a connection; else it listens
 * @dev:		The device, taken over
 * @state:		What outlives this process; what one before it has received is gone on with
 *
 * Return: the status to exit with
 */
int control_run(int monitor_fd, int socket, bool is_connected, struct vhost_dev *dev, struct state *state)
{
	static struct control c;

	c.dev = dev;
	c.state = state;
	c.listen_fd = -1;
	vhost_conn_init(&c.conn, -1);
	c.status = ROLE_EXIT_FAIL;
	waiting = &c;
	c.monitor_fd = monitor_fd;
	if (set_up(&c, monitor_fd, socket, is_connected)) {
		/* A message that is whole already makes no event. */
		if (state->found && c.on_message)
			event_active(c.on_message, EV_READ, 0);
		event_base_dispatch(c.base);
	}
	/* First: freeing the device waits for its rings, however long a file system makes them wait. */
	if (c.status == ROLE_EXIT_OK)
		say_gone(monitor_fd);
	vhost_dev_free(dev);
	tear_down(&c);
	return c.status;
}
