/* fetch.h - descriptors of the process before this one.
 *
 * Role: fsworker. What the tables need to be taken over; the function behind it is hold_inherit(), in tests another.
 */
#ifndef VFSD_FETCH_H
#define VFSD_FETCH_H

#include "ipc/messages.h"

/* @held: ipc_held() of each; @fds: out, -1 for what is not to be had. 0 or -errno. */
typedef int fetch_fn(void *arg, const uint32_t *held, int *fds, uint32_t n);

#define FETCH_BATCH 250u /* asked for at once */

#endif
