/*
 * test-mounts: a file system that keeps blocks for the superuser.
 */
#define _GNU_SOURCE 1
#include <sys/stat.h>

#include "test-mounts.h"

#define CHUNK 65536u
#define CHUNKS_MAX 1024
#define NO_ID UINT32_MAX /* what guests since Linux 6.12 send for a write */

static void command(const char *text)
{
	ck_assert_msg(system(text) == 0, "%s", text);
}

/* Write as somebody until the file system says that it is full. Return the chunks that went. */
static int fill(uint64_t node, uint64_t fh, uint32_t id, uint64_t *at)
{
	static uint8_t buf[CHUNK];
	int n;

	FS->uid = FS->gid = id;
	for (n = 0; n < CHUNKS_MAX; n++) {
		int r = fs_write(FS, node, fh, buf, CHUNK, *at, O_RDWR, 0);

		if (r < 0) {
			ck_assert_int_eq(r, -ENOSPC);
			break;
		}
		*at += (uint64_t)r;
	}
	FS->uid = FS->gid = 0;
	return n;
}

/*
 * The blocks are for the guest's superuser, not for its users, and not for a writer
 * who cannot be told from others.
 */
START_TEST(reserved_blocks)
{
	static const char *const options[] = { "--data-path=forwarded", NULL };
	struct fuse_entry_out e;
	struct fuse_open_out o;
	uint64_t at = 0;
	char text[16384];

	snprintf(text, sizeof(text), "truncate -s 16M '%s.img'", env.share);
	command(text);
	snprintf(text, sizeof(text), "PATH=$PATH:/usr/sbin mkfs.ext4 -q -F -m 40 -O ^has_journal '%s.img'", env.share);
	command(text);
	snprintf(text, sizeof(text), "mount -o loop '%s.img' '%s' && rm '%s.img'", env.share, env.share, env.share);
	command(text);
	tu_start(&env, _i ? options : NULL, NULL);
	ck_ok(fs_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, 0666, &e, &o));
	ck_assert_int_gt(fill(e.nodeid, o.fh, 1000, &at), 10);
	ck_assert_int_eq(fill(e.nodeid, o.fh, NO_ID, &at), 0);
	ck_assert_int_gt(fill(e.nodeid, o.fh, 0, &at), 10);
}
END_TEST

/**
 * reserve_case() - Blocks that are kept for the superuser
 *
 * Return: the test case
 */
TCase *reserve_case(void)
{
	TCase *tc = tm_case("reserve");

	tcase_add_loop_test(tc, reserved_blocks, 0, 2);
	return tc;
}
