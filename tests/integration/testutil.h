/*
 * What all integration tests share: the daemon under test, a directory of
 * their own, a connected client.
 */
#ifndef TESTUTIL_H
#define TESTUTIL_H

#include <check.h>
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>

#include "vufront.h"

#define TU_MAX_WORDS 48

struct env {
	char dir[PATH_MAX];		/* this test's own directory */
	char share[PATH_MAX];		/* the shared tree, below it */
	char socket[108];
	const char *words[TU_MAX_WORDS];
	struct daemon d;
	struct vudev dev;
	struct fs fs;
	bool running, connected;
};

int tu_main(int argc, char **argv, Suite *(*make)(void));

void tu_setup(struct env *e);
void tu_teardown(struct env *e);
const char *tu_path(const struct env *e, const char *name);

void tu_daemon(struct env *e, const char *const *options);
void tu_open(struct env *e, const struct dev_config *cfg);
void tu_init(struct env *e);
void tu_start(struct env *e, const char *const *options, const struct dev_config *cfg);
void tu_expect_exit(struct env *e, int status);
void tu_stop(struct env *e);
const char *tu_program(void);
const char *tu_helper(const char *role);
void tu_set_helper(const char *role, const char *path);
const char *const *tu_extra(void);

void tu_write_file(const char *path, const void *data, size_t len, mode_t mode);
size_t tu_read_file(const char *path, void *data, size_t room);
void tu_fill(void *buf, size_t len, uint64_t seed);

/* FUSE calls that must succeed. */
uint64_t tu_lookup(struct fs *fs, uint64_t parent, const char *name);
uint64_t tu_open_file(struct fs *fs, uint64_t node, uint32_t flags);
uint64_t tu_create(struct fs *fs, uint64_t parent, const char *name, uint32_t flags,
		   uint32_t mode, uint64_t *node);

#define TU_ROOT 1ull

void tu_exercise(struct fs *fs, const char *name);

/* Negative errno values are easier to read with their names. */
#define ck_ok(call)                                                                          \
	do {                                                                                 \
		long long ck_ok_r = (long long)(call);                                       \
		ck_assert_msg(ck_ok_r >= 0, "%s: %s", #call, tu_error(ck_ok_r));             \
	} while (0)
#define ck_err(call, want)                                                                   \
	do {                                                                                 \
		long long ck_err_r = (long long)(call);                                      \
		ck_assert_msg(ck_err_r == -(want), "%s: %s, expected %s", #call,             \
			      tu_error(ck_err_r), #want);                                    \
	} while (0)
/* For where more than one errno is right. */
#define ck_err2(call, want, or)                                                              \
	do {                                                                                 \
		long long ck_err_r = (long long)(call);                                      \
		ck_assert_msg(ck_err_r == -(want) || ck_err_r == -(or),                      \
			      "%s: %s, expected %s or %s", #call, tu_error(ck_err_r), #want, \
			      #or);                                                          \
	} while (0)
const char *tu_error(long long r);

#endif
