/* fuse_decode.h - from a request's bytes, copied out of guest memory, to its checked parts. Pure.
 *
 * Role: transport. Distrusted: every byte. What passes here has: a header whose length is what arrived, a fixed
 * argument of the right size, names that are single components without NUL or '/' and not "." or ".." (LOOKUP apart),
 * and nothing left over. The meaning of numbers is for request.c, whether ids exist for the fsworker.
 */
#ifndef VFSD_FUSE_DECODE_H
#define VFSD_FUSE_DECODE_H

#include "transport/fuse_wire.h"

#define FD_DOTS 0x01u           /* the name may be "." or ".." */
#define FD_SECOND_IS_PATH 0x02u /* the second name is a symbolic link's contents */
#define FD_XATTR_NAME 0x04u     /* the name is an attribute's: '/' and dots are ordinary characters */
#define FD_SHORT_XATTR 0x08u    /* fw_setxattr_in is 8 bytes unless SETXATTR_EXT was negotiated */
#define FD_DATA 0x10u           /* more bytes may follow */
#define FD_DATA_STAYS 0x20u     /* what follows is not copied out of guest memory */
#define FD_NO_REPLY 0x40u
#define FD_BEFORE_INIT 0x80u    /* allowed without a session */

/* The most that is copied out of guest memory for one request: SETXATTR with the largest value, or forgets. */
#define FUSE_ARGS_MAX (72u * 1024)

struct fuse_req {
	struct fw_in_header h;
	uint32_t flags;  /* FD_* of its row */
	const void *arg; /* the fixed argument, 8-byte aligned */
	const char *name[2];
	uint32_t name_len[2];
	const char *data; /* FD_DATA: what follows the names */
	uint32_t data_len;
	bool has_sup_gid;
	uint32_t sup_gid;
};

/* fuse_decode_head() - check the header and say how much to copy.
 * @h: copied out of guest memory. @out_len: bytes that the chain has for the device to read.
 * @want: out, bytes of the request (with the header) to copy before fuse_decode().
 * Return 0 or a positive errno for the reply. */
int fuse_decode_head(const struct fw_in_header *h, uint64_t out_len, uint32_t *want);

/* fuse_decode() - @buf: `want` bytes, 8-byte aligned, starting with the header. @xattr_ext: SETXATTR_EXT is on.
 * Return 0, or a positive errno for the reply. */
int fuse_decode(const void *buf, uint32_t want, bool xattr_ext, struct fuse_req *r);

/* fuse_op_flags() - the row's flags; 0 for unknown opcodes. */
uint32_t fuse_op_flags(uint32_t opcode);
const char *fuse_op_name(uint32_t opcode);

/* fuse_name_check() - a single path component? 0, EINVAL or ENAMETOOLONG. */
int fuse_name_check(const char *name, uint32_t len, uint32_t flags);

#endif
