/* listen.c - the socket that the VMM connects to: made here, or handed to us.
 *
 * Role: monitor. It listens and never accepts: the first byte from the VMM, and the connection itself, are for the
 * transport, in its sandbox.
 *
 * A socket left behind by a daemon that was killed is removed, one that somebody listens on never is. Two daemons
 * that start at once on one path are kept apart by a lock on PATH.pid, which also holds the daemon's pid; the lock
 * belongs to the open file, so it ends with the process however that ends.
 */
#include "monitor/monitor.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* What listen_remove() takes away; it must still be ours then. */
static struct {
	char lock_path[PATH_MAX];
	const char *socket_path;
	int lock_fd;
	dev_t dev;
	ino_t ino;
} made = { .lock_fd = -1 };

/* In a directory that everyone can write to, sockets can be replaced by anyone: unless it is sticky, as /tmp is. */
static int check_directory(const char *path)
{
	char dir[PATH_MAX];
	struct stat st;
	const char *slash = strrchr(path, '/');

	if (!slash)
		strcpy(dir, ".");
	else if (slash == path)
		strcpy(dir, "/");
	else
		snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	if (stat(dir, &st) < 0) {
		log_err("--socket-path: cannot use the directory '%s': %s: create it first", dir, strerror(errno));
		return EXIT_FAILURE;
	}
	if ((st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX)) {
		log_err("--socket-path: everyone can write to the directory '%s' and so replace the socket: choose another one, or chmod o-w or +t it",
			dir);
		return EXIT_FAILURE;
	}
	return 0;
}

/* Take the lock, or find that the file was removed by an earlier owner just before we got it: then again. */
static int lock(const char *path)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct stat mine, there;
	char pid[16];

	snprintf(made.lock_path, sizeof(made.lock_path), "%s.pid", path);
	for (;;) {
		AUTO_FD fd = open(made.lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

		if (fd < 0 || fstat(fd, &mine) < 0) {
			log_err("--socket-path: cannot open the lock file '%s': %s: check the directory", made.lock_path,
				strerror(errno));
			return EXIT_FAILURE;
		}
		if (!S_ISREG(mine.st_mode)) {
			log_err("--socket-path: the lock file '%s' is not a regular file: remove it", made.lock_path);
			return EXIT_FAILURE;
		}
		if (fcntl(fd, F_OFD_SETLK, &whole) < 0) {
			log_err("--socket-path: another virtiofsd serves '%s' (it holds '%s'): end it first or choose another path",
				path, made.lock_path);
			return EXIT_FAILURE;
		}
		if (lstat(made.lock_path, &there) < 0 || there.st_ino != mine.st_ino || there.st_dev != mine.st_dev)
			continue;

		int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());

		if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n) {
			log_err("--socket-path: cannot write to '%s': %s: make room", made.lock_path, strerror(errno));
			return EXIT_FAILURE;
		}
		made.lock_fd = take_fd(&fd);
		return 0;
	}
}

/* Remove what stands at the path when it is a socket that nobody listens on. */
static int remove_stale(const char *path, const struct sockaddr_un *addr)
{
	struct stat st;

	if (lstat(path, &st) < 0) {
		if (errno == ENOENT)
			return 0;
		log_err("--socket-path: cannot look at '%s': %s: check the directory", path, strerror(errno));
		return EXIT_FAILURE;
	}
	if (!S_ISSOCK(st.st_mode)) {
		log_err("--socket-path: '%s' exists and is not a socket: remove it or choose another path", path);
		return EXIT_FAILURE;
	}
	AUTO_FD probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe < 0 || connect(probe, (const struct sockaddr *)addr, sizeof(*addr)) == 0 || errno != ECONNREFUSED) {
		log_err("--socket-path: somebody listens on '%s' already: end that process or choose another path", path);
		return EXIT_FAILURE;
	}
	if (unlink(path) < 0) {
		log_err("--socket-path: cannot remove the old socket '%s': %s: remove it", path, strerror(errno));
		return EXIT_FAILURE;
	}
	return 0;
}

