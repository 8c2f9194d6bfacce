/*
 * test-fuse: FALLOCATE, LSEEK, COPY_FILE_RANGE and COPY_FILE_RANGE_64.
 */
#define _GNU_SOURCE 1
#include "test-fuse.h"

#define BLOCK 65536

static uint8_t wbuf[BLOCK], rbuf[BLOCK];

START_TEST(fallocate_modes)
{
	uint64_t node, fh = tu_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, 0644, &node);
	struct stat st;

	ck_ok(fs_fallocate(FS, node, fh, 0, 0, 3 * BLOCK));
	st = tf_lstat("file");
	ck_assert_int_eq(st.st_size, 3 * BLOCK);
	ck_assert_int_ge(st.st_blocks, 3 * BLOCK / 512);
	ck_ok(fs_fallocate(FS, node, fh, FALLOC_FL_KEEP_SIZE, 0, 8 * BLOCK));
	ck_assert_int_eq(tf_lstat("file").st_size, 3 * BLOCK);
	tu_fill(wbuf, BLOCK, 1);
	for (uint64_t i = 0; i < 3; i++)
		ck_assert_int_eq(fs_write(FS, node, fh, wbuf, BLOCK, i * BLOCK, O_RDWR, 0), BLOCK);
	ck_ok(fs_fallocate(FS, node, fh, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, BLOCK, BLOCK));
	ck_assert_int_eq(fs_read(FS, node, fh, rbuf, BLOCK, BLOCK, O_RDWR), BLOCK);
	for (size_t i = 0; i < BLOCK; i++)
		ck_assert_uint_eq(rbuf[i], 0);
	ck_assert_int_eq(fs_read(FS, node, fh, rbuf, BLOCK, 2 * BLOCK, O_RDWR), BLOCK);
	ck_assert_int_eq(memcmp(rbuf, wbuf, BLOCK), 0);
	ck_err(fs_fallocate(FS, node, fh, 0, 0, 0), EINVAL);
	ck_err2(fs_fallocate(FS, node, fh, FALLOC_FL_PUNCH_HOLE, 0, 4096), EOPNOTSUPP, EINVAL);
	ck_err2(fs_fallocate(FS, node, fh, 0, 1ull << 63, 4096), EINVAL, EFBIG);
	ck_err2(fs_fallocate(FS, node, fh, 0x40000000, 0, 4096), EOPNOTSUPP, EINVAL);
	ck_err(fs_fallocate(FS, node, tu_open_file(FS, node, O_RDONLY), 0, 0, 4096), EBADF);
}
END_TEST

START_TEST(lseek_hole_and_data)
{
	uint64_t node, fh = tu_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, 0644, &node);
	int host;

	ck_assert_int_eq(fs_write(FS, node, fh, wbuf, BLOCK, 5ull << 30, O_RDWR, 0), BLOCK);
	ck_ok(fs_fsync(FS, node, fh, 0));
	host = open(tu_path(&env, "file"), O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(fs_lseek(FS, node, fh, 0, SEEK_DATA), lseek(host, 0, SEEK_DATA));
	ck_assert_int_eq(fs_lseek(FS, node, fh, 0, SEEK_HOLE), lseek(host, 0, SEEK_HOLE));
	ck_assert_int_eq(fs_lseek(FS, node, fh, 5ull << 30, SEEK_HOLE),
			 lseek(host, 5ll << 30, SEEK_HOLE));
	ck_err(fs_lseek(FS, node, fh, 6ull << 30, SEEK_DATA), ENXIO);
	ck_err(fs_lseek(FS, node, fh, 0, 77), EINVAL);
	close(host);
}
END_TEST

START_TEST(copy_range)
{
	uint64_t src, dst, fin = tu_create(FS, TU_ROOT, "src", O_RDWR | O_CREAT, 0644, &src);
	uint64_t fout = tu_create(FS, TU_ROOT, "dst", O_RDWR | O_CREAT, 0644, &dst);
	struct fuse_copy_file_range_in in = {
		.fh_in = fin,
		.off_in = 100,
		.nodeid_out = dst,
		.fh_out = fout,
		.off_out = 7,
		.len = BLOCK,
	};

	tu_fill(wbuf, BLOCK, 4);
	ck_assert_int_eq(fs_write(FS, src, fin, wbuf, BLOCK, 100, O_RDWR, 0), BLOCK);
	ck_assert_int_eq(fs_copy(FS, FUSE_COPY_FILE_RANGE, &in, src), BLOCK);
	ck_assert_int_eq(fs_read(FS, dst, fout, rbuf, BLOCK, 7, O_RDWR), BLOCK);
	ck_assert_int_eq(memcmp(rbuf, wbuf, BLOCK), 0);
	/* At the end of the source there is nothing, which is no error. */
	in.off_in = 1 << 20;
	ck_assert_int_eq(fs_copy(FS, FUSE_COPY_FILE_RANGE, &in, src), 0);
	in.off_in = 0;
	in.fh_out = fout + 1000;
	ck_err(fs_copy(FS, FUSE_COPY_FILE_RANGE, &in, src), EBADF);
	in.fh_out = tu_open_file(FS, dst, O_RDONLY);
	ck_err(fs_copy(FS, FUSE_COPY_FILE_RANGE, &in, src), EBADF);
	in.fh_out = fout;
	in.flags = 1;
	ck_err(fs_copy(FS, FUSE_COPY_FILE_RANGE, &in, src), EINVAL);
	in.flags = 0;
	/* Overlap within one file. */
	in.fh_out = fin;
	in.nodeid_out = src;
	in.off_in = 100;
	in.off_out = 200;
	in.len = 4096;
	ck_err(fs_copy(FS, FUSE_COPY_FILE_RANGE, &in, src), EINVAL);
}
END_TEST

START_TEST(copy_range_64)
{
	uint64_t src, dst, fin = tu_create(FS, TU_ROOT, "src", O_RDWR | O_CREAT, 0644, &src);
	uint64_t fout = tu_create(FS, TU_ROOT, "dst", O_RDWR | O_CREAT, 0644, &dst);
	struct fuse_copy_file_range_in in = {
		.fh_in = fin,
		.nodeid_out = dst,
		.fh_out = fout,
		.off_in = 5ull << 30,
		.off_out = 6ull << 30,
		/* More than 32 bits can tell: the source ends long before. */
		.len = 1ull << 40,
	};

	if (FS->minor < 45)
		return;
	tu_fill(wbuf, BLOCK, 5);
	ck_assert_int_eq(fs_write(FS, src, fin, wbuf, BLOCK, 5ull << 30, O_RDWR, 0), BLOCK);
	ck_assert_int_eq(fs_copy(FS, FN_COPY_FILE_RANGE_64, &in, src), BLOCK);
	ck_assert_int_eq(fs_read(FS, dst, fout, rbuf, BLOCK, 6ull << 30, O_RDWR), BLOCK);
	ck_assert_int_eq(memcmp(rbuf, wbuf, BLOCK), 0);
	/* The old operation answers in 32 bits and must say less than it was asked. */
	ck_assert_int_eq(fs_copy(FS, FUSE_COPY_FILE_RANGE, &in, src), BLOCK);
}
END_TEST

/**
 * range_case() - Operations on ranges of files
 *
 * Return: the test case
 */
TCase *range_case(void)
{
	TCase *tc = tf_case("range");

	tcase_add_test(tc, fallocate_modes);
	tcase_add_test(tc, lseek_hole_and_data);
	tcase_add_test(tc, copy_range);
	tcase_add_test(tc, copy_range_64);
	return tc;
}
