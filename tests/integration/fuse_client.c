/*
 * A FUSE client: building, sending and judging single requests.
 *
 * A request is one contiguous piece of guest memory for what the device reads
 * and one for what it writes; how they are cut into descriptors is a matter of
 * its own (fs_layout()), so that every operation can be sent in every cut.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vuf_daemon.h"
#include "fuse_client.h"

#define GUEST_PAGE 4096u
#define PATTERN 0xa5

/**
 * fs_init() - A client that has not yet said INIT
 * @fs:		Filled in
 * @dev:	Started device
 */
void fs_init(struct fs *fs, struct vudev *dev)
{
	memset(fs, 0, sizeof(*fs));
	fs->dev = dev;
	fs->queue = DEV_REQUEST;
	fs->next_unique = 2;
	fs->pid = 1000;
}

/**
 * fs_close() - Release a client's request pool
 * @fs:	Client without requests in flight
 */
void fs_close(struct fs *fs)
{
	while (fs->npool)
		free(fs->pool[--fs->npool]);
}

/*
 * A buffer whose data, behind a head of some bytes, begins on a page, as the
 * pages of a guest's cache do: direct I/O on the host depends on it.
 */
static int alloc_shifted(struct fs *fs, struct gbuf *mem, struct gbuf *use, size_t size,
			 size_t head)
{
	uint32_t shift = head && size > head ? GUEST_PAGE - (uint32_t)head : 0;

	if (gmem_alloc(&fs->dev->mem, size + shift, mem))
		return -ENOMEM;
	use->gpa = mem->gpa + shift;
	use->host = mem->host + shift;
	use->size = mem->size - shift;
	return 0;
}

/**
 * fs_new() - Begin a request
 * @fs:		Client
 * @opcode:	Operation
 * @nodeid:	Object
 * @arg_room:	Bytes that will follow the header at most
 * @reply_room:	Bytes the device may write after its header
 *
 * Return: the request, or NULL when guest memory is used up
 */
struct freq *fs_new(struct fs *fs, uint32_t opcode, uint64_t nodeid, size_t arg_room,
		    size_t reply_room)
{
	struct freq *q = fs->npool ? fs->pool[--fs->npool] : calloc(1, sizeof(*q));
	struct fuse_in_header head = {
		.opcode = opcode,
		.unique = fs->next_unique,
		.nodeid = nodeid,
		.uid = fs->uid,
		.gid = fs->gid,
		.pid = fs->pid,
	};

	if (!q)
		return NULL;
	fs->next_unique += 2;
	q->fs = fs;
	q->ring = &fs->dev->rings[fs->queue];
	q->opcode = opcode;
	q->out_len = 0;
	q->in_len = (uint32_t)(sizeof(struct fuse_out_header) + reply_room);
	q->vq.done = false;
	q->vq.noreply = false;
	q->vq.table_valid = false;
	memset(&q->out_mem, 0, sizeof(q->out_mem));
	memset(&q->in_mem, 0, sizeof(q->in_mem));
	if (alloc_shifted(fs, &q->out_mem, &q->out, sizeof(head) + arg_room,
			  opcode == FUSE_WRITE ? sizeof(head) + sizeof(struct fuse_write_in) : 0) ||
	    alloc_shifted(fs, &q->in_mem, &q->in, q->in_len,
			  opcode == FUSE_READ ? sizeof(struct fuse_out_header) : 0)) {
		fs_free(q);
		fprintf(stderr, "vufront: out of guest memory\n");
		return NULL;
	}
	/* Not zeros: a reply that was never written must not look like success. */
	memset(q->in.host, PATTERN, q->in_len);
	fs_put(q, &head, sizeof(head));
	return q;
}

/**
 * fs_head() - The header of a request
 * @q:	Request not yet submitted
 *
 * Return: header in guest memory; its length is set by fs_layout()
 */
struct fuse_in_header *fs_head(struct freq *q)
{
	return (void *)q->out.host;
}

