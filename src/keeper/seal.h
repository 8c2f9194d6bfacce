/* seal.h - a file handle with a seal: who has it can neither make another nor change it.
 *
 * Role: keeper. Whoever may open handles can open any inode of a file system by making its handle up (on ext4: the number
 * 2). So what leaves this process is a handle and a keyed hash over it and over the mount that it is of; only what
 * carries that hash is opened. The key is the monitor's, given to keepers and to nobody else.
 */
#ifndef VFSD_SEAL_H
#define VFSD_SEAL_H

#include "ipc/messages.h"
#include "keeper/siphash.h"

#define SEAL_BYTES SIPHASH_OUT
#define SEAL_HANDLE_MAX (IPC_HANDLE_MAX - SEAL_BYTES - 4) /* bytes of a file handle that can be sealed */

/* What a handle is a handle of. The file system is named beside the mount: where the kernel numbers mounts again from the
 * start (before 6.8), one that the host makes later may have the number of one that is gone. */
struct seal_place {
	uint64_t mnt_id;
	uint64_t fs_type, fs_id;
};

/* A file handle as name_to_handle_at() tells it. */
struct seal_handle {
	int32_t type;
	uint32_t len; /* up to SEAL_HANDLE_MAX */
	uint8_t bytes[SEAL_HANDLE_MAX];
};

uint32_t seal_make(const uint8_t key[IPC_KEEPER_KEY], const struct seal_place *place, const struct seal_handle *h,
		   uint8_t out[IPC_HANDLE_MAX]);
int seal_open(const uint8_t key[IPC_KEEPER_KEY], const struct seal_place *place, const uint8_t *sealed, uint32_t len,
	      struct seal_handle *h) NODISCARD;

#endif
