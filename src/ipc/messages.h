/* messages.h - the messages between the processes: numbers, structs, limits.
 *
 * Role: all. A message is a header, the fixed struct of its type, and at most one counted tail; several
 * messages (each padded to 8 bytes) may stand in one datagram of a SOCK_SEQPACKET socketpair. The table is
 * messages.def. Fields are in host types and host byte order. Both ends of a channel come from one build.
 *
 * Every field of a request is what a *guest* says, forwarded by a transport that the guest may have taken
 * over: the fsworker checks each again. Every field of a reply is read by the transport with the same
 * distrust in the other direction.
 */
#ifndef VFSD_MESSAGES_H
#define VFSD_MESSAGES_H

#include "common/base.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <linux/stat.h>

#define IPC_NAME_MAX 255       /* one path component, NAME_MAX; no NUL on the wire */
#define IPC_PATH_MAX 4095      /* contents of a symbolic link, PATH_MAX - 1 */
#define IPC_XATTR_MAX 65536    /* XATTR_SIZE_MAX and XATTR_LIST_MAX */
#define IPC_DIR_TAIL 65536     /* bytes of directory entries in one reply */
#define IPC_FORGET_TAIL 65536  /* bytes of struct ipc_forget_one in one request */
#define IPC_DGRAM_MAX 131072   /* one datagram; ipc_pair() makes room for it */
#define IPC_FDS_MAX 250        /* descriptors in one datagram; the kernel's limit is 253 */
#define IPC_LINKS_MAX 129      /* rings: hiprio and 128 request queues */
#define IPC_HANDLE_MAX 64      /* a sealed file handle */
#define IPC_MOUNTS_MAX 64      /* mounts in the share of which the keeper opens handles */
#define IPC_KEEPER_KEY 16      /* bytes of the keepers' key */

/* Bulk area: contents that go through the fsworker pass by shared memory, a window of IPC_BULK_LINK bytes for
 * each link inside one sealed memfd. The transport chooses where in its link's window a request's data lies. */
#define IPC_BULK_SLOT (1u << 20)
#define IPC_BULK_SLOTS 8u
#define IPC_BULK_LINK ((uint64_t)IPC_BULK_SLOT * IPC_BULK_SLOTS)

/* What outlives the fsworker, in one memfd: the session, its jobs, waits for locks and lock owners; what each link is in the
 * middle of; the table of inodes (128 bytes each), then that of open files and directories (32 bytes each, and one row more).
 * The monitor makes it of this size and never looks inside. */
#define IPC_COMMON_STATE (4u << 20)
#define IPC_LINK_STATE (68u * 4096)
#define IPC_STATE_BYTES(nlinks, inodes, files) \
	(IPC_COMMON_STATE + (uint64_t)(nlinks) * IPC_LINK_STATE + (uint64_t)(inodes) * 128 + ((uint64_t)(files) + 1) * 32)

/* What outlives the transport, likewise: the connection and the device, what each ring is in the middle of, the files that
 * were granted (32 bytes each, and one row more). */
#define IPC_DEVICE_STATE (1u << 20)
#define IPC_RING_STATE (4u << 20)
#define IPC_TSTATE_BYTES(nlinks, files) \
	(IPC_DEVICE_STATE + (uint64_t)(nlinks) * IPC_RING_STATE + ((uint64_t)(files) + 1) * 32)

/* Directions. */
enum ipc_dir {
	IPC_DIR_T2W, /* transport asks fsworker */
	IPC_DIR_W2T, /* fsworker answers */
	IPC_DIR_M2R, /* monitor to a role */
	IPC_DIR_R2M, /* role to monitor */
	IPC_DIR_R2H, /* role to a holder of its predecessor's descriptors */
	IPC_DIR_H2R, /* and back */
	IPC_DIR_W2K, /* fsworker asks the keeper */
	IPC_DIR_K2W, /* and back */
};

struct ipc_hdr {
	uint32_t size;  /* header + body + tail, without the padding to 8 */
	uint16_t type;  /* enum ipc_type */
	uint16_t nfds;  /* how many of the datagram's descriptors are this message's, in order */
	uint64_t tag;   /* the transport's; comes back in the reply untouched */
	int32_t error;  /* replies: 0 or a positive errno; else 0 */
	uint32_t dgram; /* first message of a datagram: IPC_DGRAM_LEN and the two below; else 0 */
};

