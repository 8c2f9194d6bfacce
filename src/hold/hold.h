/* hold.h - descriptors that outlive the process which opened them.
 *
 * Role: transport, fsworker. hold_split() makes several processes of one, which share ONE descriptor table (CLONE_FILES): the worker,
 * which goes on, and holders, which wait. What the worker opens, is granted or closes is so in all of them at that
 * moment, without a message; when it dies, however it dies, every open file, directory position, lock and unread
 * datagram is still there. Its successor is another program with a table of its own, and fetches what it wants by number.
 *
 * The holders are not in the worker's pid namespace, whose end would be theirs. They have no capability, an empty root,
 * nobody's ids and a filter of a dozen calls; none of them ever reads what a guest or the worker wrote, but for the numbers
 * that a successor asks for. A worker that was taken over can put other descriptors at those numbers (the table is
 * its own), so a successor checks what it fetches.
 */
#ifndef VFSD_HOLD_H
#define VFSD_HOLD_H

#include "ipc/messages.h"

#define HOLDERS IPC_HOLDERS

/* Where the descriptors of the processes before this one are. */
struct hold_heir {
	uint32_t n;
	uint32_t generation[IPC_FETCH_MAX];
	int fd[IPC_FETCH_MAX]; /* sockets that the monitor has SHOWn to holders; blocking */
};

struct hold_params {
	int channel[HOLDERS]; /* to the monitor, one for each holder; borrowed, and they stay open in the worker */
	uint32_t uid, gid;    /* whom the holders become */
};

int hold_split(const struct hold_params *p) NODISCARD;
int hold_fetch(int fd, const int32_t *numbers, int *fds, uint32_t n) NODISCARD;
int hold_inherit(const struct hold_heir *heir, const uint32_t *held, int *fds, uint32_t n) NODISCARD;

#endif
