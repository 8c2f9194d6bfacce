#!/bin/bash
# crashpoints.sh - test-fuse once more for each place at which the fsworker can be killed between the receipt of a request and
# its answer. In every test of it the daemon's first fsworker dies there, at the count-th passing; the guest must not notice.
#
# Needs a daemon that was configured with --enable-crash-points. usage: crashpoints.sh [--role=NAME] [POINT[:COUNT]]...
cd "$(dirname "$0")" || exit 1
role=fsworker
case $1 in --role=*) role=${1#*=}; shift ;; esac
source=${srcdir:-.}
[ -n "$CRASH_SRC" ] || CRASH_SRC=$source/../../src
points=("$@")
if [ ${#points[@]} -eq 0 ]; then
	mapfile -t points < <(grep -rhoE 'CRASHPOINT\("[^"]+"' "$CRASH_SRC/$role" | cut -d'"' -f2 | sort -u)
fi
deaths=$(mktemp)
trap 'rm -f "$deaths"' EXIT
passed=0 failed=0 skipped=0
# What a process does only when it takes over: the first one dies elsewhere, the second one there.
later=" adopted handle-adopted undoing undone restoring restored go "
# What the first one does as it starts is not meant.
declare -A least=([filling]=2)
for point in "${points[@]}"; do
	name=${point%%:*}
	count=${least[$name]:-1}
	case $point in *:*) count=${point#*:} ;; esac
	: >"$deaths"
	first=$role:$name:$count second=
	case $later in *" $name "*) first=$role:answered:6 second=$role:$name:$count ;; esac
	case $name in undo*) first=$role:counted:3 ;; esac
	log=$(TU_DEATHS=$deaths VIRTIOFSD_CRASH_AT_1=$first VIRTIOFSD_CRASH_AT_2=$second ./test-fuse 2>&1)
	status=$?
	n=$(wc -c <"$deaths")
	if [ $status -ne 0 ]; then
		printf '%s\n' "$log" | tail -n 20
		echo "FAIL $name:$count ($n deaths)"
		failed=$((failed + 1))
	elif [ "$n" -eq 0 ]; then
		echo "SKIP $name:$count: no test passes there so often"
		skipped=$((skipped + 1))
	else
		echo "PASS $name:$count ($n deaths)"
		passed=$((passed + 1))
	fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
