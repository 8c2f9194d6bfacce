/* respawn_fixture.c - see respawn_fixture.h. */
#include "respawn_fixture.h"

#include "common/crashpoint.h"
#include "common/log.h"
#include "ipc/channel.h"
#include "transport/control_loop.h"
#include "transport/fuse_dev.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#define GUEST 0x40000000ull
#define USER 0x7e0000000000ull
#define RING_BYTES 8192u
#define MEM_BYTES (RINGS * (RING_BYTES + SLOTS * 2 * BUFFER))
#define WAIT_S 10

struct world world;

static const char *crash_at, *crash_then;
static unsigned crash_count;

/* Shared by all of them. */
static struct {
	pid_t test;
	pid_t holder[256];
} *common;
static char *state_memory, *guest_memory, *bulk;
static int mem_fd, listen_fd, vmm_fd, monitor[2], links[RINGS][2], kick[RINGS], call_fd[RINGS];
static struct sockaddr_un address;

static struct {
	pid_t pid;
	int pidfd;
	uint32_t generation;
} transport;

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* the transport ------------------------------------------------------------------------------------- */

static void to_stderr(enum log_level level, const char *text, size_t len)
{
	if (level <= LOG_LVL_ERR || getenv("RESPAWN_DEBUG"))
		fprintf(stderr, "transport %u: %.*s\n", transport.generation, (int)len, text);
}

static int fetch(void *arg, const uint32_t *held, int *fds, uint32_t n)
{
	(void)arg;
	for (uint32_t i = 0; i < n; i++) {
		pid_t holder = common->holder[held[i] >> 24];
		int pidfd = holder ? (int)syscall(SYS_pidfd_open, holder, 0) : -1;

		fds[i] = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, held[i] & IPC_HELD_NUMBER_MAX, 0);
		close_fd(&pidfd);
	}
	return 0;
}

/* In the transport: a process that has all its descriptors, and outlives it. */
static void split(void)
{
	long pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid == 0) {
		prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
		while (kill(common->test, 0) == 0)
			poll(NULL, 0, 200);
		_exit(0);
	}
	common->holder[transport.generation] = (pid_t)pid;
}

static void end_holders(bool all)
{
	for (uint32_t g = 0; g < ARRAY_SIZE(common->holder); g++)
		if (common->holder[g] && (all || g != transport.generation)) {
			kill(common->holder[g], SIGKILL);
			common->holder[g] = 0;
		}
}

static _Noreturn void transport_run(void)
{
	static struct ipc_config_transport config;
	static struct state state;
	const struct state_fetch f = { .fn = fetch };
	struct vhost_dev_params p = { .config = &config, .bulk = bulk, .state = &state };
	int link_fds[RINGS], socket = listen_fd, conn = -1;
	struct vhost_dev *dev;

	close(vmm_fd);
	close(monitor[0]);
	for (uint32_t i = 0; i < RINGS; i++) {
		close(links[i][1]);
		link_fds[i] = links[i][0];
	}
	split();
	log_to_sink(to_stderr);
	log_level_limit = getenv("RESPAWN_DEBUG") ? LOG_LVL_DEBUG : LOG_LVL_WARN;
	signal(SIGPIPE, SIG_IGN);
	config = (struct ipc_config_transport){
		.flags = CFG_HAS_TAG | CFG_POSIX_LOCK | CFG_XATTR,
		.nlinks = RINGS,
		.config_queues = 1,
		.thread_pool_size = 2,
		.max_open_files = FILES,
		.tag = "fs",
		.heir = { .generation = transport.generation },
	};
	if (gmem_install_sigbus() || state_use(&state, state_memory, RINGS, FILES, transport.generation))
		_exit(3);
	p.fuse = fuse_dev_new(&config);
	p.fuse->while_waiting = control_while_waiting;
	p.link_fds = link_fds;
	dev = vhost_dev_new(&p);
	fuse_dev_keep(p.fuse, &state, &f);
	if (state.found) {
		vhost_dev_inherit(dev, &f);
		conn = vhost_conn_inherit(&state.head->conn, transport.generation, &f);
	}
	if (conn >= 0)
		socket = conn;
	end_holders(false); /* as with READY */
	CRASHPOINT("ready");
	if (state.found)
		vhost_dev_resume(dev);
	_exit(control_run(monitor[1], socket, conn >= 0, dev, &state));
}

