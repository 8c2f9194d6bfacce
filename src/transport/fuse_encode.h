/* fuse_encode.h - from the fsworker's answers to the bytes of FUSE replies. Pure.
 *
 * Role: transport. Distrusted: the fsworker (a tail that lies about its entries must not make us read beyond it), and
 * whoever wrote the names in the shared tree.
 */
#ifndef VFSD_FUSE_ENCODE_H
#define VFSD_FUSE_ENCODE_H

#include "ipc/messages.h"
#include "transport/fuse_wire.h"

#include <sys/stat.h>

struct fuse_timeout { /* how long the guest may believe names and attributes */
	uint64_t sec;
	uint32_t nsec;
};

void fuse_encode_attr(const struct statx *st, uint32_t flags, struct fw_attr *out);
void fuse_encode_stat(const struct stat *st, struct fw_attr *out);
void fuse_encode_entry(const struct ipc_entry *e, struct fuse_timeout t, struct fw_entry_out *out);
void fuse_encode_statx(const struct statx *st, struct fw_statx *out);

/* fuse_encode_dirents() - turn the tail of a READDIR answer into fw_dirent or fw_direntplus records.
 * @t: entry and attribute timeout of READDIRPLUS entries.
 * Return bytes written to out (<= max), or -EPROTO when the tail is malformed or does not fit what was asked for. */
int64_t fuse_encode_dirents(const char *tail, uint32_t tail_len, uint64_t count, bool plus, struct fuse_timeout t,
			    char *out, uint32_t max);

/* What an entry costs in a reply, apart from its name; see struct ipc_readdir_req. */
#define FUSE_DIRENT_COST ((uint32_t)sizeof(struct fw_dirent))
#define FUSE_DIRENTPLUS_COST ((uint32_t)sizeof(struct fw_direntplus))

#endif
