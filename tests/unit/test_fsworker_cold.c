/* test_fsworker_cold.c - far more inodes than descriptors: a fsworker with a keeper, and a working set of a few. */
#include "fsw_fixture.h"
#include "unit.h"

#include "fsworker/keeper_link.h"
#include "fsworker/resolve.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define CACHE 16u
#define MOST (CACHE + CACHE / 2 + 4) /* beyond it who wants another one waits */
#define DIRS 20
#define FILES 250 /* in each */

static uint64_t dir_node[DIRS], file_node[DIRS][FILES];
static uint64_t file_ino[DIRS][FILES];

static char *name_of(const char *kind, int i)
{
	static char names[4][32];
	static int at;
	char *s = names[at++ % 4];

	snprintf(s, 32, "%s%d", kind, i);
	return s;
}

static uint32_t fds_used(void)
{
	return atomic_load(&fx_w.inodes.fd_used);
}

static bool is_cold(uint64_t nodeid)
{
	return slots_cold(&fx_w.inodes.ids, slots_index(nodeid));
}

static int open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void make_tree(int dirs, int files)
{
	char path[64];

	for (int i = 0; i < dirs; i++) {
		ck_ok(mkdirat(fx_dirfd, name_of("d", i), 0755));
		for (int k = 0; k < files; k++) {
			snprintf(path, sizeof(path), "d%d/f%d", i, k);
			fx_write_file(path, path, 0644);
		}
	}
}

static void look_all_up(int dirs, int files)
{
	for (int i = 0; i < dirs; i++) {
		dir_node[i] = fx_node(ROOT, name_of("d", i));
		for (int k = 0; k < files; k++) {
			struct ipc_entry e;

			ck_ok(fx_lookup(dir_node[i], name_of("f", k), &e));
			file_node[i][k] = e.nodeid;
			file_ino[i][k] = e.st.stx_ino;
		}
	}
}

static void start_with(const struct fx_config *c)
{
	fx_start(c);
	fx_w.keeper->first_wait_ms = 20;
}

static void start(void)
{
	start_with(&(struct fx_config){ .fd_cache = CACHE, .slots = 8192 });
}

/* Use others until this one is cold. */
static void make_cold(uint64_t nodeid)
{
	static int n;

	for (int i = 0; i < 2000 && !is_cold(nodeid); i++) {
		fx_write_file(name_of("other", n), "", 0600);
		fx_node(ROOT, name_of("other", n++));
	}
	ck_assert(is_cold(nodeid));
}

/* How many questions the keeper has heard, once the thread that makes inodes cold has come to rest. */
static uint32_t heard_so_far(void)
{
	uint32_t heard, quiet = 0;

	for (heard = atomic_load(&fx_keeper_heard); quiet < 20; quiet++) {
		usleep(2000);
		if (heard != atomic_load(&fx_keeper_heard)) {
			heard = atomic_load(&fx_keeper_heard);
			quiet = 0;
		}
	}
	return heard;
}

static int ask_rmdir(uint64_t parent, const char *name)
{
	struct ipc_rmdir_req q = { .parent = parent };

	return ASK_TAIL(RMDIR, &q, name);
}

static int ask_link(uint64_t nodeid, uint64_t parent, const char *name)
{
	struct ipc_link_req q = { .nodeid = nodeid, .parent = parent };

	return ASK_TAIL(LINK, &q, name);
}

