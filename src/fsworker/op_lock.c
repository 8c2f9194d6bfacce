/* op_lock.c - GETLK, SETLK and the end of a lock's owner.
 *
 * The locks are real ones on the host's files. A flock is one of the handle's open file description, which the
 * transport shares. A record lock belongs in the guest to a process, named by an opaque owner: for each owner
 * on each inode there is an open file description here that nobody else has, and its locks are OFD locks, so
 * that owners conflict with one another and with the host as they should, and all locks of an owner end when it
 * is closed.
 */
#include "fsworker/fsworker.h"
#include "fsworker/lock_wait.h"
#include "fsworker/resolve.h"

#include "common/crashpoint.h"
#include "common/log.h"

#include <sys/file.h>
#include <time.h>

#define BUCKETS 1024u
#define UPGRADE_TRIES 10
#define UPGRADE_PAUSE_NS 1000000

struct lock_owner {
	struct lock_owner *next; /* in its bucket */
	uint64_t nodeid, owner;
	uint64_t fh;             /* handle through which it first locked */
	bool mixed;              /* it has locked through another one, too */
	bool reads;              /* fd is open for reading only: enough for shared locks */
	int fd;                  /* changes only while nobody else uses the owner */
	uint32_t refs;           /* operations that use it; closed when there are none and it is out of the table */
	bool listed;
	uint32_t pid;            /* the guest's, for GETLK */
	struct owner_row *row;   /* the same for a process after this one */
};

struct lock_table {
	pthread_mutex_t lock; /* of all below and of every field of an owner but its fd */
	_Atomic uint32_t count;
	uint32_t max;
	uint32_t generation; /* of this process, for owner_row.held */
	struct fsworker *w;
	uint32_t row_hint;   /* where to look for a free row next */
	struct lock_owner *buckets[BUCKETS]; /* by nodeid: GETLK looks at all owners of one */
};

/* locks_new() - A table for at most so many pairs of inode and owner. NULL without memory. */
struct lock_table *locks_new(struct fsworker *w, uint32_t max_owners, uint32_t generation)
{
	struct lock_table *t = calloc(1, sizeof(*t));

	if (t) {
		pthread_mutex_init(&t->lock, NULL);
		t->max = MIN(max_owners, STATE_OWNERS);
		t->generation = generation;
		t->w = w;
	}
	return t;
}

static struct lock_owner **bucket_of(struct lock_table *t, uint64_t nodeid)
{
	return &t->buckets[(nodeid ^ nodeid >> 32) % BUCKETS];
}

static struct lock_owner *find(struct lock_table *t, uint64_t nodeid, uint64_t owner)
{
	struct lock_owner *o = *bucket_of(t, nodeid);

	while (o && (o->nodeid != nodeid || o->owner != owner))
		o = o->next;
	return o;
}

/* End all its locks. */
static void unlock_all(const struct lock_owner *o)
{
	struct flock all = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	fcntl(o->fd, F_OFD_SETLK, &all);
}

static void row_state(struct owner_row *row, uint32_t state)
{
	journal_order();
	__atomic_store_n(&row->state, state, __ATOMIC_RELEASE);
	journal_order();
}

/* Take it out of the table; with the lock held. */
static void unlist(struct lock_table *t, struct lock_owner *o)
{
	struct lock_owner **at = bucket_of(t, o->nodeid);

	while (*at != o)
		at = &(*at)->next;
	*at = o->next;
	/* Not only when it is closed: who asks for a lock from now on makes another owner, which this one would refuse. */
	unlock_all(o);
	CRASHPOINT("owner-unlocked");
	o->listed = false;
	row_state(o->row, ROW_FREE);
	o->row = NULL;
	atomic_fetch_sub(&t->count, 1);
}

/* A row for an owner that is about to be listed; with the lock held. There are as many as owners. */
static struct owner_row *take_row(struct lock_table *t)
{
	struct owner_row *rows = t->w->state->owners;

