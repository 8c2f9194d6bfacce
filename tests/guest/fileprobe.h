/*
 * fileprobe.h - what the checks of fileprobe share.
 */
#ifndef FILEPROBE_H
#define FILEPROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define EXIT_SKIP 77
#define MIB (1024L * 1024)
#define GIB (1024L * MIB)

/* Ends the program with the line, the words and errno, unless cond holds. */
#define CHECK(cond, ...)                                                                   \
	do {                                                                               \
		if (!(cond))                                                               \
			complain(__LINE__, #cond, __VA_ARGS__);                            \
	} while (0)

/* The call has to fail, with this errno. */
#define CHECK_ERRNO(call, err)                                                             \
	do {                                                                               \
		errno = 0;                                                                 \
		long ret_ = (long)(call);                                                  \
		if (ret_ != -1 || errno != (err))                                          \
			complain(__LINE__, #call, "wanted %s", strerror(err));             \
	} while (0)

__attribute__((format(printf, 3, 4), noreturn)) void complain(int line, const char *cond,
							       const char *format, ...);

/* What the file system cannot do: a part of a check, or (it ends here) the check. */
void left_out(const char *part, const char *why);
__attribute__((noreturn)) void skip(const char *why);

int open_new(const char *name);
void write_all(int fd, const void *data, size_t size, off_t offset);

/* A pattern in which every 8 bytes tell their own offset. */
void write_pattern(int fd, size_t size, off_t offset);
void check_pattern(int fd, size_t size, off_t offset);

/* Runs a function as another user and group, in a child. */
void as_user(uid_t uid, gid_t gid, void (*run)(void));

/* fileprobe_new.c */
void probe_statx(void);
void probe_copyrange_64(void);
void probe_fallocate_modes(void);
void probe_syncfs(void);
void probe_idmap(void);

#endif
