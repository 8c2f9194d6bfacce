/*
 * Workloads on contents.
 *
 * Reads: all words of each page are checked for 4 KiB, one word of each page for
 * 1 MiB, where a full check would cost more than the read. Writes: what was
 * written is what belongs there, so the host checks the whole file afterwards;
 * before, the pages that are to be written are made wrong.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

static int begin_read(struct slot *s, uint32_t size)
{
	struct fuse_read_in in = { .fh = s->lane->load->data_fh, .size = size };

	return slot_request(s, 0, FUSE_READ, s->lane->load->data_node, &in, sizeof(in), size) ? 0 : -ENOMEM;
}

static int begin_read_4k(struct slot *s)
{
	return begin_read(s, BENCH_PAGE);
}

static int begin_read_1m(struct slot *s)
{
	return begin_read(s, BENCH_BLOCK);
}

static struct freq *read_at(struct slot *s, uint64_t offset)
{
	s->at = offset;
	((struct fuse_read_in *)slot_args(s->req[0]))->offset = offset;
	return s->req[0];
}

static struct freq *next_read_4k(struct slot *s)
{
	const uint8_t *page;

	if (!s->step)
		return read_at(s, lane_random(s->lane) % (BENCH_DATA_SIZE / BENCH_PAGE) * BENCH_PAGE);
	page = slot_reply(s, BENCH_PAGE);
	return page && share_page_is(page, s->at) ? NULL : slot_fail(s, "wrong contents");
}

static int begin_fgetattr(struct slot *s)
{
	struct fuse_getattr_in in = { .getattr_flags = FUSE_GETATTR_FH, .fh = s->lane->load->data_fh };

	return slot_request(s, 0, FUSE_GETATTR, s->lane->load->data_node, &in, sizeof(in),
			    sizeof(struct fuse_attr_out)) ? 0 : -ENOMEM;
}

static struct freq *next_fgetattr(struct slot *s)
{
	const struct fuse_attr_out *a;

	if (!s->step)
		return s->req[0];
	a = slot_reply(s, sizeof(*a));
	return a && a->attr.size == BENCH_DATA_SIZE ? NULL : slot_fail(s, "wrong attributes");
}

static uint64_t next_block(struct slot *s)
{
	return atomic_fetch_add(&s->lane->load->next_offset, BENCH_BLOCK) % BENCH_DATA_SIZE;
}

static struct freq *next_read_1m(struct slot *s)
{
	const uint8_t *block;
	uint8_t want[BENCH_PAGE];

	if (!s->step) {
		/* What was there before must not pass for what is read. */
		for (unsigned int i = 0; i < BENCH_BLOCK; i += BENCH_PAGE)
			s->req[0]->in.host[sizeof(struct fuse_out_header) + i + 8] = 0;
		return read_at(s, next_block(s));
	}
	block = slot_reply(s, BENCH_BLOCK);
	if (!block)
		return slot_fail(s, "a short read");
	for (unsigned int i = 0; i < BENCH_BLOCK; i += BENCH_PAGE) {
		if (i == 0 || i == BENCH_BLOCK - BENCH_PAGE) {
			share_fill(want, s->at + i);
			if (memcmp(block + i, want, BENCH_PAGE))
				return slot_fail(s, "wrong contents");
		} else {
			share_word(want, s->at + i, 1);
			if (memcmp(block + i + 8, want, 8))
				return slot_fail(s, "wrong contents");
		}
	}
	return NULL;
}

