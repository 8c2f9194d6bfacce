/*
 * test-fuse: OPENDIR, READDIR, READDIRPLUS, RELEASEDIR, FSYNCDIR.
 */
#define _GNU_SOURCE 1
#include <dirent.h>

#include "test-fuse.h"

#define MANY 5000

static uint8_t buf[65536] __attribute__((aligned(8)));
static uint8_t seen[MANY];
static unsigned int dots, dotdots;

static uint64_t open_dir(uint64_t node)
{
	struct fuse_open_out o;

	ck_ok(fs_opendir(FS, node, O_RDONLY | O_DIRECTORY, &o));
	return o.fh;
}

static void note_name(const struct fuse_dirent *d)
{
	unsigned int i;
	char name[256];

	ck_assert_uint_ge(d->namelen, 1);
	ck_assert_uint_le(d->namelen, 255);
	memcpy(name, d->name, d->namelen);
	name[d->namelen] = '\0';
	ck_assert_uint_eq(strlen(name), d->namelen);
	if (!strcmp(name, ".")) {
		dots++;
	} else if (!strcmp(name, "..")) {
		dotdots++;
	} else {
		ck_assert_int_eq(sscanf(name, "file-%u", &i), 1);
		ck_assert_uint_lt(i, MANY);
		ck_assert_uint_eq(d->type, DT_REG);
		seen[i]++;
	}
}

/* Reads records of one reply; returns the offset to go on from. */
static uint64_t parse(const uint8_t *p, size_t len, uint64_t offset, unsigned int *count,
		      unsigned int stop)
{
	size_t at = 0;

	while (at < len && *count < stop) {
		const struct fuse_dirent *d = (const void *)(p + at);

		ck_assert_uint_le(at + FUSE_NAME_OFFSET, len);
		ck_assert_uint_le(at + FUSE_NAME_OFFSET + d->namelen, len);
		note_name(d);
		ck_assert_uint_ne(d->off, offset);
		offset = d->off;
		at += FUSE_DIRENT_SIZE(d);
		(*count)++;
	}
	return offset;
}

static void make_many(const char *dir, unsigned int n)
{
	char name[64];

	ck_assert_int_eq(mkdir(tu_path(&env, dir), 0755), 0);
	for (unsigned int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "%s/file-%u%.*s", dir, i, (int)(i % 20),
			 "-xxxxxxxxxxxxxxxxxxxx");
		tu_write_file(tu_path(&env, name), "", 0, 0644);
	}
}

static void all_seen_once(unsigned int n)
{
	ck_assert_uint_eq(dots, 1);
	ck_assert_uint_eq(dotdots, 1);
	for (unsigned int i = 0; i < n; i++)
		ck_assert_msg(seen[i] == 1, "file-%u seen %u times", i, seen[i]);
}

static void forget_seen(void)
{
	memset(seen, 0, sizeof(seen));
	dots = dotdots = 0;
}

START_TEST(readdir_many)
{
	static const uint32_t sizes[] = { 300, 4096, 65536 };
	uint64_t node;

	make_many("dir", MANY);
	node = tu_lookup(FS, TU_ROOT, "dir");
	for (int s = 0; s < 3; s++) {
		uint64_t fh = open_dir(node), off = 0;
		unsigned int count = 0;
		ssize_t n;

		forget_seen();
		for (;;) {
			n = fs_readdir(FS, node, fh, off, buf, sizes[s]);
			ck_ok(n);
			if (!n)
				break;
			off = parse(buf, (size_t)n, off, &count, UINT32_MAX);
		}
		all_seen_once(MANY);
		ck_ok(fs_releasedir(FS, node, fh));
	}
}
END_TEST

/*
 * The guest may go on from any entry's offset: when it threw the rest of a
 * reply away, after a seekdir(), and on a new handle (NFS does that).
 */
START_TEST(readdir_resumed)
{
	uint64_t node, fh, off = 0, offsets[4] = { 0 };
	unsigned int count = 0, step = 0;
	ssize_t n;

	make_many("dir", 1000);
	node = tu_lookup(FS, TU_ROOT, "dir");
	fh = open_dir(node);
	forget_seen();
	for (;;) {
		unsigned int stop;

		n = fs_readdir(FS, node, fh, off, buf, 2000);
		ck_ok(n);
		if (!n)
			break;
		stop = count + 1 + step % 5;
		off = parse(buf, (size_t)n, off, &count, stop);
		if (step < 4)
			offsets[step] = off;
		step++;
	}
	all_seen_once(1000);
	/* From each kept offset the rest must be the same again. */
	for (int i = 0; i < 4; i++) {
		unsigned int rest = 0;
		uint64_t at = offsets[i];

		if (i == 2) {
			ck_ok(fs_releasedir(FS, node, fh));
			fh = open_dir(node);
		}
		while ((n = fs_readdir(FS, node, fh, at, buf, 65536)) > 0)
			at = parse(buf, (size_t)n, at, &rest, UINT32_MAX);
		ck_ok(n);
		ck_assert_uint_eq(rest, 1002 - (unsigned int)(i + 1) * (i + 2) / 2);
	}
	/* And from the start. */
	forget_seen();
	off = 0;
	while ((n = fs_readdir(FS, node, fh, off, buf, 65536)) > 0)
		off = parse(buf, (size_t)n, off, &count, UINT32_MAX);
	all_seen_once(1000);
}
END_TEST