	for (uint32_t i = 0; i < STATE_OWNERS; i++) {
		struct owner_row *row = &rows[(t->row_hint + i) % STATE_OWNERS];

		if (row->state == ROW_FREE) {
			t->row_hint = (t->row_hint + i + 1) % STATE_OWNERS;
			return row;
		}
	}
	return NULL;
}

/* What the row tells has changed; with the lock held. */
static void note(struct lock_table *t, struct lock_owner *o)
{
	struct owner_row *row = o->row;

	if (!row)
		return;
	row->nodeid = o->nodeid;
	row->owner = o->owner;
	row->fh = o->fh;
	row->mixed = o->mixed;
	row->pid = o->pid;
	/* These two in this order: locks for writing were never had through a description that only reads. */
	row->held = ipc_held(t->generation, o->fd);
	journal_order();
	row->reads = o->reads;
	row_state(row, ROW_ASKED);
	CRASHPOINT("owner-noted");
}

static void list(struct lock_table *t, struct lock_owner *o)
{
	struct lock_owner **bucket = bucket_of(t, o->nodeid);

	o->listed = true;
	o->next = *bucket;
	*bucket = o;
	atomic_fetch_add(&t->count, 1);
}

static void owner_free(struct lock_owner *o)
{
	if (o) {
		close_fd(&o->fd);
		free(o);
	}
}

/* lock_owner_fd() - the open file description of an owner's locks */
int lock_owner_fd(const struct lock_owner *o)
{
	return o->fd;
}

/* lock_owner_name() - what the guest calls an owner, on whatever inode */
uint64_t lock_owner_name(const struct lock_owner *o)
{
	return o->owner;
}

/* lock_owner_put() - End the use of an owner */
void lock_owner_put(struct lock_table *t, struct lock_owner *o)
{
	bool last;

	pthread_mutex_lock(&t->lock);
	o->refs--;
	last = o->refs == 0 && !o->listed;
	pthread_mutex_unlock(&t->lock);
	if (last)
		owner_free(o);
}

/* An owner that is known, in use for the caller, or NULL. */
static struct lock_owner *owner_get(struct lock_table *t, uint64_t nodeid, uint64_t owner)
{
	struct lock_owner *o;

	pthread_mutex_lock(&t->lock);
	o = find(t, nodeid, owner);
	if (o)
		o->refs++;
	pthread_mutex_unlock(&t->lock);
	return o;
}

/* Can what a description has locked be asked for (Linux 6.6)? Only then can its locks be moved to another one. */
static bool tells_own_locks(int fd)
{
	struct flock any = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_GETLK, &any) == 0;
}

/*
 * A file that is open for writing cannot be executed on the host, and loses its leases there, so a handle that only
 * reads, whose locks are shared ones, gets a description that only reads.
 */
static int owner_open(struct req *r, uint64_t nodeid, bool *reads)
{
	AUTO_INODE u = { 0 };
	int fd, err = inode_get(&r->w->inodes, nodeid, &u);

	if (err < 0)
		return err;
	if (!S_ISREG(inode_mode(&u)))
		return -EBADF;
	if (*reads) {
		fd = resolve_reopen(r->w->proc_fd, u.fd, inode_mode(&u), O_RDONLY);
		if (fd < 0 || tells_own_locks(fd))
			return fd;
		close(fd);
	}
	*reads = false;
	fd = resolve_reopen(r->w->proc_fd, u.fd, inode_mode(&u), O_RDWR);
	if (fd < 0) {
		*reads = true;
		fd = resolve_reopen(r->w->proc_fd, u.fd, inode_mode(&u), O_RDONLY);
	}
	return fd;
}

/* Lock with `to` what `from` has locked: shared locks, so both may have them for the moment. */
static int copy_locks(int from, int to)
{
	struct flock f = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	while (fcntl(from, F_OFD_GETLK, &f) == 0) {
		struct flock mine = f;
		bool to_end = f.l_len == 0;
		off_t next = f.l_start + f.l_len;

		if (f.l_type == F_UNLCK)
			return 0;
		mine.l_pid = 0;
		if (fcntl(to, F_OFD_SETLK, &mine) < 0)
			return -errno;
		if (to_end)
			return 0;
		f = (struct flock){ .l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = next };
	}
	return -errno;
}

