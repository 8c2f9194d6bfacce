/* test_fsworker_files.c - the fsworker's answers about open files, directories and locks; its pool and its limits. */
#include "fsw_fixture.h"

#include <dirent.h>
#include <linux/falloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define ALL (CFG_XATTR | CFG_FLOCK | CFG_POSIX_LOCK)

static const struct ipc_cred user = { .uid = 1000, .gid = 1001, .umask = 022 };

static void start(void)
{
	fx_start(&(struct fx_config){ .flags = ALL, .pool = 2 });
}

static void start_forwarded(void)
{
	fx_start(&(struct fx_config){ .flags = ALL | CFG_FORWARDED, .pool = 2 });
}

static void start_small(void)
{
	fx_start(&(struct fx_config){ .flags = ALL, .max_open = 3, .fd_limit = 200, .slots = 64 });
}

START_TEST(create)
{
	static const struct ipc_cred super = { .umask = 022 };
	struct ipc_entry e, again;
	uint64_t fh, fh2;
	char buf[8] = "";

	ck_ok(fx_create(ROOT, "file", O_RDWR | O_CREAT | O_EXCL, 0666, &user, &e, &fh));
	ck_assert_int_ge(fx_fd, 0);
	ck_assert_int_eq(write(fx_fd, "hello", 5), 5);
	ck_assert_uint_eq(fx_lstat("file").st_mode, S_IFREG | 0644);
	ck_assert_uint_eq(fx_lstat("file").st_uid, 1000);
	ck_err(fx_create(ROOT, "file", O_RDWR | O_CREAT | O_EXCL, 0666, &user, &again, &fh2), EEXIST);
	/* Without O_EXCL it is an open of what is there: for the superuser, whom no permission keeps from it. */
	ck_err(fx_create(ROOT, "file", O_RDONLY | O_CREAT, 0600, &user, &again, &fh2), ESTALE);
	ck_ok(fx_create(ROOT, "file", O_RDONLY | O_CREAT, 0600, &super, &again, &fh2));
	ck_assert_uint_eq(again.nodeid, e.nodeid);
	ck_assert_uint_ne(fh, fh2);
	ck_assert_int_eq(pread(fx_fd, buf, 8, 0), 5);
	ck_assert_int_lt(write(fx_fd, "x", 1), 0);
	ck_ok(fx_create(ROOT, "file", O_RDWR | O_CREAT | O_TRUNC, 0600, &super, &again, &fh2));
	ck_assert_int_eq(fx_lstat("file").st_size, 0);
	/* What is there is no file to open. */
	ck_ok(fx_mkdir(ROOT, "dir", 0755, NULL, NULL));
	ck_err(fx_create(ROOT, "dir", O_RDWR | O_CREAT, 0600, &super, &again, &fh2), EISDIR);
	ck_ok(mkfifo(fx_path("fifo"), 0600));
	ck_err(fx_create(ROOT, "fifo", O_RDWR | O_CREAT, 0600, &super, &again, &fh2), ESTALE);
	ck_ok(symlink("/etc/passwd", fx_path("link")));
	ck_err(fx_create(ROOT, "link", O_RDWR | O_CREAT, 0600, &super, &again, &fh2), ESTALE);
	ck_err(fx_create(ROOT, "link", O_RDWR | O_CREAT | O_EXCL, 0600, &user, &again, &fh2), EEXIST);
	ck_err(fx_create(ROOT, "a/b", O_RDWR | O_CREAT, 0600, &user, &again, &fh2), EINVAL);
	ck_err(fx_create(e.nodeid, "a", O_RDWR | O_CREAT, 0600, &user, &again, &fh2), ENOTDIR);
	ck_err(fx_create(999, "a", O_RDWR | O_CREAT, 0600, &user, &again, &fh2), ESTALE);
	ck_err(fx_create(ROOT, "a", O_ACCMODE | O_CREAT, 0600, &user, &again, &fh2), EINVAL);
	/* Nobody may read it, but its maker has it open. */
	ck_ok(fx_create(ROOT, "secret", O_RDWR | O_CREAT, 0, &user, &again, &fh2));
	ck_assert_int_eq(write(fx_fd, "s", 1), 1);
}
END_TEST

START_TEST(tmpfile_linked)
{
	struct ipc_tmpfile_req q = { .parent = ROOT, .cred = user, .flags = O_RDWR | O_EXCL, .mode = 0640 };
	struct ipc_link_req l = { .parent = ROOT };
	const struct ipc_tmpfile_rep *rep;
	int err = ASK(TMPFILE, &q);

	if (err == EOPNOTSUPP)
		return;
	ck_ok(err);
	rep = fx_reply.body;
	ck_assert_uint_eq(rep->entry.st.stx_nlink, 0);
	ck_assert_uint_eq(rep->entry.st.stx_uid, 1000);
	l.nodeid = rep->entry.nodeid;
	ck_assert_int_ge(fx_fd, 0);
	ck_assert_int_eq(write(fx_fd, "tmp", 3), 3);
	ck_ok(ASK_TAIL(LINK, &l, "named"));
	ck_assert_int_eq(fx_lstat("named").st_size, 3);
	q.parent = l.nodeid;
	ck_err(ASK(TMPFILE, &q), ENOTDIR);
}
END_TEST

