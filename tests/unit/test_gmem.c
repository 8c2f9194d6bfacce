/* test_gmem.c - guest memory: which regions are accepted, what an address may reach, what truncation does. */
#include "transport/gmem.h"

#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define PAGE 4096u
#define GUEST 0x10000000ull
#define USER 0x7f0000001000ull

static int memfd(uint64_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static struct gmem *add(struct gmem *old, uint64_t guest, uint64_t size, uint64_t user, uint64_t offset, int fd)
{
	const struct gmem_region_desc d = { guest, size, user, offset };
	struct gmem *m = NULL;

	ck_assert_int_eq(gmem_with_region(old, &d, fd, &m), 0);
	gmem_unref(old);
	return m;
}

static int refused(struct gmem *old, uint64_t guest, uint64_t size, uint64_t user, uint64_t offset, int fd)
{
	const struct gmem_region_desc d = { guest, size, user, offset };
	struct gmem *m = NULL;
	int r = gmem_with_region(old, &d, fd, &m);

	ck_assert_ptr_null(m);
	return r;
}

static void *at(const struct gmem *m, uint64_t addr, uint64_t len)
{
	return gmem_at(m, (struct gpa){ addr }, len);
}

START_TEST(empty_set)
{
	struct gmem *m = gmem_new();

	ck_assert_ptr_null(at(m, 0, 1));
	ck_assert_ptr_null(gmem_at_user(m, 0, 1));
	ck_assert(!gmem_take_fault());
	gmem_unref(m);
	gmem_unref(NULL);
}
END_TEST

START_TEST(edges)
{
	int fd = memfd(16 * PAGE);
	struct gmem *m = add(gmem_new(), GUEST, 4 * PAGE, USER, 2 * PAGE, fd);
	char *base = at(m, GUEST, 1);

	ck_assert_ptr_nonnull(base);
	ck_assert_ptr_eq(at(m, GUEST, 4 * PAGE), base);
	ck_assert_ptr_eq(at(m, GUEST + 4 * PAGE - 1, 1), base + 4 * PAGE - 1);
	ck_assert_ptr_null(at(m, GUEST, 0));
	ck_assert_ptr_null(at(m, GUEST, 4 * PAGE + 1));
	ck_assert_ptr_null(at(m, GUEST - 1, 1));
	ck_assert_ptr_null(at(m, GUEST - 1, 2));
	ck_assert_ptr_null(at(m, GUEST + 4 * PAGE, 1));
	ck_assert_ptr_null(at(m, GUEST + 1, UINT64_MAX));
	ck_assert_ptr_null(at(m, UINT64_MAX, 1));
	ck_assert_ptr_null(at(m, UINT64_MAX, 2));
	ck_assert_ptr_null(at(m, USER, 1));
	ck_assert_ptr_eq(gmem_at_user(m, USER + PAGE, 3 * PAGE), base + PAGE);
	ck_assert_ptr_null(gmem_at_user(m, USER + PAGE, 3 * PAGE + 1));
	ck_assert_ptr_null(gmem_at_user(m, GUEST, 1));
	ck_assert_ptr_null(gmem_at_user(m, USER, 0));
	gmem_unref(m);
	close(fd);
}
END_TEST

START_TEST(offset_need_not_be_aligned)
{
	int fd = memfd(16 * PAGE);
	struct gmem *m = add(gmem_new(), GUEST, 3 * PAGE, USER, PAGE + 0x123, fd);
	char c = 0;

	strcpy(at(m, GUEST + 5, 6), "hello");
	ck_assert_int_eq(pread(fd, &c, 1, PAGE + 0x123 + 5), 1);
	ck_assert_int_eq(c, 'h');
	*(char *)at(m, GUEST + 3 * PAGE - 1, 1) = 'x';
	ck_assert_int_eq(pread(fd, &c, 1, 4 * PAGE + 0x123 - 1), 1);
	ck_assert_int_eq(c, 'x');
	gmem_unref(m);
	close(fd);
}
END_TEST

START_TEST(neighbours_are_not_one)
{
	int fd = memfd(16 * PAGE);
	struct gmem *m = add(gmem_new(), GUEST + PAGE, PAGE, USER + PAGE, 8 * PAGE, fd);

	m = add(m, GUEST, PAGE, USER, 0, fd);
	m = add(m, GUEST + 5 * PAGE, PAGE, USER + 9 * PAGE, PAGE, fd);
	ck_assert_ptr_nonnull(at(m, GUEST, PAGE));
	ck_assert_ptr_nonnull(at(m, GUEST + PAGE, PAGE));
	ck_assert_ptr_nonnull(at(m, GUEST + 5 * PAGE, PAGE));
	ck_assert_ptr_null(at(m, GUEST + PAGE - 1, 2));
	ck_assert_ptr_null(at(m, GUEST + 2 * PAGE, 1));
	ck_assert_ptr_null(gmem_at_user(m, USER + PAGE - 1, 2));
	gmem_unref(m);
	close(fd);
}
END_TEST

START_TEST(bad_regions)
{
	int fd = memfd(8 * PAGE);
	struct gmem *m = add(gmem_new(), GUEST, 4 * PAGE, USER, 0, fd);

	ck_assert_int_eq(refused(m, 0, 0, 0, 0, fd), -EINVAL);
	ck_assert_int_eq(refused(m, UINT64_MAX - PAGE + 2, PAGE, 0, 0, fd), -EINVAL);
	ck_assert_int_eq(refused(m, 0, PAGE, UINT64_MAX - PAGE + 2, 0, fd), -EINVAL);
	ck_assert_int_eq(refused(m, 0, PAGE, 0, UINT64_MAX - 1, fd), -EINVAL);
	ck_assert_int_eq(refused(m, 0, PAGE, 0, INT64_MAX, fd), -EINVAL);
	ck_assert_int_eq(refused(m, 0, 8 * PAGE + 1, 0, 0, fd), -EINVAL);
	ck_assert_int_eq(refused(m, 0, PAGE, 0, 7 * PAGE + 1, fd), -EINVAL);
	ck_assert_int_eq(refused(m, GUEST + 4 * PAGE - 1, PAGE, 0, 0, fd), -EINVAL);
	ck_assert_int_eq(refused(m, GUEST - PAGE + 1, PAGE, 0, 0, fd), -EINVAL);
	ck_assert_int_eq(refused(m, 0, PAGE, USER + 4 * PAGE - 1, 0, fd), -EINVAL);
	ck_assert_int_eq(refused(m, 0, PAGE, USER, 0, fd), -EINVAL);
	ck_assert_int_eq(refused(m, 0, PAGE, 0, 0, -1), -EBADF);
	gmem_unref(m);
	close(fd);
}
END_TEST

START_TEST(bad_descriptors)
{
	struct gmem *m = gmem_new();
	int sealed = memfd(PAGE), p[2], ro;
	char path[32];

	ck_assert_int_eq(pipe(p), 0);
	ck_assert_int_eq(refused(m, 0, PAGE, 0, 0, p[0]), -ENODEV);
	ck_assert_int_eq(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE), 0);
	ck_assert_int_eq(refused(m, 0, PAGE, 0, 0, sealed), -EPERM);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", sealed);
	ro = open(path, O_RDONLY);
	ck_assert_int_ge(ro, 0);
	ck_assert_int_lt(refused(m, 0, PAGE, 0, 0, ro), 0);
	gmem_unref(m);
	close(p[0]);
	close(p[1]);
	close(sealed);
	close(ro);
}
END_TEST

