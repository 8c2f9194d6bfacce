# shellcheck shell=sh
# rename: processes move the same set of files between folders, over each other
# and in circles; none is lost and none doubled.
# shellcheck disable=SC2034
w_needs="mv"

mover() {
	n=0
	while [ "$n" -lt "$2" ]; do
		for f in "from$1"/*; do
			mv "$f" "to$1/" || fail "mv $f to$1/"
			mv "to$1/${f##*/}" "$f" || fail "mv to$1/${f##*/} $f"
		done
		# A whole folder away and back, with what it holds.
		mv "from$1" "elsewhere/from$1" || fail "mv of the folder"
		[ -e "elsewhere/from$1/1" ] || fail "contents of the moved folder"
		[ ! -e "from$1" ] || fail "the old name is still there"
		mv "elsewhere/from$1" "from$1" || fail "mv back of the folder"
		# Over an existing file.
		echo "$1 $n" >"new$1"
		mv -f "new$1" "over$1" || fail "mv over$1"
		expect_is "$(cat "over$1")" "$1 $n" "replaced file"
		# All of them over one name: it always exists.
		echo "$1" >"common.$1"
		mv -f "common.$1" common || fail "mv to common"
		[ -s common ] || fail "the common name was gone"
		n=$((n + 1))
	done
}

w_guest() {
	rounds=6
	[ "$LONG" != 1 ] || rounds=150
	mkdir elsewhere
	for m in 1 2 3; do
		mkdir "from$m" "to$m"
		for f in 1 2 3 4 5 6 7 8; do
			echo "$m-$f" >"from$m/$f"
		done
	done
	mover 1 "$rounds" &
	pid1=$!
	mover 2 "$rounds" &
	pid2=$!
	mover 3 "$rounds" || fail "mover 3"
	wait "$pid1" || fail "mover 1"
	wait "$pid2" || fail "mover 2"
	check_end || fail "files at the end"
	mv from1 from1/inside 2>/dev/null && fail "a folder went into itself"
	mv from1 "from2" && [ -e from2/from1/8 ] && mv from2/from1 from1 || fail "folder into folder"
	return 0
}

check_end() {
	for m in 1 2 3; do
		for f in 1 2 3 4 5 6 7 8; do
			expect_is "$(cat "from$m/$f")" "$m-$f" "from$m/$f"
		done
		expect_is "$(find "from$m" "to$m" -type f | wc -l | tr -d ' ')" 8 "files of mover $m"
	done
	expect_is "$(find elsewhere | wc -l | tr -d ' ')" 1 "nothing left elsewhere"
}

w_verify() {
	check_end
	expect_is "$(find . -type f | wc -l)" 28 "files on the host"
}
