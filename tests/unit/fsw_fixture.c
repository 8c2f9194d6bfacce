/* fsw_fixture.c - see fsw_fixture.h. */
#include "fsw_fixture.h"

#include "common/log.h"
#include "keeper/keeper.h"
#include "sandbox/sandbox.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

struct fsworker fx_w;
int fx_peer[FX_LINKS];
char fx_dir[64];
int fx_dirfd;
struct ipc_msg fx_reply;
int fx_fd = -1;
char *fx_bulk;

_Atomic uint32_t fx_keeper_lost, fx_keeper_heard;

static pthread_t keeper_thread;
static struct link links[FX_LINKS];
static struct ipc_batch batch;
static struct ipc_dgram dgram;
static void *state;
static uint64_t last_tag;

static void quiet(enum log_level level, const char *text, size_t len)
{
	(void)level;
	(void)text;
	(void)len;
}

/* A keeper, with the capability that the fsworker's threads do not have. */
static void *keep(void *arg)
{
	struct keeper *k = calloc(1, sizeof(*k));
	int fd = (int)(intptr_t)arg, r = 1;
	const char *why;

	keeper_init(k, (const uint8_t *)"a key for a test");
	while (r == 1) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		if (poll(&p, 1, -1) < 0)
			continue;
		if (atomic_load(&fx_keeper_lost) && ipc_recv(fd, &k->in, 0) == 1) {
			ipc_dgram_end(&k->in);
			atomic_fetch_sub(&fx_keeper_lost, 1);
			keeper_init(k, (const uint8_t *)"a key for a test"); /* the next one */
			continue;
		}
		atomic_fetch_add(&fx_keeper_heard, 1);
		r = keeper_hear(k, fd, &why);
	}
	close(fd);
	free(k);
	return (void *)(intptr_t)r;
}

static void start_keeper(void)
{
	int sv[2];

	ck_ok(ipc_pair(sv));
	ck_ok(pthread_create(&keeper_thread, NULL, keep, (void *)(intptr_t)sv[1]));
	fx_w.keeper_fd = sv[0];
}