/* An owner that only reads wants to lock for writing: give it another description. Its user calls, with a reference. */
static int owner_to_write(struct req *r, struct lock_owner *o)
{
	struct lock_table *t = r->w->locks;
	bool reads = false;
	int err = -ENOLCK, fd = owner_open(r, o->nodeid, &reads);

	if (fd < 0)
		return fd;
	/* The other users are calls that end soon, or wait for a shared lock that another thread of this owner wants. */
	for (int i = 0; i < UPGRADE_TRIES && !reads && err == -ENOLCK; i++) {
		if (i)
			nanosleep(&(struct timespec){ .tv_nsec = UPGRADE_PAUSE_NS }, NULL);
		pthread_mutex_lock(&t->lock);
		if (!o->reads) {
			err = 0;
		} else if (o->refs == 1) {
			err = copy_locks(o->fd, fd);
			if (err == 0) {
				int old = o->fd;

				o->fd = fd;
				o->reads = false;
				note(t, o);
				fd = old;
			}
		}
		pthread_mutex_unlock(&t->lock);
	}
	close(fd);
	return reads ? -EBADF : err;
}

/* The owner of a lock that is to be taken, made if need be. */
static int owner_get_or_make(struct req *r, const struct ipc_setlk_req *q, bool reads, struct lock_owner **out)
{
	struct lock_table *t = r->w->locks;
	struct lock_owner *fresh = NULL, *o = owner_get(t, q->nodeid, q->owner);
	int fd;

	if (!o) {
		fd = owner_open(r, q->nodeid, &reads);
		if (fd < 0)
			return fd == -ENFILE ? -ENOLCK : fd;
		fresh = calloc(1, sizeof(*fresh));
		if (!fresh) {
			close(fd);
			return -ENOLCK;
		}
		*fresh = (struct lock_owner){ .nodeid = q->nodeid, .owner = q->owner, .fh = q->fh, .reads = reads, .fd = fd };
	}
	pthread_mutex_lock(&t->lock);
	if (!o) {
		o = find(t, q->nodeid, q->owner);
		if (o) {
			o->refs++;
		} else if (atomic_load(&t->count) < t->max && (fresh->row = take_row(t)) != NULL) {
			o = fresh;
			fresh = NULL;
			o->refs = 1;
			list(t, o);
		}
	}
	if (o) {
		o->pid = q->pid;
		o->mixed |= o->fh != q->fh;
		note(t, o);
	}
	pthread_mutex_unlock(&t->lock);
	owner_free(fresh);
	*out = o;
	if (o)
		return 0;
	log_limited(LOG_LVL_WARN, "the guest has too many owners of locks (%u)", t->max);
	return -ENOLCK;
}

/*
 * locks_drop_owner() - An owner has closed a file: all its record locks on it end
 *
 * That is what closing any descriptor of a file does to the locks of a process. A wait that another thread of the
 * same owner is in goes on, as on a local file.
 */
void locks_drop_owner(struct lock_table *t, uint64_t nodeid, uint64_t owner)
{
	struct lock_owner *o;
	bool last = false;

	if (likely(atomic_load_explicit(&t->count, memory_order_relaxed) == 0))
		return;
	pthread_mutex_lock(&t->lock);
	o = find(t, nodeid, owner);
	if (o && o->refs == 0) {
		unlist(t, o);
		last = true;
	} else if (o) {
		unlock_all(o);
	}
	pthread_mutex_unlock(&t->lock);
	if (last)
		owner_free(o);
}

