# shellcheck shell=sh
# tree: a tree that the host made is copied in the guest, within the share, out
# of it and back in; contents, modes, owners, times and links stay as they are.
# shellcheck disable=SC2034
w_needs="cp diff find sort yes head"

w_prepare() {
	mkdir src && cd src || return 1
	dirs=8
	[ "$LONG" != 1 ] || dirs=80
	d=0
	while [ "$d" -lt "$dirs" ]; do
		mkdir -p "dir$d/deeper/deepest"
		f=0
		while [ "$f" -lt 12 ]; do
			some_bytes $(((f * f * 997 + d * 31) % 50000)) "$d-$f" >"dir$d/file$f"
			f=$((f + 1))
		done
		ln "dir$d/file1" "dir$d/deeper/hard"
		ln -s "../file2" "dir$d/deeper/soft"
		ln -s "nowhere/to be found" "dir$d/dangling"
		chmod 4755 "dir$d/file3"
		chmod 0400 "dir$d/file4"
		chmod 1777 "dir$d/deeper"
		chown 1234:4321 "dir$d/file5"
		chown -h 55:66 "dir$d/dangling"
		chown 77:88 "dir$d/deeper/deepest"
		touch -d '1999-12-31 23:59:59.123456789' "dir$d/file6"
		touch -d '2037-01-19 03:14:07.5' "dir$d/deeper/deepest"
		touch -h -d '2001-02-03 04:05:06.789' "dir$d/deeper/soft"
		d=$((d + 1))
	done
	some_bytes 3000000 big >big
}

w_guest() {
	cp -a src copy || fail "cp -a within the share"
	diff -r --no-dereference src copy || fail "the copy differs"
	(cd src && manifest) >"$TMPDIR/src.list"
	(cd copy && manifest) >"$TMPDIR/copy.list"
	diff "$TMPDIR/src.list" "$TMPDIR/copy.list" || fail "the copy's attributes differ"
	cp -a src "$TMPDIR/out" || fail "cp -a out of the share"
	diff -r --no-dereference src "$TMPDIR/out" || fail "the copy outside differs"
	cp -a "$TMPDIR/out" back || fail "cp -a into the share"
	rm -rf "$TMPDIR/out"
	cp "$TMPDIR/src.list" guest.list || fail "keep the list"
}

w_verify() {
	(cd src && manifest) >host.list
	cmp guest.list host.list || fail "guest and host see different attributes"
	for copy in copy back; do
		diff -r --no-dereference src "$copy" || fail "$copy differs on the host"
		(cd "$copy" && manifest) | cmp - host.list || fail "$copy: attributes differ"
	done
}
