/* test_respawn.c - the transport dies at each of its crash points, at each passing, and nobody notices.
 *
 * A run is the whole life of a device. It is repeated with the transport dying at the first passing of a point, at the
 * second, and so on until a run does not come to it any more; then the same with the successor dying, too, while it takes over.
 */
#include "respawn_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>

static int file_fd, append_fd, write_only_fd;
static char pattern[8192];
static bool grant_may_be_lost; /* by the crash point that is being tried */

static const char *const points[] = {
	/* the connection and the device */
	"accepted", "piece-received", "piece-read", "piece-accounted", "message-obeyed", "state-drafted", "state-committed",
	"before-reply", "reply-sent", "message-done", "memory-noted", "ring-descriptor-noted", "ring-starts", "ring-stopped",
	/* a ring */
	"ring-numbered", "ring-popped", "ring-pushed", "before-publish", "ring-published", "ring-crossing-out", "after-publish",
	"guest-called",
	/* the link */
	"row-filled", "row-asked", "before-commit", "after-commit", "batch-sent", "batch-counted", "after-recv", "answer-taken",
	"before-dgram-end", "after-dgram-end", "interrupts-run",
	/* contents */
	"direct-transferred", "append-intent", "file-row-filled", "file-row-used",
};

/* passed only by who takes over */
static const char *const take_over_points[] = {
	"grant-moved", "file-restored", "message-fd-moved", "ready", "head-taken-again", "found-taken", "found-ended",
	"state-drafted", "state-committed", "ring-descriptor-noted", "ring-starts", "before-publish", "ring-published",
	"batch-sent", "batch-counted", "answer-taken", "before-reply", "reply-sent",
};

static int memfd(void)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	return fd;
}

/* The same file, opened in another way. */
static int reopen(int fd, int flags)
{
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = open(path, flags | O_CLOEXEC);
	ck_assert_int_ge(r, 0);
	return r;
}

static void open_files(void)
{
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (char)(i * 7 + i / 251);
	file_fd = memfd();
	append_fd = memfd();
	ck_assert_int_eq(pwrite(file_fd, pattern, sizeof(pattern), 0), sizeof(pattern));
	ck_assert_int_eq(pwrite(append_fd, "start", 5, 0), 5);
	write_only_fd = reopen(append_fd, O_WRONLY);
}

static void close_files(void)
{
	close(file_fd);
	close(append_fd);
	close(write_only_fd);
}

/* requests ------------------------------------------------------------------------------------------ */

static uint32_t lookup(void)
{
	char name[16];

	snprintf(name, sizeof(name), "n%u", world.nreq + 1);
	return guest_add(1, FW_LOOKUP, 1, name, (uint32_t)strlen(name) + 1, NULL, 0, sizeof(struct fw_entry_out));
}

static uint32_t getattr(void)
{
	struct fw_getattr_in in = { 0 };

	return guest_add(1, FW_GETATTR, 0, &in, sizeof(in), NULL, 0, sizeof(struct fw_attr_out));
}

static uint32_t forget(uint32_t ring)
{
	struct fw_forget_in in = { .nlookup = 3 };

	return guest_add(ring, FW_FORGET, 0, &in, sizeof(in), NULL, 0, 0);
}

static uint32_t batch_forget(void)
{
	struct fw_batch_forget_in in = { .count = 2 };
	struct fw_forget_one one[2] = { { world.nreq + 1, 1 }, { world.nreq + 1, 2 } };

	return guest_add(0, FW_BATCH_FORGET, 0, &in, sizeof(in), one, sizeof(one), 0);
}

static uint32_t open_file(int fd, uint32_t flags, bool no_grant)
{
	struct fw_open_in in = { .flags = flags };
	uint32_t n = guest_add(1, FW_OPEN, 0, &in, sizeof(in), NULL, 0, sizeof(struct fw_open_out));

	world.req[n].file = fd;
	world.req[n].no_grant = no_grant;
	return n;
}

/* @file: the OPEN. */
static uint32_t release(uint32_t file)
{
	struct fw_release_in in = { .fh = world.req[file].fh };

	return guest_add(1, FW_RELEASE, file, &in, sizeof(in), NULL, 0, 8);
}

