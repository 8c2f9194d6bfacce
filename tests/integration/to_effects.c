/*
 * test-options: the effect of each option.
 */
#define _GNU_SOURCE 1
#include <dirent.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include "hostlock.h"
#include "test-options.h"

struct cache_row {
	const char *options[5];
	uint64_t sec;
	uint32_t nsec;
	uint32_t open_flags;	/* of those that say what may be cached */
};

#define OPEN_FLAGS ((uint32_t)(FOPEN_DIRECT_IO | FOPEN_KEEP_CACHE))

static const struct cache_row cache_rows[] = {
	{ { NULL }, 1, 0, 0 },
	{ { "--cache=none" }, 0, 0, FOPEN_DIRECT_IO },
	{ { "--cache=auto" }, 1, 0, 0 },
	{ { "--cache=always" }, 86400, 0, FOPEN_KEEP_CACHE },
	{ { "--cache", "none" }, 0, 0, FOPEN_DIRECT_IO },
	/* What libvirt and the old daemon's own help say. */
	{ { "-o", "cache=none" }, 0, 0, FOPEN_DIRECT_IO },
	{ { "-o", "cache=always" }, 86400, 0, FOPEN_KEEP_CACHE },
	{ { "-o", "timeout=7" }, 7, 0, 0 },
	{ { "-o", "timeout=0" }, 0, 0, 0 },
	{ { "-o", "timeout=0.5" }, 0, 500000000, 0 },
	{ { "--cache=none", "-o", "timeout=9" }, 9, 0, FOPEN_DIRECT_IO },
	{ { "--cache=always", "-o", "timeout=9" }, 9, 0, FOPEN_KEEP_CACHE },
};

#define N_CACHE_ROWS ((int)(sizeof(cache_rows) / sizeof(cache_rows[0])))

START_TEST(caching)
{
	const struct cache_row *row = &cache_rows[_i];
	struct fuse_entry_out e;
	struct fuse_attr_out a;
	struct fuse_open_out o;

	to_start(row->options);
	tu_write_file(tu_path(&env, "file"), "x", 1, 0644);
	ck_ok(fs_lookup(FS, TU_ROOT, "file", &e));
	ck_assert_uint_eq(e.entry_valid, row->sec);
	ck_assert_uint_eq(e.entry_valid_nsec, row->nsec);
	ck_assert_uint_eq(e.attr_valid, row->sec);
	ck_assert_uint_eq(e.attr_valid_nsec, row->nsec);
	ck_ok(fs_getattr(FS, e.nodeid, NULL, &a));
	ck_assert_uint_eq(a.attr_valid, row->sec);
	ck_assert_uint_eq(a.attr_valid_nsec, row->nsec);
	ck_ok(fs_open(FS, e.nodeid, O_RDONLY, &o));
	ck_assert_uint_eq(o.open_flags & OPEN_FLAGS, row->open_flags);
	ck_ok(fs_create(FS, TU_ROOT, "new", O_RDWR | O_CREAT, 0644, &e, &o));
	ck_assert_uint_eq(o.open_flags & OPEN_FLAGS, row->open_flags);
	ck_ok(fs_opendir(FS, TU_ROOT, O_RDONLY, &o));
	/* Only where all may be cached for long may a directory's entries be. */
	if (row->open_flags != FOPEN_KEEP_CACHE)
		ck_assert_uint_eq(o.open_flags & FOPEN_CACHE_DIR, 0);
}
END_TEST

START_TEST(writeback)
{
	uint64_t node, fh;
	char buf[32] = "";

	to_start(WORDS("-o", "writeback"));
	ck_assert(FS->flags & FUSE_WRITEBACK_CACHE);
	tu_write_file(tu_path(&env, "file"), "0123456789", 10, 0644);
	node = tu_lookup(FS, TU_ROOT, "file");
	/* The guest's cache fills pages around a write: it must be able to read. */
	fh = tu_open_file(FS, node, O_WRONLY);
	ck_assert_int_eq(fs_read(FS, node, fh, buf, 10, 0, O_WRONLY), 10);
	/* And it alone says where an appended page goes. */
	fh = tu_open_file(FS, node, O_WRONLY | O_APPEND);
	ck_assert_int_eq(fs_write(FS, node, fh, "ab", 2, 4, O_WRONLY | O_APPEND,
				  FUSE_WRITE_CACHE), 2);
	tu_read_file(tu_path(&env, "file"), buf, sizeof(buf) - 1);
	ck_assert_str_eq(buf, "0123ab6789");
}
END_TEST

