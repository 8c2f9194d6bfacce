# shellcheck shell=sh
# crash-job.sh FOLDER SEED WORK... - work in the guest while processes of the daemon die,
# for check-crash. All goes on side by side, in rounds, until the host makes host-stop in
# FOLDER. WORK is pause, locks, names, opstorm, namestorm (with a number behind it: a
# second one of them), or a workload of the folder workloads, prepared in FOLDER by the host.
# For each it prints "RESULT WORK pass|fail [STATUS]", and what it said.

. "$GUEST_SRC/workload-lib.sh"
here=$SHARE/$1
seed=$2
shift 2
stop=$TMPDIR/stop
export WAIT_SECONDS=1000000
cd "$here" || fail "no folder $here"

# let_go - nothing that the guest's kernel could do without stays open on the host.
let_go() {
	sync
	for _ in 1 2 3; do
		echo 3 >/proc/sys/vm/drop_caches
		sleep 0.3
	done
}

# rounds COMMAND... - again and again, each time with another seed, in an empty folder.
rounds() {
	n=0
	while [ ! -e "$stop" ]; do
		# What the host has prepared stays.
		find . -mindepth 1 -maxdepth 1 ! -name source -exec rm -rf {} + || fail "cannot remove what round $n made"
		"$@" || fail "round $n failed"
		n=$((n + 1))
		seed=$((seed + 17))
	done
	echo "$n rounds"
}

# shellcheck disable=SC2317 # by rounds
run_opstorm() {
	"$HELPERS/opstorm" -n 1500 -s "$seed" file
}

# shellcheck disable=SC2317
run_namestorm() {
	"$HELPERS/namestorm" -p 2 -n 600 -s "$seed" .
}

# A workload ends its shell when it fails.
run_workload() (
	# shellcheck disable=SC1090
	. "$GUEST_SRC/workloads/$workload.sh"
	w_guest
)

# work NAME - one of them; in a subshell of its own.
work() {
	mkdir -p "work-$1" && cd "work-$1" || fail "no folder work-$1"
	# Some tell each round's end there.
	TMPDIR=$TMPDIR/$1
	mkdir "$TMPDIR"
	case $1 in
	namestorm*) rounds run_namestorm ;;
	pause* | locks* | names*) exec "$HELPERS/crashwork" "${1%%[0-9]*}" . "$stop" "$seed" ;;
	opstorm*) rounds run_opstorm ;;
	*)
		workload=$1
		rounds run_workload
		;;
	esac
}

let_go
echo "CRASH ready"
wait_for_file host-go
for name in "$@"; do
	seed=$((seed + 1000))
	(
		(work "$name") >"$TMPDIR/out-$name" 2>&1
		echo $? >"$TMPDIR/status-$name"
	) &
done
wait_for_file host-stop
: >"$stop"
wait
failed=0
for name in "$@"; do
	status=$(cat "$TMPDIR/status-$name")
	if [ "$status" = 0 ]; then
		echo "RESULT $name pass"
		grep -E '^PAUSE|^[0-9]+ rounds|^crashwork:' "$TMPDIR/out-$name"
	else
		echo "RESULT $name fail $status"
		tail -n 30 "$TMPDIR/out-$name"
		failed=1
	fi
done
echo "CRASH done"
wait_for_file host-calm
let_go
echo "CRASH settled"
wait_for_file host-end
exit "$failed"
