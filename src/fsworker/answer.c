/* answer.c - from a message to its handler and from the handler's result to an answer. */
#include "fsworker/creds.h"
#include "fsworker/fsworker.h"

#include "common/log.h"

#define BLAME_MAX 2u /* deaths that one request may be the cause of */

/* Who an operation runs as, and how it stands to the session. */
enum {
	AS_CALLER = 1, /* the handler sets the ids itself; all others run as the superuser of the jail */
	SESSION = 2,   /* ends a session: must not count as an operation that runs */
	ANY_IDS = 4,   /* no ids are looked at on the way: whoever the thread was last will do, and a switch costs a call */
	LOOKS = 8,     /* so it is on a local file system: see below */
};

/*
 * Searching and listing a directory is all that LOOKUP and READDIR need rights for, and for those CAP_DAC_OVERRIDE, which
 * a thread has whoever it acts for, is enough on a file system that the kernel itself checks. A file server that checks
 * the ids which it gets (NFS, FUSE) must be asked as the superuser; close_matters tells the two apart. One may be
 * mounted below a local root, so what was refused is asked again.
 */

static const uint8_t answer_flags[IPC_OP_END] = {
	[IPC_SYMLINK] = AS_CALLER, [IPC_MKNOD] = AS_CALLER, [IPC_MKDIR] = AS_CALLER, [IPC_CREATE] = AS_CALLER,
	[IPC_TMPFILE] = AS_CALLER, [IPC_WRITE] = AS_CALLER, [IPC_INIT] = SESSION,    [IPC_DESTROY] = SESSION,
	[IPC_FORGET] = ANY_IDS,	   [IPC_CANCEL] = ANY_IDS,  [IPC_RELEASE] = ANY_IDS, [IPC_RELEASEDIR] = ANY_IDS,
	[IPC_GETATTR] = LOOKS,	   [IPC_STATFS] = LOOKS,    [IPC_LSEEK] = ANY_IDS,   [IPC_READ] = ANY_IDS,
	[IPC_GETLK] = ANY_IDS,	   [IPC_FLUSH] = ANY_IDS,   [IPC_LOOKUP] = LOOKS,    [IPC_READDIR] = LOOKS,
	[IPC_CLOSE] = ANY_IDS,
};

struct answer_row {
	int (*answer)(struct req *r);
	uint32_t body_len;
	bool replies;
};

static const struct answer_row answers[] = {
#define OP(N, n, qt, qf, rep, rt, rf) [IPC_##N] = { answer_##n, sizeof(struct ipc_##n##_req), (rep) },
#define CTL(N, n, d, t, f0, f1)
#include "ipc/messages.def"
#undef OP
#undef CTL
};
_Static_assert(ARRAY_SIZE(answers) == IPC_OP_END, "every operation of the table has its handler");

static int run(struct req *r, const struct answer_row *row)
{
	uint8_t flags = answer_flags[r->type];
	bool counted = !r->pooled && !(flags & SESSION);
	bool as_is = flags & (AS_CALLER | ANY_IDS) || (flags & LOOKS && !r->w->close_matters);
	int result = as_is ? 0 : creds_root();

	if (unlikely(result < 0)) {
		log_limited(LOG_LVL_ERR, "cannot return to the ids of the superuser: %d", -result);
		return -EIO;
	}
	if (counted) {
		session_op_begin(r->link);
		r->session = atomic_load_explicit(&r->w->session, memory_order_relaxed);
	}
	result = row->answer(r);
	if (unlikely(result == -EACCES) && flags & LOOKS && creds_root() == 0)
		result = row->answer(r);
	if (counted)
		session_op_end(r->link);
	return result;
}

/* answer_body_len() - Size of the fixed struct of a request; 0 for what is none */
uint32_t answer_body_len(uint16_t type)
{
	return type < ARRAY_SIZE(answers) ? answers[type].body_len : 0;
}

/*
 * answer_request() - Serve one request
 * @r:	Request of a type that ipc_next() let pass; its body has the size that the table says, nothing else is checked
 */
void answer_request(struct req *r)
{
	const struct answer_row *row = &answers[r->type];
	int result;

	if (unlikely(r->redo) && journal_now->blame >= BLAME_MAX) {
		log_err("%s has ended this process %u times: it is answered with an error", ipc_type_name(r->type),
			journal_now->blame);
		if (row->replies)
			reply_error(r, EIO);
		return;
	}
	result = run(r, row);

	if (result == ANSWER_POOL) {
		if (pool_submit(r->w->pool, r, row->body_len))
			return;
		/* So much waits for the pool already that this link had better wait too. */
		r->may_block = true;
		result = run(r, row);
	}
	if (unlikely(result < 0) && row->replies)
		reply_error(r, -result);
}