/* In hdr.dgram. The length; the number of a datagram of requests, one more than that of the one before it on the same link
 * (after the last comes 1 again): one that comes with the number of the one before it is that one, sent again by a transport
 * that could not know whether it had been sent. 0: there is no number. */
#define IPC_DGRAM_LEN 0x0003ffffu
#define IPC_SEQ_SHIFT 18
#define IPC_SEQ_MAX 0x1fffu

/* In hdr.dgram of answers: the process before the sender may have sent them already, so some may be answers to nothing. */
#define IPC_RESENT 0x80000000u

#define IPC_REPLY 0x8000u

enum ipc_type {
	IPC_NONE = 0,
#define OP(N, n, qt, qf, r, rt, rf) IPC_##N,
#define CTL(N, n, d, t, f0, f1)
#include "ipc/messages.def"
#undef OP
#undef CTL
	IPC_OP_END,
	IPC_CTL_BASE = 0x100,
#define OP(N, n, qt, qf, r, rt, rf)
#define CTL(N, n, d, t, f0, f1) IPC_##N,
#include "ipc/messages.def"
#undef OP
#undef CTL
	IPC_CTL_END,
};

/* Whom the guest acts for when it creates something. */
struct ipc_cred {
	uint32_t uid;
	uint32_t gid;
	uint32_t sup_gid; /* the caller's supplementary group that matters, when has_sup_gid */
	uint32_t has_sup_gid;
	uint32_t umask; /* permission bits only */
	uint32_t zero;
};

struct ipc_time {
	int64_t sec;
	uint32_t nsec;
	uint32_t zero;
};

/* What is known of an object after it was looked up or made. `st` is as the kernel filled it. */
struct ipc_entry {
	uint64_t nodeid;
	uint32_t flags; /* IPC_ENTRY_* */
	uint32_t zero;
	struct statx st;
};
#define IPC_ENTRY_SUBMOUNT 1u /* root of another mount */

/* by name or inode; tails are one component name unless said otherwise ----------------------------- */

struct ipc_lookup_req {
	uint64_t parent;
};
struct ipc_lookup_rep {
	struct ipc_entry entry;
};

/* tail: struct ipc_forget_one[] ; no reply */
struct ipc_forget_req {
	uint64_t count; /* must be what the tail holds */
};
struct ipc_forget_one {
	uint64_t nodeid;
	uint64_t nlookup;
};
struct ipc_forget_rep {
	uint64_t zero;
};

struct ipc_getattr_req {
	uint64_t nodeid;
	uint64_t fh;      /* when has_fh */
	uint32_t has_fh;
	uint32_t mask;    /* STATX_* wanted; the basic ones are always there */
	uint32_t sync;    /* AT_STATX_SYNC_AS_STAT, _FORCE_SYNC or _DONT_SYNC */
	uint32_t zero;
};
struct ipc_getattr_rep {
	struct statx st;
};

struct ipc_setattr_req {
	uint64_t nodeid;
	uint64_t fh; /* when IPC_SET_FH */
	uint64_t size;
	struct ipc_time atime, mtime;
	uint32_t valid; /* IPC_SET_* */
	uint32_t mode;  /* permission bits with setuid, setgid, sticky */
	uint32_t uid, gid;
	struct ipc_cred cred;
};
#define IPC_SET_MODE 0x001u
#define IPC_SET_UID 0x002u
#define IPC_SET_GID 0x004u
#define IPC_SET_SIZE 0x008u
#define IPC_SET_ATIME 0x010u
#define IPC_SET_MTIME 0x020u
#define IPC_SET_FH 0x040u
#define IPC_SET_ATIME_NOW 0x080u
#define IPC_SET_MTIME_NOW 0x100u
#define IPC_SET_KILL_SUIDGID 0x200u /* with SIZE: the caller lacks CAP_FSETID */
#define IPC_SET_ALL 0x3ffu
struct ipc_setattr_rep {
	struct statx st;
};

struct ipc_readlink_req {
	uint64_t nodeid;
};
/* tail: the contents */
struct ipc_readlink_rep {
	uint64_t zero;
};

/* tail: name, then contents of the link */
struct ipc_symlink_req {
	uint64_t parent;
	struct ipc_cred cred;
	uint32_t name_len;
	uint32_t zero;
};
struct ipc_symlink_rep {
	struct ipc_entry entry;
};

