# shellcheck shell=sh
# storm-job.sh OPERATIONS STORMS NAMES SEED - random operations in the guest: STORMS
# times opstorm on a file each, beside namestorm in a tree; then what the guest
# sees at the end, for check-fsx to compare with what the host sees.

. "$GUEST_SRC/workload-lib.sh"
operations=$1
storms=$2
names=$3
seed=$4

cd "$SHARE" && mkdir files tree || fail "cannot make the folders"
i=0
while [ "$i" -lt "$storms" ]; do
	"$HELPERS/opstorm" -n "$operations" -s $((seed + i)) "files/$i" >"$TMPDIR/sum$i" 2>&1 &
	eval "pid$i=$!"
	i=$((i + 1))
done
"$HELPERS/namestorm" -p 3 -n "$names" -s "$seed" tree || fail "namestorm"
failed=0
i=0
while [ "$i" -lt "$storms" ]; do
	eval "wait \$pid$i" || failed=1
	sed "s/^SUM/SUM $i/" "$TMPDIR/sum$i"
	i=$((i + 1))
done
[ "$failed" -eq 0 ] || fail "opstorm"

sync
cd tree || fail "no tree"
manifest >"$TMPDIR/manifest"
find . -type f -exec cksum {} + | LC_ALL=C sort >"$TMPDIR/contents"
# Each file has as many names as links.
find . -type f -printf '%i %n\n' | sort | uniq -c |
	awk '$1 != $3 { print "inode " $2 ": " $1 " names, " $3 " links"; bad = 1 } END { exit bad }' ||
	fail "links"
cd "$SHARE" || fail "no share"
cp "$TMPDIR/manifest" "$TMPDIR/contents" . || fail "keep the lists"
echo "LIST manifest $(cksum <"$TMPDIR/manifest")"
echo "LIST contents $(cksum <"$TMPDIR/contents")"
