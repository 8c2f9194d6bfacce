/* inode_named.c - inodes that the guest was told of with a listing, and that nothing has been done with.
 *
 * READDIRPLUS tells of every object in a directory; most of them the guest will never use. So none is opened for it: what the
 * slot holds is where the object was seen, the directory's nodeid and the name, and what it is. It is cold (see slots.h)
 * from the start; who uses it first opens the name, and checks that it still shows that object.
 *
 * The name must lead there as long as the guest could expect it to. So only what has one name is known by it, and is opened:
 * before the guest itself takes that name away or moves it (inode_keep(), inode_moves()), and when it is seen under another
 * one. Directories are opened at once: a process of the guest can stand in one and notice that its name is gone. If the host
 * removes or moves the name, the id ends, and is a stale one to the guest, whose kernel then looks the name up again; an
 * object that a LOOKUP has found is not this lightly known.
 *
 * A process that goes on with the table believes neither the name nor the directory: the name is checked like any other that
 * came from a guest, and the object is held against its identity, for which the birth time is needed.
 */
#include "fsworker/inode_inner.h"
#include "fsworker/journal.h"
#include "fsworker/name.h"
#include "fsworker/resolve.h"

#include "common/crashpoint.h"

static _Atomic uint32_t *names_in(struct inode_table *t, uint64_t parent)
{
	return &t->named_in[slots_index(parent) % INODE_NAMED_IN];
}

/* inode_may_name() - Can an object be known by the name under which statx() has shown it? */
bool inode_may_name(const struct statx *st, const struct name *name)
{
	return !S_ISDIR(st->stx_mode) && st->stx_nlink == 1 && (st->stx_mask & STATX_BTIME) &&
	       (st->stx_btime.tv_sec || st->stx_btime.tv_nsec) && strlen(name->s) <= INODE_NAME_MAX;
}

/* inode_set_name() - The object of a slot that is not published yet is known by this name, see inode_may_name() */
void inode_set_name(struct inode_table *t, uint32_t index, uint64_t parent, const struct name *name)
{
	struct inode_slot *s = &t->slots[index];
	size_t len = strlen(name->s);

	t->fds[index] = -1;
	s->held = 0;
	s->at.parent = parent;
	memcpy(s->at.name, name->s, len);
	s->name_len = (uint16_t)len;
	CRASHPOINT("naming");
	atomic_fetch_add_explicit(names_in(t, parent), 1, memory_order_relaxed);
}

/* inode_adopt_name() - The same for a slot of the process before, which has a name already */
void inode_adopt_name(struct inode_table *t, uint32_t index)
{
	atomic_fetch_add_explicit(names_in(t, t->slots[index].at.parent), 1, memory_order_relaxed);
}

/* inode_end_name() - From now on the slot has a descriptor, or is nobody's. Under the shard's lock, or by the slot's owner. */
void inode_end_name(struct inode_table *t, uint32_t index)
{
	struct inode_slot *s = &t->slots[index];

	if (likely(!s->name_len))
		return;
	CRASHPOINT("unnaming");
	s->name_len = 0;
	journal_order(); /* the place is a handle's next */
	atomic_fetch_sub_explicit(names_in(t, s->at.parent), 1, memory_order_relaxed);
}

/* inode_named_else() - Is the object of a slot known by a name, and not by this one? Under the shard's lock. */
bool inode_named_else(const struct inode_table *t, uint32_t index, uint64_t parent, const struct name *name)
{
	const struct inode_slot *s = &t->slots[index];

	return s->name_len && (s->at.parent != parent || strlen(name->s) != s->name_len ||
			       memcmp(s->at.name, name->s, s->name_len) != 0);
}

/*
 * inode_open_named() - Open the name of a slot in use
 * @t:		Table
 * @index:	Slot
 * @fd:		Out: O_PATH descriptor of whatever the name shows now
 *
 * Return: 0; 1 when the slot has no name (any more); -ESTALE when nothing is there, or another -errno
 */
int inode_open_named(struct inode_table *t, uint32_t index, int *fd)
{
	const struct inode_slot *s = &t->slots[index];
	AUTO_INODE dir = { 0 };
	struct name name;
	uint64_t hash, parent = 0;
	struct inode_shard *sh = inode_lock_shard(t, index, &hash);
	bool named = s->name_len != 0;
	int r = 0;

	if (named) {
		parent = s->at.parent;
		r = name_check(&name, s->at.name, MIN(s->name_len, INODE_NAME_MAX));
	}
	pthread_mutex_unlock(&sh->lock);
	if (!named)
		return 1;
	/* A directory has no name here (see slot_is_sound()), so one that was taken over cannot have made a chain of them. */
	if (r == 0)
		r = inode_get_slot(t, parent, &dir);
	if (r == 0 && !S_ISDIR(inode_mode(&dir)))
		r = -EINVAL;
	inode_put(&dir);
	if (r == 0)
		r = inode_get(t, parent, &dir);
	if (r < 0)
		return r == -EINVAL ? -ESTALE : r;
	r = resolve_child(dir.fd, &name);
	if (r >= 0)
		*fd = r;
	return r == -ENOENT || r == -ENOTDIR ? -ESTALE : MIN(r, 0);
}

/*
 * inode_names_in() - Is anything in this directory known by its name?
 *
 * Also true for some directories of which it is not.
 */
bool inode_names_in(struct inode_table *t, const struct inode_use *dir)
{
	return atomic_load_explicit(names_in(t, dir->index), memory_order_relaxed) != 0;
}

/* inode_moves() - A name is about to lead elsewhere, or be elsewhere: what is known by it needs a descriptor */
void inode_moves(struct inode_table *t, const struct inode_use *dir, const struct name *name)
{
	AUTO_INODE u = { 0 };

	if (unlikely(inode_names_in(t, dir)))
		inode_keep(t, dir, name, &u);
}
