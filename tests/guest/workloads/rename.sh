# shellcheck shell=sh
# rename: processes move files between folders, folders with their contents, and new
# files over old ones; none is lost, none doubled, and a replaced name always exists.

w_guest() {
	probe rename-storm
	# The shell's way, with paths of several levels.
	mkdir -p a/b/c d/e
	echo deep >a/b/c/file
	mv a/b d/e/ || fail "mv of a folder"
	expect_is "$(cat d/e/b/c/file)" deep "file below the moved folder"
	[ ! -e a/b ] || fail "the old name is still there"
	mv d/e/b/c/file file && mv file d/file || fail "mv of a file"
	mv d a/ || fail "mv of the folder's folder"
	expect_is "$(cat a/d/file)" deep "file at the end"
}

w_verify() {
	expect_is "$(find probe-rename-storm -type f | wc -l)" 37 "files on the host"
	expect_is "$(find probe-rename-storm/to* -type f | wc -l)" 0 "files left on their way"
	expect_is "$(find probe-rename-storm/from2 -type f | wc -l)" 8 "files of one process"
	expect_is "$(cat a/d/file)" deep "file on the host"
	[ -d a/d/e/b/c ] || fail "moved folders on the host"
}
