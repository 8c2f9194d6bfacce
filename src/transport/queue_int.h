/* queue_int.h - inside of a ring: shared by queue.c, queue_loop.c, request*.c, worker_link.c and direct_io.c only.
 *
 * Everything in struct queue belongs to the ring's own thread, but for the mailbox (under `mail_lock`), through which
 * pool threads hand in results, the control thread its commands, and other rings an INTERRUPT.
 *
 * A request's way: virtq_pop() -> request_begin() decodes -> answered at once (request_reply*), or served from a granted
 * descriptor (direct_io.c, perhaps on a pool thread), or sent to the fsworker (worker_link.c) -> request_reply*() writes
 * into the guest's buffers and gives the head back. One update of the used ring for all that was done in a round.
 */
#ifndef VFSD_QUEUE_INT_H
#define VFSD_QUEUE_INT_H

#include "common/log.h"
#include "ipc/channel.h"
#include "transport/fuse_decode.h"
#include "transport/fuse_dev.h"
#include "transport/pool.h"
#include "transport/queue.h"

#include <pthread.h>

#define REQUEST_SEGS 6 /* device-writable segments kept in the request itself; more are allocated */

enum request_state {
	/* In the free list. May: be taken by request_alloc(). */
	REQUEST_FREE,
	/* Being looked at by the ring's thread; its segments are the virtqueue's scratch until request_keep(). */
	REQUEST_NEW,
	/* At the fsworker. Only an answer with its tag moves it on. */
	REQUEST_SENT,
	/* A lock that may wait as long as it likes: as SENT, but no stop of the ring waits for it. */
	REQUEST_WAITING,
	/* Waits for a slot of the bulk area, in queue.bulk_wait. */
	REQUEST_BULK,
	/* On a pool thread, which owns .job and reads the rest. */
	REQUEST_POOL,
	/* Its ring was reset while it was SENT or WAITING: the answer is dropped. */
	REQUEST_ORPHAN,
	/* Kept for a head that a process before this one asked about, until that is handed out again. */
	REQUEST_KEPT,
};

/* Contents going between a file and guest memory on behalf of one request; see direct_io.c. */
struct direct_job {
	struct pool_job job;
	struct request *req;
	struct queue *q;
	struct handle *h, *h2; /* references */
	struct gmem *mem;      /* reference: keeps the guest's pages mapped meanwhile */
	struct iovec *iov;      /* what is left; scratch of the ring, or inside iov_base */
	struct iovec *iov_base; /* allocated, or NULL */
	unsigned niov;
	uint32_t opcode;
	uint64_t offset, offset2, len; /* of what is left to do */
	uint64_t done;                 /* bytes before that */
	struct state_row *append;      /* of a write at the end of the file; or NULL */
	uint32_t mode;
	int error;                     /* result: positive errno, or 0 and done (or offset for LSEEK) */
	struct direct_job *next_done;
};

struct request {
	struct queue *q;
	struct request *next; /* free list, bulk_wait */
	uint32_t index;       /* of this slot; low part of the tag */
	uint64_t ticket;      /* of the chain, high part: a late or forged answer never meets another request */
	enum request_state state;
	uint16_t head;
	uint16_t nseg;
	uint32_t opcode;
	uint16_t ipc_type; /* what was asked of the fsworker */
	int16_t bulk_slot; /* -1: none */
	uint64_t unique;
	uint64_t reply_room;    /* bytes that the guest can take */
	struct virtq_seg *seg;  /* device-writable */
	struct virtq_seg inline_seg[REQUEST_SEGS];
	/* What the reply needs to know of the request. */
	uint64_t nodeid, fh;
	uint32_t size;
	uint32_t flags;
	int parked_error; /* WAITING, answered while the ring was stopped: the errno, else -1 */
	bool reserved;    /* a descriptor for the file that it opens, see handles_reserve() */
	bool cancel;      /* its CANCEL found no room on the link and is still to be sent */
	/* WRITE: where its data is in guest memory, and what was asked for */
	struct virtq_seg *out_seg; /* allocated when kept */
	uint16_t nout;
	struct ipc_write_req write;
	struct direct_job direct;
	struct fw_init_out init_out; /* INIT */
	uint64_t init_flags;
};

enum queue_cmd { CMD_NONE, CMD_START, CMD_STOP, CMD_DROP, CMD_ENABLE, CMD_GMEM, CMD_KICK, CMD_CALL, CMD_ERR, CMD_EXIT };

struct queue_command {
	enum queue_cmd cmd;
	const struct virtq_config *cfg;
	struct gmem *mem;
	int fd;
	bool on;
	int result;
	bool done;
};

struct queue_loop; /* libevent's side, queue_loop.c */

struct queue {
	struct fuse_dev *dev;
	unsigned index;
	pthread_t thread;
	struct queue_loop *loop;

	struct virtq *vq;
	struct gmem *mem; /* reference; NULL when stopped */
	struct virtq_config cfg; /* what it was started with last */
	bool enabled;
	bool polling; /* it is looked for chains without kicks */
	uint32_t npool; /* requests on pool threads */
	bool stopping;           /* CMD_STOP or CMD_DROP is waiting for requests to end */
	struct queue_command *stop_cmd;
	bool pushed;             /* heads were given back since the last virtq_publish() */
	bool call;               /* the guest wants to be called */
	bool reported_broken;
	uint16_t last_base;      /* where the last stop left off */
	int kick_fd, call_fd, err_fd, link_fd, wake_fd;

