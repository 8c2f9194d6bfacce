/* keeper.c - see keeper.h. No request makes this process remember anything but a mount, so each may come twice. */
#include "keeper/keeper.h"

#include "common/crashpoint.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x00004000U
#endif

/* struct file_handle with room for what can be sealed. */
union handle_room {
	struct file_handle h;
	char room[sizeof(struct file_handle) + SEAL_HANDLE_MAX];
};

/* keeper_init() - A keeper that knows no mount yet */
void keeper_init(struct keeper *k, const uint8_t key[IPC_KEEPER_KEY])
{
	memset(k, 0, sizeof(*k));
	memcpy(k->key, key, IPC_KEEPER_KEY);
	for (uint32_t i = 0; i < IPC_MOUNTS_MAX; i++)
		k->mount[i].fd = -1;
}

static int look(int fd, struct statx *st)
{
	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO | STATX_MNT_ID | STATX_MNT_ID_UNIQUE, st) < 0
		       ? -errno
		       : 0;
}

static struct keeper_mount *find_mount(struct keeper *k, uint64_t mnt_id)
{
	for (uint32_t i = 0; i < IPC_MOUNTS_MAX; i++)
		if (k->mount[i].fd >= 0 && k->mount[i].place.mnt_id == mnt_id)
			return &k->mount[i];
	return NULL;
}

/* The handle of what a descriptor stands for, and the number of its mount. 0 or -errno. */
static int handle_of(int fd, struct seal_handle *h, int *mount)
{
	union handle_room r = { .h.handle_bytes = SEAL_HANDLE_MAX };

	if (name_to_handle_at(fd, "", &r.h, mount, AT_EMPTY_PATH) < 0)
		return -errno;
	if (r.h.handle_bytes > SEAL_HANDLE_MAX)
		return -EOVERFLOW;
	memset(h, 0, sizeof(*h));
	h->type = r.h.handle_type;
	h->len = r.h.handle_bytes;
	memcpy(h->bytes, r.h.f_handle, h->len);
	return 0;
}

