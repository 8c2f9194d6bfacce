/*
 * crashwork - work in the guest that notices whether anything was lost, done twice, or late, while
 * processes of the daemon die on the host. It goes on until the file STOP exists.
 *
 * crashwork pause FOLDER STOP        asks for names that are nowhere, writes and reads a file, and
 *                                    prints how long that took at most: "PAUSE WHAT OPERATIONS
 *                                    LONGEST_MS OVER_100_MS OVER_1000_MS"
 * crashwork locks FOLDER STOP        locks of all kinds are held from the beginning to the end, tried by
 *                                    others meanwhile, waited for, and granted in the end; another
 *                                    one is passed on among processes that count
 * crashwork names FOLDER STOP SEED   makes, links, renames, changes and removes what only it knows of,
 *                                    and is told each time what its model says
 * Ends with 0, or with 1 and what was wrong.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096, SLOTS = 20, RECORD = 16, COUNTERS = 3, DIGITS = 10 };

static const char *stop_file;

__attribute__((format(printf, 1, 2), noreturn)) static void lose(const char *format, ...)
{
	int saved = errno;
	va_list args;

	fputs("crashwork: ", stdout);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf(" (errno: %s)\n", strerror(saved));
	exit(1);
}

static bool goes_on(void)
{
	return access(stop_file, F_OK) != 0;
}

static double milliseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void sleep_ms(long ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* ------------------------------------------------------------------- pause */

struct meter {
	const char *what;
	unsigned long count, over_100, over_1000;
	double longest;
};

static void note(struct meter *m, double began)
{
	double ms = milliseconds() - began;

	m->count++;
	m->over_100 += ms > 100;
	m->over_1000 += ms > 1000;
	if (ms > m->longest)
		m->longest = ms;
}

static void print_meter(const struct meter *m)
{
	printf("PAUSE %s %lu %.0f %lu %lu\n", m->what, m->count, m->longest, m->over_100, m->over_1000);
}

static int measure(void)
{
	struct meter name = { .what = "name" }, data = { .what = "data" };
	uint8_t *out = aligned_alloc(BLOCK, BLOCK), *in = aligned_alloc(BLOCK, BLOCK);
	/* Past the guest's cache, if that can be. */
	int fd = open("meter", O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0644);

	if (fd < 0)
		fd = open("meter", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || out == NULL || in == NULL)
		lose("meter");
	for (unsigned long i = 0; goes_on(); i++) {
		char absent[32];
		struct stat st;
		double began = milliseconds();

		snprintf(absent, sizeof(absent), "absent-%lu", i);
		if (stat(absent, &st) == 0 || errno != ENOENT)
			lose("stat of a name that is nowhere");
		note(&name, began);
		memset(out, (int)(i % 251) + 1, BLOCK);
		began = milliseconds();
		if (pwrite(fd, out, BLOCK, 0) != BLOCK)
			lose("write");
		if (pread(fd, in, BLOCK, 0) != BLOCK)
			lose("read");
		note(&data, began);
		if (memcmp(in, out, BLOCK) != 0)
			lose("what was read is not what was written, round %lu", i);
		sleep_ms(5);
	}
	print_meter(&name);
	print_meter(&data);
	return 0;
}

/* ------------------------------------------------------------------- locks */

enum kind { FLOCK, POSIX, OFD, KINDS };
static const char *const kind_name[KINDS] = { "flock", "posix", "ofd" };

static struct shared {
	int held;     /* holders that have their lock */
	int released; /* holders that are about to give it up */
	int granted;  /* those who waited and have it */
	long counted[COUNTERS];
} *shared;

static bool take(int fd, enum kind kind, bool wait)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int command;

	if (kind == FLOCK)
		return flock(fd, wait ? LOCK_EX : LOCK_EX | LOCK_NB) == 0;
	if (kind == POSIX)
		command = wait ? F_SETLKW : F_SETLK;
	else
		command = wait ? F_OFD_SETLKW : F_OFD_SETLK;
	return fcntl(fd, command, &lock) == 0;
}

