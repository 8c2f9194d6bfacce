/*
 * The parts of test-mounts, each a Check test case in a file of its own.
 */
#ifndef TEST_MOUNTS_H
#define TEST_MOUNTS_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hostfs.h"
#include "testutil.h"

extern struct env env;
#define FS (&env.fs)
#define VU (&env.dev.vu)

TCase *tm_case(const char *name);

TCase *reads_case(void);
TCase *later_case(void);
TCase *reserve_case(void);

#endif