/* How many files a process has open with a flag. */
static unsigned int opened_with(const char *pid, unsigned long flag)
{
	char path[600], line[128];
	unsigned int n = 0;
	struct dirent *de;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%s/fdinfo", pid);
	d = opendir(path);
	while (d && (de = readdir(d))) {
		FILE *f;

		if (de->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, de->d_name);
		f = fopen(path, "re");
		while (f && fgets(line, sizeof(line), f))
			n += !strncmp(line, "flags:", 6) && strtoul(line + 6, NULL, 8) & flag;
		if (f)
			fclose(f);
	}
	if (d)
		closedir(d);
	return n;
}

/* The same for the daemon's helpers together. */
static unsigned int helpers_opened_with(unsigned long flag)
{
	unsigned int helpers = 0, n = 0;
	DIR *d = opendir("/proc");
	struct dirent *de;

	ck_assert_ptr_nonnull(d);
	while ((de = readdir(d))) {
		char path[300], line[128];
		bool holder = false; /* they share the table of another */
		pid_t parent = 0;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%s/status", de->d_name);
		f = de->d_name[0] > '0' && de->d_name[0] <= '9' ? fopen(path, "re") : NULL;
		while (f && fgets(line, sizeof(line), f))
			if (!strncmp(line, "PPid:", 5))
				parent = (pid_t)atoi(line + 5);
			else if (!strncmp(line, "Name:\tholder", 12))
				holder = true;
		if (f)
			fclose(f);
		if (parent == env.d.pid && !holder) {
			helpers++;
			n += opened_with(de->d_name, flag);
		}
	}
	closedir(d);
	ck_assert_uint_eq(helpers, 3);
	return n;
}

/*
 * Pages of a shared mapping are written back through any handle that can write,
 * and begin and end where the file does, not where blocks do. So what is
 * O_DIRECT in the guest never is on the host.
 */
START_TEST(writeback_through_direct)
{
	enum { SIZE = 5001, AT = 777 };
	static uint8_t data[SIZE], got[AT + SIZE + 1];
	struct fuse_entry_out e;
	struct fuse_open_out o;
	uint64_t node, fh;

	to_start(_i == 0 ? WORDS("-o", "writeback") : WORDS("-o", "writeback", "--data-path=forwarded"));
	ck_assert(FS->flags & FUSE_WRITEBACK_CACHE);
	tu_write_file(tu_path(&env, "file"), "x", 1, 0644);
	node = tu_lookup(FS, TU_ROOT, "file");
	fh = tu_open_file(FS, node, O_RDWR | O_DIRECT);
	tu_fill(data, SIZE, 1);
	ck_assert_int_eq(fs_write(FS, node, fh, data, SIZE, AT, O_RDWR | O_DIRECT, FUSE_WRITE_CACHE), SIZE);
	ck_assert_uint_eq(tu_read_file(tu_path(&env, "file"), got, sizeof(got)), AT + SIZE);
	ck_assert_int_eq(memcmp(got + AT, data, SIZE), 0);
	ck_assert_int_eq(fs_read(FS, node, fh, got, SIZE, AT, O_RDWR | O_DIRECT), SIZE);
	ck_assert_int_eq(memcmp(got, data, SIZE), 0);
	ck_ok(fs_create(FS, TU_ROOT, "new", O_RDWR | O_CREAT | O_DIRECT, 0644, &e, &o));
	ck_assert_int_eq(fs_write(FS, e.nodeid, o.fh, data, SIZE, AT, O_RDWR | O_DIRECT, FUSE_WRITE_CACHE), SIZE);
	/* Some file systems take O_DIRECT and do not mind, so look. Both handles are open still. */
	ck_assert_uint_ge(helpers_opened_with(O_RDWR), 2);
	ck_assert_uint_eq(helpers_opened_with(O_DIRECT), 0);
}
END_TEST

START_TEST(no_writeback)
{
	to_start(_i ? WORDS("-o", "no_writeback") : NULL);
	ck_assert(!(FS->flags & FUSE_WRITEBACK_CACHE));
}
END_TEST

