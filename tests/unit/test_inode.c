/* test_inode.c - the table of inodes: numbers, counts, identity, limits, many threads. */
#include "fsworker/inode.h"
#include "fsworker/journal.h"
#include "fsworker/name.h"
#include "fsworker/resolve.h"

#include "common/log.h"

#include <fcntl.h>
#include <pthread.h>

#include "unit.h"

#define COUNT 128u

static struct inode_table table;
static struct inode_slot *memory;
static const struct name somewhere = { "name" };

static void quiet(enum log_level level, const char *text, size_t len)
{
	(void)level;
	(void)text;
	(void)len;
}

static struct statx object(uint64_t ino)
{
	return (struct statx){ .stx_mask = STATX_BASIC_STATS | STATX_BTIME, .stx_mode = S_IFREG | 0644, .stx_ino = ino,
			       .stx_mnt_id = 7, .stx_btime.tv_sec = (int64_t)ino };
}

static void begin(uint64_t count, uint32_t fd_limit)
{
	struct statx root = object(2);

	log_to_sink(quiet);
	root.stx_mode = S_IFDIR | 0755;
	memory = calloc(count, sizeof(*memory));
	ck_assert_int_eq(inode_table_init(&table, memory, count, fd_limit, 1), 0);
	ck_assert_int_eq(inode_set_root(&table, -1, &root), 0);
}

static void end(void)
{
	inode_table_fini(&table);
	free(memory);
}

static int add(uint64_t ino, uint64_t *nodeid)
{
	struct statx st = object(ino);
	int fd = open("/dev/null", O_PATH | O_CLOEXEC);
	int r = inode_intern(&table, &fd, &st, nodeid);

	ck_assert_int_eq(fd >= 0, r < 0);
	close_fd(&fd);
	return r;
}

static bool valid(uint64_t nodeid)
{
	AUTO_INODE u = { 0 };

	return inode_get(&table, nodeid, &u) == 0;
}

/* As the holders do: here the old numbers are still open, and the new ones are copies. */
static int fetch(void *arg, const uint32_t *held, int *fds, uint32_t n)
{
	uint32_t *asked = arg;

	for (uint32_t i = 0; i < n; i++)
		fds[i] = held[i] >> 24 == 1 ? fcntl((int)(held[i] & IPC_HELD_NUMBER_MAX), F_DUPFD_CLOEXEC, 100) : -1;
	*asked += n;
	return 0;
}

/* The process is gone, and with it what was its own. Descriptors stay open. */
static void die(void)
{
	free(table.fds);
	for (uint32_t i = 0; i < INODE_SHARDS; i++)
		free(table.shard[i].heads);
	slots_fini(&table.ids);
	memset(&table, 0, sizeof(table));
}

static uint64_t add_real(const char *path, struct statx *st)
{
	int fd = open(path, O_PATH | O_CLOEXEC);
	uint64_t nodeid;

	ck_assert_int_eq(resolve_statx_fd(fd, 0, st), 0);
	ck_assert_int_eq(inode_intern(&table, &fd, st, &nodeid), 0);
	return nodeid;
}

/* The process dies, in whatever state it was, and another takes over. */
START_TEST(taken_over)
{
	static const char *const paths[] = { "/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/usr" };
	struct statx root = object(2), st[ARRAY_SIZE(paths)];
	uint64_t known[ARRAY_SIZE(paths)], gone, again;
	uint32_t asked = 0, lost = 0, index;
	AUTO_INODE u = { 0 };

	begin(COUNT, 8);
	root.stx_mode = S_IFDIR | 0755;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		known[i] = add_real(paths[i], &st[i]);
	ck_assert_uint_eq(add_real(paths[0], &st[0]), known[0]);
	gone = add_real("/dev/random", &st[1]);
	ck_assert_int_eq(resolve_statx_name(AT_FDCWD, &(struct name){ .s = "/dev/zero" }, &st[1]), 0);
	inode_forget(&table, gone, 1);
	ck_assert_uint_ne(slots_take(&table.ids, 0), 0); /* it was about to learn of one more */
	index = slots_index(known[1]);
	memory[slots_index(known[2])].held = memory[index].held; /* another's */
	memory[slots_index(known[3])].held = ipc_held(1, 9999); /* not open */

	die();
	ck_assert_int_eq(inode_table_init(&table, memory, COUNT, 8, 2), 0);
	ck_assert_int_eq(inode_set_root(&table, -1, &root), 0);
	ck_assert_int_eq(inode_restore(&table, fetch, &asked, &lost), 0);
	ck_assert_uint_eq(lost, 2);
	ck_assert_uint_eq(asked, 5);
	ck_assert(valid(1) && valid(known[0]) && valid(known[1]) && valid(known[4]));
	ck_assert(!valid(known[2]) && !valid(known[3]) && !valid(gone));
	ck_assert_uint_eq(atomic_load(&table.fd_used), 3);
	ck_assert_int_eq(inode_get(&table, known[4], &u), 0);
	ck_assert_int_ge(u.fd, 100);
	inode_put(&u);
	/* Looked up twice, so it takes two to forget it; known by its identity. */
	ck_assert_uint_eq(inode_find(&table, INODE_ROOT, &somewhere, &st[1]), known[1]);
	inode_forget(&table, known[0], 1);
	ck_assert(valid(known[0]));
	inode_forget(&table, known[0], 1);
	ck_assert(!valid(known[0]));
	again = add_real("/dev/random", &st[0]);
	ck_assert(again != gone && again != known[0] && again != known[2] && again != known[3]);
	end();
}
END_TEST

