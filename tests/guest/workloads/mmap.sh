# shellcheck shell=sh
# mmap: shared and private mappings against read and write; the host reads what
# was written through a mapping.

w_guest() {
	probe mmap mmap-count
}

w_verify() {
	expect_is "$(od -An -tu4 -N4 probe-mmap-count/count | tr -d ' ')" 40000 "count on the host"
	expect_is "$(stat -c %s probe-mmap/mmap)" 4096 "size after the truncation"
	expect_is "$(tail -c 96 probe-mmap/mmap | od -An -v -tx1 | tr -d ' \na5')" "" "mapped bytes"
}
