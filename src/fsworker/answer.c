/* answer.c - from a message to its handler and from the handler's result to an answer. */
#include "fsworker/creds.h"
#include "fsworker/fsworker.h"

#include "common/log.h"

/* Who an operation runs as, and how it stands to the session. */
enum {
	AS_CALLER = 1, /* the handler sets the ids itself; all others run as the superuser of the jail */
	SESSION = 2,   /* ends a session: must not count as an operation that runs */
};

static const uint8_t answer_flags[IPC_OP_END] = {
	[IPC_SYMLINK] = AS_CALLER, [IPC_MKNOD] = AS_CALLER, [IPC_MKDIR] = AS_CALLER, [IPC_CREATE] = AS_CALLER,
	[IPC_TMPFILE] = AS_CALLER, [IPC_WRITE] = AS_CALLER, [IPC_INIT] = SESSION,    [IPC_DESTROY] = SESSION,
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
	int result = flags & AS_CALLER ? 0 : creds_root();

	if (unlikely(result < 0)) {
		log_limited(LOG_LVL_ERR, "cannot return to the ids of the superuser: %d", -result);
		return -EIO;
	}
	if (counted)
		session_op_begin(r->link);
	result = row->answer(r);
	if (counted)
		session_op_end(r->link);
	return result;
}

/*
 * answer_request() - Serve one request
 * @r:	Request of a type that ipc_next() let pass; its body has the size that the table says, nothing else is checked
 */
void answer_request(struct req *r)
{
	const struct answer_row *row = &answers[r->type];
	int result = run(r, row);

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