static void flush(uint32_t file)
{
	struct fw_flush_in in = { .fh = world.req[file].fh, .lock_owner = 5 };

	guest_add(1, FW_FLUSH, file, &in, sizeof(in), NULL, 0, 8);
	guest_kick(1);
	world_wait_all();
}

/* The fsworker tells by the size which request it is. */
static uint32_t getxattr_of(uint32_t file, const char *name)
{
	struct fw_getxattr_in in = { .size = world.nreq + 1 };

	guest_add(1, FW_GETXATTR, file, &in, sizeof(in), name, (uint32_t)strlen(name) + 1, 64);
	guest_kick(1);
	world_wait_all();
	ck_assert_int_eq(world.req[world.nreq].error, ENODATA);
	return world.req[world.nreq].asked;
}

/* @offset 0: by the link, where it is the request's number. */
static uint32_t read_file(uint64_t fh, uint64_t offset, uint32_t size, const void *expect)
{
	struct fw_read_in in = { .fh = fh, .offset = offset ? offset : world.nreq + 1, .size = size };
	uint32_t n = guest_add(1, FW_READ, 0, &in, sizeof(in), NULL, 0, size);

	world.req[n].expect = expect;
	world.req[n].expect_len = size;
	return n;
}

static uint32_t write_file(uint64_t fh, uint64_t offset, const void *data, uint32_t size, uint32_t flags)
{
	struct fw_write_in in = { .fh = fh, .offset = offset, .size = size, .flags = flags };

	return guest_add(1, FW_WRITE, 0, &in, sizeof(in), data, size, sizeof(struct fw_write_out));
}

static uint32_t lock(void)
{
	struct fw_lk_in in = { .owner = world.nreq + 1, .end = INT64_MAX, .type = F_WRLCK };

	return guest_add(1, FW_SETLKW, 0, &in, sizeof(in), NULL, 0, 8);
}

static void interrupt(uint32_t which)
{
	struct fw_interrupt_in in = { .unique = which };

	guest_add(0, FW_INTERRUPT, 0, &in, sizeof(in), NULL, 0, 0);
	guest_kick(0);
}

static void begin_session(void)
{
	struct fw_init_in in = { .major = 7, .minor = 36, .flags = (uint32_t)FW_POSIX_LOCKS };
	uint32_t n = guest_add(1, FW_INIT, 0, &in, FW_INIT_IN_SHORT, NULL, 0, sizeof(struct fw_init_out));

	guest_kick(1);
	world_wait(&world.req[n].answered);
	ck_assert_int_eq(world.req[n].error, 0);
}

static void wait_ok(uint32_t n)
{
	world_wait(&world.req[n].answered);
	ck_assert_int_eq(world.req[n].error, 0);
}

static void asked_once(uint32_t from)
{
	for (uint32_t i = from; i <= world.nreq; i++)
		ck_assert_msg(world.req[i].no_reply || world.req[i].asked == 1, "request %u was asked %u times", i, world.req[i].asked);
}

/* lives --------------------------------------------------------------------------------------------- */

static void names(void)
{
	uint32_t first = world.nreq + 1, f[3];

	for (int i = 0; i < 3; i++) {
		lookup();
		getattr();
	}
	guest_kick(1);
	lookup();
	guest_kick(1);
	world_wait_all();
	asked_once(first);
	for (uint32_t i = first; i <= world.nreq; i++) {
		struct fw_entry_out out;

		memcpy(&out, world.req[i].body, sizeof(out));
		ck_assert_int_eq(world.req[i].error, 0);
		if (world.req[i].len == sizeof(out))
			ck_assert_uint_eq(out.attr.ino, i);
	}
	f[0] = forget(0);
	f[1] = batch_forget();
	guest_kick(0);
	f[2] = forget(1);
	guest_kick(1);
	for (int i = 0; i < 3; i++) {
		wait_ok(f[i]);
		while (world.req[f[i]].forgotten < 3)
			world_pump(10);
	}
}

