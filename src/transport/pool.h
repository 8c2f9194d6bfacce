/* pool.h - threads for work that may block: file contents that are not in the page cache, fsync, and the like.
 *
 * Role: transport. Threads start on demand, up to --thread-pool-size. A job must not touch its ring: it works, then
 * calls its done function, which hands the result to the ring's thread (queue_post_done()).
 */
#ifndef VFSD_POOL_H
#define VFSD_POOL_H

#include "common/base.h"

struct pool_job {
	struct pool_job *next;
	void (*run)(struct pool_job *job); /* on a pool thread, also hands the result on */
};

struct pool;

/* pool_new() - @threads: the most threads; 0 makes pool_submit() always refuse. NULL: no memory. */
struct pool *pool_new(unsigned threads);

/* pool_submit() - queue a job. False when there is no thread at all to run it: the caller does the work itself. */
bool pool_submit(struct pool *p, struct pool_job *job);

#endif
