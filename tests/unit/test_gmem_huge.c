/* test_gmem_huge.c - guest memory in huge pages, which end, are mapped and are replaced in other units.
 *
 * The machine must have some. If it has none free, this asks the kernel for them, and gives them back; without the right to ask,
 * or without memory in one piece, all that is left is to say that nothing was tested.
 */
#include "transport/gmem.h"

#include <check.h>
#include <stdio.h>
#include <sys/mman.h>

#define HUGE_SIZE (2u << 20)
#define PAGE 4096u
#define GUEST 0x10000000ull
#define USER 0x7f0000001000ull
#define NEEDED 2
#define SKIP 77

#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/"

static long pool_count(const char *path)
{
	FILE *f = fopen(path, "re");
	long n = -1;

	if (f) {
		if (fscanf(f, "%ld", &n) != 1)
			n = -1;
		fclose(f);
	}
	return n;
}

/* The kernel makes as many as it can, and says no more than the count does. */
static void pool_resize(long n)
{
	FILE *f = fopen(POOL "nr_hugepages", "we");

	if (f) {
		fprintf(f, "%ld", n);
		fclose(f);
	}
}

/* A region that begins in the middle of the first page and ends in the middle of the second. */
START_TEST(truncated)
{
	const struct gmem_region_desc d = { GUEST, HUGE_SIZE, USER, HUGE_SIZE / 2 };
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | (21u << 26));
	struct gmem *none = gmem_new(), *m = NULL;
	void *mapped;
	volatile char *p;

	ck_assert_int_eq(gmem_install_sigbus(), 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, 2 * HUGE_SIZE), 0);
	ck_assert_int_eq(gmem_with_region(none, &d, fd, &m), 0);
	gmem_unref(none);
	mapped = gmem_at(m, (struct gpa){ GUEST }, HUGE_SIZE);
	ck_assert_ptr_nonnull(mapped);
	p = mapped;
	/* It is memory, to its last byte, and not yet what stands in for it. */
	p[0] = 'a';
	p[HUGE_SIZE - 1] = 'z';
	ck_assert(!gmem_take_fault());
	ck_assert_int_eq(p[0], 'a');
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	ck_assert_int_eq(p[PAGE], 0);
	ck_assert_int_eq(p[0], 0);
	ck_assert_int_eq(p[HUGE_SIZE - 1], 0);
	ck_assert(gmem_take_fault());
	gmem_unref(m);
	close(fd);
}
END_TEST

int main(void)
{
	long total = pool_count(POOL "nr_hugepages"), free_now = pool_count(POOL "free_hugepages");
	Suite *s = suite_create("gmem_huge");
	TCase *t = tcase_create("gmem_huge");
	SRunner *r;
	int failed;

	if (free_now < NEEDED && total >= 0)
		pool_resize(total + NEEDED);
	if (pool_count(POOL "free_hugepages") < NEEDED) {
		puts("SKIP test_gmem_huge: the kernel has no huge pages of 2 MiB to give");
		pool_resize(total);
		return SKIP;
	}
	tcase_set_timeout(t, 60);
	tcase_add_test(t, truncated);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	/* Its own process has ended, so they are free again. */
	if (free_now < NEEDED)
		pool_resize(total);
	return failed != 0;
}
