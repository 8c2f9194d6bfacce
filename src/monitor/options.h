/* options.h - the command line as it was given: at most one value for each setting, unjudged. config.c judges.
 *
 * Role: monitor.
 */
#ifndef VFSD_MONITOR_OPTIONS_H
#define VFSD_MONITOR_OPTIONS_H

#include "common/base.h"

#include <stdio.h>

#define EXIT_USAGE 2 /* the command line is wrong; EXIT_FAILURE: the system is not as it says */

enum setting {
#define SETTING(s) SET_##s,
#include "monitor/options.def"
	SET_COUNT,
};

struct options {
	const char *value[SET_COUNT];   /* NULL: not given */
	const char *spelled[SET_COUNT]; /* how it was given, for messages; as long-lived as the table */
};

int options_parse(struct options *o, int argc, char **argv) NODISCARD;
void options_help(FILE *out);

#endif
