/* fsw_fixture.h - a whole fsworker in the test's own process, without its jail, on a scratch directory; the test is the
 * transport. */
#ifndef FSW_FIXTURE_H
#define FSW_FIXTURE_H

#include "fsworker/fsworker.h"
#include "fsworker/lock_wait.h"

#include <check.h>

#define FX_LINKS 2u
#define FX_SLOTS 4096u
#define ROOT INODE_ROOT

struct fx_config {
	uint32_t flags, pool, max_open, fd_limit, slots;
	uint32_t fd_cache; /* not 0: with a keeper, and at most so many descriptors of inodes */
	const char *dir;   /* the share, if it is there already */
};

extern struct fsworker fx_w;
extern int fx_peer[FX_LINKS]; /* the transport's end of each link */
extern char fx_dir[];         /* the share */
extern int fx_dirfd;
extern struct ipc_msg fx_reply; /* the last answer */
extern int fx_fd;               /* the descriptor that came with it, the test's to close, or -1 */
extern char *fx_bulk;           /* link 0's window */

extern _Atomic uint32_t fx_keeper_lost;  /* so many questions the keeper takes and does not answer */
extern _Atomic uint32_t fx_keeper_heard; /* datagrams that it has answered */

void fx_start(const struct fx_config *c);
void fx_stop(void);
void fx_send(uint32_t link, uint16_t type, uint64_t tag, const void *body, size_t body_len, const void *tail,
	     size_t tail_len);
int fx_receive(uint32_t link, uint64_t *tag, int timeout_ms);
int fx_ask(uint16_t type, const void *body, size_t body_len, const void *tail, size_t tail_len);
const char *fx_path(const char *name);
void fx_write_file(const char *name, const char *text, mode_t mode);
struct stat fx_lstat(const char *name);

/* Ask with a struct and check the outcome: 0 or a positive errno. */
#define ASK(T, q) fx_ask(IPC_##T, (q), sizeof(*(q)), NULL, 0)
#define ASK_TAIL(T, q, tail) fx_ask(IPC_##T, (q), sizeof(*(q)), (tail), strlen(tail))
#define ck_ok(e) ck_assert_int_eq((e), 0)
#define ck_err(e, want) ck_assert_int_eq((e), (want))

int fx_lookup(uint64_t parent, const char *name, struct ipc_entry *e);
uint64_t fx_node(uint64_t parent, const char *name);
void fx_forget(uint64_t nodeid, uint64_t n);
int fx_getattr(uint64_t nodeid, struct statx *st);
int fx_open(uint64_t nodeid, uint32_t flags, uint64_t *fh);
int fx_release(uint64_t nodeid, uint64_t fh);
int fx_create(uint64_t parent, const char *name, uint32_t flags, uint32_t mode, const struct ipc_cred *cred,
	      struct ipc_entry *e, uint64_t *fh);
int fx_unlink(uint64_t parent, const char *name);
int fx_rename(uint64_t from, const char *old, uint64_t to, const char *new, uint32_t flags);
void fx_check_read(uint64_t nodeid, const char *expect); /* opens it, and reads all of it */
int fx_mkdir(uint64_t parent, const char *name, uint32_t mode, const struct ipc_cred *cred, struct ipc_entry *e);

#endif