static void contents(void)
{
	uint32_t a = open_file(file_fd, O_RDWR, false), b = open_file(append_fd, O_RDWR | O_APPEND, false),
		 c = open_file(write_only_fd, O_WRONLY | O_APPEND, false), d = open_file(file_fd, O_RDWR, true), n[7];
	char bulk[512];
	uint32_t size;

	guest_kick(1);
	world_wait_all();
	ck_assert_uint_eq(world.req[a].asked + world.req[b].asked + world.req[c].asked + world.req[d].asked, 4);
	n[0] = read_file(world.req[a].fh, 1000, 3000, pattern + 1000);
	n[1] = write_file(world.req[a].fh, 100000, pattern, 5000, 0);
	n[2] = write_file(world.req[b].fh, 0, pattern + 1, 3000, O_APPEND);
	guest_kick(1);
	for (int i = 0; i < 3; i++)
		wait_ok(n[i]);
	n[3] = write_file(world.req[c].fh, 0, pattern + 2, 2000, O_APPEND);
	guest_kick(1);
	wait_ok(n[3]);
	memcpy(&size, world.req[n[2]].body, sizeof(size));
	ck_assert_uint_eq(size, 3000);
	memcpy(&size, world.req[n[3]].body, sizeof(size));
	ck_assert_uint_eq(size, 2000);

	/* without a grant: by the link, contents in the bulk area */
	memset(bulk, (int)((world.nreq + 1) & 0x7f), sizeof(bulk));
	n[4] = read_file(world.req[d].fh, 0, sizeof(bulk), bulk);
	guest_kick(1);
	wait_ok(n[4]);
	memset(bulk, (int)((world.nreq + 1) & 0x7f), sizeof(bulk));
	n[5] = write_file(world.req[d].fh, world.nreq + 1, bulk, sizeof(bulk), 0);
	guest_kick(1);
	wait_ok(n[5]);
	ck_assert_uint_eq(world.req[n[4]].asked + world.req[n[5]].asked, 2);

	n[6] = read_file(world.req[a].fh, 100000, 5000, pattern);
	guest_kick(1);
	wait_ok(n[6]);
	if (!grant_may_be_lost)
		ck_assert_uint_eq(world.forwarded, 0);
	release(a);
	release(b);
	release(c);
	release(d);
	guest_kick(1);
	world_wait_all();
	/* RELEASE is answered before the fsworker is told. */
	for (uint32_t i = a; i <= d; i++)
		while (world.req[i].closed == 0)
			world_pump(10);
}

/* What an open file on a local file system can tell itself, the fsworker is not asked; FLUSH once it may end a lock. */
static void closes(void)
{
	uint32_t a = open_file(file_fd, O_RDWR, false), b = open_file(file_fd, O_RDWR, true);
	struct fw_lk_in in = { .owner = world.nreq + 1, .end = INT64_MAX, .type = F_WRLCK };

	guest_kick(1);
	world_wait_all();
	in.fh = world.req[a].fh;
	flush(b);
	ck_assert_uint_eq(world.req[b].flushed, 1);
	ck_assert_uint_eq(getxattr_of(b, "security.capability"), 1);
	if (!grant_may_be_lost) {
		flush(a);
		ck_assert_uint_eq(world.req[a].flushed, 0);
		ck_assert_uint_eq(getxattr_of(a, "security.capability"), 0);
		ck_assert_uint_eq(getxattr_of(a, "security.capabilit"), 1);
		ck_assert_uint_eq(getxattr_of(a, "security.capability2"), 1);
	}
	world.hold_locks = false;
	in.owner = world.nreq + 1;
	wait_ok((guest_add(1, FW_SETLK, a, &in, sizeof(in), NULL, 0, 8), guest_kick(1), world.nreq));
	world.req[a].flushed = 0;
	for (uint32_t i = 1; i <= 3; i++) {
		flush(a);
		ck_assert_uint_eq(world.req[a].flushed, i);
	}
	release(a);
	release(b);
	guest_kick(1);
	world_wait_all();
	ck_assert_uint_eq(world.req[a].closed, 1);
	ck_assert_uint_eq(world.req[b].closed, 1);
}

static void check_appended(void)
{
	char buf[8192];

	ck_assert_int_eq(pread(append_fd, buf, sizeof(buf), 0), 5 + 3000 + 2000);
	ck_assert_mem_eq(buf, "start", 5);
	ck_assert_mem_eq(buf + 5, pattern + 1, 3000);
	ck_assert_mem_eq(buf + 3005, pattern + 2, 2000);
}