	struct request **slots; /* grows up to the ring's size */
	uint32_t nslots, slots_max;
	struct request *free;
	uint32_t active; /* slots in use, without the WAITING and ORPHAN ones */
	uint32_t nwaiting; /* WAITING ones; atomic: other rings ask before they post an INTERRUPT */
	uint32_t ncancels; /* requests with .cancel */

	char *bulk; /* this link's window */
	uint32_t bulk_free; /* one bit per free slot */
	struct request *bulk_wait, **bulk_wait_tail;

	bool out_full; /* the link takes no more now: no pops until it does */
	bool out_urgent; /* somebody waits for what is in the batch */
	bool link_dead;
	bool link_reap; /* it died in this round: what was asked over it is still to be answered */
	bool reaped; /* it was: the ring may have been left when the link was full, without a kick to come */
	struct ipc_batch *out; /* in the state, as `in` */
	struct ipc_dgram *in;

	/* What outlives this process; what it says at the start is of the one before. */
	struct state_ring *state;
	struct state_ring *own_state; /* the same when there is none: allocated */
	bool inherited; /* there is something of the process before that the first start has to deal with */
	bool resumed;   /* answers to questions of the process before may come, also to such that nobody waits for any more */
	bool out_found; /* `out` is the process before's, and may have been sent: nothing is added */
	const struct state_row *asked; /* the request being decoded was asked by the process before */

	char *args;  /* FUSE_ARGS_MAX: the request being decoded */
	char *reply; /* scratch for encoded replies */

	pthread_mutex_t mail_lock;
	pthread_cond_t mail_done; /* signalled when a command was done */
	struct queue_command *mail_cmd;
	struct direct_job *mail_jobs; /* finished by pool threads, last first */
	bool mail_interrupted; /* there are uniques in state->interrupts; more at once are lost, as INTERRUPT is only a hint */

	struct iovec iov[VIRTQ_SEGS_MAX]; /* scratch of direct I/O on this thread */
};

#define QUEUE_REPLY_MAX (72u * 1024)

/* The most that one request can add to a batch: the ring is only popped while there is that much room. */
#define LINK_ROOM (FUSE_ARGS_MAX + 4096u)

/* queue.c */
void queue_run_mail(struct queue *q);
void queue_run_ring(struct queue *q);
bool queue_poll(struct queue *q);
bool queue_may_poll(struct queue *q);
void queue_poll_end(struct queue *q);
void queue_finish_round(struct queue *q);
void queue_publish(struct queue *q);
void queue_post_done(struct queue *q, struct direct_job *job);
void queue_post_interrupt(struct queue *q, uint64_t unique);
void queue_report_broken(struct queue *q);

/* queue_loop.c: the only place here that knows libevent. */
struct queue_loop *queue_loop_new(struct queue *q);
void queue_loop_free(struct queue_loop *l);
void queue_loop_run(struct queue_loop *l);
void queue_loop_exit(struct queue_loop *l);
void queue_loop_watch_kick(struct queue_loop *l, int fd);  /* -1: none */
void queue_loop_watch_link(struct queue_loop *l, bool read, bool write);
void queue_loop_flush_soon(struct queue_loop *l); /* call link_flush() within a millisecond or two */

/* request.c */
void request_begin(struct queue *q, const struct virtq_elem *e);
struct request *request_alloc(struct queue *q, uint64_t ticket);
void request_drop_uncounted(struct queue *q);
int request_keep_slots(struct queue *q, uint32_t size);
bool request_was_asked(void *q, uint16_t head, uint64_t ticket);
struct state_row *request_row(struct request *r);
struct handle *request_handle(struct request *r, uint64_t fh);
void request_set_waiting(struct request *r, bool on);
void request_free(struct request *r);
bool request_keep(struct request *r);
void request_reply(struct request *r, int error, const void *body, size_t len);
void request_reply2(struct request *r, const void *body, size_t len, const void *tail, size_t tail_len);
void request_reply_error(struct request *r, int error);
void request_reply_written(struct request *r, uint64_t body_len); /* the body is in guest memory already */
bool request_copy_in(struct request *r, uint64_t skip, const void *data, size_t len);
void request_end(struct request *r, uint32_t used_len);

/* request_ops.c, request_session.c: one function per row of fuse_ops.def. */
typedef void request_fn(struct request *r, const struct fuse_req *fr);
#define FUSE_OP(OP, handler, size, names, flags) request_fn request_##handler;
#include "transport/fuse_ops.def"
#undef FUSE_OP

/* request_answer.c */
void request_answer(struct request *r, const struct ipc_msg *m);

/* worker_link.c */
void *link_add(struct request *r, uint16_t type, uint32_t tail_len, char **tail);
void *link_add_no_reply(struct request *r, uint16_t type, uint32_t tail_len, char **tail);
void link_commit(struct queue *q);
void link_flush(struct queue *q);
bool link_read(struct queue *q);
void link_open(struct queue *q);
void link_found(struct queue *q, bool wanted);
void link_cancel(struct request *r);
void link_cancel_inherited(struct queue *q);
void link_end_round(struct queue *q);
void link_bulk_write(struct request *r);
void link_bulk_read(struct request *r);
void link_bulk_free(struct request *r);

/* direct_io.c */
void direct_read(struct request *r, struct handle *h, uint64_t offset, uint32_t size);
void direct_write(struct request *r, struct handle *h);
void direct_submit(struct request *r, struct handle *h, struct handle *h2); /* FSYNC, FALLOCATE, COPY */
void direct_done(struct direct_job *job);

#endif
