# shellcheck shell=sh
# newops: what guests ask for since FUSE 7.34: SYNCFS, TMPFILE, STATX, idmapped mounts,
# COPY_FILE_RANGE_64, SETXATTR with its extension; and all flags of rename and
# fallocate. What a guest's kernel cannot ask for is left out, and said.

# shellcheck disable=SC2034
w_needs="setfattr getfattr"

# cap_net_raw=ep, as struct vfs_cap_data version 2.
caps=0x0100000200200000000000000000000000000000
# u::rw- u:1000:rw- g::r-- m::rw- o::---, as an ACL of Linux.
acl=0x0200000001000600ffffffff02000600e803000004000400ffffffff10000600ffffffff20000000ffffffff

w_prepare() {
	chmod 755 .
	mkdir range && truncate -s 512M range.img || return 1
	# A file system that shares blocks, so that 5 GiB are copied at once.
	if mkfs.xfs -q range.img && mount -o loop range.img range; then
		: >range/mounted
	fi
	command -v setfattr >/dev/null || return 0
	echo x >xattrs-here
	setfattr -n user.test -v x xattrs-here || rm xattrs-here
}

w_cleanup() {
	umount range 2>/dev/null
	rm -f range.img
}

w_guest() {
	probe tmpfile statx rename-flags fallocate-modes syncfs idmap
	if [ -e range/mounted ]; then
		(cd range && probe copy-range-64) || exit 1
	else
		echo "left out: copy-range-64: no xfs on this host"
	fi
	if [ -e xattrs-here ]; then
		attributes
	else
		echo "left out: attributes: no setfattr, or none on this file system"
	fi
}

attributes() {
	echo x >caps
	setfattr -n security.capability -v $caps caps || fail "set capabilities"
	expect_is "$(getfattr -e hex -n security.capability caps | sed -n 's/^security.capability=//p')" \
		$caps "capabilities"
	echo x >acl
	chmod 640 acl
	if setfattr -n system.posix_acl_access -v $acl acl 2>"$TMPDIR/error"; then
		expect_is "$(getfattr -e hex -n system.posix_acl_access acl | sed -n 's/^system.posix_acl_access=//p')" \
			$acl "ACL"
		expect_is "$(stat -c %a acl)" 660 "mode with an ACL"
	else
		echo "left out: ACL: $(cat "$TMPDIR/error")"
	fi
}

w_verify() {
	if [ -e probe-tmpfile/tmpfile-named ]; then
		expect_is "$(stat -c '%s %h %a' probe-tmpfile/tmpfile-named)" "100000 1 640" "named O_TMPFILE"
	fi
	[ ! -e probe-tmpfile/tmpfile-excl ] || fail "a file that must not have a name"
	expect_is "$(stat -c '%s %h %a %u:%g' probe-statx/statx-file)" "12345 2 604 12:34" "attributes"
	[ ! -e probe-statx/statx-birth ] ||
		expect_is "$(stat -c %.9W probe-statx/statx-file)" "$(cat probe-statx/statx-birth)" "birth time"
	[ -f probe-rename-flags/r-dir ] && [ -d probe-rename-flags/r-b ] || fail "exchanged names"
	expect_is "$(stat -c %s probe-syncfs/syncfs)" 1048576 "size after syncfs"
	if [ -e probe-idmap/of-root ]; then
		for file in of-root of-root/file of-root/link of-root/fifo; do
			expect_is "$(stat -c '%u:%g' "probe-idmap/$file")" 3000:3000 "owner of $file"
		done
		for file in of-user of-user/file of-user/link of-user/pipe given; do
			expect_is "$(stat -c '%u:%g' "probe-idmap/$file")" 7000:7000 "owner of $file"
		done
		[ ! -e probe-idmap/of-user/tmpfile ] ||
			expect_is "$(stat -c '%u:%g' probe-idmap/of-user/tmpfile)" 7000:7000 "owner of tmpfile"
		expect_is "$(stat -c '%u:%g' probe-idmap/unmapped)" 0:0 "owner of unmapped"
		[ ! -e probe-idmap/stranger ] || fail "a file without an owner"
	fi
	if [ -e range/mounted ]; then
		cmp -n "$(stat -c %s range/probe-copy-range-64/copy-to)" range/probe-copy-range-64/copy-from \
			range/probe-copy-range-64/copy-to || fail "copied range"
	fi
	[ ! -e xattrs-here ] || expect_is "$(getfattr -e hex -n security.capability caps |
		sed -n 's/^security.capability=//p')" $caps "capabilities on the host"
}