START_TEST(open_release)
{
	struct ipc_open_req q = { .flags = O_WRONLY | O_TRUNC, .kill_suidgid = 1 };
	uint64_t node, fh;

	fx_write_file("file", "hello", 06755);
	node = fx_node(ROOT, "file");
	ck_ok(fx_open(node, O_RDONLY, &fh));
	ck_assert_uint_eq(((const struct ipc_open_rep *)fx_reply.body)->mode, S_IFREG | 06755);
	ck_assert_int_ge(fx_fd, 0);
	ck_err(fx_release(node + 1, fh), EBADF);
	ck_err(fx_release(node, fh + (1ull << 32)), EBADF);
	ck_ok(fx_release(node, fh));
	ck_err(fx_release(node, fh), EBADF);
	ck_err(fx_open(ROOT, O_RDONLY, &fh), EISDIR);
	ck_err(fx_open(4000, O_RDONLY, &fh), ESTALE);
	q.nodeid = node;
	ck_ok(ASK(OPEN, &q));
	ck_assert_uint_eq(fx_lstat("file").st_mode & 07777, 0755);
	/* Flags that would do something else do not get through. */
	ck_ok(fx_open(node, O_RDONLY | O_CREAT | O_EXCL | O_DIRECTORY | O_PATH | O_TMPFILE | O_ASYNC, &fh));
	ck_assert_int_eq(fcntl(fx_fd, F_GETFL) & (O_PATH | O_ASYNC | O_ACCMODE), O_RDONLY);
}
END_TEST

/* An fh that can be guessed is released in the datagram that opens it: the descriptor that arrives is the right one. */
START_TEST(release_before_grant)
{
	struct ipc_open_req o = { .flags = O_RDONLY };
	struct ipc_lookup_req l = { .parent = ROOT };
	struct ipc_release_req rel;
	static struct ipc_batch b;
	struct stat st;
	uint64_t fh;
	char *tail;

	fx_write_file("file", "x", 0644);
	fx_write_file("other", "x", 0644);
	rel.nodeid = o.nodeid = fx_node(ROOT, "file");
	ck_ok(fx_open(o.nodeid, O_RDONLY, &fh));
	ck_ok(fx_release(o.nodeid, fh));
	rel = (struct ipc_release_req){ .nodeid = o.nodeid, .fh = fh + (1ull << 32) };
	memcpy(ipc_batch_add(&b, IPC_OPEN, 1, 0, 0, NULL), &o, sizeof(o));
	memcpy(ipc_batch_add(&b, IPC_RELEASE, 2, 0, 0, NULL), &rel, sizeof(rel));
	memcpy(ipc_batch_add(&b, IPC_LOOKUP, 3, 0, 5, &tail), &l, sizeof(l));
	memcpy(tail, "other", 5);
	ck_ok(ipc_batch_send(fx_peer[0], &b));
	ck_ok(fx_receive(0, NULL, 5000));
	ck_assert_int_ge(fx_fd, 0);
	ck_ok(fstat(fx_fd, &st));
	ck_assert_uint_eq(st.st_ino, fx_lstat("file").st_ino);
	ck_assert_int_eq(fcntl(fx_fd, F_GETFL) & O_PATH, 0);
	ck_ok(fx_receive(0, NULL, 5000));
	ck_ok(fx_receive(0, NULL, 5000));
}
END_TEST

