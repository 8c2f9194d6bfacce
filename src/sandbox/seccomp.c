/* seccomp.c - the system call filter of a role, made from its policy's table by libseccomp.
 *
 * Role: all. What no row allows is refused with SECCOMP_RET_TRAP: the kernel does not make the call but raises SIGSYS,
 * whose handler reports the call's number to the monitor and then does it again. SIGSYS is blocked inside its own
 * handler, so the kernel now kills the process outright, and waitid() says SIGSYS. Without the handler's report the
 * monitor would know the signal only; KILL_PROCESS tells the number to the audit log and nobody else.
 *
 * A process that was taken over gains nothing by that: it cannot replace the handler (no policy lets it touch
 * SIGSYS's action), blocking the signal makes the first refused call deadly, and the report is a number that the
 * monitor prints only for a child that did die of SIGSYS. Either way the call is not made.
 *
 * Cost: rows without conditions are answered from the kernel's bitmap of calls that are always allowed, for the whole
 * chain of filters, before any filter runs. So the calls that serve requests have no condition in any policy that
 * applies to them; the rest is a binary tree.
 */
#include "sandbox/sandbox_internal.h"

#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* Calls that the kernel has, but libseccomp 2.5 does not know yet. They have one number on all architectures. */
static const struct {
	const char *name;
	int nr;
} newer_calls[] = {
	{ "epoll_pwait2", 441 },  { "fchmodat2", 452 },	    { "map_shadow_stack", 453 },
	{ "mseal", 462 },	  { "setxattrat", 463 },    { "getxattrat", 464 },
	{ "listxattrat", 465 },	  { "removexattrat", 466 }, { "open_tree_attr", 467 },
	{ "file_getattr", 468 },  { "file_setattr", 469 },
};

int sandbox_syscall_number(const char *name)
{
	int nr = seccomp_syscall_resolve_name(name);

	if (nr != __NR_SCMP_ERROR)
		return nr;
	for (size_t i = 0; i < ARRAY_SIZE(newer_calls); i++)
		if (strcmp(newer_calls[i].name, name) == 0)
			return newer_calls[i].nr;
	return -1;
}

const char *sandbox_syscall_name(int nr)
{
	static char name[40];
	char *s = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);

	if (s) {
		snprintf(name, sizeof(name), "%s", s);
		free(s);
		return name;
	}
	for (size_t i = 0; i < ARRAY_SIZE(newer_calls); i++)
		if (newer_calls[i].nr == nr)
			return newer_calls[i].name;
	return "?";
}

#if SANDBOX_SANITIZED
/* LeakSanitizer would trace its own process at exit, which no filter allows. ASAN_OPTIONS still wins. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

void (*sandbox_on_refused)(void);

static int report_fd; /* of the process's policy; set before the handler is installed */

/* Runs between the refused call and the end of the process; async-signal-safe. */
static void refused_call(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;

	int nr = info->si_syscall;

	if (sandbox_on_refused)
		sandbox_on_refused();
	if (report_fd == STDERR_FILENO) {
		char text[] = "virtiofsd: system call number 0000000000 is not in the filter of the monitor\n";
		char *digit = text + strlen("virtiofsd: system call number 0000000000");

		for (unsigned int n = (unsigned int)nr, i = 0; i < 10; i++, n /= 10)
			*--digit = (char)('0' + n % 10);
		(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	} else {
		struct sandbox_sigsys_record rec = { .kind = SANDBOX_SIGSYS_RECORD, .nr = nr };

		(void)!send(report_fd, &rec, sizeof(rec), MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	/* A number that no kernel has: refused by every filter, and harmless should there be none. */
	syscall(0x3ffff);
	_exit(1);
}

static int install_handler(int fd)
{
	struct sigaction sa = { .sa_sigaction = refused_call, .sa_flags = SA_SIGINFO };

	report_fd = fd;
	return sigaction(SIGSYS, &sa, NULL) < 0 ? -errno : 0;
}

static struct scmp_arg_cmp compare(const struct sandbox_arg *a)
{
	struct scmp_arg_cmp c = {
		.arg = a->index, .op = SCMP_CMP_MASKED_EQ, .datum_a = a->mask, .datum_b = a->value,
	};

	if (a->op == SANDBOX_BELOW) {
		c.op = SCMP_CMP_LT;
		c.datum_a = a->value;
		c.datum_b = 0;
	} else if (a->op == SANDBOX_OWN_PID) {
		c.datum_b = (uint64_t)getpid();
	}
	return c;
}

/* Add every row. @inherited: rows of a child's policy: what it allows, whatever the arguments. */
static int add_rows(scmp_filter_ctx ctx, const struct sandbox_syscall *row, bool inherited)
{
	for (; row->name; row++) {
		struct scmp_arg_cmp cmp[ARRAY_SIZE(row->arg)];
		unsigned int ncmp = 0;
		uint32_t action = row->deny_errno ? SCMP_ACT_ERRNO((uint16_t)row->deny_errno) : SCMP_ACT_ALLOW;
		int nr = sandbox_syscall_number(row->name);

		if (nr < 0 || (inherited && row->deny_errno))
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(row->arg) && !inherited; i++)
			if (row->arg[i].used)
				cmp[ncmp++] = compare(&row->arg[i]);
		int r = seccomp_rule_add_array(ctx, action, nr, ncmp, cmp);
		if (r < 0 && r != -EEXIST)
			return r;
	}
	return 0;
}

/**
 * filter_load() - make the policy's filter and put it in force, for good.
 */
int filter_load(const struct sandbox_policy *p, const char **step)
{
	*step = "make the system call filter";
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_TRAP);
	if (!ctx)
		return -ENOMEM;

	int r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0); /* set by the stage before */
	if (r == 0)
		(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* speed only; since libseccomp 2.5 */
	if (r == 0)
		r = add_rows(ctx, p->calls, false);
	for (size_t i = 0; r == 0 && p->children && p->children[i]; i++)
		r = add_rows(ctx, p->children[i]->calls, true);
	if (r == 0)
		r = install_handler(p->report_fd);
	if (r == 0) {
		*step = "load the system call filter";
		r = seccomp_load(ctx);
	}
	seccomp_release(ctx);
	return r;
}