/* fx_start() - a new share and an fsworker that serves it on FX_LINKS links */
void fx_start(const struct fx_config *c)
{
	struct ipc_config_fsworker cfg = {
		.flags = c->flags,
		.thread_pool_size = c->pool,
		.nlinks = FX_LINKS,
		.max_open_files = c->max_open ? c->max_open : 256,
		.inode_slots = c->slots ? c->slots : FX_SLOTS,
		.inode_fd_cache = c->fd_cache,
	};
	const char *tmp = getenv("TMPDIR");

	log_to_sink(quiet);
	umask(0);
	/* As in the jail: ids change, capabilities stay. */
	prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP);
	fx_w = (struct fsworker){ .flags = c->flags, .links = links, .nlinks = FX_LINKS, .keeper_fd = -1 };
	if (c->fd_cache)
		start_keeper();
	ck_ok(sandbox_set_cap(CAP_DAC_READ_SEARCH, false));
	ck_ok(sandbox_set_cap(CAP_SYS_RESOURCE, false));
	snprintf(fx_dir, sizeof(fx_dir), "%.40s%s", c->dir ? c->dir : tmp ? tmp : "/tmp", c->dir ? "" : "/fsw-XXXXXX");
	ck_assert(c->dir || mkdtemp(fx_dir));
	ck_ok(chmod(fx_dir, 0755));
	fx_dirfd = open(fx_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(fx_dirfd, 0);
	fx_w.root_fd = open(fx_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fx_w.proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	ck_assert(fx_w.root_fd >= 0 && fx_w.proc_fd >= 0);
	fx_w.bulk = mmap(NULL, FX_LINKS * IPC_BULK_LINK, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ck_assert(fx_w.bulk != MAP_FAILED);
	fx_bulk = fx_w.bulk;
	state = calloc(1, IPC_STATE_BYTES(cfg.nlinks, cfg.inode_slots, cfg.max_open_files));
	for (uint32_t i = 0; i < FX_LINKS; i++) {
		int sv[2];

		ck_ok(ipc_pair(sv));
		fx_peer[i] = sv[0];
		links[i].fd = sv[1];
	}
	ck_ok(fsworker_init(&fx_w, &cfg, state, c->fd_limit ? c->fd_limit : 1024));
	for (uint32_t i = 0; i < FX_LINKS; i++)
		ck_ok(link_start(&links[i]));
}

/* fx_stop() - the transport goes, then everything */
void fx_stop(void)
{
	bool kept = fx_w.keeper != NULL;
	void *ended = NULL;
	char cmd[256];

	ipc_dgram_end(&dgram);
	close_fd(&fx_fd);
	for (uint32_t i = 0; i < FX_LINKS; i++)
		close(fx_peer[i]);
	fsworker_fini(&fx_w);
	if (kept)
		pthread_join(keeper_thread, &ended);
	ck_assert_ptr_null(ended);
	munmap(fx_w.bulk, FX_LINKS * IPC_BULK_LINK);
	free(state);
	close(fx_w.root_fd);
	close(fx_w.proc_fd);
	close(fx_dirfd);
	snprintf(cmd, sizeof(cmd), "find '%s' -mindepth 1 -delete; rmdir '%s' 2>/dev/null || :", fx_dir, fx_dir);
	ck_assert_int_eq(system(cmd), 0);
}

/* fx_send() - one request in a datagram of its own */
void fx_send(uint32_t link, uint16_t type, uint64_t tag, const void *body, size_t body_len, const void *tail,
	     size_t tail_len)
{
	char *room = NULL;
	void *b;

	ipc_batch_reset(&batch);
	b = ipc_batch_add(&batch, type, tag, 0, (uint32_t)tail_len, &room);
	ck_assert_ptr_nonnull(b);
	memcpy(b, body, body_len);
	if (tail_len)
		memcpy(room, tail, tail_len);
	ck_ok(ipc_batch_send(fx_peer[link], &batch));
}

/* fx_receive() - the next answer: its error, or -1 when none comes in time */
int fx_receive(uint32_t link, uint64_t *tag, int timeout_ms)
{
	const char *why = "";

	for (;;) {
		struct pollfd p = { .fd = fx_peer[link], .events = POLLIN };
		int r = dgram.pos < dgram.len ? ipc_next(&dgram, IPC_DIR_W2T, &fx_reply, &why) : 0;

		ck_assert_msg(r >= 0, "the answer breaks a rule: %s", why);
		if (r == 1)
			break;
		ipc_dgram_end(&dgram);
		if (poll(&p, 1, timeout_ms) == 0)
			return -1;
		ck_assert_int_eq(ipc_recv(fx_peer[link], &dgram, 0), 1);
	}
	if (tag)
		*tag = fx_reply.hdr->tag;
	close_fd(&fx_fd);
	if (fx_reply.nfds)
		fx_fd = ipc_take_fd(&dgram, &fx_reply, 0);
	return fx_reply.hdr->error;
}

/* fx_ask() - send one request on link 0 and wait for its answer */
int fx_ask(uint16_t type, const void *body, size_t body_len, const void *tail, size_t tail_len)
{
	uint64_t tag;
	int err;

	fx_send(0, type, ++last_tag, body, body_len, tail, tail_len);
	err = fx_receive(0, &tag, 20000);
	ck_assert_int_ge(err, 0);
	ck_assert_uint_eq(tag, last_tag);
	ck_assert_uint_eq(fx_reply.hdr->type, type | IPC_REPLY);
	return err;
}

/* fx_path() - a file of the share as the host sees it. Static. */
const char *fx_path(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", fx_dir, name);
	return path;
}

/* fx_write_file() - make a file behind the fsworker's back */
void fx_write_file(const char *name, const char *text, mode_t mode)
{
	int fd = open(fx_path(name), O_WRONLY | O_CREAT | O_TRUNC, mode);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_ok(fchmod(fd, mode));
	close(fd);
}

/* fx_lstat() - what the host sees */
struct stat fx_lstat(const char *name)
{
	struct stat st;

	ck_assert_msg(lstat(fx_path(name), &st) == 0, "%s: %s", name, strerror(errno));
	return st;
}

int fx_lookup(uint64_t parent, const char *name, struct ipc_entry *e)
{
	struct ipc_lookup_req q = { .parent = parent };
	int err = ASK_TAIL(LOOKUP, &q, name);

	if (!err && e)
		*e = ((const struct ipc_lookup_rep *)fx_reply.body)->entry;
	return err;
}

uint64_t fx_node(uint64_t parent, const char *name)
{
	struct ipc_entry e;

	ck_ok(fx_lookup(parent, name, &e));
	return e.nodeid;
}

void fx_forget(uint64_t nodeid, uint64_t n)
{
	struct ipc_forget_req q = { .count = 1 };
	struct ipc_forget_one one = { nodeid, n };

	fx_send(0, IPC_FORGET, 0, &q, sizeof(q), &one, sizeof(one));
}

int fx_getattr(uint64_t nodeid, struct statx *st)
{
	struct ipc_getattr_req q = { .nodeid = nodeid };
	int err = ASK(GETATTR, &q);

	if (!err && st)
		*st = ((const struct ipc_getattr_rep *)fx_reply.body)->st;
	return err;
}

int fx_open(uint64_t nodeid, uint32_t flags, uint64_t *fh)
{
	struct ipc_open_req q = { .nodeid = nodeid, .flags = flags };
	int err = ASK(OPEN, &q);

	if (!err)
		*fh = ((const struct ipc_open_rep *)fx_reply.body)->fh;
	return err;
}

int fx_release(uint64_t nodeid, uint64_t fh)
{
	struct ipc_release_req q = { .nodeid = nodeid, .fh = fh };

	return ASK(RELEASE, &q);
}

int fx_create(uint64_t parent, const char *name, uint32_t flags, uint32_t mode, const struct ipc_cred *cred,
	      struct ipc_entry *e, uint64_t *fh)
{
	struct ipc_create_req q = { .parent = parent, .flags = flags, .mode = mode };
	int err;

	if (cred)
		q.cred = *cred;
	err = ASK_TAIL(CREATE, &q, name);
	if (!err) {
		const struct ipc_create_rep *rep = fx_reply.body;

		*e = rep->entry;
		*fh = rep->fh;
	}
	return err;
}

int fx_mkdir(uint64_t parent, const char *name, uint32_t mode, const struct ipc_cred *cred, struct ipc_entry *e)
{
	struct ipc_mkdir_req q = { .parent = parent, .mode = mode };
	int err;

	if (cred)
		q.cred = *cred;
	err = ASK_TAIL(MKDIR, &q, name);
	if (!err && e)
		*e = ((const struct ipc_mkdir_rep *)fx_reply.body)->entry;
	return err;
}

int fx_unlink(uint64_t parent, const char *name)
{
	struct ipc_unlink_req q = { .parent = parent };

	return ASK_TAIL(UNLINK, &q, name);
}

int fx_rename(uint64_t from, const char *old, uint64_t to, const char *new, uint32_t flags)
{
	struct ipc_rename_req q = { .old_parent = from, .new_parent = to, .name_len = (uint32_t)strlen(old), .flags = flags };
	char both[128];

	snprintf(both, sizeof(both), "%s%s", old, new);
	return ASK_TAIL(RENAME, &q, both);
}

void fx_check_read(uint64_t nodeid, const char *expect)
{
	uint64_t fh;
	char text[64] = "";

	ck_ok(fx_open(nodeid, O_RDONLY, &fh));
	ck_assert_int_eq(pread(fx_fd, text, sizeof(text) - 1, 0), (ssize_t)strlen(expect));
	ck_assert_str_eq(text, expect);
	ck_ok(fx_release(nodeid, fh));
}