/*
 * locks_drop_handle() - An open file has ended: so do the locks whose owner it was
 *
 * For an OFD lock of a process in the guest its kernel names the open file as the owner, which no FLUSH and no
 * RELEASE does. Processes, as owners of POSIX locks, have closed and flushed before RELEASE; who has locked through
 * several handles is such a process, and may have others open still.
 */
void locks_drop_handle(struct lock_table *t, uint64_t nodeid, uint64_t fh)
{
	struct lock_owner *next, *gone = NULL;

	if (likely(atomic_load_explicit(&t->count, memory_order_relaxed) == 0))
		return;
	pthread_mutex_lock(&t->lock);
	for (struct lock_owner *o = *bucket_of(t, nodeid); o; o = next) {
		next = o->next;
		if (o->nodeid != nodeid || o->fh != fh || o->mixed)
			continue;
		if (o->refs) {
			unlock_all(o);
		} else {
			unlist(t, o);
			o->next = gone;
			gone = o;
		}
	}
	pthread_mutex_unlock(&t->lock);
	for (; gone; gone = next) {
		next = gone->next;
		owner_free(gone);
	}
}

/* locks_end_session() - Call back all who wait, drop all record locks. Those of handles go with their handles. */
void locks_end_session(struct lock_table *t)
{
	lock_wait_cancel_all(t);
	pthread_mutex_lock(&t->lock);
	for (uint32_t b = 0; b < BUCKETS; b++) {
		while (t->buckets[b]) {
			struct lock_owner *o = t->buckets[b];

			unlist(t, o);
			if (o->refs == 0)
				owner_free(o);
		}
	}
	pthread_mutex_unlock(&t->lock);
}

/* locks_free() - Nobody waits any more */
void locks_free(struct lock_table *t)
{
	if (t) {
		locks_end_session(t);
		free(t);
	}
}

/* Is it the open file of this inode? */
static bool is_of(struct fsworker *w, int fd, uint64_t nodeid)
{
	AUTO_INODE u = { 0 };
	struct statx st;

	return inode_get(&w->inodes, nodeid, &u) == 0 && resolve_statx_fd(fd, 0, &st) == 0 && S_ISREG(st.stx_mode) &&
	       st.stx_ino == inode_slot(&u)->ino && statx_dev(&st) == inode_slot(&u)->dev && !(fcntl(fd, F_GETFL) & O_PATH);
}

static bool adopt_owner(struct lock_table *t, struct owner_row *row, int fd)
{
	struct lock_owner *o = NULL;

	if (fd >= 0 && is_of(t->w, fd, row->nodeid) && !find(t, row->nodeid, row->owner))
		o = calloc(1, sizeof(*o));
	if (!o)
		return false;
	*o = (struct lock_owner){
		.nodeid = row->nodeid,
		.owner = row->owner,
		.fh = row->fh,
		.mixed = row->mixed,
		.reads = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY,
		.fd = fd,
		.pid = row->pid,
		.row = row,
	};
	list(t, o);
	note(t, o);
	return true;
}

/*
 * locks_restore() - Take over the lock owners of a process before this one, after its inodes and handles
 * @lost:	Counted up: owners that are dropped
 *
 * Return: 0 or -errno
 */
int locks_restore(struct lock_table *t, fetch_fn *fetch, void *arg, uint32_t *lost)
{
	struct owner_row *row[FETCH_BATCH];
	uint32_t held[FETCH_BATCH], i = 0, n;
	int fds[FETCH_BATCH], r = 0;

	while (i < STATE_OWNERS && r == 0) {
		for (n = 0; n < FETCH_BATCH && i < STATE_OWNERS; i++) {
			if (t->w->state->owners[i].state == ROW_FREE)
				continue;
			row[n] = &t->w->state->owners[i];
			held[n] = row[n]->held;
			n++;
		}
		if (n)
			r = fetch(arg, held, fds, n);
		for (uint32_t k = 0; r == 0 && k < n; k++) {
			if (adopt_owner(t, row[k], fds[k]))
				continue;
			close_fd(&fds[k]);
			row_state(row[k], ROW_FREE);
			++*lost;
		}
	}
	return r;
}