/**
 * fs_put() - Append bytes to a request
 * @q:	Request
 * @p:	Bytes, or NULL to leave room that the caller fills in
 * @n:	How many
 *
 * Return: where they lie in guest memory
 */
void *fs_put(struct freq *q, const void *p, size_t n)
{
	uint8_t *at = q->out.host + q->out_len;

	if (n > q->out.size - q->out_len) {
		fprintf(stderr, "vufront: request is longer than announced\n");
		abort();
	}
	if (p && n)
		memcpy(at, p, n);
	q->out_len += (uint32_t)n;
	return at;
}

static void add_seg(struct freq *q, uint64_t gpa, uint32_t len, unsigned int *n)
{
	if (!len)
		return;
	if (*n == FS_MAX_SEGS) {
		fprintf(stderr, "vufront: too many segments\n");
		abort();
	}
	q->segs[*n].gpa = gpa;
	q->segs[*n].len = len;
	(*n)++;
}

/*
 * Cuts one side of a request. The Linux driver has the header in a segment of
 * its own, then the arguments (or a small reply) in one, then a segment for
 * each page of data.
 */
static void cut(struct freq *q, const struct gbuf *buf, uint32_t len, uint32_t head,
		uint32_t args, unsigned int *n)
{
	uint32_t chunk = q->fs->chunk;
	uint32_t at = 0;

	if (!chunk) {
		head = head < len ? head : len;
		args = args < len - head ? args : len - head;
		add_seg(q, buf->gpa, head, n);
		add_seg(q, buf->gpa + head, args, n);
		at = head + args;
		chunk = GUEST_PAGE;
	}
	while (at < len) {
		uint32_t step = len - at < chunk ? len - at : chunk;

		add_seg(q, buf->gpa + at, step, n);
		at += step;
	}
}

/**
 * fs_layout() - Fix the length of a request and cut it into segments
 * @q:	Request; called by fs_submit() unless the caller has made segments
 */
void fs_layout(struct freq *q)
{
	uint32_t args = q->out_len - (uint32_t)sizeof(struct fuse_in_header);
	uint32_t reply = q->in_len - (uint32_t)sizeof(struct fuse_out_header);
	unsigned int n = 0;

	if (q->opcode == FUSE_WRITE && args > sizeof(struct fuse_write_in))
		args = sizeof(struct fuse_write_in);
	if (q->opcode == FUSE_READ || q->opcode == FUSE_READDIR || q->opcode == FUSE_READDIRPLUS)
		reply = 0;
	fs_head(q)->len = q->out_len;
	cut(q, &q->out, q->out_len, sizeof(struct fuse_in_header), args, &n);
	q->vq.nout = n;
	if (!q->vq.noreply)
		cut(q, &q->in, q->in_len, sizeof(struct fuse_out_header), reply, &n);
	q->vq.nin = n - q->vq.nout;
	q->vq.segs = q->segs;
	q->vq.table_valid = false;
}

/**
 * fs_submit() - Lay out a request, put it on its ring and kick
 * @q:	Request
 *
 * Return: 0, -EAGAIN when the ring is full, or FS_BROKEN
 */
int fs_submit(struct freq *q)
{
	int err;

	fs_layout(q);
	q->vq.reply = q->in.host;
	q->vq.unique = fs_head(q)->unique;
	q->vq.owner = q;
	err = ring_add(q->ring, &q->vq);
	if (err == -EAGAIN)
		return err;
	if (err)
		return FS_BROKEN;
	ring_kick(q->ring);
	return 0;
}

/**
 * fs_again() - Put a completed request on its ring once more
 * @q:	Request that is done; its arguments may have been changed in place, its
 *	length and cut are those of before
 *
 * This is what a load generator's loop is made of: no allocation, no copy, no
 * layout. It does not kick, so that several can share one kick.
 *
 * Return: 0, -EAGAIN when the ring is full, or FS_BROKEN
 */
int fs_again(struct freq *q)
{
	struct fuse_in_header *head = fs_head(q);
	int err;

	head->unique = q->fs->next_unique;
	q->fs->next_unique += 2;
	q->vq.unique = head->unique;
	err = ring_add(q->ring, &q->vq);
	return err && err != -EAGAIN ? FS_BROKEN : err;
}

