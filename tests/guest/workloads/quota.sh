# shellcheck shell=sh
# quota: a write over the quota of the host's file system fails in the guest with
# EDQUOT; below it, writing goes on.

# A file system below the share that lets user 2000 write no more than 2 MiB: xfs with
# quotas of users, or btrfs with a quota of the whole, for which the kernel needs no
# quota of its own.
w_prepare() {
	mkdir limited && truncate -s 320M limited.img || return 1
	if mkfs.xfs -q -f limited.img && mount -o loop,uquota limited.img limited; then
		echo "xfs" >kind
		xfs_quota -x -c 'limit -u bhard=2m 2000' limited || return 1
	elif mkfs.btrfs -q -f limited.img && mount -o loop limited.img limited; then
		echo "btrfs" >kind
		btrfs quota enable limited && btrfs qgroup limit 2m limited || return 1
	else
		skip "no xfs with user quotas and no btrfs: mkfs.xfs, mkfs.btrfs, or the kernel without"
	fi
	chmod 777 limited
}

w_cleanup() {
	umount limited 2>/dev/null
	rm -f limited.img
}

w_guest() {
	(cd limited && "$HELPERS/fileprobe" quota) || fail "over quota"
	echo small >limited/small || fail "below the quota again"
}

w_verify() {
	expect_is "$(cat limited/small)" small "file on the host"
	expect_is "$(find limited -name 'quota-file')" "" "the file that was over quota"
}
