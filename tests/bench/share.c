/*
 * The directory that is shared, and how to tell that its contents are right.
 *
 * Every page of the data file says, in each of its words, where it belongs:
 * what is read can be checked without a copy of it.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "bench.h"

#define WALK_DIR 1000u	/* files in a folder */

static bool xattrs;

/**
 * share_has_xattrs() - Are there extended attributes of users?
 *
 * Return: what share_make() found
 */
bool share_has_xattrs(void)
{
	return xattrs;
}

/**
 * share_file_name() - Name of a file
 * @name:	Filled in; all have the same length
 * @i:		Which
 */
void share_file_name(char name[16], unsigned int i)
{
	snprintf(name, 16, "f%06u", i % 1000000);
}

static uint64_t word_at(uint64_t offset)
{
	return (offset / BENCH_PAGE + 1) * 0x9e3779b97f4a7c15ull;
}

/**
 * share_fill() - What a page of the data file has
 * @page:	Filled in
 * @offset:	Of the page
 */
void share_fill(uint8_t *page, uint64_t offset)
{
	uint64_t w = word_at(offset);

	for (unsigned int i = 0; i < BENCH_PAGE; i += sizeof(w), w += 0x10001)
		memcpy(page + i, &w, sizeof(w));
}

/* share_word() - Word @i of a page at @offset: 8 bytes to @p */
void share_word(uint8_t *p, uint64_t offset, unsigned int i)
{
	uint64_t w = word_at(offset) + (uint64_t)i * 0x10001;

	memcpy(p, &w, sizeof(w));
}

/**
 * share_page_is() - Is a page the one it should be?
 * @page:	Page
 * @offset:	Where it should be from
 *
 * Return: whether all of its words are right
 */
bool share_page_is(const uint8_t *page, uint64_t offset)
{
	uint64_t w = word_at(offset), bad = 0, have;

	for (unsigned int i = 0; i < BENCH_PAGE; i += sizeof(w), w += 0x10001) {
		memcpy(&have, page + i, sizeof(have));
		bad |= have ^ w;
	}
	return !bad;
}

static int make_file(int dir, const char *name, uint64_t size)
{
	int fd = openat(dir, name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
	uint8_t page[BENCH_PAGE];

	if (fd < 0)
		return -errno;
	for (uint64_t at = 0; at < size; at += sizeof(page)) {
		share_fill(page, at);
		if (write(fd, page, sizeof(page)) != sizeof(page)) {
			close(fd);
			return -ENOSPC;
		}
	}
	close(fd);
	return 0;
}

/**
 * share_make() - Fill a directory
 * @dir:	Empty directory
 *
 * Return: 0 or a negative errno
 */
int share_make(const char *dir)
{
	int fd = open(dir, O_DIRECTORY | O_CLOEXEC), sub = -1, err = 0;
	char name[16], path[4096];

	if (fd < 0)
		return -errno;
	for (unsigned int i = 0; i < BENCH_FILES && !err; i++) {
		share_file_name(name, i);
		err = make_file(fd, name, BENCH_FILE_SIZE);
		snprintf(path, sizeof(path), "%s/%s", dir, name);
		xattrs = !setxattr(path, "user.bench", name, strlen(name), 0);
	}
	if (!err)
		err = make_file(fd, "data", BENCH_DATA_SIZE);
	if (!err && (mkdirat(fd, "dir", 0755) || (sub = openat(fd, "dir", O_DIRECTORY | O_CLOEXEC)) < 0))
		err = -errno;
	for (unsigned int i = 0; i < BENCH_DIR_ENTRIES && !err; i++) {
		share_file_name(name, i);
		err = make_file(sub, name, 0);
	}
	close(fd);
	return err;
}

/**
 * share_make_walk() - Make many empty files
 * @dir:	Directory; they are in walk/N/fM
 * @files:	How many, a multiple of 1000
 *
 * Return: 0 or a negative errno
 */
int share_make_walk(const char *dir, unsigned int files)
{
	char path[4096], name[16];
	int err = 0;

	snprintf(path, sizeof(path), "%s/walk", dir);
	if (mkdir(path, 0755))
		return -errno;
	for (unsigned int d = 0; d < files / WALK_DIR && !err; d++) {
		int fd;

		share_file_name(name, d);
		snprintf(path, sizeof(path), "%s/walk/%s", dir, name);
		if (mkdir(path, 0755) || (fd = open(path, O_DIRECTORY | O_CLOEXEC)) < 0)
			return -errno;
		for (unsigned int i = 0; i < WALK_DIR && !err; i++) {
			share_file_name(name, i);
			err = make_file(fd, name, 0);
		}
		close(fd);
	}
	return err;
}
