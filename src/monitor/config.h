/* config.h - what the daemon was told to do, checked; constant from here on.
 *
 * Role: monitor.
 */
#ifndef VFSD_MONITOR_CONFIG_H
#define VFSD_MONITOR_CONFIG_H

#include "common/log.h"
#include "ipc/messages.h"
#include "monitor/options.h"

#define CONFIG_TAG_MAX 36 /* bytes that a tag has in the device's configuration space */

struct config {
	enum log_level log_level;
	bool syslog;
	const char *source;
	const char *socket_path; /* NULL: fd */
	int fd;                  /* -1: socket_path */
	bool has_socket_gid;
	uint32_t socket_gid;
	uint32_t flags; /* CFG_*, but CFG_CONNECTED, which only the socket knows */
	enum cache_mode cache;
	uint64_t timeout_ns;
	uint32_t thread_pool_size;
	uint32_t nlinks;
	uint32_t config_queues; /* for a VMM that leaves the number to us */
	uint32_t max_open_files;  /* 0: by the descriptor limit */
	uint32_t poll_us;         /* longest time to look for more before sleeping */
	uint32_t inode_fd_cache;  /* 0: by the descriptor limit */
	bool raise_nofile;        /* set the descriptor limit at all */
	uint64_t rlimit_nofile;   /* to this, or 0: to the hard limit */
	uint32_t uid, gid;        /* of transport and keeper */
	char tag[CONFIG_TAG_MAX + 4];
	const char *transport_path, *fsworker_path, *keeper_path;
};

int config_make(struct config *c, const struct options *o) NODISCARD;

#endif
