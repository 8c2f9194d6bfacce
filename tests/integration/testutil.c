/*
 * What all integration tests share.
 *
 * The daemon comes from the environment: VIRTIOFSD is its path (default: the
 * one in the build tree), VIRTIOFSD_ARGS are words to add to its command line.
 * Each test has a directory of its own; the whole lot is removed at the end,
 * from the process that Check's per-test processes cannot take down.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "testutil.h"

#define BUILD_TREE "../../src/"
#define SKIP 77

static char top_dir[PATH_MAX];
static char program[PATH_MAX];
static const char *extra[TU_MAX_WORDS / 2];
static char extra_text[4 * PATH_MAX];
static size_t extra_used;	/* of the text, words and their ends */

/* The environment whose daemon was started last: see tu_error(). */
static struct env *current;

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	if (type == FTW_DP)
		rmdir(path);
	else
		unlink(path);
	return 0;
}

static void remove_tree(const char *path)
{
	nftw(path, remove_entry, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static void add_extra(const char *words)
{
	unsigned int n = 0;
	size_t at = extra_used, len = strlen(words) + 1;

	if (len > sizeof(extra_text) - at)
		return;
	memcpy(extra_text + at, words, len);
	extra_used += len;
	while (extra[n])
		n++;
	for (char *w = strtok(extra_text + at, " "); w; w = strtok(NULL, " "))
		if (n + 1 < sizeof(extra) / sizeof(extra[0]))
			extra[n++] = w;
}

/* Run from the build tree, the monitor must be told where its helpers are. */
static void add_helper(const char *role)
{
	char path[PATH_MAX], real[PATH_MAX], option[PATH_MAX + 64];

	snprintf(path, sizeof(path), BUILD_TREE "%s/virtiofsd-%s", role, role);
	if (!realpath(path, real))
		return;
	snprintf(option, sizeof(option), "--%s-path=%s", role, real);
	add_extra(option);
}

/**
 * tu_helper() - The executable of one of the daemon's other processes
 * @role:	Which
 *
 * Return: its path, to be used before the next call
 */
const char *tu_helper(const char *role)
{
	static char path[PATH_MAX + 32];
	char option[64], *slash;
	size_t len = (size_t)snprintf(option, sizeof(option), "--%s-path=", role);

	for (unsigned int i = 0; extra[i]; i++)
		if (!strncmp(extra[i], option, len))
			return extra[i] + len;
	/* Installed, they lie side by side. */
	slash = strrchr(program, '/');
	snprintf(path, sizeof(path), "%.*s/virtiofsd-%s", (int)(slash - program), program, role);
	return path;
}

/**
 * tu_set_helper() - Let another executable be that of a process of the daemon, in this test
 * @role:	Which
 * @path:	Executable, kept
 */
void tu_set_helper(const char *role, const char *path)
{
	static char option[PATH_MAX + 64];
	size_t len = (size_t)snprintf(option, sizeof(option), "--%s-path=", role);
	unsigned int i = 0;

	while (extra[i] && strncmp(extra[i], option, len))
		i++;
	snprintf(option + len, sizeof(option) - len, "%s", path);
	if (i + 1 < sizeof(extra) / sizeof(extra[0]))
		extra[i] = option;
}

static int find_daemon(void)
{
	const char *path = getenv("VIRTIOFSD");
	const char *args = getenv("VIRTIOFSD_ARGS");

	if (!path || !*path) {
		path = BUILD_TREE "monitor/virtiofsd";
		add_helper("transport");
		add_helper("fsworker");
		add_helper("keeper");
	}
	if (args)
		add_extra(args);
	if (!realpath(path, program) || access(program, X_OK)) {
		fprintf(stderr, "no daemon to test at %s: set VIRTIOFSD\n", path);
		return -1;
	}
	return 0;
}

/**
 * tu_main() - main() of a test program
 * @argc:	Its argument count
 * @argv:	Its arguments: names of test cases to run, or none for all
 * @make:	Makes the suite
 *
 * Return: exit status: 0, 1, or 77 when the tests cannot run here
 */
int tu_main(int argc, char **argv, Suite *(*make)(void))
{
	const char *tmp = getenv("TMPDIR");
	SRunner *runner;
	int failed = 0;

	if (geteuid() != 0) {
		puts("SKIP: virtiofsd must be started by root");
		return SKIP;
	}
	if (find_daemon())
		return 1;
	signal(SIGPIPE, SIG_IGN);
	umask(022);
	snprintf(top_dir, sizeof(top_dir), "%s/vuf.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(top_dir)) {
		perror(top_dir);
		return 1;
	}
	/* The daemon's unprivileged processes must reach nothing through it. */
	if (chmod(top_dir, 0711))
		perror(top_dir);
	runner = srunner_create(make());
	srunner_set_fork_status(runner, getenv("CK_FORK") ? CK_FORK_GETENV : CK_FORK);
	if (argc < 2) {
		srunner_run_all(runner, CK_NORMAL);
	} else {
		for (int i = 1; i < argc; i++)
			srunner_run(runner, NULL, argv[i], CK_NORMAL);
	}
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	remove_tree(top_dir);
	return failed ? 1 : 0;
}

const char *tu_program(void)
{
	return program;
}

const char *const *tu_extra(void)
{
	return extra;
}

static void print_log(struct env *e)
{
	char *text;

	/* If it is dying, its last words are worth a moment. */
	daemon_wait(&e->d, 1000);
	text = daemon_stderr(&e->d);
	if (*text)
		fprintf(stderr, "--- the daemon said:\n%s---\n", text);
	free(text);
}

/**
 * tu_error() - A result in words
 * @r:	Result of a call
 *
 * A failure of the front end is most often the daemon's death, so what the
 * daemon said is shown as well.
 *
 * Return: name of the errno, or the number
 */
const char *tu_error(long long r)
{
	static char text[64];
	const char *name = r < 0 && r > -4096 ? strerrorname_np((int)-r) : NULL;

	if (current && (getenv("TU_LOG") || r == FS_BROKEN || r == -ECONNRESET || r == -EPIPE || r == -ECHILD))
		print_log(current);
	if (name)
		return name;
	if (r == FS_BROKEN)
		return "front end failed (see stderr)";
	snprintf(text, sizeof(text), "result %lld", r);
	return text;
}

/**
 * tu_setup() - Make this test's directory
 * @e:	Filled in
 */
void tu_setup(struct env *e)
{
	memset(e, 0, sizeof(*e));
	e->d.pidfd = e->d.err_fd = e->d.out_fd = -1;
	e->dev.vu.fd = -1;
	ck_assert_int_lt(snprintf(e->dir, sizeof(e->dir), "%s/XXXXXX", top_dir), sizeof(e->dir));
	ck_assert_msg(mkdtemp(e->dir) != NULL, "mkdtemp: %s", strerror(errno));
	ck_assert_int_eq(chmod(e->dir, 0711), 0);
	ck_assert_int_lt(snprintf(e->share, sizeof(e->share), "%s/share", e->dir),
			 sizeof(e->share));
	ck_assert_int_eq(mkdir(e->share, 0777), 0);
	ck_assert_int_eq(chmod(e->share, 0777), 0);
	ck_assert_int_lt(snprintf(e->socket, sizeof(e->socket), "%s/sock", e->dir),
			 sizeof(e->socket));
}

/**
 * tu_teardown() - End the daemon, which must not have died, and clean up
 * @e:	Environment
 */
void tu_teardown(struct env *e)
{
	if (e->running)
		tu_stop(e);
	remove_tree(e->dir);
}

/**
 * tu_path() - Host path of something in the share
 * @e:		Environment
 * @name:	Path relative to the share
 *
 * Return: a path that stays valid for the next seven calls
 */
const char *tu_path(const struct env *e, const char *name)
{
	static char paths[8][PATH_MAX];
	static unsigned int next;
	char *p = paths[next++ & 7];

	ck_assert_int_lt(snprintf(p, PATH_MAX, "%s/%s", e->share, name), PATH_MAX);
	return p;
}

/**
 * tu_daemon() - Start the daemon on this test's share
 * @e:		Environment
 * @options:	Words to add, NULL-terminated, or NULL
 */
void tu_daemon(struct env *e, const char *const *options)
{
	static const char *const base[] = { "--socket-path={socket}", "-o", "source={dir}" };
	struct daemon_args args = {
		.words = e->words,
		.socket = e->socket,
		.dir = e->share,
		.pass_fd = -1,
	};
	unsigned int n = 0;

	e->words[n++] = program;
	for (unsigned int i = 0; i < 3; i++)
		e->words[n++] = base[i];
	for (unsigned int i = 0; extra[i]; i++)
		e->words[n++] = extra[i];
	for (unsigned int i = 0; options && options[i] && n + 1 < TU_MAX_WORDS; i++)
		e->words[n++] = options[i];
	e->words[n] = NULL;
	ck_ok(daemon_start(&e->d, &args));
	e->running = true;
	current = e;
}

/**
 * tu_open() - Connect to the running daemon and start the device
 * @e:		Environment
 * @cfg:	How
 */
void tu_open(struct env *e, const struct dev_config *cfg)
{
	static const struct dev_config plain;
	int fd = daemon_connect(&e->d, e->socket);

	ck_ok(fd);
	e->connected = true;
	ck_ok(dev_open(&e->dev, fd, cfg ? cfg : &plain));
	fs_init(&e->fs, &e->dev);
}

/**
 * tu_init() - Begin a FUSE session as a new Linux guest does
 * @e:	Environment
 */
void tu_init(struct env *e)
{
	/* ACLs change what the server does with modes; tests ask for it by name. */
	ck_ok(fs_start(&e->fs, 45, FS_GUEST_FLAGS & ~(uint64_t)FUSE_POSIX_ACL));
}

void tu_start(struct env *e, const char *const *options, const struct dev_config *cfg)
{
	tu_daemon(e, options);
	tu_open(e, cfg);
	tu_init(e);
}

/**
 * tu_expect_exit() - The daemon must end now, and with this status
 * @e:		Environment
 * @status:	Exit status
 */
void tu_expect_exit(struct env *e, int status)
{
	int r = daemon_wait(&e->d, vuf_timeout_ms());

	if (r != status)
		print_log(e);
	ck_assert_msg(r == status, "daemon ended with %d (256+n: signal n), expected %d", r, status);
	e->running = false;
}

/* Where processes of the daemon are made to die (crashpoints.sh, by $TU_DEATHS): each death that was survived is a byte in that
 * file, and nothing may have been lost. */
static void note_deaths(struct env *e)
{
	const char *path = getenv("TU_DEATHS");
	char *text = path ? daemon_stderr(&e->d) : NULL;
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;

	for (const char *at = text; fd >= 0 && at && (at = strstr(at, "took over after")) != NULL; at++)
		ck_assert_int_eq(write(fd, "x", 1), 1);
	ck_assert_msg(!text || !strstr(text, " were lost"), "%s", text);
	free(text);
	if (fd >= 0)
		close(fd);
}

/**
 * tu_stop() - Hang up; the daemon must exit with 0
 * @e:	Environment
 */
void tu_stop(struct env *e)
{
	if (e->connected) {
		dev_close(&e->dev);
		fs_close(&e->fs);
		e->connected = false;
		tu_expect_exit(e, 0);
	}
	note_deaths(e);
	e->running = false;
	daemon_close(&e->d);
}

/**
 * tu_write_file() - Make a file on the host
 * @path:	Where
 * @data:	Contents
 * @len:	Their length
 * @mode:	Mode, regardless of the umask
 */
void tu_write_file(const char *path, const void *data, size_t len, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
	ck_assert_int_eq(write(fd, data, len), (ssize_t)len);
	ck_assert_int_eq(fchmod(fd, mode), 0);
	close(fd);
}

/**
 * tu_read_file() - Read a file on the host
 * @path:	Where
 * @data:	Buffer
 * @room:	Its size
 *
 * Return: bytes read
 */
size_t tu_read_file(const char *path, void *data, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
	n = read(fd, data, room);
	close(fd);
	ck_assert_int_ge(n, 0);
	return (size_t)n;
}

/**
 * tu_fill() - Fill a buffer with bytes that tell where they belong
 * @buf:	Buffer
 * @len:	Its length
 * @seed:	What distinguishes this buffer from others
 */
void tu_fill(void *buf, size_t len, uint64_t seed)
{
	uint8_t *p = buf;
	uint64_t x = seed * 0x9e3779b97f4a7c15ull + 1;

	for (size_t i = 0; i < len; i++) {
		if (!(i & 7)) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
		}
		p[i] = (uint8_t)(x >> ((i & 7) * 8));
	}
}

uint64_t tu_lookup(struct fs *fs, uint64_t parent, const char *name)
{
	struct fuse_entry_out out;

	ck_ok(fs_lookup(fs, parent, name, &out));
	ck_assert_uint_ne(out.nodeid, 0);
	return out.nodeid;
}

uint64_t tu_open_file(struct fs *fs, uint64_t node, uint32_t flags)
{
	struct fuse_open_out out;

	ck_ok(fs_open(fs, node, flags, &out));
	return out.fh;
}

uint64_t tu_create(struct fs *fs, uint64_t parent, const char *name, uint32_t flags,
		   uint32_t mode, uint64_t *node)
{
	struct fuse_entry_out entry;
	struct fuse_open_out open;

	ck_ok(fs_create(fs, parent, name, flags, mode, &entry, &open));
	*node = entry.nodeid;
	return open.fh;
}

/**
 * tu_exercise() - A short piece of real work on the client's queue
 * @fs:		Client
 * @name:	Of a file that this makes and removes
 *
 * Requests are cut to fit the smallest rings: chains are no longer than a ring.
 */
void tu_exercise(struct fs *fs, const char *name)
{
	static uint8_t out[20000], in[20000];
	uint32_t old_chunk = fs->chunk;
	struct fuse_attr_out a;
	struct fuse_entry_out e;
	uint64_t node, fh;

	if (fs->dev->rings[fs->queue].size < 16)
		fs->chunk = UINT32_MAX;
	fh = tu_create(fs, TU_ROOT, name, O_RDWR | O_CREAT | O_EXCL, 0644, &node);
	tu_fill(out, sizeof(out), (uint64_t)(uintptr_t)name + fs->queue);
	ck_assert_int_eq(fs_write(fs, node, fh, out, sizeof(out), 123, O_RDWR, 0), sizeof(out));
	ck_assert_int_eq(fs_read(fs, node, fh, in, sizeof(in), 123, O_RDWR), sizeof(in));
	ck_assert_int_eq(memcmp(in, out, sizeof(in)), 0);
	ck_ok(fs_getattr(fs, node, NULL, &a));
	ck_assert_uint_eq(a.attr.size, 123 + sizeof(out));
	ck_ok(fs_release(fs, node, fh, O_RDWR, 0, 0));
	ck_ok(fs_lookup(fs, TU_ROOT, name, &e));
	ck_assert_uint_eq(e.nodeid, node);
	ck_ok(fs_unlink(fs, TU_ROOT, name));
	ck_ok(fs_forget(fs, node, 2));
	fs->chunk = old_chunk;
}