/* Two slots for one object, or a table that is nothing but noise. */
START_TEST(taken_over_from_nonsense)
{
	struct statx root = object(2), st;
	uint32_t asked = 0, lost = 0;
	uint64_t a, b;

	begin(COUNT, COUNT);
	root.stx_mode = S_IFDIR | 0755;
	a = add_real("/dev/null", &st);
	b = add_real("/dev/zero", &st);
	memory[slots_index(b)] = memory[slots_index(a)];
	die();
	ck_assert_int_eq(inode_table_init(&table, memory, COUNT, COUNT, 2), 0);
	ck_assert_int_eq(inode_set_root(&table, -1, &root), 0);
	ck_assert_int_eq(inode_restore(&table, fetch, &asked, &lost), 0);
	ck_assert_uint_eq(lost, 1);
	ck_assert(valid(a) != valid(b));
	memset(memory, 0xa5, COUNT * sizeof(*memory));
	die();
	ck_assert_int_eq(inode_table_init(&table, memory, COUNT, COUNT, 2), 0);
	ck_assert_int_eq(inode_set_root(&table, -1, &root), 0);
	ck_assert_int_eq(inode_restore(&table, fetch, &asked, &lost), 0);
	ck_assert_uint_eq(lost, 1);
	end();
}
END_TEST

START_TEST(numbers)
{
	struct statx st = object(10), other = object(10);
	AUTO_INODE u = { 0 };
	uint64_t a, b;

	begin(COUNT, COUNT);
	ck_assert(valid(1));
	ck_assert(!valid(0) && !valid(2) && !valid(COUNT) && !valid(UINT64_MAX) && !valid(1ull << 32) &&
		  !valid((1ull << 32) + 1));
	ck_assert_int_eq(add(10, &a), 0);
	ck_assert_int_eq(add(10, &b), 0);
	ck_assert_uint_eq(a, b);
	ck_assert_uint_eq(inode_find(&table, INODE_ROOT, &somewhere, &st), a);
	ck_assert_uint_eq(atomic_load(&table.fd_used), 1);
	/* Another birth, another type, another mount, another device: not this one. */
	other.stx_btime.tv_sec++;
	ck_assert_uint_eq(inode_find(&table, INODE_ROOT, &somewhere, &other), 0);
	other = st;
	other.stx_mode = S_IFLNK | 0777;
	ck_assert_uint_eq(inode_find(&table, INODE_ROOT, &somewhere, &other), 0);
	other = st;
	other.stx_mnt_id++;
	ck_assert_uint_eq(inode_find(&table, INODE_ROOT, &somewhere, &other), 0);
	other = st;
	other.stx_dev_minor++;
	ck_assert_uint_eq(inode_find(&table, INODE_ROOT, &somewhere, &other), 0);
	ck_assert_int_eq(inode_get(&table, a, &u), 0);
	ck_assert_uint_eq(inode_nodeid(&u), a);
	ck_assert_uint_eq(inode_slot(&u)->ino, 10);
	ck_assert_uint_eq(inode_slot(&u)->state, INODE_LIVE);
	inode_put(&u);
	end();
}
END_TEST

