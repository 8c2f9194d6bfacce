/* sandbox_internal.h - the mechanisms behind sandbox_enter(), one file each, and the macros of policy rows.
 *
 * Every mechanism returns 0 or -errno and leaves in *step what it was doing ("cannot <step>: ..."); sandbox_enter()
 * alone logs.
 */
#ifndef VFSD_SANDBOX_INTERNAL_H
#define VFSD_SANDBOX_INTERNAL_H

#include "sandbox/sandbox.h"

int ns_empty_root(const char **step) NODISCARD;
int ns_share_root(const struct sandbox_params *params, struct sandbox_result *result,
		  const char **step) NODISCARD;

int ids_become(uint32_t uid, uint32_t gid, const char **step) NODISCARD;
int ids_verify(uint32_t uid, uint32_t gid, const char **step) NODISCARD;

int caps_bound(const struct sandbox_policy *p, const char **step) NODISCARD;
int caps_keep(const struct sandbox_policy *p, const char **step) NODISCARD;
int caps_verify(const struct sandbox_policy *p, const char **step) NODISCARD;
const char *caps_name(int cap);

int filter_load(const struct sandbox_policy *p, const char **step) NODISCARD;

/* Rows of struct sandbox_syscall. */
#define ALLOW(n, ...) { .name = (n), .why = __VA_ARGS__ }
#define ALLOW_IF(n, a, ...) { .name = (n), .arg = { a }, .why = __VA_ARGS__ }
#define ALLOW_IF2(n, a, b, ...) { .name = (n), .arg = { a, b }, .why = __VA_ARGS__ }
#define DENY(n, e, ...) { .name = (n), .deny_errno = (e), .why = __VA_ARGS__ }
#define DENY_IF(n, e, a, ...) { .name = (n), .deny_errno = (e), .arg = { a }, .why = __VA_ARGS__ }

/* Conditions: argument i is v; is zero in all 64 bits (a NULL pointer); has no bit but these; has none of these bits. */
#define IS(i, v) { .used = true, .index = (i), .op = SANDBOX_EQ, .mask = UINT32_MAX, .value = (v) }
#define IS_NULL(i) { .used = true, .index = (i), .op = SANDBOX_MASKED_EQ, .mask = UINT64_MAX, .value = 0 }
#define ONLY_BITS(i, bits) \
	{ .used = true, .index = (i), .op = SANDBOX_MASKED_EQ, .mask = (uint32_t) ~(uint32_t)(bits), .value = 0 }
#define NO_BITS(i, bits) { .used = true, .index = (i), .op = SANDBOX_MASKED_EQ, .mask = (bits), .value = 0 }
#define BITS_ARE(i, m, v) { .used = true, .index = (i), .op = SANDBOX_MASKED_EQ, .mask = (m), .value = (v) }
#define BELOW(i, v) { .used = true, .index = (i), .op = SANDBOX_BELOW, .value = (v) }
#define IS_OWN_PID(i) { .used = true, .index = (i), .op = SANDBOX_OWN_PID, .mask = UINT32_MAX }

#endif