static void locks(void)
{
	uint32_t n[3];

	world.hold_locks = true;
	n[0] = lock();
	n[1] = lock();
	n[2] = getattr();
	guest_kick(1);
	wait_ok(n[2]);
	world_wait_count(&world.locks, 2);
	interrupt(n[0]);
	world_wait(&world.req[n[0]].answered);
	ck_assert_int_eq(world.req[n[0]].error, EINTR);
	ck_assert(!world.req[n[1]].answered);
	fsworker_grant_locks();
	wait_ok(n[1]);
	asked_once(n[0]);
	world_wait_all();
}

/* A lock waits while the VMM stops the ring and starts it again, and is granted meanwhile. */
static void paused_lock(bool granted_meanwhile)
{
	uint32_t n = lock(), base;

	world.hold_locks = true;
	guest_kick(1);
	world_wait_count(&world.locks, 1);
	base = vmm_stop(1);
	if (granted_meanwhile) {
		fsworker_grant_locks();
		for (int i = 0; i < 20; i++)
			world_pump(1);
	}
	vmm_start(1, base);
	if (!granted_meanwhile)
		fsworker_grant_locks();
	wait_ok(n);
	asked_once(n);
	wait_ok((getattr(), guest_kick(1), world.nreq));
}

static void end_of_life(void)
{
	world_wait_all();
	vmm_stop(0);
	vmm_stop(1);
	vmm_disconnect();
	for (uint32_t i = 1; i <= world.nreq; i++) {
		ck_assert_uint_le(world.req[i].closed, 1);
		if (world.req[i].forgotten)
			ck_assert_msg(world.req[i].forgotten == 3, "%llu lookups instead of 3 were forgotten",
				      (unsigned long long)world.req[i].forgotten);
	}
}

static void life_of_requests(void)
{
	open_files();
	vmm_connect();
	begin_session();
	names();
	contents();
	closes();
	check_appended();
	locks();
	end_of_life();
	close_files();
}

static void life_of_pauses(void)
{
	uint32_t early[3] = { getattr(), getattr(), getattr() };

	/* These are there before the ring runs: it takes them, and refuses them, while the VMM's message is still being obeyed. */
	guest_kick(1);
	vmm_connect();
	for (int i = 0; i < 3; i++) {
		world_wait(&world.req[early[i]].answered);
		ck_assert_int_eq(world.req[early[i]].error, EIO);
	}
	begin_session();
	paused_lock(false);
	paused_lock(true);
	paused_lock(false);
	end_of_life();
}

/* With ThreadSanitizer each process takes far longer to start, and it is about threads, not about every place: two
 * passings of each. */
#ifdef __SANITIZE_THREAD__
#define SLOW 1
#else
#define SLOW 0
#endif

/* The passings that are tried: the first ones, then every fifth; with RESPAWN_ALL in the environment, all. */
static unsigned next_count(unsigned count)
{
	if (SLOW && !getenv("RESPAWN_ALL"))
		return count == 1 ? 3 : 1000000;
	return count < 4 || getenv("RESPAWN_ALL") ? count + 1 : count + 5;
}

/* With RESPAWN_POINT in the environment, only this one. */
static bool is_wanted(const char *point)
{
	const char *only = getenv("RESPAWN_POINT");

	return !only || strstr(only, point);
}

/* Return how often a transport died. */
static uint32_t live(void (*life)(void), const char *point, unsigned count, const char *then)
{
	grant_may_be_lost = point && !strcmp(point, "file-row-filled");
	if (getenv("RESPAWN_VERBOSE"))
		fprintf(stderr, "%s %u, then %s\n", point ? point : "nowhere", count, then ? then : "nowhere");
	world_open(point, count, then);
	life();
	world_close();
	return world.deaths;
}

START_TEST(nobody_dies)
{
	ck_assert_uint_eq(live(life_of_requests, NULL, 0, NULL), 0);
	ck_assert_uint_eq(world.repeated, 0);
	ck_assert_uint_eq(live(life_of_pauses, NULL, 0, NULL), 0);
	ck_assert_uint_eq(world.repeated, 0);
}
END_TEST