START_TEST(forwarded_io)
{
	struct ipc_write_req w = { .size = 5 };
	struct ipc_read_req r = { .size = IPC_BULK_SLOT };
	struct ipc_entry e;
	uint64_t node;

	ck_ok(fx_create(ROOT, "file", O_RDWR | O_CREAT, 0666, &user, &e, &w.fh));
	ck_assert_int_eq(fx_fd, -1);
	r.fh = w.fh;
	node = e.nodeid;
	memcpy(fx_bulk, "hello", 5);
	ck_ok(ASK(WRITE, &w));
	ck_assert_uint_eq(((const struct ipc_write_rep *)fx_reply.body)->size, 5);
	r.bulk_off = IPC_BULK_SLOT;
	ck_ok(ASK(READ, &r));
	ck_assert_uint_eq(((const struct ipc_read_rep *)fx_reply.body)->size, 5);
	ck_ok(memcmp(fx_bulk + IPC_BULK_SLOT, "hello", 5));
	r.offset = 5;
	ck_ok(ASK(READ, &r));
	ck_assert_uint_eq(((const struct ipc_read_rep *)fx_reply.body)->size, 0);
	/* Large ones go by the pool. */
	memset(fx_bulk, 'z', IPC_BULK_SLOT);
	w.size = IPC_BULK_SLOT;
	w.offset = 1 << 20;
	ck_ok(ASK(WRITE, &w));
	ck_ok(posix_fadvise(fx_dirfd, 0, 0, POSIX_FADV_DONTNEED));
	r.offset = 1 << 20;
	ck_ok(ASK(READ, &r));
	ck_assert_uint_eq(((const struct ipc_read_rep *)fx_reply.body)->size, IPC_BULK_SLOT);
	/* Outside the window, or with lying lengths. */
	w.bulk_off = IPC_BULK_LINK - IPC_BULK_SLOT + 1;
	ck_err(ASK(WRITE, &w), EINVAL);
	w.bulk_off = UINT64_MAX;
	ck_err(ASK(WRITE, &w), EINVAL);
	w.bulk_off = 0;
	w.size = IPC_BULK_SLOT + 1;
	ck_err(ASK(WRITE, &w), EINVAL);
	r.size = UINT32_MAX;
	ck_err(ASK(READ, &r), EINVAL);
	r.size = 1;
	r.offset = UINT64_MAX;
	ck_err(ASK(READ, &r), EINVAL);
	/* Who writes decides about setuid. */
	ck_ok(chmod(fx_path("file"), 04755));
	w = (struct ipc_write_req){ .fh = w.fh, .size = 1 };
	ck_ok(ASK(WRITE, &w));
	ck_assert_uint_eq(fx_lstat("file").st_mode & 07777, 04755);
	w.flags = IPC_WRITE_KILL_SUIDGID;
	ck_ok(ASK(WRITE, &w));
	ck_assert_uint_eq(fx_lstat("file").st_mode & 07777, 0755);
	w.flags = IPC_WRITE_AS_CALLER;
	w.cred = user;
	ck_ok(ASK(WRITE, &w));
	w.cred.uid = UINT32_MAX;
	ck_err(ASK(WRITE, &w), EINVAL);
	ck_ok(fx_release(node, w.fh));
	ck_err(ASK(WRITE, &w), EBADF);
	ck_err(ASK(READ, &r), EBADF);
}
END_TEST

START_TEST(file_calls)
{
	struct ipc_fallocate_req fa = { .length = 8192 };
	struct ipc_lseek_req ls = { .whence = SEEK_DATA };
	struct ipc_copy_req cp = { .len = 5 };
	struct ipc_flush_req fl = { 0 };
	struct ipc_fsync_req fs = { .datasync = 1 };
	struct ipc_entry e, e2;
	uint64_t fh, fh2;

	ck_ok(fx_create(ROOT, "a", O_RDWR | O_CREAT, 0666, &user, &e, &fh));
	ck_assert_int_eq(write(fx_fd, "hello", 5), 5);
	ck_ok(fx_create(ROOT, "b", O_RDWR | O_CREAT, 0666, &user, &e2, &fh2));
	fs.fh = ls.fh = cp.fh_in = fa.fh = fl.fh = fh;
	cp.fh_out = fh2;
	fl.nodeid = e.nodeid;
	ck_ok(ASK(FSYNC, &fs));
	ck_ok(ASK(LSEEK, &ls));
	ck_assert_uint_eq(((const struct ipc_lseek_rep *)fx_reply.body)->offset, 0);
	ls.offset = 100;
	ck_err(ASK(LSEEK, &ls), ENXIO);
	ls.whence = 77;
	ck_err(ASK(LSEEK, &ls), EINVAL);
	ck_ok(ASK(COPY, &cp));
	ck_assert_uint_eq(((const struct ipc_copy_rep *)fx_reply.body)->size, 5);
	ck_assert_int_eq(fx_lstat("b").st_size, 5);
	cp.off_in = UINT64_MAX;
	ck_err(ASK(COPY, &cp), EINVAL);
	cp.off_in = 0;
	cp.fh_in = 0;
	ck_err(ASK(COPY, &cp), EBADF);
	ck_ok(ASK(FALLOCATE, &fa));
	ck_assert_int_eq(fx_lstat("a").st_size, 8192);
	fa.length = 0;
	ck_err(ASK(FALLOCATE, &fa), EINVAL);
	fa.length = UINT64_MAX;
	ck_err(ASK(FALLOCATE, &fa), EINVAL);
	fa.length = 1;
	fa.mode = 0x8000;
	ck_err(ASK(FALLOCATE, &fa), EOPNOTSUPP);
	ck_ok(ASK(FLUSH, &fl));
	fl.nodeid = ROOT;
	ck_err(ASK(FLUSH, &fl), EBADF);
	fs.fh = 1ull << 40;
	ck_err(ASK(FSYNC, &fs), EBADF);
}
END_TEST

