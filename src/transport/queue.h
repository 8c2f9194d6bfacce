/* queue.h - one ring with its thread: takes chains from the virtqueue, has them served, gives them back.
 *
 * Role: transport. All functions here are for the control thread (vhost_dev.c) and run synchronously: they return
 * when the queue's thread has done it, so that a reply to the VMM tells the truth.
 */
#ifndef VFSD_QUEUE_H
#define VFSD_QUEUE_H

#include "transport/gmem.h"
#include "transport/state.h"
#include "transport/virtq.h"

struct queue;
struct fuse_dev; /* what all rings share: session, handles, pool; see fuse_dev.h */

/* queue_new() - create the ring's state and its thread.
 * @index: 0 is the hiprio queue. @link_fd: socketpair to the fsworker, taken over. @bulk: this link's window of the
 * bulk area, mapped. @state: what outlives this process of the ring; what one before this left there is gone on from.
 * NULL: no memory or no thread (errno tells). */
struct queue *queue_new(struct fuse_dev *dev, unsigned index, int link_fd, void *bulk, struct state_ring *state);

/* queue_free() - stop the thread and free all. */
void queue_free(struct queue *q);

/* queue_start() - attach to the ring and begin to serve it once it is enabled. 0, -EINVAL, -EFAULT as virtq_start().
 * cfg->own is the queue's to set; with cfg->resume it goes on where a process before this one died. */
int queue_start(struct queue *q, const struct virtq_config *cfg, struct gmem *m) NODISCARD;

/* queue_stop() - take no more chains, wait until those in flight are answered (waiting locks are kept for a restart
 * at the same index), detach from memory. Return the next available index. Without effect when not started. */
uint16_t queue_stop(struct queue *q);

/* queue_drop() - as queue_stop(), but what waits is cancelled and forgotten (device reset). */
void queue_drop(struct queue *q);

bool queue_started(const struct queue *q);
void queue_enable(struct queue *q, bool on);
int queue_set_gmem(struct queue *q, struct gmem *m) NODISCARD;

/* The descriptors are taken over; -1 for none. A kick that is -1: the ring is polled for kicks by nobody and stands. */
void queue_set_kick(struct queue *q, int fd);
void queue_set_call(struct queue *q, int fd);
void queue_set_err(struct queue *q, int fd);

#endif
