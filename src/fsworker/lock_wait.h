/* lock_wait.h - waiting for a lock, on a thread of its own that can be called back.
 *
 * Role: fsworker. Neither a link's thread nor the pool may wait for a lock: its holder may never let go, or may be
 * a guest whose next request is behind this one.
 */
#ifndef VFSD_LOCK_WAIT_H
#define VFSD_LOCK_WAIT_H

#include "fsworker/fsworker.h"

#include <fcntl.h>

struct lock_owner;

struct lock_wait {
	struct lock_wait *next; /* under the lock of lock_wait.c, as are state, timer and armed */
	enum {
		LOCK_WAIT_GO_ON,
		LOCK_WAIT_STOP, /* nobody wants the answer any more; if the lock was had at that moment, it is kept */
		LOCK_WAIT_DROP, /* its handle or its session is gone: it must not stay */
	} state;
	timer_t timer;
	bool armed; /* the timer exists */
	bool again; /* it has waited in a process before this one */
	bool begun; /* it may go on and end: see lock_wait_begin() */
	/* What is waited for. */
	struct link *link; /* with a reference */
	uint64_t tag;
	struct handle_use handle;  /* in use until the wait ends */
	struct lock_owner *owner;  /* NULL: a flock of the handle; else with a reference */
	struct lock_table *table;
	struct wait_row *row; /* the same for a process after this one */
	int flock_op;
	struct flock range;
};

int lock_wait_init(void) NODISCARD;
void lock_wait_fini(void);
int lock_wait_start(const struct lock_wait *w, bool again, struct lock_wait **out) NODISCARD;
void lock_wait_begin(struct lock_wait *w);
void lock_wait_cancel_tag(const struct link *l, uint64_t tag);
void lock_wait_cancel_link(const struct link *l);
void lock_wait_cancel_handle(const struct handle_table *t, uint32_t index);
void lock_wait_cancel_all(const struct lock_table *t);

/* op_lock.c, for waits */
int lock_owner_fd(const struct lock_owner *o);
uint64_t lock_owner_name(const struct lock_owner *o);
void lock_owner_put(struct lock_table *t, struct lock_owner *o);
size_t lock_holders(struct lock_table *t, const struct lock_owner *o, const struct flock *range, uint64_t *names,
		    size_t count, size_t max, uint32_t *budget);

#endif