START_TEST(dies_at)
{
	unsigned count = 1;

	if (!is_wanted(points[_i]))
		return;
	while (live(life_of_requests, points[_i], count, NULL))
		count = next_count(count);
	ck_assert_msg(count > 1, "no life comes to %s", points[_i]);
}
END_TEST

START_TEST(dies_in_pauses_at)
{
	unsigned count = 1;

	if (!is_wanted(points[_i]))
		return;
	while (live(life_of_pauses, points[_i], count, NULL))
		count = next_count(count);
}
END_TEST

/* What was done of an append when its transport died: by the test, since a file in memory takes all at once. */
static const char *in_between;
static size_t in_between_len;

static void append_in_between(void)
{
	struct iovec iov = { (void *)(uintptr_t)in_between, in_between_len };

	ck_assert_int_eq(pwritev2(append_fd, &iov, 1, 0, RWF_APPEND), (ssize_t)in_between_len);
}

START_TEST(appended_in_part)
{
	static const struct {
		bool write_only;
		size_t ours, others; /* bytes in between */
		const char *what;    /* the others' */
		size_t size;         /* then */
	} cases[] = {
		{ false, 0, 0, NULL, 3005 },	{ false, 1000, 0, NULL, 3005 },	    { false, 3000, 0, NULL, 3005 },
		{ true, 1000, 0, NULL, 3005 },	{ true, 3000, 0, NULL, 3005 },	    { false, 0, 7, "foreign", 3012 },
		{ true, 0, 4000, pattern, 7005 }, { false, 3000, 0, NULL, 3005 },
	};
	char buf[8192];
	uint32_t a, n, size;

	world_open("append-intent", 1, NULL);
	open_files();
	vmm_connect();
	begin_session();
	a = open_file(cases[_i].write_only ? write_only_fd : append_fd, O_APPEND | (cases[_i].write_only ? O_WRONLY : O_RDWR), false);
	guest_kick(1);
	wait_ok(a);
	in_between = cases[_i].what ? cases[_i].what : pattern + 1;
	in_between_len = cases[_i].ours + cases[_i].others;
	world.on_death = append_in_between;
	n = write_file(world.req[a].fh, 0, pattern + 1, 3000, O_APPEND);
	guest_kick(1);
	wait_ok(n);
	ck_assert_uint_eq(world.deaths, 1);
	memcpy(&size, world.req[n].body, sizeof(size));
	ck_assert_uint_eq(size, 3000);
	ck_assert_int_eq(pread(append_fd, buf, sizeof(buf), 0), (ssize_t)cases[_i].size);
	ck_assert_mem_eq(buf + cases[_i].size - 3000, pattern + 1, 3000);
	end_of_life();
	world_close();
	close_files();
}
END_TEST

/* Not each passing of the first: what the second finds is what matters. */
START_TEST(successor_dies_at)
{
	static const char *const first[] = { "row-asked", "after-commit", "batch-sent", "answer-taken", "before-publish",
					     "ring-descriptor-noted", "append-intent", "after-recv", "piece-received" };
	uint32_t both = 0;

	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++)
		for (unsigned count = 1; count < 60 && is_wanted(take_over_points[_i]);
		     count += getenv("RESPAWN_ALL") ? 2 : SLOW ? 60 : 9) {
			uint32_t deaths = live(life_of_requests, first[i], count, take_over_points[_i]);

			both += deaths == 2;
			if (deaths == 0)
				break;
		}
	/* A few passings need not bring one there. */
	ck_assert_msg(both || SLOW || !is_wanted(take_over_points[_i]), "no successor comes to %s", take_over_points[_i]);
}
END_TEST

/* Who takes over believes nothing: whatever stands in the state, it crashes of none of it. */
START_TEST(taken_over_from_nonsense)
{
	for (uint32_t n = 0; n < 12; n++) {
		uint32_t a;

		world_open(NULL, 0, NULL);
		open_files();
		vmm_connect();
		begin_session();
		a = open_file(file_fd, O_RDWR, false);
		guest_kick(1);
		world_wait_all();
		ck_assert_int_eq(world.req[a].error, 0);
		world.hold_locks = true;
		lock();
		lock();
		guest_kick(1);
		world_wait_count(&world.locks, 2);
		getattr();
		guest_kick(1);
		transport_spoiled((uint32_t)_i * 1000 + n, 1 + n * 3);
		world_close();
		close_files();
	}
}
END_TEST

