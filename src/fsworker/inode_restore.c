/* inode_restore.c - going on with the inodes of a process that died.
 *
 * What that process wrote is not believed: a guest may have taken it over. Counts of lookups are brought to what the guest was
 * told (by the journals of the links), then each slot is held against its descriptor.
 */
#include "fsworker/inode_inner.h"
#include "fsworker/journal.h"
#include "fsworker/resolve.h"

#include "common/crashpoint.h"

/* A slot that a journal notes, or NULL. */
static struct inode_slot *noted_slot(const struct inode_table *t, uint32_t index)
{
	return index > INODE_ROOT && index < t->ids.count ? &t->slots[index] : NULL;
}

/*
 * inode_settle() - Let the one change of a count that was under way have happened, or not have happened
 * @t:	Table in the memory of the process before, not restored yet
 * @j:	Journal of the request
 *
 * The note says what the count is then, so this comes first, for every link: inode_undo() of one changes counts that another's
 * note may be about.
 */
void inode_settle(struct inode_table *t, struct journal *j)
{
	struct inode_slot *s;

	j->counted = MIN(j->counted, JOURNAL_COUNTS);
	if (j->counting == j->counted + 1 && j->counted < JOURNAL_COUNTS) {
		s = noted_slot(t, j->slot[j->counted]);
		if (s && s->state == INODE_LIVE)
			s->nlookup = j->before;
		journal_order();
	}
	j->counting = j->counted;
	/* Items that changed nothing are counted by `forgot` alone. */
	if (j->forgetting == j->forgot + 1) {
		s = noted_slot(t, j->forget_slot);
		if (s && s->state == INODE_LIVE)
			s->nlookup = j->forget_after;
		journal_order();
		j->forgot = j->forgetting;
	}
}

/*
 * inode_undo() - Take back the lookups that a request had counted which will be served again
 * @t:	Table in the memory of the process before, not restored yet
 * @j:	Journal of the request; those of all links are settled
 *
 * In memory only: a slot whose count is 0 is dropped by inode_restore().
 */
void inode_undo(struct inode_table *t, struct journal *j)
{
	struct inode_slot *s;

	/* Who does this may be killed, too: each step is either not done, or the note says what it comes to. */
	while (j->counted) {
		uint32_t i = j->counted - 1;

		s = noted_slot(t, j->slot[i]);
		if (s && j->undoing != i + 1) {
			j->undo_to = s->nlookup - (s->nlookup && s->nlookup != UINT64_MAX);
			journal_order();
			j->undoing = i + 1;
			journal_order();
			CRASHPOINT("undoing");
		}
		if (s && s->state == INODE_LIVE)
			s->nlookup = j->undo_to;
		journal_order();
		CRASHPOINT("undone");
		j->counting = i;
		j->counted = i;
		journal_order();
	}
	/* The request is served again under the same note, and may be undone again: that is another undoing. */
	j->undoing = 0;
}

/* Could this be what a sound process has written? */
static bool slot_is_sound(const struct inode_slot *s)
{
	return s->state == INODE_LIVE && s->nlookup != 0 && s->btime_nsec < 1000000000u &&
	       (s->name_len ? s->name_len <= INODE_NAME_MAX && !s->handle_len && !S_ISDIR(s->mode) && (s->btime_sec || s->btime_nsec)
			    : s->handle_len <= INODE_HANDLE_MAX);
}

