# shellcheck shell=sh
# locks-job.sh SUITE WHERE PROCESSES - the lock tests of the Linux Test Project, built
# in SUITE, one after the other, each in a folder of its own below the share (or, if
# WHERE is memory, in the guest's memory). After what each prints comes a line
# "TEST NAME STATUS"; 0 is good, 32 does not apply, left-out was not run.

suite=$1
kind=$2
where=$SHARE
[ "$kind" != memory ] || where=$TMPDIR/memory
processes=$3
PATH=$suite:$PATH
export KCONFIG_SKIP_CHECK=1 LTP_TIMEOUT_MUL=5 LTP_COLORIZE_OUTPUT=n

# run NAME PROGRAM ARGUMENT...
run() {
	name=$1
	shift
	mkdir -p "$where/$name" && chmod 777 "$where/$name" && cd "$where/$name" || return
	TMPDIR=$where/$name timeout -k 5 600 "$@" 2>&1
	status=$?
	cd / && rm -rf "${where:?}/$name"
	echo "TEST $name $status"
}

for test in "$suite"/f*; do
	[ -x "$test" ] || continue
	case ${test##*/} in
	flock07)
		# Waits for a lock of its own until a signal ends that. A guest cannot end a
		# request of virtio-fs ("TODO interrupts" in fs/fuse/virtio_fs.c), and the
		# process stays for ever.
		if [ "$kind" = share ]; then
			echo "TEST flock07 left-out"
			continue
		fi
		set --
		;;
	# 5000 random pairs of locks, each with a process of its own, are too slow here.
	fcntl14) set -- -n 100 ;;
	*) set -- ;;
	esac
	run "${test##*/}" "$test" "$@"
done
# The stress test tells what it found in ten lines, and not by its status.
# shellcheck disable=SC2016
[ ! -x "$suite/locktests" ] || run locktests sh -c '
	"$0" -n "$1" -f file >out 2>&1
	status=$?
	grep " successfully ran test " out
	[ "$status" -eq 0 ] && [ "$(grep -c "^$1 process of $1 successfully ran test " out)" -eq 10 ]
' "$suite/locktests" "$processes"