/* locks_know() - Does a wait stand for this request already? As pool_knows() */
bool locks_know(const struct fsworker *w, uint32_t link, uint64_t tag)
{
	for (uint32_t i = 0; i < STATE_WAITS; i++) {
		const struct wait_row *row = &w->state->waits[i];

		if (row->state != ROW_FREE && row->link == link && row->tag == tag)
			return true;
	}
	return false;
}

/* One wait of a process before this one goes on. Return: 0, or what the request is answered with. */
static int wait_again(struct lock_table *t, struct wait_row *row)
{
	struct lock_wait w = {
		.link = &t->w->links[row->link],
		.tag = row->tag,
		.table = t,
		.row = row,
		.state = row->stop == LOCK_WAIT_GO_ON || row->stop == LOCK_WAIT_STOP ? row->stop : LOCK_WAIT_DROP,
		.flock_op = row->flock_op & (LOCK_SH | LOCK_EX),
		.range = { .l_type = (short)row->type, .l_whence = SEEK_SET, .l_start = row->start, .l_len = row->len },
	};
	struct lock_wait *wait;
	int err = handle_get_of(&t->w->handles, row->fh, HANDLE_FILE, row->nodeid, &w.handle);

	if (err < 0)
		return EINTR; /* it was closed */
	if (row->has_owner)
		w.owner = owner_get(t, row->nodeid, row->owner);
	link_get(w.link);
	err = row->has_owner && !w.owner ? -ENOLCK : lock_wait_start(&w, true, &wait);
	if (err == 0) {
		lock_wait_begin(wait);
		return 0;
	}
	link_put(w.link);
	if (w.owner)
		lock_owner_put(t, w.owner);
	handle_put(&w.handle);
	return -err;
}

/* locks_wake() - Let the waits of a process before this one go on */
void locks_wake(struct lock_table *t)
{
	for (uint32_t i = 0; i < STATE_WAITS; i++) {
		struct wait_row *row = &t->w->state->waits[i];
		uint32_t state = row->state;
		int error;

		if (state == ROW_FREE)
			continue;
		if (row->link >= t->w->nlinks) {
			row->state = ROW_FREE;
			continue;
		}
		error = state == ROW_ASKED ? wait_again(t, row) : row->error;
		if (state == ROW_ASKED && error == 0)
			continue;
		if (link_prepare_late(&t->w->links[row->link]))
			link_answer_late(&t->w->links[row->link], IPC_SETLK, row->tag, error, true);
		row->state = ROW_FREE;
	}
}

/* A guest's range as fcntl() wants it. */
static int range_of(uint64_t start, uint64_t end, uint32_t type, struct flock *out)
{
	if (start > end || end > INT64_MAX || (type != F_RDLCK && type != F_WRLCK && type != F_UNLCK))
		return -EINVAL;
	*out = (struct flock){ .l_type = (short)type, .l_whence = SEEK_SET, .l_start = (off_t)start };
	if (end != INT64_MAX)
		out->l_len = (off_t)(end - start + 1);
	return 0;
}

/* Does this owner hold the lock that stood in the way? */
static bool holds(const struct lock_owner *o, const struct flock *found)
{
	struct flock probe = *found;

	/* Since Linux 6.6 the kernel tells what the asking description itself holds. */
	probe.l_type = F_UNLCK;
	probe.l_pid = 0;
	if (fcntl(o->fd, F_OFD_GETLK, &probe) == 0)
		return probe.l_type != F_UNLCK;
	/* Before that: the lock is not in the owner's own way. Only shared locks of one range may be confused. */
	probe = *found;
	probe.l_type = F_WRLCK;
	probe.l_pid = 0;
	return fcntl(o->fd, F_OFD_GETLK, &probe) == 0 &&
	       (probe.l_type == F_UNLCK || probe.l_start != found->l_start || probe.l_len != found->l_len);
}

