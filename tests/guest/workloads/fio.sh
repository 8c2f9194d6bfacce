# shellcheck shell=sh
# fio: random reads and writes of mixed sizes with a checksum in each block,
# buffered, mapped and direct, several jobs at once; the host verifies too.
# shellcheck disable=SC2034
w_needs="fio"

fio_job() {
	name=$1
	shift
	fio --name="$name" --filename="$name.data" --size="$size" --rw=randrw --bsrange=4k-128k \
		--bs_unaligned=0 --verify=crc32c --randseed=42 --thread --group_reporting \
		--output="${TMPDIR:-/tmp}/fio.log" "$@" >/dev/null 2>&1 || {
		tail -n 20 "${TMPDIR:-/tmp}/fio.log"
		return 1
	}
}

fio_set() {
	size=8m
	[ "$LONG" != 1 ] || size=256m
	fio_job buffered --ioengine=psync "$@" || fail "buffered"
	fio_job mapped --ioengine=mmap "$@" || fail "mapped"
	fio_job direct --ioengine=psync --direct=1 "$@" || fail "direct"
	fio_job queued --ioengine=libaio --direct=1 --iodepth=16 "$@" || fail "queued"
}

w_guest() {
	fio_set --verify_fatal=1 --do_verify=1 --fsync_on_close=1
}

w_verify() {
	fio_set --verify_fatal=1 --verify_only=1
	rm -f "${TMPDIR:-/tmp}/fio.log"
}
