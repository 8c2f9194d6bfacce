/*
 * Workloads on names, attributes and directories.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"

#define NAME_SIZE 8u		/* of "f000000", with its end */
#define DIR_BUFFER 4096u	/* what kernels up to 6.16 ask for */
#define XATTR_ROOM 64u

static int begin_getattr(struct slot *s)
{
	struct fuse_getattr_in in = { 0 };

	return slot_request(s, 0, FUSE_GETATTR, FUSE_ROOT_ID, &in, sizeof(in),
			    sizeof(struct fuse_attr_out)) ? 0 : -ENOMEM;
}

static struct freq *next_getattr(struct slot *s)
{
	const struct fuse_attr_out *a;

	if (s->step) {
		a = slot_reply(s, sizeof(*a));
		return a && a->attr.size == BENCH_FILE_SIZE ? NULL : slot_fail(s, "wrong attributes");
	}
	fs_head(s->req[0])->nodeid = s->lane->load->nodeids[lane_random(s->lane) % BENCH_FILES];
	return s->req[0];
}

static int begin_lookup(struct slot *s)
{
	return slot_request(s, 0, FUSE_LOOKUP, FUSE_ROOT_ID, "f000000", NAME_SIZE,
			    sizeof(struct fuse_entry_out)) ? 0 : -ENOMEM;
}

static struct freq *next_lookup(struct slot *s)
{
	const struct fuse_entry_out *e;

	if (!s->step) {
		s->at = lane_random(s->lane) % BENCH_FILES;
		share_file_name(slot_args(s->req[0]), (unsigned int)s->at);
		return s->req[0];
	}
	e = slot_reply(s, sizeof(*e));
	if (!e || e->nodeid != s->lane->load->nodeids[s->at] || e->attr.size != BENCH_FILE_SIZE)
		return slot_fail(s, "not the file that was looked up");
	lane_forget(s->lane, e->nodeid);
	return NULL;
}

static struct freq *next_absent(struct slot *s)
{
	const struct fuse_entry_out *e;

	if (!s->step) {
		share_file_name(slot_args(s->req[0]), (unsigned int)(lane_random(s->lane) % BENCH_FILES));
		*(char *)slot_args(s->req[0]) = 'n';
		return s->req[0];
	}
	if (fs_result(s->now) == -ENOENT)
		return NULL;
	e = slot_reply(s, sizeof(*e));
	return e && e->nodeid == 0 ? NULL : slot_fail(s, "a file that there is not");
}

static int begin_open(struct slot *s)
{
	struct fuse_open_in in = { .flags = O_RDWR };
	struct fuse_release_in out = { .flags = O_RDWR };

	return slot_request(s, 0, FUSE_OPEN, FUSE_ROOT_ID, &in, sizeof(in), sizeof(struct fuse_open_out)) &&
		slot_request(s, 1, FUSE_RELEASE, FUSE_ROOT_ID, &out, sizeof(out), 0) ? 0 : -ENOMEM;
}

static struct freq *release(struct freq *q, uint64_t fh)
{
	((struct fuse_release_in *)slot_args(q))->fh = fh;
	return q;
}

static struct freq *next_open(struct slot *s)
{
	const struct fuse_open_out *o;

	switch (s->step) {
	case 0:
		s->at = lane_random(s->lane) % BENCH_FILES;
		for (unsigned int i = 0; i < 2; i++)
			fs_head(s->req[i])->nodeid = s->lane->load->nodeids[s->at];
		return s->req[0];
	case 1:
		o = slot_reply(s, sizeof(*o));
		return o ? release(s->req[1], o->fh) : slot_fail(s, "cannot open");
	default:
		return fs_result(s->now) ? slot_fail(s, "cannot close") : NULL;
	}
}

static int begin_create(struct slot *s)
{
	struct {
		struct fuse_create_in in;
		char name[NAME_SIZE];
	} create = { .in = { .flags = O_CREAT | O_EXCL | O_RDWR, .mode = S_IFREG | 0644 } };
	struct {
		struct fuse_write_in in;
		uint8_t page[BENCH_PAGE];
	} write = { .in = { .size = BENCH_PAGE } };
	struct fuse_release_in rel = { .flags = O_RDWR };

	share_fill(write.page, 0);
	return slot_request(s, 0, FUSE_CREATE, FUSE_ROOT_ID, &create, sizeof(create.in) + NAME_SIZE,
			    sizeof(struct fuse_entry_out) + sizeof(struct fuse_open_out)) &&
		slot_request(s, 1, FUSE_WRITE, 0, &write, sizeof(write.in) + BENCH_PAGE,
			     sizeof(struct fuse_write_out)) &&
		slot_request(s, 2, FUSE_RELEASE, 0, &rel, sizeof(rel), 0) &&
		slot_request(s, 3, FUSE_UNLINK, FUSE_ROOT_ID, "f000000", NAME_SIZE, 0) ? 0 : -ENOMEM;
}

/* Names of which no two are in use at a time: 'c', the slot, the operation. */
static void own_name(const struct slot *s, char *name)
{
	snprintf(name, NAME_SIZE, "c%03u%03u", s->number % 1000, (unsigned int)(s->serial % 1000));
}

static struct freq *next_create(struct slot *s)
{
	const struct fuse_entry_out *e;
	const struct fuse_open_out *o;
	const struct fuse_write_out *w;