struct ipc_mknod_req {
	uint64_t parent;
	struct ipc_cred cred;
	uint32_t mode; /* type and permission bits; regular, FIFO, socket, character or block device */
	uint32_t rdev_major, rdev_minor;
	uint32_t zero;
};
struct ipc_mknod_rep {
	struct ipc_entry entry;
};

struct ipc_mkdir_req {
	uint64_t parent;
	struct ipc_cred cred;
	uint32_t mode;
	uint32_t zero;
};
struct ipc_mkdir_rep {
	struct ipc_entry entry;
};

struct ipc_unlink_req {
	uint64_t parent;
};
struct ipc_unlink_rep {
	uint64_t zero;
};
struct ipc_rmdir_req {
	uint64_t parent;
};
struct ipc_rmdir_rep {
	uint64_t zero;
};

/* tail: old name, then new name */
struct ipc_rename_req {
	uint64_t old_parent, new_parent;
	struct ipc_cred cred; /* owner of a whiteout */
	uint32_t flags;       /* RENAME_NOREPLACE, _EXCHANGE, _WHITEOUT */
	uint32_t name_len;    /* of the old name */
};
struct ipc_rename_rep {
	uint64_t zero;
};

struct ipc_link_req {
	uint64_t nodeid; /* what to link */
	uint64_t parent; /* where */
};
struct ipc_link_rep {
	struct ipc_entry entry;
};

struct ipc_statfs_req {
	uint64_t nodeid;
};
struct ipc_statfs_rep {
	uint64_t blocks, bfree, bavail, files, ffree;
	uint32_t bsize, namelen, frsize, zero;
};

struct ipc_access_req {
	uint64_t nodeid;
	struct ipc_cred cred;
	uint32_t mask; /* R_OK, W_OK, X_OK or F_OK */
	uint32_t zero;
};
struct ipc_access_rep {
	uint64_t zero;
};

struct ipc_syncfs_req {
	uint64_t nodeid;
};
struct ipc_syncfs_rep {
	uint64_t zero;
};

/* tail: name, then value */
struct ipc_setxattr_req {
	uint64_t nodeid;
	uint32_t flags; /* XATTR_CREATE, XATTR_REPLACE */
	uint32_t name_len;
	uint32_t acl_kill_sgid; /* setting an access ACL is to clear the setgid bit */
	uint32_t zero;
};
struct ipc_setxattr_rep {
	uint64_t zero;
};

struct ipc_getxattr_req {
	uint64_t nodeid;
	uint32_t size; /* room for the value; 0: only tell its size */
	uint32_t zero;
};
/* tail: the value, when the request's size was not 0 */
struct ipc_getxattr_rep {
	uint64_t size;
};
struct ipc_listxattr_req {
	uint64_t nodeid;
	uint32_t size;
	uint32_t zero;
};
/* tail: NUL-terminated names, when the request's size was not 0 */
struct ipc_listxattr_rep {
	uint64_t size;
};
struct ipc_removexattr_req {
	uint64_t nodeid;
};
struct ipc_removexattr_rep {
	uint64_t zero;
};

/* open files --------------------------------------------------------------------------------------- */

/* What may stand in the flags of OPEN, CREATE and TMPFILE; O_CREAT and O_NOFOLLOW are understood. */
#define IPC_OPEN_FLAGS ((uint32_t)(O_ACCMODE | O_APPEND | O_TRUNC | O_DIRECT | O_SYNC | O_DSYNC | O_NOATIME | O_EXCL))

struct ipc_open_req {
	uint64_t nodeid;
	uint32_t flags;        /* O_* of open(2) in host values, masked to IPC_OPEN_FLAGS by the sender */
	uint32_t kill_suidgid; /* with O_TRUNC: the caller lacks CAP_FSETID */
};
struct ipc_open_rep {
	uint64_t fh;
	uint32_t mode; /* st_mode as last seen: does a write have setuid/setgid bits to think of? */
	uint32_t zero;
};

struct ipc_create_req {
	uint64_t parent;
	struct ipc_cred cred;
	uint32_t flags;
	uint32_t mode;
	uint32_t kill_suidgid;
	uint32_t zero;
};
struct ipc_create_rep {
	struct ipc_entry entry;
	uint64_t fh;
};
struct ipc_tmpfile_req {
	uint64_t parent;
	struct ipc_cred cred;
	uint32_t flags;
	uint32_t mode;
};
struct ipc_tmpfile_rep {
	struct ipc_entry entry;
	uint64_t fh;
};

