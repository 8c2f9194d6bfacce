/*
 * test-crash: who keeps descriptors dies, who is only starting dies, and the
 * daemon is told to end while it replaces somebody.
 */
#define _GNU_SOURCE 1
#include <signal.h>
#include <sys/resource.h>

#include "test-crash.h"

#define SETTLE_MS 5000

static uint64_t node, fh;

static void setup_file(void)
{
	fh = tu_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT | O_EXCL, 0644, &node);
	ck_assert_int_eq(fs_write(FS, node, fh, "contents", 8, 0, O_RDWR, 0), 8);
	ck_ok(fs_unlink(FS, TU_ROOT, "file"));
}

/* It can be read only through a descriptor that was handed on. */
static void file_is_here(void)
{
	char text[16];

	ck_assert_int_eq(fs_read(FS, node, fh, text, sizeof(text), 0, O_RDWR), 8);
	ck_assert_int_eq(memcmp(text, "contents", 8), 0);
}

/* Kill one who keeps descriptors, and wait for the one in its place. */
static void kill_holder(unsigned int which)
{
	pid_t old[CRASH_KIDS];
	int n;

	/* One at a time: while one is replaced the others must live. */
	crash_settle(&env, "before a holder dies");
	n = kid_holders(env.d.pid, old, CRASH_KIDS);
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(kill(old[which % (unsigned int)n], SIGKILL), 0);
	crash_settle(&env, "after a holder died");
	ck_assert_int_eq(kid_holders(env.d.pid, old, CRASH_KIDS), n);
}

START_TEST(holders_die)
{
	setup_file();
	for (unsigned int i = 0; i < 12; i++) {
		kill_holder(i);
		file_is_here();
	}
	crash_kill_and_wait(&env);
	file_is_here();
}
END_TEST

START_TEST(holders_and_workers_die)
{
	setup_file();
	for (unsigned int i = 0; i < 15; i++) {
		kill_holder(i);
		crash_kill_and_wait(&env);
		file_is_here();
	}
}
END_TEST

/* Who keeps descriptors dies while the successor gets them: it has to get them of the other. */
START_TEST(holder_dies_as_it_gives)
{
	pid_t old[CRASH_KIDS];

	setup_file();
	for (unsigned int i = 0; i < 12; i++) {
		pid_t pid;

		crash_settle(&env, "before");
		ck_assert_int_gt(kid_holders(env.d.pid, old, CRASH_KIDS), 0);
		pid = crash_kill(&env);
		/* From before it asks until after it was given all. */
		crash_sleep_us(i * 8000);
		kill(old[0], SIGKILL);
		crash_wait_served(&env, pid);
		file_is_here();
	}
}
END_TEST

/* The successor dies as soon as it is seen: the one after it needs two tables. */
START_TEST(successors_die)
{
	for (unsigned int round = 0; round < 5; round++) {
		pid_t first;

		setup_file();
		first = crash_kill(&env);
		for (unsigned int i = 0, last = (unsigned int)first; i < 5; i++) {
			pid_t pid;

			while ((pid = kid_serving(env.d.pid)) == 0 || pid == (pid_t)last)
				;
			crash_sleep_us(round * 1000);
			kill(pid, SIGKILL);
			last = (unsigned int)pid;
		}
		crash_wait_served(&env, first);
		file_is_here();
		ck_ok(fs_release(FS, node, fh, O_RDWR, 0, 0));
		ck_ok(fs_forget(FS, node, 1));
	}
}
END_TEST

/* Nothing of the daemon is left. */
static void all_end(const struct kid *k, int n)
{
	int64_t end = crash_now_ms() + SETTLE_MS;

	for (int i = 0; i < n; i++)
		while (kill(k[i].pid, 0) == 0) {
			ck_assert_msg(crash_now_ms() < end, "%s (pid %d) outlives the daemon", k[i].name,
				      (int)k[i].pid);
			crash_sleep_us(1000);
		}
}

static void end_as_it_starts(unsigned int us)
{
	struct kid k[CRASH_KIDS];
	int n;

	setup_file();
	crash_kill_and_wait(&env);
	crash_kill(&env);
	crash_sleep_us(us);
	n = kids_of(env.d.pid, k, CRASH_KIDS);
	ck_ok(daemon_signal(&env.d, SIGTERM));
	tu_expect_exit(&env, 0);
	all_end(k, n);
	dev_close(&env.dev);
	fs_close(&env.fs);
	env.connected = false;
}

