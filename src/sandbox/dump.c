/* dump.c - a policy in words, for --dump-sandbox: generated from the tables that are put in force, nothing else.
 *
 * Role: monitor.
 */
#include "sandbox/sandbox_internal.h"

#include <inttypes.h>
#include <linux/securebits.h>

static const char *root_text(enum sandbox_root root)
{
	switch (root) {
	case SANDBOX_ROOT_HOST:
		return "the host's, unchanged";
	case SANDBOX_ROOT_EMPTY:
		return "an empty tmpfs, read-only, nodev, nosuid, noexec, in a mount namespace of its own";
	case SANDBOX_ROOT_SHARE:
		return "the shared directory, nodev, nosuid, noexec, in a mount namespace of its own (with"
		       " --propagate-mounts a slave of the host's)";
	}
	return "?";
}

static void dump_caps(const char *title, const struct sandbox_cap *c, FILE *out)
{
	fprintf(out, "  %s:%s\n", title, c && c->why ? "" : " none");
	for (; c && c->why; c++)
		fprintf(out, "    %-20s  %s\n", caps_name(c->cap), c->why);
}

static void dump_securebits(unsigned long bits, FILE *out)
{
	static const struct {
		unsigned long bit, lock;
		const char *name;
	} names[] = {
		{ SECBIT_NOROOT, SECBIT_NOROOT_LOCKED, "noroot" },
		{ SECBIT_NO_SETUID_FIXUP, SECBIT_NO_SETUID_FIXUP_LOCKED, "no_setuid_fixup" },
		{ SECBIT_KEEP_CAPS, SECBIT_KEEP_CAPS_LOCKED, "keep_caps" },
		{ SECBIT_NO_CAP_AMBIENT_RAISE, SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED, "no_cap_ambient_raise" },
	};

	fprintf(out, "  securebits:");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (bits & (names[i].bit | names[i].lock))
			fprintf(out, " %s%s%s", bits & names[i].bit ? "" : "!", names[i].name,
				bits & names[i].lock ? "(locked)" : "");
	fprintf(out, "\n");
}

static void dump_condition(const struct sandbox_arg *a, FILE *out)
{
	switch ((enum sandbox_op)a->op) {
	case SANDBOX_EQ:
		fprintf(out, "arg%d == %#" PRIx64, a->index, a->value);
		break;
	case SANDBOX_MASKED_EQ:
		fprintf(out, "(arg%d & %#" PRIx64 ") == %#" PRIx64, a->index, a->mask, a->value);
		break;
	case SANDBOX_BELOW:
		fprintf(out, "arg%d < %" PRIu64, a->index, a->value);
		break;
	case SANDBOX_OWN_PID:
		fprintf(out, "arg%d is the own pid", a->index);
		break;
	}
}

static void dump_call(const struct sandbox_syscall *c, FILE *out)
{
	const char *sep = " if ";

	fprintf(out, "    %s", c->name);
	if (sandbox_syscall_number(c->name) < 0)
		fprintf(out, " (not on this architecture)");
	if (c->deny_errno)
		fprintf(out, " answers %s", strerror(c->deny_errno));
	for (size_t i = 0; i < ARRAY_SIZE(c->arg); i++)
		if (c->arg[i].used) {
			fprintf(out, "%s", sep);
			dump_condition(&c->arg[i], out);
			sep = " and ";
		}
	fprintf(out, "\n        %s\n", c->why);
}

void sandbox_dump(const struct sandbox_policy *p, FILE *out)
{
	size_t rows = 0, conditional = 0;

	fprintf(out, "%s\n  root: %s\n", p->role, root_text(p->root));
	fprintf(out, "  ids: %s\n",
		p->drop_ids			   ? "unprivileged uid and gid, no supplementary group" :
		p->root == SANDBOX_ROOT_HOST ? "root's, unchanged" :
						     "uid 0, gid 0, no supplementary group");
	dump_caps("capabilities, effective and permitted", p->caps, out);
	dump_caps("capability bounding set, permitted but not effective", p->bounding, out);
	dump_securebits(p->securebits, out);
	for (size_t i = 0; p->other && p->other[i]; i++)
		fprintf(out, "  %s\n", p->other[i]);
	for (const struct sandbox_syscall *c = p->calls; c->name; c++) {
		rows++;
		conditional += c->arg[0].used;
	}
	fprintf(out, "  system calls: %zu rows, %zu of them with conditions; any other call is not made and kills the process\n",
		rows, conditional);
	for (const struct sandbox_syscall *c = p->calls; c->name; c++)
		dump_call(c, out);
	for (size_t i = 0; p->children && p->children[i]; i++)
		fprintf(out, "    and every call that the filter of the %s allows, with any argument\n"
			     "        its process inherits this filter and then loads its own\n",
			p->children[i]->role);
}