START_TEST(limit)
{
	int fd = memfd(PAGE);
	struct gmem *m = gmem_new();

	for (uint64_t i = 0; i < GMEM_SLOTS_MAX; i++)
		m = add(m, i * 2 * PAGE, PAGE, i * 2 * PAGE, 0, fd);
	ck_assert_int_eq(refused(m, 5000ull * PAGE, PAGE, 5000ull * PAGE, 0, fd), -ENOSPC);
	for (uint64_t i = 0; i < GMEM_SLOTS_MAX; i++) {
		ck_assert_ptr_nonnull(at(m, i * 2 * PAGE, PAGE));
		ck_assert_ptr_null(at(m, i * 2 * PAGE + PAGE, 1));
	}
	gmem_unref(m);
	close(fd);
}
END_TEST

static bool is_mapped(void *p)
{
	unsigned char v;

	return mincore(p, PAGE, &v) == 0;
}

START_TEST(sets_share_mappings)
{
	int fd = memfd(4 * PAGE);
	struct gmem *a = add(gmem_new(), GUEST, PAGE, USER, 0, fd);
	struct gmem_region_desc d = { GUEST, PAGE, USER, 0 };
	struct gmem *b, *c;
	char *first = at(a, GUEST, 1), *second;

	gmem_ref(a);
	b = add(a, 2 * GUEST, PAGE, 2 * USER, PAGE, fd); /* gives one reference of a back */
	second = at(b, 2 * GUEST, 1);
	ck_assert_ptr_eq(at(b, GUEST, 1), first);
	ck_assert_int_eq(gmem_without_region(b, &d, &c), 0);
	ck_assert_ptr_null(at(c, GUEST, 1));
	ck_assert_ptr_eq(at(c, 2 * GUEST, 1), second);
	d.user_addr++;
	ck_assert_int_eq(gmem_without_region(b, &d, &c), -ENOENT);
	d.user_addr--;
	d.size++;
	ck_assert_int_eq(gmem_without_region(b, &d, &c), -ENOENT);

	gmem_unref(b);
	ck_assert(is_mapped(first));
	gmem_unref(a);
	ck_assert(!is_mapped(first));
	ck_assert(is_mapped(second));
	gmem_unref(c);
	ck_assert(!is_mapped(second));
	close(fd);
}
END_TEST