/* Contents that go through the fsworker: data at bulk_off in the link's window of the bulk area. */
struct ipc_read_req {
	uint64_t fh;
	uint64_t offset;
	uint64_t bulk_off;
	uint32_t size; /* <= IPC_BULK_SLOT */
	uint32_t zero;
};
struct ipc_read_rep {
	uint64_t size; /* bytes now at bulk_off */
};
struct ipc_write_req {
	uint64_t fh;
	uint64_t offset;
	uint64_t bulk_off;
	uint32_t size;
	uint32_t flags; /* IPC_WRITE_* */
	struct ipc_cred cred;
};
#define IPC_WRITE_KILL_SUIDGID 1u /* the writer lacks CAP_FSETID */
#define IPC_WRITE_CACHE 2u        /* written back from the guest's page cache: no writer is known */
#define IPC_WRITE_AS_CALLER 4u    /* cred is the writer's: use it (reserved blocks, quota) */
#define IPC_WRITE_APPEND 8u       /* at the end of the file, wherever offset is */
struct ipc_write_rep {
	uint64_t size; /* bytes written */
};

struct ipc_fsync_req {
	uint64_t fh;
	uint32_t datasync;
	uint32_t zero;
};
struct ipc_fsync_rep {
	uint64_t zero;
};

struct ipc_flush_req {
	uint64_t nodeid;
	uint64_t fh;
	uint64_t lock_owner; /* whose record locks on nodeid end */
};
struct ipc_flush_rep {
	uint64_t zero;
};

struct ipc_release_req {
	uint64_t nodeid;
	uint64_t fh;
	uint64_t lock_owner;
	uint32_t flock_unlock; /* lock_owner held a flock through this handle: it ends */
	uint32_t zero;
};
struct ipc_release_rep {
	uint64_t zero;
};
struct ipc_close_req {
	uint64_t nodeid;
	uint64_t fh;
};
struct ipc_close_rep {
	uint64_t zero;
};

struct ipc_fallocate_req {
	uint64_t fh;
	uint64_t offset, length;
	uint32_t mode; /* FALLOC_FL_* */
	uint32_t kill_suidgid;
};
struct ipc_fallocate_rep {
	uint64_t zero;
};

struct ipc_lseek_req {
	uint64_t fh;
	uint64_t offset;
	uint32_t whence; /* SEEK_DATA, SEEK_HOLE, SEEK_SET, SEEK_CUR, SEEK_END */
	uint32_t zero;
};
struct ipc_lseek_rep {
	uint64_t offset;
};

struct ipc_copy_req {
	uint64_t fh_in, off_in;
	uint64_t fh_out, off_out;
	uint64_t len;
	uint64_t kill_suidgid;
};
struct ipc_copy_rep {
	uint64_t size;
};

/* Locks. start and end are inclusive bytes, end = INT64_MAX for "to the end of file". */
struct ipc_getlk_req {
	uint64_t nodeid, fh, owner;
	uint64_t start, end;
	uint32_t type; /* F_RDLCK, F_WRLCK */
	uint32_t zero;
};
struct ipc_getlk_rep {
	uint64_t start, end;
	uint32_t type; /* F_UNLCK: it could be had */
	uint32_t pid;  /* 0: not a process of this guest that we know */
};
struct ipc_setlk_req {
	uint64_t nodeid, fh, owner;
	uint64_t start, end;
	uint32_t type; /* F_RDLCK, F_WRLCK, F_UNLCK */
	uint32_t pid;  /* the guest's; only told back by GETLK */
	uint32_t wait; /* until it can be had */
	uint32_t flock; /* a flock of the handle instead of a record lock of the owner */
};
struct ipc_setlk_rep {
	uint64_t zero;
};

/* open directories --------------------------------------------------------------------------------- */

struct ipc_opendir_req {
	uint64_t nodeid;
};
struct ipc_opendir_rep {
	uint64_t fh;
};