/**
 * fs_result() - What the device said to a completed request
 * @q:	Request that is done
 *
 * Return: 0, a negative errno, or FS_BROKEN for what no reply may look like
 */
int fs_result(struct freq *q)
{
	struct fuse_out_header oh;

	if (q->vq.error)
		return FS_BROKEN;
	if (q->vq.noreply)
		return 0;
	memcpy(&oh, q->in.host, sizeof(oh));
	if (oh.error > 0 || oh.error <= -512 || oh.len > q->in_len ||
	    (oh.error && oh.len != sizeof(oh))) {
		fprintf(stderr, "vufront: opcode %u: bad reply header: len %u error %d\n",
			q->opcode, oh.len, oh.error);
		return FS_BROKEN;
	}
	return oh.error;
}

/**
 * fs_wait() - Wait for a submitted request
 * @q:	Request
 *
 * Return: as fs_result()
 */
int fs_wait(struct freq *q)
{
	int err = ring_wait(q->ring, &q->vq);

	if (err) {
		fprintf(stderr, "vufront: opcode %u on ring %u: %s\n", q->opcode, q->ring->index,
			strerror(-err));
		return FS_BROKEN;
	}
	return fs_result(q);
}

/**
 * fs_reply() - The reply after its header
 * @q:		Completed request
 * @len:	Its length
 *
 * Return: pointer into guest memory
 */
void *fs_reply(struct freq *q, size_t *len)
{
	*len = q->vq.used_len - sizeof(struct fuse_out_header);
	return q->in.host + sizeof(struct fuse_out_header);
}

/**
 * fs_free() - Done with a request
 * @q:	Request that is not in flight, or NULL
 */
void fs_free(struct freq *q)
{
	struct fs *fs;

	if (!q)
		return;
	fs = q->fs;
	gmem_free(&fs->dev->mem, &q->out_mem);
	gmem_free(&fs->dev->mem, &q->in_mem);
	if (fs->npool < FS_POOL) {
		fs->pool[fs->npool++] = q;
		return;
	}
	if (q->vq.table_room)
		gmem_free(&fs->dev->mem, &q->vq.table);
	free(q);
}

/**
 * fs_call() - Send a request and wait for its reply
 * @fs:		Client
 * @opcode:	Operation
 * @nodeid:	Object
 * @args:	What follows the header
 * @nargs:	How many pieces
 * @reply:	Buffer for the reply without its header, or NULL
 * @min:	Size it must have at least if there is no error
 * @max:	Size it may have at most, and that the device is given room for
 * @got:	Size it had, or NULL
 *
 * Return: 0, a negative errno, or FS_BROKEN
 */
int fs_call(struct fs *fs, uint32_t opcode, uint64_t nodeid, const struct fs_arg *args,
	    unsigned int nargs, void *reply, size_t min, size_t max, size_t *got)
{
	struct freq *q;
	size_t room = 0, len;
	void *p;
	int err;

	for (unsigned int i = 0; i < nargs; i++)
		room += args[i].n;
	q = fs_new(fs, opcode, nodeid, room, max);
	if (!q)
		return FS_BROKEN;
	for (unsigned int i = 0; i < nargs; i++)
		fs_put(q, args[i].p, args[i].n);
	err = fs_submit(q);
	if (!err)
		err = fs_wait(q);
	else
		err = FS_BROKEN;
	if (!err) {
		p = fs_reply(q, &len);
		if (len < min || len > max) {
			fprintf(stderr, "vufront: opcode %u: reply of %zu bytes, not %zu to %zu\n",
				opcode, len, min, max);
			err = FS_BROKEN;
		} else if (reply) {
			memcpy(reply, p, len);
		}
		if (got)
			*got = len;
	}
	/* The device may still write to a request that never completed. */
	if (q->vq.done || err != FS_BROKEN)
		fs_free(q);
	return err;
}
