/* fuse_decode.c - see fuse_decode.h. No system call, no allocation, no global state. */
#include "transport/fuse_decode.h"

#include "ipc/messages.h"

struct op_row {
	const char *name;
	uint16_t arg_size;
	uint8_t names;
	uint8_t flags;
};

static const struct op_row op_rows[FW_OPCODE_END] = {
#define FUSE_OP(OP, handler, size, names, flags) [FW_##OP] = { #OP, (size), (names), (flags) },
#include "transport/fuse_ops.def"
#undef FUSE_OP
};

static const struct op_row *row_of(uint32_t opcode)
{
	if (opcode >= ARRAY_SIZE(op_rows) || !op_rows[opcode].name)
		return NULL;
	return &op_rows[opcode];
}

/* fuse_op_flags() - see fuse_decode.h. */
uint32_t fuse_op_flags(uint32_t opcode)
{
	const struct op_row *row = row_of(opcode);

	return row ? row->flags : 0;
}

/* fuse_op_name() - an operation's name for the log. */
const char *fuse_op_name(uint32_t opcode)
{
	const struct op_row *row = row_of(opcode);

	return row ? row->name : "unknown";
}

/* fuse_decode_head() - see fuse_decode.h. */
int fuse_decode_head(const struct fw_in_header *h, uint64_t out_len, uint32_t *want)
{
	const struct op_row *row = row_of(h->opcode);

	if (h->len < sizeof(*h) || h->len > out_len)
		return EINVAL;
	if (!row)
		return ENOSYS;
	if (row->flags & FD_DATA_STAYS) {
		*want = (uint32_t)sizeof(*h) + row->arg_size;
		return *want <= h->len ? 0 : EINVAL;
	}
	*want = h->len;
	return h->len <= FUSE_ARGS_MAX ? 0 : E2BIG;
}

/* fuse_name_check() - see fuse_decode.h. */
int fuse_name_check(const char *name, uint32_t len, uint32_t flags)
{
	if (len == 0)
		return EINVAL;
	if (len > IPC_NAME_MAX)
		return flags & FD_XATTR_NAME ? ERANGE : ENAMETOOLONG;
	if (flags & FD_XATTR_NAME)
		return 0;
	if (memchr(name, '/', len))
		return EINVAL;
	if (!(flags & FD_DOTS) && name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return EINVAL;
	return 0;
}

/* Take the next NUL-terminated string off [*pos, end). */
static int take_string(const char **pos, const char *end, const char **s, uint32_t *len)
{
	const char *nul = memchr(*pos, 0, (size_t)(end - *pos));

	if (!nul)
		return EINVAL;
	*s = *pos;
	*len = (uint32_t)(nul - *pos);
	*pos = nul + 1;
	return 0;
}

/* The extensions at the end of a request (since 7.38). Only the supplementary group is of use to us: the security
 * contexts are not negotiated, and what is unknown is skipped as the protocol wants. */
static int take_extensions(const char *pos, uint32_t len, struct fuse_req *r)
{
	while (len) {
		struct fw_ext_header e;
		uint32_t n;

		if (len < sizeof(e))
			return EINVAL;
		memcpy(&e, pos, sizeof(e)); /* unaligned: a name of any length stands before it */
		if (e.size < sizeof(e) || e.size > len)
			return EINVAL;
		if (e.type == FW_EXT_GROUPS) {
			if (e.size < sizeof(e) + sizeof(n))
				return EINVAL;
			memcpy(&n, pos + sizeof(e), sizeof(n));
			if (n > 1 || e.size < sizeof(e) + sizeof(n) + n * sizeof(uint32_t))
				return EINVAL;
			if (n) {
				memcpy(&r->sup_gid, pos + sizeof(e) + sizeof(n), sizeof(r->sup_gid));
				r->has_sup_gid = true;
			}
		}
		n = MIN(ALIGN_UP(e.size, 8u), len);
		pos += n;
		len -= n;
	}
	return 0;
}

/* fuse_decode() - see fuse_decode.h. */
int fuse_decode(const void *buf, uint32_t want, bool xattr_ext, struct fuse_req *r)
{
	const char *pos = buf, *end = pos + want;
	const struct op_row *row;
	uint32_t arg_size, ext_len;
	int e;

	*r = (struct fuse_req){ 0 };
	if (want < sizeof(r->h))
		return EINVAL;
	memcpy(&r->h, buf, sizeof(r->h));
	row = row_of(r->h.opcode);
	if (!row)
		return ENOSYS;
	r->flags = row->flags;
	pos += sizeof(r->h);

	ext_len = row->flags & FD_DATA_STAYS ? 0 : r->h.total_extlen * 8u;
	if (ext_len > (size_t)(end - pos))
		return EINVAL;
	end -= ext_len;
	e = take_extensions(end, ext_len, r);
	if (e)
		return e;

	arg_size = row->arg_size;
	if ((row->flags & FD_SHORT_XATTR) && !xattr_ext)
		arg_size = FW_SETXATTR_IN_SHORT;
	if ((size_t)(end - pos) < arg_size)
		return EINVAL;
	r->arg = pos;
	pos += arg_size;
	for (unsigned i = 0; i < row->names; i++) {
		e = take_string(&pos, end, &r->name[i], &r->name_len[i]);
		if (e)
			return e;
		if (i == 1 && (row->flags & FD_SECOND_IS_PATH)) {
			if (r->name_len[i] == 0)
				return ENOENT;
			if (r->name_len[i] > IPC_PATH_MAX)
				return ENAMETOOLONG;
			continue;
		}
		e = fuse_name_check(r->name[i], r->name_len[i], row->flags);
		if (e)
			return e;
	}
	r->data = pos;
	r->data_len = (uint32_t)(end - pos);
	/* Bytes that nobody asked for are a request that we read differently from its sender, e.g. a NUL in a name. */
	if (r->data_len && row->names && !(row->flags & FD_DATA))
		return EINVAL;
	return 0;
}