/* Has this description locked something that is in the way of such a lock? False before Linux 6.6, and when so many locks
 * have been looked at that there is no *budget left. */
static bool in_the_way(int fd, const struct flock *wanted, uint32_t *budget)
{
	bool to_end = wanted->l_len == 0;
	off_t end = wanted->l_start + wanted->l_len; /* not of it any more */
	struct flock f = { .l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = wanted->l_start, .l_len = wanted->l_len };

	for (; *budget && fcntl(fd, F_OFD_GETLK, &f) == 0 && f.l_type != F_UNLCK; --*budget) {
		if (wanted->l_type == F_WRLCK || f.l_type == F_WRLCK)
			return true;
		off_t next = f.l_start + f.l_len;

		if (f.l_len == 0 || (!to_end && next >= end))
			return false;
		f = (struct flock){ .l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = next,
				    .l_len = to_end ? 0 : end - next };
	}
	return false;
}

/*
 * lock_holders() - Add the names of those for whom an owner has to wait
 * @names:	Names, @count of them already; none is added twice, nor more than @max held
 * @budget:	How many owners and locks may still be looked at; counted down
 *
 * Return: how many there are then
 */
size_t lock_holders(struct lock_table *t, const struct lock_owner *o, const struct flock *range, uint64_t *names,
		    size_t count, size_t max, uint32_t *budget)
{
	pthread_mutex_lock(&t->lock);
	for (struct lock_owner *h = *bucket_of(t, o->nodeid); h && count < max && *budget; h = h->next, --*budget) {
		size_t i = 0;

		while (i < count && names[i] != h->owner)
			i++;
		if (i == count && h != o && h->nodeid == o->nodeid && in_the_way(h->fd, range, budget))
			names[count++] = h->owner;
	}
	pthread_mutex_unlock(&t->lock);
	return count;
}

/* The guest's pid of a lock's holder, 0 for one not of this guest: pids of the host are none of its business. */
static uint32_t holder_pid(struct lock_table *t, const struct ipc_getlk_req *q, const struct flock *found)
{
	uint32_t pid = 0;

	if (found->l_pid != -1)
		return 0; /* not an OFD lock, so not one of ours */
	pthread_mutex_lock(&t->lock);
	for (struct lock_owner *o = *bucket_of(t, q->nodeid); o && !pid; o = o->next)
		if (o->nodeid == q->nodeid && o->owner != q->owner && holds(o, found))
			pid = o->pid;
	pthread_mutex_unlock(&t->lock);
	return pid;
}

/* answer_getlk() - GETLK: who stands in the way? */
int answer_getlk(struct req *r)
{
	const struct ipc_getlk_req *q = r->body;
	struct ipc_getlk_rep *rep;
	struct lock_owner *o;
	AUTO_HANDLE h = { 0 };
	struct flock range;
	int err;

	if (!cfg_has(r->w, CFG_POSIX_LOCK))
		return -ENOSYS;
	err = range_of(q->start, q->end, q->type, &range);
	if (err == 0 && q->type == F_UNLCK)
		err = -EINVAL;
	if (err == 0)
		err = handle_get_of(&r->w->handles, q->fh, HANDLE_FILE, q->nodeid, &h);
	if (err < 0)
		return err;
	/* An owner without locks asks through the handle, whose own description never has any. */
	o = owner_get(r->w->locks, q->nodeid, q->owner);
	if (fcntl(o ? o->fd : h.h->fd, F_OFD_GETLK, &range) < 0)
		err = -errno;
	if (o)
		lock_owner_put(r->w->locks, o);
	if (err < 0)
		return err;
	uint32_t pid = range.l_type == F_UNLCK ? 0 : holder_pid(r->w->locks, q, &range);

	rep = reply_add(r, 0, NULL);
	rep->type = (uint32_t)range.l_type;
	rep->pid = pid;
	if (range.l_type == F_UNLCK) {
		rep->start = q->start;
		rep->end = q->end;
	} else {
		rep->start = (uint64_t)range.l_start;
		rep->end = range.l_len ? (uint64_t)(range.l_start + range.l_len - 1) : INT64_MAX;
	}
	return 0;
}