START_TEST(truncation)
{
	int fd = memfd(8 * PAGE), other = memfd(PAGE);
	struct gmem *whole = add(gmem_new(), 4 * GUEST, PAGE, 4 * USER, 0, other);
	struct gmem *m;
	volatile char *p;

	gmem_ref(whole);
	m = add(whole, GUEST, 8 * PAGE, USER, 0, fd);
	p = at(m, GUEST, 8 * PAGE);
	p[0] = 1;
	p[5 * PAGE] = 5;
	ck_assert(!gmem_take_fault());
	ck_assert_int_eq(ftruncate(fd, PAGE), 0);
	ck_assert_int_eq(p[0], 1);
	ck_assert(!gmem_take_fault());
	ck_assert_int_eq(p[5 * PAGE], 0); /* a zero page instead of the signal */
	ck_assert(gmem_take_fault());
	ck_assert(!gmem_take_fault()); /* told once */
	p[6 * PAGE + 7] = 7;
	ck_assert(gmem_take_fault());
	ck_assert_int_eq(p[6 * PAGE + 7], 7);
	ck_assert_int_eq(p[0], 1);
	ck_assert_int_eq(*(char *)at(whole, 4 * GUEST, PAGE), 0);
	ck_assert(!gmem_take_fault());
	gmem_unref(m);
	gmem_unref(whole);

	close(fd);
	close(other);
}
END_TEST

/* ThreadSanitizer takes the handler's mmap() for a write: each thread has pages of its own there. */
#if defined(__SANITIZE_THREAD__)
#define PAGES_SHARED 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PAGES_SHARED 0
#endif
#endif
#ifndef PAGES_SHARED
#define PAGES_SHARED 1
#endif

