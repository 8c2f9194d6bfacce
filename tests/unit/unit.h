/* unit.h - what every unit test shares: the Check main() for one suite. */
#ifndef VFSD_UNIT_H
#define VFSD_UNIT_H

#include <check.h>
#include <stdlib.h>

/* UNIT_MAIN() - run one suite with one test case of the listed tests. */
#define UNIT_MAIN(name, ...)                                                         \
	int main(void)                                                               \
	{                                                                            \
		const TTest *tests[] = { __VA_ARGS__ };                              \
		Suite *s = suite_create(name);                                       \
		TCase *tc = tcase_create(name);                                      \
                                                                                     \
		tcase_set_timeout(tc, 60);                                           \
		for (unsigned i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)      \
			tcase_add_test(tc, tests[i]);                                \
		suite_add_tcase(s, tc);                                              \
		SRunner *r = srunner_create(s);                                      \
		srunner_run_all(r, CK_NORMAL);                                       \
		int failed = srunner_ntests_failed(r);                               \
		srunner_free(r);                                                     \
		return failed ? EXIT_FAILURE : EXIT_SUCCESS;                         \
	}

#endif