/* Five thousand files and sixteen descriptors: whatever a guest does with any of them. */
START_TEST(all_work)
{
	int before = open_descriptors();
	struct statx st;
	char path[64];

	make_tree(DIRS, FILES);
	look_all_up(DIRS, FILES);
	ck_assert_uint_le(fds_used(), MOST);
	ck_assert_int_le(open_descriptors(), before + (int)MOST + 6);
	for (int k = 0; k < FILES; k++)
		for (int i = 0; i < DIRS; i++) {
			ck_ok(fx_getattr(file_node[i][k], &st));
			ck_assert_uint_eq(st.stx_ino, file_ino[i][k]);
		}
	for (int i = 0; i < DIRS; i++)
		for (int k = 0; k < FILES; k += 10) {
			snprintf(path, sizeof(path), "d%d/f%d", i, k);
			fx_check_read(file_node[i][k], path);
		}
	for (int k = 0; k < FILES; k += 10)
		for (int i = 0; i < DIRS; i++) {
			ck_ok(ask_link(file_node[i][k], dir_node[(i + 7) % DIRS], name_of("l", i * FILES + k)));
			ck_ok(fx_rename(dir_node[i], name_of("f", k), dir_node[(i + 1) % DIRS], name_of("r", i * FILES + k), 0));
			ck_ok(fx_getattr(file_node[i][k], &st));
			ck_assert(st.stx_ino == file_ino[i][k] && st.stx_nlink == 2);
			ck_assert_uint_eq(fx_node(dir_node[(i + 1) % DIRS], name_of("r", i * FILES + k)), file_node[i][k]);
		}
	/* All that is left is found again under its number. */
	for (int i = 0; i < DIRS; i++)
		for (int k = 1; k < FILES; k += 7)
			if (k % 10)
				ck_assert_uint_eq(fx_node(dir_node[i], name_of("f", k)), file_node[i][k]);
	ck_assert_uint_le(fds_used(), MOST);
	ck_assert_int_le(open_descriptors(), before + (int)MOST + 6);
	/* Nothing is brought back to be forgotten. */
	uint32_t heard = heard_so_far();

	for (int i = 0; i < DIRS; i++)
		for (int k = 0; k < FILES; k++)
			fx_forget(file_node[i][k], 100);
	ck_ok(fx_getattr(ROOT, &st));
	ck_assert_uint_eq(atomic_load(&fx_keeper_heard), heard);
	ck_err(fx_getattr(file_node[3][3], NULL), ESTALE);
}
END_TEST

/* A LOOKUP of what is known is one system call, cold or not. */
START_TEST(lookup_stays_cold)
{
	uint64_t a;
	uint32_t heard;

	fx_write_file("a", "text", 0644);
	a = fx_node(ROOT, "a");
	make_cold(a);
	heard = heard_so_far();
	for (int i = 0; i < 100; i++)
		ck_assert_uint_eq(fx_node(ROOT, "a"), a);
	ck_assert(is_cold(a));
	ck_assert_uint_eq(atomic_load(&fx_keeper_heard), heard);
	fx_check_read(a, "text");
	ck_assert(!is_cold(a));
	/* Sealed once is sealed for good. */
	make_cold(a);
	fx_check_read(a, "text");
}
END_TEST

static uint32_t list_all(uint64_t fh, uint64_t nodeid, uint64_t *first)
{
	struct ipc_readdir_req q = { .nodeid = nodeid, .fh = fh, .max_bytes = 32768, .entry_cost = 152, .plus = 1 };
	uint32_t n = 0;

	for (;;) {
		ck_ok(ASK(READDIR, &q));
		uint64_t count = ((const struct ipc_readdir_rep *)fx_reply.body)->count;
		const char *p = fx_reply.tail;

		if (count == 0)
			return n;
		for (uint64_t i = 0; i < count; i++) {
			const struct ipc_dirent *de = (const void *)p;
			const struct ipc_entry *e = (const void *)(de + 1);

			if (e->nodeid) {
				if (n == 0)
					*first = e->nodeid;
				n++;
			}
			q.offset = de->off;
			p += sizeof(*de) + sizeof(*e) + ALIGN_UP(de->name_len, 8u);
		}
	}
}

/* Who only lists costs few questions, and no descriptor for long. */
START_TEST(listing)
{
	struct ipc_opendir_req o = { .nodeid = ROOT };
	uint64_t fh, first = 0, again = 0;
	uint32_t heard;

	/* With two names each, or they would not be opened at all. */
	ck_ok(mkdirat(fx_dirfd, "d0", 0700));
	for (int i = 0; i < 5000; i++) {
		char *name = name_of("file", i), other[64];

		snprintf(other, sizeof(other), "%s/d0/%s", fx_dir, name);
		ck_ok(mknodat(fx_dirfd, name, S_IFREG | 0600, 0));
		ck_ok(linkat(fx_dirfd, name, AT_FDCWD, other, 0));
	}
	ck_ok(ASK(OPENDIR, &o));
	fh = ((const struct ipc_opendir_rep *)fx_reply.body)->fh;
	ck_assert_uint_eq(list_all(fh, ROOT, &first), 5001);
	ck_assert_uint_le(fds_used(), 604);
	heard = heard_so_far();
	ck_assert_uint_le(heard, 5000 / 100 + 5);
	ck_assert(is_cold(first));
	/* Once more: all is known. */
	ck_assert_uint_eq(list_all(fh, ROOT, &again), 5001);
	ck_assert_uint_eq(again, first);
	ck_assert_uint_eq(atomic_load(&fx_keeper_heard), heard);
}
END_TEST

