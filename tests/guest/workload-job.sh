# shellcheck shell=sh
# workload-job.sh NAME... - runs workloads in the guest; see workloads/README.
# For each it prints "RESULT NAME pass|fail|skip [REASON]" on a line of its own.

. "$GUEST_SRC/workload-lib.sh"

for workload in "$@"; do
	echo "START $workload"
	(
		# shellcheck disable=SC1090
		. "$GUEST_SRC/workloads/$workload.sh"
		# The folder that the host prepared.
		cd "$SHARE/$workload" || fail "no folder $workload in the share"
		w_guest
	)
	status=$?
	case $status in
	0) echo "RESULT $workload pass" ;;
	77) echo "RESULT $workload skip $(cat "$TMPDIR/skip-reason")" ;;
	*) echo "RESULT $workload fail status $status" ;;
	esac
done