/* The object of a handle, which somebody has checked the seal of. Descriptor or -errno. */
static int open_handle(int mount_fd, const struct seal_handle *h)
{
	union handle_room r = { .h = { .handle_bytes = h->len, .handle_type = h->type } };
	int fd;

	memcpy(r.h.f_handle, h->bytes, h->len);
	fd = open_by_handle_at(mount_fd, &r.h, O_PATH | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Do handles work here, there and back? Some file systems make handles that they cannot open, and some containers have no
 * CAP_DAC_READ_SEARCH. Better known now than when the descriptor is gone. 0 or errno. */
static int try_handles(int fd, const struct statx *st, int *mount)
{
	struct seal_handle h;
	struct statx again;
	AUTO_FD back = -1;
	int r = handle_of(fd, &h, mount);

	if (r < 0)
		return -r;
	back = open_handle(fd, &h);
	if (back < 0)
		return -back;
	r = look(back, &again);
	if (r < 0)
		return -r;
	return again.stx_ino == st->stx_ino && again.stx_mnt_id == st->stx_mnt_id ? 0 : EOPNOTSUPP;
}

/* MOUNT: something open on a mount, which handles of that mount can be opened by. */
static void answer_mount(struct keeper *k, const struct ipc_msg *m)
{
	AUTO_FD fd = ipc_take_fd(&k->in, m, 0);
	struct keeper_mount *row;
	struct statx st;
	struct statfs fs;
	int flags = fcntl(fd, F_GETFL);

	/* It may show us anything. What is no use to it is dropped: it will hear that the mount is not known. */
	if (flags < 0 || flags & O_PATH || look(fd, &st) < 0 || !(S_ISDIR(st.stx_mode) || S_ISREG(st.stx_mode)) ||
	    !(st.stx_mask & (STATX_MNT_ID | STATX_MNT_ID_UNIQUE)) || fstatfs(fd, &fs) < 0 || find_mount(k, st.stx_mnt_id))
		return;
	row = &k->mount[k->next++ % IPC_MOUNTS_MAX];
	close_fd(&row->fd);
	row->place = (struct seal_place){ .mnt_id = st.stx_mnt_id, .fs_type = (uint64_t)fs.f_type };
	_Static_assert(sizeof(fs.f_fsid) == sizeof(row->place.fs_id), "the whole of it");
	memcpy(&row->place.fs_id, &fs.f_fsid, sizeof(row->place.fs_id));
	row->id = -1;
	row->error = try_handles(fd, &st, &row->id);
	row->fd = take_fd(&fd);
}

/* One system call for each object that can be sealed: a guest that lists all that there is waits for this. */
static int seal_one(struct keeper *k, int fd, struct ipc_sealed_one *out)
{
	const struct keeper_mount *row = NULL;
	struct seal_handle h;
	struct statx st;
	int mount, r = handle_of(fd, &h, &mount);

	for (uint32_t i = 0; r == 0 && i < IPC_MOUNTS_MAX && !row; i++)
		if (k->mount[i].fd >= 0 && k->mount[i].id == mount)
			row = &k->mount[i];
	if (r < 0 && look(fd, &st) == 0)
		row = find_mount(k, st.stx_mnt_id);
	if (!row)
		return ENODEV;
	if (row->error)
		return row->error;
	if (r < 0)
		return -r;
	out->len = seal_make(k->key, &row->place, &h, out->handle);
	return 0;
}

/* SEAL: the sealed handle of each descriptor. */
static const char *answer_seal(struct keeper *k, const struct ipc_msg *m)
{
	const struct ipc_seal *q = m->body;
	struct ipc_sealed_one *one;
	struct ipc_sealed *rep;
	char *tail;

	if (q->count != m->nfds)
		return "a SEAL of another number of descriptors than it says";
	rep = ipc_batch_add(&k->out, IPC_SEALED, m->hdr->tag, 0, m->nfds * (uint32_t)sizeof(*one), &tail);
	if (!rep)
		return "more in one datagram than one can answer";
	rep->count = m->nfds;
	memset(tail, 0, m->nfds * sizeof(*one));
	one = (struct ipc_sealed_one *)(void *)tail;
	for (uint32_t i = 0; i < m->nfds; i++)
		one[i].error = (uint32_t)seal_one(k, m->fds[i], &one[i]);
	return NULL;
}

/* Descriptor or -errno. */
static int unseal_one(struct keeper *k, const struct ipc_unseal_one *q)
{
	const struct keeper_mount *row = find_mount(k, q->mnt_id);
	struct seal_handle h;
	int r;

	if (!row)
		return -ENODEV;
	r = seal_open(k->key, &row->place, q->handle, q->len, &h);
	return r < 0 ? r : open_handle(row->fd, &h);
}

/* UNSEAL: a descriptor for each sealed handle. */
static const char *answer_unseal(struct keeper *k, const struct ipc_msg *m)
{
	const struct ipc_unseal_one *q = (const void *)m->tail;
	uint32_t n = m->tail_len / (uint32_t)sizeof(*q), *error;
	struct ipc_unsealed *rep;
	char *tail;

	if (((const struct ipc_unseal *)m->body)->count != n || m->tail_len % sizeof(*q) || n > IPC_FDS_MAX)
		return "an UNSEAL of another number of handles than it says";
	rep = ipc_batch_add(&k->out, IPC_UNSEALED, m->hdr->tag, 0, n * (uint32_t)sizeof(*error), &tail);
	if (!rep)
		return "more in one datagram than one can answer";
	rep->count = n;
	error = (uint32_t *)(void *)tail;
	for (uint32_t i = 0; i < n; i++) {
		int fd = unseal_one(k, &q[i]);

		error[i] = fd < 0 ? (uint32_t)-fd : 0;
		if (fd >= 0 && !ipc_batch_fd(&k->out, fd, true)) {
			close(fd);
			return "more in one datagram than one can answer";
		}
	}
	return NULL;
}

static const char *answer_one(struct keeper *k, const struct ipc_msg *m)
{
	switch (m->hdr->type) {
	case IPC_MOUNT:
		answer_mount(k, m);
		return NULL;
	case IPC_SEAL:
		return answer_seal(k, m);
	case IPC_UNSEAL:
		return answer_unseal(k, m);
	default:
		return "a message that a keeper does not take";
	}
}

/*
 * keeper_hear() - Answer one datagram
 * @k:		Keeper
 * @fd:		Channel to the fsworker; something is there to be read
 * @why:	Out: which rule was broken
 *
 * An answer for which the kernel has no room now is not given: who waits for it asks again.
 *
 * Return: 1, 0 at the end, -EPROTO, or another -errno when the channel is broken
 */
int keeper_hear(struct keeper *k, int fd, const char **why)
{
	struct ipc_msg m;
	int r;

	*why = "a datagram that is empty or was cut";
	r = ipc_recv(fd, &k->in, MSG_DONTWAIT);
	if (r == -EAGAIN || r == -EINTR)
		return 1;
	if (r <= 0)
		return r;
	CRASHPOINT("asked");
	ipc_batch_reset(&k->out);
	while ((r = ipc_next(&k->in, IPC_DIR_W2K, &m, why)) == 1) {
		const char *broken = answer_one(k, &m);

		if (broken) {
			*why = broken;
			r = -EPROTO;
			break;
		}
	}
	ipc_dgram_end(&k->in);
	if (r == 0) {
		CRASHPOINT("answering");
		r = ipc_batch_send(fd, &k->out);
		CRASHPOINT("answered");
	}
	ipc_batch_reset(&k->out);
	return r == 0 || r == -EAGAIN || r == -ETOOMANYREFS ? 1 : r;
}
