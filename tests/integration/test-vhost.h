/*
 * The parts of test-vhost, each a Check test case in a file of its own.
 */
#ifndef TEST_VHOST_H
#define TEST_VHOST_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "testutil.h"

extern struct env env;
#define FS (&env.fs)
#define VU (&env.dev.vu)

TCase *tv_case(const char *name);

TCase *messages_case(void);
TCase *rings_case(void);
TCase *lifecycle_case(void);
TCase *memory_case(void);
TCase *inflight_case(void);

#endif
