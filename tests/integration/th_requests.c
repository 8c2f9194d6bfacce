/*
 * test-hostile: requests that are well framed but make no sense; and replies
 * that do not fit.
 */
#define _GNU_SOURCE 1
#include "test-hostile.h"

#define ROOM 512

static int bad_call(uint32_t op, uint64_t node, const void *args, size_t len)
{
	struct fs_arg arg = { args, len };
	char reply[ROOM];

	return fs_call(FS, op, node, &arg, 1, reply, 0, ROOM, NULL);
}

/* The request must be answered, with an error. */
static void expect_error(uint32_t op, uint64_t node, const void *args, size_t len)
{
	int err = bad_call(op, node, args, len);

	ck_assert_msg(err < 0 && err != FS_BROKEN, "opcode %u with %zu bytes: %s", op, len,
		      tu_error(err));
}

/* Size of the fixed part of each operation's arguments. */
static const struct {
	uint32_t op;
	size_t size;
	bool name;	/* a name follows, which is missing here */
} ops[] = {
	{ FUSE_LOOKUP, 0, true },
	{ FUSE_GETATTR, sizeof(struct fuse_getattr_in), false },
	{ FUSE_SETATTR, sizeof(struct fuse_setattr_in), false },
	{ FUSE_SYMLINK, 0, true },
	{ FUSE_MKNOD, sizeof(struct fuse_mknod_in), true },
	{ FUSE_MKDIR, sizeof(struct fuse_mkdir_in), true },
	{ FUSE_UNLINK, 0, true },
	{ FUSE_RMDIR, 0, true },
	{ FUSE_RENAME, sizeof(struct fuse_rename_in), true },
	{ FUSE_LINK, sizeof(struct fuse_link_in), true },
	{ FUSE_OPEN, sizeof(struct fuse_open_in), false },
	{ FUSE_READ, sizeof(struct fuse_read_in), false },
	{ FUSE_WRITE, sizeof(struct fuse_write_in), false },
	{ FUSE_RELEASE, sizeof(struct fuse_release_in), false },
	{ FUSE_FSYNC, sizeof(struct fuse_fsync_in), false },
	{ FUSE_SETXATTR, sizeof(struct fuse_setxattr_in), true },
	{ FUSE_GETXATTR, sizeof(struct fuse_getxattr_in), true },
	{ FUSE_LISTXATTR, sizeof(struct fuse_getxattr_in), false },
	{ FUSE_REMOVEXATTR, 0, true },
	{ FUSE_FLUSH, sizeof(struct fuse_flush_in), false },
	{ FUSE_OPENDIR, sizeof(struct fuse_open_in), false },
	{ FUSE_READDIR, sizeof(struct fuse_read_in), false },
	{ FUSE_RELEASEDIR, sizeof(struct fuse_release_in), false },
	{ FUSE_FSYNCDIR, sizeof(struct fuse_fsync_in), false },
	{ FUSE_GETLK, sizeof(struct fuse_lk_in), false },
	{ FUSE_SETLK, sizeof(struct fuse_lk_in), false },
	{ FUSE_SETLKW, sizeof(struct fuse_lk_in), false },
	{ FUSE_ACCESS, sizeof(struct fuse_access_in), false },
	{ FUSE_CREATE, sizeof(struct fuse_create_in), true },
	{ FUSE_BMAP, sizeof(struct fuse_bmap_in), false },
	{ FUSE_IOCTL, sizeof(struct fuse_ioctl_in), false },
	{ FUSE_POLL, sizeof(struct fuse_poll_in), false },
	{ FUSE_FALLOCATE, sizeof(struct fuse_fallocate_in), false },
	{ FUSE_READDIRPLUS, sizeof(struct fuse_read_in), false },
	{ FUSE_RENAME2, sizeof(struct fuse_rename2_in), true },
	{ FUSE_LSEEK, sizeof(struct fuse_lseek_in), false },
	{ FUSE_COPY_FILE_RANGE, sizeof(struct fuse_copy_file_range_in), false },
	{ FUSE_TMPFILE, sizeof(struct fuse_create_in), false },
	{ FN_STATX, sizeof(struct fn_statx_in), false },
	{ FN_COPY_FILE_RANGE_64, sizeof(struct fuse_copy_file_range_in), false },
};

