/* journal.c - see journal.h. */
#include "fsworker/journal.h"

_Thread_local struct journal *journal_own;

/* journal_begin() - The request at @pos of the datagram is served from now on */
void journal_begin(struct journal *j, uint32_t pos)
{
	j->handle = 0;
	j->counting = j->counted = 0;
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
