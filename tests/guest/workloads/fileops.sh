# shellcheck shell=sh
# fileops: what only a program can ask for: O_TMPFILE, flags of renameat2, holes,
# fallocate, birth time, copy_file_range over 4 GiB, O_DIRECT, append, names, limits.

w_guest() {
	probe tmpfile rename-flags holes fallocate btime copy-range direct append names file-limit
	# It may write all of the 4 GiB.
	[ "$LONG" != 1 ] || probe copy-range-all
}

w_verify() {
	# Not every daemon and guest kernel have O_TMPFILE.
	if [ -e probe-tmpfile/tmpfile-named ]; then
		expect_is "$(stat -c '%s %h' probe-tmpfile/tmpfile-named)" "100000 1" "named O_TMPFILE"
	fi
	[ ! -e probe-tmpfile/tmpfile-excl ] || fail "a file that must not have a name"
	[ -f probe-rename-flags/r-dir ] && [ -d probe-rename-flags/r-b ] || fail "exchanged names"
	expect_is "$(wc -l <probe-append/append)" 2000 "appended lines"
	expect_is "$(stat -c %s probe-holes/holes)" 16777216 "size with holes"
	[ "$(stat -c %b probe-holes/holes)" -lt 8192 ] || fail "holes became data"
}