#define N_OPS (sizeof(ops) / sizeof(ops[0]))

/* Arguments cut off anywhere: an error, never a guess at what is missing. */
START_TEST(short_arguments)
{
	static const uint8_t zeros[256];

	for (size_t i = 0; i < N_OPS; i++) {
		if (ops[i].size) {
			expect_error(ops[i].op, TU_ROOT, zeros, 0);
			expect_error(ops[i].op, TU_ROOT, zeros, 1);
			expect_error(ops[i].op, TU_ROOT, zeros, ops[i].size / 2);
			expect_error(ops[i].op, TU_ROOT, zeros, ops[i].size - 1);
		}
		/* All there but the name. */
		if (ops[i].name)
			expect_error(ops[i].op, TU_ROOT, zeros, ops[i].size);
	}
	expect_error(FUSE_INIT, 0, zeros, 0);
	expect_error(FUSE_INIT, 0, zeros, 7);
	/* Whether such an INIT has ended the session is left open. */
	tu_init(&env);
}
END_TEST

/* More than an operation takes: answered, whichever way. */
START_TEST(long_arguments)
{
	static uint8_t junk[8192];

	for (size_t i = 0; i < N_OPS; i++) {
		if (ops[i].op == FUSE_SETLKW)
			continue;
		memset(junk, 0, 128);
		memset(junk + ops[i].size, 'j', sizeof(junk) - ops[i].size);
		ck_assert_int_ne(bad_call(ops[i].op, TU_ROOT, junk, ops[i].size + 300), FS_BROKEN);
		ck_assert_int_ne(bad_call(ops[i].op, TU_ROOT, junk, sizeof(junk)), FS_BROKEN);
	}
}
END_TEST

/* Every field at its maximum, minimum and sign bit. */
START_TEST(absurd_fields)
{
	static const uint8_t bytes[] = { 0xff, 0x80, 0x7f, 0x01 };
	uint8_t args[256];

	for (size_t i = 0; i < N_OPS; i++) {
		for (size_t b = 0; b < sizeof(bytes); b++) {
			memset(args, bytes[b], sizeof(args));
			memcpy(args + ops[i].size, "n\0m", 4);
			ck_assert_int_ne(bad_call(ops[i].op, TU_ROOT, args, ops[i].size + 4),
					 FS_BROKEN);
		}
	}
	ck_ok(vu_alive(VU));
}
END_TEST

/* Lengths inside of a request that contradict its size. */
START_TEST(absurd_lengths)
{
	struct fuse_write_in w = { 0 };
	struct fuse_read_in r = { 0 };
	struct {
		struct fuse_setxattr_in in;
		char rest[24];
	} x = { .rest = "user.x" };
	struct {
		struct fuse_ioctl_in in;
		char data[8];
	} io = { 0 };
	uint64_t node;
	char data[256];

	w.fh = r.fh = tu_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, 0644, &node);
	/* A write that says it has more data than came along. */
	memset(data, 'd', sizeof(data));
	for (int i = 0; i < 3; i++) {
		static const uint32_t sizes[] = { 217, 1u << 30, ~0u };

		w.size = sizes[i];
		memcpy(data, &w, sizeof(w));
		expect_error(FUSE_WRITE, node, data, sizeof(w) + 216);
	}
	ck_assert_int_eq(truncate(tu_path(&env, "file"), 0), 0);
	/* Less than came along. */
	w.size = 5;
	memcpy(data, &w, sizeof(w));
	ck_assert_int_ne(bad_call(FUSE_WRITE, node, data, sizeof(w) + 216), FS_BROKEN);
	/* A read of more than there is room for: an error, or what fits. */
	r.size = ~0u;
	ck_assert_int_ne(bad_call(FUSE_READ, node, &r, sizeof(r)), FS_BROKEN);
	r.size = ROOM + 1;
	ck_assert_int_ne(bad_call(FUSE_READ, node, &r, sizeof(r)), FS_BROKEN);
	r.size = ~0u;
	ck_assert_int_ne(bad_call(FUSE_READDIR, TU_ROOT, &r, sizeof(r)), FS_BROKEN);
	/* Attribute values longer than the request, and more than there can be. */
	x.in.size = 9999;
	expect_error(FUSE_SETXATTR, node, &x, sizeof(x));
	x.in.size = ~0u;
	expect_error(FUSE_SETXATTR, node, &x, sizeof(x));
	struct {
		struct fuse_getxattr_in in;
		char name[8];
	} g = { .in = { .size = ~0u }, .name = "user.x" };
	ck_assert_int_ne(bad_call(FUSE_GETXATTR, node, &g, sizeof(g.in) + 7), FS_BROKEN);
	ck_assert_int_ne(bad_call(FUSE_LISTXATTR, node, &g, sizeof(g.in)), FS_BROKEN);
	io.in.fh = r.fh;
	io.in.in_size = ~0u;
	io.in.out_size = ~0u;
	expect_error(FUSE_IOCTL, node, &io, sizeof(io));
}
END_TEST

