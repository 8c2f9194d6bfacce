/* journal.c - see journal.h. */
#include "fsworker/journal.h"

#include <time.h>

struct journal_step journal_nobodys;

_Thread_local struct journal *journal_own;
_Thread_local struct journal_step *journal_now = &journal_nobodys;

/* journal_step_begin() - Nothing is done yet of a request that is served from now on */
void journal_step_begin(struct journal_step *s)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	*s = (struct journal_step){ .begun_sec = now.tv_sec, .begun_nsec = (uint32_t)now.tv_nsec };
}

/* journal_begin() - The request at @pos of the datagram is served from now on */
void journal_begin(struct journal *j, uint32_t pos)
{
	journal_step_begin(&j->step);
	j->counting = j->counted = j->undoing = 0;
	j->forgetting = j->forgot = 0;
	journal_order();
	j->at = pos;
	journal_order();
}

/* journal_commit() - It is done, with whatever answer the batch has for it; @pos: where it ends */
void journal_commit(struct journal *j, uint32_t pos)
{
	journal_order();
	__atomic_store_n(&j->done, JOURNAL_DONE(pos, j->out.used), __ATOMIC_RELEASE);
	journal_order();
}

/* journal_sent() - The answers that there were have been sent; what is being served is not done by that */
void journal_sent(struct journal *j)
{
	journal_order();
	__atomic_store_n(&j->done, JOURNAL_DONE((uint32_t)j->done, 0), __ATOMIC_RELEASE);
	journal_order();
}

/* journal_end() - The datagram is done, and was given up before this */
void journal_end(struct journal *j)
{
	journal_order();
	j->at = JOURNAL_NOWHERE;
	journal_order();
	__atomic_store_n(&j->done, 0, __ATOMIC_RELEASE);
}
