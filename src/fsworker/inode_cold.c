/* inode_cold.c - inodes that the guest knows and has not used for a while: their descriptors are given up for sealed handles.
 *
 * Cooling. Beyond fd_cache descriptors a thread looks for a batch of idle ones and gives them up: a clock goes round the
 * descriptors' numbers, and a slot that was used since it came by the last time has another round. Who adds descriptors faster
 * than that does the same itself, before it goes on. The batch is shown to the keeper in one question, and what it has sealed stays in the slot for good, so the next time costs no question. A slot that
 * is in use, or is used while the keeper answers, keeps its descriptor. So does one whose object has lost its last name:
 * once nobody has it open no handle will find it again.
 *
 * Warming. Who uses a cold slot waits for the keeper (tens of microseconds) and checks that what it gave is the object. When
 * that is gone the id ends: to the guest it is a stale one.
 *
 * An object can lose its last name while it is cold. If the guest itself removes it, inode_keep() makes it warm first, so that
 * the guest can go on using what it still knows by number (a working directory, an O_PATH descriptor). If the host does, the guest
 * finds the number stale, unless it has the file open: as it would on a network file system.
 */
#include "fsworker/inode_inner.h"
#include "fsworker/journal.h"
#include "fsworker/keeper_link.h"
#include "fsworker/resolve.h"

#include "common/crashpoint.h"

#define SEARCH_MOST 16384u /* descriptors looked at for one request, as long as there is room */
#define SEARCH_COST 64u    /* so many looked at in vain are worth one request */
#define COOLER_STACK (128u * 1024)

/*
 * inode_use_keeper() - From now on slots may be cold
 * @t:		Table with its root, not yet in use
 * @k:		Keeper, borrowed
 * @fd_cache:	With more descriptors than this some are given up; 0: shortly before there are no more to be had
 * @nfds:	The process's descriptors have numbers below this
 *
 * Return: 0, -ENOMEM
 */
int inode_use_keeper(struct inode_table *t, struct keeper_link *k, uint32_t fd_cache, uint32_t nfds)
{
	struct inode_cooler *c = &t->cool;
	uint32_t most = MAX(t->fd_limit - t->fd_limit / 16, 1u);

	/* Untouched pages cost nothing. */
	c->slot_of_fd = calloc(nfds, sizeof(*c->slot_of_fd));
	if (!c->slot_of_fd)
		return -ENOMEM;
	pthread_mutex_init(&c->busy, NULL);
	pthread_mutex_init(&c->wake_lock, NULL);
	pthread_cond_init(&c->wake, NULL);
	c->nfds = nfds;
	c->fd_cache = fd_cache ? MIN(fd_cache, most) : most;
	c->batch = MIN(MAX(c->fd_cache / 4, 1u), (uint32_t)SEAL_MAX);
	c->fd_urgent = MIN(c->fd_cache + 2 * c->batch, t->fd_limit);
	c->keeper = k;
	return 0;
}

/* A batch that is being cooled; under busy. */
struct batch {
	uint32_t n, searched;
	struct inode_use use[SEAL_MAX];
};

/* May this one, which is idle, be cold? */
static bool may_cool(struct inode_table *t, const struct inode_use *u)
{
	struct statx st;

	return !keeper_no_handles(t->cool.keeper, inode_slot(u)->mnt_id) &&
	       resolve_statx_fd(u->fd, AT_STATX_DONT_SYNC, &st) == 0 && st.stx_nlink != 0;
}