/* The hiprio ring has no replies, only completions. */
START_TEST(bad_forgets)
{
	struct fuse_batch_forget_in count = { .count = ~0u };
	struct fuse_forget_one one = { .nodeid = TU_ROOT, .nlookup = ~0ull };
	static const uint32_t opcodes[] = { FUSE_FORGET, FUSE_BATCH_FORGET, FUSE_INTERRUPT };
	uint8_t args[64];

	memcpy(args, &count, sizeof(count));
	memcpy(args + sizeof(count), &one, sizeof(one));
	for (unsigned int len = 0; len <= 24; len += 4) {
		for (int i = 0; i < 3; i++) {
			struct freq *q;

			FS->queue = len & 4 ? DEV_HIPRIO : TH_VICTIM;
			q = fs_new(FS, opcodes[i], TU_ROOT, len, 0);
			q->vq.noreply = true;
			fs_put(q, args, len);
			ck_ok(fs_submit(q));
			ck_ok(fs_wait(q));
			fs_free(q);
		}
	}
	/* Rooms for a reply where there is none: still completed without one. */
	FS->queue = DEV_HIPRIO;
	ck_ok(fs_forget(FS, 0, 0));
	/* And a request there that is none of its kind: answered as elsewhere. */
	ck_assert_int_ne(bad_call(FUSE_GETATTR, TU_ROOT, args, 16), FS_BROKEN);
	FS->queue = TH_VICTIM;
}
END_TEST

/* Extensions whose sizes do not add up. */
START_TEST(bad_extensions)
{
	static const uint32_t exts[][6] = {
		{ 0, 0 },				/* empty, no type */
		{ 8, FN_EXT_GROUPS },			/* no count */
		{ 16, FN_EXT_GROUPS, 0, 0 },		/* no groups */
		{ 16, FN_EXT_GROUPS, 5, 1 },		/* five groups in the room of one */
		{ 16, FN_EXT_GROUPS, ~0u, 1 },		/* a product that wraps */
		{ ~0u, FN_EXT_GROUPS, 1, 1 },		/* larger than the request */
		{ 1, FN_EXT_GROUPS, 1, 1 },		/* smaller than itself */
		{ 24, 1, 1000, 0, 0, 0 },		/* label longer than its header */
		{ 24, 31, 1, 0, 0, 0 },			/* 31 labels in the room of one */
		{ 24, 999, 1, 1, 1, 1 },		/* unknown type */
	};
	struct fuse_entry_out e;
	char name[16];

	for (size_t i = 0; i < sizeof(exts) / sizeof(exts[0]); i++) {
		snprintf(name, sizeof(name), "dir-%zu", i);
		FS->ext = exts[i];
		FS->ext_len = sizeof(exts[i]);
		/* An error, or the extension is ignored; never a crash. */
		ck_assert_int_ne(fs_mkdir(FS, TU_ROOT, name, 0755, &e), FS_BROKEN);
	}
	FS->ext_len = 0;
	/* Announced, but not there: counted from the end they begin before it. */
	for (unsigned int words = 1; words <= 0xffff; words = words * 3 + 1) {
		struct fuse_mkdir_in in = { .mode = 0755 };
		struct freq *q = fs_new(FS, FUSE_MKDIR, TU_ROOT, sizeof(in) + 4,
					sizeof(struct fuse_entry_out));
		int err;

		fs_put(q, &in, sizeof(in));
		fs_put(q, "new", 4);
		fs_head(q)->total_extlen = (uint16_t)words;
		ck_ok(fs_submit(q));
		err = fs_wait(q);
		ck_assert_msg(err < 0 && err != FS_BROKEN, "%u words: %s", words, tu_error(err));
		fs_free(q);
	}
}
END_TEST

