/*
 * The command line: what each option does as a front end sees it, and what is
 * said about a wrong one.
 */
#define _GNU_SOURCE 1
#include <signal.h>

#include "test-options.h"

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
 * to_start() - Start the daemon with options, and a session
 * @options:	What to add to socket and source
 */
void to_start(const char *const *options)
{
	tu_start(&env, options, NULL);
}

/**
 * to_run() - Run the daemon to its end
 * @words:	The command line after the program's name, without anything added
 * @err:	What it wrote to stderr, to be freed; may be NULL
 * @out:	The same for stdout
 *
 * Return: exit status, or 256 + signal
 */
int to_run(const char *const *words, char **err, char **out)
{
	const char *argv[TU_MAX_WORDS];
	struct daemon_args args = {
		.words = argv,
		.socket = env.socket,
		.dir = env.share,
		.pass_fd = -1,
	};
	struct daemon d;
	unsigned int n = 0;
	int r;

	argv[n++] = tu_program();
	for (unsigned int i = 0; tu_extra()[i]; i++)
		argv[n++] = tu_extra()[i];
	for (unsigned int i = 0; words[i]; i++)
		argv[n++] = words[i];
	argv[n] = NULL;
	ck_ok(daemon_start(&d, &args));
	r = daemon_wait(&d, vuf_timeout_ms());
	ck_assert_msg(r != -ETIMEDOUT, "the daemon started in spite of \"%s\"", words[0]);
	if (err)
		*err = daemon_stderr(&d);
	if (out)
		*out = daemon_stdout(&d);
	daemon_close(&d);
	return r;
}

/**
 * to_expect_line() - Exactly one line, and it says what it is about
 * @text:	What the daemon wrote
 * @part:	What must be in it
 */
void to_expect_line(const char *text, const char *part)
{
	const char *end = strchr(text, '\n');

	ck_assert_msg(end && end[1] == '\0' && end > text, "not one line: \"%s\"", text);
	ck_assert_msg(strstr(text, part) != NULL, "\"%s\" is not in: %s", part, text);
}

static TCase *prepared(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	return tc;
}

static Suite *make_suite(void)
{
	Suite *s = suite_create("options");

	suite_add_tcase(s, prepared(effects_case()));
	suite_add_tcase(s, prepared(usage_case()));
	suite_add_tcase(s, prepared(sockets_case()));
	suite_add_tcase(s, prepared(upgrade_case()));
	suite_add_tcase(s, prepared(cold_case()));
	return s;
}

int main(int argc, char **argv)
{
	return tu_main(argc, argv, make_suite);
}
