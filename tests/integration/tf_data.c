/*
 * test-fuse: OPEN, READ, WRITE, FSYNC, FLUSH, RELEASE.
 */
#define _GNU_SOURCE 1
#include <signal.h>

#include "test-fuse.h"

#define MIB (1u << 20)

static uint8_t wbuf[MIB + 64] __attribute__((aligned(4096)));
static uint8_t rbuf[MIB + 64] __attribute__((aligned(4096)));

static void check_host(const char *name, const void *want, size_t len, off_t at)
{
	int fd = open(tu_path(&env, name), O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	memset(rbuf, 0x5a, sizeof(rbuf));
	ck_assert_int_eq(pread(fd, rbuf, len, at), (ssize_t)len);
	ck_assert_int_eq(memcmp(rbuf, want, len), 0);
	close(fd);
}

START_TEST(sizes_and_offsets)
{
	static const uint32_t sizes[] = { 1, 2, 7, 511, 512, 4095, 4096, 4097, 8191, 65536, 100001,
					  131072, 262144, MIB - 1, MIB };
	uint64_t node, fh = tu_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, 0644, &node);
	uint64_t at = 3;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint32_t n = sizes[i];

		tu_fill(wbuf, n, i);
		ck_assert_int_eq(fs_write(FS, node, fh, wbuf, n, at, O_RDWR, 0), n);
		check_host("file", wbuf, n, (off_t)at);
		memset(rbuf, 0, n);
		ck_assert_int_eq(fs_read(FS, node, fh, rbuf, n, at, O_RDWR), n);
		ck_assert_int_eq(memcmp(rbuf, wbuf, n), 0);
		at += n + 1;
	}
}
END_TEST

/* However a request is cut into descriptors, it is the same request. */
START_TEST(any_cut)
{
	static const struct {
		uint32_t chunk, size;
	} cuts[] = { { UINT32_MAX, MIB }, { 1, 700 }, { 3, 2000 }, { 7, 4096 }, { 17, 16384 },
		     { 41, 40000 }, { 1000, 1000000 }, { 4095, MIB }, { 65536, MIB }, { 0, MIB } };
	uint64_t node, fh = tu_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, 0644, &node);
	struct fuse_entry_out e;

	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		uint32_t n = cuts[i].size;

		FS->chunk = cuts[i].chunk;
		tu_fill(wbuf, n, i + 100);
		ck_assert_int_eq(fs_write(FS, node, fh, wbuf, n, 77, O_RDWR, 0), n);
		check_host("file", wbuf, n, 77);
		memset(rbuf, 0, n);
		ck_assert_int_eq(fs_read(FS, node, fh, rbuf, n, 77, O_RDWR), n);
		ck_assert_int_eq(memcmp(rbuf, wbuf, n), 0);
		ck_ok(fs_lookup(FS, TU_ROOT, "file", &e));
		ck_assert_uint_eq(e.nodeid, node);
	}
}
END_TEST

START_TEST(end_of_file)
{
	uint64_t node, fh;
	char buf[64];

	tu_write_file(tu_path(&env, "file"), "0123456789", 10, 0644);
	node = tu_lookup(FS, TU_ROOT, "file");
	fh = tu_open_file(FS, node, O_RDONLY);
	ck_assert_int_eq(fs_read(FS, node, fh, buf, 64, 0, 0), 10);
	ck_assert_int_eq(fs_read(FS, node, fh, buf, 64, 7, 0), 3);
	ck_assert_int_eq(memcmp(buf, "789", 3), 0);
	ck_assert_int_eq(fs_read(FS, node, fh, buf, 64, 10, 0), 0);
	ck_assert_int_eq(fs_read(FS, node, fh, buf, 64, 1ull << 40, 0), 0);
	ck_assert_int_eq(fs_read(FS, node, fh, buf, 0, 0, 0), 0);
	ck_err(fs_read(FS, node, fh, buf, 64, 1ull << 63, 0), EINVAL);
}
END_TEST