/* Read a directory to its end; returns how many entries, and checks that each name comes once. */
static unsigned int read_all(uint64_t fh, uint32_t max_bytes, bool plus, unsigned int n, unsigned int *found)
{
	struct ipc_readdir_req q = { .nodeid = ROOT, .fh = fh, .max_bytes = max_bytes, .entry_cost = plus ? 152 : 24,
				     .plus = plus };
	unsigned int total = 0;
	static uint8_t seen[4096];

	memset(seen, 0, sizeof(seen));
	*found = 0;
	for (;;) {
		uint64_t count, cost = 0;
		const char *p;

		ck_ok(ASK(READDIR, &q));
		count = ((const struct ipc_readdir_rep *)fx_reply.body)->count;
		p = fx_reply.tail;
		if (count == 0)
			break;
		for (uint64_t i = 0; i < count; i++) {
			const struct ipc_dirent *de = (const void *)p;
			const struct ipc_entry *e = plus ? (const void *)(de + 1) : NULL;
			const char *name = (const char *)(de + 1) + (plus ? sizeof(*e) : 0);
			unsigned int k = n;

			ck_assert_uint_le(de->name_len, 255);
			cost += ALIGN_UP(q.entry_cost + de->name_len, 8u);
			if (sscanf(name, "f%u", &k) == 1 && k < n) {
				ck_assert_uint_eq(seen[k], 0);
				seen[k] = 1;
				(*found)++;
				if (plus) {
					ck_assert_uint_eq(e->st.stx_ino, de->ino);
					ck_assert_uint_ne(e->nodeid, 0);
				}
			} else if (plus) {
				ck_assert_uint_eq(e->nodeid, 0);
			}
			p = name + ALIGN_UP(de->name_len, 8u);
			q.offset = de->off;
			total++;
		}
		ck_assert_uint_le(cost, max_bytes);
		ck_assert_ptr_eq(p, fx_reply.tail + fx_reply.tail_len);
	}
	return total;
}

START_TEST(directories)
{
	struct ipc_opendir_req od = { .nodeid = ROOT };
	struct ipc_readdir_req q = { .nodeid = ROOT, .max_bytes = 4096, .entry_cost = 24 };
	struct ipc_releasedir_req rd = { .nodeid = ROOT };
	struct ipc_fsyncdir_req fd = { .nodeid = ROOT };
	unsigned int found;
	uint64_t node, fh, first;
	char name[32];

	for (unsigned int i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "f%u%.*s", i, (int)(i % 9), "_________");
		ck_ok(mknodat(fx_dirfd, name, S_IFREG | 0644, 0));
	}
	ck_ok(ASK(OPENDIR, &od));
	fh = ((const struct ipc_opendir_rep *)fx_reply.body)->fh;
	ck_assert_uint_eq(read_all(fh, 4096, false, 2000, &found), 2002);
	ck_assert_uint_eq(found, 2000);
	ck_assert_uint_eq(read_all(fh, 1 << 20, false, 2000, &found), 2002);
	ck_assert_uint_eq(read_all(fh, 300, false, 2000, &found), 2002);
	ck_assert_uint_eq(found, 2000);
	/* Without a buffer of its own. */
	fx_w.handles.dir_bufs_max = 0;
	ck_assert_uint_eq(read_all(fh, 1000, false, 2000, &found), 2002);
	ck_assert_uint_eq(found, 2000);
	fx_w.handles.dir_bufs_max = 100;
	/* Back to an offset in the middle. */
	q.fh = rd.fh = fd.fh = fh;
	ck_ok(ASK(READDIR, &q));
	first = ((const struct ipc_readdir_rep *)fx_reply.body)->count;
	q.offset = ((const struct ipc_dirent *)(const void *)fx_reply.tail)->off;
	ck_ok(ASK(READDIR, &q));
	ck_assert_uint_ge(((const struct ipc_readdir_rep *)fx_reply.body)->count + 2, first);
	q.offset = UINT64_MAX;
	ck_err(ASK(READDIR, &q), EINVAL);
	q.offset = 0;
	q.max_bytes = 8;
	ck_err(ASK(READDIR, &q), EINVAL);
	q.max_bytes = UINT32_MAX;
	q.entry_cost = UINT32_MAX;
	ck_err(ASK(READDIR, &q), EINVAL);
	q.entry_cost = 0;
	ck_ok(ASK(READDIR, &q));
	q.nodeid = 5;
	ck_err(ASK(READDIR, &q), EBADF);
	ck_ok(ASK(FSYNCDIR, &fd));
	fx_write_file("file", "x", 0644);
	node = fx_node(ROOT, "file");
	od.nodeid = node;
	ck_err(ASK(OPENDIR, &od), ENOTDIR);
	ck_err(fx_release(ROOT, fh), EBADF);
	ck_ok(ASK(RELEASEDIR, &rd));
	ck_err(ASK(RELEASEDIR, &rd), EBADF);
	ck_err(ASK(FSYNCDIR, &fd), EBADF);
}
END_TEST