START_TEST(xattr_on)
{
	char buf[8];

	to_start(WORDS("-o", "xattr"));
	ck_ok(fs_setxattr(FS, TU_ROOT, "user.a", "v", 1, 0));
	ck_assert_int_eq(fs_getxattr(FS, TU_ROOT, "user.a", buf, 8), 1);
}
END_TEST

START_TEST(xattr_off)
{
	char buf[8];

	to_start(_i ? WORDS("-o", "no_xattr") : NULL);
	/* ENOSYS, so that the guest does not ask again. */
	ck_err2(fs_setxattr(FS, TU_ROOT, "user.a", "v", 1, 0), ENOSYS, EOPNOTSUPP);
	ck_err2(fs_getxattr(FS, TU_ROOT, "user.a", buf, 8), ENOSYS, EOPNOTSUPP);
	ck_err2(fs_getxattr(FS, TU_ROOT, "security.capability", NULL, 0), ENOSYS, EOPNOTSUPP);
	ck_err2(fs_listxattr(FS, TU_ROOT, NULL, 0), ENOSYS, EOPNOTSUPP);
	ck_err2(fs_removexattr(FS, TU_ROOT, "user.a"), ENOSYS, EOPNOTSUPP);
}
END_TEST

static const struct {
	const char *options[3];
	uint64_t flags;	/* of the two lock flags */
} lock_rows[] = {
	{ { NULL }, FUSE_POSIX_LOCKS },
	{ { "-o", "flock" }, FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS },
	{ { "-o", "no_flock" }, FUSE_POSIX_LOCKS },
	{ { "-o", "posix_lock" }, FUSE_POSIX_LOCKS },
	{ { "-o", "no_posix_lock" }, 0 },
	{ { "-o", "no_posix_lock,flock" }, FUSE_FLOCK_LOCKS },
};

START_TEST(locks)
{
	uint64_t both = FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS;
	struct fuse_file_lock lk = { .type = F_WRLCK, .end = 100 };
	uint64_t want = lock_rows[_i].flags;
	uint64_t node, fh;
	int err;

	to_start(lock_rows[_i].options);
	ck_assert_uint_eq(FS->flags & both, want);
	fh = tu_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, 0644, &node);
	err = fs_setlk(FS, FUSE_SETLK, node, fh, 1, &lk, 0);
	if (want & FUSE_POSIX_LOCKS) {
		ck_ok(err);
		ck_err(hostlock_try(tu_path(&env, "file"), HOSTLOCK_POSIX, F_WRLCK, 0, 0), EAGAIN);
	} else {
		/* A guest that was told no and asks all the same gets an error. */
		ck_assert_int_lt(err, 0);
		ck_ok(hostlock_try(tu_path(&env, "file"), HOSTLOCK_POSIX, F_WRLCK, 0, 0));
	}
	err = fs_setlk(FS, FUSE_SETLK, node, fh, 1, &lk, FUSE_LK_FLOCK);
	if (want & FUSE_FLOCK_LOCKS) {
		ck_ok(err);
		ck_err(hostlock_try(tu_path(&env, "file"), HOSTLOCK_FLOCK, F_WRLCK, 0, 0), EAGAIN);
	} else {
		ck_assert_int_lt(err, 0);
		ck_ok(hostlock_try(tu_path(&env, "file"), HOSTLOCK_FLOCK, F_WRLCK, 0, 0));
	}
}
END_TEST

START_TEST(readdirplus)
{
	uint64_t both = FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO;
	struct fuse_open_out o;
	char buf[4096];

	to_start(_i == 0 ? NULL : _i == 1 ? WORDS("-o", "readdirplus") :
					    WORDS("-o", "no_readdirplus"));
	ck_assert_uint_eq(FS->flags & both, _i < 2 ? both : 0);
	ck_ok(fs_opendir(FS, TU_ROOT, O_RDONLY, &o));
	ck_ok(fs_readdir(FS, TU_ROOT, o.fh, 0, buf, sizeof(buf)));
}
END_TEST

static const char *const pool_options[] = { "--thread-pool-size=0", "--thread-pool-size=1",
					    "--thread-pool-size=4", "--thread-pool-size=64" };

