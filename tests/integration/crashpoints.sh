#!/bin/bash
# crashpoints.sh - test-fuse (or test-options) once more for each place at which the fsworker can be killed between the receipt of a request and
# its answer. In every test of it the daemon's first fsworker dies there, at the count-th passing; the guest must not notice.
#
# Needs a daemon that was configured with --enable-crash-points. usage: crashpoints.sh [OPTION]... [POINT[:COUNT]]...
#   --role=NAME  fsworker (default) or transport
#   --full       all of the program for each place; else only the case that is most about it, and a place that it does not
#                pass is a failure
source=${srcdir:-.}
[ -n "${CRASH_SRC:-}" ] || CRASH_SRC=$source/../../src
role=fsworker quick=1
while :; do
	case ${1:-} in
	--role=*) role=${1#*=} ;;
	--full) quick= ;;
	*) break ;;
	esac
	shift
done

# The case of test-fuse that passes a place often enough.
case_of() {
	case $1 in
	attribute-*) echo xattrs ;;
	attributes | job-*) echo attrs ;;
	linked) echo links ;;
	clearing | forg* | naming | unnaming) echo dirs ;;
	undo*) echo names ;;
	removed) echo links ;;
	renamed) echo rename ;;
	written) echo data ;;
	owner-* | wait-*) echo posix-locks ;;
	wiping*) echo session ;;
	cool* | thaw* | sealing) echo cold ;;
	*) echo create ;;
	esac
}

# The program that has it: only a small --inode-fd-cache makes inodes cold.
program_of() {
	case $(case_of "$1") in
	cold) echo ./test-options ;;
	*) echo ./test-fuse ;;
	esac
}
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
declare -A least=([filling]=2 [filled]=2)
for point in "${points[@]}"; do
	name=${point%%:*}
	count=${least[$name]:-1}
	case $point in *:*) count=${point#*:} ;; esac
	: >"$deaths"
	# Contents come to the fsworker only then.
	args=${VIRTIOFSD_ARGS:-}
	[ "$name" != written ] || args="$args --data-path=forwarded"
	first=$role:$name:$count second=
	case $later in *" $name "*) first=$role:answered:6 second=$role:$name:$count ;; esac
	case $name in undo*) first=$role:counted:3 ;; esac
	CK_RUN_CASE=$(case_of "$name")
	program=$(program_of "$name")
	[ -z "$quick" ] || export CK_RUN_CASE
	log=$(TU_DEATHS=$deaths VIRTIOFSD_ARGS=$args VIRTIOFSD_CRASH_AT_1=$first VIRTIOFSD_CRASH_AT_2=$second "$program" 2>&1)
	status=$?
	n=$(wc -c <"$deaths")
	if [ $status -ne 0 ]; then
		printf '%s\n' "$log" | tail -n 20
		echo "FAIL $name:$count ($n deaths)"
		failed=$((failed + 1))
	elif [ "$n" -eq 0 ] && [ -n "$quick" ]; then
		echo "FAIL $name:$count: $CK_RUN_CASE does not pass there"
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
