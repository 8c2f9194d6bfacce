# shellcheck shell=sh
# hosterrors: what the host's file system refuses arrives as its error: no space,
# over quota, read-only. File systems mounted below the share, each of its own.

w_prepare() {
	mkdir small quota readonly && truncate -s 24M small.img && truncate -s 320M quota.img || return 1
	mkfs.ext4 -q -F -m 0 small.img && mount -o loop small.img small || return 1
	mount --bind small readonly && mount -o remount,bind,ro readonly || return 1
	echo kept >small/file
	# Quota by xfs: needs no tools but its own.
	if mkfs.xfs -q quota.img 2>/dev/null && mount -o loop,uquota quota.img quota 2>/dev/null; then
		chmod 777 quota
		xfs_quota -x -c 'limit -u bhard=2m 2000' quota || : >no-quota
	else
		: >no-quota
	fi
}

w_cleanup() {
	umount readonly small quota 2>/dev/null
	rm -f small.img quota.img
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
	if [ ! -e no-quota ]; then
		(cd quota && "$HELPERS/fileprobe" quota) || fail "over quota"
	else
		echo "no quota on this host"
	fi
}

w_verify() {
	expect_is "$(cat small/file)" kept "file on the host"
	[ ! -e readonly/new ] || fail "a file on the read-only file system"
}