/* The lock is another's: wait for it on a thread of its own. Takes over the references on success. */
static int wait_for(struct req *r, struct handle_use *h, struct lock_owner *o, int flock_op,
		    const struct flock *range)
{
	struct lock_wait w = {
		.link = r->link,
		.tag = r->tag,
		.handle = *h,
		.owner = o,
		.table = r->w->locks,
		.flock_op = flock_op,
	};
	int err;

	if (range)
		w.range = *range;
	link_get(r->link);
	err = lock_wait_start(&w, false, &r->wait);
	if (err < 0) {
		link_put(r->link);
		return err;
	}
	h->t = NULL;
	return ANSWER_LATER;
}

static int set_flock(struct req *r, const struct ipc_setlk_req *q, struct handle_use *h)
{
	int op = q->type == F_RDLCK ? LOCK_SH : q->type == F_WRLCK ? LOCK_EX : LOCK_UN;

	if (flock(h->h->fd, op | LOCK_NB) == 0)
		return reply_empty(r);
	if (errno == EWOULDBLOCK && q->wait)
		return wait_for(r, h, NULL, op, NULL);
	return -errno;
}

static int set_record(struct req *r, const struct ipc_setlk_req *q, struct handle_use *h, struct flock *range)
{
	struct lock_table *t = r->w->locks;
	struct lock_owner *o = NULL;
	int err = 0;

	if (q->type == F_UNLCK) {
		o = owner_get(t, q->nodeid, q->owner);
		if (!o)
			return reply_empty(r);
	} else {
		err = owner_get_or_make(r, q, !handle_writes(h->h), &o);
		if (err < 0)
			return err;
	}
	if (q->type == F_WRLCK && o->reads)
		err = owner_to_write(r, o);
	if (err == 0 && fcntl(o->fd, F_OFD_SETLK, range) < 0)
		err = errno == EACCES ? -EAGAIN : -errno;
	if (err == -EAGAIN && q->wait && q->type != F_UNLCK) {
		err = wait_for(r, h, o, 0, range);
		if (err == ANSWER_LATER)
			return err;
	}
	lock_owner_put(t, o);
	/* Nothing is left: no need to keep a descriptor for it. */
	if (err == 0 && q->type == F_UNLCK && q->start == 0 && q->end == INT64_MAX)
		locks_drop_owner(t, q->nodeid, q->owner);
	return err < 0 ? err : reply_empty(r);
}

/* As for local files, the lock must be one that the guest's descriptor could have. */
static bool allows(const struct handle *h, uint32_t type)
{
	uint32_t mode = h->flags & O_ACCMODE;

	return type == F_UNLCK || mode == O_RDWR || (mode == O_WRONLY) == (type == F_WRLCK);
}

/* answer_setlk() - SETLK, SETLKW and flock */
int answer_setlk(struct req *r)
{
	const struct ipc_setlk_req *q = r->body;
	AUTO_HANDLE h = { 0 };
	struct flock range;
	int err;

	if (!cfg_has(r->w, q->flock ? CFG_FLOCK : CFG_POSIX_LOCK))
		return -ENOSYS;
	err = range_of(q->start, q->end, q->type, &range);
	if (err == 0)
		err = handle_get_of(&r->w->handles, q->fh, HANDLE_FILE, q->nodeid, &h);
	if (err == 0 && !q->flock && !allows(h.h, q->type))
		err = -EBADF;
	if (err < 0)
		return err;
	return q->flock ? set_flock(r, q, &h) : set_record(r, q, &h, &range);
}

/* answer_cancel() - CANCEL. Only a wait for a lock can be ended; everything else is on its way already. */
int answer_cancel(struct req *r)
{
	const struct ipc_cancel_req *q = r->body;

	lock_wait_cancel_tag(r->link, q->tag);
	return 0;
}
