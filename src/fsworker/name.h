/* name.h - the one check of names that come from a guest. Role: fsworker. */
#ifndef VFSD_NAME_H
#define VFSD_NAME_H

#include "ipc/messages.h"

/* A checked name as system calls want it. */
struct name {
	char s[IPC_NAME_MAX + 1];
};

int name_check(struct name *out, const char *bytes, uint32_t len) NODISCARD;
int xattr_name_check(struct name *out, const char *bytes, uint32_t len) NODISCARD;

#endif
