/*
 * A host file system whose reads fail or wait as a test wants it.
 */
#ifndef HOSTFS_H
#define HOSTFS_H

#include <stdint.h>
#include <sys/types.h>

#define HOSTFS_PAGE 4096u
#define HOSTFS_PAGES 64u	/* size of each of its files */
#define HOSTFS_GOOD_PAGES 4u	/* of "bad": all reads beyond fail */

struct hostfs {
	pid_t pid;		/* dies with the test's process */
	int say_fd;		/* a byte: wait no longer */
	int heard_fd;		/* a byte for each read that has come and waits */
};

const char *hostfs_own_mounts(void);
int hostfs_mount(struct hostfs *h, const char *dir);
int hostfs_wait_for_read(struct hostfs *h);
void hostfs_release(struct hostfs *h);
uint8_t hostfs_byte(uint64_t at);

#endif