START_TEST(counts)
{
	AUTO_INODE u = { 0 };
	uint64_t a, b;
	uint32_t slot;

	begin(COUNT, COUNT);
	ck_assert_int_eq(add(10, &a), 0);
	slot = slots_index(a);
	ck_assert_int_eq(inode_get(&table, a, &u), 0);
	inode_remember(&u);
	inode_forget(&table, a, 1);
	ck_assert(valid(a));
	/* More than there is frees once, and not below the reference in use. */
	inode_forget(&table, a, 1000);
	ck_assert(!valid(a));
	ck_assert_uint_eq(memory[slot].state, INODE_LIVE);
	ck_assert_int_ge(fcntl(u.fd, F_GETFD), 0);
	inode_forget(&table, a, 1);
	inode_remember(&u);
	inode_put(&u);
	ck_assert_uint_eq(memory[slot].state, INODE_FREE);
	ck_assert_uint_eq(memory[slot].generation, 1);
	ck_assert_uint_eq(atomic_load(&table.fd_used), 0);
	inode_put(&u);
	/* The next object has another number, in whichever slot. */
	ck_assert_int_eq(add(10, &b), 0);
	ck_assert_uint_ne(a, b);
	inode_forget(&table, a, 1);
	ck_assert(valid(b));
	/* The count stops at its maximum and then stays. */
	memory[slots_index(b)].nlookup = UINT64_MAX - 1;
	ck_assert_int_eq(add(10, &b), 0);
	ck_assert_int_eq(add(10, &b), 0);
	ck_assert_uint_eq(memory[slots_index(b)].nlookup, UINT64_MAX);
	inode_forget(&table, b, UINT64_MAX);
	ck_assert(valid(b));
	inode_forget(&table, 1, UINT64_MAX);
	ck_assert(valid(1));
	inode_forget_all(&table);
	ck_assert(!valid(b));
	ck_assert(valid(1));
	ck_assert_uint_eq(atomic_load(&table.fd_used), 0);
	end();
}
END_TEST

START_TEST(limits)
{
	uint64_t nodeid = 0, first = 0;
	int r = 0;

	begin(COUNT, 50);
	for (uint64_t i = 0; i < 50; i++) {
		ck_assert_int_eq(inode_may_add(&table), 0);
		ck_assert_int_eq(add(100 + i, &nodeid), 0);
		if (i == 0)
			first = nodeid;
	}
	ck_assert_int_eq(inode_may_add(&table), -ENFILE);
	ck_assert_int_eq(add(200, &nodeid), -ENFILE);
	ck_assert_int_eq(add(100, &nodeid), 0);
	inode_forget(&table, first, 2);
	ck_assert_int_eq(add(200, &nodeid), 0);
	end();
	begin(COUNT, 10 * COUNT);
	for (uint64_t i = 0; i < COUNT && r == 0; i++)
		r = add(100 + i, &nodeid);
	ck_assert_int_eq(r, -ENOMEM);
	ck_assert_uint_eq(atomic_load(&table.fd_used), COUNT - 2);
	end();
	memory = NULL;
	ck_assert_int_lt(inode_table_init(&table, NULL, 2, 1, 1), 0);
	ck_assert_int_lt(inode_table_init(&table, NULL, 1ull << 33, 1, 1), 0);
}
END_TEST

/* A slot whose generation has been used up is not handed out again. */
START_TEST(generations_end)
{
	uint64_t a, b;
	uint32_t slot;

	begin(3, 10);
	ck_assert_int_eq(add(10, &a), 0);
	slot = slots_index(a);
	ck_assert_uint_eq(slot, 2);
	inode_forget(&table, a, 1);
	atomic_store(&table.ids.life[slot], (uint64_t)UINT32_MAX << 32);
	ck_assert_int_eq(add(10, &b), 0);
	ck_assert_uint_eq(b, (uint64_t)UINT32_MAX << 32 | slot);
	inode_forget(&table, b, 1);
	ck_assert(!valid(b));
	ck_assert_int_eq(add(10, &b), -ENOMEM);
	end();
}
END_TEST

START_TEST(many)
{
	static uint64_t ids[20000];

	begin(20010, 20010);
	for (uint64_t i = 0; i < 20000; i++) {
		struct statx st = object(i * 4096);
		int fd = -1;

		ck_assert_int_eq(inode_intern(&table, &fd, &st, &ids[i]), 0);
	}
	for (uint64_t i = 0; i < 20000; i++) {
		struct statx st = object(i * 4096);

		ck_assert_uint_eq(inode_find(&table, INODE_ROOT, &somewhere, &st), ids[i]);
	}
	for (uint64_t i = 0; i < 20000; i += 2)
		inode_forget(&table, ids[i], 2);
	for (uint64_t i = 0; i < 20000; i++)
		ck_assert_int_eq(valid(ids[i]), i % 2);
	end();
}
END_TEST

static void *worker(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;

	for (int i = 0; i < 20000; i++) {
		AUTO_INODE u = { 0 };
		uint64_t ino = 10 + (uint64_t)(rand_r(&seed) % 8), nodeid = 0;
		struct statx st = object(ino);

		nodeid = inode_find(&table, INODE_ROOT, &somewhere, &st);
		if (!nodeid && add(ino, &nodeid) < 0)
			return (void *)1;
		if (inode_get(&table, nodeid, &u) == 0 && (inode_slot(&u)->ino != ino || fcntl(u.fd, F_GETFD) < 0))
			return (void *)1;
		inode_forget(&table, nodeid, 1);
	}
	return NULL;
}