START_TEST(readdir_types)
{
	static const struct {
		const char *name;
		uint32_t type;
	} want[] = { { "d", DT_DIR }, { "f", DT_REG }, { "l", DT_LNK }, { "p", DT_FIFO },
		     { "s", DT_SOCK }, { "c", DT_CHR } };
	uint64_t fh = 0;
	ssize_t n;

	ck_assert_int_eq(mkdir(tu_path(&env, "d"), 0755), 0);
	tu_write_file(tu_path(&env, "f"), "", 0, 0644);
	ck_assert_int_eq(symlink("x", tu_path(&env, "l")), 0);
	ck_assert_int_eq(mkfifo(tu_path(&env, "p"), 0644), 0);
	ck_assert_int_eq(mknod(tu_path(&env, "s"), S_IFSOCK | 0644, 0), 0);
	ck_assert_int_eq(mknod(tu_path(&env, "c"), S_IFCHR | 0644, 0x103), 0);
	fh = open_dir(TU_ROOT);
	n = fs_readdir(FS, TU_ROOT, fh, 0, buf, sizeof(buf));
	ck_ok(n);
	for (unsigned int i = 0; i < 6; i++) {
		bool found = false;

		for (size_t at = 0; at < (size_t)n;) {
			const struct fuse_dirent *d = (const void *)(buf + at);

			if (d->namelen == 1 && d->name[0] == want[i].name[0]) {
				found = true;
				ck_assert_uint_eq(d->type, want[i].type);
				ck_assert_uint_eq(d->ino, tf_lstat(want[i].name).st_ino);
			}
			at += FUSE_DIRENT_SIZE(d);
		}
		ck_assert(found);
	}
}
END_TEST

/*
 * Each entry of READDIRPLUS is a lookup: its node lives until that count is
 * given back. "." and ".." carry no node.
 */
START_TEST(readdirplus_counts)
{
	static uint64_t nodes[200];
	uint64_t dir, fh, off = 0;
	struct fuse_attr_out a;
	unsigned int n_nodes = 0;
	ssize_t n;

	make_many("dir", 200);
	dir = tu_lookup(FS, TU_ROOT, "dir");
	fh = open_dir(dir);
	forget_seen();
	while ((n = fs_readdirplus(FS, dir, fh, off, buf, 4096)) > 0) {
		for (size_t at = 0; at < (size_t)n;) {
			const struct fuse_direntplus *p = (const void *)(buf + at);
			char path[300];
			struct stat st;

			ck_assert_uint_le(at + FUSE_NAME_OFFSET_DIRENTPLUS, (size_t)n);
			note_name(&p->dirent);
			off = p->dirent.off;
			at += FUSE_DIRENTPLUS_SIZE(p);
			if (p->dirent.name[0] == '.') {
				ck_assert_uint_eq(p->entry_out.nodeid, 0);
				continue;
			}
			snprintf(path, sizeof(path), "dir/%.*s", (int)p->dirent.namelen,
				 p->dirent.name);
			st = tf_lstat(path);
			tf_check_attr(&p->entry_out.attr, &st);
			ck_assert_uint_ne(p->entry_out.nodeid, 0);
			nodes[n_nodes++] = p->entry_out.nodeid;
		}
	}
	ck_ok(n);
	all_seen_once(200);
	ck_assert_uint_eq(n_nodes, 200);
	for (unsigned int i = 0; i < n_nodes; i++) {
		ck_ok(fs_getattr(FS, nodes[i], NULL, &a));
		ck_ok(fs_forget(FS, nodes[i], 1));
		tf_stale(nodes[i]);
	}
}
END_TEST

/* The node that a listing of the root tells of. */
static uint64_t listed(const char *name)
{
	uint64_t fh = open_dir(TU_ROOT), off = 0, found = 0;
	ssize_t n;

	while ((n = fs_readdirplus(FS, TU_ROOT, fh, off, buf, sizeof(buf))) > 0) {
		for (size_t at = 0; at < (size_t)n;) {
			const struct fuse_direntplus *p = (const void *)(buf + at);

			if (p->dirent.namelen == strlen(name) && !memcmp(p->dirent.name, name, strlen(name)))
				found = p->entry_out.nodeid;
			off = p->dirent.off;
			at += FUSE_DIRENTPLUS_SIZE(p);
		}
	}
	ck_ok(n);
	ck_ok(fs_releasedir(FS, TU_ROOT, fh));
	ck_assert_uint_ne(found, 0);
	return found;
}

