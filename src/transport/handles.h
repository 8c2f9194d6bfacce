/* handles.h - files that the guest has open and whose descriptor the fsworker granted to us.
 *
 * Role: transport. A handle is known by the 64-bit id that the fsworker made (slot and generation). The table is
 * bounded by the configuration. A holder of a reference may use the descriptor while the guest releases the handle:
 * the descriptor is closed with the last reference.
 */
#ifndef VFSD_HANDLES_H
#define VFSD_HANDLES_H

#include "transport/state.h"

struct handle {
	struct handles *table;
	uint64_t fh, nodeid;
	int fd;
	uint32_t refs;        /* atomic */
	uint32_t open_flags;  /* O_* that the guest asked for */
	bool local;           /* see fs_local.h; constant */
	bool suidgid;         /* atomic: the file has setuid or setgid bits, see handles_note_mode() */
	bool no_nowait_read;  /* atomic: this file system cannot say "it would block" for a read */
	bool no_nowait_write; /* atomic: the same for a write */
	int64_t slow_until_ns; /* atomic, CLOCK_MONOTONIC: inline writes blocked lately, use the pool until then */
	struct handle *next_of_node; /* under the node lock */
};

struct handles;

/* handles_new() - @slots: how many handles the fsworker may make. NULL: no memory. */
struct handles *handles_new(uint32_t slots);

/* handles_keep() - before the first handle: from now on each stands in the state, too; those that are there already (of a process
 * before this one) come back, as far as their descriptors can be had. @s: with as many rows as there are slots.
 * Return how many did not come back. */
uint32_t handles_keep(struct handles *t, const struct state *s, const struct state_fetch *f);

/* handles_reserve() - before a file is opened: is there a descriptor to spare for its grant? One that was released stays
 * open while a pool thread uses it, and its number is given out again meanwhile, so what is open is not bounded by the
 * fsworker's slots. handles_add() takes the reservation over, handles_unreserve() gives it back. */
bool handles_reserve(struct handles *t) NODISCARD;
void handles_unreserve(struct handles *t);

/* handles_free() - with all handles; nobody uses the table any more. */
void handles_free(struct handles *t);

/* handles_add() - note a granted descriptor (taken over, also on error, as is the caller's reservation).
 * @mode: st_mode of the file. Return 0, -EPROTO when the id is out of range, -EEXIST when it is known already, -ENOMEM. */
int handles_add(struct handles *t, uint64_t fh, uint64_t nodeid, int fd, uint32_t open_flags,
		uint32_t mode) NODISCARD;

/* handles_get() - with a reference; NULL when there is none of that id. handle_put() gives it back. */
struct handle *handles_get(struct handles *t, uint64_t fh);
void handle_put(struct handle *h);

/* handles_get_of_node() - the same, a handle of that inode, if one is soon found: rings wait for each other meanwhile. */
struct handle *handles_get_of_node(struct handles *t, uint64_t nodeid);

/* handles_remove() - the guest released it. Return whether it was there, of that inode, on a local file system. */
bool handles_remove(struct handles *t, uint64_t fh, uint64_t nodeid);

/* handles_few() - are far fewer files open than may be? */
bool handles_few(const struct handles *t);

/* handles_clear() - a new session. */
void handles_clear(struct handles *t);

/* handles_note_mode() - an answer told the file's mode: our writes clear setuid and setgid bits, since we are nobody,
 * so that a file that has them is written by the fsworker when the guest's writer may keep them. A change that the
 * host makes behind the guest's back is not seen here; then the bits are cleared, which is the safe side. */
void handles_note_mode(struct handles *t, uint64_t nodeid, uint32_t mode);

#endif
