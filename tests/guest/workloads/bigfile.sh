# shellcheck shell=sh
# bigfile: a sparse file of more than 4 GiB with data at the start, on both sides
# of 2 GiB and 4 GiB, and at the end.

# The places, in blocks of 4096 bytes.
places="0 524287 524288 1048575 1048576 1310720"

w_guest() {
	for place in $places; do
		some_bytes 4096 "$place" | dd of=big bs=4096 seek="$place" conv=notrunc 2>/dev/null ||
			fail "write at block $place"
	done
	check_big
	dd if=big of=big bs=4096 skip=1048576 seek=1310721 count=1 conv=notrunc 2>/dev/null ||
		fail "copy within"
	truncate -s 6442450944 big || fail "truncate to 6 GiB"
	expect_is "$(stat -c %s big)" 6442450944 "size"
	expect_is "$(tail -c 10 big | tr -d '\0')" "" "zeroes at the end"
}

check_big() {
	for place in $places; do
		dd if=big bs=4096 skip="$place" count=1 2>/dev/null >"${TMPDIR:-/tmp}/big-part"
		some_bytes 4096 "$place" | cmp - "${TMPDIR:-/tmp}/big-part" || fail "block $place"
	done
	rm -f "${TMPDIR:-/tmp}/big-part"
	[ "$(du -k big | cut -f 1)" -lt 4096 ] || fail "it is not sparse: $(du -k big)"
}

w_verify() {
	check_big
	expect_is "$(stat -c %s big)" 6442450944 "size on the host"
	dd if=big bs=4096 skip=1310721 count=1 2>/dev/null >part
	some_bytes 4096 1048576 | cmp - part || fail "block copied within"
}
