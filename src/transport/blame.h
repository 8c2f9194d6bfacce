/* blame.h - which request ends this process?
 *
 * Role: transport. Distrusted: the guest, whose request may find a mistake of ours. A process that dies is replaced, and serves again
 * what was in flight; the one request that has ended two processes is refused by the third, or they would die for ever. Only
 * faults and refused system calls count, not signals that somebody sends.
 */
#ifndef VFSD_BLAME_H
#define VFSD_BLAME_H

#include "transport/state.h"

/* blame_install() - once, before any thread and before the sandbox. */
void blame_install(void);

/* blame_now() - what this thread is at ends the process. For signal handlers. */
void blame_now(void);

/* blame_begin() - this thread is at the chain with that ticket, until blame_end(). */
void blame_begin(struct state_ring *ring, uint64_t ticket);
void blame_end(void);

/* blame_enough() - is this chain not to be served any more? */
bool blame_enough(const struct state_ring *ring, uint64_t ticket) NODISCARD;

#endif