START_TEST(thread_pool)
{
	struct fuse_file_lock lk = { .type = F_WRLCK, .end = 100 };
	struct hostlock h;
	uint64_t node, fh;
	struct freq *q;

	to_start(WORDS(pool_options[_i], "-o", "posix_lock"));
	for (int i = 0; i < 20; i++)
		tu_exercise(FS, "work");
	/* A waiting lock holds up nothing even if there is but one thread, or none. */
	fh = tu_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, 0644, &node);
	ck_ok(hostlock_hold(&h, tu_path(&env, "file"), HOSTLOCK_POSIX, F_WRLCK, 0, 0));
	q = fs_setlk_begin(FS, FUSE_SETLKW, node, fh, 1, &lk, 0);
	for (int i = 0; i < 20; i++)
		tu_exercise(FS, "work");
	ck_assert(!q->vq.done);
	hostlock_drop(&h);
	ck_ok(fs_wait(q));
	fs_free(q);
}
END_TEST

/* Tag and queue count, for front ends that take them from the back end. */
START_TEST(configured_tag)
{
	struct __attribute__((packed)) {
		char tag[36];
		uint32_t queues;
	} config;
	uint8_t byte[40];

	to_start(WORDS("--tag=my share"));
	ck_assert(env.dev.offered_proto & VU_BIT(VU_P_CONFIG));
	ck_assert_int_eq(vu_get_config(&env.dev.vu, 0, sizeof(config), &config), 0);
	ck_assert_str_eq(config.tag, "my share");
	for (size_t i = strlen(config.tag); i < sizeof(config.tag); i++)
		ck_assert_int_eq(config.tag[i], 0);
	ck_assert_uint_ge(config.queues, 1);
	/* A count that is worth while on this host, so it may be less than all. */
	ck_assert_uint_le(config.queues + 1, env.dev.queue_num);
	/* As user-mode-linux reads it: from 0, byte by byte more. */
	for (uint32_t n = 1; n <= 40; n++) {
		ck_assert_int_eq(vu_get_config(&env.dev.vu, 0, n, byte), 0);
		ck_assert_int_eq(memcmp(byte, &config, n), 0);
	}
	ck_assert_int_eq(vu_get_config(&env.dev.vu, 36, 4, byte), 0);
	ck_assert_int_eq(memcmp(byte, &config.queues, 4), 0);
	tu_exercise(FS, "file");
}
END_TEST

START_TEST(longest_tag)
{
	static const char tag[] = "123456789012345678901234567890123456";
	char option[64], got[40];

	snprintf(option, sizeof(option), "--tag=%s", tag);
	to_start(WORDS(option));
	ck_assert_int_eq(vu_get_config(&env.dev.vu, 0, 36, got), 0);
	ck_assert_int_eq(memcmp(got, tag, 36), 0);
}
END_TEST

/*
 * Bytes on stderr after a session in which nothing goes wrong. One line does not
 * count: that which says that the socket is there, for managers who wait for it
 * whatever the log level is.
 */
static size_t log_size(const char *const *options)
{
	static const char ready[] = "Waiting for vhost-user socket connection...\n";
	char *text, *line;
	size_t n;

	to_start(options);
	tu_exercise(FS, "file");
	dev_close(&env.dev);
	fs_close(FS);
	env.connected = false;
	ck_assert_int_eq(daemon_wait(&env.d, vuf_timeout_ms()), 0);
	text = daemon_stderr(&env.d);
	n = strlen(text);
	line = strstr(text, ready);
	if (line)
		n -= strlen(ready);
	if (n)
		fprintf(stderr, "said with %s: %s\n", options && options[0] ? options[0] : "no option", text);
	free(text);
	env.running = false;
	daemon_close(&env.d);
	return n;
}

/* How much is said, in order of the levels. */
START_TEST(log_levels)
{
	size_t quiet = log_size(WORDS("-o", "log_level=err"));
	size_t warn = log_size(WORDS("-o", "log_level=warn"));
	size_t info = log_size(WORDS("-o", "log_level=info"));
	size_t plain = log_size(NULL);
	size_t debug = log_size(WORDS("-o", "log_level=debug"));
	size_t d = log_size(WORDS("-d"));
	size_t o_debug = log_size(WORDS("-o", "debug"));

	/* Nothing goes wrong here, so there is nothing to say. */
	ck_assert_uint_eq(quiet, 0);
	ck_assert_uint_eq(warn, 0);
	ck_assert_uint_le(info, debug);
	ck_assert_uint_lt(plain, debug);
	ck_assert_uint_gt(d, info);
	ck_assert_uint_gt(o_debug, info);
}
END_TEST

