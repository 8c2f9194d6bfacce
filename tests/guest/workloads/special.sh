# shellcheck shell=sh
# special: FIFOs, sockets and device nodes, made by the guest and by the host.

w_prepare() {
	mkfifo -m 640 host-fifo && mknod host-null c 1 3 && mknod host-block b 7 99 &&
		"$HELPERS/fileprobe" socket && mv sock-moved host-sock
}

w_guest() {
	expect_is "$(stat -c '%F %a' host-fifo)" "fifo 640" "the host's FIFO"
	expect_is "$(stat -c '%F %t %T' host-null)" "character special file 1 3" "the host's device"
	expect_is "$(stat -c '%F %t %T' host-block)" "block special file 7 63" "the host's block device"
	expect_is "$(stat -c %F host-sock)" "socket" "the host's socket"

	mkfifo -m 600 fifo || fail "mkfifo"
	some_bytes 200000 fifo >fifo &
	cat fifo >from-fifo || fail "read the FIFO"
	wait
	some_bytes 200000 fifo | cmp - from-fifo || fail "bytes through the FIFO"
	# 18 bits of a minor number are what xfs has room for.
	mknod null c 1 3 && mknod zero c 1 5 && mknod big b 259 262143 || fail "mknod"
	# The device is the guest's own.
	echo gone >null || fail "write to the device"
	expect_is "$(head -c 5 zero | od -An -tx1 | tr -d ' ')" 0000000000 "read of the device"
	expect_is "$(stat -c %s null)" 0 "size of the device"
	mknod p p && mv p pipe && rm pipe || fail "mknod p"
	chmod 604 big && chown 12:34 big && touch -d '2005-05-05 05:05:05' big || fail "attributes"
	probe socket
}

w_verify() {
	expect_is "$(stat -c '%F %a' fifo)" "fifo 600" "FIFO on the host"
	expect_is "$(stat -c '%F %t %T' null)" "character special file 1 3" "device on the host"
	expect_is "$(stat -c '%F %t %T %a %u:%g' big)" "block special file 103 3ffff 604 12:34" \
		"block device on the host"
	expect_is "$(date -r big +%F)" 2005-05-05 "time of the device"
	expect_is "$(stat -c %F probe-socket/sock-moved)" socket "socket on the host"
	some_bytes 200000 fifo | cmp - from-fifo || fail "bytes on the host"
}
