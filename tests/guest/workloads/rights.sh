# shellcheck shell=sh
# rights: setuid, setgid and capabilities go away as they must, setgid folders,
# sticky folders, umask, supplementary groups.

w_prepare() {
	# Groups and other users of the guest reach their folders below this one.
	chmod 755 .
}

w_guest() {
	probe killpriv killcaps setgid-dir sticky umask groups
}

w_verify() {
	expect_is "$(stat -c %a probe-killpriv/priv-write)" 777 "setuid after a user's write"
	expect_is "$(stat -c %a probe-killpriv/priv-root)" 6777 "setuid after root's write"
	expect_is "$(stat -c '%u:%g %a' probe-setgid-dir/sgid/dir)" "2000:3000 2755" "setgid folder"
	expect_is "$(stat -c '%u:%g' probe-groups/groups/new)" "2000:4000" "by a group's right"
	expect_is "$(stat -c %a probe-umask/umask-file)" 640 "umask"
}
