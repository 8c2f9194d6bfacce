/*
 * Every FUSE operation against a real directory: what the client is told and
 * what the host sees must agree.
 */
#include <time.h>

#include "test-fuse.h"

#define TEST_TIMEOUT_S 90

struct env env;

static void setup(void)
{
	static const char *const options[] = { "-o", "xattr,flock,posix_lock", NULL };
	static const struct dev_config cfg = { .request_queues = 4 };

	tu_setup(&env);
	tu_start(&env, options, &cfg);
}

static void teardown(void)
{
	tu_teardown(&env);
}

/**
 * tf_case() - A test case whose tests find a session in env
 * @name:	Its name
 *
 * Return: the test case
 */
TCase *tf_case(const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, TEST_TIMEOUT_S);
	return tc;
}

/**
 * tf_lstat() - What the host says about an object in the share
 * @name:	Its path in the share
 *
 * Return: its attributes
 */
struct stat tf_lstat(const char *name)
{
	struct stat st;

	ck_assert_msg(!lstat(tu_path(&env, name), &st), "%s: %s", name, strerror(errno));
	return st;
}

/**
 * tf_check_attr() - Attributes from the daemon must be those on the host
 * @attr:	From the daemon
 * @st:		From the host
 */
void tf_check_attr(const struct fuse_attr *attr, const struct stat *st)
{
	ck_assert_uint_eq(attr->ino, st->st_ino);
	ck_assert_uint_eq(attr->size, (uint64_t)st->st_size);
	ck_assert_uint_eq(attr->blocks, (uint64_t)st->st_blocks);
	ck_assert_uint_eq(attr->mode, st->st_mode);
	ck_assert_uint_eq(attr->nlink, st->st_nlink);
	ck_assert_uint_eq(attr->uid, st->st_uid);
	ck_assert_uint_eq(attr->gid, st->st_gid);
	ck_assert_uint_eq(attr->rdev, st->st_rdev);
	ck_assert_int_eq((int64_t)attr->mtime, st->st_mtim.tv_sec);
	ck_assert_uint_eq(attr->mtimensec, (uint32_t)st->st_mtim.tv_nsec);
	ck_assert_int_eq((int64_t)attr->ctime, st->st_ctim.tv_sec);
	ck_assert_uint_eq(attr->ctimensec, (uint32_t)st->st_ctim.tv_nsec);
}

/**
 * tf_stale() - Wait until a node that was forgotten is gone
 * @node:	Its number
 *
 * FORGET has no reply and travels on a ring of its own: nothing says when it
 * takes effect, but it must.
 */
void tf_stale(uint64_t node)
{
	time_t end = time(NULL) + vuf_timeout_ms() / 1000 + 1;
	struct fuse_attr_out a;
	int err;

	while ((err = fs_getattr(FS, node, NULL, &a)) == 0)
		ck_assert_msg(time(NULL) <= end, "a forgotten node lives on");
	ck_err(err, ESTALE);
}

static Suite *make_suite(void)
{
	Suite *s = suite_create("fuse");

	suite_add_tcase(s, names_case());
	suite_add_tcase(s, rename_case());
	suite_add_tcase(s, links_case());
	suite_add_tcase(s, attrs_case());
	suite_add_tcase(s, create_case());
	suite_add_tcase(s, data_case());
	suite_add_tcase(s, range_case());
	suite_add_tcase(s, dirs_case());
	suite_add_tcase(s, xattrs_case());
	suite_add_tcase(s, special_case());
	suite_add_tcase(s, posix_locks_case());
	suite_add_tcase(s, flock_case());
	suite_add_tcase(s, session_case());
	suite_add_tcase(s, ids_case());
	suite_add_tcase(s, load_case());
	return s;
}

int main(int argc, char **argv)
{
	return tu_main(argc, argv, make_suite);
}
