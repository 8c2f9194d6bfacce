/* test_handle.c - file handles: numbers, kinds, closing, limits, many threads. */
#include "fsworker/handle.h"

#include "common/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "unit.h"

#define ROWS 65

static struct handle_table table;
static struct handle_row rows[ROWS];

static void quiet(enum log_level level, const char *text, size_t len)
{
	(void)level;
	(void)text;
	(void)len;
}

static void begin(uint32_t max)
{
	log_to_sink(quiet);
	ck_assert_uint_lt(max, ROWS);
	memset(rows, 0, sizeof(rows));
	ck_assert_int_eq(handle_table_init(&table, rows, max, 1), 0);
}

static uint64_t make(bool dir, uint64_t nodeid)
{
	uint32_t index;

	ck_assert_int_eq(handle_reserve(&table, 0, dir, &index), 0);
	return handle_publish(&table, index, open("/dev/null", O_RDONLY | O_CLOEXEC), O_RDONLY, nodeid, 0, 0);
}

static int close_handle(uint64_t fh)
{
	AUTO_HANDLE h = { 0 };
	int r = handle_get(&table, fh, HANDLE_ANY, &h);

	return r < 0 ? r : handle_revoke(&h) ? 0 : -EBADF;
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
	for (uint32_t i = 0; i < table.ids.count; i++)
		free(table.handles[i].dir);
	free(table.handles);
	slots_fini(&table.ids);
	memset(&table, 0, sizeof(table));
}

static uint64_t make_real(const char *path, int flags, bool dir)
{
	int fd = open(path, flags | O_CLOEXEC);
	struct statx st;
	uint32_t index;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st), 0);
	ck_assert_int_eq(handle_reserve(&table, 0, dir, &index), 0);
	return handle_publish(&table, index, fd, (uint32_t)flags, 7, (uint64_t)st.stx_dev_major << 32 | st.stx_dev_minor, 0);
}

static struct handle_row *row_of(uint64_t fh)
{
	return &rows[(uint32_t)fh];
}

/* The process dies, in whatever state it was, and another takes over. */
START_TEST(taken_over)
{
	uint64_t file, dir, closed, opening, forged[4], again;
	AUTO_HANDLE h = { 0 };
	uint32_t asked = 0, lost = 0, index;

	begin(16);
	file = make_real("/proc/self/exe", O_RDONLY, false);
	dir = make_real("/", O_RDONLY | O_DIRECTORY, true);
	closed = make_real("/proc/self/exe", O_RDONLY, false);
	ck_assert_int_eq(close_handle(closed), 0);
	ck_assert_int_eq(handle_reserve(&table, 0, false, &index), 0);
	opening = (row_of(closed)->generation + (uint64_t)0) << 32 | index;
	/* What a process that was taken over may leave behind. */
	for (int i = 0; i < 4; i++)
		forged[i] = make_real("/proc/self/exe", O_RDONLY, false);
	row_of(forged[0])->flags = O_RDWR; /* not how it was opened */
	row_of(forged[1])->held = ipc_held(1, open("/dev/null", O_RDONLY | O_CLOEXEC)); /* not a file */
	row_of(forged[2])->held = ipc_held(1, 9999); /* not open */
	row_of(forged[3])->state = 77;

	die();
	ck_assert_int_eq(handle_table_init(&table, rows, 16, 2), 0);
	ck_assert_int_eq(handle_restore(&table, fetch, &asked, &lost), 0);
	ck_assert_uint_eq(lost, 3);
	ck_assert_uint_eq(asked, 5);
	ck_assert_int_eq(handle_get_of(&table, file, HANDLE_FILE, 7, &h), 0);
	ck_assert_int_ge(h.h->fd, 100);
	ck_assert_uint_eq(row_of(file)->held, ipc_held(2, h.h->fd));
	handle_put(&h);
	ck_assert_int_eq(handle_get(&table, dir, HANDLE_DIR, &h), 0);
	ck_assert(!h.h->dir->positioned);
	handle_put(&h);
	ck_assert_int_eq(handle_get(&table, closed, HANDLE_ANY, &h), -EBADF);
	ck_assert_int_eq(handle_get(&table, opening, HANDLE_ANY, &h), -EBADF);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(handle_get(&table, forged[i], HANDLE_ANY, &h), -EBADF);
	/* Room for all but the two that are open, and no id that the guest has been told. */
	for (int i = 0; i < 14; i++) {
		again = make(false, 1);
		ck_assert(again != closed && again != file && again != dir);
		for (int k = 0; k < 4; k++)
			ck_assert_uint_ne(again, forged[k]);
	}
	ck_assert_int_eq(handle_reserve(&table, 0, false, &index), -ENFILE);
	handle_table_fini(&table);
}
END_TEST

/* Marks that cannot be. */
START_TEST(taken_over_from_nonsense)
{
	uint32_t asked = 0, lost = 0, index;

	begin(16);
	die();
	memset(rows, 0xa5, sizeof(rows));
	ck_assert_int_eq(handle_table_init(&table, rows, 16, 2), 0);
	ck_assert_int_eq(handle_restore(&table, fetch, &asked, &lost), 0);
	ck_assert_uint_eq(lost, 0);
	ck_assert_uint_eq(asked, 0);
	ck_assert_int_eq(handle_reserve(&table, 0, false, &index), 0);
	handle_table_fini(&table);
}
END_TEST

