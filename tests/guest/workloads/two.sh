# shellcheck shell=sh
# two: two guests, each with a daemon of its own, on one folder at the same time:
# each sees what the other makes, and they count together under locks.
# shellcheck disable=SC2034,SC2153
w_guests=2

lock() {
	"$HELPERS/locktool" "$@"
}

w_guest() {
	other=$((3 - ROLE))
	: >"here-$ROLE"
	wait_for_file "here-$other"
	mkdir "of-$ROLE"
	i=0
	while [ "$i" -lt 100 ]; do
		echo "$ROLE made $i" >"of-$ROLE/$i" || fail "create $i"
		i=$((i + 1))
	done
	: >"made-$ROLE"
	wait_for_file "made-$other"
	expect_is "$(cat "of-$other"/* | grep -c "^$other made")" 100 "files of the other guest"

	# One of two makes it, however close they are.
	i=0
	won=0
	while [ "$i" -lt 20 ]; do
		mkdir "race-$i" 2>/dev/null && won=$((won + 1))
		i=$((i + 1))
	done
	echo "$won" >"won-$ROLE"

	for kind in flock posix; do
		lock "$kind" count "count-$kind" ex 60 || fail "count with $kind"
	done

	# A file that the other removes stays usable while it is open here.
	if [ "$ROLE" = 1 ]; then
		echo "still there" >kept
		exec 3<kept
		: >opened
		wait_for_file removed
		expect_is "$(cat <&3)" "still there" "a file removed by the other guest"
		exec 3<&-
	else
		wait_for_file opened
		rm kept || fail "remove"
		: >removed
	fi
	: >"end-$ROLE"
	wait_for_file "end-$other"
}

w_verify() {
	for role in 1 2; do
		expect_is "$(cat "of-$role"/* | grep -c "^$role made")" 100 "files of guest $role"
	done
	expect_is "$(($(cat won-1) + $(cat won-2)))" 20 "folders made by one of two"
	for kind in flock posix; do
		expect_is "$(cat "count-$kind")" 0000000120 "count under $kind locks"
	done
	[ ! -e kept ] || fail "the removed file is there"
}
