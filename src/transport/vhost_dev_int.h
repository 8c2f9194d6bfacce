/* vhost_dev_int.h - what vhost_dev.c and vhost_ring.c share; nobody else includes it.
 *
 * Role: transport, control thread.
 */
#ifndef VFSD_VHOST_DEV_INT_H
#define VFSD_VHOST_DEV_INT_H

#include "transport/vhost_dev.h"

#define SHARE_HINT "guest memory must be shared (memory-backend-memfd,share=on)"

struct ring {
	struct queue *queue; /* NULL until it is needed: a thread for each ring that is used, none for the others */
	int link_fd;	     /* until the queue takes it over */
	struct vhost_vring_addr addr;
	bool addr_set;
	bool kick_set;
	bool enabled;
	uint16_t base;		/* where to go on, unless running */
	struct gmem *inflight;	/* the in-flight region that it runs with */
	int kick_fd, call_fd, err_fd; /* numbers of what the queue has, for the state; -1: none */
	bool resume;		/* it ran when the process before this one died */
};

/* A region's file stays open, for a successor. */
struct region_row {
	struct vhost_region r;
	int fd;
};

struct vhost_dev {
	struct ipc_config_transport config;
	struct fuse_dev *fuse;
	char *bulk;
	struct vhost_env env; /* env.ring is ring_env below */
	struct gmem *mem;
	struct region_row row[GMEM_SLOTS_MAX];
	uint32_t nrows;
	int backend_req_fd; /* kept, never used: see do_set_backend_req_fd() */

	/* the in-flight region, or NULL */
	struct gmem *inflight;
	uint16_t inflight_queues;
	uint16_t inflight_size; /* entries of each ring */
	uint64_t inflight_offset, inflight_bytes; /* in its file */
	int inflight_fd;

	struct state *state; /* or NULL */
	uint32_t obeyed;     /* number of the message before */
	bool again;          /* the next message may have been obeyed in part by the process before this one */
	bool reply_due;      /* to that one */
	struct vhost_reply reply;

	struct vhost_ring_env ring_env[IPC_LINKS_MAX];
	struct ring ring[IPC_LINKS_MAX];
};

typedef int effect_fn(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply);

/* vhost_ring.c: effects of the messages that name a ring */
effect_fn vhost_set_num, vhost_set_base, vhost_set_addr, vhost_get_base, vhost_set_enable;
effect_fn vhost_set_kick, vhost_set_call, vhost_set_err;

/* vhost_dev.c: dev_keep() - write down what the device is now. Before each step that the VMM or the guest can see, and before a
 * descriptor that was written down is closed. */
void dev_keep(struct vhost_dev *dev);

/* ring_try_start() - run the ring if all that it needs is there. 0 also when something is still missing. */
int ring_try_start(struct vhost_dev *dev, uint32_t i) NODISCARD;

/* ring_prepare() - after a take-over: give it what it needs to run. ring_resume() - go on if it ran. */
void ring_prepare(struct vhost_dev *dev, uint32_t i);
void ring_resume(struct vhost_dev *dev, uint32_t i);

/* ring_stop() - stop it if it runs; return once nothing touches the ring's memory any more. */
void ring_stop(struct vhost_dev *dev, uint32_t i);

/* ring_reset() - drop what is in flight and forget all but the CALL and ERR descriptors. */
void ring_reset(struct vhost_dev *dev, uint32_t i);

static inline bool vhost_has_feature(const struct vhost_dev *dev, unsigned int bit)
{
	return dev->env.features & VHOST_BIT(bit);
}

#endif
