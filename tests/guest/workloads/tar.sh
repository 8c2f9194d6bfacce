# shellcheck shell=sh
# tar: a tree is packed in the guest and unpacked on the host, and the reverse.
# shellcheck disable=SC2034
w_needs="tar diff find sort yes head gzip"

make_tree() {
	mkdir "$1" && cd "$1" || return 1
	for d in a b c; do
		mkdir -p "$d/sub"
		for f in 1 2 3 4 5; do
			some_bytes $((f * 7919)) "$1$d$f" >"$d/f$f"
		done
		ln "$d/f1" "$d/sub/hard"
		ln -s ../f2 "$d/sub/soft"
		mkfifo "$d/fifo"
		chown 500:600 "$d/f3"
		chmod 2751 "$d/sub"
		chmod 0604 "$d/f4"
		touch -d '2011-11-11 11:11:11' "$d/f5"
	done
}

w_prepare() {
	(make_tree from-host) || return 1
	tar -C from-host --format=pax -cf from-host.tar . || return 1
}

w_guest() {
	mkdir host-out && tar -C host-out -xpf from-host.tar || fail "unpack the host's"
	diff -r --no-dereference from-host host-out | grep -v 'is a fifo' && fail "unpacked differs"
	(make_tree from-guest) || fail "make a tree"
	tar -C from-guest --format=pax -czf from-guest.tar.gz . || fail "pack"
	tar -C from-guest -dzf from-guest.tar.gz || fail "tar finds a difference"
	(cd from-guest && manifest) >guest.list
}

w_verify() {
	(cd from-guest && manifest) | cmp - guest.list || fail "guest and host see different trees"
	mkdir guest-out && tar -C guest-out -xpzf from-guest.tar.gz || fail "unpack the guest's"
	(cd guest-out && manifest | grep -v '^ d') >out.list
	grep -v '^ d' guest.list | cmp - out.list || fail "the guest's archive differs from its tree"
	tar -C host-out -df from-host.tar || fail "what the guest unpacked differs"
}