START_TEST(syslog_is_no_stderr)
{
	ck_assert_uint_eq(log_size(WORDS("--syslog", "-d")), 0);
}
END_TEST

/* Send until nothing more goes. Return how many lines went. */
static int fill_log(const struct sockaddr_un *a)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int n = 0;

	while (sendto(fd, "full", 4, 0, (const struct sockaddr *)a, sizeof(*a)) == 4)
		n++;
	ck_assert_int_eq(errno, EAGAIN);
	close(fd);
	return n;
}

/*
 * A system's log that nobody reads: the daemon loses lines, serves and ends as ever.
 * What such a log takes looks like a record of syslog.
 */
START_TEST(stuck_syslog)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "/dev/log" };
	char line[512];
	ssize_t n;
	int fd;

	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	ck_assert_int_eq(mount("none", "/dev", "tmpfs", 0, NULL), 0);
	ck_assert_int_eq(mknod("/dev/null", S_IFCHR | 0666, makedev(1, 3)), 0);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	/* A sender has a limit of its own, below that of the log perhaps. */
	while (fill_log(&a) > 0)
		;
	ck_assert_uint_eq(log_size(WORDS("--syslog", "-d")), 0);
	while ((n = recv(fd, line, sizeof(line), MSG_DONTWAIT)) > 0)
		ck_assert_msg(n == 4, "%.*s", (int)n, line);
	ck_assert_uint_eq(log_size(WORDS("--syslog", "-d")), 0);
	n = recv(fd, line, sizeof(line) - 1, MSG_DONTWAIT);
	ck_assert_int_gt(n, 0);
	line[n] = '\0';
	ck_assert_msg(line[0] == '<' && strstr(line, " virtiofsd["), "%s", line);
	close(fd);
}
END_TEST

/*
 * A file that the host made after the guest had seen nothing there: the daemon
 * opens it by its name, or with norace has the guest's kernel look again.
 */
START_TEST(norace)
{
	struct fuse_entry_out e;
	struct fuse_open_out o;
	int error;

	to_start(_i == 0 ? WORDS("-f") : WORDS("-o", "norace"));
	tu_write_file(tu_path(&env, "made-by-host"), "x", 1, 0644);
	error = fs_create(FS, TU_ROOT, "made-by-host", O_RDWR | O_CREAT, 0644, &e, &o);
	ck_assert_int_eq(error, _i == 0 ? 0 : -ESTALE);
	ck_ok(fs_create(FS, TU_ROOT, "new", O_RDWR | O_CREAT, 0644, &e, &o));
	ck_err(fs_create(FS, TU_ROOT, "made-by-host", O_RDWR | O_CREAT | O_EXCL, 0644, &e, &o), EEXIST);
}
END_TEST

/* Not root: its kernel checks nothing after CREATE, so what the host made must be looked up first. */
START_TEST(created_by_another)
{
	struct fuse_entry_out e;
	struct fuse_open_out o;

	to_start(NULL);
	ck_assert_int_eq(chmod(env.share, 0777), 0);
	tu_write_file(tu_path(&env, "secret"), "x", 1, 0600);
	FS->uid = FS->gid = 1000;
	ck_err(fs_create(FS, TU_ROOT, "secret", O_RDWR | O_CREAT, 0644, &e, &o), ESTALE);
	ck_ok(fs_create(FS, TU_ROOT, "new", O_RDWR | O_CREAT, 0644, &e, &o));
	ck_err(fs_create(FS, TU_ROOT, "new", O_RDWR | O_CREAT | O_EXCL, 0644, &e, &o), EEXIST);
}
END_TEST

/* As libvirt writes it: up to version 9 in one list, later in options of their own. */
START_TEST(as_libvirt)
{
	char buf[8];

	to_start(_i == 0 ? WORDS("--thread-pool-size=16", "-o", "cache=always,sandbox=namespace,xattr,flock,posix_lock") :
			   WORDS("--cache=always", "--sandbox=namespace", "--xattr", "--thread-pool-size=16",
				 "--log-level=debug"));
	ck_ok(fs_setxattr(FS, TU_ROOT, "user.a", "v", 1, 0));
	ck_assert_int_eq(fs_getxattr(FS, TU_ROOT, "user.a", buf, 8), 1);
}
END_TEST

