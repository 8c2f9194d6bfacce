/* inode_inner.h - what the files of the table of inodes (inode*.c) share, and nobody else includes. Role: fsworker. */
#ifndef VFSD_INODE_INNER_H
#define VFSD_INODE_INNER_H

#include "fsworker/inode.h"

static inline struct inode_key inode_key_of_statx(const struct statx *st)
{
	return (struct inode_key){ .ino = st->stx_ino, .dev = statx_dev(st), .mnt_id = st->stx_mnt_id };
}

static inline struct inode_key inode_key_of_slot(const struct inode_slot *s)
{
	return (struct inode_key){ .ino = s->ino, .dev = s->dev, .mnt_id = s->mnt_id };
}

static inline struct inode_shard *inode_shard_of(struct inode_table *t, uint64_t hash)
{
	return &t->shard[hash % INODE_SHARDS];
}

/* inode.c: the hash by identity. Chains are under the shard's lock. */
uint64_t inode_hash(const struct inode_table *t, const struct inode_key *k);
uint32_t inode_chain_find(struct inode_table *t, struct inode_shard *sh, uint64_t hash, const struct inode_key *k);
void inode_chain_insert(struct inode_table *t, struct inode_shard *sh, uint64_t hash, uint32_t index);
struct inode_shard *inode_lock_shard(struct inode_table *t, uint32_t index, uint64_t *hash);

/* inode.c: slots */
void inode_set_fd(struct inode_table *t, uint32_t index, int fd);
void inode_drop_gone(struct inode_table *t, uint32_t index);
uint32_t inode_find_slot(struct inode_table *t, const struct statx *st, bool *sure) NODISCARD;
int inode_table_full(const char *what, int error);
bool inode_is(struct inode_table *t, uint32_t index, const struct statx *st) NODISCARD;

/* inode_cold.c */
bool inode_give_fd(struct inode_table *t, uint32_t index, int *fd);

/* inode_named.c */
bool inode_may_name(const struct statx *st, const struct name *name) NODISCARD;
void inode_set_name(struct inode_table *t, uint32_t index, uint64_t parent, const struct name *name);
void inode_adopt_name(struct inode_table *t, uint32_t index);
void inode_end_name(struct inode_table *t, uint32_t index);
bool inode_named_else(const struct inode_table *t, uint32_t index, uint64_t parent, const struct name *name) NODISCARD;
int inode_open_named(struct inode_table *t, uint32_t index, int *fd) NODISCARD;

#endif
