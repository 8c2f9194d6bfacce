/* test_name.c - the check of names. */
#include "fsworker/name.h"

#include "unit.h"

START_TEST(good)
{
	static const char *const names[] = { "a", "...", ".a", "..a", " ", "\n", "\xff\xfe", "-", "a\\b", "%s%n" };
	char longest[IPC_NAME_MAX];
	struct name n;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		ck_assert_int_eq(name_check(&n, names[i], (uint32_t)strlen(names[i])), 0);
		ck_assert_str_eq(n.s, names[i]);
	}
	memset(longest, 'x', sizeof(longest));
	ck_assert_int_eq(name_check(&n, longest, sizeof(longest)), 0);
	ck_assert_uint_eq(strlen(n.s), IPC_NAME_MAX);
	/* What follows the name in memory does not belong to it. */
	ck_assert_int_eq(name_check(&n, "..x", 1), -EINVAL);
	ck_assert_int_eq(name_check(&n, "ab/c", 2), 0);
	ck_assert_str_eq(n.s, "ab");
}
END_TEST

START_TEST(bad)
{
	char longer[IPC_NAME_MAX + 1];
	struct name n;

	ck_assert_int_eq(name_check(&n, "", 0), -EINVAL);
	ck_assert_int_eq(name_check(&n, ".", 1), -EINVAL);
	ck_assert_int_eq(name_check(&n, "..", 2), -EINVAL);
	ck_assert_int_eq(name_check(&n, "/", 1), -EINVAL);
	ck_assert_int_eq(name_check(&n, "a/", 2), -EINVAL);
	ck_assert_int_eq(name_check(&n, "/a", 2), -EINVAL);
	ck_assert_int_eq(name_check(&n, "../..", 5), -EINVAL);
	ck_assert_int_eq(name_check(&n, "\0", 1), -EINVAL);
	ck_assert_int_eq(name_check(&n, "a\0b", 3), -EINVAL);
	ck_assert_int_eq(name_check(&n, ".\0", 2), -EINVAL);
	memset(longer, 'x', sizeof(longer));
	ck_assert_int_eq(name_check(&n, longer, sizeof(longer)), -ENAMETOOLONG);
	ck_assert_int_eq(name_check(&n, longer, UINT32_MAX), -ENAMETOOLONG);
}
END_TEST

START_TEST(xattr_names)
{
	char longer[IPC_NAME_MAX + 1];
	struct name n;

	ck_assert_int_eq(xattr_name_check(&n, "user.a/b", 8), 0);
	ck_assert_str_eq(n.s, "user.a/b");
	ck_assert_int_eq(xattr_name_check(&n, "", 0), -EINVAL);
	ck_assert_int_eq(xattr_name_check(&n, "user.\0a", 7), -EINVAL);
	memset(longer, 'x', sizeof(longer));
	ck_assert_int_eq(xattr_name_check(&n, longer, sizeof(longer)), -ERANGE);
}
END_TEST

UNIT_MAIN("name", good, bad, xattr_names)