static void transport_start(void)
{
	transport.generation = transport.generation % 255 + 1;
	transport.pid = fork();
	ck_assert_int_ge(transport.pid, 0);
	if (transport.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		crashpoint_arm(crash_at, crash_count);
		transport_run();
	}
	transport.pidfd = (int)syscall(SYS_pidfd_open, transport.pid, 0);
	crash_at = crash_then;
	crash_count = 1;
	crash_then = NULL;
}

static void reap(void)
{
	int status;

	if (world.exited || waitpid(transport.pid, &status, WNOHANG) != transport.pid)
		return;
	close_fd(&transport.pidfd);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		world.exited = true;
		return;
	}
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		ck_abort_msg("a transport ended with status %#x", status);
	world.deaths++;
	if (world.on_death)
		world.on_death();
	transport_start();
}

/* transport_kill() - now, whatever it does. */
void transport_kill(void)
{
	kill(transport.pid, SIGKILL);
}

/* Where something stands that a successor reads. */
static char *state_place(uint32_t n)
{
	struct state s = { .base = state_memory, .nlinks = RINGS };
	struct state_head *head = (struct state_head *)(void *)state_memory;
	struct state_ring *r = state_ring(&s, n / 32 % RINGS);

	switch (n % 32 / 4) {
	case 0:
		return (char *)head + n / 64 % offsetof(struct state_head, dev);
	case 1:
		return (char *)&head->dev[head->current & 1] + n / 64 % (offsetof(struct state_device, region) + 64);
	case 2:
		return (char *)head->dev[head->current & 1].ring + n / 64 % (RINGS * sizeof(struct state_vring));
	case 3:
		return (char *)r + n / 64 % offsetof(struct state_ring, own);
	case 4:
		return (char *)r->own + n / 64 % 1024;
	case 5:
		return (char *)r->row + n / 64 % (RING_SIZE * sizeof(struct state_row));
	case 6:
		return (char *)(n & 1 ? (void *)&r->in : (void *)&r->out) + n / 64 % 1400;
	default:
		return (char *)state_files(&s) + n / 64 % (FILES * sizeof(struct state_file));
	}
}

/* transport_spoiled() - see respawn_fixture.h. */
void transport_spoiled(uint32_t seed, uint32_t places)
{
	static const uint64_t values[] = { 0, 1, 7, 0x7f, 0xff, 0x7fff, 0xffff, 0x1000004, 0x7fffffff, 0xffffffff, UINT64_MAX };
	int64_t until;
	int status;

	transport_kill();
	waitpid(transport.pid, &status, 0);
	close_fd(&transport.pidfd);
	for (uint32_t i = 0; i < places; i++) {
		char *at;

		seed = seed * 1103515245u + 12345u;
		at = state_place(seed >> 4);
		seed = seed * 1103515245u + 12345u;
		memcpy(at, &values[(seed >> 8) % ARRAY_SIZE(values)], 1u << (seed >> 16) % 4);
	}
	((struct state_head *)(void *)state_memory)->version = STATE_VERSION;
	transport_start();
	for (until = now_ms() + 150; now_ms() < until; poll(NULL, 0, 5)) {
		if (waitpid(transport.pid, &status, WNOHANG) != transport.pid)
			continue;
		ck_assert_msg(WIFEXITED(status), "from nonsense %u a transport ended with status %#x", seed, status);
		close_fd(&transport.pidfd);
		world.exited = true;
		return;
	}
}

/* the fsworker -------------------------------------------------------------------------------------- */

static struct ipc_batch answers;
static uint32_t last_number[RINGS];
static struct ipc_dgram last_dgram[RINGS];
static struct waiting_lock {
	uint64_t tag;
	uint32_t link;
} locks[SLOTS * RINGS];

static struct guest_request *request_of(uint64_t number)
{
	ck_assert_uint_gt(number, 0);
	ck_assert_uint_le(number, world.nreq);
	return &world.req[number];
}

static void *answer(const struct ipc_msg *m, int error)
{
	return ipc_batch_add(&answers, m->hdr->type | IPC_REPLY, m->hdr->tag, error, 0, NULL);
}

