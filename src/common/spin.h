/* spin.h - looking again for a while before one sleeps (adaptive polling).
 *
 * To wake a thread that sleeps costs more than most requests do. Who waits for the next one may be better off to keep looking, but
 * only while it will soon come: an idle share must cost nothing. So the time that is looked for is a window that grows when
 * something comes within it, shrinks when nothing does, and is nothing at all unless sleeps turn out short; and when looking was in
 * vain, that is not tried again before more and more short sleeps have passed. Between two looks the processor is offered to
 * whoever else can run on it: a guest or another process of the daemon on the same processor loses nothing.
 *
 * Any role. For one thread each.
 */
#ifndef VFSD_SPIN_H
#define VFSD_SPIN_H

#include "common/base.h"

struct spin {
	int64_t max_ns;    /* 0: never */
	int64_t window_ns; /* at present */
	int64_t until;     /* end of this one */
	int64_t slept_at;
	uint32_t in_vain;  /* windows in which nothing came, one after the other */
	uint32_t patience; /* short sleeps before it is tried again */
};

/* spin_init() - @max_us: the largest window, 0: none */
void spin_init(struct spin *s, uint32_t max_us);

/* spin_begin() - nothing is there: may it be looked for? */
bool spin_begin(struct spin *s);

/* spin_again() - after a look: offer the processor to others. False: the window is over. */
bool spin_again(struct spin *s);

/* spin_found() - it came within the window. */
void spin_found(struct spin *s);

/* spin_sleeps(), spin_woke() - around a sleep. */
void spin_sleeps(struct spin *s);
void spin_woke(struct spin *s);

#endif