struct toucher {
	struct gmem *m;
	uint64_t n;
};

static void *touch_pages(void *arg)
{
	struct toucher *t = arg;
	uint64_t sum = 0;

	for (uint64_t i = 0; i < 64; i++)
		if (PAGES_SHARED || i % 4 == t->n)
			sum += *(volatile unsigned char *)at(t->m, GUEST + i * PAGE, 1);
	return (void *)(uintptr_t)sum;
}

static void *come_and_go(void *arg)
{
	int fd = *(int *)arg;

	for (int i = 0; i < 200; i++) {
		struct gmem *m = add(gmem_new(), GUEST, PAGE, USER, 0, fd);

		*(volatile char *)at(m, GUEST, 1);
		gmem_unref(m);
	}
	return NULL;
}

START_TEST(truncation_in_threads)
{
	int fd = memfd(64 * PAGE), other = memfd(PAGE);
	struct gmem *m = add(gmem_new(), GUEST, 64 * PAGE, USER, 0, fd);
	struct toucher touchers[4];
	pthread_t t[4], u[2];
	void *sum;

	ck_assert_int_eq(ftruncate(fd, 0), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&u[i], NULL, come_and_go, &other), 0);
	for (uint64_t i = 0; i < 4; i++) {
		touchers[i] = (struct toucher){ m, i };
		ck_assert_int_eq(pthread_create(&t[i], NULL, touch_pages, &touchers[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(pthread_join(t[i], &sum), 0);
		ck_assert_ptr_null(sum);
	}
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_join(u[i], NULL), 0);
	ck_assert(!gmem_take_fault()); /* only who met it is told */
	gmem_unref(m);
	close(fd);
	close(other);
}
END_TEST

static int status_of(void (*child)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		child();
		_exit(0);
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static void fault_elsewhere(void)
{
	int fd = memfd_create("elsewhere", 0);
	volatile char *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);

	(void)p[0];
}

static void be_sent_it(void)
{
	raise(SIGBUS);
}

START_TEST(other_signals_still_kill)
{
	int s = status_of(fault_elsewhere);

	ck_assert(WIFSIGNALED(s) && WTERMSIG(s) == SIGBUS);
	s = status_of(be_sent_it);
	ck_assert(WIFSIGNALED(s) && WTERMSIG(s) == SIGBUS);
}
END_TEST

START_TEST(new_memfd)
{
	int fd = gmem_new_memfd("test", 3 * PAGE);
	char *p;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(lseek(fd, 0, SEEK_END), 3 * PAGE);
	ck_assert_int_ne(ftruncate(fd, 0), 0);
	ck_assert_int_ne(ftruncate(fd, 4 * PAGE), 0);
	ck_assert_int_ne(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	p = gmem_map_bulk(fd, 3 * PAGE);
	ck_assert_ptr_nonnull(p);
	for (size_t i = 0; i < 3 * PAGE; i++)
		ck_assert_int_eq(p[i], 0);
	munmap(p, 3 * PAGE);
	ck_assert_ptr_null(gmem_map_bulk(fd, 4 * PAGE));
	close(fd);
}
END_TEST

static void set_up(void)
{
	ck_assert_int_eq(gmem_install_sigbus(), 0);
}

int main(void)
{
	Suite *s = suite_create("gmem");
	TCase *t = tcase_create("gmem");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, set_up, NULL);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, empty_set);
	tcase_add_test(t, edges);
	tcase_add_test(t, offset_need_not_be_aligned);
	tcase_add_test(t, neighbours_are_not_one);
	tcase_add_test(t, bad_regions);
	tcase_add_test(t, bad_descriptors);
	tcase_add_test(t, limit);
	tcase_add_test(t, sets_share_mappings);
	tcase_add_test(t, truncation);
	tcase_add_test(t, truncation_in_threads);
	tcase_add_test(t, other_signals_still_kill);
	tcase_add_test(t, new_memfd);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