/* Threads find, insert, use and forget the same few objects: no count is lost, no descriptor closed in use. */
START_TEST(threads)
{
	pthread_t t[4];
	void *bad;

	begin(COUNT, COUNT);
	for (uintptr_t i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, worker, (void *)(i + 1)), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &bad);
		ck_assert_ptr_null(bad);
	}
	ck_assert_uint_eq(atomic_load(&table.fd_used), 0);
	end();
}
END_TEST

/* A FORGET is written down until another may be told of the slot, or get it, and no longer. */
START_TEST(forget_is_noted)
{
	struct journal *j = calloc(1, sizeof(*j));
	uint64_t a, b, c;

	begin(COUNT, COUNT);
	ck_assert_int_eq(add(10, &a), 0);
	ck_assert_int_eq(add(11, &b), 0);
	journal_own = j;
	inode_forget(&table, a, 1);
	/* It goes on: one that is unknown changes nothing. */
	inode_forget(&table, a, 1);
	ck_assert_uint_eq(j->forgot, 2);
	journal_own = NULL;
	/* Another thread gets the slot. */
	for (uint64_t i = 20; memory[slots_index(a)].state != INODE_LIVE; i++)
		ck_assert_int_eq(add(i, &c), 0);
	/* The process dies before it is done with its request. */
	inode_settle(&table, j);
	inode_undo(&table, j);
	ck_assert_uint_eq(memory[slots_index(a)].nlookup, 1);
	ck_assert_uint_eq(j->forgot, 2);

	/* And where it dies with the lock held, the count is what the note says. */
	journal_own = j;
	journal_forgetting(slots_index(b), 0);
	journal_own = NULL;
	inode_settle(&table, j);
	ck_assert_uint_eq(memory[slots_index(b)].nlookup, 0);
	ck_assert_uint_eq(j->forgot, 3);
	end();
	free(j);
}
END_TEST

/* One link has counted a lookup, another is forgetting, or counting, the same object. */
START_TEST(two_links_die)
{
	struct journal *j = calloc(2, sizeof(*j));
	struct inode_slot *s;
	uint64_t a;

	begin(COUNT, 8);
	ck_assert_int_eq(add(10, &a), 0);
	ck_assert_int_eq(add(10, &a), 0);
	s = &memory[slots_index(a)];
	journal_own = &j[0];
	ck_assert_int_eq(add(10, &a), 0);
	journal_own = &j[1];
	journal_forgetting(slots_index(a), 2);
	s->nlookup = 2;
	journal_own = NULL;
	for (int i = 0; i < 2; i++)
		inode_settle(&table, &j[i]);
	for (int i = 0; i < 2; i++)
		inode_undo(&table, &j[i]);
	/* Two, and one forgotten. */
	ck_assert_uint_eq(s->nlookup, 1);

	memset(j, 0, 2 * sizeof(*j));
	journal_own = &j[0];
	ck_assert_int_eq(add(10, &a), 0);
	journal_own = &j[1];
	journal_counting(slots_index(a), s->nlookup);
	s->nlookup++;
	journal_own = NULL;
	for (int i = 0; i < 2; i++)
		inode_settle(&table, &j[i]);
	for (int i = 0; i < 2; i++)
		inode_undo(&table, &j[i]);
	ck_assert_uint_eq(s->nlookup, 1);
	end();
	free(j);
}
END_TEST

/* A request is undone, served again, and its process dies once more. */
START_TEST(undone_twice)
{
	struct journal *j = calloc(1, sizeof(*j));
	struct inode_slot *s;
	uint64_t a;

	begin(COUNT, 8);
	ck_assert_int_eq(add(10, &a), 0);
	s = &memory[slots_index(a)];
	journal_own = j;
	ck_assert_int_eq(add(10, &a), 0);
	inode_settle(&table, j);
	inode_undo(&table, j);
	ck_assert_uint_eq(s->nlookup, 1);
	/* Others count meanwhile. */
	journal_own = NULL;
	ck_assert_int_eq(add(10, &a), 0);
	ck_assert_int_eq(add(10, &a), 0);
	journal_own = j;
	ck_assert_int_eq(add(10, &a), 0);
	journal_own = NULL;
	inode_settle(&table, j);
	inode_undo(&table, j);
	ck_assert_uint_eq(s->nlookup, 3);
	end();
	free(j);
}
END_TEST

UNIT_MAIN("inode", forget_is_noted, two_links_die, undone_twice, two_links_die, taken_over, taken_over_from_nonsense, numbers, counts, limits, generations_end, many, threads)