START_TEST(readdirplus)
{
	struct ipc_opendir_req od = { .nodeid = ROOT };
	unsigned int found;
	uint64_t fh, node;
	char name[16];

	for (unsigned int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		ck_ok(mknodat(fx_dirfd, name, S_IFREG | 0644, 0));
	}
	node = fx_node(ROOT, "f7");
	ck_ok(ASK(OPENDIR, &od));
	fh = ((const struct ipc_opendir_rep *)fx_reply.body)->fh;
	ck_assert_uint_eq(read_all(fh, 4096, true, 300, &found), 302);
	ck_assert_uint_eq(found, 300);
	ck_assert_uint_eq(read_all(fh, 1 << 20, true, 300, &found), 302);
	/* Once by name, twice by reading: three in all. */
	fx_forget(node, 2);
	ck_ok(fx_getattr(node, NULL));
	fx_forget(node, 1);
	ck_err(fx_getattr(node, NULL), ESTALE);
}
END_TEST

static int setlk(uint32_t link, uint64_t tag, struct ipc_setlk_req q)
{
	fx_send(link, IPC_SETLK, tag, &q, sizeof(q), NULL, 0);
	return fx_receive(link, NULL, 300);
}

START_TEST(record_locks)
{
	struct ipc_setlk_req a = { .owner = 0xa, .start = 0, .end = 9, .type = F_WRLCK, .pid = 111 };
	struct ipc_setlk_req b = { .owner = 0xb, .start = 5, .end = INT64_MAX, .type = F_RDLCK, .pid = 222 };
	struct ipc_getlk_req g = { .owner = 0xb, .start = 0, .end = 100, .type = F_WRLCK };
	const struct ipc_getlk_rep *rep;
	struct flock host = { .l_type = F_WRLCK, .l_start = 0, .l_len = 10 };
	struct ipc_flush_req fl;
	int fd;

	fx_write_file("file", "x", 0644);
	a.nodeid = b.nodeid = g.nodeid = fl.nodeid = fx_node(ROOT, "file");
	ck_ok(fx_open(a.nodeid, O_RDWR, &a.fh));
	b.fh = g.fh = fl.fh = a.fh;
	ck_ok(setlk(0, 1, a));
	ck_err(setlk(0, 2, b), EAGAIN);
	ck_ok(ASK(GETLK, &g));
	rep = fx_reply.body;
	ck_assert(rep->type == F_WRLCK && rep->start == 0 && rep->end == 9 && rep->pid == 111);
	/* The same owner is not in its own way. */
	g.owner = 0xa;
	ck_ok(ASK(GETLK, &g));
	ck_assert_uint_eq(((const struct ipc_getlk_rep *)fx_reply.body)->type, F_UNLCK);
	/* It is a lock that the host sees, and the host's are seen, without its pids. */
	fd = open(fx_path("file"), O_RDWR);
	ck_assert_int_lt(fcntl(fd, F_SETLK, &host), 0);
	host.l_start = 1000;
	ck_ok(fcntl(fd, F_SETLK, &host));
	g.start = 1000;
	g.end = INT64_MAX;
	ck_ok(ASK(GETLK, &g));
	rep = fx_reply.body;
	ck_assert(rep->type == F_WRLCK && rep->start == 1000 && rep->end == 1009 && rep->pid == 0);
	close(fd);
	/* Closing ends them. */
	fl.lock_owner = 0xa;
	ck_ok(ASK(FLUSH, &fl));
	ck_ok(setlk(0, 3, b));
	b.type = F_UNLCK;
	b.start = 0;
	ck_ok(setlk(0, 4, b));
	a.type = 17;
	ck_err(setlk(0, 5, a), EINVAL);
	a.type = F_WRLCK;
	a.start = 10;
	ck_err(setlk(0, 5, a), EINVAL);
	a.end = UINT64_MAX;
	ck_err(setlk(0, 5, a), EINVAL);
	a.end = 10;
	a.fh++;
	ck_err(setlk(0, 5, a), EBADF);
	/* What the open file cannot do its locks cannot either. */
	ck_ok(fx_open(a.nodeid, O_RDONLY, &a.fh));
	ck_err(setlk(0, 5, a), EBADF);
	a.type = F_RDLCK;
	ck_ok(setlk(0, 5, a));
	ck_ok(fx_open(a.nodeid, O_WRONLY, &a.fh));
	ck_err(setlk(0, 5, a), EBADF);
	fx_w.flags &= ~CFG_POSIX_LOCK;
	ck_err(setlk(0, 6, b), ENOSYS);
	ck_err(ASK(GETLK, &g), ENOSYS);
}
END_TEST