START_TEST(beyond_4_gib)
{
	static const uint64_t offsets[] = { (1ull << 31) - 2, (1ull << 32) - 2, (1ull << 32) + 5,
					    (9ull << 32) + 1234567, (1ull << 43) };
	uint64_t node, fh = tu_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, 0644, &node);

	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		tu_fill(wbuf, 8192, i);
		ck_assert_int_eq(fs_write(FS, node, fh, wbuf, 8192, offsets[i], O_RDWR, 0), 8192);
		check_host("file", wbuf, 8192, (off_t)offsets[i]);
		ck_assert_int_eq(fs_read(FS, node, fh, rbuf, 8192, offsets[i], O_RDWR), 8192);
		ck_assert_int_eq(memcmp(rbuf, wbuf, 8192), 0);
	}
	/* What lies between is a hole. */
	ck_assert_int_eq(fs_read(FS, node, fh, rbuf, 4096, 3ull << 32, O_RDWR), 4096);
	memset(wbuf, 0, 4096);
	ck_assert_int_eq(memcmp(rbuf, wbuf, 4096), 0);
	ck_err2(fs_write(FS, node, fh, wbuf, 10, (1ull << 63) - 5, O_RDWR, 0), EFBIG, EINVAL);
	ck_err2(fs_write(FS, node, fh, wbuf, 10, 1ull << 63, O_RDWR, 0), EINVAL, EFBIG);
}
END_TEST

START_TEST(access_modes)
{
	struct fuse_open_out o;
	uint64_t node, r, w;
	char c;

	tu_write_file(tu_path(&env, "file"), "x", 1, 0644);
	node = tu_lookup(FS, TU_ROOT, "file");
	r = tu_open_file(FS, node, O_RDONLY);
	w = tu_open_file(FS, node, O_WRONLY);
	ck_err(fs_write(FS, node, r, "y", 1, 0, O_RDONLY, 0), EBADF);
	ck_err(fs_read(FS, node, w, &c, 1, 0, O_WRONLY), EBADF);
	ck_assert_int_eq(fs_write(FS, node, w, "y", 1, 0, O_WRONLY, 0), 1);
	ck_assert_int_eq(fs_read(FS, node, r, &c, 1, 0, O_RDONLY), 1);
	ck_assert_int_eq(c, 'y');
	ck_err(fs_open(FS, TU_ROOT, O_RDWR, &o), EISDIR);
	ck_err(fs_read(FS, TU_ROOT, r + 99, &c, 1, 0, 0), EBADF);
	/* A file the host made read-only: the guest has checked that already. */
	ck_assert_int_eq(chmod(tu_path(&env, "file"), 0), 0);
	tu_open_file(FS, node, O_RDWR);
}
END_TEST

START_TEST(append)
{
	uint64_t node, fh;
	char buf[32] = "";
	int host;

	tu_write_file(tu_path(&env, "file"), "one", 3, 0644);
	node = tu_lookup(FS, TU_ROOT, "file");
	fh = tu_open_file(FS, node, O_WRONLY | O_APPEND);
	host = open(tu_path(&env, "file"), O_WRONLY | O_APPEND | O_CLOEXEC);
	ck_assert_int_eq(write(host, "two", 3), 3);
	close(host);
	/* The guest believes the file ends at 3. */
	ck_assert_int_eq(fs_write(FS, node, fh, "three", 5, 3, O_WRONLY | O_APPEND, 0), 5);
	tu_read_file(tu_path(&env, "file"), buf, sizeof(buf) - 1);
	ck_assert_str_eq(buf, "onetwothree");
}
END_TEST

/* Somebody on the host has a lease on the file: only who opens it waits, not the queue. */
START_TEST(lease_of_the_host)
{
	struct fuse_open_in in = { .flags = O_RDONLY };
	struct fuse_setattr_in set = { .valid = FATTR_SIZE, .size = 1 };
	struct fuse_attr_out a;
	struct freq *q;
	uint64_t node;
	int host;

	tu_write_file(tu_path(&env, "file"), "0123", 4, 0644);
	node = tu_lookup(FS, TU_ROOT, "file");
	signal(SIGIO, SIG_IGN);
	for (int i = 0; i < 2; i++) {
		host = open(tu_path(&env, "file"), O_RDWR | O_CLOEXEC);
		for (int try = 0; try < 100 && fcntl(host, F_SETLEASE, F_WRLCK) < 0; try++)
			usleep(10000);
		ck_assert_int_eq(fcntl(host, F_GETLEASE), F_WRLCK);
		q = fs_new(FS, i == 0 ? FUSE_SETATTR : FUSE_OPEN, node, sizeof(set), sizeof(a));
		ck_assert_ptr_nonnull(q);
		fs_put(q, i == 0 ? (void *)&set : &in, i == 0 ? sizeof(set) : sizeof(in));
		ck_ok(fs_submit(q));
		for (int n = 0; n < 100; n++)
			ck_ok(fs_getattr(FS, node, NULL, &a));
		ck_assert(!q->vq.done);
		ck_assert_int_eq(fcntl(host, F_SETLEASE, F_UNLCK), 0);
		ck_ok(fs_wait(q));
		fs_free(q);
		close(host);
	}
	ck_assert_int_eq(tf_lstat("file").st_size, 1);
}
END_TEST

