/* test_spin.c - looking again before one sleeps: when it begins, grows, shrinks and is left alone. No test depends on how long anything
 * takes: the largest window is far longer than that. */
#include "common/spin.h"
#include "unit.h"

#define LONG_US 1000000000u /* a thousand seconds: every sleep is short */

static void sleep_shortly(struct spin *s)
{
	spin_sleeps(s);
	spin_woke(s);
}

/* Nothing comes; the window ends at once. */
static void in_vain(struct spin *s)
{
	ck_assert(spin_begin(s));
	s->until = 0;
	ck_assert(!spin_again(s));
}

START_TEST(never)
{
	struct spin s;

	spin_init(&s, 0);
	for (int i = 0; i < 10; i++) {
		ck_assert(!spin_begin(&s));
		sleep_shortly(&s);
	}
}
END_TEST

START_TEST(begins_after_a_short_sleep)
{
	struct spin s;

	spin_init(&s, LONG_US);
	ck_assert(!spin_begin(&s));
	sleep_shortly(&s);
	ck_assert(spin_begin(&s));
	/* Not after a long one. */
	spin_init(&s, LONG_US);
	spin_sleeps(&s);
	s.slept_at -= 2ll * LONG_US * 1000;
	spin_woke(&s);
	ck_assert(!spin_begin(&s));
}
END_TEST

START_TEST(grows_and_shrinks)
{
	int64_t first, last = 0;
	struct spin s;

	spin_init(&s, LONG_US);
	sleep_shortly(&s);
	first = s.window_ns;
	for (int i = 0; i < 60; i++) {
		ck_assert(spin_begin(&s));
		spin_found(&s);
		ck_assert_int_ge(s.window_ns, last);
		last = s.window_ns;
	}
	ck_assert_int_eq(s.window_ns, (int64_t)LONG_US * 1000);
	while (s.window_ns)
		in_vain(&s);
	ck_assert(!spin_begin(&s));
	ck_assert_int_lt(first, last);
}
END_TEST

/* Who looks in vain is left alone for longer and longer, up to an end. */
START_TEST(patience)
{
	uint32_t last = 0, sleeps = 0;
	struct spin s;

	spin_init(&s, LONG_US);
	for (int i = 0; i < 16; i++) {
		for (sleeps = 0; s.window_ns == 0; sleeps++)
			sleep_shortly(&s);
		ck_assert_uint_ge(sleeps, last);
		last = sleeps;
		while (s.window_ns)
			in_vain(&s);
	}
	ck_assert_uint_gt(last, 1000);
	/* Something comes: all is forgotten. */
	while (s.window_ns == 0)
		sleep_shortly(&s);
	ck_assert(spin_begin(&s));
	spin_found(&s);
	while (s.window_ns)
		in_vain(&s);
	for (sleeps = 0; s.window_ns == 0; sleeps++)
		sleep_shortly(&s);
	ck_assert_uint_lt(sleeps, 100);
}
END_TEST

UNIT_MAIN("spin", never, begins_after_a_short_sleep, grows_and_shrinks, patience)
