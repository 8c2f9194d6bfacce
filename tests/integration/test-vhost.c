/*
 * The vhost-user protocol and the rings, as well-behaved front ends of many
 * kinds use them.
 */
#include "test-vhost.h"

#define TEST_TIMEOUT_S 120

struct env env;

static void setup(void)
{
	tu_setup(&env);
}

static void teardown(void)
{
	tu_teardown(&env);
}

/**
 * tv_case() - A test case whose tests find a directory, but no daemon yet
 * @name:	Its name
 *
 * Return: the test case
 */
TCase *tv_case(const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, TEST_TIMEOUT_S);
	return tc;
}

static Suite *make_suite(void)
{
	Suite *s = suite_create("vhost");

	suite_add_tcase(s, messages_case());
	suite_add_tcase(s, rings_case());
	suite_add_tcase(s, lifecycle_case());
	suite_add_tcase(s, memory_case());
	suite_add_tcase(s, inflight_case());
	return s;
}

int main(int argc, char **argv)
{
	return tu_main(argc, argv, make_suite);
}