/* Pages that the workload writes are wrong before. */
static int spoil(struct load *l)
{
	static const uint8_t zeros[BENCH_PAGE];
	char path[4096];
	int fd, err = 0;

	snprintf(path, sizeof(path), "%s/data", l->dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (uint64_t at = 0; at < BENCH_DATA_SIZE && !err; at += BENCH_PAGE)
		if (pwrite(fd, zeros, sizeof(zeros), (off_t)at) != sizeof(zeros))
			err = -EIO;
	close(fd);
	return err;
}

/* Each page is right, or was never written; afterwards all are right again. */
static int check_file(struct load *l)
{
	static const uint8_t zeros[BENCH_PAGE];
	uint8_t page[BENCH_PAGE];
	uint64_t right = 0;
	char path[4096];
	int fd, err = 0;

	snprintf(path, sizeof(path), "%s/data", l->dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (uint64_t at = 0; at < BENCH_DATA_SIZE && !err; at += BENCH_PAGE) {
		if (pread(fd, page, sizeof(page), (off_t)at) != sizeof(page))
			err = -EIO;
		else if (share_page_is(page, at))
			right++;
		else if (memcmp(page, zeros, sizeof(page)))
			err = -EPROTO;
		else {
			share_fill(page, at);
			err = pwrite(fd, page, sizeof(page), (off_t)at) == sizeof(page) ? 0 : -EIO;
		}
	}
	close(fd);
	if (err || !right)
		fprintf(stderr, "bench: %s: the file is not what was written\n", l->work->name);
	return right ? err : -EPROTO;
}

static int begin_write(struct slot *s, uint32_t size)
{
	struct fuse_write_in in = { .fh = s->lane->load->data_fh, .size = size };
	struct freq *q = fs_new(&s->lane->fs, FUSE_WRITE, s->lane->load->data_node, sizeof(in) + size,
				sizeof(struct fuse_write_out));

	if (!q)
		return -ENOMEM;
	fs_put(q, &in, sizeof(in));
	fs_put(q, NULL, size);
	return slot_made(s, 0, q) ? 0 : -ENOMEM;
}

static int begin_write_4k(struct slot *s)
{
	return begin_write(s, BENCH_PAGE);
}

static int begin_write_1m(struct slot *s)
{
	return begin_write(s, BENCH_BLOCK);
}

static struct freq *write_at(struct slot *s, uint64_t offset)
{
	struct fuse_write_in *in = slot_args(s->req[0]);

	in->offset = offset;
	for (uint32_t i = 0; i < in->size; i += BENCH_PAGE)
		share_fill((uint8_t *)(in + 1) + i, offset + i);
	return s->req[0];
}

static struct freq *next_write_4k(struct slot *s)
{
	const struct fuse_write_out *w;

	if (!s->step)
		return write_at(s, lane_random(s->lane) % (BENCH_DATA_SIZE / BENCH_PAGE) * BENCH_PAGE);
	w = slot_reply(s, sizeof(*w));
	return w && w->size == BENCH_PAGE ? NULL : slot_fail(s, "a short write");
}

/* Its slot always writes the same block: to make its contents would cost more than to write them. */
static struct freq *next_write_1m(struct slot *s)
{
	const struct fuse_write_out *w;

	if (!s->step) {
		if (s->serial == 0)
			return write_at(s, (uint64_t)s->number * BENCH_BLOCK % BENCH_DATA_SIZE);
		return s->req[0];
	}
	w = slot_reply(s, sizeof(*w));
	return w && w->size == BENCH_BLOCK ? NULL : slot_fail(s, "a short write");
}

/* Nothing of the file is in the host's page cache. */
static int make_cold(struct load *l)
{
	char path[4096];
	int fd, err;

	snprintf(path, sizeof(path), "%s/data", l->dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = fsync(fd) ? -errno : -posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
	return err;
}

const struct workload work_data[] = {
	{ .name = "fgetattr", .what = "attributes of an open file", .begin = begin_fgetattr, .next = next_fgetattr },
	{ .name = "read4k", .what = "4 KiB anywhere in 64 MiB of page cache", .bytes = BENCH_PAGE,
	  .begin = begin_read_4k, .next = next_read_4k },
	{ .name = "write4k", .what = "4 KiB anywhere in 64 MiB of page cache", .bytes = BENCH_PAGE,
	  .prepare = spoil, .begin = begin_write_4k, .next = next_write_4k, .check = check_file },
	{ .name = "read1m", .what = "1 MiB after the other of 64 MiB of page cache", .bytes = BENCH_BLOCK,
	  .max_depth = 8, .begin = begin_read_1m, .next = next_read_1m },
	{ .name = "write1m", .what = "1 MiB at a time into page cache", .bytes = BENCH_BLOCK, .max_depth = 8,
	  .prepare = spoil, .begin = begin_write_1m, .next = next_write_1m, .check = check_file },
	{ .name = "cold1m", .what = "1 MiB after the other, from the disk", .bytes = BENCH_BLOCK, .max_depth = 8,
	  .ops = BENCH_DATA_SIZE / BENCH_BLOCK, .prepare = make_cold, .begin = begin_read_1m,
	  .next = next_read_1m },
	{ .name = NULL },
};
