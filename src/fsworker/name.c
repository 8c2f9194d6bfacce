/* name.c - the one check of names that come from a guest.
 *
 * Every name that reaches a system call is a struct name, and only this file fills one. The transport has
 * checked before; it is not believed.
 */
#include "fsworker/name.h"

static int copy(struct name *out, const char *bytes, uint32_t len)
{
	if (len == 0 || memchr(bytes, '\0', len))
		return -EINVAL;
	memcpy(out->s, bytes, len);
	out->s[len] = '\0';
	return 0;
}

/*
 * name_check() - Is this one component of a path that names an entry of a directory?
 * @out:	The name with its NUL
 * @bytes:	As received, without NUL
 * @len:	How many
 *
 * Return: 0; -ENAMETOOLONG; -EINVAL for the empty name, "." and "..", and names with '/' or NUL
 */
int name_check(struct name *out, const char *bytes, uint32_t len)
{
	if (len > IPC_NAME_MAX)
		return -ENAMETOOLONG;
	if (len && memchr(bytes, '/', len))
		return -EINVAL;
	if ((len == 1 && bytes[0] == '.') || (len == 2 && bytes[0] == '.' && bytes[1] == '.'))
		return -EINVAL;
	return copy(out, bytes, len);
}

/* xattr_name_check() - The name of an extended attribute. Return: 0, -ERANGE (too long, as the kernel says), -EINVAL */
int xattr_name_check(struct name *out, const char *bytes, uint32_t len)
{
	if (len > IPC_NAME_MAX)
		return -ERANGE;
	return copy(out, bytes, len);
}