/* fcntl(F_SETFL) in the guest: nobody tells the daemon but the writes themselves. */
START_TEST(append_switched)
{
	uint64_t node, fh;
	char buf[32] = "";

	tu_write_file(tu_path(&env, "file"), "0123", 4, 0644);
	node = tu_lookup(FS, TU_ROOT, "file");
	fh = tu_open_file(FS, node, O_RDWR | O_APPEND);
	ck_assert_int_eq(fs_write(FS, node, fh, "ab", 2, 1, O_RDWR, 0), 2);
	ck_assert_int_eq(fs_write(FS, node, fh, "cd", 2, 0, O_RDWR | O_APPEND, 0), 2);
	fh = tu_open_file(FS, node, O_RDWR);
	ck_assert_int_eq(fs_write(FS, node, fh, "ef", 2, 0, O_RDWR | O_APPEND, 0), 2);
	tu_read_file(tu_path(&env, "file"), buf, sizeof(buf) - 1);
	ck_assert_str_eq(buf, "0ab3cdef");
}
END_TEST

START_TEST(truncate_at_open)
{
	struct fuse_open_out o;
	uint64_t node;

	tu_write_file(tu_path(&env, "file"), "0123456789", 10, 0644);
	node = tu_lookup(FS, TU_ROOT, "file");
	tu_open_file(FS, node, O_RDWR);
	ck_assert_int_eq(tf_lstat("file").st_size, 10);
	ck_assert(FS->flags & FUSE_ATOMIC_O_TRUNC);
	ck_ok(fs_open(FS, node, O_RDWR | O_TRUNC, &o));
	ck_assert_int_eq(tf_lstat("file").st_size, 0);
}
END_TEST

START_TEST(direct_io)
{
	uint64_t node, fh = tu_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT | O_DIRECT, 0644, &node);
	struct fuse_open_out o;

	tu_fill(wbuf, 65536, 9);
	ck_assert_int_eq(fs_write(FS, node, fh, wbuf, 65536, 4096, O_RDWR | O_DIRECT, 0), 65536);
	check_host("file", wbuf, 65536, 4096);
	ck_ok(fs_open(FS, node, O_RDONLY | O_DIRECT, &o));
	ck_assert_int_eq(fs_read(FS, node, o.fh, rbuf, 65536, 4096, O_DIRECT), 65536);
	ck_assert_int_eq(memcmp(rbuf, wbuf, 65536), 0);
	/* A read across the end, as the guest's direct I/O makes it. */
	ck_assert_int_eq(fs_read(FS, node, o.fh, rbuf, 131072, 4096, O_DIRECT), 65536);
}
END_TEST

START_TEST(open_unlinked)
{
	struct fuse_attr_out a;
	uint64_t node, fh = tu_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, 0644, &node);

	ck_assert_int_eq(fs_write(FS, node, fh, "before", 6, 0, O_RDWR, 0), 6);
	ck_ok(fs_unlink(FS, TU_ROOT, "file"));
	ck_assert_int_eq(fs_read(FS, node, fh, rbuf, 6, 0, O_RDWR), 6);
	ck_assert_int_eq(memcmp(rbuf, "before", 6), 0);
	ck_assert_int_eq(fs_write(FS, node, fh, "after", 5, 6, O_RDWR, 0), 5);
	ck_ok(fs_getattr(FS, node, &fh, &a));
	ck_assert_uint_eq(a.attr.size, 11);
	/* Linux opens it again through the inode it still has. */
	ck_ok(fs_getattr(FS, node, NULL, &a));
	ck_assert_uint_eq(a.attr.nlink, 0);
	ck_ok(fs_release(FS, node, fh, O_RDWR, 0, 0));
	ck_ok(fs_forget(FS, node, 1));
	tf_stale(node);
}
END_TEST

START_TEST(flush_fsync_release)
{
	uint64_t node, fh = tu_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, 0644, &node);

	ck_assert_int_eq(fs_write(FS, node, fh, "x", 1, 0, O_RDWR, 0), 1);
	ck_ok(fs_fsync(FS, node, fh, 0));
	ck_ok(fs_fsync(FS, node, fh, FUSE_FSYNC_FDATASYNC));
	ck_ok(fs_flush(FS, node, fh, 42));
	ck_ok(fs_flush(FS, node, fh, 42));
	ck_ok(fs_release(FS, node, fh, O_RDWR, FUSE_RELEASE_FLUSH, 42));
}
END_TEST

