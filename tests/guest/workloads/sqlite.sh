# shellcheck shell=sh
# sqlite: inserts, updates and a rollback with a rollback journal and with WAL
# (which maps a shared file), checked in the guest and on the host.
# shellcheck disable=SC2034
w_needs="sqlite3"

w_guest() {
	rows=2000 singles=5
	[ "$LONG" != 1 ] || rows=50000 singles=40
	for mode in delete wal truncate; do
		[ "$(sqlite3 "$mode.db" "PRAGMA journal_mode=$mode;")" = "$mode" ] ||
			fail "journal mode $mode refused"
		sqlite3 -bail "$mode.db" "
			CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b BLOB);
			CREATE INDEX t_a ON t (a);
			BEGIN;
			WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $rows)
			INSERT INTO t SELECT i, 'text ' || (i * 7919 % 10007), zeroblob(i % 400) FROM n;
			COMMIT;
			UPDATE t SET a = a || ' changed' WHERE id % 3 = 0;
			BEGIN; DELETE FROM t; ROLLBACK;
			DELETE FROM t WHERE id % 10 = 0;
		" || fail "$mode: statements"
		i=0
		while [ "$i" -lt "$singles" ]; do
			sqlite3 -bail "$mode.db" "PRAGMA synchronous=FULL;
				INSERT INTO t (a, b) VALUES ('single $i', randomblob(1000));" ||
				fail "$mode: insert $i"
			i=$((i + 1))
		done
		expect_is "$(sqlite3 "$mode.db" 'PRAGMA integrity_check;')" ok "$mode: integrity"
		sqlite3 "$mode.db" "VACUUM;" || fail "$mode: vacuum"
		expect_is "$(sqlite3 "$mode.db" 'SELECT count(*) FROM t;')" \
			$((rows - rows / 10 + singles)) "$mode: rows"
		# Two processes at once, waiting for each other's lock.
		for process in 1 2; do
			(
				i=0
				while [ "$i" -lt "$singles" ]; do
					sqlite3 -bail "$mode.db" ".timeout 20000" \
						"INSERT INTO t (a) VALUES ('at once $process $i');" || exit 1
					i=$((i + 1))
				done
			) &
			eval "pid$process=$!"
		done
		# shellcheck disable=SC2154
		wait "$pid1" || fail "$mode: first of two writers"
		# shellcheck disable=SC2154
		wait "$pid2" || fail "$mode: second of two writers"
		expect_is "$(sqlite3 "$mode.db" "SELECT count(*) FROM t WHERE a LIKE 'at once%';")" $((2 * singles)) \
			"$mode: rows of two writers"
		sqlite3 "$mode.db" .dump >"$mode.dump" || fail "$mode: dump"
	done
}

w_verify() {
	for mode in delete wal truncate; do
		expect_is "$(sqlite3 "$mode.db" 'PRAGMA integrity_check;')" ok "$mode: integrity on the host"
		sqlite3 "$mode.db" .dump | cmp - "$mode.dump" || fail "$mode: the host reads other rows"
	done
}
