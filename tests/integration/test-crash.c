/*
 * Processes of the daemon are killed while a client works: it must notice
 * nothing but time.
 */
#include <signal.h>

#include "test-crash.h"

#define TEST_TIMEOUT_S 180

struct env env;

static void setup(void)
{
	static const char *const options[] = { "-o", "xattr,flock,posix_lock", NULL };
	static const struct dev_config cfg = { .request_queues = 2 };

	tu_setup(&env);
	tu_start(&env, options, &cfg);
}

static void teardown(void)
{
	if (env.running)
		crash_log_is_good(&env);
	tu_teardown(&env);
}

/**
 * tc_case() - A test case whose tests find a session in env
 * @name:	Its name
 *
 * Return: the test case
 */
TCase *tc_case(const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, TEST_TIMEOUT_S);
	return tc;
}

static Suite *make_suite(void)
{
	Suite *s = suite_create("crash");

	suite_add_tcase(s, crash_state_case());
	suite_add_tcase(s, crash_locks_case());
	suite_add_tcase(s, crash_load_case());
	suite_add_tcase(s, crash_starts_case());
	return s;
}

int main(int argc, char **argv)
{
	/* nohup(1) and some runners of tests start us with it ignored, and the daemon heeds that. */
	signal(SIGHUP, SIG_DFL);
	return tu_main(argc, argv, make_suite);
}
