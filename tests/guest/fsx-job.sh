# shellcheck shell=sh
# fsx-job.sh SUITE OPERATIONS STRESS SEED - fsx and fsstress of xfstests (built in
# SUITE) in the guest, for check-fsx: several fsx on a file each and fsstress in a
# tree, all at the same time. For each it prints "REAL NAME pass|fail [STATUS]", what
# failed, and then what the guest sees at the end, for the host to compare.

. "$GUEST_SRC/workload-lib.sh"
suite=$1
operations=$2
stress=$3
seed=$4

# start NAME OPERATIONS ARGUMENT... - one fsx in the background.
names=
start() {
	name=$1
	count=$2
	shift 2
	mkdir "$TMPDIR/$name"
	(
		"$suite/fsx" -q -S "$seed" -N "$count" -P "$TMPDIR/$name" "$@" "files/$name" >"$TMPDIR/$name/out" 2>&1
		echo $? >"$TMPDIR/$name/status"
	) &
	names="$names $name"
	seed=$((seed + 1))
}

cd "$SHARE" && mkdir files tree || fail "cannot make the folders"
# What cannot be mapped shared (cache=none on older kernels), fsx must not map.
maps=
if "$HELPERS/opstorm" -n 1 -s 1 files/probe | grep -q 'left out:.* shared maps'; then
	maps="-R -W"
	echo "no shared maps"
fi
rm files/probe
# shellcheck disable=SC2086
{
	start buffered "$operations" -c 100 $maps
	start long $((operations / 10)) -c 50 -l 5000000 -o 1500000 $maps
	start direct $((operations / 5)) -Z -r 512 -w 512 -t 512 -R -W -l 500000 -o 128000
	[ -n "$maps" ] || start direct-maps $((operations / 5)) -Z -r 4096 -w 512 -t 512 -l 500000 -o 128000
	start aio $((operations / 5)) -A -Z -r 4096 -w 4096 -t 4096 -R -W -l 500000
}
"$suite/fsstress" -d tree -p 4 -n "$stress" -s "$seed" -m 4 >"$TMPDIR/fsstress.out" 2>&1
stress_status=$?
wait

failed=0
for name in $names; do
	status=$(cat "$TMPDIR/$name/status")
	if [ "$status" = 0 ] && grep -q 'completed A-OK' "$TMPDIR/$name/out"; then
		echo "REAL $name pass"
	else
		echo "REAL $name fail $status"
		head -n 20 "$TMPDIR/$name/out"
		tail -n 20 "$TMPDIR/$name/out"
		cp -r "$TMPDIR/$name" "$SHARE/failed-$name"
		failed=1
	fi
done
if [ "$stress_status" -eq 0 ]; then
	echo "REAL fsstress pass"
else
	echo "REAL fsstress fail $stress_status"
	tail -n 20 "$TMPDIR/fsstress.out"
	failed=1
fi

sync
mkdir "$SHARE/lists" "$SHARE/lists-fresh" || fail "cannot make the folders"
list_tree tree "$SHARE/lists" || fail "cannot list"
# Once more, of what the guest has to ask for again.
sync
echo 3 >/proc/sys/vm/drop_caches
list_tree tree "$SHARE/lists-fresh" || fail "cannot list again"
diff -r "$SHARE/lists" "$SHARE/lists-fresh" >"$TMPDIR/diff" || {
	head -n 20 "$TMPDIR/diff"
	fail "the guest sees another tree once its caches are dropped"
}
for name in $names; do
	echo "SUM $name $(cksum <"files/$name")"
done
echo "TREE $(wc -l <"$SHARE/lists/manifest") names, $(wc -l <"$SHARE/lists/contents") files, $(wc -l <"$SHARE/lists/xattrs") with attributes"
exit "$failed"
