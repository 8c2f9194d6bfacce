# shellcheck shell=sh
# manyfiles: many files in one folder (100,000 in the long form): created,
# listed, looked up, a part removed, while the listing goes on.
# shellcheck disable=SC2034
w_needs="find"

how_many() {
	if [ "$LONG" = 1 ]; then echo 100000; else echo 4000; fi
}

w_guest() {
	total=$(how_many)
	mkdir many || fail "mkdir"
	n=0
	while [ "$n" -lt "$total" ]; do
		: >"many/a-name-of-some-length-$n"
		n=$((n + 1))
	done
	expect_is "$(find many -type f | wc -l | tr -d ' ')" "$total" "files listed"
	expect_is "$(find many -type f | sort -u | wc -l | tr -d ' ')" "$total" "different names"
	[ -e "many/a-name-of-some-length-$((total - 1))" ] || fail "last file"
	[ ! -e "many/a-name-of-some-length-$total" ] || fail "a file that was never made"
	# Remove those that end in 5 while reading the folder.
	find many -name '*5' -exec rm {} + || fail "rm"
	expect_is "$(find many -type f | wc -l | tr -d ' ')" $((total - total / 10)) "files left"
	rmdir many 2>/dev/null && fail "removed a folder that is not empty"
	return 0
}

w_verify() {
	total=$(how_many)
	expect_is "$(find many -type f | wc -l)" $((total - total / 10)) "files on the host"
	expect_is "$(find many -name '*5' | wc -l)" 0 "removed files"
}
