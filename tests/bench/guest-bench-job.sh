# guest-bench-job.sh - what run-guest-bench times, in the guest; prints "TIME NAME SECONDS" for each.
#
# Before what reads, the guest's caches are dropped, so that all of it is asked of the daemon. Each part checks its result.
# shellcheck shell=sh
# shellcheck disable=SC2154 # SHARE is the guest's
cd "$SHARE" || exit 1

now() {
	read -r up _ </proc/uptime
	# Hundredths; a leading zero would make it octal.
	echo "${up%.*}${up#*.}" | sed 's/^0*//'
}

drop_caches() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
}

fail() {
	echo "FAILED: $*"
	exit 1
}

# timed NAME COMMAND... - its time, with what it left to be written.
timed() {
	name=$1
	shift
	start=$(now)
	"$@" >"$TMPDIR/out" 2>&1 || { cat "$TMPDIR/out"; fail "$name"; }
	sync
	t=$(($(now) - start))
	echo "TIME $name $((t / 100)).$((t / 10 % 10))$((t % 10))"
}

expect() {
	[ "$1" = "$2" ] || fail "$3: $1 instead of $2"
}

count() {
	wc -l <"$TMPDIR/out" | tr -d ' '
}

git_here() {
	git -c user.name=guest -c user.email=guest@localhost -c init.defaultBranch=main -c gc.autoDetach=false \
		-c safe.directory='*' -C tree "$@"
}

sqlite_inserts() {
	i=0
	while [ "$i" -lt "$INSERTS" ]; do
		echo "INSERT INTO t (a) VALUES ('row $i');"
		i=$((i + 1))
	done | sqlite3 -bail rows.db
}

timed tar-x tar xf tree.tar
drop_caches
timed find find tree -type f
expect "$(count)" "$FILES" "files found"
drop_caches
timed ls-lR ls -lR tree
drop_caches
timed grep-r grep -rl needle tree
expect "$(count)" "$NEEDLES" "files with the word"
timed tar-c tar cf /dev/null tree
git_here init -q || fail "git init"
timed git-add git_here add -A
timed git-commit git_here commit -q -m all
drop_caches
timed git-status git_here status --porcelain
expect "$(count)" 0 "files changed"
sqlite3 -bail rows.db "PRAGMA journal_mode=wal; CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT);" >"$TMPDIR/out" ||
	fail "sqlite"
timed sqlite sqlite_inserts
expect "$(sqlite3 rows.db 'SELECT count(*) FROM t;')" "$INSERTS" "rows"
timed fio-write fio --name=w --filename=fio.data --size="$FIO_SIZE" --rw=write --bs=1m --ioengine=psync --thread \
	--fsync_on_close=1
drop_caches
timed fio-read fio --name=r --filename=fio.data --size="$FIO_SIZE" --rw=read --bs=1m --ioengine=psync --thread
drop_caches
timed fio-randread fio --name=rr --filename=fio.data --size="$FIO_SIZE" --io_size="$FIO_RANDOM" --rw=randread --bs=4k \
	--randseed=7 --ioengine=psync --thread
timed fio-direct fio --name=d --filename=fio.data --size="$FIO_SIZE" --io_size="$FIO_RANDOM" --rw=randrw --bs=4k --direct=1 \
	--randseed=7 --ioengine=libaio --iodepth=16 --thread
drop_caches
timed rm-r rm -r tree
