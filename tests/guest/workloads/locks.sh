# shellcheck shell=sh
# locks: flock, fcntl and open-file-description locks between a process in the
# guest and one on the host, held by either; denied, waited for, released by
# unlock and by the end of the process. Other requests go on beside a waiter.

lock() {
	"$HELPERS/locktool" "$@"
}

# denied KIND FILE MODE - the lock must be busy, not failing.
denied() {
	lock "$1" try "$2" "$3"
	expect_is $? 1 "try of a $1 lock that the other side holds"
}

granted() {
	lock "$1" try "$2" "$3"
	expect_is $? 0 "try of a $1 lock that is free"
}

# waits KIND FILE GO - waits for the lock, which the other side gives up at GO.
waits() {
	lock "$1" wait "$2" ex &
	waiter=$!
	sleep 1
	kill -0 "$waiter" 2>/dev/null || fail "a $1 lock was not waited for"
	# Nothing else waits meanwhile.
	i=0
	while [ "$i" -lt 30 ]; do
		echo "$i" >"beside-$GUEST_KIND-$1" && cat "beside-$GUEST_KIND-$1" >/dev/null || fail "a request beside"
		i=$((i + 1))
	done
	kill -0 "$waiter" 2>/dev/null || fail "a $1 lock came too soon"
	: >"$3"
	wait "$waiter"
	expect_is $? 0 "wait for a $1 lock"
}

w_prepare() {
	for kind in flock posix ofd; do
		echo x >"a-$kind" && echo x >"b-$kind" && echo x >"c-$kind"
	done
}

# free_at_last KIND FILE - a process in the guest had the lock and is gone; the guest's
# kernel tells of the close some time after it.
free_at_last() {
	tries=50
	until lock "$1" try "$2" ex; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || fail "a $1 lock on $2 outlived its process in the guest"
		sleep 0.1
	done
}

w_host() {
	for kind in flock posix ofd; do
		wait_for_file "start-$kind"
		free_at_last "$kind" "a-$kind"
		lock "$kind" hold "a-$kind" ex "host-has-$kind" "host-go-$kind" || fail "host: hold $kind"
		wait_for_file "guest-has-$kind"
		denied "$kind" "b-$kind" ex
		denied "$kind" "b-$kind" sh
		GUEST_KIND=host waits "$kind" "b-$kind" "guest-go-$kind"
		: >"host-got-$kind"
		# The guest's process is gone; its lock goes with it.
		wait_for_file "guest-gone-$kind"
		free_at_last "$kind" "c-$kind"
		: >"host-end-$kind"
	done
}

w_guest() {
	for kind in flock posix ofd; do
		granted "$kind" "a-$kind" ex
		: >"start-$kind"
		wait_for_file "host-has-$kind"
		denied "$kind" "a-$kind" ex
		denied "$kind" "a-$kind" sh
		if [ "$kind" = posix ]; then
			case $(lock posix query a-posix ex) in
			write\ *) ;;
			*) fail "F_GETLK does not see the host's lock: $(lock posix query a-posix ex)" ;;
			esac
		fi
		waits "$kind" "a-$kind" "host-go-$kind"
		lock "$kind" hold "b-$kind" ex "guest-has-$kind" "guest-go-$kind" || fail "guest: hold $kind"
		wait_for_file "host-got-$kind"
		lock "$kind" drop "c-$kind" ex "guest-drop-$kind" || fail "guest: drop $kind"
		: >"guest-gone-$kind"
		wait_for_file "host-end-$kind"
		echo "$kind: good"
	done
	ranges
}

# Ranges and shared locks, between processes of the guest.
ranges() {
	lock posix hold a-posix ex:100:50 range-has range-go &
	holder=$!
	wait_for_file range-has
	granted posix a-posix ex:0:100
	granted posix a-posix ex:150:10
	denied posix a-posix ex:149:1
	denied posix a-posix sh:0:0
	: >range-go
	wait "$holder" || fail "holder of a range"
	lock posix hold a-posix sh:0:0 shared-has shared-go &
	holder=$!
	wait_for_file shared-has
	granted posix a-posix sh:0:0
	denied posix a-posix ex:5:5
	: >shared-go
	wait "$holder" || fail "holder of a shared lock"
	granted posix a-posix ex
}
