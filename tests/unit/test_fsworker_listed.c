/* test_fsworker_listed.c - what the guest knows from a listing alone: without a descriptor until it is used, and the right
 * object or none then. */
#include "fsw_fixture.h"
#include "unit.h"

#include "fsworker/resolve.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define MANY 200

static uint64_t dir_node;

static void start(void)
{
	fx_start(&(struct fx_config){ .pool = 0 });
	ck_ok(mkdirat(fx_dirfd, "dir", 0755));
	dir_node = fx_node(ROOT, "dir");
}

static uint32_t fds_used(void)
{
	return atomic_load(&fx_w.inodes.fd_used);
}

static struct inode_slot *slot_of(uint64_t nodeid)
{
	return &fx_w.inodes.slots[slots_index(nodeid)];
}

static bool is_listed(uint64_t nodeid)
{
	ck_assert(slots_cold(&fx_w.inodes.ids, slots_index(nodeid)) == (slot_of(nodeid)->name_len != 0));
	return slot_of(nodeid)->name_len != 0;
}

static uint32_t names_in(uint64_t nodeid)
{
	return atomic_load(&fx_w.inodes.named_in[slots_index(nodeid) % INODE_NAMED_IN]);
}

/* READDIRPLUS of a directory from its start. @n: counted up for each entry that has a nodeid. Return: that of @wanted, or 0. */
static uint64_t list(uint64_t dir, const char *wanted, uint32_t *n)
{
	struct ipc_opendir_req o = { .nodeid = dir };
	struct ipc_readdir_req q = { .nodeid = dir, .max_bytes = 32768, .entry_cost = 152, .plus = 1 };
	uint64_t found = 0;

	ck_ok(ASK(OPENDIR, &o));
	q.fh = ((const struct ipc_opendir_rep *)fx_reply.body)->fh;
	for (;;) {
		uint64_t count;
		const char *p;

		ck_ok(ASK(READDIR, &q));
		count = ((const struct ipc_readdir_rep *)fx_reply.body)->count;
		p = fx_reply.tail;
		if (count == 0)
			break;
		for (uint64_t i = 0; i < count; i++) {
			const struct ipc_dirent *de = (const void *)p;
			const struct ipc_entry *e = (const void *)(de + 1);
			const char *name = (const char *)(e + 1);

			if (e->nodeid && n)
				++*n;
			if (wanted && strlen(wanted) == de->name_len && memcmp(name, wanted, de->name_len) == 0)
				found = e->nodeid;
			q.offset = de->off;
			p += sizeof(*de) + sizeof(*e) + ALIGN_UP(de->name_len, 8u);
		}
	}
	ck_ok(ASK(RELEASEDIR, &((struct ipc_releasedir_req){ .nodeid = dir, .fh = q.fh })));
	return found;
}

static uint64_t listed(uint64_t dir, const char *name)
{
	uint64_t nodeid = list(dir, name, NULL);

	ck_assert_uint_ne(nodeid, 0);
	return nodeid;
}

/* A listing opens directories alone; what is used is opened then, and is itself. */
START_TEST(costs_no_descriptor)
{
	uint32_t before = fds_used(), n = 0;
	char path[64];
	struct statx st;
	uint64_t file;

	for (int i = 0; i < MANY; i++) {
		snprintf(path, sizeof(path), "dir/f%d", i);
		fx_write_file(path, path, 0644);
	}
	ck_ok(mkdirat(fx_dirfd, "dir/sub", 0755));
	ck_ok(symlinkat("f1", fx_dirfd, "dir/link"));
	ck_ok(mkfifoat(fx_dirfd, "dir/fifo", 0600));
	file = list(dir_node, "f7", &n);
	ck_assert_uint_eq(n, MANY + 3);
	ck_assert_uint_eq(fds_used(), before + 1);
	ck_assert_uint_eq(names_in(dir_node), MANY + 2);
	/* A second listing and a LOOKUP tell of the same, and open nothing either. */
	ck_assert_uint_eq(listed(dir_node, "f7"), file);
	ck_assert_uint_eq(fx_node(dir_node, "f7"), file);
	ck_assert(is_listed(file));
	ck_assert_uint_eq(slot_of(file)->nlookup, 3);
	ck_assert_uint_eq(fds_used(), before + 1);
	fx_check_read(file, "dir/f7");
	ck_assert(!is_listed(file));
	ck_assert_uint_eq(fds_used(), before + 2);
	ck_ok(fx_getattr(listed(dir_node, "fifo"), &st));
	ck_assert(S_ISFIFO(st.stx_mode));
	ck_ok(ASK(READLINK, &((struct ipc_readlink_req){ .nodeid = listed(dir_node, "link") })));
	ck_assert_uint_eq(fx_reply.tail_len, 2);
	ck_assert_uint_eq(names_in(dir_node), MANY - 1);
	/* Nothing is left of what is forgotten. */
	inode_forget_all(&fx_w.inodes);
	ck_assert_uint_eq(fds_used(), 0);
	ck_assert_uint_eq(names_in(dir_node), 0);
	ck_err(fx_getattr(file, NULL), ESTALE);
}
END_TEST