/* Let the clock go on until it has found a batch, or looked at so many. */
static void search(struct inode_table *t, struct batch *b, uint32_t most)
{
	struct inode_cooler *c = &t->cool;
	uint32_t top = atomic_load_explicit(&c->fd_top, memory_order_relaxed);

	b->n = 0;
	for (b->searched = 0; b->n < c->batch && b->searched < most; b->searched++) {
		struct inode_use *u = &b->use[b->n];
		uint32_t fd = c->hand < top ? c->hand : 0;
		uint32_t i = fd < top ? atomic_load_explicit(&c->slot_of_fd[fd], memory_order_relaxed) : 0;

		c->hand = fd + 1;
		if (!i || !slots_get_idle(&t->ids, i))
			continue;
		*u = (struct inode_use){ .t = t, .index = i, .fd = t->fds[i] };
		if (u->fd == (int)fd && may_cool(t, u))
			b->n++;
		else
			inode_put(u);
	}
}

/* Have those sealed that have not been yet. */
static void seal(struct inode_table *t, const struct batch *b)
{
	struct seal_item item[SEAL_MAX];
	uint32_t at[SEAL_MAX], n = 0;

	for (uint32_t i = 0; i < b->n; i++) {
		const struct inode_slot *s = inode_slot(&b->use[i]);

		if (s->handle_len)
			continue;
		at[n] = i;
		item[n++] = (struct seal_item){ .fd = b->use[i].fd, .mode = inode_mode(&b->use[i]), .mnt_id = s->mnt_id };
	}
	if (n == 0 || ask_seal(t->cool.keeper, item, n) < 0)
		return;
	for (uint32_t i = 0; i < n; i++) {
		struct inode_slot *s = &t->slots[b->use[at[i]].index];

		if (item[i].error)
			continue;
		memcpy(s->handle, item[i].handle, sizeof(s->handle));
		journal_order();
		CRASHPOINT("sealing");
		s->handle_len = item[i].len;
	}
}

/* Give up the descriptor, if there is a handle and nobody has used the slot since it was found idle. */
static bool chill(struct inode_table *t, struct inode_use *u)
{
	struct inode_slot *s = &t->slots[u->index];
	bool cold;

	pthread_mutex_lock(&t->cool.lock);
	cold = s->handle_len && slots_chill(&t->ids, u->index);
	if (cold) {
		t->fds[u->index] = -1;
		journal_order();
		CRASHPOINT("cooling");
		s->held = 0;
		CRASHPOINT("cooled");
		atomic_store_explicit(&t->cool.slot_of_fd[u->fd], 0, memory_order_relaxed);
	}
	pthread_mutex_unlock(&t->cool.lock);
	if (cold) {
		close(u->fd);
		atomic_fetch_sub_explicit(&t->fd_used, 1, memory_order_relaxed);
	}
	inode_put(u);
	return cold;
}

/* Under busy. @all: look at all there are. Return: how many descriptors there are fewer. */
static uint32_t cool_some(struct inode_table *t, bool all)
{
	struct inode_cooler *c = &t->cool;
	uint32_t most = 2 * atomic_load_explicit(&c->fd_top, memory_order_relaxed), cooled = 0;
	struct batch b;

	/* An UNLINK that has looked at this before may now take the last name of what is becoming cold. That happens once, if
	 * ever, and costs a guest that has neither opened nor forgotten that one object an ESTALE. */
	atomic_store(&c->started, true);
	search(t, &b, all ? most : MIN(most, SEARCH_MOST));
	seal(t, &b);
	for (uint32_t i = 0; i < b.n; i++)
		cooled += chill(t, &b.use[i]);
	/* Where everything is in use, or has no handle, a search for every new object would cost more than the object. */
	if (b.searched / SEARCH_COST > cooled)
		atomic_store_explicit(&c->rest, b.searched / SEARCH_COST - cooled, memory_order_relaxed);
	return cooled;
}

/* Was the last search in vain, and not long ago? Only a hint, so two threads may count as one. */
static bool resting(struct inode_cooler *c)
{
	uint32_t rest = atomic_load_explicit(&c->rest, memory_order_relaxed);

	if (rest)
		atomic_store_explicit(&c->rest, rest - 1, memory_order_relaxed);
	return rest != 0;
}