static void drop(int fd, enum kind kind)
{
	struct flock lock = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	if (kind == FLOCK ? flock(fd, LOCK_UN) : fcntl(fd, kind == POSIX ? F_SETLK : F_OFD_SETLK, &lock))
		lose("unlock of a %s lock", kind_name[kind]);
}

static int open_lock(enum kind kind)
{
	char path[32];

	snprintf(path, sizeof(path), "lock-%s", kind_name[kind]);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		lose("%s", path);
	return fd;
}

static int hold(enum kind kind)
{
	int fd = open_lock(kind);

	if (!take(fd, kind, false))
		lose("first %s lock", kind_name[kind]);
	__atomic_add_fetch(&shared->held, 1, __ATOMIC_SEQ_CST);
	while (goes_on())
		sleep_ms(200);
	/* Give those who wait no doubt that they had to. */
	__atomic_or_fetch(&shared->released, 1 << kind, __ATOMIC_SEQ_CST);
	drop(fd, kind);
	return 0;
}

static int wait_for(enum kind kind)
{
	int fd = open_lock(kind);

	if (!take(fd, kind, true))
		lose("wait for a %s lock", kind_name[kind]);
	if ((__atomic_load_n(&shared->released, __ATOMIC_SEQ_CST) & 1 << kind) == 0)
		lose("a %s lock was granted while another had it", kind_name[kind]);
	__atomic_add_fetch(&shared->granted, 1, __ATOMIC_SEQ_CST);
	drop(fd, kind);
	return 0;
}

static void still_held(int fd, enum kind kind)
{
	bool ok = take(fd, kind, false);
	int err = errno;

	if ((__atomic_load_n(&shared->released, __ATOMIC_SEQ_CST) & 1 << kind) != 0) {
		if (ok)
			drop(fd, kind);
		return;
	}
	errno = err;
	if (ok)
		lose("a %s lock is not held any more", kind_name[kind]);
	if (err != EAGAIN && err != EACCES)
		lose("try of a %s lock", kind_name[kind]);
}

static int try_them(enum kind unused)
{
	int fds[KINDS];

	(void)unused;
	for (enum kind kind = 0; kind < KINDS; kind++)
		fds[kind] = open_lock(kind);
	while (goes_on()) {
		for (enum kind kind = 0; kind < KINDS; kind++)
			still_held(fds[kind], kind);
		sleep_ms(20);
	}
	return 0;
}

/* A number of fixed length, read and written under a lock of one kind. */
static int count(enum kind kind)
{
	char path[32], text[DIGITS + 1] = "";

	snprintf(path, sizeof(path), "count-%s", kind_name[kind]);
	while (goes_on()) {
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

		if (fd < 0 || !take(fd, kind, true))
			lose("lock of %s", path);
		/* With O_DIRECT nobody's cache is asked. */
		int data = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
		bool direct = data >= 0;

		if (!direct)
			data = fd;
		static _Alignas(BLOCK) char block[BLOCK];
		ssize_t n = direct ? pread(data, block, BLOCK, 0) : pread(data, block, DIGITS, 0);
		if (n < 0)
			lose("read of %s", path);
		snprintf(text, sizeof(text), "%010lu",
			 (n < DIGITS ? 0 : strtoul(block, NULL, 10) % 1000000000) + 1);
		memset(block, 0, sizeof(block));
		memcpy(block, text, DIGITS);
		n = direct ? BLOCK : DIGITS;
		if (pwrite(data, block, (size_t)n, 0) != n)
			lose("write of %s", path);
		__atomic_add_fetch(&shared->counted[kind], 1, __ATOMIC_SEQ_CST);
		/* A POSIX lock ends with the first close. */
		drop(fd, kind);
		if (direct)
			close(data);
		close(fd);
		sleep_ms(10);
	}
	return 0;
}