static void answer_open(const struct ipc_msg *m)
{
	const struct ipc_open_req *q = m->body;
	struct guest_request *r = request_of(q->nodeid);
	static uint32_t opened;
	struct ipc_open_rep *rep = answer(m, 0);

	r->asked++;
	opened++;
	r->fh = (uint64_t)opened << 32 | (opened % FILES + 1);
	rep->fh = r->fh;
	rep->mode = S_IFREG | 0644;
	if (!r->no_grant)
		ck_assert(ipc_batch_fd(&answers, r->file, false));
}

/* The file, if its descriptor was granted: then it is lost, or the transport would not ask. */
static int granted(uint64_t fh)
{
	for (uint32_t i = 1; i <= world.nreq; i++)
		if (world.req[i].fh == fh)
			return world.req[i].no_grant ? -1 : world.req[i].file;
	ck_abort_msg("a handle that there is not");
	return -1;
}

/* Without a grant the offset is the request's number, and the contents follow from it. */
static void answer_read(const struct ipc_msg *m, char *window)
{
	const struct ipc_read_req *q = m->body;
	struct ipc_read_rep *rep = answer(m, 0);
	int fd = granted(q->fh);

	rep->size = q->size;
	if (fd >= 0) {
		world.forwarded++;
		ck_assert_int_eq(pread(fd, window + q->bulk_off, q->size, (off_t)q->offset), q->size);
	} else {
		request_of(q->offset)->asked++;
		memset(window + q->bulk_off, (int)(q->offset & 0x7f), q->size);
	}
}

static void answer_write(const struct ipc_msg *m, char *window)
{
	const struct ipc_write_req *q = m->body;
	struct ipc_write_rep *rep = answer(m, 0);
	int fd = granted(q->fh);

	rep->size = q->size;
	if (fd >= 0) {
		struct iovec iov = { window + q->bulk_off, q->size };

		world.forwarded++;
		ck_assert_int_eq(pwritev2(fd, &iov, 1, (off_t)q->offset, q->flags & IPC_WRITE_APPEND ? RWF_APPEND : 0), q->size);
		return;
	}
	request_of(q->offset)->asked++;
	for (uint32_t i = 0; i < q->size; i++)
		ck_assert_int_eq(window[q->bulk_off + i], (char)(q->offset & 0x7f));
}

static void answer_lock(uint32_t link, const struct ipc_msg *m)
{
	const struct ipc_setlk_req *q = m->body;

	request_of(q->owner)->asked++;
	if (!q->wait || !world.hold_locks) {
		answer(m, 0);
		return;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(locks); i++)
		if (locks[i].tag == 0) {
			locks[i] = (struct waiting_lock){ m->hdr->tag, link };
			world.locks++;
			return;
		}
}

static void cancel(uint32_t link, uint64_t tag)
{
	world.cancels++;
	for (unsigned i = 0; i < ARRAY_SIZE(locks); i++)
		if (locks[i].tag == tag && locks[i].link == link) {
			ipc_batch_add(&answers, IPC_SETLK | IPC_REPLY, tag, EINTR, 0, NULL);
			locks[i].tag = 0;
			world.locks--;
		}
}

