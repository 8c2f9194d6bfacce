# shellcheck shell=sh
# posix-job.sh SUITE LIST JOBS - runs the test files of pjdfstest that LIST names,
# in its order, JOBS at a time, each in a folder of its own below the share.
# For each it prints "FILE NAME SECONDS PLANNED PASSED TODO FAILED" and the checks
# that failed.

suite=$1
list=$2
jobs=$3

cat >"$TMPDIR/run-one" <<'SCRIPT'
suite=$1
name=$2
work=$SHARE/$(echo "$name" | tr / _)
log=$TMPDIR/$(echo "$name" | tr / _)
mkdir "$work" && cd "$work" || exit 0
start=$(date +%s)
sh "$suite/tests/$name" >"$log" 2>&1
end=$(date +%s)
cd /
awk -v name="$name" -v seconds=$((end - start)) '
	/^1\.\.[0-9]+/ { planned = substr($0, 4) + 0 }
	/^ok / { if (/# TODO/) todo++; else passed++ }
	/^not ok/ { if (/# TODO/) todo++; else { failed++; lines = lines "  " name ": " $0 "\n" } }
	END { printf "FILE %s %d %d %d %d %d\n%s", name, seconds, planned, passed, todo, failed, lines
	}' "$log"
rm -rf "$work" "$log"
SCRIPT
xargs -P "$jobs" -n 1 sh "$TMPDIR/run-one" "$suite" <"$list"