	switch (s->step) {
	case 0:
		own_name(s, (char *)slot_args(s->req[0]) + sizeof(struct fuse_create_in));
		own_name(s, slot_args(s->req[3]));
		return s->req[0];
	case 1:
		e = slot_reply(s, sizeof(*e) + sizeof(*o));
		if (!e)
			return slot_fail(s, "cannot create");
		o = (const void *)(e + 1);
		s->nodeid = e->nodeid;
		fs_head(s->req[1])->nodeid = fs_head(s->req[2])->nodeid = e->nodeid;
		((struct fuse_write_in *)slot_args(s->req[1]))->fh = o->fh;
		release(s->req[2], o->fh);
		return s->req[1];
	case 2:
		w = slot_reply(s, sizeof(*w));
		return w && w->size == BENCH_PAGE ? s->req[2] : slot_fail(s, "cannot write");
	case 3:
		return fs_result(s->now) ? slot_fail(s, "cannot close") : s->req[3];
	default:
		if (fs_result(s->now))
			return slot_fail(s, "cannot remove");
		lane_forget(s->lane, s->nodeid);
		return NULL;
	}
}

static int begin_list(struct slot *s)
{
	struct fuse_open_in in = { .flags = O_RDONLY | O_DIRECTORY };
	struct fuse_read_in read = { .size = DIR_BUFFER };
	struct fuse_release_in rel = { .flags = O_RDONLY | O_DIRECTORY };
	uint64_t dir = s->lane->load->dir_node;

	return slot_request(s, 0, FUSE_OPENDIR, dir, &in, sizeof(in), sizeof(struct fuse_open_out)) &&
		slot_request(s, 1, FUSE_READDIRPLUS, dir, &read, sizeof(read), DIR_BUFFER) &&
		slot_request(s, 2, FUSE_RELEASEDIR, dir, &rel, sizeof(rel), 0) ? 0 : -ENOMEM;
}

/* Goes through what was read; gives back what was looked up. False when it makes no sense. */
static bool take_entries(struct slot *s)
{
	struct fuse_read_in *in = slot_args(s->req[1]);
	size_t len, at = 0;
	const uint8_t *p = fs_reply(s->now, &len);

	while (at + FUSE_NAME_OFFSET_DIRENTPLUS <= len) {
		const struct fuse_direntplus *d = (const void *)(p + at);

		if (at + FUSE_DIRENTPLUS_SIZE(d) > len || d->dirent.namelen == 0)
			return false;
		in->offset = d->dirent.off;
		s->at += d->dirent.name[0] == 'f';
		if (d->entry_out.nodeid)
			lane_forget(s->lane, d->entry_out.nodeid);
		at += FUSE_DIRENTPLUS_SIZE(d);
	}
	return at == len;
}

static struct freq *next_list(struct slot *s)
{
	const struct fuse_open_out *o;
	struct fuse_read_in *in = slot_args(s->req[1]);

	if (s->step == 0) {
		s->at = 0;
		in->offset = 0;
		return s->req[0];
	}
	if (s->now == s->req[0]) {
		o = slot_reply(s, sizeof(*o));
		if (!o)
			return slot_fail(s, "cannot open");
		in->fh = o->fh;
		release(s->req[2], o->fh);
		return s->req[1];
	}
	if (s->now == s->req[1]) {
		if (fs_result(s->now))
			return slot_fail(s, "cannot list");
		if (s->now->vq.used_len == sizeof(struct fuse_out_header))
			return s->req[2];
		return take_entries(s) ? s->req[1] : slot_fail(s, "entries that make no sense");
	}
	if (fs_result(s->now) || s->at != BENCH_DIR_ENTRIES)
		return slot_fail(s, "not all names, or some twice");
	return NULL;
}

static int begin_getxattr(struct slot *s)
{
	struct {
		struct fuse_getxattr_in in;
		char name[11];
	} get = { .in = { .size = XATTR_ROOM }, .name = "user.bench" };

	return slot_request(s, 0, FUSE_GETXATTR, FUSE_ROOT_ID, &get, sizeof(get.in) + sizeof(get.name),
			    XATTR_ROOM) ? 0 : -ENOMEM;
}

static struct freq *next_getxattr(struct slot *s)
{
	const char *value;
	char name[16];

	if (!s->step) {
		s->at = lane_random(s->lane) % BENCH_FILES;
		fs_head(s->req[0])->nodeid = s->lane->load->nodeids[s->at];
		return s->req[0];
	}
	share_file_name(name, (unsigned int)s->at);
	value = slot_reply(s, strlen(name));
	return value && !memcmp(value, name, strlen(name)) ? NULL : slot_fail(s, "wrong value");
}

const struct workload work_names[] = {
	{ .name = "getattr", .what = "attributes of known files", .begin = begin_getattr, .next = next_getattr },
	{ .name = "lookup", .what = "names that are there, given back 64 at a time", .begin = begin_lookup,
	  .next = next_lookup },
	{ .name = "absent", .what = "names that are not there", .begin = begin_lookup, .next = next_absent },
	{ .name = "open", .what = "open and release", .begin = begin_open, .next = next_open },
	{ .name = "create", .what = "create, write 4 KiB, release, unlink", .begin = begin_create,
	  .next = next_create },
	{ .name = "readdirplus", .what = "a directory of 10,000 entries, all of it", .max_depth = 1,
	  .begin = begin_list, .next = next_list },
	{ .name = "getxattr", .what = "a value of 7 bytes", .xattr = true, .begin = begin_getxattr,
	  .next = next_getxattr },
	{ .name = NULL },
};
