/* keeper_link.h - asking the keeper for sealed handles, and for the descriptors of sealed handles.
 *
 * Role: fsworker. There is one channel, and one question on it at a time: threads that want descriptors meanwhile put
 * their wishes into one list, and the next question takes all of them along. The keeper may be dead: then the question stays
 * in the channel for the next one, or is lost and asked again. What it answers is not believed: who gets a descriptor checks
 * that it is the object's (inode_cold.c).
 *
 * The keeper opens handles of a mount by something that is open on it. That is shown to it when it says that it does not know
 * the mount, so a new keeper learns of all mounts that are in use.
 */
#ifndef VFSD_KEEPER_LINK_H
#define VFSD_KEEPER_LINK_H

#include "fsworker/fetch.h"
#include "fsworker/state.h"
#include "ipc/channel.h"

#include <pthread.h>
#include <sys/stat.h>

struct mount {
	int fd;    /* open for reading on it; -1: none */
	int error; /* errno: there are no handles here */
	bool show; /* with the next question */
};

struct unseal {
	uint64_t mnt_id;
	const uint8_t *handle;
	uint32_t len;
	int fd;              /* out, or */
	int error;           /* -errno */
	bool done;
	struct unseal *next; /* one that was asked earlier */
};

struct keeper_link {
	int fd;
	int proc_fd;             /* /proc/self/fd */
	uint32_t generation;     /* see ipc_held() */
	uint32_t first_wait_ms;  /* until a question is asked again */
	pthread_mutex_t lock;    /* of a question, and of the mounts */
	uint64_t tag;
	struct mount_row *rows;  /* IPC_MOUNTS_MAX */
	struct mount mount[IPC_MOUNTS_MAX];
	struct ipc_batch out;
	struct ipc_dgram in;
	pthread_mutex_t wishes_lock;
	pthread_cond_t done;
	struct unseal *wishes;   /* that no thread asks for yet */
	bool asking;             /* a thread does, for others too */
};

/* One object to be sealed. */
struct seal_item {
	int fd;          /* O_PATH, borrowed */
	uint32_t mode;
	uint64_t mnt_id;
	int error;       /* out: -errno, or 0 and the rest */
	uint32_t len;
	uint8_t handle[IPC_HANDLE_MAX];
};

#define SEAL_MAX (IPC_FDS_MAX - IPC_MOUNTS_MAX)

struct keeper_link *keeper_link_new(int fd, int proc_fd, struct mount_row *rows, uint32_t generation);
void keeper_link_free(struct keeper_link *k);
void keeper_add_root(struct keeper_link *k, int root_fd, uint64_t mnt_id);
int keeper_link_restore(struct keeper_link *k, fetch_fn *fetch, void *arg) NODISCARD;
bool keeper_no_handles(struct keeper_link *k, uint64_t mnt_id) NODISCARD;
int ask_seal(struct keeper_link *k, struct seal_item *items, uint32_t n) NODISCARD;
int ask_unseal(struct keeper_link *k, struct unseal *u) NODISCARD;

#endif