/* Go on with an inode, if the descriptor is the one of its slot. False: it is not. */
static bool adopt(struct inode_table *t, uint32_t index, int fd)
{
	struct inode_slot *s = &t->slots[index];
	struct inode_key key = inode_key_of_slot(s);
	uint64_t hash = inode_hash(t, &key);
	struct inode_shard *sh = inode_shard_of(t, hash);
	struct statx st;

	if (resolve_statx_fd(fd, 0, &st) < 0 || st.stx_ino != s->ino || statx_dev(&st) != s->dev ||
	    st.stx_mnt_id != s->mnt_id || ((st.stx_mode ^ s->mode) & S_IFMT) ||
	    atomic_load_explicit(&t->fd_used, memory_order_relaxed) >= t->fd_limit)
		return false;
	pthread_mutex_lock(&sh->lock);
	if (inode_chain_find(t, sh, hash, &key)) {
		pthread_mutex_unlock(&sh->lock);
		return false;
	}
	inode_chain_insert(t, sh, hash, index);
	pthread_mutex_unlock(&sh->lock);
	atomic_fetch_add_explicit(&t->fd_used, 1, memory_order_relaxed);
	s->mode = st.stx_mode;
	s->name_len = 0; /* it was about to be, when the process was killed */
	inode_set_fd(t, index, fd);
	slots_restore(&t->ids, index, s->generation, true);
	return true;
}

/* Go on with an inode of which the process before had no descriptor. What it is will be checked when it is wanted. */
static bool adopt_cold(struct inode_table *t, uint32_t index)
{
	struct inode_slot *s = &t->slots[index];
	struct inode_key key = inode_key_of_slot(s);
	uint64_t hash = inode_hash(t, &key);
	struct inode_shard *sh = inode_shard_of(t, hash);

	if ((!s->name_len && (!s->handle_len || !t->cool.keeper)) || inode_chain_find(t, sh, hash, &key))
		return false;
	inode_chain_insert(t, sh, hash, index);
	t->fds[index] = -1;
	s->held = 0;
	if (s->name_len)
		inode_adopt_name(t, index);
	else
		atomic_store(&t->cool.started, true);
	slots_restore_cold(&t->ids, index, s->generation);
	return true;
}

/* Nobody's any more, whatever it was. */
static void abandon(struct inode_table *t, uint32_t index)
{
	struct inode_slot *s = &t->slots[index];

	/* Also of a free one: the process before may have been killed before it counted its generation up. */
	s->state = INODE_FREE;
	s->generation += s->generation != UINT32_MAX;
	t->fds[index] = -1;
	slots_restore(&t->ids, index, s->generation, false);
}

/*
 * inode_restore() - Take over the inodes of a process before this one
 * @t:		Table with nothing but its root, in the memory of that process
 * @fetch:	How to get its descriptors
 * @arg:	For fetch
 * @lost:	Counted up: those that were dropped although the guest had them
 *
 * Before the first request. What that process wrote is not believed, a guest may have taken it over: each slot is checked
 * against its descriptor. One that does not stand the test is dropped, and its nodeid is stale.
 *
 * Return: 0, or -errno when the descriptors could not be asked for: nothing is dropped for that
 */
int inode_restore(struct inode_table *t, fetch_fn *fetch, void *arg, uint32_t *lost)
{
	uint32_t index[FETCH_BATCH], n, i = INODE_ROOT;
	uint32_t held[FETCH_BATCH];
	int fds[FETCH_BATCH], r = 0;

	do {
		for (n = 0; n < FETCH_BATCH && (i = slots_next_used(&t->ids, i)) != 0;) {
			const struct inode_slot *s = &t->slots[i];

			if (slot_is_sound(s) && s->held == 0 && adopt_cold(t, i)) {
				continue;
			} else if (slot_is_sound(s)) {
				index[n] = i;
				held[n++] = s->held;
			} else {
				*lost += s->state == INODE_LIVE && s->nlookup != 0;
				abandon(t, i);
			}
		}
		if (n)
			r = fetch(arg, held, fds, n);
		for (uint32_t k = 0; r == 0 && k < n; k++) {
			if (fds[k] >= 0 && adopt(t, index[k], fds[k])) {
				CRASHPOINT("adopted");
				continue;
			}
			close_fd(&fds[k]);
			if (adopt_cold(t, index[k]))
				continue;
			abandon(t, index[k]);
			++*lost;
		}
	} while (i && r == 0);
	return r;
}