START_TEST(sigterm_during_a_start)
{
	/* From before the death is known until after the next one serves. */
	end_as_it_starts((unsigned int)_i * 2000);
}
END_TEST

/* The same processes as in the beginning, and the same descriptors, however many there were between. */
START_TEST(nothing_is_left)
{
	struct kid k[CRASH_KIDS];
	int n, monitor, worker;

	setup_file();
	n = kids_of(env.d.pid, k, CRASH_KIDS);
	crash_kill_and_wait(&env);
	crash_settle(&env, "after one death");
	ck_assert_int_eq(kids_of(env.d.pid, k, CRASH_KIDS), n);
	monitor = kid_descriptors(env.d.pid);
	worker = kid_descriptors(kid_serving(env.d.pid));
	for (unsigned int i = 0; i < 40; i++) {
		if (i % 8 == 0)
			kill_holder(i);
		crash_kill_and_wait(&env);
	}
	file_is_here();
	crash_settle(&env, "after 40 deaths");
	ck_assert_int_eq(kids_of(env.d.pid, k, CRASH_KIDS), n);
	ck_assert_int_eq(kid_descriptors(env.d.pid), monitor);
	ck_assert_int_eq(kid_descriptors(kid_serving(env.d.pid)), worker);
}
END_TEST

static bool forwarded(void)
{
	const char *args = getenv("VIRTIOFSD_ARGS");

	return args && strstr(args, "--data-path=forwarded");
}

/* End the first process of each start, by what the monitor takes for its own mishap, until it gives up. On a busy machine one may be
 * quicker than we are, and serves: then it begins again. */
static void no_start_succeeds(void)
{
	struct kid k[CRASH_KIDS];
	pid_t last = 0;
	unsigned int seen = 0;

	crash_kill(&env);
	ck_assert_int_eq(setpriority(PRIO_PROCESS, 0, -20), 0);
	while (!crash_said(&env, "the guest gets I/O errors from now on")) {
		int n = kids_of(env.d.pid, k, CRASH_KIDS);
		pid_t serving = kid_serving(env.d.pid);

		seen = serving && serving == last ? seen + 1 : 0;
		last = serving;
		if (seen == 200) /* 100 ms: it is not about to serve, it does */
			(void)kill(serving, SIGKILL);
		for (int i = 0; i < n; i++)
			if (!k[i].inner && !k[i].zombie && !strcmp(k[i].name, "virtiofsd-fswor"))
				kill(k[i].pid, SIGTERM);
		crash_sleep_us(500);
	}
}

/* An fsworker that cannot be started any more: errors instead of a guest that hangs, and the VMM keeps its device. */
START_TEST(given_up)
{
	struct fuse_attr_out a;
	char text[16];
	uint64_t features;

	setup_file();
	no_start_succeeds();
	ck_err(fs_getattr(FS, TU_ROOT, NULL, &a), EIO);
	ck_err(fs_unlink(FS, TU_ROOT, "file"), EIO);
	/* What was granted to the transport is still served. */
	if (!forwarded())
		file_is_here();
	ck_err(fs_read(FS, node, fh + 1, text, sizeof(text), 0, O_RDWR), EIO);
	ck_ok(vu_get_features(&env.dev.vu, &features));
	ck_assert_int_eq(daemon_wait(&env.d, 0), -ETIMEDOUT);
	/* New executables cannot mend it, and who asks for them hears so. */
	ck_ok(kill(env.d.pid, SIGHUP));
	for (int64_t end = crash_now_ms() + vuf_timeout_ms(); !crash_said(&env, "start the daemon anew"); crash_sleep_us(5000))
		ck_assert_int_lt(crash_now_ms(), end);
	tu_stop(&env);
}
END_TEST

/**
 * crash_starts_case() - Deaths around the start of a successor
 *
 * Return: the test case
 */
TCase *crash_starts_case(void)
{
	TCase *tc = tc_case("starts");

	tcase_add_test(tc, holders_die);
	tcase_add_test(tc, holders_and_workers_die);
	tcase_add_test(tc, holder_dies_as_it_gives);
	tcase_add_test(tc, successors_die);
	tcase_add_loop_test(tc, sigterm_during_a_start, 0, 8);
	tcase_add_test(tc, nothing_is_left);
	tcase_add_test(tc, given_up);
	return tc;
}
