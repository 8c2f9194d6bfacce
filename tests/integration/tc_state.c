/*
 * test-crash: what an fsworker knew, the next one knows: open files, places in
 * directories, nodes and how often they were looked up.
 */
#define _GNU_SOURCE 1
#include <time.h>

#include "test-crash.h"

#define NAMES 1500u
#define LOOKUPS 100u

static uint8_t out[100000], in[100000];
static uint8_t buf[4096];

/* Without a name there is only the descriptor. */
START_TEST(unlinked_file)
{
	uint64_t node, fh;
	struct fuse_attr_out a;

	fh = tu_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT | O_EXCL, 0644, &node);
	ck_ok(fs_unlink(FS, TU_ROOT, "file"));
	tu_fill(out, sizeof(out), 1);
	ck_assert_int_eq(fs_write(FS, node, fh, out, sizeof(out), 0, O_RDWR, 0), sizeof(out));
	for (unsigned int i = 0; i < 5; i++) {
		crash_kill_and_wait(&env);
		ck_assert_int_eq(fs_read(FS, node, fh, in, sizeof(in), 0, O_RDWR), sizeof(in));
		ck_assert_int_eq(memcmp(in, out, sizeof(in)), 0);
		ck_ok(fs_getattr(FS, node, &fh, &a));
		ck_assert_uint_eq(a.attr.size, sizeof(out));
		ck_assert_uint_eq(a.attr.nlink, 0);
		tu_fill(out + i * 1000, 1000, 10 + i);
		ck_assert_int_eq(fs_write(FS, node, fh, out + i * 1000, 1000, i * 1000, O_RDWR, 0), 1000);
	}
	ck_ok(fs_fsync(FS, node, fh, 0));
	ck_ok(fs_release(FS, node, fh, O_RDWR, 0, 0));
	ck_ok(fs_forget(FS, node, 1));
}
END_TEST

/* What an open file was opened for does not change by being handed on. */
START_TEST(modes_of_open_files)
{
	uint64_t node, rw, ro, append;

	rw = tu_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT | O_EXCL, 0644, &node);
	ro = tu_open_file(FS, node, O_RDONLY);
	append = tu_open_file(FS, node, O_WRONLY | O_APPEND);
	crash_kill_and_wait(&env);
	ck_assert_int_eq(fs_write(FS, node, rw, "0123456789", 10, 0, O_RDWR, 0), 10);
	ck_err(fs_write(FS, node, ro, "x", 1, 0, O_RDONLY, 0), EBADF);
	ck_assert_int_eq(fs_write(FS, node, append, "abc", 3, 10, O_WRONLY | O_APPEND, 0), 3);
	ck_err(fs_read(FS, node, append, in, 3, 0, O_WRONLY), EBADF);
	ck_assert_int_eq(fs_read(FS, node, ro, in, 100, 0, O_RDONLY), 13);
	ck_assert_int_eq(memcmp(in, "0123456789abc", 13), 0);
	crash_kill_and_wait(&env);
	ck_ok(fs_release(FS, node, ro, O_RDONLY, 0, 0));
	ck_err(fs_read(FS, node, ro, in, 100, 0, O_RDONLY), EBADF);
	ck_ok(fs_release(FS, node, rw, O_RDWR, 0, 0));
	ck_ok(fs_release(FS, node, append, O_WRONLY, 0, 0));
}
END_TEST

/* Return the offset of the last entry; each name is marked. */
static uint64_t note_names(ssize_t n, bool plus, uint8_t *seen, uint64_t *nodes)
{
	uint64_t off = 0;
	unsigned int id;

	for (size_t at = 0; at < (size_t)n;) {
		const struct fuse_direntplus *p = (const void *)(buf + at);
		const struct fuse_dirent *d = plus ? &p->dirent : (const void *)(buf + at);
		char name[300];

		snprintf(name, sizeof(name), "%.*s", (int)d->namelen, d->name);
		off = d->off;
		at += plus ? FUSE_DIRENTPLUS_SIZE(p) : FUSE_DIRENT_SIZE(d);
		if (sscanf(name, "name-%u", &id) != 1)
			continue;
		ck_assert_uint_lt(id, NAMES);
		ck_assert_msg(!seen[id]++, "%s came twice", name);
		if (plus)
			nodes[id] = p->entry_out.nodeid;
	}
	return off;
}

