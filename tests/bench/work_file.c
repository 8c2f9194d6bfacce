/*
 * What Linux asks while tar(1) or cp(1) writes one small file, request for
 * request as a 6.1 guest sends them to a daemon that handles setuid bits
 * (HANDLE_KILLPRIV_V2), and the removal of the file again.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "bench.h"

#define NAME_SIZE 8u	/* of "e000000", with its end */

/* The requests that a slot has, and the order in which they are sent: some of them twice. */
enum { LOOKUP, CREATE, CAPABILITY, WRITE, TIMES, ATTRIBUTES, MODE, FLUSH, RELEASE, DIRECTORY, UNLINK, REQUESTS };
static const uint8_t order[] = {
	LOOKUP, CREATE, CAPABILITY, WRITE, TIMES, CAPABILITY, ATTRIBUTES, MODE, FLUSH, RELEASE, DIRECTORY, UNLINK,
};
_Static_assert(REQUESTS <= BENCH_SLOT_REQS, "too many requests");

#define STEPS (sizeof(order) / sizeof(order[0]))

static bool make(struct slot *s, unsigned int i, uint32_t opcode, const void *args, size_t n, size_t reply)
{
	return slot_request(s, i, opcode, FUSE_ROOT_ID, args, n, reply);
}

static int begin(struct slot *s)
{
	struct {
		struct fuse_create_in in;
		char name[NAME_SIZE];
	} create = { .in = { .flags = O_CREAT | O_EXCL | O_WRONLY, .mode = S_IFREG | 0600 } };
	struct {
		struct fuse_getxattr_in in;
		char name[20];
	} get = { .name = "security.capability" };
	struct {
		struct fuse_write_in in;
		uint8_t page[BENCH_PAGE];
	} write = { .in = { .size = BENCH_PAGE } };
	struct fuse_setattr_in times = { .valid = FATTR_MTIME | FATTR_ATIME | FATTR_FH, .mtime = 1, .atime = 1 };
	struct fuse_setattr_in mode = { .valid = FATTR_MODE | FATTR_FH, .mode = S_IFREG | 0644 };
	struct fuse_getattr_in attr = { 0 };
	struct fuse_flush_in flush = { .lock_owner = 1 };
	struct fuse_release_in rel = { .flags = O_WRONLY };

	share_fill(write.page, 0);
	return make(s, LOOKUP, FUSE_LOOKUP, "e000000", NAME_SIZE, sizeof(struct fuse_entry_out)) &&
		make(s, CREATE, FUSE_CREATE, &create, sizeof(create.in) + NAME_SIZE,
		     sizeof(struct fuse_entry_out) + sizeof(struct fuse_open_out)) &&
		make(s, CAPABILITY, FUSE_GETXATTR, &get, sizeof(get), sizeof(struct fuse_getxattr_out)) &&
		make(s, WRITE, FUSE_WRITE, &write, sizeof(write.in) + BENCH_PAGE, sizeof(struct fuse_write_out)) &&
		make(s, TIMES, FUSE_SETATTR, &times, sizeof(times), sizeof(struct fuse_attr_out)) &&
		make(s, ATTRIBUTES, FUSE_GETATTR, &attr, sizeof(attr), sizeof(struct fuse_attr_out)) &&
		make(s, MODE, FUSE_SETATTR, &mode, sizeof(mode), sizeof(struct fuse_attr_out)) &&
		make(s, FLUSH, FUSE_FLUSH, &flush, sizeof(flush), 0) &&
		make(s, RELEASE, FUSE_RELEASE, &rel, sizeof(rel), 0) &&
		make(s, DIRECTORY, FUSE_GETATTR, &attr, sizeof(attr), sizeof(struct fuse_attr_out)) &&
		make(s, UNLINK, FUSE_UNLINK, "e000000", NAME_SIZE, 0) ? 0 : -ENOMEM;
}

/* Names of which no two are in use at a time: 'e', the slot, the operation. */
static void own_name(const struct slot *s, char *name)
{
	snprintf(name, NAME_SIZE, "e%03u%03u", s->number % 1000, (unsigned int)(s->serial % 1000));
}

static bool created(struct slot *s)
{
	const struct fuse_entry_out *e = slot_reply(s, sizeof(*e) + sizeof(struct fuse_open_out));
	const struct fuse_open_out *o = (const void *)(e + 1);

	if (!e)
		return false;
	s->nodeid = e->nodeid;
	for (unsigned int i = CAPABILITY; i <= RELEASE; i++)
		fs_head(s->req[i])->nodeid = e->nodeid;
	((struct fuse_write_in *)slot_args(s->req[WRITE]))->fh = o->fh;
	((struct fuse_setattr_in *)slot_args(s->req[TIMES]))->fh = o->fh;
	((struct fuse_setattr_in *)slot_args(s->req[MODE]))->fh = o->fh;
	((struct fuse_flush_in *)slot_args(s->req[FLUSH]))->fh = o->fh;
	((struct fuse_release_in *)slot_args(s->req[RELEASE]))->fh = o->fh;
	return true;
}

/* Is the answer to request i right? */
static bool right(struct slot *s, unsigned int i)
{
	const struct fuse_attr_out *a;
	const struct fuse_write_out *w;

	switch (i) {
	case LOOKUP:
		return fs_result(s->now) == -ENOENT;
	case CREATE:
		return created(s);
	case CAPABILITY:
		return fs_result(s->now) == -ENODATA;
	case WRITE:
		w = slot_reply(s, sizeof(*w));
		return w && w->size == BENCH_PAGE;
	case TIMES:
	case ATTRIBUTES:
		a = slot_reply(s, sizeof(*a));
		return a && a->attr.size == BENCH_PAGE && a->attr.mtime == 1;
	case MODE:
		a = slot_reply(s, sizeof(*a));
		return a && a->attr.mode == (S_IFREG | 0644);
	case DIRECTORY:
		a = slot_reply(s, sizeof(*a));
		return a && S_ISDIR(a->attr.mode);
	default:
		return fs_result(s->now) == 0;
	}
}

static struct freq *next(struct slot *s)
{
	if (s->step == 0) {
		own_name(s, slot_args(s->req[LOOKUP]));
		own_name(s, (char *)slot_args(s->req[CREATE]) + sizeof(struct fuse_create_in));
		own_name(s, slot_args(s->req[UNLINK]));
	} else if (!right(s, order[s->step - 1])) {
		return slot_fail(s, "a step of writing a file is wrong");
	}
	if (s->step < STEPS)
		return s->req[order[s->step]];
	lane_forget(s->lane, s->nodeid);
	return NULL;
}

const struct workload work_file[] = {
	{ .name = "extract", .what = "12 requests: what tar asks to write a file of 4 KiB, and its removal", .xattr = true,
	  .begin = begin, .next = next },
	{ .name = NULL },
};