/* What a name would not be enough for is opened at once. */
START_TEST(opened_at_once)
{
	char fits[INODE_NAME_MAX + 1], longer[INODE_NAME_MAX + 2];
	struct statx st;
	struct name name = { "f" };

	memset(fits, 'x', INODE_NAME_MAX);
	fits[INODE_NAME_MAX] = '\0';
	memset(longer, 'x', INODE_NAME_MAX + 1);
	longer[INODE_NAME_MAX + 1] = '\0';
	fx_write_file(fits, "fits", 0644);
	fx_write_file(longer, "longer", 0644);
	fx_write_file("two", "two", 0644);
	ck_ok(linkat(fx_dirfd, "two", fx_dirfd, "names", 0));
	ck_assert(is_listed(listed(ROOT, fits)));
	ck_assert(!is_listed(listed(ROOT, longer)));
	ck_assert(!is_listed(listed(ROOT, "two")));
	ck_assert(!is_listed(listed(ROOT, "dir")));
	fx_check_read(listed(ROOT, fits), "fits");
	fx_check_read(listed(ROOT, longer), "longer");
	/* A file system without birth times. */
	ck_ok(resolve_statx_fd(fx_w.root_fd, 0, &st));
	st.stx_mode = S_IFREG | 0644;
	st.stx_nlink = 1;
	st.stx_ino = 1ull << 60;
	st.stx_mask &= ~STATX_BTIME;
	ck_assert_uint_eq(inode_list(&fx_w.inodes, ROOT, &name, &st), 0);
	st.stx_mask |= STATX_BTIME;
	ck_assert_uint_ne(inode_list(&fx_w.inodes, ROOT, &name, &st), 0);
}
END_TEST

/* The host takes the name away, or gives it to another object: never that one, and the name can be looked up again. */
START_TEST(changed_on_the_host)
{
	uint64_t gone, moved, replaced, again;
	struct statx st;

	fx_write_file("dir/gone", "gone", 0644);
	fx_write_file("dir/moved", "moved", 0644);
	fx_write_file("dir/replaced", "replaced", 0644);
	gone = listed(dir_node, "gone");
	moved = listed(dir_node, "moved");
	replaced = listed(dir_node, "replaced");
	ck_ok(unlinkat(fx_dirfd, "dir/gone", 0));
	ck_ok(renameat(fx_dirfd, "dir/moved", fx_dirfd, "dir/there"));
	fx_write_file("new", "new", 0644);
	ck_ok(renameat(fx_dirfd, "new", fx_dirfd, "dir/replaced"));
	ck_err(fx_getattr(gone, NULL), ESTALE);
	ck_err(fx_getattr(replaced, NULL), ESTALE);
	ck_err(fx_getattr(gone, NULL), ESTALE);
	again = fx_node(dir_node, "replaced");
	ck_assert_uint_ne(again, replaced);
	fx_check_read(again, "new");
	/* Seen at its new place in time it is the same as before. */
	ck_assert_uint_eq(fx_node(dir_node, "there"), moved);
	ck_assert(!is_listed(moved));
	fx_check_read(moved, "moved");
	ck_ok(fx_getattr(moved, &st));
	ck_assert_uint_eq(names_in(dir_node), 0);
	/* The kernel of a guest gives back what it was told of. */
	fx_forget(replaced, 1);
	fx_forget(gone, 1);
}
END_TEST

/* The host gives it a second name, under which the guest finds it: then either may go. */
START_TEST(second_name)
{
	uint64_t a, b;

	fx_write_file("dir/a", "a", 0644);
	fx_write_file("dir/b", "b", 0644);
	a = listed(dir_node, "a");
	b = listed(dir_node, "b");
	ck_ok(linkat(fx_dirfd, "dir/a", fx_dirfd, "a2", 0));
	ck_ok(linkat(fx_dirfd, "dir/b", fx_dirfd, "b2", 0));
	ck_assert_uint_eq(fx_node(ROOT, "a2"), a);
	ck_assert(!is_listed(a));
	ck_assert_uint_eq(listed(ROOT, "b2"), b);
	ck_assert(!is_listed(b));
	ck_ok(unlinkat(fx_dirfd, "dir/a", 0));
	ck_ok(unlinkat(fx_dirfd, "dir/b", 0));
	fx_check_read(a, "a");
	fx_check_read(b, "b");
}
END_TEST

