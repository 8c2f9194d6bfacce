/*
 * test-options: --inode-fd-cache: more files than descriptors, and what finds them again dying.
 */
#define _GNU_SOURCE 1
#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>

#include "test-options.h"

#define FILES 1500

static uint64_t node[FILES], ino[FILES];

/* The child of this daemon with that name; 0: none now. */
static pid_t child(const char *name)
{
	DIR *d = opendir("/proc");
	struct dirent *de;
	pid_t found = 0;

	ck_assert_ptr_nonnull(d);
	while ((de = readdir(d))) {
		char path[300], line[128];
		bool named = false;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%s/status", de->d_name);
		f = de->d_name[0] > '0' && de->d_name[0] <= '9' ? fopen(path, "re") : NULL;
		while (f && fgets(line, sizeof(line), f))
			if (!strncmp(line, "Name:\t", 6))
				named = !strncmp(line + 6, name, 15);
			else if (named && !strncmp(line, "PPid:", 5) && atoi(line + 5) == env.d.pid)
				found = (pid_t)atoi(de->d_name);
		if (f)
			fclose(f);
	}
	closedir(d);
	return found;
}

static unsigned int descriptors(pid_t pid)
{
	char path[64];
	unsigned int n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	d = opendir(path);
	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static unsigned int idle_descriptors;

static void begin(void)
{
	struct fuse_entry_out e;
	char name[32];

	to_start(WORDS("--inode-fd-cache=64"));
	idle_descriptors = descriptors(child("virtiofsd-fsworker"));
	ck_assert_uint_gt(idle_descriptors, 4);
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "file%d", i);
		tu_write_file(tu_path(&env, name), name, strlen(name), 0644);
		ck_ok(fs_lookup(FS, TU_ROOT, name, &e));
		node[i] = e.nodeid;
		ino[i] = e.attr.ino;
	}
}

/* Every one is there, by number, and is what it was. */
static void check(int from, int step)
{
	struct fuse_attr_out a;

	for (int i = from; i < FILES; i += step) {
		ck_ok(fs_getattr(FS, node[i], NULL, &a));
		ck_assert_uint_eq(a.attr.ino, ino[i]);
	}
}

static void check_contents(int i)
{
	uint64_t fh = tu_open_file(FS, node[i], O_RDONLY);
	char text[32] = "", name[32];

	snprintf(name, sizeof(name), "file%d", i);
	ck_assert_int_eq(fs_read(FS, node[i], fh, text, sizeof(text) - 1, 0, O_RDONLY), (int)strlen(name));
	ck_assert_str_eq(text, name);
	ck_ok(fs_release(FS, node[i], fh, O_RDONLY, 0, 0));
}

/* The working set, some more for the moment, and the process's own. */
static void check_bound(void)
{
	ck_assert_uint_le(descriptors(child("virtiofsd-fsworker")), idle_descriptors + 64 + 2 * 16 + 16);
}

START_TEST(more_files_than_descriptors)
{
	char name[32];

	begin();
	check_bound();
	check(0, 1);
	check_bound();
	for (int i = 0; i < FILES; i += 50) {
		check_contents(i);
		snprintf(name, sizeof(name), "file%d", i);
		ck_ok(fs_rename(FS, TU_ROOT, name, TU_ROOT, "renamed"));
		ck_ok(fs_unlink(FS, TU_ROOT, "renamed"));
		/* It has no name any more, but the guest still knows it. */
		check(i, FILES);
	}
	check_bound();
}
END_TEST

static void kill_child(const char *name)
{
	pid_t pid = child(name);

	if (pid)
		ck_ok(kill(pid, SIGKILL));
}

/* The keeper, the fsworker, or both die, again and again; the guest goes on. */
START_TEST(processes_die)
{
	char *text;

	begin();
	for (int round = 0; round < 8; round++) {
		if (_i != 1)
			kill_child("virtiofsd-keeper");
		if (_i != 0)
			kill_child("virtiofsd-fsworker");
		check(round, 9);
		check_contents(round * 100);
	}
	check(0, 1);
	check_bound();
	text = daemon_stderr(&env.d);
	ck_assert(_i == 1 || strstr(text, "the keeper (pid"));
	ck_assert(_i == 0 || strstr(text, "the fsworker (pid"));
	ck_assert_ptr_nonnull(strstr(text, "took over"));
	ck_assert_ptr_null(strstr(text, "were lost"));
	free(text);
}
END_TEST

/**
 * cold_case() - The tests of this file
 * Return: the test case
 */
TCase *cold_case(void)
{
	TCase *tc = tcase_create("cold");

	tcase_add_test(tc, more_files_than_descriptors);
	tcase_add_loop_test(tc, processes_die, 0, 3);
	return tc;
}