static void serve(uint32_t link, const struct ipc_msg *m)
{
	char name[IPC_NAME_MAX + 1] = { 0 };

	switch (m->hdr->type) {
	case IPC_INIT:
	case IPC_DESTROY:
		answer(m, 0);
		break;
	case IPC_LOOKUP: {
		struct ipc_lookup_rep *rep = answer(m, 0);

		memcpy(name, m->tail, MIN(m->tail_len, IPC_NAME_MAX));
		request_of(strtoul(name + 1, NULL, 10))->asked++;
		rep->entry.nodeid = 77;
		rep->entry.st.stx_ino = strtoul(name + 1, NULL, 10);
		break;
	}
	case IPC_GETATTR: {
		struct ipc_getattr_rep *rep = answer(m, 0);

		request_of(((const struct ipc_getattr_req *)m->body)->nodeid)->asked++;
		rep->st.stx_ino = ((const struct ipc_getattr_req *)m->body)->nodeid;
		break;
	}
	case IPC_FORGET:
		for (uint32_t i = 0; i < m->tail_len / sizeof(struct ipc_forget_one); i++) {
			struct ipc_forget_one one;

			memcpy(&one, m->tail + i * sizeof(one), sizeof(one));
			request_of(one.nodeid)->forgotten += one.nlookup;
		}
		break;
	case IPC_OPEN:
		answer_open(m);
		break;
	case IPC_RELEASE:
		request_of(((const struct ipc_release_req *)m->body)->nodeid)->closed++;
		answer(m, 0);
		break;
	case IPC_CLOSE:
		request_of(((const struct ipc_close_req *)m->body)->nodeid)->closed++;
		break;
	case IPC_FLUSH:
		request_of(((const struct ipc_flush_req *)m->body)->nodeid)->flushed++;
		answer(m, 0);
		break;
	case IPC_GETXATTR:
		request_of(((const struct ipc_getxattr_req *)m->body)->size)->asked++;
		answer(m, ENODATA);
		break;
	case IPC_READ:
		answer_read(m, bulk + link * IPC_BULK_LINK);
		break;
	case IPC_WRITE:
		answer_write(m, bulk + link * IPC_BULK_LINK);
		break;
	case IPC_SETLK:
		answer_lock(link, m);
		break;
	case IPC_CANCEL:
		cancel(link, ((const struct ipc_cancel_req *)m->body)->tag);
		break;
	default:
		ck_abort_msg("the fsworker was asked for %s", ipc_type_name(m->hdr->type));
	}
}

/* A datagram with the number of the one before must be that one; else its number is the next. */
static bool is_repeated(uint32_t link, const struct ipc_dgram *d)
{
	ck_assert_uint_ne(d->seq, 0);
	if (d->seq != last_number[link]) {
		ck_assert_uint_eq(d->seq, last_number[link] % IPC_SEQ_MAX + 1);
		last_number[link] = d->seq;
		last_dgram[link] = *d;
		return false;
	}
	ck_assert_uint_eq(d->len, last_dgram[link].len);
	ck_assert_mem_eq(d->buf, last_dgram[link].buf, d->len);
	world.repeated++;
	return true;
}

static void fsworker(uint32_t link)
{
	static struct ipc_dgram d;
	const char *why = "";
	struct ipc_msg m;
	int r;

	while ((r = ipc_recv(links[link][1], &d, MSG_DONTWAIT)) == 1) {
		if (!is_repeated(link, &d)) {
			ipc_batch_reset(&answers);
			while ((r = ipc_next(&d, IPC_DIR_T2W, &m, &why)) == 1)
				serve(link, &m);
			if (r)
				ck_abort_msg("link %u: %s", link, why);
			ck_assert_int_eq(ipc_batch_send(links[link][1], &answers), 0);
		}
		ipc_dgram_end(&d);
	}
	ck_assert_int_eq(r, -EAGAIN);
}

/* fsworker_grant_locks() - all that wait; each answer comes once more, as from a successor that does not know of the first. */
void fsworker_grant_locks(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(locks); i++) {
		if (locks[i].tag == 0)
			continue;
		for (int again = 0; again < 2; again++) {
			ipc_batch_reset(&answers);
			ipc_batch_add(&answers, IPC_SETLK | IPC_REPLY, locks[i].tag, 0, 0, NULL);
			answers.resent = again;
			ck_assert_int_eq(ipc_batch_send(links[locks[i].link][1], &answers), 0);
			answers.resent = false;
		}
		locks[i].tag = 0;
		world.locks--;
	}
}

/* the guest ----------------------------------------------------------------------------------------- */

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};
static struct guest_ring {
	struct desc *desc;
	uint16_t *avail; /* flags, idx, ring[], used_event */
	uint16_t *used;	 /* flags, idx, ring[] of 8 bytes, avail_event */
	uint16_t avail_idx, shown, used_idx;
	uint32_t req[SLOTS]; /* 0: free */
} ring[RINGS];

#define AVAIL_AT (sizeof(struct desc) * RING_SIZE)
#define USED_AT 4096u
_Static_assert(AVAIL_AT + 6 + 2 * RING_SIZE <= USED_AT && USED_AT + 6 + 8 * RING_SIZE <= RING_BYTES, "fits");

static char *buffer(uint32_t r, uint32_t slot, bool in)
{
	return guest_memory + RINGS * RING_BYTES + ((size_t)(r * SLOTS + slot) * 2 + in) * BUFFER;
}

