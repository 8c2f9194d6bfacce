/* op_xattr.c - extended attributes.
 *
 * The inode's descriptor is O_PATH, which the f*xattr() calls refuse, and the path calls of every supported
 * kernel take no directory. So the path is the descriptor's number, and the working directory of each thread is
 * /proc/self/fd (creds.c): one call, nothing to look up, nothing that anyone could exchange.
 */
#include "fsworker/creds.h"
#include "fsworker/fsworker.h"
#include "fsworker/resolve.h"

#include "common/crashpoint.h"

#include <sys/stat.h>
#include <sys/xattr.h>

static int begin(struct req *r, uint64_t nodeid, struct inode_use *u, struct fd_name *path)
{
	int err;

	if (!cfg_has(r->w, CFG_XATTR))
		return -EOPNOTSUPP;
	err = inode_get(&r->w->inodes, nodeid, u);
	if (err == 0)
		*path = fd_name_of(u->fd);
	return err;
}

/* The kernel leaves setgid to a member of the file's group, and the superuser of the jail is in group 0. */
static int clear_setgid(int proc_fd, const char *path, int fd)
{
	struct statx st;
	int err = resolve_statx_fd(fd, 0, &st);

	if (err == 0 && st.stx_mode & S_ISGID && fchmodat(proc_fd, path, st.stx_mode & 07777 & ~(mode_t)S_ISGID, 0) < 0)
		err = -errno;
	return err;
}

/* The request is served again: has the attribute the value that it was to have? */
static bool has_value(struct req *r, const char *path, const char *name, const char *value, uint32_t len)
{
	ssize_t n = getxattr(path, name, r->out->scratch, IPC_XATTR_MAX);

	return n == (ssize_t)len && memcmp(r->out->scratch, value, len) == 0;
}

/* answer_setxattr() - SETXATTR. The tail is the name and, after it, the value. */
int answer_setxattr(struct req *r)
{
	const struct ipc_setxattr_req *q = r->body;
	AUTO_INODE u = { 0 };
	struct fd_name path;
	struct name name;
	int err;

	if (q->name_len > r->tail_len || r->tail_len - q->name_len > IPC_XATTR_MAX ||
	    q->flags & ~(uint32_t)(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	err = begin(r, q->nodeid, &u, &path);
	if (err == 0)
		err = xattr_name_check(&name, r->tail, q->name_len);
	if (err == 0)
		err = creds_fsetid(!q->acl_kill_sgid);
	if (err == 0 && setxattr(path.s, name.s, r->tail + q->name_len, r->tail_len - q->name_len, (int)q->flags) < 0)
		err = -errno;
	CRASHPOINT("attribute-set");
	if (unlikely(err == -EEXIST) && r->redo &&
	    has_value(r, path.s, name.s, r->tail + q->name_len, r->tail_len - q->name_len))
		err = 0;
	if (err == 0 && q->acl_kill_sgid)
		err = clear_setgid(r->w->proc_fd, path.s, u.fd);
	return err < 0 ? err : reply_empty(r);
}

/* Both ways to ask: how much there is (size 0), or what it is. */
static int answer_bytes(struct req *r, ssize_t n, uint32_t asked)
{
	struct ipc_getxattr_rep *rep;
	char *tail;

	if (n < 0)
		return -errno;
	rep = reply_add(r, asked ? (uint32_t)n : 0, &tail);
	rep->size = (uint64_t)n;
	if (asked)
		memcpy(tail, r->out->scratch, (size_t)n);
	return 0;
}
_Static_assert(sizeof(struct ipc_getxattr_rep) == sizeof(struct ipc_listxattr_rep), "answered alike");

/* answer_getxattr() - GETXATTR */
int answer_getxattr(struct req *r)
{
	const struct ipc_getxattr_req *q = r->body;
	AUTO_INODE u = { 0 };
	struct fd_name path;
	struct name name;
	int err = begin(r, q->nodeid, &u, &path);

	if (err == 0)
		err = xattr_name_check(&name, r->tail, r->tail_len);
	if (err < 0)
		return err;
	return answer_bytes(r, getxattr(path.s, name.s, r->out->scratch, MIN(q->size, IPC_XATTR_MAX)), q->size);
}

/* answer_listxattr() - LISTXATTR */
int answer_listxattr(struct req *r)
{
	const struct ipc_listxattr_req *q = r->body;
	AUTO_INODE u = { 0 };
	struct fd_name path;
	int err = begin(r, q->nodeid, &u, &path);

	if (err < 0)
		return err;
	return answer_bytes(r, listxattr(path.s, r->out->scratch, MIN(q->size, IPC_XATTR_MAX)), q->size);
}

/* answer_removexattr() - REMOVEXATTR */
int answer_removexattr(struct req *r)
{
	const struct ipc_removexattr_req *q = r->body;
	AUTO_INODE u = { 0 };
	struct fd_name path;
	struct name name;
	int err = begin(r, q->nodeid, &u, &path);

	if (err == 0)
		err = xattr_name_check(&name, r->tail, r->tail_len);
	if (err == 0 && removexattr(path.s, name.s) < 0)
		err = -errno;
	CRASHPOINT("attribute-removed");
	if (unlikely(err == -ENODATA) && r->redo)
		err = 0;
	return err < 0 ? err : reply_empty(r);
}
