# shellcheck shell=sh
# xattr: extended attributes, set on one side and read on the other.

w_prepare() {
	command -v setfattr >/dev/null || skip "no setfattr (package attr)"
	echo x >from-host
	setfattr -n user.host -v "of the host" from-host || skip "no user attributes on this file system"
	setfattr -n user.binary -v 0x00ff10 from-host
}

# shellcheck disable=SC2034
w_needs="setfattr getfattr"

w_guest() {
	expect_is "$(getfattr --only-values -n user.host from-host)" "of the host" "the host's attribute"
	expect_is "$(getfattr -e hex -n user.binary from-host | sed -n 's/^user.binary=//p')" 0x00ff10 \
		"the host's bytes"
	probe xattr
	setfattr -n user.guest -v "of the guest" from-host || fail "set"
	setfattr -x user.binary from-host || fail "remove"
	some_bytes 2000 xattr >"$TMPDIR/value"
	echo x >large
	setfattr -n user.large -v "$(cat "$TMPDIR/value")" large || fail "a value of 2000 bytes"
	expect_is "$(getfattr --only-values -n user.large large)" "$(cat "$TMPDIR/value")" "large value"
}

w_verify() {
	expect_is "$(getfattr --only-values -n user.guest from-host)" "of the guest" "on the host"
	getfattr -n user.binary from-host 2>/dev/null && fail "user.binary is still there"
	expect_is "$(getfattr --only-values -n user.large large)" "$(some_bytes 2000 xattr)" "large value"
	expect_is "$(getfattr -d probe-xattr/x-file | grep -c number)" 39 "attributes on the host"
	expect_is "$(getfattr --only-values -n user.dir probe-xattr/x-dir)" folder "of a folder"
}