static void start_400(void)
{
	start_with(&(struct fx_config){ .fd_cache = 400, .slots = 8192, .fd_limit = 4096 });
}

static void *use_some(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;

	for (int n = 0; n < 3000; n++) {
		int i = rand_r(&seed) % 4, k = rand_r(&seed) % 50;
		AUTO_INODE u = { 0 };
		struct statx st;

		if (inode_get(&fx_w.inodes, file_node[i][k], &u) < 0 || resolve_statx_fd(u.fd, 0, &st) < 0 ||
		    st.stx_ino != file_ino[i][k])
			return (void *)1;
		if (n % 3 == 0) {
			AUTO_INODE dir = { 0 };
			struct ipc_entry e;
			struct name name;

			snprintf(name.s, sizeof(name.s), "f%d", k);
			if (inode_get(&fx_w.inodes, dir_node[i], &dir) < 0 ||
			    entry_of_name(&fx_w, &dir, &name, n % 2 ? ENTRY_KNOWN : ENTRY_NEW, &e) < 0 || e.nodeid != file_node[i][k])
				return (void *)2;
		}
	}
	return NULL;
}

/* Threads that want what the others give up. */
START_TEST(threads)
{
	pthread_t t[4];
	void *bad;

	make_tree(4, 50);
	look_all_up(4, 50);
	for (uintptr_t i = 0; i < 4; i++)
		ck_ok(pthread_create(&t[i], NULL, use_some, (void *)(i + 1)));
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &bad);
		ck_assert_ptr_eq(bad, NULL);
	}
	ck_assert_uint_le(fds_used(), MOST + 4);
	inode_forget_all(&fx_w.inodes);
	ck_assert_uint_eq(fds_used(), 0);
}
END_TEST

/* Removed by the host while only a handle was left: stale, and never another object. */
START_TEST(removed_on_the_host)
{
	struct ipc_getattr_req q = { 0 };
	uint64_t a, b, opened, fh;
	struct statx st;

	fx_write_file("a", "text", 0644);
	fx_write_file("opened", "text", 0644);
	a = fx_node(ROOT, "a");
	opened = fx_node(ROOT, "opened");
	ck_ok(fx_open(opened, O_RDONLY, &fh));
	make_cold(a);
	make_cold(opened);
	ck_ok(unlinkat(fx_dirfd, "a", 0));
	ck_ok(unlinkat(fx_dirfd, "opened", 0));
	ck_err(fx_getattr(a, NULL), ESTALE);
	ck_err(fx_getattr(a, NULL), ESTALE);
	fx_forget(a, 1);
	/* What the guest has open stays, by whichever way it asks. */
	q = (struct ipc_getattr_req){ .nodeid = opened, .fh = fh, .has_fh = 1 };
	ck_ok(ASK(GETATTR, &q));
	ck_ok(fx_getattr(opened, &st));
	ck_assert_uint_eq(st.stx_nlink, 0);
	ck_ok(fx_release(opened, fh));
	fx_write_file("a", "other", 0644);
	b = fx_node(ROOT, "a");
	ck_assert_uint_ne(a, b);
	fx_check_read(b, "other");
}
END_TEST

/* The same number for another object, seen by name before the old one was missed. @birth: does the file system tell it? */
static void reuse(bool birth)
{
	for (int try = 0; try < 200; try++) {
		struct ipc_entry a, b;

		fx_write_file("a", "old", 0644);
		ck_ok(fx_lookup(ROOT, "a", &a));
		make_cold(a.nodeid);
		if (!birth) {
			struct inode_slot *s = &fx_w.inodes.slots[slots_index(a.nodeid)];

			s->btime_sec = s->btime_nsec = 0;
			/* Still there: found by its handle. */
			ck_assert_uint_eq(fx_node(ROOT, "a"), a.nodeid);
			make_cold(a.nodeid);
		}
		ck_ok(unlinkat(fx_dirfd, "a", 0));
		fx_write_file("b", "new", 0644);
		ck_ok(fx_lookup(ROOT, "b", &b));
		ck_assert_uint_ne(a.nodeid, b.nodeid);
		ck_err(fx_getattr(a.nodeid, NULL), ESTALE);
		fx_check_read(b.nodeid, "new");
		ck_ok(unlinkat(fx_dirfd, "b", 0));
		if (a.st.stx_ino == b.st.stx_ino && try > 3)
			return;
	}
}

