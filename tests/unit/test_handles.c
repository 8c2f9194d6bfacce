/* test_handles.c - the table of granted descriptors: bounds, stale ids, references, setuid tracking, threads. */
#include "transport/handles.h"
#include "unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#define FH(gen, slot) ((uint64_t)(gen) << 32 | (slot))

static int null_fd(void)
{
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

START_TEST(ids)
{
	struct handles *t = handles_new(8);
	int fd = null_fd();
	struct handle *h;

	ck_assert_int_eq(handles_add(t, FH(1, 3), 10, fd, O_RDWR, S_IFREG | 0644), 0);
	ck_assert_ptr_null(handles_get(t, FH(2, 3)));
	ck_assert_ptr_null(handles_get(t, FH(1, 4)));
	ck_assert_ptr_null(handles_get(t, FH(1, 8)));
	ck_assert_ptr_null(handles_get(t, UINT64_MAX));
	ck_assert_int_eq(handles_add(t, FH(1, 8), 10, null_fd(), 0, S_IFREG), -EPROTO);
	ck_assert_int_eq(handles_add(t, FH(1, 3), 10, null_fd(), 0, S_IFREG), -EEXIST);
	h = handles_get(t, FH(1, 3));
	ck_assert_ptr_nonnull(h);
	handles_remove(t, FH(2, 3), 10); /* somebody else's */
	handles_remove(t, FH(1, 3), 10);
	ck_assert(is_open(fd)); /* still in use */
	ck_assert_ptr_null(handles_get(t, FH(1, 3)));
	handle_put(h);
	ck_assert(!is_open(fd));
	handles_free(t);
}
END_TEST

/* What is released but still in use counts, whatever its number has come to mean meanwhile. */
START_TEST(descriptors_are_bounded)
{
	struct handles *t = handles_new(2);
	struct handle *used[4];

	for (uint32_t i = 0; i < 4; i++) {
		ck_assert(handles_reserve(t));
		ck_assert_int_eq(handles_add(t, FH(i + 1, 1), 10, null_fd(), O_RDWR, S_IFREG), 0);
		used[i] = handles_get(t, FH(i + 1, 1));
		handles_remove(t, FH(i + 1, 1), 10);
	}
	ck_assert(!handles_reserve(t));
	handle_put(used[2]);
	ck_assert(handles_reserve(t));
	ck_assert(!handles_reserve(t));
	handles_unreserve(t);
	/* An answer that is wrong gives the place back as well. */
	ck_assert(handles_reserve(t));
	ck_assert_int_eq(handles_add(t, FH(1, 9), 10, null_fd(), O_RDWR, S_IFREG), -EPROTO);
	ck_assert(handles_reserve(t));
	handles_unreserve(t);
	handle_put(used[0]);
	handle_put(used[1]);
	handle_put(used[3]);
	handles_free(t);
}
END_TEST

START_TEST(later_generation_replaces_a_stale_one)
{
	struct handles *t = handles_new(8);
	int fd = null_fd();
	struct handle *h;

	ck_assert_int_eq(handles_add(t, FH(1, 3), 10, fd, O_RDWR, S_IFREG | 04755), 0);
	ck_assert_int_eq(handles_add(t, FH(2, 3), 11, null_fd(), O_RDWR, S_IFREG), 0);
	ck_assert(!is_open(fd) || fd == -1);
	ck_assert_ptr_null(handles_get(t, FH(1, 3)));
	h = handles_get(t, FH(2, 3));
	ck_assert_uint_eq(h->nodeid, 11);
	handle_put(h);
	handles_free(t);
}
END_TEST

START_TEST(refused_descriptors_are_closed)
{
	struct handles *t = handles_new(1);
	int fd = null_fd();

	ck_assert_int_eq(handles_add(t, FH(0, 7), 1, fd, 0, 0), -EPROTO);
	ck_assert(!is_open(fd));
	handles_free(t);
}
END_TEST

START_TEST(special_bits_follow_the_file)
{
	struct handles *t = handles_new(8);
	struct handle *a, *b, *other;

	ck_assert_int_eq(handles_add(t, FH(1, 0), 10, null_fd(), 0, S_IFREG | 0644), 0);
	ck_assert_int_eq(handles_add(t, FH(1, 1), 10, null_fd(), 0, S_IFREG | 0644), 0);
	ck_assert_int_eq(handles_add(t, FH(1, 2), 11, null_fd(), 0, S_IFREG | S_ISUID | 0755), 0);
	a = handles_get(t, FH(1, 0));
	b = handles_get(t, FH(1, 1));
	other = handles_get(t, FH(1, 2));
	ck_assert(!a->suidgid && !b->suidgid && other->suidgid);
	handles_note_mode(t, 10, S_IFREG | S_ISGID | 0755);
	ck_assert(a->suidgid && b->suidgid && other->suidgid);
	handles_note_mode(t, 10, S_IFREG | 0755);
	handles_note_mode(t, 11, S_IFDIR | S_ISGID | 0755); /* a directory's setgid bit is no privilege */
	ck_assert(!a->suidgid && !b->suidgid && !other->suidgid);
	handle_put(a);
	handle_put(b);
	handle_put(other);
	handles_free(t);
}
END_TEST

static struct handles *shared;

static void *churn(void *arg)
{
	uint32_t slot = (uint32_t)(uintptr_t)arg;

	for (unsigned gen = 1; gen < 2000; gen++) {
		ck_assert_int_eq(handles_add(shared, FH(gen, slot), slot, null_fd(), 0, S_IFREG | (gen & 1 ? 04755 : 0755)), 0);
		struct handle *h = handles_get(shared, FH(gen, slot));

		handles_note_mode(shared, slot, S_IFREG | 0755);
		handles_remove(shared, FH(gen, slot), slot);
		ck_assert(is_open(h->fd));
		handle_put(h);
		handle_put(handles_get(shared, FH(gen, (slot + 1) % 4)));
	}
	return NULL;
}

START_TEST(threads)
{
	pthread_t t[4];

	shared = handles_new(4);
	for (uintptr_t i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, churn, (void *)i);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	handles_clear(shared);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_ptr_null(handles_get(shared, FH(1999, i)));
	handles_free(shared);
}
END_TEST

UNIT_MAIN("handles", ids, descriptors_are_bounded, later_generation_replaces_a_stale_one, refused_descriptors_are_closed, special_bits_follow_the_file, threads)
