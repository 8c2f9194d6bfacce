/* fuse_dev.h - what all rings of the device share: configuration, the FUSE session, open handles, the pool.
 *
 * Role: transport.
 */
#ifndef VFSD_FUSE_DEV_H
#define VFSD_FUSE_DEV_H

#include "ipc/messages.h"
#include "transport/fuse_encode.h"
#include "transport/handles.h"
#include "transport/pool.h"

#define FUSE_MAX_WRITE (1u << 20)
#define FUSE_MAX_PAGES (FUSE_MAX_WRITE / 4096)
#define QUEUES_MAX IPC_LINKS_MAX

struct queue;

struct fuse_dev {
	struct ipc_config_transport cfg; /* constant */
	struct fuse_timeout timeout;     /* constant */
	void (*while_waiting)(void);     /* constant: called each second that the control thread waits for a ring */
	struct handles *handles;
	struct pool *pool;

	/* The session: written by the ring that serves INIT or DESTROY, read by all; each field atomic on its own. A guest
	 * that lets other requests race its INIT gets either answer for them. */
	uint64_t session_flags; /* FW_* INIT flags agreed on; see session_up */
	bool session_up;
	struct state_session *session; /* the same, for a successor, and which inodes were locked; own_session without one */
	struct state_session own_session;
	bool no_nowait_write; /* atomic: the share's file system was seen not to know it; a hint for new handles */

	/* For INTERRUPT, which may come by another ring than the request it means. */
	struct queue *queues[QUEUES_MAX]; /* atomic pointers; set once by queue_new(), until queue_free() */
};

/* fuse_dev_new() - NULL: no memory. Threads only start when rings do. */
struct fuse_dev *fuse_dev_new(const struct ipc_config_transport *cfg);

/* fuse_dev_keep() - before any ring: from now on session and handles outlive this process, and those of the one before go on. */
void fuse_dev_keep(struct fuse_dev *dev, struct state *s, const struct state_fetch *f);

/* fuse_dev_session() - it begins with these flags. fuse_dev_no_session() - it ends. */
void fuse_dev_session(struct fuse_dev *dev, uint64_t flags);
void fuse_dev_no_session(struct fuse_dev *dev);

/* fuse_dev_lock() - before anybody locks a file. fuse_dev_may_be_locked() - has anybody since the session began, here or in a
 * process before? Only then FLUSH and RELEASE may end a lock. True for others, too, that share a bit with such a file: they
 * are asked of the fsworker for nothing, which one of two is once some 45,000 inodes were locked. */
void fuse_dev_lock(struct fuse_dev *dev, uint64_t nodeid);
bool fuse_dev_may_be_locked(const struct fuse_dev *dev, uint64_t nodeid);

/* fuse_dev_negotiate() - what both sides can do. Pure but for the configuration.
 * @in: the guest's; flags2 is 0 unless INIT_EXT. @out: the reply, filled.
 * Return 0, or a positive errno. *flags: what was agreed on. */
int fuse_dev_negotiate(const struct fuse_dev *dev, const struct fw_init_in *in, struct fw_init_out *out,
		       uint64_t *flags);

static inline bool fuse_dev_has(struct fuse_dev *dev, uint64_t flag)
{
	return __atomic_load_n(&dev->session_flags, __ATOMIC_RELAXED) & flag;
}

#endif