/* In the middle of a directory: no name may come twice, and none be left out. */
static void read_across_kills(bool plus)
{
	static uint64_t nodes[NAMES];
	uint8_t seen[NAMES] = { 0 };
	struct fuse_open_out o;
	struct fuse_attr_out a;
	uint64_t off = 0;
	char name[32];
	ssize_t n;

	for (unsigned int i = 0; i < NAMES; i++) {
		snprintf(name, sizeof(name), "name-%u", i);
		tu_write_file(tu_path(&env, name), "", 0, 0644);
	}
	ck_ok(fs_opendir(FS, TU_ROOT, 0, &o));
	for (unsigned int i = 0;; i++) {
		n = plus ? fs_readdirplus(FS, TU_ROOT, o.fh, off, buf, sizeof(buf)) :
			   fs_readdir(FS, TU_ROOT, o.fh, off, buf, sizeof(buf));
		ck_ok(n);
		if (n == 0)
			break;
		off = note_names(n, plus, seen, nodes);
		if (i % 2 == 0)
			crash_kill(&env);
	}
	for (unsigned int i = 0; i < NAMES; i++)
		ck_assert_msg(seen[i] == 1, "name-%u was left out", i);
	ck_ok(fs_releasedir(FS, TU_ROOT, o.fh));
	for (unsigned int i = 0; plus && i < NAMES; i++) {
		ck_ok(fs_getattr(FS, nodes[i], NULL, &a));
		ck_ok(fs_forget(FS, nodes[i], 1));
	}
}

START_TEST(readdir_goes_on)
{
	read_across_kills(false);
}
END_TEST

START_TEST(readdirplus_goes_on)
{
	read_across_kills(true);
}
END_TEST

/* FORGET has no reply: nothing says when it takes effect, but it must. */
static void wait_stale(uint64_t node)
{
	int64_t end = crash_now_ms() + vuf_timeout_ms();
	struct fuse_attr_out a;
	int err;

	while ((err = fs_getattr(FS, node, NULL, &a)) == 0)
		ck_assert_msg(crash_now_ms() <= end, "a forgotten node lives on");
	ck_err(err, ESTALE);
}

START_TEST(lookups_are_counted)
{
	struct fuse_attr_out a;
	uint64_t node;

	tu_write_file(tu_path(&env, "file"), "x", 1, 0644);
	node = tu_lookup(FS, TU_ROOT, "file");
	ck_assert_uint_eq(tu_lookup(FS, TU_ROOT, "file"), node);
	crash_kill_and_wait(&env);
	ck_assert_uint_eq(tu_lookup(FS, TU_ROOT, "file"), node);
	ck_ok(fs_forget(FS, node, 2));
	crash_kill_and_wait(&env);
	ck_ok(fs_getattr(FS, node, NULL, &a));
	ck_ok(fs_forget(FS, node, 1));
	wait_stale(node);
	crash_kill_and_wait(&env);
	ck_err(fs_getattr(FS, node, NULL, &a), ESTALE);
}
END_TEST

/* Lookups and FORGETs while processes die: each counts once, and in the end none is left. */
START_TEST(lookups_and_forgets)
{
	static uint64_t nodes[LOOKUPS];
	struct fuse_forget_one list[LOOKUPS];
	struct fuse_attr_out a;
	struct crasher c;
	int64_t deadline;
	char name[32];
	int before;

	for (unsigned int i = 0; i < LOOKUPS; i++) {
		snprintf(name, sizeof(name), "name-%u", i);
		tu_write_file(tu_path(&env, name), "", 0, 0644);
	}
	crash_kill_and_wait(&env);
	crash_settle(&env, "before");
	before = kid_descriptors(kid_serving(env.d.pid));
	crasher_start(&c, &env, 10000, 2);
	deadline = crash_now_ms() + 30000;
	while (atomic_load(&c.kills) < 40 && crash_now_ms() < deadline) {
		for (unsigned int i = 0; i < LOOKUPS; i++) {
			snprintf(name, sizeof(name), "name-%u", i);
			nodes[i] = tu_lookup(FS, TU_ROOT, name);
			ck_assert_uint_eq(tu_lookup(FS, TU_ROOT, name), nodes[i]);
			ck_ok(fs_forget(FS, nodes[i], 1));
		}
		for (unsigned int i = 0; i < LOOKUPS; i++) {
			ck_ok(fs_getattr(FS, nodes[i], NULL, &a));
			list[i] = (struct fuse_forget_one){ .nodeid = nodes[i], .nlookup = 1 };
		}
		ck_ok(fs_batch_forget(FS, list, LOOKUPS));
		wait_stale(nodes[LOOKUPS - 1]);
		for (unsigned int i = 0; i < LOOKUPS; i++)
			wait_stale(nodes[i]);
	}
	crasher_stop(&c);
	printf("lookups and forgets: %u kills\n", atomic_load(&c.kills));
	crash_settle(&env, "after");
	ck_assert_int_eq(kid_descriptors(kid_serving(env.d.pid)), before);
}
END_TEST

/**
 * crash_state_case() - What must outlive a process
 *
 * Return: the test case
 */
TCase *crash_state_case(void)
{
	TCase *tc = tc_case("state");

	tcase_add_test(tc, unlinked_file);
	tcase_add_test(tc, modes_of_open_files);
	tcase_add_test(tc, readdir_goes_on);
	tcase_add_test(tc, readdirplus_goes_on);
	tcase_add_test(tc, lookups_are_counted);
	tcase_add_test(tc, lookups_and_forgets);
	return tc;
}
