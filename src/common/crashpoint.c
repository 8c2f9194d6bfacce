/* crashpoint.c - see crashpoint.h. */
#include "common/crashpoint.h"

#ifdef CRASH_POINTS

#include "common/base.h"

#include <signal.h>

static const char *armed;   /* name of the place */
static unsigned left;       /* passings until then; atomic */
static bool asked;          /* the environment was looked at */
static char *volatile fault_here; /* nowhere */

/* crashpoint_arm() - see crashpoint.h. */
void crashpoint_arm(const char *name, unsigned count)
{
	__atomic_store_n(&asked, true, __ATOMIC_SEQ_CST);
	__atomic_store_n(&left, count, __ATOMIC_SEQ_CST);
	__atomic_store_n(&armed, name, __ATOMIC_SEQ_CST);
}

/* "role:name:count", of a program that is called virtiofsd-role. */
static void ask_environment(void)
{
	static char name[64];
	const char *at = getenv("VIRTIOFSD_CRASH_AT"), *role = strrchr(program_invocation_short_name, '-');
	const char *colon = at ? strchr(at, ':') : NULL, *last = at ? strrchr(at, ':') : NULL;

	if (!role || !colon || last == colon || (size_t)(last - colon) > sizeof(name) ||
	    strncmp(role + 1, at, (size_t)(colon - at)) || strlen(role + 1) != (size_t)(colon - at)) {
		crashpoint_arm(NULL, 0);
		return;
	}
	memcpy(name, colon + 1, (size_t)(last - colon - 1));
	crashpoint_arm(name, (unsigned)strtoul(last + 1, NULL, 10));
}

/* crashpoint_pass() - one of the places is passed. */
void crashpoint_pass(const char *name)
{
	const char *at;

	if (!__atomic_load_n(&asked, __ATOMIC_SEQ_CST))
		ask_environment();
	at = __atomic_load_n(&armed, __ATOMIC_SEQ_CST);
	if (!at || strcmp(at + (*at == '!'), name) || __atomic_sub_fetch(&left, 1, __ATOMIC_SEQ_CST))
		return;
	if (*at == '!')
		*(volatile int *)fault_here = 0;
	raise(SIGKILL);
	_exit(128 + SIGKILL); /* the first process of a pid namespace does not hear its own signals */
}

#endif