/* A wait holds up nobody, and ends when the lock is free, when it is called off, when the handle goes. */
START_TEST(waiting)
{
	struct ipc_setlk_req a = { .owner = 0xa, .start = 0, .end = 9, .type = F_WRLCK };
	struct ipc_setlk_req b = { .owner = 0xb, .start = 0, .end = 9, .type = F_WRLCK, .wait = 1 };
	struct ipc_cancel_req c = { .tag = 21 };
	uint64_t tag;

	fx_write_file("file", "x", 0644);
	a.nodeid = b.nodeid = fx_node(ROOT, "file");
	ck_ok(fx_open(a.nodeid, O_RDWR, &a.fh));
	ck_ok(fx_open(a.nodeid, O_RDWR, &b.fh));
	for (int is_flock = 0; is_flock < 2; is_flock++) {
		a.flock = b.flock = (uint32_t)is_flock;
		a.type = F_WRLCK;
		ck_ok(setlk(0, 1, a));
		ck_err(setlk(0, 20, b), -1);
		ck_ok(fx_getattr(a.nodeid, NULL));
		a.type = F_UNLCK;
		fx_send(0, IPC_SETLK, 2, &a, sizeof(a), NULL, 0);
		for (int i = 0; i < 2; i++) {
			ck_ok(fx_receive(0, &tag, 5000));
			ck_assert(tag == 2 || tag == 20);
		}
		/* Now b has it. */
		a.type = F_WRLCK;
		ck_err(setlk(0, 3, a), EAGAIN);
		b.type = F_UNLCK;
		ck_ok(setlk(0, 4, b));
		b.type = F_WRLCK;
		ck_ok(setlk(0, 5, a));
		/* Called off: only by its own link. */
		ck_err(setlk(0, 21, b), -1);
		fx_send(1, IPC_CANCEL, 0, &c, sizeof(c), NULL, 0);
		ck_err(fx_receive(0, &tag, 200), -1);
		fx_send(0, IPC_CANCEL, 0, &c, sizeof(c), NULL, 0);
		ck_err(fx_receive(0, &tag, 5000), EINTR);
		ck_assert_uint_eq(tag, 21);
		/* Called off at once, many times: no signal is lost. */
		for (uint64_t i = 0; i < 200; i++) {
			c.tag = 100 + i;
			fx_send(0, IPC_SETLK, c.tag, &b, sizeof(b), NULL, 0);
			fx_send(0, IPC_CANCEL, 0, &c, sizeof(c), NULL, 0);
			ck_err(fx_receive(0, &tag, 5000), EINTR);
			ck_assert_uint_eq(tag, c.tag);
		}
		c.tag = 21;
		a.type = F_UNLCK;
		ck_ok(setlk(0, 6, a));
	}
	a.flock = b.flock = 0;
	a.type = F_WRLCK;
	ck_ok(setlk(0, 7, a));
	ck_err(setlk(0, 22, b), -1);
	fx_send(0, IPC_RELEASE, 23, &(struct ipc_release_req){ .nodeid = b.nodeid, .fh = b.fh },
		sizeof(struct ipc_release_req), NULL, 0);
	for (int i = 0; i < 2; i++) {
		int err = fx_receive(0, &tag, 5000);

		ck_assert((tag == 22 && err == EINTR) || (tag == 23 && err == 0));
	}
	/* What still waits when everything ends ends too. */
	ck_ok(fx_open(a.nodeid, O_RDWR, &b.fh));
	ck_err(setlk(0, 24, b), -1);
	ck_err(setlk(1, 25, b), -1);
}
END_TEST

START_TEST(waiting_and_init)
{
	struct ipc_setlk_req a = { .owner = 0xa, .end = 9, .type = F_WRLCK };
	struct ipc_init_req in = { 0 };
	struct flock host = { .l_type = F_WRLCK };
	uint64_t tag;
	int fd;

	fx_write_file("file", "x", 0644);
	a.nodeid = fx_node(ROOT, "file");
	ck_ok(fx_open(a.nodeid, O_RDWR, &a.fh));
	ck_ok(setlk(0, 1, a));
	a.owner++;
	a.wait = 1;
	for (uint64_t i = 0; i < 50; i++)
		fx_send(0, IPC_SETLK, 10 + i, &a, sizeof(a), NULL, 0);
	fx_send(1, IPC_INIT, 5, &in, sizeof(in), NULL, 0);
	ck_ok(fx_receive(1, NULL, 5000));
	for (int i = 0; i < 50; i++) {
		int err = fx_receive(0, &tag, 5000);

		ck_assert_msg(err == EINTR || err == EBADF || err == 0, "%d", err);
	}
	/* Nothing is locked any more. */
	fd = open(fx_path("file"), O_RDWR);
	for (int i = 0; fcntl(fd, F_SETLK, &host) < 0; i++) {
		ck_assert_int_lt(i, 100);
		usleep(10000);
	}
	close(fd);
}
END_TEST

