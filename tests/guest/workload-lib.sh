# shellcheck shell=sh
# workload-lib.sh - what workloads use, in the guest and on the host.

fail() {
	echo "$*"
	exit 1
}

skip() {
	printf '%s\n' "$*" >"${TMPDIR:-/tmp}/skip-reason"
	exit 77
}

# expect_is GOT WANTED WHAT
expect_is() {
	[ "$1" = "$2" ] || fail "$3: '$1', should be '$2'"
}

# probe NAME... - checks of fileprobe; each in a folder of its own.
probe() {
	for p in "$@"; do
		mkdir "probe-$p" || fail "mkdir probe-$p"
		(cd "probe-$p" && exec "$HELPERS/fileprobe" "$p")
		case $? in
		0) echo "probe $p: good" ;;
		77) echo "probe $p: not supported" ;;
		*) fail "probe $p failed" ;;
		esac
	done
}

# wait_for_file PATH - a file that the other side makes; the guest waits a minute,
# the host as long as a guest may run (WAIT_SECONDS).
wait_for_file() {
	read -r until _ </proc/uptime
	until=$((${until%.*} + ${WAIT_SECONDS:-60}))
	# Only the sleep is another process: those are slow in a guest.
	while ! { true <"$1"; } 2>/dev/null; do
		read -r now _ </proc/uptime
		[ "${now%.*}" -lt "$until" ] || fail "$1 did not appear"
		sleep 0.2
	done
}

# manifest - all about each file below the current folder but its inode's number.
# The size of a folder and the time of a link's target are the file system's own.
manifest() {
	find . -type d -printf '%P %y %m %U %G %T@\n' -o \
		-type l -printf '%P %y %U %G %T@ %l\n' -o \
		-printf '%P %y %m %U %G %s %T@ %n\n' | LC_ALL=C sort
}

# list_tree FOLDER INTO - all that a tree shows, into three files: names with their
# attributes, contents, extended attributes.
list_tree() (
	cd "$1" || exit 1
	manifest >"$2/manifest"
	find . -type f -exec sha256sum {} + | LC_ALL=C sort >"$2/contents"
	# One line for each file.
	find . ! -type l -exec getfattr -d -e hex -m '^user\.' {} + 2>/dev/null |
		awk 'BEGIN { RS = "" } { gsub(/\n/, " "); print }' | LC_ALL=C sort >"$2/xattrs"
)

# some_bytes SIZE SEED - the same bytes each time, to standard output.
some_bytes() {
	yes "$2 and $2 again, $1" | head -c "$1"
}