START_TEST(kinds)
{
	static const uint64_t forged[] = { 0, 3, 4, 100, 1ull << 32, UINT64_MAX };
	AUTO_HANDLE h = { 0 };
	uint64_t file, dir;

	begin(2);
	file = make(false, 5);
	dir = make(true, 6);
	ck_assert_uint_ne(file, dir);
	ck_assert_int_eq(handle_get(&table, file, HANDLE_FILE, &h), 0);
	handle_put(&h);
	ck_assert_int_eq(handle_get(&table, file, HANDLE_DIR, &h), -EBADF);
	ck_assert_int_eq(handle_get(&table, dir, HANDLE_FILE, &h), -EBADF);
	ck_assert_int_eq(handle_get_of(&table, dir, HANDLE_DIR, 5, &h), -EBADF);
	ck_assert_int_eq(handle_get_of(&table, dir, HANDLE_DIR, 6, &h), 0);
	handle_put(&h);
	handle_put(&h);
	for (size_t i = 0; i < ARRAY_SIZE(forged); i++)
		ck_assert_int_eq(handle_get(&table, forged[i], HANDLE_ANY, &h), -EBADF);
	ck_assert_int_eq(handle_get(&table, file + (1ull << 32), HANDLE_ANY, &h), -EBADF);
	handle_table_fini(&table);
}
END_TEST

START_TEST(closing)
{
	AUTO_HANDLE h = { 0 };
	uint64_t fh;
	int fd;

	begin(4);
	fh = make(false, 5);
	ck_assert_int_eq(handle_get(&table, fh, HANDLE_FILE, &h), 0);
	fd = h.h->fd;
	ck_assert_int_eq(close_handle(fh), 0);
	ck_assert_int_eq(close_handle(fh), -EBADF);
	/* In use it stays open. */
	ck_assert_int_ge(fcntl(fd, F_GETFD), 0);
	handle_put(&h);
	ck_assert_int_lt(fcntl(fd, F_GETFD), 0);
	ck_assert_uint_ne(make(false, 5), fh);
	handle_revoke_all(&table);
	ck_assert_int_eq(handle_get(&table, fh, HANDLE_ANY, &h), -EBADF);
	handle_table_fini(&table);
}
END_TEST

START_TEST(limits)
{
	uint64_t fh[3];
	uint32_t index;

	begin(3);
	for (int i = 0; i < 3; i++)
		fh[i] = make(i == 0, 5);
	ck_assert_int_eq(handle_reserve(&table, 7, false, &index), -ENFILE);
	ck_assert_int_eq(close_handle(fh[1]), 0);
	ck_assert_int_eq(handle_reserve(&table, 7, true, &index), 0);
	ck_assert_int_eq(handle_reserve(&table, 7, false, &index), -ENFILE);
	handle_unreserve(&table, index);
	ck_assert_uint_ne(make(false, 5), fh[1]);
	handle_table_fini(&table);
}
END_TEST

START_TEST(buffers)
{
	AUTO_HANDLE a = { 0 };
	AUTO_HANDLE b = { 0 };

	begin(4);
	table.dir_bufs_max = 1;
	ck_assert_int_eq(handle_get(&table, make(true, 5), HANDLE_DIR, &a), 0);
	ck_assert_int_eq(handle_get(&table, make(true, 5), HANDLE_DIR, &b), 0);
	ck_assert(dir_buf_take(&table, a.h->dir));
	ck_assert(dir_buf_take(&table, a.h->dir));
	ck_assert(!dir_buf_take(&table, b.h->dir));
	dir_buf_drop(&table, a.h->dir);
	ck_assert(dir_buf_take(&table, b.h->dir));
	handle_put(&a);
	handle_put(&b);
	handle_table_fini(&table);
	ck_assert_uint_eq(atomic_load(&table.dir_bufs), 0);
}
END_TEST

static void *worker(void *arg)
{
	uint32_t hint = (uint32_t)(uintptr_t)arg;

	for (int i = 0; i < 20000; i++) {
		AUTO_HANDLE h = { 0 };
		uint32_t index;
		uint64_t fh;

		if (handle_reserve(&table, hint, i % 4 == 0, &index) < 0)
			continue;
		fh = handle_publish(&table, index, -1, 0, hint, 0, 0);
		if (handle_get_of(&table, fh, HANDLE_ANY, hint, &h) < 0 || !handle_revoke(&h) || handle_revoke(&h))
			return (void *)1;
	}
	return NULL;
}

START_TEST(threads)
{
	pthread_t t[4];
	void *bad;

	begin(3);
	for (uintptr_t i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, worker, (void *)(i + 1)), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &bad);
		ck_assert_ptr_null(bad);
	}
	handle_table_fini(&table);
}
END_TEST

UNIT_MAIN("handle", taken_over, taken_over_from_nonsense, kinds, closing, limits, buffers, threads)