START_TEST(number_used_again)
{
	reuse(true);
	reuse(false);
}
END_TEST

/* Removed by the guest itself: it may go on with what it knows by number. */
START_TEST(removed_by_the_guest)
{
	uint64_t file, dir, over, twice;
	struct statx st;

	fx_write_file("file", "text", 0644);
	fx_write_file("over", "text", 0644);
	fx_write_file("new", "text", 0644);
	fx_write_file("twice", "text", 0644);
	ck_ok(mkdirat(fx_dirfd, "dir", 0755));
	ck_ok(linkat(fx_dirfd, "twice", fx_dirfd, "twice2", 0));
	file = fx_node(ROOT, "file");
	over = fx_node(ROOT, "over");
	dir = fx_node(ROOT, "dir");
	twice = fx_node(ROOT, "twice");
	make_cold(file);
	make_cold(over);
	make_cold(dir);
	make_cold(twice);
	ck_ok(fx_unlink(ROOT, "file"));
	ck_ok(ask_rmdir(ROOT, "dir"));
	ck_ok(fx_rename(ROOT, "new", ROOT, "over", 0));
	ck_ok(fx_unlink(ROOT, "twice"));
	ck_ok(fx_unlink(ROOT, "twice2"));
	for (int i = 0; i < 300; i++) {
		fx_write_file(name_of("more", i), "", 0600);
		fx_node(ROOT, name_of("more", i));
	}
	ck_ok(fx_getattr(file, &st));
	ck_assert_uint_eq(st.stx_nlink, 0);
	fx_check_read(file, "text");
	ck_ok(fx_getattr(over, &st));
	ck_assert_uint_eq(st.stx_nlink, 0);
	ck_ok(fx_getattr(dir, &st));
	ck_ok(fx_getattr(twice, &st));
	ck_assert_uint_eq(st.stx_nlink, 0);
	ck_err(fx_unlink(ROOT, "file"), ENOENT);
	fx_forget(file, 1);
	ck_err(fx_getattr(file, NULL), ESTALE);
}
END_TEST

/* A keeper that dies with a question, and one that has just started and knows no mount. */
START_TEST(keeper_is_replaced)
{
	struct statx st;

	make_tree(1, 100);
	look_all_up(1, 100);
	for (int k = 0; k < 100; k++) {
		if (k % 10 == 0)
			atomic_store(&fx_keeper_lost, 1 + k % 3);
		ck_ok(fx_getattr(file_node[0][k], &st));
		ck_assert_uint_eq(st.stx_ino, file_ino[0][k]);
	}
}
END_TEST

static int duplicate(void *arg, const uint32_t *held, int *fds, uint32_t n)
{
	uint32_t *asked = arg;

	for (uint32_t i = 0; i < n; i++)
		fds[i] = fcntl((int)(held[i] & IPC_HELD_NUMBER_MAX), F_DUPFD_CLOEXEC, 100);
	*asked += n;
	return 0;
}

