/*
 * The parts of test-options, each a Check test case in a file of its own.
 */
#ifndef TEST_OPTIONS_H
#define TEST_OPTIONS_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "testutil.h"

extern struct env env;
#define FS (&env.fs)

/* Words of a command line after the program's name, up to a NULL. */
#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

void to_start(const char *const *options);
int to_run(const char *const *words, char **err, char **out);
void to_expect_line(const char *text, const char *part);

TCase *effects_case(void);
TCase *usage_case(void);
TCase *sockets_case(void);
TCase *upgrade_case(void);
TCase *cold_case(void);

#endif