/* at any moment ------------------------------------------------------------------------------------- */

static uint32_t seed;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 12) % n;
}

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void one_of_many(uint64_t fh, uint64_t linked)
{
	char bulk[64];

	switch (rnd(7)) {
	case 0:
		lookup();
		break;
	case 1:
		getattr();
		break;
	case 2:
		forget(1);
		break;
	case 3:
		read_file(fh, 16 + rnd(4000), 1000, NULL);
		break;
	case 4:
		memset(bulk, (int)((world.nreq + 1) & 0x7f), sizeof(bulk));
		write_file(linked, world.nreq + 1, bulk, sizeof(bulk), 0);
		break;
	case 5:
		read_file(linked, 0, 64, NULL);
		break;
	default:
		lock();
	}
}

#define DEATHS (SLOW ? 5u : 50u) /* at least, however slow the machine is; there may be no room for so many requests */

START_TEST(dies_at_any_moment)
{
	uint32_t a, d, first, expected = 5;
	int64_t until = now_us() + 6000000, next;
	char buf[64];

	seed = 7 + (uint32_t)_i;
	world_open(NULL, 0, NULL);
	open_files();
	vmm_connect();
	begin_session();
	a = open_file(append_fd, O_RDWR | O_APPEND, false);
	d = open_file(file_fd, O_RDWR, true);
	guest_kick(1);
	world_wait_all();
	first = world.nreq + 1;
	next = now_us() + 1000;
	while ((now_us() < until || world.deaths <= DEATHS) && world.nreq < REQUESTS_MAX - 200) {
		uint32_t append = 0;

		/* One append at a time, as guests do it; each is one number. */
		if (guest_has_room(1)) {
			snprintf(buf, sizeof(buf), "%07u ", world.nreq + 1);
			append = write_file(world.req[a].fh, 0, buf, 8, O_APPEND);
			expected += 8;
		}
		while (guest_has_room(1) && rnd(8))
			one_of_many(world.req[a].fh, world.req[d].fh);
		guest_kick(1);
		if (guest_has_room(0) && rnd(2)) {
			forget(0);
			guest_kick(0);
		}
		do {
			world_pump(1);
			if (now_us() > next) {
				transport_kill();
				next = now_us() + (SLOW ? 20 : 1) * (rnd(4) ? 15000 + rnd(60000) : rnd(15000));
			}
		} while (append && !world.req[append].answered);
	}
	world_wait_all();
	for (int i = 0; i < 50; i++)
		world_pump(1); /* forgets that nobody waits for */
	for (uint32_t i = first; i <= world.nreq; i++) {
		if (world.req[i].no_reply)
			ck_assert_uint_eq(world.req[i].forgotten, 3);
		ck_assert_uint_le(world.req[i].asked, 1);
		ck_assert_msg(world.req[i].error == 0, "request %u: error %d", i, world.req[i].error);
	}
	ck_assert_int_eq(lseek(append_fd, 0, SEEK_END), expected);
	ck_assert_uint_gt(world.deaths, 0);
	if (getenv("RESPAWN_VERBOSE"))
		fprintf(stderr, "%u requests, %u deaths, %u datagrams repeated, %u forwarded\n", world.nreq, world.deaths,
			world.repeated, world.forwarded);
	end_of_life();
	world_close();
	close_files();
}
END_TEST

static void add(Suite *s, const char *name, const TTest *test, size_t n)
{
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, test, 0, (int)n);
	suite_add_tcase(s, tc);
}

int main(void)
{
	Suite *s = suite_create("respawn");
	SRunner *r;
	int failed;

	add(s, "nobody", nobody_dies, 1);
	add(s, "requests", dies_at, sizeof(points) / sizeof(points[0]));
	add(s, "pauses", dies_in_pauses_at, sizeof(points) / sizeof(points[0]));
	add(s, "successor", successor_dies_at, sizeof(take_over_points) / sizeof(take_over_points[0]));
	add(s, "appends", appended_in_part, 8);
	add(s, "nonsense", taken_over_from_nonsense, 8);
	add(s, "any moment", dies_at_any_moment, 2);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