static void set_desc(struct guest_ring *g, uint32_t i, const char *at, uint32_t len, uint16_t flags)
{
	g->desc[i] = (struct desc){ GUEST + (uint64_t)(at - guest_memory), len, flags, (uint16_t)(i + 1) };
}

/* guest_has_room() - for one more request. */
bool guest_has_room(uint32_t r)
{
	for (uint32_t s = 0; s < SLOTS; s++)
		if (ring[r].req[s] == 0)
			return true;
	return false;
}

/* guest_add() - see respawn_fixture.h. */
uint32_t guest_add(uint32_t r, uint32_t opcode, uint64_t nodeid, const void *arg, uint32_t arg_len, const void *more,
		   uint32_t more_len, uint32_t room)
{
	struct guest_ring *g = &ring[r];
	uint32_t slot = 0, number = ++world.nreq;
	struct guest_request *q = &world.req[number];
	struct fw_in_header h = { .len = sizeof(h) + arg_len + more_len, .opcode = opcode, .unique = number,
				  .nodeid = nodeid ? nodeid : number };
	char *out;

	ck_assert_uint_lt(number, REQUESTS_MAX);
	while (g->req[slot])
		slot++;
	ck_assert_uint_lt(slot, SLOTS);
	ck_assert_uint_le(h.len, BUFFER);
	g->req[slot] = number;
	q->busy = true;
	q->ring = r;
	q->slot = slot;
	q->no_reply = room == 0;
	out = buffer(r, slot, false);
	memcpy(out, &h, sizeof(h));
	if (arg_len)
		memcpy(out + sizeof(h), arg, arg_len);
	if (more_len)
		memcpy(out + sizeof(h) + arg_len, more, more_len);
	set_desc(g, 2 * slot, out, h.len, room ? 1 : 0);
	memset(buffer(r, slot, true), 0xee, 64);
	if (room)
		set_desc(g, 2 * slot + 1, buffer(r, slot, true), (uint32_t)sizeof(struct fw_out_header) + room, 2);
	g->avail[2 + g->avail_idx++ % RING_SIZE] = (uint16_t)(2 * slot);
	return number;
}

/* guest_kick() - as a real driver: not unless it was asked for. */
void guest_kick(uint32_t r)
{
	struct guest_ring *g = &ring[r];
	uint16_t old = g->shown, event;
	uint64_t one = 1;

	g->shown = g->avail_idx;
	__atomic_store_n(&g->avail[1], g->shown, __ATOMIC_SEQ_CST);
	event = __atomic_load_n(&g->used[2 + 4 * RING_SIZE], __ATOMIC_SEQ_CST);
	if ((uint16_t)(g->shown - event - 1) < (uint16_t)(g->shown - old))
		ck_assert_int_eq(write(kick[r], &one, sizeof(one)), sizeof(one));
}

static void take_used(uint32_t r, uint32_t id, uint32_t len)
{
	struct guest_ring *g = &ring[r];
	struct fw_out_header h;
	struct guest_request *q;
	uint32_t slot = id / 2;

	ck_assert_uint_eq(id % 2, 0);
	ck_assert_uint_lt(slot, SLOTS);
	if (g->req[slot] == 0)
		ck_abort_msg("ring %u: head %u was given back twice", r, id);
	q = &world.req[g->req[slot]];
	ck_assert(!q->answered);
	q->answered = true;
	q->busy = false;
	if (q->no_reply) {
		ck_assert_uint_eq(len, 0);
	} else {
		memcpy(&h, buffer(r, slot, true), sizeof(h));
		ck_assert_uint_eq(len, h.len);
		ck_assert_uint_eq(h.unique, g->req[slot]);
		q->error = -h.error;
		q->len = len - (uint32_t)sizeof(h);
		memcpy(q->body, buffer(r, slot, true) + sizeof(h), MIN(q->len, sizeof(q->body)));
		if (q->expect) {
			ck_assert_int_eq(q->error, 0);
			ck_assert_uint_eq(q->len, q->expect_len);
			ck_assert_mem_eq(buffer(r, slot, true) + sizeof(h), q->expect, q->expect_len);
		}
	}
	g->req[slot] = 0;
}