/* What the caller can hold: each entry costs ALIGN_UP(entry_cost + name length, 8) of max_bytes. */
struct ipc_readdir_req {
	uint64_t nodeid, fh;
	uint64_t offset; /* d_off of the last entry that was taken; 0: start */
	uint32_t max_bytes;
	uint32_t entry_cost;
	uint32_t plus; /* look each entry up (not "." and "..") */
	uint32_t zero;
};
/* tail: count times struct ipc_dirent, with plus also struct ipc_entry, then the name; each padded to 8 */
struct ipc_readdir_rep {
	uint64_t count; /* 0: the end */
};
struct ipc_dirent {
	uint64_t ino;
	uint64_t off;
	uint32_t name_len;
	uint32_t type; /* DT_* */
};

struct ipc_releasedir_req {
	uint64_t nodeid, fh;
};
struct ipc_releasedir_rep {
	uint64_t zero;
};
struct ipc_fsyncdir_req {
	uint64_t nodeid, fh;
	uint32_t datasync;
	uint32_t zero;
};
struct ipc_fsyncdir_rep {
	uint64_t zero;
};

/* session ------------------------------------------------------------------------------------------ */

/* Ends the session before it (all nodeids, handles and locks) and starts one. */
struct ipc_init_req {
	uint32_t flags; /* IPC_INIT_* */
	uint32_t zero;
};
#define IPC_INIT_SUBMOUNTS 1u /* the guest understands the roots of other mounts */
struct ipc_init_rep {
	uint64_t zero;
};
struct ipc_destroy_req {
	uint64_t zero;
};
struct ipc_destroy_rep {
	uint64_t zero;
};
/* The request with this tag need not wait any longer: a waiting SETLK is answered EINTR. Others go on. */
struct ipc_cancel_req {
	uint64_t tag;
};
struct ipc_cancel_rep {
	uint64_t zero;
};

/* monitor and roles -------------------------------------------------------------------------------- */

enum cache_mode { CACHE_NONE, CACHE_AUTO, CACHE_ALWAYS };

#define CFG_XATTR 0x001u
#define CFG_FLOCK 0x002u
#define CFG_POSIX_LOCK 0x004u
#define CFG_READDIRPLUS 0x008u
#define CFG_WRITEBACK 0x010u
#define CFG_FORWARDED 0x020u /* --data-path=forwarded */
#define CFG_NORACE 0x040u
#define CFG_HAS_TAG 0x080u
#define CFG_CONNECTED 0x100u /* the socket is a connection already, not a listening socket */
#define CFG_PROPAGATE 0x200u /* what the host mounts later below the share comes in */

/* A role of which the descriptors outlive it (hold/hold.h) is one of a line of processes, each with a descriptor table that
 * its holders keep. In memory that outlives the process a descriptor is told by generation and number. */
#define IPC_HOLDERS 2u  /* one that dies is replaced by a copy of the other: both must die at once to be missed */
#define IPC_FETCH_MAX 64u /* processes before this one whose descriptors may be needed: those that died while they took over */
#define IPC_GENERATIONS 255u
#define IPC_HELD_NUMBER_MAX 0xffffffu

struct ipc_heir {
	uint32_t generation; /* of this process, 1 to 255 and then 1 again */
	uint32_t nfetch;
	uint32_t fetch_generation[IPC_FETCH_MAX]; /* of whose descriptors the sockets are */
};

static inline uint32_t ipc_held(uint32_t generation, int fd)
{
	return generation << 24 | (uint32_t)fd;
}

/* The descriptors of CONFIG messages end with: IPC_HOLDERS channels of holders to the monitor, nfetch sockets to holders of
 * processes before, one link per ring. */

/* Descriptors: [0] the listening (or connected) vhost-user socket, [1] bulk area memfd, [2] state memfd. */
struct ipc_config_transport {
	uint32_t log_level;
	uint32_t flags; /* CFG_* */
	uint32_t uid, gid; /* to become */
	uint32_t cache;    /* enum cache_mode */
	uint32_t thread_pool_size;
	uint32_t nlinks; /* 1 + the most request queues */
	uint32_t max_open_files;
	uint32_t config_queues; /* request queues that the configuration space tells of */
	uint32_t poll_us;
	uint64_t timeout_ns; /* of names and attributes */
	char tag[40];        /* up to 36 bytes, NUL-padded */
	struct ipc_heir heir;
};

