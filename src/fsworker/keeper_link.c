/* keeper_link.c - see keeper_link.h.
 *
 * A keeper may have been taken over. It can keep a guest's request waiting, as any silent one can; what it says wrongly is dropped.
 *
 * Locks: `lock` is held while a question waits for its answer, wishes_lock never. No other lock is taken under either.
 */
#include "fsworker/keeper_link.h"

#include "common/log.h"
#include "fsworker/resolve.h"

#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>

#define ASK_AGAIN_MS 200      /* a keeper that was there has answered by then; the next one may need as long to start */
#define ASK_AGAIN_MAX_MS 3200 /* one that waits for a disk does not get faster by being asked */
#define TRIES 3               /* with mounts that must be shown first */

_Static_assert(SEAL_MAX + IPC_MOUNTS_MAX <= IPC_FDS_MAX, "all of it in one datagram");

/*
 * keeper_link_new() - The fsworker's side of the channel to the keeper
 * @fd:		Channel, taken over
 * @proc_fd:	/proc/self/fd, borrowed
 * @rows:	IPC_MOUNTS_MAX of them, all zero or those of a process before, borrowed
 * @generation:	Of this process, see ipc_held()
 *
 * Return: NULL without memory; then fd is still the caller's
 */
struct keeper_link *keeper_link_new(int fd, int proc_fd, struct mount_row *rows, uint32_t generation)
{
	struct keeper_link *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->fd = fd;
	k->proc_fd = proc_fd;
	k->rows = rows;
	k->generation = generation;
	k->first_wait_ms = ASK_AGAIN_MS;
	pthread_mutex_init(&k->lock, NULL);
	pthread_mutex_init(&k->wishes_lock, NULL);
	pthread_cond_init(&k->done, NULL);
	/* A late answer to a question of the process before this one is none to ours. */
	k->tag = (uint64_t)generation << 56;
	for (uint32_t i = 0; i < IPC_MOUNTS_MAX; i++)
		k->mount[i].fd = -1;
	return k;
}