static void start(int (*what)(enum kind), enum kind kind)
{
	pid_t pid = fork();

	if (pid < 0)
		lose("fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		int status = what(kind);
		fflush(stdout);
		_exit(status);
	}
}

static void check_count(enum kind kind)
{
	char path[32], text[DIGITS + 1] = "";

	snprintf(path, sizeof(path), "count-%s", kind_name[kind]);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || pread(fd, text, DIGITS, 0) < 0)
		lose("%s", path);
	close(fd);
	errno = 0;
	if (strtol(text, NULL, 10) != shared->counted[kind])
		lose("%s says %s, but %ld times one was added under its lock", path, text, shared->counted[kind]);
}

static int locks(void)
{
	int status, failed = 0;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		lose("memory");
	for (enum kind kind = 0; kind < KINDS; kind++)
		start(hold, kind);
	while (__atomic_load_n(&shared->held, __ATOMIC_SEQ_CST) < KINDS) {
		if (waitpid(-1, &status, WNOHANG) > 0)
			return 1;
		sleep_ms(10);
	}
	for (enum kind kind = 0; kind < KINDS; kind++) {
		start(wait_for, kind);
		start(count, kind);
		start(count, kind);
	}
	start(try_them, 0);
	while (wait(&status) > 0)
		failed |= status;
	if (failed != 0)
		return 1;
	if (shared->granted != KINDS)
		lose("%d of %d who waited have got their lock", shared->granted, KINDS);
	for (enum kind kind = 0; kind < KINDS; kind++)
		check_count(kind);
	printf("crashwork: locks: passed on %ld, %ld and %ld times\n", shared->counted[FLOCK], shared->counted[POSIX],
	       shared->counted[OFD]);
	return 0;
}

/* ------------------------------------------------------------------- names */

enum type { IS_FILE, IS_FOLDER, IS_LINK, IS_FIFO };

struct object {
	enum type type;
	unsigned number, names, records, value;
};

static struct object *slot[SLOTS];
static unsigned last_number;
static bool no_xattrs;
static uint64_t random_state;

static unsigned below(unsigned bound)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (unsigned)((random_state * UINT64_C(0x2545f4914f6cdd1d)) >> 33) % bound;
}

static char *name_of(unsigned s)
{
	static char names[SLOTS][8];

	snprintf(names[s], sizeof(names[s]), "n%u", s);
	return names[s];
}

static void must(bool ok, const char *what, unsigned s)
{
	if (!ok)
		lose("%s %s", what, name_of(s));
}

static void must_fail(int ret, int err, const char *what, unsigned s)
{
	if (ret >= 0 || errno != err)
		lose("%s %s: returned %d, should fail with %s", what, name_of(s), ret, strerror(err));
}

static void lose_name(unsigned s)
{
	if (--slot[s]->names == 0)
		free(slot[s]);
	slot[s] = NULL;
}