/* Another process goes on with the table of this one, which may have been taken over. */
START_TEST(successor)
{
	static struct inode_table t;
	struct inode_slot *slots = fx_w.inodes.slots;
	struct statx st;
	uint32_t asked = 0, warm = 0, lost = 0;
	struct inode_slot *a, *b, *c;

	make_tree(1, 100);
	look_all_up(1, 100);
	inode_end_cooler(&fx_w.inodes);
	for (int k = 0; k < 100; k++)
		warm += !is_cold(file_node[0][k]);
	warm += !is_cold(dir_node[0]);
	ck_assert_uint_le(warm, MOST);
	for (int k = 0; k < 3; k++)
		ck_assert(is_cold(file_node[0][k]));
	a = &slots[slots_index(file_node[0][0])];
	b = &slots[slots_index(file_node[0][1])];
	c = &slots[slots_index(file_node[0][2])];
	memcpy(a->handle, b->handle, sizeof(a->handle)); /* a good one, but of another object */
	b->handle[20] ^= 1;
	c->handle_len = 65;
	ck_ok(resolve_statx_fd(fx_w.root_fd, 0, &st));
	ck_ok(inode_table_init(&t, slots, 8192, 256, 2));
	ck_ok(inode_set_root(&t, fx_w.root_fd, &st));
	ck_ok(inode_use_keeper(&t, fx_w.keeper, CACHE, 1024));
	ck_ok(inode_restore(&t, duplicate, &asked, &lost));
	ck_assert_uint_eq(lost, 1);
	ck_assert_uint_eq(asked, warm);
	for (int k = 0; k < 100; k++) {
		AUTO_INODE u = { 0 };
		int r = inode_get(&t, file_node[0][k], &u);

		if (k < 3) {
			ck_assert_int_eq(r, -ESTALE);
			continue;
		}
		ck_ok(r);
		ck_ok(resolve_statx_fd(u.fd, 0, &st));
		ck_assert_uint_eq(st.stx_ino, file_ino[0][k]);
	}
	inode_table_fini(&t);
}
END_TEST

/* Mounts of the test's own ----------------------------------------------------------------------------------------- */

static char scratch[32];

