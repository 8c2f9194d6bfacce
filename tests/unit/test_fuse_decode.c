/* test_fuse_decode.c - what a guest may say, and each way to say it wrong. */
#include "transport/fuse_decode.h"
#include "unit.h"

static char buf[FUSE_ARGS_MAX] __attribute__((aligned(8)));
static uint32_t len;
static struct fuse_req req;

static void start(uint32_t opcode)
{
	struct fw_in_header h = { .opcode = opcode, .unique = 7, .nodeid = 1, .uid = 5, .gid = 6 };

	memcpy(buf, &h, sizeof(h));
	len = sizeof(h);
}

static void add(const void *p, size_t n)
{
	memcpy(buf + len, p, n);
	len += (uint32_t)n;
}

static int decode(void)
{
	struct fw_in_header *h = (struct fw_in_header *)buf;
	uint32_t want;
	int e;

	h->len = len;
	e = fuse_decode_head(h, len, &want);
	return e ? e : fuse_decode(buf, want, true, &req);
}

static int lookup(const char *name, size_t n)
{
	start(FW_LOOKUP);
	add(name, n);
	return decode();
}

static int mkdir_named(const char *name, size_t n)
{
	struct fw_mkdir_in in = { .mode = 0755 };

	start(FW_MKDIR);
	add(&in, sizeof(in));
	add(name, n);
	return decode();
}

START_TEST(names)
{
	char longest[257];

	memset(longest, 'x', sizeof(longest));
	longest[255] = 0;
	ck_assert_int_eq(lookup("a", 2), 0);
	ck_assert_uint_eq(req.name_len[0], 1);
	ck_assert_int_eq(lookup("...", 4), 0);
	ck_assert_int_eq(lookup(longest, 256), 0);
	longest[255] = 'x';
	longest[256] = 0;
	ck_assert_int_eq(lookup(longest, 257), ENAMETOOLONG);
	ck_assert_int_eq(lookup("", 1), EINVAL);
	ck_assert_int_eq(lookup("a", 1), EINVAL); /* no NUL */
	ck_assert_int_eq(lookup("a\0b", 4), EINVAL);
	ck_assert_int_eq(lookup("a/b", 4), EINVAL);
	ck_assert_int_eq(lookup("/", 2), EINVAL);
	ck_assert_int_eq(lookup(".", 2), 0);
	ck_assert_int_eq(lookup("..", 3), 0);
	ck_assert_int_eq(mkdir_named("ok", 3), 0);
	ck_assert_int_eq(mkdir_named(".", 2), EINVAL);
	ck_assert_int_eq(mkdir_named("..", 3), EINVAL);
	ck_assert_int_eq(mkdir_named("../x", 5), EINVAL);
	ck_assert_int_eq(mkdir_named("/tmp/x", 7), EINVAL);
	ck_assert_int_eq(mkdir_named("", 0), EINVAL);
}
END_TEST

START_TEST(lengths)
{
	struct fw_in_header h = { .len = 40, .opcode = FW_STATFS };
	uint32_t want;

	ck_assert_int_eq(fuse_decode_head(&h, 40, &want), 0);
	ck_assert_uint_eq(want, 40);
	ck_assert_int_eq(fuse_decode_head(&h, 39, &want), EINVAL);
	h.len = 39;
	ck_assert_int_eq(fuse_decode_head(&h, 100, &want), EINVAL);
	h.len = UINT32_MAX;
	ck_assert_int_eq(fuse_decode_head(&h, 100, &want), EINVAL);
	ck_assert_int_eq(fuse_decode_head(&h, UINT64_MAX, &want), E2BIG);
	h = (struct fw_in_header){ .len = 40, .opcode = FW_OPEN };
	memcpy(buf, &h, 40);
	ck_assert_int_eq(fuse_decode(buf, 40, true, &req), EINVAL); /* without its argument */
	h = (struct fw_in_header){ .len = 80 + (1 << 20), .opcode = FW_WRITE };
	ck_assert_int_eq(fuse_decode_head(&h, h.len, &want), 0);
	ck_assert_uint_eq(want, 80);
	h.len = 79;
	ck_assert_int_eq(fuse_decode_head(&h, 79, &want), EINVAL);
	for (uint32_t op = 0; op < 5000; op++) {
		h = (struct fw_in_header){ .len = 40, .opcode = op };
		int e = fuse_decode_head(&h, 40, &want);

		ck_assert(e == 0 || e == EINVAL || e == ENOSYS);
		if (op >= FW_OPCODE_END || op == 0 || op == FW_BMAP || op == FW_POLL)
			ck_assert_int_eq(e, ENOSYS);
	}
}
END_TEST