static void make(unsigned s)
{
	struct object *o;
	char target[32];
	int fd;

	if (slot[s] != NULL) {
		must_fail(mkdir(name_of(s), 0755), EEXIST, "mkdir", s);
		must_fail(open(name_of(s), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644), EEXIST, "create", s);
		return;
	}
	o = calloc(1, sizeof(*o));
	if (o == NULL)
		lose("memory");
	o->number = ++last_number;
	o->names = 1;
	o->type = below(2) == 0 ? IS_FILE : IS_FOLDER + below(3);
	switch (o->type) {
	case IS_FILE:
		fd = open(name_of(s), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		must(fd >= 0, "create", s);
		close(fd);
		break;
	case IS_FOLDER:
		must(mkdir(name_of(s), 0755) == 0, "mkdir", s);
		break;
	case IS_LINK:
		snprintf(target, sizeof(target), "target-%u", o->number);
		must(symlink(target, name_of(s)) == 0, "symlink", s);
		break;
	case IS_FIFO:
		must(mkfifo(name_of(s), 0644) == 0, "mkfifo", s);
		break;
	}
	slot[s] = o;
}

static void rid(unsigned s)
{
	if (slot[s] == NULL) {
		must_fail(unlink(name_of(s)), ENOENT, "unlink", s);
		return;
	}
	if (slot[s]->type == IS_FOLDER)
		must(rmdir(name_of(s)) == 0, "rmdir", s);
	else
		must(unlink(name_of(s)) == 0, "unlink", s);
	lose_name(s);
}

static void add_link(unsigned s)
{
	unsigned to = below(SLOTS);

	if (slot[s] == NULL || slot[s]->type == IS_FOLDER)
		return;
	if (slot[to] != NULL) {
		must_fail(link(name_of(s), name_of(to)), EEXIST, "link", s);
		return;
	}
	must(link(name_of(s), name_of(to)) == 0, "link", s);
	slot[s]->names++;
	slot[to] = slot[s];
}

static int rename_with(unsigned s, unsigned to, unsigned flags)
{
	return renameat2(AT_FDCWD, name_of(s), AT_FDCWD, name_of(to), flags);
}

static void move(unsigned s)
{
	unsigned to = below(SLOTS);
	struct object *o = slot[s];

	if (o == NULL || s == to)
		return;
	if (slot[to] == NULL) {
		must(rename_with(s, to, below(2) == 0 ? 0 : RENAME_NOREPLACE) == 0, "rename", s);
	} else if (below(3) == 0) {
		must_fail(rename_with(s, to, RENAME_NOREPLACE), EEXIST, "rename", s);
		return;
	} else if (below(2) == 0) {
		must(rename_with(s, to, RENAME_EXCHANGE) == 0, "exchange", s);
		slot[s] = slot[to];
		slot[to] = o;
		return;
	} else if (slot[to] != o && (slot[to]->type == IS_FOLDER) == (o->type == IS_FOLDER)) {
		must(rename_with(s, to, 0) == 0, "rename", s);
		lose_name(to);
	} else {
		return;
	}
	slot[to] = o;
	slot[s] = NULL;
}

static void record_of(const struct object *o, unsigned n, char *text)
{
	char line[RECORD + 1];

	snprintf(line, sizeof(line), "%06u %08u\n", o->number % 1000000, n % 100000000);
	memcpy(text, line, RECORD);
}

static void append(unsigned s)
{
	struct object *o = slot[s];
	char text[RECORD];

	if (o == NULL || o->type != IS_FILE)
		return;
	int fd = open(name_of(s), O_WRONLY | O_APPEND | O_CLOEXEC);
	must(fd >= 0, "open", s);
	for (unsigned i = below(4) + 1; i > 0; i--) {
		record_of(o, o->records++, text);
		must(write(fd, text, RECORD) == RECORD, "append to", s);
	}
	must(close(fd) == 0, "close", s);
}

static void set_xattr(unsigned s)
{
	struct object *o = slot[s];
	char text[16];

	if (no_xattrs || o == NULL || o->type == IS_LINK || o->type == IS_FIFO)
		return;
	if (o->value != 0 && below(3) == 0) {
		must(removexattr(name_of(s), "user.crash") == 0, "removexattr", s);
		o->value = 0;
		return;
	}
	if (o->value != 0 && below(2) == 0) {
		must_fail(setxattr(name_of(s), "user.crash", "x", 1, XATTR_CREATE), EEXIST, "setxattr", s);
		return;
	}
	snprintf(text, sizeof(text), "%015u", o->value + 1);
	if (setxattr(name_of(s), "user.crash", text, 15, o->value != 0 ? XATTR_REPLACE : XATTR_CREATE) == 0)
		o->value++;
	else if (errno == EOPNOTSUPP)
		no_xattrs = true;
	else
		lose("setxattr %s", name_of(s));
}

static void check_contents(unsigned s)
{
	struct object *o = slot[s];
	char want[RECORD], got[RECORD];
	int fd = open(name_of(s), O_RDONLY | O_CLOEXEC);

	must(fd >= 0, "open", s);
	for (unsigned i = 0; i < o->records; i++) {
		record_of(o, i, want);
		if (pread(fd, got, RECORD, (off_t)i * RECORD) != RECORD || memcmp(got, want, RECORD) != 0)
			lose("%s: record %u is '%.*s', should be '%.*s'", name_of(s), i, RECORD - 1, got, RECORD - 1, want);
	}
	close(fd);
}

static void look(unsigned s)
{
	static const mode_t type[] = { S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO };
	struct object *o = slot[s];
	char text[64], want[32];
	struct stat st;

	if (o == NULL) {
		must_fail(lstat(name_of(s), &st), ENOENT, "lstat", s);
		return;
	}
	must(lstat(name_of(s), &st) == 0, "lstat", s);
	errno = 0;
	if ((st.st_mode & S_IFMT) != type[o->type] || (o->type != IS_FOLDER && st.st_nlink != o->names))
		lose("%s: mode 0%o, %u links, should be 0%o, %u", name_of(s), (unsigned)st.st_mode, (unsigned)st.st_nlink,
		     (unsigned)type[o->type], o->names);
	if (o->type == IS_FILE && st.st_size != (off_t)o->records * RECORD)
		lose("%s: %jd bytes, should be %u records of %d", name_of(s), (intmax_t)st.st_size, o->records, RECORD);
	if (o->type == IS_LINK) {
		snprintf(want, sizeof(want), "target-%u", o->number);
		ssize_t n = readlink(name_of(s), text, sizeof(text) - 1);
		must(n == (ssize_t)strlen(want) && memcmp(text, want, (size_t)n) == 0, "readlink", s);
	}
	if (o->value != 0) {
		must(getxattr(name_of(s), "user.crash", text, sizeof(text)) == 15, "getxattr", s);
		text[15] = '\0';
		must(strtoul(text, NULL, 10) == o->value, "value of the attribute of", s);
	}
}

static void list(unsigned unused)
{
	unsigned here = 0, there = 0;
	DIR *dir = opendir(".");

	(void)unused;
	if (dir == NULL)
		lose("opendir");
	errno = 0;
	for (struct dirent *d; (d = readdir(dir)) != NULL;) {
		unsigned s;

		if (d->d_name[0] == '.')
			continue;
		there++;
		if (sscanf(d->d_name, "n%u", &s) != 1 || s >= SLOTS || slot[s] == NULL)
			lose("the folder has %s", d->d_name);
	}
	if (errno != 0)
		lose("readdir");
	closedir(dir);
	for (unsigned s = 0; s < SLOTS; s++)
		here += slot[s] != NULL;
	if (here != there)
		lose("the folder has %u names, should have %u", there, here);
}

static int names(void)
{
	static void (*const step[])(unsigned) = { make, make, make, rid, rid, add_link, move, move, append, append,
						  append, set_xattr, look, look, list };
	unsigned long steps = 0;

	while (goes_on()) {
		for (int i = 0; i < 20; i++, steps++)
			step[below(sizeof(step) / sizeof(step[0]))](below(SLOTS));
	}
	list(0);
	for (unsigned s = 0; s < SLOTS; s++) {
		look(s);
		if (slot[s] != NULL && slot[s]->type == IS_FILE)
			check_contents(s);
	}
	printf("crashwork: names: %lu steps, %u objects\n", steps, last_number);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 4 || chdir(argv[2]) != 0) {
		fputs("usage: crashwork pause|locks|names FOLDER STOP [SEED]\n", stderr);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	stop_file = argv[3];
	if (strcmp(argv[1], "pause") == 0)
		return measure();
	if (strcmp(argv[1], "locks") == 0)
		return locks();
	if (strcmp(argv[1], "names") != 0)
		return 2;
	random_state = argc > 4 ? strtoull(argv[4], NULL, 0) * 2 + 1 : 1;
	for (int warm = 0; warm < 8; warm++)
		below(2);
	return names();
}
