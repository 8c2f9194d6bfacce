/* spin.c - see spin.h. */
#include "common/spin.h"

#include <sched.h>
#include <time.h>

#define FIRST_NS 8000     /* a window that begins; also the smallest one */
#define PATIENCE_MAX 1024u

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* spin_init() - see spin.h. */
void spin_init(struct spin *s, uint32_t max_us)
{
	*s = (struct spin){ .max_ns = (int64_t)max_us * 1000 };
}

/* spin_begin() - see spin.h. */
bool spin_begin(struct spin *s)
{
	if (s->window_ns == 0)
		return false;
	s->until = now_ns() + s->window_ns;
	return true;
}

/* spin_again() - see spin.h. */
bool spin_again(struct spin *s)
{
	sched_yield();
	if (now_ns() < s->until)
		return true;
	s->window_ns /= 2;
	if (s->window_ns < FIRST_NS)
		s->window_ns = 0;
	s->in_vain++;
	s->patience = MIN(1u << MIN(s->in_vain, 16u), PATIENCE_MAX);
	return false;
}

/* spin_found() - see spin.h. */
void spin_found(struct spin *s)
{
	s->window_ns = MIN(s->window_ns * 2, s->max_ns);
	s->in_vain = 0;
}

/* spin_sleeps() - see spin.h. */
void spin_sleeps(struct spin *s)
{
	if (s->max_ns && s->window_ns == 0)
		s->slept_at = now_ns();
}

/* spin_woke() - see spin.h. */
void spin_woke(struct spin *s)
{
	if (s->max_ns == 0 || s->window_ns)
		return;
	if (now_ns() - s->slept_at > s->max_ns)
		return;
	if (s->patience) {
		s->patience--;
		return;
	}
	s->window_ns = MIN(FIRST_NS * 2, s->max_ns);
}
