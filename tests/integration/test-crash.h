/*
 * The parts of test-crash, each a Check test case in a file of its own.
 */
#ifndef TEST_CRASH_H
#define TEST_CRASH_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crash.h"

/* The environment of the one test that this process runs, with a session. */
extern struct env env;
#define FS (&env.fs)

TCase *tc_case(const char *name);

TCase *crash_state_case(void);
TCase *crash_locks_case(void);
TCase *crash_load_case(void);
TCase *crash_starts_case(void);

#endif