static void *cooler_thread(void *arg)
{
	struct inode_table *t = arg;
	struct inode_cooler *c = &t->cool;
	uint32_t cooled;

	pthread_mutex_lock(&c->wake_lock);
	while (!c->stop) {
		if (!atomic_exchange(&c->asked, false)) {
			pthread_cond_wait(&c->wake, &c->wake_lock);
			continue;
		}
		pthread_mutex_unlock(&c->wake_lock);
		do {
			pthread_mutex_lock(&c->busy);
			cooled = cool_some(t, false);
			pthread_mutex_unlock(&c->busy);
		} while (cooled && atomic_load_explicit(&t->fd_used, memory_order_relaxed) >= c->fd_cache);
		pthread_mutex_lock(&c->wake_lock);
	}
	pthread_mutex_unlock(&c->wake_lock);
	return NULL;
}

/* Have somebody else do it, as long as that is soon enough. Its thread starts with the first need of it. */
static void ask_cooler(struct inode_table *t)
{
	struct inode_cooler *c = &t->cool;
	pthread_attr_t attr;

	if (atomic_exchange(&c->asked, true))
		return;
	pthread_mutex_lock(&c->wake_lock);
	if (!c->running && !c->stop) {
		pthread_attr_init(&attr);
		pthread_attr_setstacksize(&attr, COOLER_STACK);
		c->running = pthread_create(&c->thread, &attr, cooler_thread, t) == 0;
		pthread_attr_destroy(&attr);
	}
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->wake_lock);
}

/* inode_end_cooler() - Nothing becomes cold any more. For tests. */
void inode_end_cooler(struct inode_table *t)
{
	struct inode_cooler *c = &t->cool;

	if (!c->keeper)
		return;
	pthread_mutex_lock(&c->wake_lock);
	c->stop = true;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->wake_lock);
	if (c->running)
		pthread_join(c->thread, NULL);
	c->running = false;
}

/*
 * inode_make_room() - A descriptor is about to be added
 *
 * No lock of the table may be held. Return: 0; -ENFILE when there is no room
 */
int inode_make_room(struct inode_table *t)
{
	struct inode_cooler *c = &t->cool;
	uint32_t used = atomic_load_explicit(&t->fd_used, memory_order_relaxed);

	if (likely(used < c->fd_cache))
		return 0;
	if (c->keeper && !resting(c)) {
		if (used >= c->fd_urgent) {
			pthread_mutex_lock(&c->busy);
			used = atomic_load_explicit(&t->fd_used, memory_order_relaxed);
			if (used >= c->fd_urgent)
				(void)cool_some(t, used >= t->fd_limit);
			pthread_mutex_unlock(&c->busy);
		}
		ask_cooler(t);
	}
	if (atomic_load_explicit(&t->fd_used, memory_order_relaxed) < t->fd_limit)
		return 0;
	return inode_table_full("descriptor", -ENFILE);
}

/* Is this descriptor, which somebody else says is the slot's, its object? */
static bool is_object(const struct inode_use *u, int fd)
{
	struct statx st;

	return resolve_statx_fd(fd, AT_STATX_DONT_SYNC, &st) == 0 && inode_is(u->t, u->index, &st);
}

/* inode_give_fd() - Give a slot its descriptor, unless it has one by now, or *fd is -1. Under its shard's lock. What is left in
 * *fd is the caller's. Return: does it have one now? */
bool inode_give_fd(struct inode_table *t, uint32_t index, int *fd)
{
	bool warm;

	pthread_mutex_lock(&t->cool.lock);
	if (*fd >= 0 && slots_cold(&t->ids, index)) {
		CRASHPOINT("thawing");
		inode_set_fd(t, index, take_fd(fd));
		inode_end_name(t, index);
		atomic_fetch_add_explicit(&t->fd_used, 1, memory_order_relaxed);
		slots_thaw(&t->ids, index);
		CRASHPOINT("thawed");
	}
	warm = !slots_cold(&t->ids, index);
	pthread_mutex_unlock(&t->cool.lock);
	return warm;
}

