/*
 * A FUSE client: the operations on open files and directories.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <string.h>

#include "fuse_client.h"

#define ARG(x) { &(x), sizeof(x) }

static int call_fixed(struct fs *fs, uint32_t opcode, uint64_t nodeid, const void *in,
		      size_t in_size, void *reply, size_t size)
{
	struct fs_arg args[] = { { in, in_size } };

	return fs_call(fs, opcode, nodeid, args, 1, reply, size, size, NULL);
}

static ssize_t read_call(struct fs *fs, uint32_t opcode, uint64_t nodeid, uint64_t fh, void *buf,
			 uint32_t size, uint64_t offset, uint32_t flags)
{
	struct fuse_read_in in = { .fh = fh, .offset = offset, .size = size, .flags = flags };
	struct fs_arg args[] = { ARG(in) };
	size_t got;
	int err = fs_call(fs, opcode, nodeid, args, 1, buf, 0, size, &got);

	return err ? err : (ssize_t)got;
}

ssize_t fs_read(struct fs *fs, uint64_t nodeid, uint64_t fh, void *buf, uint32_t size,
		uint64_t offset, uint32_t flags)
{
	return read_call(fs, FUSE_READ, nodeid, fh, buf, size, offset, flags);
}

ssize_t fs_write(struct fs *fs, uint64_t nodeid, uint64_t fh, const void *buf, uint32_t size,
		 uint64_t offset, uint32_t flags, uint32_t write_flags)
{
	struct fuse_write_in in = {
		.fh = fh,
		.offset = offset,
		.size = size,
		.flags = flags,
		.write_flags = write_flags,
	};
	struct fs_arg args[] = { ARG(in), { buf, size } };
	struct fuse_write_out out;
	int err = fs_call(fs, FUSE_WRITE, nodeid, args, 2, &out, sizeof(out), sizeof(out), NULL);

	return err ? err : (ssize_t)out.size;
}

int fs_release(struct fs *fs, uint64_t nodeid, uint64_t fh, uint32_t flags,
	       uint32_t release_flags, uint64_t owner)
{
	struct fuse_release_in in = {
		.fh = fh,
		.flags = flags,
		.release_flags = release_flags,
		.lock_owner = owner,
	};

	return call_fixed(fs, FUSE_RELEASE, nodeid, &in, sizeof(in), NULL, 0);
}

int fs_flush(struct fs *fs, uint64_t nodeid, uint64_t fh, uint64_t owner)
{
	struct fuse_flush_in in = { .fh = fh, .lock_owner = owner };

	return call_fixed(fs, FUSE_FLUSH, nodeid, &in, sizeof(in), NULL, 0);
}

int fs_fsync(struct fs *fs, uint64_t nodeid, uint64_t fh, uint32_t flags)
{
	struct fuse_fsync_in in = { .fh = fh, .fsync_flags = flags };

	return call_fixed(fs, FUSE_FSYNC, nodeid, &in, sizeof(in), NULL, 0);
}

int fs_opendir(struct fs *fs, uint64_t nodeid, uint32_t flags, struct fuse_open_out *out)
{
	struct fuse_open_in in = { .flags = flags };

	return call_fixed(fs, FUSE_OPENDIR, nodeid, &in, sizeof(in), out, sizeof(*out));
}

ssize_t fs_readdir(struct fs *fs, uint64_t nodeid, uint64_t fh, uint64_t offset, void *buf,
		   uint32_t size)
{
	return read_call(fs, FUSE_READDIR, nodeid, fh, buf, size, offset, 0);
}

ssize_t fs_readdirplus(struct fs *fs, uint64_t nodeid, uint64_t fh, uint64_t offset, void *buf,
		       uint32_t size)
{
	return read_call(fs, FUSE_READDIRPLUS, nodeid, fh, buf, size, offset, 0);
}

int fs_releasedir(struct fs *fs, uint64_t nodeid, uint64_t fh)
{
	struct fuse_release_in in = { .fh = fh };

	return call_fixed(fs, FUSE_RELEASEDIR, nodeid, &in, sizeof(in), NULL, 0);
}

int fs_fsyncdir(struct fs *fs, uint64_t nodeid, uint64_t fh, uint32_t flags)
{
	struct fuse_fsync_in in = { .fh = fh, .fsync_flags = flags };

	return call_fixed(fs, FUSE_FSYNCDIR, nodeid, &in, sizeof(in), NULL, 0);
}

int fs_getlk(struct fs *fs, uint64_t nodeid, uint64_t fh, uint64_t owner,
	     struct fuse_file_lock *lk)
{
	struct fuse_lk_in in = { .fh = fh, .owner = owner, .lk = *lk };
	struct fuse_lk_out out;
	int err = call_fixed(fs, FUSE_GETLK, nodeid, &in, sizeof(in), &out, sizeof(out));

	if (!err)
		*lk = out.lk;
	return err;
}

/**
 * fs_setlk_begin() - Send a lock request and do not wait
 * @fs:		Client
 * @opcode:	FUSE_SETLK or FUSE_SETLKW
 * @nodeid:	File
 * @fh:		Its handle
 * @owner:	Lock owner
 * @lk:		Lock
 * @lk_flags:	FUSE_LK_FLOCK or 0
 *
 * Return: the request in flight, or NULL
 */