/* Nothing is served before INIT, and an INIT of another byte order is none. */
START_TEST(no_session)
{
	struct fuse_init_in swapped = { .major = 0x07000000, .minor = 0x2d000000 };
	struct fuse_attr_out a;

	ck_ok(fs_destroy(FS));
	ck_assert_int_lt(fs_getattr(FS, TU_ROOT, NULL, &a), 0);
	expect_error(0x1a000000, 0, &swapped, sizeof(swapped));
	for (size_t i = 0; i < N_OPS; i++) {
		static const uint8_t args[256] = { 0 };

		expect_error(ops[i].op, TU_ROOT, args, ops[i].size + 2);
	}
	tu_init(&env);
	ck_ok(fs_getattr(FS, TU_ROOT, NULL, &a));
}
END_TEST

/* Thousands of random requests, each in a frame that is right. */
START_TEST(random_arguments)
{
	uint8_t args[600];
	uint64_t rng = 0x1234567 + (uint64_t)_i * 7919;

	for (int i = 0; i < 3000; i++) {
		uint32_t op, len;
		struct freq *q;

		tu_fill(args, sizeof(args), rng++);
		op = args[0] % 56;
		len = args[1] & 3 ? args[2] % 128 : args[2] * 2u;
		/*
		 * These end the session, wait for a lock that never comes, or may
		 * be answered or not.
		 */
		if (op == FUSE_INIT || op == FUSE_DESTROY || op == FUSE_SETLKW ||
		    op == FUSE_INTERRUPT || op == FUSE_NOTIFY_REPLY)
			continue;
		/* Small numbers are likely to be valid somewhere. */
		for (uint32_t k = 4; k < len; k++)
			if (args[3] & 1 && k % 4)
				args[k] = 0;
		q = fs_new(FS, op, args[3] & 2 ? TU_ROOT : args[4], len, ROOM);
		fs_put(q, args + 4, len);
		/* Names end up in the share: no harm. No reply is right for some. */
		fs_layout(q);
		q->vq.reply = q->in.host;
		q->vq.unique = fs_head(q)->unique;
		q->vq.noreply = op == FUSE_FORGET || op == FUSE_BATCH_FORGET;
		ck_ok(ring_add(q->ring, &q->vq));
		ring_kick(q->ring);
		ck_assert_int_eq(ring_wait(q->ring, &q->vq), 0);
		fs_free(q);
	}
}
END_TEST

/**
 * requests_case() - Requests that make no sense
 *
 * Return: the test case
 */
TCase *requests_case(void)
{
	TCase *tc = th_case("requests");

	tcase_add_test(tc, short_arguments);
	tcase_add_test(tc, long_arguments);
	tcase_add_test(tc, absurd_fields);
	tcase_add_test(tc, absurd_lengths);
	tcase_add_test(tc, bad_forgets);
	tcase_add_test(tc, bad_extensions);
	tcase_add_test(tc, no_session);
	tcase_add_loop_test(tc, random_arguments, 0, 4);
	return tc;
}

/*
 * A request with less room for the reply than it needs. The effect may have
 * taken place; what is written must be a whole reply that fits, or nothing.
 */