/* Accepted for the sake of old command lines. */
START_TEST(compatibility)
{
	to_start(_i == 0 ? WORDS("-f") : WORDS("-o", "xattr", "-o", "flock,no_posix_lock", "-o", "timeout=3,no_writeback"));
	if (_i == 1) {
		struct fuse_entry_out e;

		ck_assert(FS->flags & FUSE_FLOCK_LOCKS);
		ck_assert(!(FS->flags & FUSE_POSIX_LOCKS));
		ck_ok(fs_setxattr(FS, TU_ROOT, "user.a", "v", 1, 0));
		ck_ok(fs_mkdir(FS, TU_ROOT, "d", 0755, &e));
		ck_assert_uint_eq(e.entry_valid, 3);
	}
	tu_exercise(FS, "file");
}
END_TEST

/* A listening socket is inherited; it is not ours to remove. */
START_TEST(inherited_socket)
{
	const char *argv[TU_MAX_WORDS];
	struct daemon_args args = { .words = argv, .dir = env.share, .pass_as = 17 };
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	unsigned int n = 0;

	args.pass_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	strcpy(sa.sun_path, env.socket);
	ck_assert_int_eq(bind(args.pass_fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(args.pass_fd, 1), 0);
	argv[n++] = tu_program();
	for (unsigned int i = 0; tu_extra()[i]; i++)
		argv[n++] = tu_extra()[i];
	argv[n++] = "--fd=17";
	argv[n++] = "-o";
	argv[n++] = "source={dir}";
	argv[n] = NULL;
	ck_ok(daemon_start(&env.d, &args));
	close(args.pass_fd);
	env.running = true;
	tu_open(&env, NULL);
	tu_init(&env);
	tu_exercise(FS, "file");
	tu_stop(&env);
	ck_assert_int_eq(access(env.socket, F_OK), 0);
}
END_TEST

START_TEST(version_and_help)
{
	static const char *const in_help[] = { "--socket-path", "--fd", "--thread-pool-size", "--cache",
					       "--syslog", "--tag", "source", "xattr", "flock",
					       "posix_lock", "readdirplus", "timeout", "writeback",
					       "log_level", "propagate-mounts" };
	char *err, *out;

	ck_assert_int_eq(to_run(WORDS(_i & 1 ? "-V" : "--version"), &err, &out), 0);
	ck_assert_str_eq(err, "");
	ck_assert_ptr_nonnull(strstr(out, "virtiofsd"));
	free(err);
	free(out);
	ck_assert_int_eq(to_run(WORDS(_i & 1 ? "-h" : "--help"), &err, &out), 0);
	ck_assert_str_eq(err, "");
	for (size_t i = 0; i < sizeof(in_help) / sizeof(in_help[0]); i++)
		ck_assert_msg(strstr(out, in_help[i]) != NULL, "no %s in the help", in_help[i]);
	free(err);
	free(out);
}
END_TEST

/**
 * effects_case() - What each option does
 *
 * Return: the test case
 */
TCase *effects_case(void)
{
	TCase *tc = tcase_create("effects");

	tcase_add_loop_test(tc, caching, 0, N_CACHE_ROWS);
	tcase_add_test(tc, writeback);
	tcase_add_loop_test(tc, writeback_through_direct, 0, 2);
	tcase_add_loop_test(tc, no_writeback, 0, 2);
	tcase_add_test(tc, xattr_on);
	tcase_add_loop_test(tc, xattr_off, 0, 2);
	tcase_add_loop_test(tc, locks, 0, 6);
	tcase_add_loop_test(tc, readdirplus, 0, 3);
	tcase_add_loop_test(tc, thread_pool, 0, 4);
	tcase_add_test(tc, configured_tag);
	tcase_add_test(tc, longest_tag);
	tcase_add_test(tc, log_levels);
	tcase_add_loop_test(tc, as_libvirt, 0, 2);
	tcase_add_test(tc, syslog_is_no_stderr);
	tcase_add_test(tc, stuck_syslog);
	tcase_add_loop_test(tc, compatibility, 0, 2);
	tcase_add_loop_test(tc, norace, 0, 2);
	tcase_add_test(tc, created_by_another);
	tcase_add_test(tc, inherited_socket);
	tcase_add_loop_test(tc, version_and_help, 0, 2);
	return tc;
}