/* Only when it was called: a call that is lost must be seen. */
static void guest(uint32_t r)
{
	struct guest_ring *g = &ring[r];
	uint64_t calls;

	if (read(call_fd[r], &calls, sizeof(calls)) != sizeof(calls))
		return;
	do {
		while (g->used_idx != __atomic_load_n(&g->used[1], __ATOMIC_SEQ_CST)) {
			uint32_t e[2];

			memcpy(e, (char *)(g->used + 2) + 8 * (g->used_idx++ % RING_SIZE), sizeof(e));
			take_used(r, e[0], e[1]);
		}
		__atomic_store_n(&g->avail[2 + RING_SIZE], g->used_idx, __ATOMIC_SEQ_CST);
	} while (g->used_idx != __atomic_load_n(&g->used[1], __ATOMIC_SEQ_CST));
}

/* the VMM ------------------------------------------------------------------------------------------- */

static struct {
	struct vhost_hdr hdr;
	union vhost_payload p;
	char bytes[sizeof(struct vhost_hdr) + sizeof(union vhost_payload)]; /* as they came */
	uint32_t got;
	int fd;
	bool expected, whole;
} reply;

static void vmm_hear(void)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	struct iovec iov = { reply.bytes + reply.got, sizeof(reply.bytes) - reply.got };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	ssize_t n = vmm_fd < 0 ? -1 : recvmsg(vmm_fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n <= 0)
		return;
	for (struct cmsghdr *cm = CMSG_FIRSTHDR(&mh); cm; cm = CMSG_NXTHDR(&mh, cm))
		memcpy(&reply.fd, CMSG_DATA(cm), sizeof(int));
	ck_assert_msg(reply.expected && !reply.whole, "a reply that is not due, perhaps twice");
	reply.got += (uint32_t)n;
	memcpy(&reply.hdr, reply.bytes, sizeof(reply.hdr));
	memcpy(&reply.p, reply.bytes + sizeof(reply.hdr), sizeof(reply.p));
	reply.whole = reply.got >= sizeof(reply.hdr) && reply.got >= sizeof(reply.hdr) + reply.hdr.size;
	ck_assert_uint_le(reply.got, sizeof(reply.hdr) + reply.hdr.size);
}

static void vmm_send(uint32_t request, const void *payload, uint32_t size, int fd)
{
	struct vhost_hdr h = { request, VHOST_VERSION | VHOST_FLAG_NEED_REPLY, size };
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = { 0 };
	struct iovec iov[2] = { { &h, sizeof(h) }, { (void *)(uintptr_t)payload, size } };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2 };

	if (fd >= 0) {
		struct cmsghdr *cm;

		mh.msg_control = control;
		mh.msg_controllen = sizeof(control);
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cm), &fd, sizeof(fd));
	}
	ck_assert_int_eq(sendmsg(vmm_fd, &mh, 0), (ssize_t)(sizeof(h) + size));
}

/* vmm_ask() - a message that is acknowledged or answered: the number in the answer. */
uint64_t vmm_ask(uint32_t request, const void *payload, uint32_t size, int fd)
{
	memset(&reply, 0, sizeof(reply));
	reply.fd = -1;
	reply.expected = true;
	vmm_send(request, payload, size, fd);
	world_wait(&reply.whole);
	reply.expected = false;
	ck_assert_uint_eq(reply.hdr.request, request);
	return reply.p.u64;
}

static void vmm_obey(uint32_t request, const void *payload, uint32_t size, int fd)
{
	ck_assert_uint_eq(vmm_ask(request, payload, size, fd), 0);
}

static void vmm_number(uint32_t request, uint64_t v, int fd)
{
	vmm_obey(request, &v, sizeof(v), fd);
}

/* vmm_start() - a ring, at an index. */
void vmm_start(uint32_t r, uint32_t base)
{
	struct vhost_vring_state num = { r, RING_SIZE }, at = { r, base }, on = { r, 1 };
	struct vhost_vring_addr addr = { .index = r, .desc = USER + r * RING_BYTES, .avail = USER + r * RING_BYTES + AVAIL_AT,
					 .used = USER + r * RING_BYTES + USED_AT };

	vmm_obey(VHOST_SET_VRING_NUM, &num, sizeof(num), -1);
	vmm_obey(VHOST_SET_VRING_BASE, &at, sizeof(at), -1);
	vmm_obey(VHOST_SET_VRING_ADDR, &addr, sizeof(addr), -1);
	vmm_number(VHOST_SET_VRING_CALL, r, call_fd[r]);
	vmm_number(VHOST_SET_VRING_KICK, r, kick[r]);
	vmm_obey(VHOST_SET_VRING_ENABLE, &on, sizeof(on), -1);
}