/* Give a slot in use its descriptor, unless it has one by now. True when it has one. */
static bool thaw(struct inode_use *u, int *fd)
{
	uint64_t hash;
	struct inode_shard *sh = inode_lock_shard(u->t, u->index, &hash);
	bool warm = inode_give_fd(u->t, u->index, fd);

	pthread_mutex_unlock(&sh->lock);
	/* As long as this use lasts it cannot become cold again. */
	if (warm)
		u->fd = u->t->fds[u->index];
	close_fd(fd);
	return warm;
}

static int bring_back(struct inode_use *u)
{
	const struct inode_slot *s = inode_slot(u);
	struct unseal q = { .mnt_id = s->mnt_id, .handle = s->handle, .fd = -1 };
	int r = inode_make_room(u->t);

	if (r < 0)
		return r;
	r = inode_open_named(u->t, u->index, &q.fd);
	if (r == 1) {
		q.len = s->handle_len;
		r = q.len ? ask_unseal(u->t->cool.keeper, &q) : -ESTALE;
	}
	if (r == 0 && !is_object(u, q.fd)) {
		close_fd(&q.fd);
		r = -ESTALE;
	}
	if (thaw(u, &q.fd))
		return 0;
	switch (r) {
	case -ESTALE:
	case -ENOENT:
	case -EBADMSG: /* a process that was taken over has been here before us */
		inode_drop_gone(u->t, u->index);
		return -ESTALE;
	case -EPERM:
	case -EACCES:
	case -ENODEV:
		return -EIO; /* nothing that the guest's user did */
	default:
		return r;
	}
}

/*
 * inode_warm() - Bring the descriptor of a cold inode in use back
 * @u:	Inode; its use ends when it cannot be had
 *
 * Return: 0 or -errno; -ESTALE when the object is gone
 */
int inode_warm(struct inode_use *u)
{
	int r = bring_back(u);

	if (r < 0)
		inode_put(u);
	return r;
}

/*
 * inode_keep() - A name is about to be removed: its object is to stay within the guest's reach
 * @t:		Table
 * @dir:	Directory
 * @name:	Name in it
 * @u:		Out, perhaps: the object, in use. It is warm until this ends, and its missing name keeps it so afterwards.
 *
 * Whoever opens the name itself needs no keeper. What is wrong with the name is told by the call that removes it. Without a
 * descriptor to spare the object is stale afterwards, unless the guest has it open.
 */
void inode_keep(struct inode_table *t, const struct inode_use *dir, const struct name *name, struct inode_use *u)
{
	struct statx st;
	AUTO_FD fd = -1;
	uint32_t i;
	bool sure, is = false;

	/* Opened at once where it is likely that it must be: what is known by its name costs two calls then, not three. */
	if (inode_names_in(t, dir)) {
		fd = inode_make_room(t) == 0 ? resolve_child(dir->fd, name) : -1;
		if (fd < 0 || resolve_statx_fd(fd, AT_STATX_DONT_SYNC, &st) < 0)
			return;
	} else if (likely(!atomic_load_explicit(&t->cool.started, memory_order_relaxed)) ||
		   resolve_statx_name(dir->fd, name, &st) < 0) {
		return;
	}
	i = inode_find_slot(t, &st, &sure);
	if (!i)
		return;
	*u = (struct inode_use){ .t = t, .index = i, .fd = -1 };
	if (!slots_cold(&t->ids, i))
		return;
	if (fd >= 0) {
		is = sure && inode_is(t, i, &st);
	} else if (sure && inode_make_room(t) == 0) {
		fd = resolve_child(dir->fd, name);
		is = fd >= 0 && is_object(u, fd);
	}
	if (is)
		(void)thaw(u, &fd);
	else if (!sure)
		(void)!inode_warm(u);
}
