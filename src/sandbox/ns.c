/* ns.c - mount namespaces: an empty root for processes that own no file, the share as root for the one that does.
 *
 * Role: transport, fsworker. All is done with descriptors of detached mounts, never by a path in the host's tree: what
 * the shared directory's owner or a guest puts into it (symbolic links, mounts, races) is not looked at.
 *
 * The share. open_tree() copies the mounts at and below the shared directory. It must come before unshare():
 * the descriptor's mount belongs to the monitor's namespace, and only mounts of one's own can be copied. The copy
 * is private: what the host mounts below the share later stays out. Flags are set on every mount of the copy at
 * once, before anything can use it. Only when asked for (--propagate-mounts) it is a slave instead: later mounts
 * come in, with their own flags, and without nodev a taken-over fsworker could open a device there. What is done
 * here never goes out in either case.
 *
 * procfs. linkat() without CAP_DAC_READ_SEARCH, and reopening an O_PATH descriptor, go through /proc/self/fd. The
 * fsworker gets that one directory, cut out of a procfs of its own pid namespace as a mount of its own: ".." stays
 * in it, so there is no way to /proc/self/mem (which would write to pages that are mapped read-only) or to any other
 * process; and it is read-only. Before Linux 6.15 only an attached mount can be cut from, so the procfs sits on
 * "/" of a fresh namespace for the moment.
 */
#include "sandbox/sandbox_internal.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>

/* A mount of a new file system instance that is attached nowhere. The descriptor, or -errno. */
static int detached_fs(const char *type, const char *const opts[][2], uint64_t attrs, const char **step)
{
	*step = "make a file system for the sandbox (CAP_SYS_ADMIN)";
	AUTO_FD ctx = fsopen(type, FSOPEN_CLOEXEC);
	if (ctx < 0)
		return -errno;
	*step = "configure a file system of the sandbox";
	for (int i = 0; opts[i][0]; i++)
		if (fsconfig(ctx, FSCONFIG_SET_STRING, opts[i][0], opts[i][1], 0) < 0)
			return -errno;
	*step = "create a file system of the sandbox";
	if (fsconfig(ctx, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	*step = "mount a file system of the sandbox";
	int fd = fsmount(ctx, FSMOUNT_CLOEXEC, (unsigned int)attrs);
	return fd < 0 ? -errno : fd;
}

/* A mount namespace of our own that neither sends nor receives mounts. */
static int private_namespace(const char **step)
{
	*step = "make a mount namespace (CAP_SYS_ADMIN)";
	if (unshare(CLONE_NEWNS) < 0)
		return -errno;
	*step = "make the mounts of the sandbox private";
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	return 0;
}

/* Lay a detached mount over "/", make it the root, and let the old root go with everything on it. */
static int pivot_to(int mount_fd, const char **step)
{
	*step = "enter the new root";
	if (fchdir(mount_fd) < 0)
		return -errno;
	*step = "attach the new root";
	if (move_mount(mount_fd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return -errno;
	*step = "change the root (the daemon's own root must be a mount point: neither chroot nor initramfs)";
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return -errno;
	/* The old root now lies over the new one, which is where "." leads. */
	*step = "detach the old root";
	if (umount2(".", MNT_DETACH) < 0)
		return -errno;
	*step = "enter the new root";
	if (chdir("/") < 0)
		return -errno;
	return 0;
}

/**
 * ns_empty_root() - leave the host's tree for an empty directory that nobody can write to.
 */
int ns_empty_root(const char **step)
{
	static const char *const opts[][2] = {
		{ "size", "4k" }, { "nr_inodes", "1" }, { "mode", "0555" }, { NULL, NULL },
	};
	int r = private_namespace(step);
	if (r < 0)
		return r;
	AUTO_FD root = detached_fs("tmpfs", opts,
				   MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
				   step);
	if (root < 0)
		return root;
	return pivot_to(root, step);
}

/* The copy of the share's mounts, with the flags of the sandbox on each. */
static int copy_share(const struct sandbox_params *params, const char **step)
{
	*step = "copy the mounts of the shared directory (CAP_SYS_ADMIN)";
	AUTO_FD tree = open_tree(params->source_fd, "",
				 OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_EMPTY_PATH);
	if (tree < 0)
		return -errno;

	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
		.propagation = params->propagate ? MS_SLAVE : MS_PRIVATE,
	};
	if (params->read_only)
		attr.attr_set |= MOUNT_ATTR_RDONLY;
	*step = "restrict the mounts of the shared directory";
	if (mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
		return -errno;
	return take_fd(&tree);
}

/* A procfs of this pid namespace in *procfs (for the moment), and its self/fd as a mount of its own (returned).
 * Needs a private namespace. */
static int cut_out_self_fd(int *procfs, const char **step)
{
	static const char *const opts[][2] = { { "subset", "pid" }, { NULL, NULL } };

	AUTO_FD proc = detached_fs("proc", opts,
				   MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
				   step);
	if (proc < 0)
		return proc;
	*step = "attach the procfs of the sandbox";
	if (fchdir(proc) < 0 || move_mount(proc, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return -errno;
	*step = "take /proc/self/fd out of the procfs";
	AUTO_FD self_fd = open_tree(proc, "self/fd", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (self_fd < 0)
		return -errno;
	*step = "detach the procfs of the sandbox";
	if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return -errno;
	*procfs = take_fd(&proc);
	return take_fd(&self_fd);
}

/**
 * ns_share_root() - make the shared directory the root, in a new namespace or in that of an earlier fsworker.
 *
 * An earlier namespace is entered and not copied: link() and rename() between descriptors of two mounts fail with
 * EXDEV even when both show the same file system.
 */
int ns_share_root(const struct sandbox_params *params, struct sandbox_result *result, const char **step)
{
	AUTO_FD tree = -1, procfs = -1, self_fd = -1, ns = -1, root = -1;
	int r;

	if (params->mntns_fd < 0) {
		tree = copy_share(params, step);
		if (tree < 0)
			return tree;
	}
	r = private_namespace(step);
	if (r < 0)
		return r;
	self_fd = cut_out_self_fd(&procfs, step);
	if (self_fd < 0)
		return self_fd;
	if (params->mntns_fd < 0) {
		r = pivot_to(tree, step);
		if (r < 0)
			return r;
	} else {
		*step = "enter the mount namespace of the earlier fsworker (CAP_SYS_ADMIN, CAP_SYS_CHROOT)";
		if (setns(params->mntns_fd, CLONE_NEWNS) < 0)
			return -errno;
	}
	*step = "open the mount namespace of the sandbox";
	ns = openat(procfs, "self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (ns < 0)
		return -errno;
	*step = "open the root of the share";
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -errno;

	result->root_fd = take_fd(&root);
	result->proc_fd = take_fd(&self_fd);
	result->mntns_fd = take_fd(&ns);
	return 0;
}