/* vmm_stop() - a ring: where it stands. */
uint32_t vmm_stop(uint32_t r)
{
	struct vhost_vring_state s = { r, 0 };

	vmm_ask(VHOST_GET_VRING_BASE, &s, sizeof(s), -1);
	ck_assert_uint_eq(reply.p.state.index, r);
	return reply.p.state.num;
}

/* vmm_connect() - see respawn_fixture.h. */
void vmm_connect(void)
{
	const uint64_t features = VHOST_BIT(VIRTIO_BIT_VERSION_1) | VHOST_BIT(VIRTIO_BIT_EVENT_IDX) |
				  VHOST_BIT(VIRTIO_BIT_INDIRECT_DESC) | VHOST_BIT(VHOST_BIT_PROTOCOL_FEATURES);
	struct vhost_mem_table table = { .count = 1, .region[0] = { GUEST, MEM_BYTES, USER, 0 } };
	const struct vhost_mem_reg more = { .region = { GUEST + MEM_BYTES, 4096, USER + MEM_BYTES, 0 } };
	struct vhost_inflight in = { .num_queues = RINGS, .queue_size = RING_SIZE };
	uint64_t proto = VHOST_BIT(VHOST_P_MQ) | VHOST_BIT(VHOST_P_REPLY_ACK) | VHOST_BIT(VHOST_P_INFLIGHT_SHMFD) |
			 VHOST_BIT(VHOST_P_CONFIGURE_MEM_SLOTS);
	int fd;

	ck_assert_int_eq(connect(vmm_fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_uint_eq(vmm_ask(VHOST_GET_FEATURES, NULL, 0, -1) & features, features);
	ck_assert_uint_eq(vmm_ask(VHOST_GET_PROTOCOL_FEATURES, NULL, 0, -1) & proto, proto);
	vmm_number(VHOST_SET_PROTOCOL_FEATURES, proto, -1);
	vmm_obey(VHOST_SET_OWNER, NULL, 0, -1);
	vmm_number(VHOST_SET_FEATURES, features, -1);
	vmm_obey(VHOST_SET_MEM_TABLE, &table, offsetof(struct vhost_mem_table, region) + sizeof(table.region[0]), mem_fd);
	vmm_ask(VHOST_GET_INFLIGHT_FD, &in, sizeof(in), -1);
	in = reply.p.inflight;
	fd = reply.fd;
	ck_assert_int_ge(fd, 0);
	vmm_obey(VHOST_SET_INFLIGHT_FD, &in, sizeof(in), fd);
	close(fd);
	for (uint32_t r = 0; r < RINGS; r++)
		vmm_start(r, 0);
	/* Both while rings run. */
	vmm_obey(VHOST_ADD_MEM_REG, &more, sizeof(more), mem_fd);
	vmm_obey(VHOST_REM_MEM_REG, &more, sizeof(more), -1);
}

/* vmm_disconnect() - and the transport ends. */
void vmm_disconnect(void)
{
	close_fd(&vmm_fd);
	world_wait(&world.exited);
	ck_assert(world.gone);
}

/* all of them --------------------------------------------------------------------------------------- */

static void hear_monitor(void)
{
	static struct ipc_dgram d;
	const char *why;
	struct ipc_msg m;

	if (ipc_recv(monitor[0], &d, MSG_DONTWAIT) != 1)
		return;
	ck_assert_int_eq(ipc_next(&d, IPC_DIR_R2M, &m, &why), 1);
	ck_assert_uint_eq(m.hdr->type, IPC_GONE);
	world.gone = true;
	ipc_dgram_end(&d);
}

/* world_pump() - whatever there is to do. */
void world_pump(int timeout_ms)
{
	struct pollfd p[] = {
		{ transport.pidfd, POLLIN, 0 }, { vmm_fd, POLLIN, 0 },	   { links[0][1], POLLIN, 0 },
		{ links[1][1], POLLIN, 0 },	{ call_fd[0], POLLIN, 0 }, { call_fd[1], POLLIN, 0 },
		{ monitor[0], POLLIN, 0 },
	};

	poll(p, ARRAY_SIZE(p), timeout_ms);
	hear_monitor();
	reap();
	vmm_hear();
	for (uint32_t r = 0; r < RINGS; r++) {
		fsworker(r);
		guest(r);
	}
}

static void wait_failed(void)
{
	for (uint32_t i = 1; i <= world.nreq; i++)
		if (world.req[i].busy)
			fprintf(stderr, "request %u is not answered, and was asked %u times\n", i, world.req[i].asked);
	for (uint32_t r = 0; r < RINGS; r++)
		fprintf(stderr, "ring %u: available %u, used %u, of which seen %u\n", r, ring[r].shown, ring[r].used[1],
			ring[r].used_idx);
	ck_abort_msg("waited in vain, after %u deaths", world.deaths);
}

/* world_wait() - see respawn_fixture.h. */
void world_wait(const bool *flag)
{
	int64_t until = now_ms() + WAIT_S * 1000;

	while (!*flag) {
		if (now_ms() > until)
			wait_failed();
		world_pump(10);
	}
}

/* world_wait_count() - the same for a number. */
void world_wait_count(const uint32_t *count, uint32_t atleast)
{
	int64_t until = now_ms() + WAIT_S * 1000;

	while (*count < atleast) {
		if (now_ms() > until)
			wait_failed();
		world_pump(10);
	}
}

/* world_wait_all() - until all requests are answered. */
void world_wait_all(void)
{
	for (uint32_t i = 1; i <= world.nreq; i++)
		if (world.req[i].busy)
			world_wait(&world.req[i].answered);
}

static void *shared(size_t bytes, int *fd)
{
	void *p;

	*fd = memfd_create("shared", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(*fd, (off_t)bytes), 0);
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}

/* world_open() - see respawn_fixture.h. */
void world_open(const char *crash, unsigned count, const char *then)
{
	static unsigned worlds; /* those of the one before may still be about to end */
	int fd;

	memset(world.req, 0, (world.nreq + 1) * sizeof(world.req[0]));
	memset((char *)&world + sizeof(world.req), 0, sizeof(world) - sizeof(world.req));
	memset(ring, 0, sizeof(ring));
	memset(last_number, 0, sizeof(last_number));
	memset(locks, 0, sizeof(locks));
	crash_at = crash;
	crash_count = count;
	crash_then = then;
	transport.generation = 0;
	common = shared(sizeof(*common), &fd);
	close(fd);
	common->test = getpid();
	state_memory = shared(IPC_TSTATE_BYTES(RINGS, FILES), &fd);
	close(fd);
	bulk = shared(RINGS * IPC_BULK_LINK, &fd);
	close(fd);
	guest_memory = shared(MEM_BYTES, &mem_fd);
	for (uint32_t r = 0; r < RINGS; r++) {
		char *at = guest_memory + r * RING_BYTES;

		ring[r].desc = (struct desc *)(void *)at;
		ring[r].avail = (uint16_t *)(void *)(at + AVAIL_AT);
		ring[r].used = (uint16_t *)(void *)(at + USED_AT);
		ck_assert_int_eq(ipc_pair(links[r]), 0);
		kick[r] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		call_fd[r] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	ck_assert_int_eq(ipc_pair(monitor), 0);
	address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	vmm_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "virtiofsd-respawn-%d-%u", (int)getpid(), ++worlds);
	ck_assert_int_eq(bind(listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(listen_fd, 1), 0);
	transport_start();
}

/* world_close() - whatever is left. */
void world_close(void)
{
	if (!world.exited) {
		kill(transport.pid, SIGKILL);
		waitpid(transport.pid, NULL, 0);
		close_fd(&transport.pidfd);
	}
	end_holders(true);
	munmap(common, sizeof(*common));
	munmap(state_memory, IPC_TSTATE_BYTES(RINGS, FILES));
	munmap(bulk, RINGS * IPC_BULK_LINK);
	munmap(guest_memory, MEM_BYTES);
	close(mem_fd);
	close(listen_fd);
	close_fd(&vmm_fd);
	for (uint32_t r = 0; r < RINGS; r++) {
		close(links[r][0]);
		close(links[r][1]);
		close(kick[r]);
		close(call_fd[r]);
	}
	close(monitor[0]);
	close(monitor[1]);
}