static void own_mounts(void)
{
	ck_assert(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	strcpy(scratch, "/tmp/cold-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(scratch));
	ck_ok(mount("cold", scratch, "tmpfs", 0, "size=200m"));
}

static void end_mounts(void)
{
	fx_stop();
	umount2(scratch, MNT_DETACH);
	rmdir(scratch);
}

/* A file system without handles: a descriptor each, up to a limit. */
START_TEST(no_handles)
{
	struct fx_config c = { .fd_cache = CACHE, .slots = 8192, .fd_limit = 600, .max_open = 10, .dir = scratch };
	uint64_t node[1000];
	char opts[200], sub[64];
	struct statx st;
	int n, err = 0;

	own_mounts();
	for (int i = 0; i < 4; i++) {
		snprintf(sub, sizeof(sub), "%s/%c", scratch, "luwm"[i]);
		ck_ok(mkdir(sub, 0755));
	}
	snprintf(opts, sizeof(opts), "lowerdir=%s/l,upperdir=%s/u,workdir=%s/w", scratch, scratch, scratch);
	snprintf(sub, sizeof(sub), "%s/m", scratch);
	c.dir = sub;
	if (mount("overlay", sub, "overlay", 0, opts) < 0) {
		printf("no overlayfs here: not tested\n");
		c.dir = scratch;
		start_with(&c);
		end_mounts();
		return;
	}
	start_with(&c);
	for (n = 0; n < 1000; n++) {
		struct ipc_entry e;

		fx_write_file(name_of("f", n), "x", 0644);
		err = fx_lookup(ROOT, name_of("f", n), &e);
		if (err)
			break;
		node[n] = e.nodeid;
	}
	ck_assert_int_eq(err, ENFILE);
	ck_assert_uint_eq(fds_used(), fx_w.inodes.fd_limit);
	for (int i = 0; i < n; i++)
		ck_ok(fx_getattr(node[i], &st));
	ck_assert_uint_le(atomic_load(&fx_keeper_heard), 5);
	/* Room again. */
	fx_forget(node[0], 1);
	ck_ok(fx_lookup(ROOT, name_of("f", n), NULL));
	umount2(sub, MNT_DETACH);
	end_mounts();
}
END_TEST

/* More than one mount in the share. */
START_TEST(submounts)
{
	struct fx_config c = { .fd_cache = CACHE, .slots = 8192, .dir = scratch };
	uint64_t dir[4], node[4][50];
	char path[96];
	struct statx st;

	own_mounts();
	for (int i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/m%d", scratch, i);
		ck_ok(mkdir(path, 0755));
		ck_ok(mount("cold", path, "tmpfs", 0, NULL));
	}
	start_with(&c);
	for (int i = 0; i < 4; i++) {
		dir[i] = fx_node(ROOT, name_of("m", i));
		for (int k = 0; k < 50; k++) {
			snprintf(path, sizeof(path), "m%d/f%d", i, k);
			fx_write_file(path, path, 0644);
			node[i][k] = fx_node(dir[i], name_of("f", k));
		}
	}
	ck_assert_uint_le(fds_used(), MOST);
	for (int k = 0; k < 50; k++)
		for (int i = 0; i < 4; i++) {
			if (k == 30)
				atomic_store(&fx_keeper_lost, 1); /* the next keeper is shown them all again */
			ck_ok(fx_getattr(node[i][k], &st));
			snprintf(path, sizeof(path), "m%d/f%d", i, k);
			fx_check_read(node[i][k], path);
			ck_ok(ask_link(node[i][k], dir[i], name_of("l", k)));
		}
	for (int i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/m%d", scratch, i);
		umount2(path, MNT_DETACH);
	}
	end_mounts();
}
END_TEST

/* ext4, and nothing of it in the cache of names: what a handle gives then is an inode that has no name yet. */
START_TEST(without_names)
{
	struct fx_config c = { .fd_cache = CACHE, .slots = 8192 };
	struct ipc_setattr_req chmod_it = { .valid = IPC_SET_MODE, .mode = 0600 };
	struct ipc_readlink_req rl = { 0 };
	char cmd[512], sub[64];
	uint64_t dir[10], file[10], link[10];
	struct ipc_entry e;
	struct statx st;

	own_mounts();
	snprintf(sub, sizeof(sub), "%s/m", scratch);
	snprintf(cmd, sizeof(cmd), "cd %s && mkdir m && truncate -s 32M img && mkfs.ext4 -q img >/dev/null 2>&1 && mount -o loop img m 2>/dev/null",
		 scratch);
	c.dir = sub;
	if (system(cmd) != 0) {
		printf("no ext4 on a loop device here: not tested\n");
		start_with(&c);
		end_mounts();
		return;
	}
	start_with(&c);
	for (int i = 0; i < 10; i++) {
		snprintf(cmd, sizeof(cmd), "mkdir -p %s/d%d/deep/deeper && echo text > %s/d%d/deep/deeper/file && ln -s there %s/d%d/deep/deeper/link", sub, i,
			 sub, i, sub, i);
		ck_assert_int_eq(system(cmd), 0);
		dir[i] = fx_node(fx_node(fx_node(ROOT, name_of("d", i)), "deep"), "deeper");
		file[i] = fx_node(dir[i], "file");
		link[i] = fx_node(dir[i], "link");
	}
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < 10; i++) {
			make_cold(dir[i]);
			make_cold(file[i]);
			make_cold(link[i]);
			/* Drops all names that are not in use. */
			ck_ok(mount(NULL, sub, NULL, MS_REMOUNT, NULL));
			chmod_it.nodeid = file[i];
			ck_ok(ASK(SETATTR, &chmod_it));
			if (round == 0)
				fx_check_read(file[i], "text\n");
			ck_ok(ask_link(file[i], dir[(i + 1) % 10], name_of("l", round)));
			rl.nodeid = link[i];
			ck_ok(ASK(READLINK, &rl));
			ck_assert(fx_reply.tail_len == 5 && !memcmp(fx_reply.tail, "there", 5));
			ck_ok(fx_lookup(dir[i], "..", &e));
			ck_ok(fx_lookup(e.nodeid, "deeper", &e));
			ck_assert_uint_eq(e.nodeid, dir[i]);
			make_cold(file[i]);
			ck_ok(mount(NULL, sub, NULL, MS_REMOUNT, NULL));
			ck_ok(fx_rename(dir[i], name_of("l", round), dir[(i + 1) % 10], name_of("moved", round), 0) == ENOENT ? 0 :
			      fx_rename(dir[(i + 1) % 10], name_of("moved", round), dir[i], name_of("l", round), 0));
			ck_ok(fx_getattr(file[i], &st));
		}
	/* The host moves a directory about; a removed one is stale. */
	make_cold(dir[0]);
	ck_ok(mount(NULL, sub, NULL, MS_REMOUNT, NULL));
	snprintf(cmd, sizeof(cmd), "mv %s/d0/deep/deeper %s/d1/elsewhere && rm -r %s/d2", sub, sub, sub);
	make_cold(dir[2]);
	make_cold(file[2]);
	ck_assert_int_eq(system(cmd), 0);
	ck_ok(fx_mkdir(dir[0], "made", 0755, NULL, &e));
	ck_err(fx_getattr(dir[2], NULL), ESTALE);
	umount2(sub, MNT_DETACH);
	end_mounts();
}
END_TEST

/* A keeper that was taken over. */
static void *talk_nonsense(void *arg)
{
	static const char garbage[64] = "not a message";
	static struct ipc_batch b;
	static struct ipc_dgram d;
	struct ipc_sealed_one *one;
	int fd = *(int *)arg;
	const char *why;
	struct ipc_msg m;
	uint64_t tag;
	char *tail;

	ck_assert_int_eq(ipc_recv(fd, &d, 0), 1);
	do
		ck_assert_int_eq(ipc_next(&d, IPC_DIR_W2K, &m, &why), 1);
	while (m.hdr->type != IPC_SEAL);
	tag = m.hdr->tag;
	ipc_dgram_end(&d);
	/* No message; an answer to another kind of question; one of another size; a handle of no length; and then what was asked. */
	ck_assert_int_eq(send(fd, garbage, sizeof(garbage), 0), sizeof(garbage));
	ck_assert_ptr_nonnull(ipc_batch_add(&b, IPC_UNSEALED, tag, 0, 4, &tail));
	memset(tail, 0, 4);
	ck_assert_int_eq(ipc_batch_send(fd, &b), 0);
	ck_assert_ptr_nonnull(ipc_batch_add(&b, IPC_SEALED, tag, 0, 0, &tail));
	ck_assert_int_eq(ipc_batch_send(fd, &b), 0);
	for (uint32_t len = 0; len <= 20; len += 20) {
		ck_assert_ptr_nonnull(ipc_batch_add(&b, IPC_SEALED, tag, 0, sizeof(*one), &tail));
		one = (struct ipc_sealed_one *)(void *)tail;
		*one = (struct ipc_sealed_one){ .len = len, .handle = "handle" };
		ck_assert_int_eq(ipc_batch_send(fd, &b), 0);
	}
	return NULL;
}

/* It must neither end the fsworker nor be believed. */
START_TEST(keeper_talks_nonsense)
{
	struct mount_row rows[IPC_MOUNTS_MAX] = { { 0 } };
	struct seal_item item = { .mode = S_IFREG, .mnt_id = 1 };
	struct keeper_link *k;
	pthread_t t;
	int sv[2];

	ck_assert_int_eq(ipc_pair(sv), 0);
	item.fd = memfd_create("item", MFD_CLOEXEC);
	k = keeper_link_new(sv[0], -1, rows, 1);
	ck_assert_ptr_nonnull(k);
	ck_ok(pthread_create(&t, NULL, talk_nonsense, &sv[1]));
	ck_assert_int_eq(ask_seal(k, &item, 1), 0);
	pthread_join(t, NULL);
	ck_assert_int_eq(item.error, 0);
	ck_assert_uint_eq(item.len, 20);
	ck_assert_str_eq((char *)item.handle, "handle");
	keeper_link_free(k);
	close(item.fd);
	close(sv[1]);
}
END_TEST

int main(void)
{
	TCase *mounts = tcase_create("mounts"), *big = tcase_create("listing"), *tc = tcase_create("cold");
	Suite *s = suite_create("fsworker_cold");
	SRunner *sr;
	int failed;

	if (geteuid() != 0)
		return 77;
	tcase_add_checked_fixture(tc, start, fx_stop);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, all_work);
	tcase_add_test(tc, lookup_stays_cold);
	tcase_add_test(tc, threads);
	tcase_add_test(tc, removed_on_the_host);
	tcase_add_test(tc, number_used_again);
	tcase_add_test(tc, removed_by_the_guest);
	tcase_add_test(tc, keeper_is_replaced);
	tcase_add_test(tc, keeper_talks_nonsense);
	tcase_add_test(tc, successor);
	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(big, start_400, fx_stop);
	tcase_set_timeout(big, 60);
	tcase_add_test(big, listing);
	suite_add_tcase(s, big);
	tcase_set_timeout(mounts, 120);
	tcase_add_test(mounts, no_handles);
	tcase_add_test(mounts, submounts);
	tcase_add_test(mounts, without_names);
	suite_add_tcase(s, mounts);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