struct freq *fs_setlk_begin(struct fs *fs, uint32_t opcode, uint64_t nodeid, uint64_t fh,
			    uint64_t owner, const struct fuse_file_lock *lk, uint32_t lk_flags)
{
	struct fuse_lk_in in = { .fh = fh, .owner = owner, .lk = *lk, .lk_flags = lk_flags };
	struct freq *q = fs_new(fs, opcode, nodeid, sizeof(in), 0);

	if (!q)
		return NULL;
	fs_put(q, &in, sizeof(in));
	if (fs_submit(q)) {
		fs_free(q);
		return NULL;
	}
	return q;
}

int fs_setlk(struct fs *fs, uint32_t opcode, uint64_t nodeid, uint64_t fh, uint64_t owner,
	     const struct fuse_file_lock *lk, uint32_t lk_flags)
{
	struct freq *q = fs_setlk_begin(fs, opcode, nodeid, fh, owner, lk, lk_flags);
	int err = q ? fs_wait(q) : FS_BROKEN;

	if (q && q->vq.done)
		fs_free(q);
	return err;
}

/**
 * fs_interrupt() - INTERRUPT, over the hiprio queue; it has no reply
 * @fs:		Client
 * @unique:	Number of the request to be interrupted
 *
 * Return: 0 or FS_BROKEN
 */
int fs_interrupt(struct fs *fs, uint64_t unique)
{
	struct fuse_interrupt_in in = { .unique = unique };
	unsigned int queue = fs->queue;
	struct freq *q;
	int err;

	fs->queue = DEV_HIPRIO;
	q = fs_new(fs, FUSE_INTERRUPT, 0, sizeof(in), 0);
	fs->queue = queue;
	if (!q)
		return FS_BROKEN;
	q->vq.noreply = true;
	fs_put(q, &in, sizeof(in));
	err = fs_submit(q) ? FS_BROKEN : fs_wait(q);
	if (q->vq.done)
		fs_free(q);
	return err;
}

int fs_fallocate(struct fs *fs, uint64_t nodeid, uint64_t fh, uint32_t mode, uint64_t offset,
		 uint64_t length)
{
	struct fuse_fallocate_in in = {
		.fh = fh,
		.offset = offset,
		.length = length,
		.mode = mode,
	};

	return call_fixed(fs, FUSE_FALLOCATE, nodeid, &in, sizeof(in), NULL, 0);
}

int64_t fs_lseek(struct fs *fs, uint64_t nodeid, uint64_t fh, uint64_t offset, uint32_t whence)
{
	struct fuse_lseek_in in = { .fh = fh, .offset = offset, .whence = whence };
	struct fuse_lseek_out out;
	int err = call_fixed(fs, FUSE_LSEEK, nodeid, &in, sizeof(in), &out, sizeof(out));

	return err ? err : (int64_t)out.offset;
}

/**
 * fs_copy() - Copy a range from file to file
 * @fs:		Client
 * @opcode:	FUSE_COPY_FILE_RANGE or FN_COPY_FILE_RANGE_64
 * @in:		Handles, offsets, length
 * @nodeid_in:	Source file
 *
 * Return: bytes copied, a negative errno, or FS_BROKEN
 */
int64_t fs_copy(struct fs *fs, uint32_t opcode, const struct fuse_copy_file_range_in *in,
		uint64_t nodeid_in)
{
	struct fuse_write_out out;
	struct fn_copy_out out64;
	int err;

	if (opcode == FN_COPY_FILE_RANGE_64) {
		err = call_fixed(fs, opcode, nodeid_in, in, sizeof(*in), &out64, sizeof(out64));
		return err ? err : (int64_t)out64.bytes_copied;
	}
	err = call_fixed(fs, opcode, nodeid_in, in, sizeof(*in), &out, sizeof(out));
	return err ? err : (int64_t)out.size;
}

int fs_ioctl(struct fs *fs, uint64_t nodeid, const struct fuse_ioctl_in *in, const void *data,
	     void *out, size_t out_size, struct fuse_ioctl_out *res)
{
	struct fs_arg args[] = { { in, sizeof(*in) }, { data, in->in_size } };
	char buf[sizeof(*res) + 4096];
	size_t got;
	int err;

	if (out_size > 4096)
		return FS_BROKEN;
	err = fs_call(fs, FUSE_IOCTL, nodeid, args, 2, buf, sizeof(*res), sizeof(*res) + out_size,
		      &got);
	if (!err) {
		memcpy(res, buf, sizeof(*res));
		if (out)
			memcpy(out, buf + sizeof(*res), got - sizeof(*res));
	}
	return err;
}

int fs_poll(struct fs *fs, uint64_t nodeid, uint64_t fh, uint32_t events, uint32_t *revents)
{
	struct fuse_poll_in in = { .fh = fh, .events = events };
	struct fuse_poll_out out;
	int err = call_fixed(fs, FUSE_POLL, nodeid, &in, sizeof(in), &out, sizeof(out));

	if (!err)
		*revents = out.revents;
	return err;
}

int fs_bmap(struct fs *fs, uint64_t nodeid, uint64_t block, uint32_t blocksize, uint64_t *result)
{
	struct fuse_bmap_in in = { .block = block, .blocksize = blocksize };
	struct fuse_bmap_out out;
	int err = call_fixed(fs, FUSE_BMAP, nodeid, &in, sizeof(in), &out, sizeof(out));

	if (!err)
		*result = out.block;
	return err;
}