/* The guest itself may do to names what it likes: its numbers go on to be what they were. */
START_TEST(changed_by_the_guest)
{
	static const char *const names[] = { "unlinked", "moved", "over", "new", "x1", "x2", "white", "linked", "kept" };
	uint64_t node[9];
	struct statx st;
	char path[64];

	for (int i = 0; i < 9; i++) {
		snprintf(path, sizeof(path), "dir/%s", names[i]);
		fx_write_file(path, names[i], 0644);
	}
	for (int i = 0; i < 9; i++) {
		node[i] = listed(dir_node, names[i]);
		ck_assert(is_listed(node[i]));
	}
	ck_ok(fx_unlink(dir_node, "unlinked"));
	ck_ok(fx_rename(dir_node, "moved", ROOT, "moved", 0));
	ck_ok(fx_rename(dir_node, "new", dir_node, "over", 0));
	ck_ok(fx_rename(dir_node, "x1", dir_node, "x2", RENAME_EXCHANGE));
	ck_ok(fx_rename(dir_node, "white", ROOT, "white", RENAME_WHITEOUT));
	ck_ok(ASK_TAIL(LINK, &((struct ipc_link_req){ .nodeid = node[7], .parent = ROOT }), "linked"));
	ck_ok(fx_unlink(dir_node, "linked"));
	ck_err(fx_rename(dir_node, "kept", dir_node, "over", RENAME_NOREPLACE), EEXIST);
	for (int i = 0; i < 9; i++)
		fx_check_read(node[i], names[i]);
	ck_ok(fx_getattr(node[0], &st));
	ck_assert_uint_eq(st.stx_nlink, 0);
	ck_ok(fx_getattr(node[2], &st));
	ck_assert_uint_eq(st.stx_nlink, 0);
	ck_assert_uint_eq(names_in(dir_node), 0);
}
END_TEST

/* A directory may move, by the guest and by the host; one that the guest forgets takes what is in it along. */
START_TEST(of_a_directory)
{
	uint64_t file, second;

	fx_write_file("dir/file", "file", 0644);
	fx_write_file("dir/second", "second", 0644);
	file = listed(dir_node, "file");
	second = listed(dir_node, "second");
	ck_ok(fx_rename(ROOT, "dir", ROOT, "moved", 0));
	ck_ok(renameat(fx_dirfd, "moved", fx_dirfd, "again"));
	fx_check_read(file, "file");
	fx_forget(dir_node, slot_of(dir_node)->nlookup);
	fx_check_read(file, "file");
	ck_err(fx_getattr(second, NULL), ESTALE);
	ck_err(fx_getattr(second, NULL), ESTALE);
}
END_TEST

/* No descriptor is to be had: an error, and the inode stays. */
START_TEST(without_descriptors)
{
	uint64_t file;
	uint32_t limit = fx_w.inodes.fd_limit;

	fx_write_file("dir/file", "file", 0644);
	file = listed(dir_node, "file");
	fx_w.inodes.fd_limit = fx_w.inodes.cool.fd_cache = fds_used();
	ck_err(fx_getattr(file, NULL), ENFILE);
	/* By another name that would open it, too. */
	ck_ok(linkat(fx_dirfd, "dir/file", fx_dirfd, "name", 0));
	ck_assert_uint_eq(fx_node(ROOT, "name"), file);
	fx_w.inodes.fd_limit = fx_w.inodes.cool.fd_cache = limit;
	fx_check_read(file, "file");
}
END_TEST

static int none(void *arg, const uint32_t *held, int *fds, uint32_t n)
{
	uint32_t *asked = arg;

	for (uint32_t i = 0; i < n; i++)
		fds[i] = held[i] ? fcntl((int)(held[i] & IPC_HELD_NUMBER_MAX), F_DUPFD_CLOEXEC, 100) : -1;
	*asked += n;
	return 0;
}