START_TEST(two_names)
{
	struct fw_rename_in in = { .newdir = 9 };

	start(FW_RENAME);
	add(&in, sizeof(in));
	add("from\0to", 8);
	ck_assert_int_eq(decode(), 0);
	ck_assert_str_eq(req.name[0], "from");
	ck_assert_str_eq(req.name[1], "to");
	start(FW_RENAME);
	add(&in, sizeof(in));
	add("from", 5);
	ck_assert_int_eq(decode(), EINVAL);
	start(FW_RENAME);
	add(&in, sizeof(in));
	add("from\0..", 8);
	ck_assert_int_eq(decode(), EINVAL);
	start(FW_SYMLINK);
	add("name\0/any/../where", 19);
	ck_assert_int_eq(decode(), 0);
	ck_assert_str_eq(req.name[1], "/any/../where");
	start(FW_SYMLINK);
	add("name\0", 6);
	ck_assert_int_eq(decode(), ENOENT);
}
END_TEST

START_TEST(setxattr_in_both_forms)
{
	struct fw_setxattr_in in = { .size = 3, .setxattr_flags = 1 };
	struct fw_in_header *h = (struct fw_in_header *)buf;

	start(FW_SETXATTR);
	add(&in, sizeof(in));
	add("user.a\0val", 10);
	ck_assert_int_eq(decode(), 0);
	ck_assert_uint_eq(req.data_len, 3);
	ck_assert_mem_eq(req.data, "val", 3);
	start(FW_SETXATTR);
	add(&in, FW_SETXATTR_IN_SHORT);
	add("user.a/b\0val", 12);
	h->len = len;
	ck_assert_int_eq(fuse_decode(buf, len, false, &req), 0);
	ck_assert_str_eq(req.name[0], "user.a/b");
}
END_TEST

static void add_groups(uint32_t size, uint32_t n, uint32_t gid)
{
	struct fw_in_header *h = (struct fw_in_header *)buf;
	struct {
		struct fw_ext_header e;
		uint32_t n, gid;
	} ext = { .e = { .size = size, .type = FW_EXT_GROUPS }, .n = n, .gid = gid };

	add(&ext, sizeof(ext));
	h->total_extlen = sizeof(ext) / 8;
}

static int mkdir_with_group(uint32_t size, uint32_t n)
{
	struct fw_mkdir_in in = { .mode = 0755 };

	start(FW_MKDIR);
	add(&in, sizeof(in));
	add("dir", 4);
	add_groups(size, n, 4242);
	return decode();
}

START_TEST(extensions)
{
	struct fw_in_header *h = (struct fw_in_header *)buf;

	ck_assert_int_eq(mkdir_with_group(16, 1), 0);
	ck_assert(req.has_sup_gid);
	ck_assert_uint_eq(req.sup_gid, 4242);
	ck_assert_str_eq(req.name[0], "dir");
	ck_assert_int_eq(mkdir_with_group(12, 0), 0);
	ck_assert(!req.has_sup_gid);
	ck_assert_int_eq(mkdir_with_group(12, 1), EINVAL);
	ck_assert_int_eq(mkdir_with_group(16, 2), EINVAL);
	ck_assert_int_eq(mkdir_with_group(4, 1), EINVAL);
	ck_assert_int_eq(mkdir_with_group(24, 1), EINVAL);
	ck_assert_int_eq(mkdir_with_group(UINT32_MAX, 1), EINVAL);
	start(FW_STATFS);
	h->total_extlen = 0xffff;
	ck_assert_int_eq(decode(), EINVAL);
}
END_TEST

UNIT_MAIN("fuse_decode", names, lengths, two_names, setxattr_in_both_forms, extensions)