/* The host sees that the file is closed though nothing else is asked; the guest, that its handle is gone at once. */
START_TEST(release_closes)
{
	uint64_t node, fh = tu_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, 0644, &node), other, other_fh;
	int host = open(tu_path(&env, "file"), O_RDONLY | O_CLOEXEC);

	other_fh = tu_create(FS, TU_ROOT, "other", O_RDWR | O_CREAT, 0644, &other);
	/* A read lease is refused while anybody has the file open for writing. */
	ck_assert_int_lt(fcntl(host, F_SETLEASE, F_RDLCK), 0);
	ck_ok(fs_release(FS, node, fh, O_RDWR, 0, 0));
	while (fcntl(host, F_SETLEASE, F_RDLCK) < 0) {
		ck_assert_int_eq(errno, EAGAIN);
		usleep(1000); /* the test's own time limit ends this */
	}
	ck_assert_int_eq(fcntl(host, F_SETLEASE, F_UNLCK), 0);
	close(host);
	ck_assert_int_eq(fs_read(FS, node, fh, rbuf, 1, 0, O_RDWR), -EBADF);
	ck_err(fs_release(FS, node, fh, O_RDWR, 0, 0), EBADF);
	ck_ok(fs_release(FS, other, other_fh, O_RDWR, 0, 0));
	ck_assert_int_eq(fs_read(FS, other, other_fh, rbuf, 1, 0, O_RDWR), -EBADF);
	ck_err(fs_release(FS, other, other_fh, O_RDWR, 0, 0), EBADF);
	/* All that was closed can be opened again: nothing is left over of what nobody answers. */
	for (int i = 0; i < 2000; i++) {
		fh = tu_open_file(FS, node, O_RDWR);
		ck_ok(fs_release(FS, node, fh, O_RDWR, 0, 0));
	}
}
END_TEST

/* Host and guest read each other's data at once: the server caches nothing. */
START_TEST(host_and_guest_agree)
{
	uint64_t node, fh = tu_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, 0644, &node);
	int host = open(tu_path(&env, "file"), O_RDWR | O_CLOEXEC);
	char c;

	for (int i = 0; i < 100; i++) {
		c = (char)i;
		ck_assert_int_eq(pwrite(host, &c, 1, i), 1);
		ck_assert_int_eq(fs_read(FS, node, fh, &c, 1, (uint64_t)i, O_RDWR), 1);
		ck_assert_int_eq(c, i);
		c = (char)(i + 1);
		ck_assert_int_eq(fs_write(FS, node, fh, &c, 1, (uint64_t)i, O_RDWR, 0), 1);
		ck_assert_int_eq(pread(host, &c, 1, i), 1);
		ck_assert_int_eq(c, i + 1);
	}
	close(host);
}
END_TEST

/* Many handles at once; each keeps its own file. */
START_TEST(many_handles)
{
	enum { N = 600 };
	static uint64_t node[N], fh[N];
	char name[16];
	uint32_t v;

	for (uint32_t i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		fh[i] = tu_create(FS, TU_ROOT, name, O_RDWR | O_CREAT, 0644, &node[i]);
		ck_assert_int_eq(fs_write(FS, node[i], fh[i], &i, 4, 0, O_RDWR, 0), 4);
	}
	for (uint32_t i = 0; i < N; i++) {
		ck_assert_int_eq(fs_read(FS, node[i], fh[i], &v, 4, 0, O_RDWR), 4);
		ck_assert_uint_eq(v, i);
	}
	for (uint32_t i = 0; i < N; i++)
		ck_ok(fs_release(FS, node[i], fh[i], O_RDWR, 0, 0));
}
END_TEST

/**
 * data_case() - Contents of files
 *
 * Return: the test case
 */
TCase *data_case(void)
{
	TCase *tc = tf_case("data");

	tcase_add_test(tc, sizes_and_offsets);
	tcase_add_test(tc, any_cut);
	tcase_add_test(tc, end_of_file);
	tcase_add_test(tc, beyond_4_gib);
	tcase_add_test(tc, access_modes);
	tcase_add_test(tc, append);
	tcase_add_test(tc, append_switched);
	tcase_add_test(tc, lease_of_the_host);
	tcase_add_test(tc, truncate_at_open);
	tcase_add_test(tc, direct_io);
	tcase_add_test(tc, open_unlinked);
	tcase_add_test(tc, flush_fsync_release);
	tcase_add_test(tc, release_closes);
	tcase_add_test(tc, host_and_guest_agree);
	tcase_add_test(tc, many_handles);
	return tc;
}