static void small_reply(uint32_t op, uint64_t node, const void *args, size_t len, uint32_t room)
{
	struct ring *r = TH_RING;
	struct th_mark mark = th_mark(r);
	struct freq *q = fs_new(FS, op, node, len, room > 16 ? room - 16 : 0);
	uint16_t n = 1;

	fs_put(q, args, len);
	fs_head(q)->len = q->out_len;
	memset(q->in.host, 0x5a, room > 16 ? room : 16);
	th_desc(r, 0, q->out.gpa, q->out_len, room ? VRING_DESC_F_NEXT : 0, 1);
	if (room) {
		th_desc(r, 1, q->in.gpa, room, VRING_DESC_F_WRITE, 0);
		n = 2;
	}
	ring_put_raw(r, 0);
	ring_kick_always(r);
	if (th_outcome(r, mark) == TH_COMPLETED) {
		const struct vring_used_elem *e = &r->used->ring[mark.used & (r->size - 1)];
		struct fuse_out_header oh;

		memcpy(&oh, q->in.host, sizeof(oh));
		ck_assert_uint_eq(e->id, 0);
		ck_assert_uint_le(e->len, n == 2 ? room : 0);
		if (e->len) {
			ck_assert_uint_ge(e->len, sizeof(oh));
			ck_assert_uint_eq(oh.len, e->len);
			ck_assert_uint_eq(oh.unique, fs_head(q)->unique);
		}
		r->used_idx = ring_used_idx(r);
		fs_free(q);
		return;
	}
	/* A stopped ring: good for one such request only, so start it anew. */
	uint32_t base;

	ck_ok(dev_stop_ring(&env.dev, TH_VICTIM, &base));
	ring_reset(r);
	ck_ok(dev_start_ring(&env.dev, TH_VICTIM, 0));
}

START_TEST(reply_does_not_fit)
{
	static const uint32_t rooms[] = { 0, 1, 8, 15, 16, 17, 40, 100, 119 };
	struct fuse_getattr_in g = { 0 };
	struct fuse_open_in o = { 0 };
	struct fuse_init_in in = { .major = 7, .minor = 45 };
	struct fuse_mkdir_in m = { .mode = 0755 };
	char mkdir_args[16] = { 0 };

	memcpy(mkdir_args, &m, sizeof(m));
	for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		small_reply(FUSE_GETATTR, TU_ROOT, &g, sizeof(g), rooms[i]);
		small_reply(FUSE_OPENDIR, TU_ROOT, &o, sizeof(o), rooms[i]);
		small_reply(FUSE_LOOKUP, TU_ROOT, "x", 2, rooms[i]);
		small_reply(FUSE_STATFS, TU_ROOT, NULL, 0, rooms[i]);
		snprintf(mkdir_args + sizeof(m), 8, "d%zu", i);
		small_reply(FUSE_MKDIR, TU_ROOT, mkdir_args, sizeof(m) + 3, rooms[i]);
		small_reply(2999, TU_ROOT, NULL, 0, rooms[i]);
	}
	small_reply(FUSE_INIT, 0, &in, 16, 20);
	tu_init(&env);
}
END_TEST

/* More room than needed is no fault: used.len is still exact. */
START_TEST(reply_room_to_spare)
{
	struct fuse_getattr_in g = { 0 };
	struct freq *q = fs_new(FS, FUSE_GETATTR, TU_ROOT, sizeof(g), 100000);

	fs_put(q, &g, sizeof(g));
	ck_ok(fs_submit(q));
	ck_ok(fs_wait(q));
	ck_assert_uint_eq(q->vq.used_len, 16 + sizeof(struct fuse_attr_out));
	fs_free(q);
}
END_TEST

/**
 * replies_case() - Replies that do not fit
 *
 * Return: the test case
 */
TCase *replies_case(void)
{
	TCase *tc = th_case("replies");

	tcase_add_test(tc, reply_does_not_fit);
	tcase_add_test(tc, reply_room_to_spare);
	return tc;
}
