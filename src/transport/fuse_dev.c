/* fuse_dev.c - see fuse_dev.h. */
#include "transport/fuse_dev.h"

#include "common/log.h"

/* fuse_dev_new() - see fuse_dev.h. */
struct fuse_dev *fuse_dev_new(const struct ipc_config_transport *cfg)
{
	struct fuse_dev *dev = calloc(1, sizeof(*dev));

	if (!dev)
		return NULL;
	dev->cfg = *cfg;
	dev->timeout.sec = cfg->timeout_ns / 1000000000u;
	dev->timeout.nsec = (uint32_t)(cfg->timeout_ns % 1000000000u);
	dev->session = &dev->own_session;
	dev->handles = handles_new(cfg->max_open_files + 1); /* the fsworker numbers its slots from 1 */
	dev->pool = pool_new(cfg->thread_pool_size);
	if (!dev->handles || !dev->pool) {
		handles_free(dev->handles);
		free(dev->pool);
		free(dev);
		return NULL;
	}
	return dev;
}

/* fuse_dev_keep() - see fuse_dev.h. */
void fuse_dev_keep(struct fuse_dev *dev, struct state *s, const struct state_fetch *f)
{
	dev->session = &s->head->session;
	dev->session_flags = dev->session->flags;
	dev->session_up = dev->session->up;
	s->lost = handles_keep(dev->handles, s, s->found && !(dev->cfg.flags & CFG_FORWARDED) ? f : NULL);
}

/* fuse_dev_session() - see fuse_dev.h. */
void fuse_dev_session(struct fuse_dev *dev, uint64_t flags)
{
	/* The fsworker has ended all locks of the session before. */
	for (unsigned i = 0; i < ARRAY_SIZE(dev->session->locked); i++)
		__atomic_store_n(&dev->session->locked[i], 0, __ATOMIC_RELAXED);
	__atomic_store_n(&dev->session_flags, flags, __ATOMIC_RELAXED);
	__atomic_store_n(&dev->session_up, true, __ATOMIC_RELEASE);
	__atomic_store_n(&dev->session->flags, flags, __ATOMIC_RELAXED);
	__atomic_store_n(&dev->session->up, 1, __ATOMIC_RELEASE);
}

/* fuse_dev_no_session() - see fuse_dev.h. */
void fuse_dev_no_session(struct fuse_dev *dev)
{
	__atomic_store_n(&dev->session_up, false, __ATOMIC_RELEASE);
	__atomic_store_n(&dev->session->up, 0, __ATOMIC_RELEASE);
}

static uint32_t lock_bit(uint64_t nodeid)
{
	return (uint32_t)(nodeid * 0x9e3779b97f4a7c15ull >> 32) % STATE_LOCKED_BITS;
}

/* fuse_dev_lock() - see fuse_dev.h. */
void fuse_dev_lock(struct fuse_dev *dev, uint64_t nodeid)
{
	uint32_t bit = lock_bit(nodeid);

	__atomic_fetch_or(&dev->session->locked[bit / 64], 1ull << bit % 64, __ATOMIC_RELEASE);
}

/* fuse_dev_may_be_locked() - see fuse_dev.h. */
bool fuse_dev_may_be_locked(const struct fuse_dev *dev, uint64_t nodeid)
{
	uint32_t bit = lock_bit(nodeid);

	return __atomic_load_n(&dev->session->locked[bit / 64], __ATOMIC_ACQUIRE) >> bit % 64 & 1;
}

/* What we take of what a guest offers, whatever the options say:
 * DONT_MASK: creations carry the caller's umask, and the host's kernel applies it, or not where a default ACL rules.
 * HANDLE_KILLPRIV_V2: setuid, setgid and capabilities of a written file are our business; see request.c.
 * EXPORT_SUPPORT: LOOKUP of "." and ".." finds a directory again, for NFS servers in the guest.
 * ALLOW_IDMAP: the guest maps the ids of creators and sends what is to be stored. */
#define WANT_ALWAYS                                                                                      \
	(FW_ASYNC_READ | FW_ATOMIC_O_TRUNC | FW_EXPORT_SUPPORT | FW_BIG_WRITES | FW_DONT_MASK |            \
	 FW_HAS_IOCTL_DIR | FW_AUTO_INVAL_DATA | FW_ASYNC_DIO | FW_PARALLEL_DIROPS |                       \
	 FW_HANDLE_KILLPRIV_V2 | FW_MAX_PAGES | FW_SUBMOUNTS | FW_SETXATTR_EXT | FW_INIT_EXT |             \
	 FW_CREATE_SUPP_GROUP | FW_ALLOW_IDMAP)

/* fuse_dev_negotiate() - see fuse_dev.h. */
int fuse_dev_negotiate(const struct fuse_dev *dev, const struct fw_init_in *in, struct fw_init_out *out,
		       uint64_t *flags)
{
	uint64_t offered = in->flags | (uint64_t)in->flags2 << 32, want = WANT_ALWAYS;
	uint32_t cfg = dev->cfg.flags;

	*out = (struct fw_init_out){ .major = FW_MAJOR, .minor = FW_MINOR };
	*flags = 0;
	if (in->major > FW_MAJOR)
		return 0; /* the guest asks again, in our version */
	if (in->major < FW_MAJOR || in->minor < FW_MINOR_MIN) {
		log_limited(LOG_LVL_ERR, "the guest speaks FUSE %u.%u; at least %u.%u (Linux 4.20) is needed", in->major, in->minor,
			FW_MAJOR, FW_MINOR_MIN);
		return EPROTO;
	}
	if (!(in->flags & (uint32_t)FW_INIT_EXT))
		offered &= UINT32_MAX;

	if (cfg & CFG_POSIX_LOCK)
		want |= FW_POSIX_LOCKS;
	if (cfg & CFG_FLOCK)
		want |= FW_FLOCK_LOCKS;
	if (cfg & CFG_READDIRPLUS)
		want |= FW_DO_READDIRPLUS | FW_READDIRPLUS_AUTO;
	if (cfg & CFG_WRITEBACK)
		want |= FW_WRITEBACK_CACHE;
	if (dev->cfg.cache == CACHE_NONE)
		want |= FW_DIRECT_IO_ALLOW_MMAP;
	else
		want |= FW_CACHE_SYMLINKS;
	if (!(offered & FW_HANDLE_KILLPRIV_V2))
		want |= FW_HANDLE_KILLPRIV; /* guests before Linux 5.11 */

	*flags = want & offered;
	out->max_readahead = in->max_readahead;
	out->flags = (uint32_t)*flags;
	out->flags2 = (uint32_t)(*flags >> 32);
	out->max_background = UINT16_MAX;
	out->congestion_threshold = UINT16_MAX / 4 * 3;
	out->max_write = FUSE_MAX_WRITE;
	out->max_pages = *flags & FW_MAX_PAGES ? FUSE_MAX_PAGES : 0;
	out->time_gran = 1;
	log_limited(LOG_LVL_INFO, "session: guest FUSE %u.%u, agreed flags 0x%llx", in->major, in->minor, (unsigned long long)*flags);
	return 0;
}
