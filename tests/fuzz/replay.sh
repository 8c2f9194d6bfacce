#!/bin/sh
# Replays the corpus of every fuzz target. A target without a corpus is an error: it would pass by doing nothing.
failed=0
passed=0
for t in $TARGETS; do
	dir="$SRCDIR/corpus/${t#fuzz_}"
	if [ -z "$(ls -A "$dir" 2>/dev/null)" ]; then
		echo "FAIL $t: no corpus in $dir"
		failed=$((failed + 1))
		continue
	fi
	if [ "$FUZZING" = yes ]; then
		set -- -runs=0 "$dir"
	else
		set -- "$dir"
	fi
	if "./$t" "$@"; then
		echo "PASS $t"
		passed=$((passed + 1))
	else
		echo "FAIL $t"
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
