/* state.h - what outlives this process: one memfd that the monitor made and never looks into, and the next transport maps.
 *
 * Role: transport. Distrusted: the process before this one, which the guest may have taken over. Its successor believes no
 * number here: each is bounded, each descriptor that it fetches is looked at, and what does not fit is as if it were not
 * there. At worst the guest loses what it broke itself.
 *
 * A process may die between any two instructions, so what belongs together changes by one store: of a word, or of the index
 * that says which of two copies counts. Only the order in which the compiler puts stores matters, not that in which other
 * processors see them: who reads them was started after the writer was dead.
 *
 * Descriptors are told by generation and number (ipc_held(), hold/hold.h). 0: none.
 */
#ifndef VFSD_STATE_H
#define VFSD_STATE_H

#include "ipc/channel.h"
#include "transport/gmem.h"
#include "transport/vhost_msg.h"
#include "transport/virtq.h"

#include <sys/socket.h>
#include <sys/uio.h>

/* From one build to the next these structs may change: who finds another version, or another size of it, leaves it alone. */
#define STATE_VERSION 3u

/* the device ----------------------------------------------------------------------------------------- */

struct state_region {
	uint64_t guest, size, user, offset; /* offset: in the file */
	uint32_t held;
	uint32_t zero;
};

struct state_vring {
	uint64_t desc, avail, used;
	uint32_t num;
	uint16_t base; /* unless it runs */
	uint16_t flags; /* SVR_* */
	uint32_t kick, call, err; /* held */
	uint32_t zero;
};
#define SVR_ADDR 1u
#define SVR_KICK 2u /* was set, perhaps to "none" */
#define SVR_ENABLED 4u
#define SVR_RUNNING 8u

/* All that messages of the VMM change. There are two copies; a message's effects are written into the one that does not count,
 * with the number of the message and its reply, and then that one counts. */
struct state_device {
	uint64_t features, proto;
	uint32_t obeyed; /* number of the message that was obeyed last: see struct state_conn */
	uint32_t reply_due; /* to that one */
	struct vhost_hdr reply_hdr;
	uint32_t reply_held; /* a descriptor that goes with it */
	uint32_t nregions;
	uint32_t backend_req;
	uint32_t inflight; /* held */
	uint16_t inflight_queues, inflight_size;
	uint64_t inflight_offset, inflight_bytes;
	uint8_t reply[sizeof(struct vhost_config)];
	struct state_region region[GMEM_SLOTS_MAX];
	struct state_vring ring[IPC_LINKS_MAX];
};

/* the connection ------------------------------------------------------------------------------------- */

#define STATE_CONN_FDS 256u /* more than the kernel sends along with one piece */

/* The VMM's socket is a stream. The kernel writes into this memory what it delivers, and by its last store (msg_len of the
 * mmsghdr) how much: there is no moment at which a process has taken something off the socket and its successor does not know
 * it. See vhost_conn.c. */
struct state_conn {
	uint32_t held;      /* the connection */
	uint32_t accepting; /* what it will be called, while it is being accepted */
	uint32_t generation; /* whose numbers are in `control` */
	uint32_t piece_at;  /* where in the message the piece belongs that is being read */
	uint64_t progress;  /* STATE_PROGRESS_* of the message */
	uint32_t fds[VHOST_FDS_MAX]; /* held, of the message */
	uint32_t sending;   /* number of the message to which `send` is the reply */
	uint32_t zero;
	struct iovec iov;
	struct mmsghdr piece;
	struct mmsghdr send;
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(STATE_CONN_FDS * sizeof(int))];
	struct vhost_hdr hdr;
	uint32_t zero2;
	union vhost_payload p;
};

/* One word, so that it changes at once: bytes that are here, descriptors, whether some were lost, and the message's number,
 * which only tells it from the one before. */
#define STATE_PROGRESS(got, nfds, lost, number) \
	((uint64_t)(got) | (uint64_t)(nfds) << 24 | (uint64_t)(lost) << 32 | (uint64_t)(number) << 40)
#define STATE_GOT(p) ((uint32_t)((p) & 0xffffff))
#define STATE_NFDS(p) ((uint32_t)((p) >> 24 & 0xff))
#define STATE_FDS_LOST(p) ((uint32_t)((p) >> 32 & 0xff))
#define STATE_NUMBER(p) ((uint32_t)((p) >> 40))
#define STATE_NUMBER_MAX 0xffffffu

#define STATE_LOCKED_BITS 65536u

struct state_session {
	uint64_t flags;
	uint32_t up;
	uint32_t zero;
	uint64_t locked[STATE_LOCKED_BITS / 64]; /* a bit for the hash of a nodeid: see fuse_dev_lock() */
};

struct state_head {
	uint32_t version; /* written last */
	uint32_t size;    /* of this struct and struct state_ring: another build? */
	uint32_t current; /* which of dev[] counts */
	uint32_t zero;
	struct state_session session;
	struct state_conn conn;
	struct state_device dev[2];
};
_Static_assert(sizeof(struct state_head) <= IPC_DEVICE_STATE, "fits");

/* a ring --------------------------------------------------------------------------------------------- */

