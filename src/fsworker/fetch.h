/* fetch.h - descriptors of the process before this one.
 *
 * Role: fsworker. What the tables need to be taken over; the function behind it is hold_fetch(), in tests another.
 */
#ifndef VFSD_FETCH_H
#define VFSD_FETCH_H

#include "common/base.h"

/* By their old numbers; @fds: out, -1 for what is not to be had. 0 or -errno. */
typedef int fetch_fn(void *arg, const int32_t *numbers, int *fds, uint32_t n);

#define FETCH_BATCH 250u /* asked for at once */

#endif
