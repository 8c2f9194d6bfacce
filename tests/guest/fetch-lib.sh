# shellcheck shell=sh
# fetch-lib.sh - packages of another Debian suite, fetched and unpacked, not installed.
#
# Sourced by get-kernel and get-uml. Their apt has its own list of sources, its own
# lists and its own cache in the scratch folder, so nothing of this machine's is changed;
# the packages are verified with Debian's keys.

GUEST_KERNEL_DIR=${GUEST_KERNEL_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/virtiofsd-guest-kernel}
DEBIAN_MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
DEBIAN_KEYS=${DEBIAN_KEYS:-/usr/share/keyrings/debian-archive-keyring.gpg}

fetch_die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

# fetch_start [SUITE] - a scratch folder that goes away at the end; and what SUITE has.
# Without a suite, this machine's own sources are used.
fetch_start() {
	FETCH_SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/virtiofsd-fetch.XXXXXX")
	trap 'rm -rf "$FETCH_SCRATCH"' EXIT
	trap 'exit 1' INT TERM HUP
	# apt-get fetches as the user _apt where it can.
	chmod 755 "$FETCH_SCRATCH"
	fetch_suite=${1:-}
	[ -n "$fetch_suite" ] || return 0
	[ -r "$DEBIAN_KEYS" ] || fetch_die "no $DEBIAN_KEYS (package debian-archive-keyring)"
	mkdir -p "$FETCH_SCRATCH/lists/partial" "$FETCH_SCRATCH/cache/archives/partial"
	echo "deb [signed-by=$DEBIAN_KEYS] $DEBIAN_MIRROR $fetch_suite main" >"$FETCH_SCRATCH/sources.list"
	fetch_apt apt-get -qq update || fetch_die "cannot read $fetch_suite at $DEBIAN_MIRROR"
}

# fetch_apt PROGRAM ARG... - apt-get or apt-cache, of the suite.
fetch_apt() {
	fetch_program=$1
	shift
	[ -z "$fetch_suite" ] || set -- -o "Dir::Etc::SourceList=$FETCH_SCRATCH/sources.list" \
		-o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$FETCH_SCRATCH/lists" \
		-o "Dir::Cache=$FETCH_SCRATCH/cache" -o Dir::State::status=/dev/null \
		-o Acquire::Languages=none "$@"
	"$fetch_program" "$@"
}

# fetch_unpack DIR PACKAGE... - downloads them and unpacks them into DIR.
fetch_unpack() {
	fetch_dir=$1
	shift
	rm -rf "$FETCH_SCRATCH/debs"
	mkdir "$FETCH_SCRATCH/debs"
	chown _apt "$FETCH_SCRATCH/debs" 2>/dev/null || :
	(cd "$FETCH_SCRATCH/debs" && fetch_apt apt-get -qq download "$@") ||
		fetch_die "cannot download $*"
	mkdir -p "$fetch_dir"
	for fetch_deb in "$FETCH_SCRATCH"/debs/*.deb; do
		dpkg -x "$fetch_deb" "$fetch_dir"
	done
}