/* An OPEN waits for a lease of the host; the session ends meanwhile, and what it opened is nothing in the next. */
START_TEST(opening_and_init)
{
	struct ipc_open_req q = { .flags = O_RDONLY };
	struct ipc_getattr_req g = { .nodeid = ROOT };
	struct ipc_init_req in = { 0 };
	uint64_t tag;
	int fd;

	fx_write_file("file", "x", 0644);
	q.nodeid = fx_node(ROOT, "file");
	signal(SIGIO, SIG_IGN);
	fd = open(fx_path("file"), O_RDWR);
	ck_ok(fcntl(fd, F_SETLEASE, F_WRLCK));
	fx_send(0, IPC_OPEN, 7, &q, sizeof(q), NULL, 0);
	fx_send(0, IPC_GETATTR, 8, &g, sizeof(g), NULL, 0);
	ck_ok(fx_receive(0, &tag, 5000));
	ck_assert_uint_eq(tag, 8);
	usleep(100000); /* for the pool to begin: else the OPEN fails for its nodeid, as it does then */
	fx_send(1, IPC_INIT, 9, &in, sizeof(in), NULL, 0);
	ck_ok(fx_receive(1, NULL, 5000));
	ck_ok(fcntl(fd, F_SETLEASE, F_UNLCK));
	ck_err(fx_receive(0, &tag, 5000), ESTALE);
	ck_assert_uint_eq(tag, 7);
	/* It has closed what it had opened. */
	for (int i = 0; fcntl(fd, F_SETLEASE, F_WRLCK) < 0; i++) {
		ck_assert_int_lt(i, 100);
		usleep(10000);
	}
	close(fd);
}
END_TEST

/*
 * A link ends while the pool is at a request of it: what the job will answer on stays open, so that the answer does not go to
 * whatever has got the number meanwhile.
 */
START_TEST(pool_job_outlives_its_link)
{
	struct ipc_open_req q = { .flags = O_RDONLY };
	struct link *l = &fx_w.links[0];
	int host, fds[2];
	uint32_t before;
	char c;

	fx_write_file("file", "x", 0644);
	q.nodeid = fx_node(ROOT, "file");
	signal(SIGIO, SIG_IGN);
	host = open(fx_path("file"), O_RDWR);
	ck_ok(fcntl(host, F_SETLEASE, F_WRLCK));
	fx_send(0, IPC_OPEN, 7, &q, sizeof(q), NULL, 0);
	/* Links are served in order: when this is answered, the pool has the other. */
	ck_ok(fx_getattr(ROOT, NULL));
	before = atomic_load(&l->refs);
	/* The transport's end closes; the link's thread sees it, and leaves. */
	close_fd(&fx_peer[0]);
	for (int i = 0; atomic_load(&l->refs) == before; i++) {
		ck_assert_int_lt(i, 20000);
		usleep(1000);
	}
	/* These get the lowest numbers there are. */
	ck_ok(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds));
	ck_ok(fcntl(host, F_SETLEASE, F_UNLCK));
	/* The job is done: its reference to the link is the last, and goes. */
	for (int i = 0; atomic_load(&l->refs); i++) {
		ck_assert_int_lt(i, 20000);
		usleep(1000);
	}
	for (int i = 0; i < 2; i++)
		ck_assert_int_lt(recv(fds[i], &c, 1, MSG_DONTWAIT), 0);
	close(fds[0]);
	close(fds[1]);
	close(host);
	/* The other link is as it was. */
	fx_send(1, IPC_GETATTR, 8, &(struct ipc_getattr_req){ .nodeid = ROOT }, sizeof(struct ipc_getattr_req), NULL, 0);
	ck_ok(fx_receive(1, NULL, 20000));
}
END_TEST

START_TEST(limits)
{
	struct ipc_entry e;
	uint64_t fh[4], node, extra;
	int err = 0, i;
	char name[16];

	fx_write_file("file", "x", 0644);
	node = fx_node(ROOT, "file");
	for (i = 0; i < 3; i++)
		ck_ok(fx_open(node, O_RDONLY, &fh[i]));
	ck_err(fx_open(node, O_RDONLY, &extra), ENFILE);
	ck_err(fx_create(ROOT, "new", O_RDWR | O_CREAT, 0600, &user, &e, &extra), ENFILE);
	ck_assert_int_lt(access(fx_path("new"), F_OK), 0);
	ck_ok(fx_release(node, fh[0]));
	ck_ok(fx_open(node, O_RDONLY, &fh[0]));
	/* So many inodes that no more can be known: open files go on. */
	for (i = 0; i < 100 && !err; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		fx_write_file(name, "x", 0644);
		err = fx_lookup(ROOT, name, &e);
	}
	ck_assert(err == ENFILE || err == ENOMEM);
	ck_assert_int_gt(i, 20);
	ck_ok(fx_getattr(node, NULL));
	ck_ok(fx_lookup(ROOT, "n0", &e));
	ck_ok(fx_release(node, fh[1]));
	ck_ok(fx_open(node, O_RDONLY, &fh[1]));
	fx_forget(e.nodeid, 2);
	ck_ok(fx_lookup(ROOT, name, &e));
}
END_TEST