/* Descriptors: [0] the shared directory (O_PATH), [1] bulk area memfd, [2] state memfd, [3] the channel to the keeper,
 * [4] the mount namespace of an earlier fsworker when has_mntns. */
struct ipc_config_fsworker {
	uint32_t log_level;
	uint32_t flags;
	uint32_t thread_pool_size;
	uint32_t nlinks;
	uint32_t max_open_files; /* open files and directories */
	uint32_t has_mntns;
	uint64_t inode_slots; /* capacity of the inode table */
	uint32_t uid, gid;    /* whom its holders become */
	uint32_t inode_fd_cache; /* descriptors that inodes may hold before some are given up; 0: by the limit */
	uint32_t poll_us;
	struct ipc_heir heir;
};

/* Descriptor: the channel to the fsworker. The monitor keeps both of its ends, and the key, for whoever comes after either
 * of the two. */
struct ipc_config_keeper {
	uint32_t log_level;
	uint32_t uid, gid; /* to become */
	uint32_t zero;
	uint8_t key[IPC_KEEPER_KEY]; /* of the seals; no other process has it */
};

/* The role is sandboxed, has taken over what there was, and waits for GO. fsworker: [0] its mount namespace. */
struct ipc_ready {
	uint32_t again;   /* requests of the process before it that it serves again */
	uint32_t answers; /* answers that it sends again */
	uint32_t lost;    /* nodeids and handles that could not be taken over */
	uint32_t op;      /* enum ipc_type of the first request that was under way, 0: none */
};

/* To a role with holders: take over. Not before all of its own holders are there, or what it took could be lost with it. */
struct ipc_take {
	uint64_t zero;
};

/* Serve. Not before the monitor knows every process of the role: one that it does not know of must never serve beside its
 * successor. */
struct ipc_go {
	uint64_t zero;
};

/* The transport: the VMM has closed the connection; nothing is left to do. */
struct ipc_gone {
	uint64_t zero;
};

/* the keeper --------------------------------------------------------------------------------------- */

/* Every question has a tag, which comes back with its answer. One that is not answered in time is sent again with the
 * same tag: to the same keeper or the next one, who may both answer. */

/* Descriptor: something on a mount of the share that is open for reading, by which its handles can be opened. No answer. */
struct ipc_mount {
	uint64_t zero;
};

/* Descriptors: of the objects whose handles are wanted. */
struct ipc_seal {
	uint64_t count;
};
/* tail: struct ipc_sealed_one for each */
struct ipc_sealed {
	uint64_t count;
};
struct ipc_sealed_one {
	uint32_t error; /* errno; ENODEV: its mount was not shown */
	uint32_t len;
	uint8_t handle[IPC_HANDLE_MAX];
};

/* tail: struct ipc_unseal_one[] */
struct ipc_unseal {
	uint64_t count;
};
struct ipc_unseal_one {
	uint64_t mnt_id; /* as statx() tells it */
	uint32_t len;
	uint32_t zero;
	uint8_t handle[IPC_HANDLE_MAX];
};
/* tail: uint32_t errno of each (ENODEV: its mount was not shown; EBADMSG: no keeper has sealed it; ESTALE: it is gone); the
 * descriptors (O_PATH) are those of the zeros. */
struct ipc_unsealed {
	uint64_t count;
};

/* holders ------------------------------------------------------------------------------------------ */

enum held_kind {
	HELD_WORKER, /* a process was made that shares the sender's descriptor table; descriptor: its pidfd */
	HELD_HOLDER, /* likewise */
	HELD_READY,  /* the sender is in its sandbox */
};

/* Of those who share a descriptor table. */
struct ipc_held {
	uint32_t kind;   /* enum held_kind */
	int32_t channel; /* the number, in that table, of a holder's channel to the monitor: of the new one, or the sender's */
	int32_t pid;     /* for messages */
	uint32_t zero;
};

/* Make another holder, whose channel is the descriptor. */
struct ipc_hold {
	int32_t gone; /* number of the channel of one that died, to be closed; -1: none */
	uint32_t zero;
};

/* Whoever asks on this socket may have what it names. */
struct ipc_show {
	uint64_t zero;
};

/* tail: int32_t numbers of descriptors */
struct ipc_want {
	uint64_t count;
};
/* tail: for each number 1, or 0 when nothing is open there; the descriptors are those of the ones */
struct ipc_have {
	uint64_t count;
};

#endif
