/* keeper.h - turns inode descriptors into sealed handles and back.
 *
 * Role: keeper. Its peer is the fsworker, which the guest may have taken over. What it can have from this process: the handle of
 * what it shows, sealed (seal.h), and the descriptor of what it has shown before. The descriptor says no more than that
 * the object is there (O_PATH), and is of a mount that the fsworker has shown, its own one of the share, so that
 * links and renames between it and other descriptors work.
 *
 * It keeps no state but one open descriptor for each mount, which the fsworker shows again when it is missing. So one
 * that dies is replaced by another that knows the key.
 */
#ifndef VFSD_KEEPER_H
#define VFSD_KEEPER_H

#include "ipc/channel.h"
#include "keeper/seal.h"

struct keeper_mount {
	struct seal_place place;
	int id;    /* as name_to_handle_at() tells it: nobody else's as long as fd is open */
	int fd;    /* open, not O_PATH: what open_by_handle_at() wants; -1: none */
	int error; /* errno with which handles fail here; 0: they work */
};

struct keeper {
	uint8_t key[IPC_KEEPER_KEY];
	struct keeper_mount mount[IPC_MOUNTS_MAX];
	uint32_t next; /* whose place the next new mount takes */
	struct ipc_dgram in;
	struct ipc_batch out;
};

void keeper_init(struct keeper *k, const uint8_t key[IPC_KEEPER_KEY]);
int keeper_hear(struct keeper *k, int fd, const char **why) NODISCARD;

#endif