/* Another process goes on, and this one may have been taken over: names that lead elsewhere lead nowhere. */
START_TEST(successor)
{
	static const char *const forged[] = { "..", ".", "../f0", "/etc/passwd", "f1\0", "sub/f" };
	static struct inode_table t;
	uint64_t node[10], sub;
	uint32_t asked = 0, lost = 0;
	struct inode_slot *s;
	struct statx st;
	char path[64];

	for (int i = 0; i < 10; i++) {
		snprintf(path, sizeof(path), "dir/f%d", i);
		fx_write_file(path, path, 0644);
	}
	ck_ok(mkdirat(fx_dirfd, "dir/sub", 0755));
	fx_write_file("dir/sub/f", "f", 0644);
	for (int i = 0; i < 10; i++)
		node[i] = listed(dir_node, (snprintf(path, sizeof(path), "f%d", i), path));
	sub = listed(dir_node, "sub");
	for (int i = 0; i < 6; i++) {
		s = slot_of(node[i]);
		s->name_len = (uint16_t)(i == 4 ? 3 : strlen(forged[i]));
		memcpy(s->at.name, forged[i], s->name_len);
	}
	slot_of(node[6])->at.parent = node[7]; /* no directory */
	/* f7 stays. f8: another object's name; f9: too long */
	memcpy(slot_of(node[8])->at.name, "f7", 2);
	slot_of(node[9])->name_len = INODE_NAME_MAX + 1;
	/* A directory that is to be found by its name, in itself: not even looked at. */
	s = slot_of(sub);
	s->held = 0;
	s->at.parent = sub;
	s->at.name[0] = 's';
	s->name_len = 1;
	ck_ok(resolve_statx_fd(fx_w.root_fd, 0, &st));
	ck_ok(inode_table_init(&t, fx_w.inodes.slots, FX_SLOTS, 256, 2));
	ck_ok(inode_set_root(&t, fx_w.root_fd, &st));
	ck_ok(inode_restore(&t, none, &asked, &lost));
	ck_assert_uint_eq(asked, 1); /* dir */
	ck_assert_uint_eq(lost, 2);  /* f9, sub */
	for (int i = 0; i < 10; i++) {
		AUTO_INODE u = { 0 };
		int r = inode_get(&t, node[i], &u);

		ck_assert_int_eq(r, i == 7 ? 0 : -ESTALE);
	}
	ck_assert_uint_eq(atomic_load(&t.named_in[slots_index(dir_node) % INODE_NAMED_IN]), 0);
	inode_table_fini(&t);
}
END_TEST

static _Atomic uint32_t started;

static void *lists_and_uses(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;
	AUTO_INODE dir = { 0 };

	atomic_fetch_add(&started, 1);
	if (inode_get(&fx_w.inodes, dir_node, &dir) < 0)
		return (void *)1;
	for (int n = 0; n < 5000; n++) {
		int k = rand_r(&seed) % 8;
		struct ipc_entry e;
		struct name name;

		snprintf(name.s, sizeof(name.s), "f%d", k);
		if (entry_of_name(&fx_w, &dir, &name, n % 5 ? ENTRY_LISTED : ENTRY_KNOWN, &e) < 0)
			return (void *)2;
		if (n % 3 == 0) {
			AUTO_INODE u = { 0 };
			struct statx st;

			if (inode_get(&fx_w.inodes, e.nodeid, &u) < 0 || resolve_statx_fd(u.fd, 0, &st) < 0 ||
			    st.stx_ino != e.st.stx_ino)
				return (void *)3;
		}
		if (n % 7 == 0)
			inode_moves(&fx_w.inodes, &dir, &name);
		inode_forget(&fx_w.inodes, e.nodeid, 1);
	}
	return NULL;
}

/* Threads tell of, use, open and forget the same few. */
START_TEST(threads)
{
	pthread_t t[4];
	char path[64];
	void *bad;

	for (int i = 0; i < 8; i++) {
		snprintf(path, sizeof(path), "dir/f%d", i);
		fx_write_file(path, path, 0644);
	}
	for (uintptr_t i = 0; i < 4; i++)
		ck_ok(pthread_create(&t[i], NULL, lists_and_uses, (void *)(i + 1)));
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &bad);
		ck_assert_ptr_eq(bad, NULL);
	}
	ck_assert_uint_eq(fds_used(), 1); /* dir */
	ck_assert_uint_eq(names_in(dir_node), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fsworker_listed");
	TCase *tc = tcase_create("listed");
	SRunner *sr;
	int failed;

	if (geteuid() != 0)
		return 77;
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, start, fx_stop);
	tcase_add_test(tc, costs_no_descriptor);
	tcase_add_test(tc, opened_at_once);
	tcase_add_test(tc, changed_on_the_host);
	tcase_add_test(tc, second_name);
	tcase_add_test(tc, changed_by_the_guest);
	tcase_add_test(tc, of_a_directory);
	tcase_add_test(tc, without_descriptors);
	tcase_add_test(tc, successor);
	tcase_add_test(tc, threads);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