/* Many threads of work at once: all is answered, and INITs in between harm nothing. */
START_TEST(storm)
{
	struct ipc_lookup_req l = { .parent = ROOT };
	struct ipc_init_req in = { 0 };
	struct ipc_fsync_req fs = { 0 };
	struct ipc_getattr_req ga = { 0 };
	unsigned int sent[FX_LINKS] = { 0 }, got[FX_LINKS] = { 0 };
	uint64_t nodes[16];
	char name[16];

	for (int i = 0; i < 16; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		fx_write_file(name, "x", 0644);
		nodes[i] = fx_node(ROOT, name);
	}
	ck_ok(fx_open(nodes[0], O_RDONLY, &fs.fh));
	for (unsigned int round = 0; round < 300; round++) {
		for (uint32_t k = 0; k < FX_LINKS; k++) {
			for (int i = 0; i < 16; i++) {
				struct ipc_forget_one one = { nodes[i], 1 };
				struct ipc_forget_req fo = { .count = 1 };

				snprintf(name, sizeof(name), "s%d", i);
				fx_send(k, IPC_LOOKUP, 1, &l, sizeof(l), name, strlen(name));
				ga.nodeid = nodes[i];
				fx_send(k, IPC_GETATTR, 2, &ga, sizeof(ga), NULL, 0);
				fx_send(k, IPC_FORGET, 3, &fo, sizeof(fo), &one, sizeof(one));
				sent[k] += 2;
			}
			fx_send(k, IPC_FSYNC, 4, &fs, sizeof(fs), NULL, 0);
			sent[k]++;
			if (round % 50 == 49) {
				fx_send(k, IPC_INIT, 5, &in, sizeof(in), NULL, 0);
				sent[k]++;
			}
		}
		for (uint32_t k = 0; k < FX_LINKS; k++) {
			while (got[k] < sent[k]) {
				int err = fx_receive(k, NULL, 10000);

				ck_assert_int_ge(err, 0);
				ck_assert_msg(err == 0 || err == ESTALE || err == EBADF, "%d", err);
				got[k]++;
			}
		}
	}
}
END_TEST

/* What the table does not allow ends its link, and nothing else. */
static void broken_protocol(const void *bytes, size_t len)
{
	struct ipc_statfs_req q = { .nodeid = ROOT };
	char c;

	ck_assert_int_eq(send(fx_peer[0], bytes, len, 0), (ssize_t)len);
	ck_assert_int_eq(recv(fx_peer[0], &c, 1, 0), 0);
	fx_send(1, IPC_STATFS, 1, &q, sizeof(q), NULL, 0);
	ck_ok(fx_receive(1, NULL, 10000));
}

START_TEST(protocol_short)
{
	broken_protocol("short", 5);
}
END_TEST

START_TEST(protocol_type)
{
	struct ipc_hdr h = { .size = sizeof(h), .type = 0x7fff, .dgram = sizeof(h) };

	broken_protocol(&h, sizeof(h));
}
END_TEST

START_TEST(protocol_reply)
{
	struct {
		struct ipc_hdr h;
		struct ipc_getattr_rep rep;
	} m = { .h = { .size = sizeof(m), .type = IPC_GETATTR | IPC_REPLY, .dgram = sizeof(m) } };

	broken_protocol(&m, sizeof(m));
}
END_TEST

static void add(Suite *s, const char *name, void (*setup)(void), const TTest *const *tests)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, fx_stop);
	tcase_set_timeout(tc, 120);
	for (; *tests; tests++)
		tcase_add_test(tc, *tests);
	suite_add_tcase(s, tc);
}

int main(void)
{
	const TTest *plain[] = { create, tmpfile_linked, open_release, release_before_grant, file_calls, directories,
				 readdirplus, record_locks, waiting, waiting_and_init, opening_and_init,
				 pool_job_outlives_its_link, storm, NULL };
	const TTest *forwarded[] = { forwarded_io, NULL };
	const TTest *small[] = { limits, NULL };
	const TTest *protocol[] = { protocol_short, protocol_type, protocol_reply, NULL };
	Suite *s = suite_create("fsworker_files");
	SRunner *sr;
	int failed;

	if (geteuid() != 0)
		return 77; /* acts for others: only the superuser can */
	add(s, "granted", start, plain);
	add(s, "forwarded", start_forwarded, forwarded);
	add(s, "limits", start_small, small);
	add(s, "protocol", start, protocol);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
