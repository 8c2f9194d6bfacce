/*
 * The parts of test-fuse, each a Check test case in a file of its own.
 */
#ifndef TEST_FUSE_H
#define TEST_FUSE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "testutil.h"

/* The environment of the one test that this process runs, with a session. */
extern struct env env;
#define FS (&env.fs)

TCase *tf_case(const char *name);
struct stat tf_lstat(const char *name);
void tf_stale(uint64_t node);
void tf_check_attr(const struct fuse_attr *attr, const struct stat *st);

TCase *names_case(void);
TCase *rename_case(void);
TCase *links_case(void);
TCase *attrs_case(void);
TCase *create_case(void);
TCase *data_case(void);
TCase *range_case(void);
TCase *dirs_case(void);
TCase *xattrs_case(void);
TCase *special_case(void);
TCase *posix_locks_case(void);
TCase *flock_case(void);
TCase *session_case(void);
TCase *ids_case(void);
TCase *load_case(void);

#endif