static void reads(uint64_t node, const char *expect)
{
	struct fuse_open_out o;
	char text[32] = "";

	ck_ok(fs_open(FS, node, O_RDONLY, &o));
	ck_assert_int_eq(fs_read(FS, node, o.fh, text, sizeof(text) - 1, 0, 0), (ssize_t)strlen(expect));
	ck_assert_str_eq(text, expect);
	ck_ok(fs_release(FS, node, o.fh, O_RDONLY, 0, 0));
}

/* What is known from a listing alone stays what it is whatever the guest does to its name; the host's doings make it stale. */
START_TEST(listed_and_moved)
{
	static const char *const names[] = { "unlinked", "moved", "over", "new", "x1", "x2", "linked", "kept", "gone", "replaced" };
	struct fuse_entry_out e;
	uint64_t node[10];

	ck_assert_int_eq(mkdir(tu_path(&env, "dir"), 0755), 0);
	for (int i = 0; i < 10; i++) {
		tu_write_file(tu_path(&env, names[i]), names[i], strlen(names[i]), 0644);
		node[i] = listed(names[i]);
	}
	ck_ok(fs_unlink(FS, TU_ROOT, "unlinked"));
	ck_ok(fs_rename(FS, TU_ROOT, "moved", tu_lookup(FS, TU_ROOT, "dir"), "there"));
	ck_ok(fs_rename(FS, TU_ROOT, "new", TU_ROOT, "over"));
	ck_ok(fs_rename2(FS, TU_ROOT, "x1", TU_ROOT, "x2", RENAME_EXCHANGE));
	ck_ok(fs_link(FS, node[6], TU_ROOT, "second", &e));
	ck_assert_uint_eq(e.nodeid, node[6]);
	ck_ok(fs_unlink(FS, TU_ROOT, "linked"));
	for (int i = 0; i < 8; i++)
		reads(node[i], names[i]);
	ck_assert_int_eq(unlink(tu_path(&env, "gone")), 0);
	tu_write_file(tu_path(&env, "other"), "other", 5, 0644);
	ck_assert_int_eq(rename(tu_path(&env, "other"), tu_path(&env, "replaced")), 0);
	tf_stale(node[8]);
	tf_stale(node[9]);
	reads(tu_lookup(FS, TU_ROOT, "replaced"), "other");
}
END_TEST

START_TEST(directory_changes_while_read)
{
	uint64_t node, fh, off = 0;
	unsigned int count = 0;
	ssize_t n;

	make_many("dir", 1000);
	node = tu_lookup(FS, TU_ROOT, "dir");
	fh = open_dir(node);
	forget_seen();
	while ((n = fs_readdir(FS, node, fh, off, buf, 1000)) > 0) {
		size_t at = 0;

		/* "rm -r" removes what it has read before it goes on reading. */
		off = parse(buf, (size_t)n, off, &count, UINT32_MAX);
		while (at < (size_t)n) {
			const struct fuse_dirent *d = (const void *)(buf + at);
			char name[256];

			snprintf(name, sizeof(name), "%.*s", (int)d->namelen, d->name);
			if (name[0] != '.')
				ck_ok(fs_unlink(FS, node, name));
			at += FUSE_DIRENT_SIZE(d);
		}
	}
	ck_ok(n);
	all_seen_once(1000);
	ck_ok(fs_rmdir(FS, TU_ROOT, "dir"));
	ck_ok(fs_releasedir(FS, node, fh));
}
END_TEST

START_TEST(opendir_errors)
{
	struct fuse_open_out o;
	uint64_t node;

	tu_write_file(tu_path(&env, "file"), "x", 1, 0644);
	node = tu_lookup(FS, TU_ROOT, "file");
	ck_err(fs_opendir(FS, node, O_RDONLY, &o), ENOTDIR);
	ck_ok(fs_opendir(FS, TU_ROOT, O_RDONLY, &o));
	ck_ok(fs_fsyncdir(FS, TU_ROOT, o.fh, 0));
	ck_ok(fs_fsyncdir(FS, TU_ROOT, o.fh, FUSE_FSYNC_FDATASYNC));
	ck_ok(fs_releasedir(FS, TU_ROOT, o.fh));
}
END_TEST

/**
 * dirs_case() - Directories
 *
 * Return: the test case
 */
TCase *dirs_case(void)
{
	TCase *tc = tf_case("dirs");

	tcase_add_test(tc, readdir_many);
	tcase_add_test(tc, readdir_resumed);
	tcase_add_test(tc, readdir_types);
	tcase_add_test(tc, readdirplus_counts);
	tcase_add_test(tc, listed_and_moved);
	tcase_add_test(tc, directory_changes_while_read);
	tcase_add_test(tc, opendir_errors);
	return tc;
}
