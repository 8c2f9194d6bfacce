# shellcheck shell=sh
# hosterrors: what the host's file system refuses arrives as its error: no space,
# read-only, another file system. Mounted below the share, each of its own.

w_prepare() {
	mkdir small readonly && truncate -s 24M small.img || return 1
	mkfs.ext4 -q -F -m 0 small.img && mount -o loop small.img small || return 1
	mount --bind small readonly && mount -o remount,bind,ro readonly || return 1
	echo kept >small/file
}

w_cleanup() {
	umount readonly small 2>/dev/null
	rm -f small.img
}

w_guest() {
	(cd small && "$HELPERS/fileprobe" full) || fail "no space"
	(echo x >readonly/new) 2>"$TMPDIR/error" && fail "wrote to a read-only file system"
	grep -qi 'read-only' "$TMPDIR/error" || fail "wrong error: $(cat "$TMPDIR/error")"
	expect_is "$(cat readonly/file)" kept "read from a read-only file system"
	rm readonly/file 2>"$TMPDIR/error" && fail "removed from a read-only file system"
	grep -qi 'read-only' "$TMPDIR/error" || fail "wrong error: $(cat "$TMPDIR/error")"
	ln small/file link 2>"$TMPDIR/error" && fail "a link from one file system to another"
	grep -qi 'cross-device' "$TMPDIR/error" || fail "wrong error: $(cat "$TMPDIR/error")"
}

w_verify() {
	expect_is "$(cat small/file)" kept "file on the host"
	[ ! -e readonly/new ] || fail "a file on the read-only file system"
}