/* keeper_link_free() - Close all that it has. For tests. */
void keeper_link_free(struct keeper_link *k)
{
	if (!k)
		return;
	for (uint32_t i = 0; i < IPC_MOUNTS_MAX; i++)
		close_fd(&k->mount[i].fd);
	ipc_batch_reset(&k->out);
	ipc_dgram_end(&k->in);
	close_fd(&k->fd);
	pthread_cond_destroy(&k->done);
	pthread_mutex_destroy(&k->wishes_lock);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

/* A question that is being asked: objects to seal, or wishes. */
struct question {
	struct seal_item *seal[SEAL_MAX];
	struct unseal *unseal[SEAL_MAX];
	uint32_t nseal, nunseal; /* one of them is 0 */
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static struct mount *find_mount(struct keeper_link *k, uint64_t mnt_id)
{
	for (uint32_t i = 0; i < IPC_MOUNTS_MAX; i++)
		if (k->rows[i].mnt_id == mnt_id && k->mount[i].fd >= 0)
			return &k->mount[i];
	return NULL;
}

/* The place of a mount that is not open here: where the process before had it, or a free one. IPC_MOUNTS_MAX: none. */
static uint32_t row_for(const struct keeper_link *k, uint64_t mnt_id)
{
	uint32_t i, unused = IPC_MOUNTS_MAX;

	for (i = 0; i < IPC_MOUNTS_MAX && k->rows[i].mnt_id != mnt_id; i++)
		if (!k->rows[i].mnt_id && unused == IPC_MOUNTS_MAX)
			unused = i;
	return i < IPC_MOUNTS_MAX ? i : unused;
}

/* Open what handles of its mount can be opened by. Nothing, when it cannot be opened or there are too many mounts. */
static struct mount *add_mount(struct keeper_link *k, const struct seal_item *item)
{
	uint32_t dir = S_ISDIR(item->mode) ? O_DIRECTORY : 0, i = row_for(k, item->mnt_id);
	struct mount *m;

	if ((!dir && !S_ISREG(item->mode)) || i == IPC_MOUNTS_MAX)
		return NULL;
	m = &k->mount[i];
	m->fd = resolve_reopen(k->proc_fd, item->fd, item->mode, O_RDONLY | O_NONBLOCK | dir);
	if (m->fd < 0) {
		m->fd = -1;
		return NULL;
	}
	m->error = 0;
	k->rows[i].held = ipc_held(k->generation, m->fd);
	journal_order();
	k->rows[i].mnt_id = item->mnt_id;
	return m;
}

/* keeper_add_root() - The mount of the share's root, which most objects are on */
void keeper_add_root(struct keeper_link *k, int root_fd, uint64_t mnt_id)
{
	const struct seal_item root = { .fd = root_fd, .mode = S_IFDIR, .mnt_id = mnt_id };

	(void)!add_mount(k, &root);
}

/* keeper_no_handles() - Are the files of this mount known to have no handles? For the one thread that seals at a time. */
bool keeper_no_handles(struct keeper_link *k, uint64_t mnt_id)
{
	struct mount *m = find_mount(k, mnt_id);

	return m && m->error;
}

/*
 * keeper_link_restore() - Take over the mounts of a process before this one
 *
 * Before the first question. A row that is not what it says is dropped. Then the objects of that mount can be had as long as
 * the keeper knows it, or until one of its directories is seen again.
 *
 * Return: 0, or -errno when the descriptors could not be asked for
 */
int keeper_link_restore(struct keeper_link *k, fetch_fn *fetch, void *arg)
{
	for (uint32_t i = 0; k && i < IPC_MOUNTS_MAX; i++) {
		struct mount_row *row = &k->rows[i];
		struct mount *m = &k->mount[i];
		struct statx st;
		int r;

		if (!row->mnt_id || m->fd >= 0)
			continue;
		r = fetch(arg, &row->held, &m->fd, 1);
		if (r < 0)
			return r;
		if (m->fd >= 0 && resolve_statx_fd(m->fd, AT_STATX_DONT_SYNC, &st) == 0 && st.stx_mnt_id == row->mnt_id) {
			row->held = ipc_held(k->generation, m->fd);
			continue;
		}
		close_fd(&m->fd);
		*row = (struct mount_row){ 0 };
	}
	return 0;
}

/* The datagram of a question. */
static void fill(struct keeper_link *k, const struct question *q)
{
	struct ipc_unseal_one *one;
	char *tail;

	ipc_batch_reset(&k->out);
	for (uint32_t i = 0; i < IPC_MOUNTS_MAX; i++)
		if (k->mount[i].show && ipc_batch_add(&k->out, IPC_MOUNT, 0, 0, 0, NULL))
			(void)!ipc_batch_fd(&k->out, k->mount[i].fd, false);
	if (q->nseal) {
		struct ipc_seal *m = ipc_batch_add(&k->out, IPC_SEAL, k->tag, 0, 0, NULL);

		m->count = q->nseal;
		for (uint32_t i = 0; i < q->nseal; i++)
			(void)!ipc_batch_fd(&k->out, q->seal[i]->fd, false);
		return;
	}
	struct ipc_unseal *m = ipc_batch_add(&k->out, IPC_UNSEAL, k->tag, 0, q->nunseal * (uint32_t)sizeof(*one), &tail);

	m->count = q->nunseal;
	one = (struct ipc_unseal_one *)(void *)tail;
	for (uint32_t i = 0; i < q->nunseal; i++) {
		one[i] = (struct ipc_unseal_one){ .mnt_id = q->unseal[i]->mnt_id, .len = q->unseal[i]->len };
		memcpy(one[i].handle, q->unseal[i]->handle, MIN(q->unseal[i]->len, (uint32_t)IPC_HANDLE_MAX));
	}
}

/* Is it an answer to this question, all of it? */
static bool answers(const struct question *q, const struct ipc_msg *m)
{
	uint32_t fds = 0;

	if (q->nseal) {
		const struct ipc_sealed_one *one = (const struct ipc_sealed_one *)(const void *)m->tail;

		if (m->hdr->type != IPC_SEALED || m->tail_len != q->nseal * sizeof(*one))
			return false;
		for (uint32_t i = 0; i < q->nseal; i++)
			if (!one[i].error && (one[i].len == 0 || one[i].len > IPC_HANDLE_MAX))
				return false;
		return true;
	}
	if (m->hdr->type != IPC_UNSEALED || m->tail_len != q->nunseal * sizeof(uint32_t))
		return false;
	for (uint32_t i = 0; i < q->nunseal; i++) {
		uint32_t error;

		memcpy(&error, m->tail + i * sizeof(error), sizeof(error));
		fds += error == 0;
	}
	return fds == m->nfds;
}

/* What a keeper said that was taken over, or one before it: nobody ends because of that, the question is asked again. */
static void ignore(const char *why)
{
	static _Atomic uint32_t said;
	uint32_t n = atomic_fetch_add_explicit(&said, 1, memory_order_relaxed);

	if ((n & (n - 1)) == 0) /* the first, the second, the fourth, ... */
		log_err("the keeper broke the protocol (%u times so far): %s", n + 1, why);
}

/* The answer to this question, if it comes in time: 1, 0 when not, -errno. What comes too late, or twice, is dropped. */
static int await(struct keeper_link *k, const struct question *q, uint32_t ms, struct ipc_msg *m)
{
	uint64_t now = now_ms(), end = now + ms;

	for (; now < end; now = now_ms()) {
		struct pollfd p = { .fd = k->fd, .events = POLLIN };
		const char *why = "";
		int r = poll(&p, 1, (int)(end - now));

		if (r <= 0)
			continue;
		r = ipc_recv(k->fd, &k->in, MSG_DONTWAIT);
		if (r == -EAGAIN || r == -EINTR)
			continue;
		/* It was not cut by the keeper: there was no number free for a descriptor. */
		if (r == -EPROTO)
			return -ENFILE;
		if (r <= 0)
			return r < 0 ? r : -EPIPE;
		if (ipc_next(&k->in, IPC_DIR_K2W, m, &why) != 1)
			ignore(why);
		else if (m->hdr->tag == k->tag && answers(q, m))
			return 1;
		else if (m->hdr->tag == k->tag)
			ignore("an answer to another question");
		ipc_dgram_end(&k->in);
	}
	return 0;
}

/* Ask until there is an answer. 0 or -errno; the datagram is to be ended. */
static int ask(struct keeper_link *k, const struct question *q, struct ipc_msg *m)
{
	uint32_t ms = k->first_wait_ms;
	int r;

	k->tag++;
	do {
		fill(k, q);
		r = ipc_batch_send(k->fd, &k->out);
		if (r < 0) {
			ipc_batch_reset(&k->out);
			return r == -EAGAIN ? -ENOMEM : r == -ETOOMANYREFS ? -ENFILE : r;
		}
		r = await(k, q, ms, m);
		ms = MIN(ms * 2, (uint32_t)ASK_AGAIN_MAX_MS);
	} while (r == 0);
	for (uint32_t i = 0; i < IPC_MOUNTS_MAX; i++)
		k->mount[i].show = false;
	return MIN(r, 0);
}

/* The keeper does not know a mount. True when it can be shown. */
static bool show_mount(struct mount *m)
{
	if (m)
		m->show = true;
	return m != NULL;
}

/* May the same be asked of this mount again? */
static bool for_good(int error)
{
	switch (error) {
	case EOPNOTSUPP:
	case EOVERFLOW:
	case EPERM:
	case EACCES:
	case EINVAL:
	case ENOSYS:
		return true;
	default:
		return false;
	}
}

static void take_sealed(struct keeper_link *k, struct seal_item *item, const struct ipc_sealed_one *one)
{
	struct mount *m = find_mount(k, item->mnt_id);

	item->error = -(int)MIN(one->error, 4095u);
	item->len = one->len;
	memcpy(item->handle, one->handle, sizeof(item->handle));
	if (m && !m->error && for_good((int)one->error)) {
		m->error = (int)one->error;
		log_info("the files of mount %llu have no handles (%d): each that the guest knows holds a descriptor",
			 (unsigned long long)item->mnt_id, m->error);
	}
}

static int seal_some(struct keeper_link *k, struct question *q)
{
	struct ipc_msg m;
	int r = ask(k, q, &m);

	for (uint32_t i = 0; r == 0 && i < q->nseal; i++)
		take_sealed(k, q->seal[i], (const struct ipc_sealed_one *)(const void *)m.tail + i);
	ipc_dgram_end(&k->in);
	return r;
}

/*
 * ask_seal() - Get sealed handles
 * @k:		Link
 * @items:	Of what; each has its own error
 * @n:		How many, up to SEAL_MAX
 *
 * Only one thread at a time may ask this.
 *
 * Return: 0 or -errno
 */
int ask_seal(struct keeper_link *k, struct seal_item *items, uint32_t n)
{
	struct question q;
	int r = 0;

	for (uint32_t i = 0; i < n; i++)
		items[i].error = -ENODEV;
	pthread_mutex_lock(&k->lock);
	for (int try = 0; try < TRIES && r == 0; try++) {
		q = (struct question){ 0 };
		/* Directories first: what shows a mount stays open, and an open file is more in others' way. */
		for (int files = 0; files <= 1 && try; files++)
			for (uint32_t i = 0; i < n; i++)
				if (items[i].error == -ENODEV && (files || S_ISDIR(items[i].mode)) && !find_mount(k, items[i].mnt_id))
					(void)!add_mount(k, &items[i]);
		for (uint32_t i = 0; i < n; i++)
			if (items[i].error == -ENODEV && (!try || show_mount(find_mount(k, items[i].mnt_id))))
				q.seal[q.nseal++] = &items[i];
		if (!q.nseal)
			break;
		r = seal_some(k, &q);
	}
	pthread_mutex_unlock(&k->lock);
	return r;
}

static int unseal_some(struct keeper_link *k, const struct question *q)
{
	struct ipc_msg m;
	uint32_t got = 0;
	int r = ask(k, q, &m);

	for (uint32_t i = 0; r == 0 && i < q->nunseal; i++) {
		uint32_t error;

		memcpy(&error, m.tail + i * sizeof(error), sizeof(error));
		q->unseal[i]->error = -(int)MIN(error, 4095u);
		if (error)
			continue;
		q->unseal[i]->fd = ipc_take_fd(&k->in, &m, got++);
	}
	ipc_dgram_end(&k->in);
	return r;
}

/* For all of a list. */
static void unseal_all(struct keeper_link *k, struct unseal *list)
{
	struct question q;
	int r = 0;

	for (struct unseal *u = list; u; u = u->next)
		u->error = -ENODEV;
	pthread_mutex_lock(&k->lock);
	for (int try = 0; try < TRIES; try++) {
		q = (struct question){ 0 };
		for (struct unseal *u = list; u; u = u->next)
			if (u->error == -ENODEV && (!try || show_mount(find_mount(k, u->mnt_id))))
				q.unseal[q.nunseal++] = u;
		if (!q.nunseal)
			break;
		r = unseal_some(k, &q);
		if (r < 0)
			break;
	}
	pthread_mutex_unlock(&k->lock);
	for (struct unseal *u = list; u && r < 0; u = u->next)
		if (u->error == -ENODEV)
			u->error = r;
}

/* Up to SEAL_MAX of the wishes; wishes_lock is held. */
static struct unseal *take_wishes(struct keeper_link *k)
{
	struct unseal *list = k->wishes, **at = &k->wishes;

	for (uint32_t n = 0; n < SEAL_MAX && *at; n++)
		at = &(*at)->next;
	if (at == &k->wishes)
		return NULL;
	k->wishes = *at;
	*at = NULL;
	return list;
}

/*
 * ask_unseal() - Get the descriptor of a sealed handle
 * @k:	Link
 * @u:	What; fd out, O_PATH, to be checked by the caller, who owns it
 *
 * Waits for as long as there is no keeper.
 *
 * Return: 0; -ESTALE when the object is gone, -EBADMSG when no keeper has sealed it, or another -errno
 */
int ask_unseal(struct keeper_link *k, struct unseal *u)
{
	u->fd = -1;
	u->done = false;
	pthread_mutex_lock(&k->wishes_lock);
	u->next = k->wishes;
	k->wishes = u;
	while (!u->done) {
		struct unseal *list;

		if (k->asking) {
			pthread_cond_wait(&k->done, &k->wishes_lock);
			continue;
		}
		k->asking = true;
		list = take_wishes(k);
		pthread_mutex_unlock(&k->wishes_lock);
		unseal_all(k, list);
		pthread_mutex_lock(&k->wishes_lock);
		k->asking = false;
		for (struct unseal *next; list; list = next) {
			next = list->next;
			list->done = true;
		}
		pthread_cond_broadcast(&k->done);
	}
	pthread_mutex_unlock(&k->wishes_lock);
	return u->error;
}