/* Let the group connect, on the very socket that was made. */
static int give_to_group(const char *path, uint32_t gid)
{
	AUTO_FD fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || fchownat(fd, "", (uid_t)-1, gid, AT_EMPTY_PATH) < 0) {
		log_err("--socket-group: cannot give '%s' to group %u: %s: check the file system", path, gid,
			strerror(errno));
		return EXIT_FAILURE;
	}
	return 0;
}

static int listen_on_path(struct monitor *m, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct stat st;
	int r;

	if (strlen(path) >= sizeof(addr.sun_path)) {
		log_err("--socket-path: '%s' is %zu bytes long: the longest path that a socket can have is %zu", path,
			strlen(path), sizeof(addr.sun_path) - 1);
		return EXIT_USAGE;
	}
	memcpy(addr.sun_path, path, strlen(path));
	r = check_directory(path);
	if (r == 0)
		r = lock(path);
	if (r == 0)
		r = remove_stale(path, &addr);
	if (r)
		return r;

	AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* The mode must be right from the first moment. */
	mode_t old = umask(m->cfg->has_socket_gid ? 0117 : 0177);
	bool ok = fd >= 0 && bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0;
	umask(old);
	if (!ok) {
		log_err("--socket-path: cannot make the socket '%s': %s: check the directory", path, strerror(errno));
		return EXIT_FAILURE;
	}
	if (lstat(path, &st) == 0) {
		made.socket_path = path;
		made.dev = st.st_dev;
		made.ino = st.st_ino;
	}
	if (m->cfg->has_socket_gid) {
		r = give_to_group(path, m->cfg->socket_gid);
		if (r)
			return r;
	}
	if (listen(fd, 1) < 0) {
		log_err("--socket-path: cannot listen on '%s': %s", path, strerror(errno));
		return EXIT_FAILURE;
	}
	m->socket_fd = take_fd(&fd);
	return 0;
}

static int get_option(int fd, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) < 0 ? -1 : value;
}

static int adopt(struct monitor *m, int fd)
{
	struct sockaddr_un peer;
	socklen_t len = sizeof(peer);

	if (fcntl(fd, F_GETFD) < 0) {
		log_err("--fd: descriptor %d is not open: pass a listening UNIX stream socket", fd);
		return EXIT_FAILURE;
	}
	if (get_option(fd, SO_DOMAIN) != AF_UNIX || get_option(fd, SO_TYPE) != SOCK_STREAM) {
		log_err("--fd: descriptor %d is not a UNIX stream socket: pass a listening one", fd);
		return EXIT_FAILURE;
	}
	if (get_option(fd, SO_ACCEPTCONN) != 1) {
		if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0) {
			log_err("--fd: the socket %d is neither listening nor connected: call listen() on it first", fd);
			return EXIT_FAILURE;
		}
		m->flags |= CFG_CONNECTED;
	}
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
		log_err("--fd: cannot use descriptor %d: %s", fd, strerror(errno));
		return EXIT_FAILURE;
	}
	m->socket_fd = fd;
	return 0;
}

/**
 * listen_open() - have the socket in m->socket_fd, as the configuration says.
 *
 * Return: 0, or an exit status when the reason was logged.
 */
int listen_open(struct monitor *m)
{
	return m->cfg->socket_path ? listen_on_path(m, m->cfg->socket_path) : adopt(m, m->cfg->fd);
}

/**
 * listen_remove() - remove the socket and the lock file, if we made them and they are still ours.
 *
 * The directory may belong to another user, whom root overrules only with CAP_DAC_OVERRIDE.
 */
void listen_remove(void)
{
	struct stat st;
	int raised = sandbox_set_cap(CAP_DAC_OVERRIDE, true);

	if (made.socket_path && lstat(made.socket_path, &st) == 0 && st.st_dev == made.dev && st.st_ino == made.ino)
		unlink(made.socket_path);
	if (made.lock_fd >= 0)
		unlink(made.lock_path);
	close_fd(&made.lock_fd);
	if (raised == 0)
		(void)!sandbox_set_cap(CAP_DAC_OVERRIDE, false);
}
