/*
 * A guest and a VMM that do everything wrong. Whatever they do costs an error
 * reply or the one ring they broke: every test ends with real work on another
 * ring, and with a daemon that exits with 0 when the VMM hangs up.
 */
#define _GNU_SOURCE 1
#include <poll.h>
#include <time.h>

#include "test-hostile.h"

struct env env;

static void setup(void)
{
	static const char *const options[] = { "-o", "xattr,flock,posix_lock", NULL };
	static const struct dev_config cfg = { .request_queues = 3 };

	tu_setup(&env);
	tu_start(&env, options, &cfg);
	FS->queue = TH_VICTIM;
}

static void teardown(void)
{
	if (env.connected)
		th_healthy();
	tu_teardown(&env);
}

/**
 * th_case() - A test case with a running device; checks health after each test
 * @name:	Its name
 *
 * Return: the test case
 */
TCase *th_case(const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 90);
	return tc;
}

/**
 * th_healthy() - Another ring and the socket must work as if nothing had been
 */
void th_healthy(void)
{
	unsigned int queue = FS->queue;

	FS->queue = TH_HEALTHY < env.dev.nrings ? TH_HEALTHY : TH_VICTIM;
	tu_exercise(FS, "healthy");
	ck_ok(vu_alive(VU));
	FS->queue = queue;
}

static size_t log_length(void)
{
	char *text = daemon_stderr(&env.d);
	size_t n = strlen(text);

	free(text);
	return n;
}

/**
 * th_mark() - Note where a ring and the log are
 * @r:	Ring about to be attacked
 *
 * Return: the mark for th_outcome()
 */
struct th_mark th_mark(struct ring *r)
{
	return (struct th_mark){ .used = ring_used_idx(r), .log = log_length() };
}

/**
 * th_outcome() - Wait until the daemon has dealt with an attack
 * @r:		Ring attacked
 * @before:	Mark from before
 *
 * Neither a completion nor a log entry is a failure: then the daemon is dead,
 * or a ring was stopped without a word.
 *
 * Return: which of the two came
 */
enum th_outcome th_outcome(struct ring *r, struct th_mark before)
{
	time_t end = time(NULL) + vuf_timeout_ms() / 1000 + 1;

	for (;;) {
		if (ring_used_idx(r) != before.used)
			return TH_COMPLETED;
		if (log_length() > before.log)
			return ring_used_idx(r) != before.used ? TH_COMPLETED : TH_STOPPED;
		if (daemon_wait(&env.d, 2) != -ETIMEDOUT) {
			char *text = daemon_stderr(&env.d);

			ck_abort_msg("the daemon has ended: %s", text);
		}
		ck_assert_msg(time(NULL) <= end, "neither a completion nor an entry in the log");
	}
}

/**
 * th_desc() - Write one descriptor
 * @r:		Ring
 * @i:		Its index
 * @addr:	Guest address
 * @len:	Length
 * @flags:	VRING_DESC_F_*
 * @next:	Index of the next
 */
void th_desc(struct ring *r, uint16_t i, uint64_t addr, uint32_t len, uint16_t flags,
	     uint16_t next)
{
	r->desc[i].addr = addr;
	r->desc[i].len = len;
	r->desc[i].flags = flags;
	r->desc[i].next = next;
}

/**
 * th_good_request() - Buffers of a request with which nothing is wrong
 * @out:	A GETATTR of the root
 * @in:		Room for its reply
 */
void th_good_request(struct gbuf *out, struct gbuf *in)
{
	struct fuse_in_header head = {
		.len = sizeof(head) + sizeof(struct fuse_getattr_in),
		.opcode = FUSE_GETATTR,
		.unique = 0x7000001,
		.nodeid = TU_ROOT,
	};

	ck_ok(gmem_alloc(&env.dev.mem, head.len, out));
	ck_ok(gmem_alloc(&env.dev.mem, 4096, in));
	memset(out->host, 0, head.len);
	memcpy(out->host, &head, sizeof(head));
	in->size = sizeof(struct fuse_out_header) + sizeof(struct fuse_attr_out);
}

/**
 * th_fire() - Put a head into the ring, kick, and see what becomes of it
 * @r:		Ring
 * @head:	Any number
 *
 * Return: outcome
 */
enum th_outcome th_fire(struct ring *r, uint16_t head)
{
	struct th_mark mark = th_mark(r);

	ring_put_raw(r, head);
	ring_kick_always(r);
	return th_outcome(r, mark);
}

static Suite *make_suite(void)
{
	Suite *s = suite_create("hostile");

	suite_add_tcase(s, requests_case());
	suite_add_tcase(s, replies_case());
	suite_add_tcase(s, names_case());
	suite_add_tcase(s, chains_case());
	suite_add_tcase(s, indirect_case());
	suite_add_tcase(s, messages_case());
	suite_add_tcase(s, memory_case());
	return s;
}

int main(int argc, char **argv)
{
	return tu_main(argc, argv, make_suite);
}
