# shellcheck shell=bash
# lib.sh - the host side of the guest tests: where things are, shares, results.
#
# Sourced by run-guest, run-workloads, check-posix, check-fsx, check-locks,
# check-crash and guest-short (bash). Nothing in it starts by being sourced. Everything that has to be
# undone (mounts, loop devices, scratch folders) is registered with
# on_exit_do and undone in reverse order when the script ends, by whatever way.

GUEST_SRCDIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# In the build tree the helper programs lie in tests/guest of the build
# directory; --builddir or BUILDDIR name its top for builds out of the tree.
BUILDDIR=${BUILDDIR:-$(cd "$GUEST_SRCDIR/../.." && pwd)}
GUEST_KERNEL_DIR=${GUEST_KERNEL_DIR:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/virtiofsd-guest-kernel}
GUEST_KERNEL_ROOTS=("$GUEST_KERNEL_DIR" "")
UML=${UML:-linux.uml}
QEMU=${QEMU:-qemu-system-x86_64}

# /usr/sbin is not in every user's path, and mkfs, losetup live there.
case ":$PATH:" in
*:/usr/sbin:*) ;;
*) PATH=$PATH:/usr/sbin:/sbin ;;
esac

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 125
}

note() {
	printf '# %s\n' "$*"
}

skip_all() {
	printf 'SKIP %s: %s\n0 passed, 0 failed, 1 skipped\n' "${0##*/}" "$*"
	exit 77
}

# ---------------------------------------------------------------- clean-up

EXIT_ACTIONS=()

on_exit_do() {
	EXIT_ACTIONS+=("$(printf '%q ' "$@")")
}

# run_exit_actions() - undo in reverse order; also called by hand between steps.
run_exit_actions() {
	local i
	for ((i = ${#EXIT_ACTIONS[@]} - 1; i >= 0; i--)); do
		eval "${EXIT_ACTIONS[i]}" || true
	done
	EXIT_ACTIONS=()
}

# end_in_order() - the exit status is that of the script, not of the undoing.
end_in_order() {
	local status=$?
	trap - EXIT INT TERM HUP
	run_exit_actions
	exit "$status"
}

cleanup_on_exit() {
	trap end_in_order EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}

make_scratch() {
	SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/virtiofsd-guest.XXXXXX") ||
		die "cannot make a scratch folder"
	on_exit_do rm -rf --one-file-system "$SCRATCH"
}

# stop_process PID SECONDS - TERM, then KILL; only if PID is still a child of this
# shell, so that no other process that got the number is meant.
stop_process() {
	jobs -pr | grep -qx "$1" || return 0
	kill -TERM "$1" 2>/dev/null || return 0
	wait_gone "$1" "$2" && return 0
	kill -KILL "$1" 2>/dev/null
	wait_gone "$1" 5
}

# wait_gone PID SECONDS - true once the process has ended.
wait_gone() {
	local tenths=$(($2 * 10))
	while kill -0 "$1" 2>/dev/null; do
		[ "$tenths" -gt 0 ] || return 1
		tenths=$((tenths - 1))
		sleep 0.1
	done
	return 0
}

# ------------------------------------------------------------- what is here

have() {
	command -v "$1" >/dev/null 2>&1
}

# use_kernel SUITE - the guest's kernel is what get-uml or get-kernel fetched of SUITE.
use_kernel() {
	GUEST_KERNEL_ROOTS=("$GUEST_KERNEL_DIR/$1/qemu")
	UML=$GUEST_KERNEL_DIR/$1/uml/linux.uml
	UML_MODULES=$GUEST_KERNEL_DIR/$1/uml/modules
	UML_MISSING="no user-mode-linux of $1 in $GUEST_KERNEL_DIR (run get-uml $1)"
	QEMU_MISSING="no kernel of $1 for QEMU in $GUEST_KERNEL_DIR (run get-kernel --suite=$1)"
}

uml_module_dir() {
	local dir
	for dir in "${UML_MODULES:-/usr/lib/uml/modules}"/*/kernel/fs/fuse; do
		[ -e "$dir/virtiofs.ko" ] && { printf '%s\n' "$dir"; return 0; }
	done
	return 1
}

# missing_for KIND - prints why this kind of guest cannot be started, or nothing.
missing_for() {
	[ "$(id -u)" = 0 ] || { echo "needs root"; return; }
	have busybox || { echo "busybox is not installed (busybox-static)"; return; }
	case $1 in
	uml)
		have "$UML" || { echo "${UML_MISSING:-$UML is not installed (user-mode-linux)}"; return; }
		uml_module_dir >/dev/null || echo "no virtiofs module for $UML"
		;;
	qemu)
		have "$QEMU" || { echo "$QEMU is not installed (qemu-system-x86)"; return; }
		find_guest_kernel ||
			echo "${QEMU_MISSING:-no guest kernel in $GUEST_KERNEL_DIR (run get-kernel)}"
		;;
	esac
}

# find_guest_kernel() - sets KERNEL_IMAGE and KERNEL_MODULES.
# shellcheck disable=SC2034 # read by run-guest
find_guest_kernel() {
	local image version root
	for root in "${GUEST_KERNEL_ROOTS[@]}"; do
		for image in "$root"/boot/vmlinuz-*; do
			version=${image##*/vmlinuz-}
			if [ -r "$image" ] && [ -d "$root/lib/modules/$version/kernel" ]; then
				KERNEL_IMAGE=$image
				KERNEL_MODULES=$root/lib/modules/$version/kernel
				return 0
			fi
		done
	done
	return 1
}

# find_daemon() - sets VIRTIOFSD and DAEMON_HELPERS (the options that name the
# helpers of a build tree) and DAEMON_HELP.
# shellcheck disable=SC2034 # read by run-guest
find_daemon() {
	local top
	VIRTIOFSD=${VIRTIOFSD:-$BUILDDIR/src/monitor/virtiofsd}
	DAEMON_HELPERS=()
	DAEMON_HELP=
	[ -x "$VIRTIOFSD" ] || return 1
	DAEMON_HELP=$("$VIRTIOFSD" --help 2>&1)
	case $DAEMON_HELP in
	*--transport-path*)
		top=$(dirname "$(dirname "$VIRTIOFSD")")
		if [ -x "$top/transport/virtiofsd-transport" ]; then
			DAEMON_HELPERS=("--transport-path=$top/transport/virtiofsd-transport"
				"--fsworker-path=$top/fsworker/virtiofsd-fsworker"
				"--keeper-path=$top/keeper/virtiofsd-keeper")
		fi
		;;
	esac
}

daemon_has() {
	case $DAEMON_HELP in
	*"$1"*) return 0 ;;
	esac
	return 1
}

