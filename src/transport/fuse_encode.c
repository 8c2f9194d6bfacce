/* fuse_encode.c - see fuse_encode.h. */
#include "transport/fuse_encode.h"

/* The kernel's new_encode_dev(): what a guest expects in a 32-bit device number. */
static uint32_t encode_dev(uint32_t major, uint32_t minor)
{
	return (minor & 0xff) | (major & 0xfff) << 8 | (minor & ~0xffu) << 12;
}

/* fuse_encode_attr() - @flags: FW_ATTR_*. */
void fuse_encode_attr(const struct statx *st, uint32_t flags, struct fw_attr *out)
{
	*out = (struct fw_attr){
		.ino = st->stx_ino,
		.size = st->stx_size,
		.blocks = st->stx_blocks,
		.atime = (uint64_t)st->stx_atime.tv_sec,
		.mtime = (uint64_t)st->stx_mtime.tv_sec,
		.ctime = (uint64_t)st->stx_ctime.tv_sec,
		.atimensec = st->stx_atime.tv_nsec,
		.mtimensec = st->stx_mtime.tv_nsec,
		.ctimensec = st->stx_ctime.tv_nsec,
		.mode = st->stx_mode,
		.nlink = st->stx_nlink,
		.uid = st->stx_uid,
		.gid = st->stx_gid,
		.rdev = encode_dev(st->stx_rdev_major, st->stx_rdev_minor),
		.blksize = st->stx_blksize,
		.flags = flags,
	};
}

/* fuse_encode_stat() - the same of a regular file, from fstat(). */
void fuse_encode_stat(const struct stat *st, struct fw_attr *out)
{
	*out = (struct fw_attr){
		.ino = st->st_ino,
		.size = (uint64_t)st->st_size,
		.blocks = (uint64_t)st->st_blocks,
		.atime = (uint64_t)st->st_atim.tv_sec,
		.mtime = (uint64_t)st->st_mtim.tv_sec,
		.ctime = (uint64_t)st->st_ctim.tv_sec,
		.atimensec = (uint32_t)st->st_atim.tv_nsec,
		.mtimensec = (uint32_t)st->st_mtim.tv_nsec,
		.ctimensec = (uint32_t)st->st_ctim.tv_nsec,
		.mode = st->st_mode,
		.nlink = (uint32_t)st->st_nlink,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.blksize = (uint32_t)st->st_blksize,
	};
}

/* fuse_encode_entry() - a looked-up name. */
void fuse_encode_entry(const struct ipc_entry *e, struct fuse_timeout t, struct fw_entry_out *out)
{
	out->nodeid = e->nodeid;
	out->generation = 0; /* nodeids are never reused */
	out->entry_valid = out->attr_valid = t.sec;
	out->entry_valid_nsec = out->attr_valid_nsec = t.nsec;
	fuse_encode_attr(&e->st, e->flags & IPC_ENTRY_SUBMOUNT ? FW_ATTR_SUBMOUNT : 0, &out->attr);
}

static struct fw_sx_time sx_time(const struct statx_timestamp *t)
{
	return (struct fw_sx_time){ .tv_sec = t->tv_sec, .tv_nsec = t->tv_nsec };
}

/* What of a host's statx means something to a guest: its mount ids do not. */
#define STATX_FOR_GUEST (STATX_BASIC_STATS | STATX_BTIME)

/* fuse_encode_statx() - all that STATX can tell. */
void fuse_encode_statx(const struct statx *st, struct fw_statx *out)
{
	*out = (struct fw_statx){
		.mask = st->stx_mask & STATX_FOR_GUEST,
		.blksize = st->stx_blksize,
		.attributes = st->stx_attributes & ~(uint64_t)STATX_ATTR_MOUNT_ROOT,
		.attributes_mask = st->stx_attributes_mask & ~(uint64_t)STATX_ATTR_MOUNT_ROOT,
		.nlink = st->stx_nlink,
		.uid = st->stx_uid,
		.gid = st->stx_gid,
		.mode = st->stx_mode,
		.ino = st->stx_ino,
		.size = st->stx_size,
		.blocks = st->stx_blocks,
		.atime = sx_time(&st->stx_atime),
		.btime = sx_time(&st->stx_btime),
		.ctime = sx_time(&st->stx_ctime),
		.mtime = sx_time(&st->stx_mtime),
		.rdev_major = st->stx_rdev_major,
		.rdev_minor = st->stx_rdev_minor,
		.dev_major = st->stx_dev_major,
		.dev_minor = st->stx_dev_minor,
	};
}

/* fuse_encode_dirents() - see fuse_encode.h. */
int64_t fuse_encode_dirents(const char *tail, uint32_t tail_len, uint64_t count, bool plus, struct fuse_timeout t,
			    char *out, uint32_t max)
{
	uint32_t used = 0, pos = 0;

	while (count--) {
		struct ipc_entry entry = { 0 };
		struct ipc_dirent d;
		uint32_t need;

		if (tail_len - pos < sizeof(d))
			return -EPROTO;
		memcpy(&d, tail + pos, sizeof(d));
		pos += sizeof(d);
		if (plus) {
			if (tail_len - pos < sizeof(entry))
				return -EPROTO;
			memcpy(&entry, tail + pos, sizeof(entry));
			pos += sizeof(entry);
		}
		if (d.name_len == 0 || d.name_len > IPC_NAME_MAX || tail_len - pos < ALIGN_UP(d.name_len, 8u))
			return -EPROTO;
		need = ALIGN_UP((plus ? FUSE_DIRENTPLUS_COST : FUSE_DIRENT_COST) + d.name_len, 8u);
		if (need > max - used)
			return -EPROTO;
		if (plus) {
			struct fw_entry_out eo = { 0 };

			if (entry.nodeid)
				fuse_encode_entry(&entry, t, &eo);
			memcpy(out + used, &eo, sizeof(eo));
			used += sizeof(eo);
			need -= (uint32_t)sizeof(eo);
		}
		struct fw_dirent de = { .ino = d.ino, .off = d.off, .namelen = d.name_len, .type = d.type };

		memcpy(out + used, &de, sizeof(de));
		memcpy(out + used + sizeof(de), tail + pos, d.name_len);
		memset(out + used + sizeof(de) + d.name_len, 0, need - sizeof(de) - d.name_len);
		used += need;
		pos += ALIGN_UP(d.name_len, 8u);
	}
	return pos == tail_len ? (int64_t)used : -EPROTO;
}
