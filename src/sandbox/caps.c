/* caps.c - capability sets of the process and, later, of single threads.
 *
 * Role: all. libcap-ng for what happens once; a raw capset() for what an fsworker thread does per request,
 * because libcap-ng keeps one state for the whole process.
 */
#include "sandbox/sandbox_internal.h"

#include "common/log.h"

#include <cap-ng.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* Not every kernel or container has every capability: only what is there can be kept. */
static int permitted_now(uint64_t *set)
{
	struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &hdr, data) < 0)
		return -errno;
	*set = data[0].permitted | (uint64_t)data[1].permitted << 32;
	return 0;
}

static uint64_t set_of(const struct sandbox_cap *list)
{
	uint64_t set = 0;

	for (; list && list->why; list++)
		set |= UINT64_C(1) << list->cap;
	return set;
}

/**
 * caps_name() - a capability's name in the spelling of capabilities(7).
 * Return: a static string, valid until the next call.
 */
const char *caps_name(int cap)
{
	static char name[40];
	const char *s = capng_capability_to_name((unsigned int)cap);
	size_t i = 0;

	for (; s && s[i] && i < sizeof(name) - 5; i++)
		name[i + 4] = (char)(s[i] >= 'a' && s[i] <= 'z' ? s[i] - 'a' + 'A' : s[i]);
	memcpy(name, "CAP_", 4);
	name[i + 4] = '\0';
	return name;
}

/**
 * caps_bound() - cut the bounding set, empty the ambient set, set and lock the securebits.
 *
 * Changes nothing about what the process can do now (permitted and effective stay), so the stages that follow still
 * work; needs CAP_SETPCAP.
 */
int caps_bound(const struct sandbox_policy *p, const char **step)
{
	*step = "cut the capability bounding set (CAP_SETPCAP)";
	/* The library remembers whom it works on; should this process be a clone without exec, that is its parent. */
	capng_setpid((int)syscall(SYS_gettid));
	capng_clear(CAPNG_SELECT_ALL);
	for (const struct sandbox_cap *c = p->bounding; c && c->why; c++)
		if (capng_update(CAPNG_ADD, CAPNG_BOUNDING_SET, (unsigned int)c->cap) < 0)
			return -EINVAL;
	if (capng_apply(CAPNG_SELECT_BOUNDS) < 0)
		return -EPERM;
	*step = "empty the ambient capability set";
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -errno;
	*step = "set the securebits (CAP_SETPCAP)";
	if (prctl(PR_SET_SECUREBITS, p->securebits, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

/**
 * caps_keep() - give up every capability that is not in the policy.
 */
int caps_keep(const struct sandbox_policy *p, const char **step)
{
	uint64_t have = 0;
	int r;

	*step = "read the capabilities";
	r = permitted_now(&have);
	if (r < 0)
		return r;
	capng_clear(CAPNG_SELECT_CAPS);
	for (const struct sandbox_cap *c = p->caps; c && c->why; c++) {
		if (!(have >> c->cap & 1)) {
			log_warn("%s: %s is not available here and will be missed: %s", p->role, caps_name(c->cap),
				 c->why);
			continue;
		}
		if (capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, (unsigned int)c->cap) < 0)
			return -EINVAL;
	}
	for (const struct sandbox_cap *c = p->bounding; c && c->why; c++)
		if ((have >> c->cap & 1) && capng_update(CAPNG_ADD, CAPNG_PERMITTED, (unsigned int)c->cap) < 0)
			return -EINVAL;
	*step = "reduce the capabilities";
	if (capng_apply(CAPNG_SELECT_CAPS) < 0)
		return -EPERM;
	return 0;
}

/**
 * caps_verify() - read all sets back: is nothing in them that the policy does not give?
 *
 * A library that could not find out what there was to drop may have dropped nothing and called it success.
 */
int caps_verify(const struct sandbox_policy *p, const char **step)
{
	struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];
	uint64_t eff = set_of(p->caps), bound = set_of(p->bounding);

	*step = "read the capabilities back";
	if (syscall(SYS_capget, &hdr, d) < 0)
		return -errno;
	*step = "drop capabilities: some are left";
	if (((d[0].effective | (uint64_t)d[1].effective << 32) & ~eff) ||
	    ((d[0].permitted | (uint64_t)d[1].permitted << 32) & ~(eff | bound)) || d[0].inheritable ||
	    d[1].inheritable)
		return -EPERM;
	*step = "cut the capability bounding set: some are left";
	for (int cap = 0; cap < 64; cap++) {
		int in = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

		if (in < 0)
			break; /* beyond the kernel's last one */
		if (in && !(bound >> cap & 1))
			return -EPERM;
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) == 1)
			return -EPERM;
	}
	*step = "set the securebits: they did not change";
	if (prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) != (int)p->securebits)
		return -EPERM;
	return 0;
}

int sandbox_set_cap(int cap, bool on)
{
	/* What this thread's sets are, read once: nothing else changes them (the securebits keep a change of ids
	 * from doing so). */
	static __thread struct __user_cap_data_struct mine[2];
	static __thread bool known;
	struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
	uint32_t bit = 1u << (cap & 31);
	uint32_t *eff;

	if (cap < 0 || cap > 63)
		return -EINVAL;
	if (!known) {
		if (syscall(SYS_capget, &hdr, mine) < 0)
			return -errno;
		known = true;
	}
	eff = &mine[cap / 32].effective;
	if (!!(*eff & bit) == on)
		return 0;
	*eff ^= bit;
	if (syscall(SYS_capset, &hdr, mine) < 0) {
		*eff ^= bit;
		return -errno;
	}
	return 0;
}
