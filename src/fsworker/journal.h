/* journal.h - what a link is in the middle of, in memory that outlives this process.
 *
 * Role: fsworker. A process can be killed between any two instructions. What it leaves behind must tell the next one, for each
 * link: which request of which datagram was being served; which answers were ready and perhaps sent; and what that one
 * request had done to the tables already, so that it can be undone before the request is served again. What it did to the
 * file system the next process finds out by looking (a request that is served again says so: req.redo).
 *
 * There is one journal for each link, written by the link's thread only and read by nobody until that is dead. A request
 * becomes done by one store, to `done`, which names its end in the datagram and the end of its answer in the batch. All
 * else in here is about the request that begins where `done` ends, if `at` says so too.
 *
 * Order: the instructions before the one at which a thread is killed have happened, those after it have not. So the
 * compiler alone could spoil the order of what is written here, and journal_order() keeps it from that.
 */
#ifndef VFSD_JOURNAL_H
#define VFSD_JOURNAL_H

#include "ipc/channel.h"

#define JOURNAL_COUNTS 256u /* objects that one answer can name: READDIR's tail has room for 215 */

/* What a request does that cannot be seen, or not undone, without a note. */
struct journal_step {
	int64_t begun_sec; /* CLOCK_REALTIME_COARSE, as file systems date what is made */
	uint32_t begun_nsec;
	uint32_t handle;   /* slot that it has opened, 0: none */
	uint32_t blame;    /* how often a process died of what it did in serving this request */
	uint32_t zero;
	uint64_t intent;   /* the handler's own note of how things were before it did what cannot be done twice; 0: none */
};

struct journal {
	uint64_t done; /* JOURNAL_DONE(): end of the last request that is done, end of the answers so far */
	uint32_t at;   /* where the request begins that all below is about; JOURNAL_NOWHERE: there is none */
	uint32_t last_seq; /* number of the datagram received last */
	struct journal_step step;
	/* Lookups that it has counted. counting == counted + 1: one more was about to be, of slot[counted], whose count was
	 * `before`; the shard's lock is held meanwhile, so nobody else has changed it since. */
	uint32_t counting, counted;
	uint64_t before;
	uint32_t slot[JOURNAL_COUNTS];
	/* In taking them back: number undoing - 1 is being set to undo_to. */
	uint32_t undoing;
	uint64_t undo_to;
	/* Items of its FORGET that are done. forgetting == forgot + 1: one more was about to be: slot forget_slot gets the count
	 * forget_after; the shard's lock is held meanwhile, here, too. Who is told of the slot after that, or gets it for another
	 * object, must not find this note. */
	uint32_t forgetting, forgot;
	uint32_t forget_slot;
	uint64_t forget_after;
	struct ipc_dgram in;
	struct ipc_batch out;
};
_Static_assert(sizeof(struct journal) <= IPC_LINK_STATE, "the monitor makes room for it");

#define JOURNAL_NOWHERE UINT32_MAX
#define JOURNAL_DONE(pos, answers) ((uint64_t)(answers) << 32 | (pos))

/* What stands before must be in memory when what stands behind is. */
static inline void journal_order(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* The journal of this thread; NULL in threads that serve no link: what they do is written down elsewhere. */
extern _Thread_local struct journal *journal_own;

/* That of the request which this thread serves: in the journal, or of a job of the pool (state.h); never NULL. */
extern _Thread_local struct journal_step *journal_now;
extern struct journal_step journal_nobodys; /* of threads that serve nothing at the moment */

void journal_step_begin(struct journal_step *s);
void journal_begin(struct journal *j, uint32_t pos);
void journal_end(struct journal *j);
void journal_commit(struct journal *j, uint32_t pos);
void journal_sent(struct journal *j);

/* journal_opening() - a handle's row is about to say that it is open */
static inline void journal_opening(uint32_t slot)
{
	if (journal_now == &journal_nobodys)
		return;
	journal_now->handle = slot;
	journal_order();
}

/* journal_intend() - something is about to be done that must not be done twice; @note: not 0 */
static inline void journal_intend(uint64_t note)
{
	journal_order();
	journal_now->intent = note;
	journal_order();
}

/* journal_counting() - one lookup of a slot is about to be counted; its lock is held */
static inline void journal_counting(uint32_t slot, uint64_t before)
{
	struct journal *j = journal_own;

	if (!j || j->counted == JOURNAL_COUNTS)
		return;
	j->slot[j->counted] = slot;
	j->before = before;
	journal_order();
	j->counting = j->counted + 1;
	journal_order();
}

/* journal_counted() - and has been */
static inline void journal_counted(void)
{
	struct journal *j = journal_own;

	journal_order();
	if (j)
		j->counted = j->counting;
}

/* journal_forgetting() - the count of a slot is about to change; its lock is held */
static inline void journal_forgetting(uint32_t slot, uint64_t after)
{
	struct journal *j = journal_own;

	if (!j)
		return;
	j->forget_slot = slot;
	j->forget_after = after;
	journal_order();
	j->forgetting = j->forgot + 1;
	journal_order();
}

/* journal_forgot() - one item of a FORGET is done, also one that changed nothing; if it did, its lock is still held */
static inline void journal_forgot(void)
{
	struct journal *j = journal_own;

	journal_order();
	if (j)
		j->forgot++;
}

#endif
