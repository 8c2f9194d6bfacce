/* test_inode.c - the table of inodes: numbers, counts, identity, limits, many threads. */
#include "fsworker/inode.h"

#include "common/log.h"

#include <fcntl.h>
#include <pthread.h>

#include "unit.h"

#define COUNT 128u

static struct inode_table table;
static struct inode_slot *memory;

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
	ck_assert_int_eq(inode_table_init(&table, memory, count, fd_limit), 0);
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
	ck_assert_uint_eq(inode_find(&table, &st), a);
	ck_assert_uint_eq(atomic_load(&table.fd_used), 1);
	/* Another birth, another type, another mount, another device: not this one. */
	other.stx_btime.tv_sec++;
	ck_assert_uint_eq(inode_find(&table, &other), 0);
	other = st;
	other.stx_mode = S_IFLNK | 0777;
	ck_assert_uint_eq(inode_find(&table, &other), 0);
	other = st;
	other.stx_mnt_id++;
	ck_assert_uint_eq(inode_find(&table, &other), 0);
	other = st;
	other.stx_dev_minor++;
	ck_assert_uint_eq(inode_find(&table, &other), 0);
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
	ck_assert_int_lt(inode_table_init(&table, NULL, 2, 1), 0);
	ck_assert_int_lt(inode_table_init(&table, NULL, 1ull << 33, 1), 0);
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

		ck_assert_uint_eq(inode_find(&table, &st), ids[i]);
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

		nodeid = inode_find(&table, &st);
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

UNIT_MAIN("inode", numbers, counts, limits, generations_end, many, threads)