# ------------------------------------------------------------------- shares

# share_make FS SIZE DIR - a file system of its own, mounted at DIR, so that a
# test that fills it does not fill the host. SIZE as for truncate(1).
share_make() {
	local fs=$1 size=$2 dir=$3 image=$3.img
	mkdir -p "$dir" || return 1
	case $fs in
	tmpfs)
		mount -t tmpfs -o "size=$size,mode=755" virtiofsd-test "$dir" || return 1
		;;
	ext4 | xfs | btrfs)
		share_image "$fs" "$size" "$image" || return 1
		mount -o loop "$image" "$dir" || return 1
		;;
	overlayfs)
		mkdir -p "$dir.base"
		share_image ext4 "$size" "$image" || return 1
		mount -o loop "$image" "$dir.base" || return 1
		on_exit_do umount_surely "$dir.base"
		mkdir "$dir.base/lower" "$dir.base/upper" "$dir.base/work"
		mount -t overlay -o \
			"lowerdir=$dir.base/lower,upperdir=$dir.base/upper,workdir=$dir.base/work" \
			virtiofsd-test "$dir" || return 1
		;;
	dir) ;;
	*)
		echo "unknown file system '$fs' (ext4 xfs btrfs tmpfs overlayfs dir)" >&2
		return 1
		;;
	esac
	[ "$fs" = dir ] || on_exit_do umount_surely "$dir"
	chmod 755 "$dir"
}

share_image() {
	rm -f "$3"
	truncate -s "$2" "$3" || return 1
	case $1 in
	# One inode in 4 KiB, for the folder of 100,000 files.
	ext4) mkfs.ext4 -q -F -i 4096 -E lazy_itable_init=1 "$3" ;;
	xfs) mkfs.xfs -q -f "$3" ;;
	# It tells of its defaults even so.
	btrfs) mkfs.btrfs -q -f "$3" >"$3.log" 2>&1 || { cat "$3.log" >&2; return 1; } ;;
	esac
}

umount_surely() {
	mountpoint -q "$1" || return 0
	umount "$1" 2>/dev/null || { sleep 1; umount "$1" 2>/dev/null; } || umount -l "$1"
}

# ------------------------------------------------------------------ results

PASSED=0
FAILED=0
SKIPPED=0

result_pass() {
	PASSED=$((PASSED + 1))
	printf 'PASS %s\n' "$1"
}

result_fail() {
	FAILED=$((FAILED + 1))
	printf 'FAIL %s%s\n' "$1" "${2:+: $2}"
}

result_skip() {
	SKIPPED=$((SKIPPED + 1))
	printf 'SKIP %s: %s\n' "$1" "$2"
}

# result_end() - the closing line, and the exit status for make check.
result_end() {
	printf '%d passed, %d failed, %d skipped\n' "$PASSED" "$FAILED" "$SKIPPED"
	[ "$FAILED" -eq 0 ] || exit 1
	[ "$PASSED" -gt 0 ] || exit 77
	exit 0
}