/* What was done for a chain in flight, beside taking it off the ring. It means that chain only when the ticket is its. */
struct state_row {
	uint64_t ticket;
	uint64_t asked;  /* where its message ends, as struct state_ring's `commit` counts; 0: it has none. See worker_link.c */
	uint64_t before; /* ROW_APPEND: size of the file before */
	uint32_t index;  /* low part of the message's tag */
	uint32_t done;   /* bytes of a write that were written from here before the rest was asked for */
	uint16_t type;   /* of the message */
	uint16_t parked; /* 1 + errno of an answer that came while the ring was stopped */
	int8_t slot;     /* of the bulk area, or -1 */
	uint8_t flags;   /* ROW_* */
	uint16_t zero;
};
#define ROW_APPEND 1u /* an append was begun: direct_io.c */
#define ROW_CANCEL 2u /* a CANCEL is to be sent */
#define ROW_NO_INDEX UINT32_MAX /* nobody answers */

#define STATE_INTERRUPTS 16u

struct state_ring {
	/* Batches of questions are numbered 0, 1, 2...: number << STATE_COMMIT_SHIFT | bytes of `out` that are whole messages. */
	uint64_t commit;
	uint32_t generation; /* whose numbers are in in.fds */
	uint32_t ngrants;    /* the descriptors of `in` were moved to grant[] by a process that took over */
	uint32_t grant[IPC_FDS_MAX];
	/* Where the ring was stopped last, if locks still wait: they go on if it starts again there. */
	uint32_t stopped_size; /* 0: nowhere */
	uint16_t stopped_base;
	uint16_t zero;
	uint64_t stopped_desc, stopped_avail, stopped_used;
	uint64_t blamed; /* ticket of the chain in whose service a process died of itself, and how often: blame.h */
	uint64_t blame;
	uint64_t interrupts[STATE_INTERRUPTS]; /* uniques in which the guest lost interest; 0: free */
	uint64_t own[VIRTQ_OWN_BYTES / 8];
	struct state_row row[VIRTQ_SIZE_MAX];
	struct ipc_dgram in;
	struct ipc_batch out;
};
_Static_assert(sizeof(struct state_ring) <= IPC_RING_STATE, "fits");

#define STATE_COMMIT_SHIFT 20
#define STATE_COMMIT_USED ((1u << STATE_COMMIT_SHIFT) - 1)
_Static_assert(IPC_DGRAM_MAX <= STATE_COMMIT_USED, "fits");

/* files ---------------------------------------------------------------------------------------------- */

/* A granted file; the row's index is the low half of its handle. */
struct state_file {
	uint64_t fh, nodeid;
	uint32_t held;
	uint32_t open_flags;
	uint32_t flags; /* STATE_FILE_*; written last */
	uint32_t zero;
};
#define STATE_FILE_USED 1u
#define STATE_FILE_SUIDGID 2u
_Static_assert(sizeof(struct state_file) == 32, "IPC_TSTATE_BYTES");

/* the whole ------------------------------------------------------------------------------------------ */

struct state {
	struct state_head *head;
	char *base;
	uint32_t nlinks, nfiles; /* rows */
	uint32_t generation; /* of this process */
	bool found; /* there was a process before this one: take over from it */
	uint32_t lost; /* files of it that could not be had */
};

/* state_fetch_fn() - get descriptors that processes before this one held; hold_inherit(). Each -1 when it is not to be had. */
struct state_fetch {
	int (*fn)(void *arg, const uint32_t *held, int *fds, uint32_t n);
	void *arg;
};

/* state_open() - @fd: the memfd, borrowed. 0 or -errno; -EPROTO: it is of another build. */
int state_open(struct state *s, int fd, uint32_t nlinks, uint32_t max_open_files, uint32_t generation) NODISCARD;

/* state_use() - the same in memory of IPC_TSTATE_BYTES that is there already. */
int state_use(struct state *s, void *memory, uint32_t nlinks, uint32_t max_open_files, uint32_t generation) NODISCARD;

struct state_ring *state_ring(const struct state *s, uint32_t i);
struct state_file *state_files(const struct state *s);

/* state_device() - the copy that counts. state_draft() - the other one, to be filled in whole; state_commit(): it counts. */
const struct state_device *state_device(const struct state *s);
struct state_device *state_draft(const struct state *s);
void state_commit(struct state *s);

/* state_fetch_all() - any number of descriptors. What cannot be had is -1. */
void state_fetch_all(const struct state_fetch *f, const uint32_t *held, int *fds, uint32_t n);
int state_fetch_one(const struct state_fetch *f, uint32_t held);

/* state_ring_inherit() - before the holders of the predecessors end: move what a ring's datagram has of descriptors to us. */
void state_ring_inherit(struct state_ring *r, uint32_t generation, const struct state_fetch *f);

/* state_under_way() - chains that were taken off their rings and not given back. */
uint32_t state_under_way(const struct state *s);

/* state_held() - a number of ours; 0 for none. */
static inline uint32_t state_held(uint32_t generation, int fd)
{
	return fd < 0 ? 0 : ipc_held(generation, fd);
}

/* state_order() - what was written before is in memory before what is written after, for who reads it after our death. */
static inline void state_order(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

#endif
