/* sandbox.h - what each role may do, as data, and the one function that puts it in force.
 *
 * Role: all. policy_<role>.c holds only const tables with a reason in each row; sandbox_enter() applies them in the
 * order that sandbox_enter.c documents; sandbox_dump() prints them. This folder alone includes <seccomp.h> and
 * <cap-ng.h>.
 */
#ifndef VFSD_SANDBOX_H
#define VFSD_SANDBOX_H

#include "common/base.h"

#include <stdio.h>

/* A build with a sanitizer calls more: its run-time maps, reads /proc/self and traces itself, and reports on stderr. Never
 * for production; --dump-sandbox shows the rows. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANDBOX_SANITIZED 1
#endif
#endif
#ifndef SANDBOX_SANITIZED
#define SANDBOX_SANITIZED 0
#endif

enum sandbox_root {
	SANDBOX_ROOT_HOST,  /* the monitor: stays where it is, keeps its ids */
	SANDBOX_ROOT_EMPTY, /* an empty read-only tmpfs (transport, keeper) */
	SANDBOX_ROOT_SHARE, /* pivot_root into the shared directory (fsworker) */
};

/* How an argument is compared. The kernel reads an int argument's lower 32 bits only, so those alone count
 * for SANDBOX_EQ: neither a dirty upper half in a register nor one set on purpose changes the answer. */
enum sandbox_op {
	SANDBOX_EQ,        /* lower 32 bits are value */
	SANDBOX_MASKED_EQ, /* (argument & mask) == value, 64 bits */
	SANDBOX_BELOW,     /* argument < value, 64 bits unsigned */
	SANDBOX_OWN_PID,   /* lower 32 bits are the process's own pid, as of sandbox_enter() */
};

/* An argument that must hold for a system call to be allowed; several rows for one call are alternatives, several
 * conditions in one row must all hold. */
struct sandbox_arg {
	bool used;
	uint8_t index; /* 0..5; each index once in a row */
	uint8_t op;    /* enum sandbox_op */
	uint64_t mask, value;
};

struct sandbox_syscall {
	const char *name;           /* as libseccomp knows it; not there on this architecture: skipped */
	int deny_errno;             /* 0: allow; else answer this errno without doing it */
	struct sandbox_arg arg[3];
	const char *why;
};

struct sandbox_cap {
	int cap; /* CAP_* */
	const char *why;
};

struct sandbox_policy {
	const char *role;
	enum sandbox_root root;
	bool drop_ids; /* become params.uid/gid; no role but the monitor keeps supplementary groups */
	unsigned long securebits;
	int report_fd; /* where a refused system call is reported: SANDBOX_LOG_FD as a record, STDERR_FILENO as text */
	const struct sandbox_cap *caps; /* kept in permitted and effective; ends with why == NULL */
	const struct sandbox_cap *bounding; /* the bounding set; also stays permitted, not effective (monitor: for its
					     * children). NULL: nothing */
	const struct sandbox_syscall *calls; /* ends with name == NULL; everything else is refused and kills */
	const struct sandbox_policy *const *children; /* what these allow passes too, with any argument: their processes
						       * inherit this filter; ends with NULL, may be NULL */
	const char *const *other; /* lines of prose for --dump-sandbox: namespaces, descriptors, limits; ends with NULL */
};

extern const struct sandbox_policy policy_monitor, policy_transport, policy_fsworker, policy_keeper, policy_holder;

struct sandbox_params {
	uint32_t uid, gid;  /* for drop_ids */
	int source_fd;      /* SANDBOX_ROOT_SHARE: O_PATH descriptor of the shared directory, borrowed */
	int mntns_fd;       /* SANDBOX_ROOT_SHARE: namespace of an earlier fsworker to enter instead of making one, or -1 */
	bool read_only;     /* SANDBOX_ROOT_SHARE: mount it so */
	bool propagate;     /* SANDBOX_ROOT_SHARE: later mounts of the host come in, with their own flags */
	bool no_seccomp;    /* never set by an option: only tests of the sandbox itself that need to see what the other layers stop */
};

struct sandbox_result { /* SANDBOX_ROOT_SHARE only; owned by the caller */
	int root_fd;     /* the share's root, O_PATH|O_DIRECTORY */
	int proc_fd;     /* this process's /proc/self/fd, O_PATH|O_DIRECTORY, read-only; nothing else of that procfs can be
			  * reached from it, not even by ".." */
	int mntns_fd;    /* this mount namespace, for the monitor to keep */
};

/* The log descriptor of every role but the monitor (ipc/roles.h: ROLE_FD_LOG; monitor/spawn.c asserts that both are
 * the same number). A role that makes a system call that its filter refuses sends one struct
 * sandbox_sigsys_record there, then dies of SIGSYS: the kernel tells a parent the signal, but not the call. */
#define SANDBOX_LOG_FD 4
#define SANDBOX_SIGSYS_RECORD 0x53 /* stands where an ordinary record has its level */
struct sandbox_sigsys_record {
	uint8_t kind; /* SANDBOX_SIGSYS_RECORD */
	uint8_t zero[3];
	int32_t nr;
};

/* Called, when set, before a process dies of a call that its filter refused. In a signal handler. */
extern void (*sandbox_on_refused)(void);

/* sandbox_enter() - put the role's policy in force. Call it while single-threaded, with the privileges that the
 * monitor gives at exec. Threads that start later inherit all of it, but not the parent-death signal, which the
 * kernel also takes from a thread that changes its user or group id: the main thread must not do that.
 * Return 0; on an error the reason was logged and the caller must exit. */
int sandbox_enter(const struct sandbox_policy *p, const struct sandbox_params *params,
		  struct sandbox_result *result) NODISCARD;

/* sandbox_dump() - print a policy for people. */
void sandbox_dump(const struct sandbox_policy *p, FILE *out);

/* sandbox_syscall_name() - name of a system call of this machine's architecture, for reports of SIGSYS. Static or "?". */
const char *sandbox_syscall_name(int nr);

/* sandbox_syscall_number() - the number of a system call here; below -1 when this architecture does not have it; -1 when
 * nobody knows such a call. */
int sandbox_syscall_number(const char *name);

/* sandbox_set_cap() - raise or lower one capability in the calling thread's effective set (raw capset). Costs
 * nothing when it is so already. 0 or -errno. */
int sandbox_set_cap(int cap, bool on) NODISCARD;

#endif
