/* fuzz_ipc.c - datagrams from a peer that was taken over: the reader of messages, in each direction. */
#include "ipc/channel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned sink = 0;
	static struct ipc_dgram d;
	struct ipc_msg m;
	const char *why;

	if (size < 1 || size - 1 > sizeof(d.buf))
		return 0;
	d.len = (uint32_t)size - 1;
	d.pos = d.nfds = d.fd_pos = 0;
	memcpy(d.buf, data + 1, size - 1);
	/* A right length, or there would be nothing to see. */
	if (d.len >= sizeof(struct ipc_hdr))
		((struct ipc_hdr *)d.buf)->dgram = d.len;
	/* What lies behind the datagram must never be looked at. */
	memset((char *)d.buf + d.len, 0xa5, MIN(sizeof(d.buf) - d.len, 4096u));
	while (ipc_next(&d, (enum ipc_dir)(data[0] % 4), &m, &why) == 1) {
		if (m.tail + m.tail_len > (const char *)d.buf + d.len)
			abort();
		for (uint32_t i = 0; i < m.tail_len; i++)
			sink += (unsigned char)m.tail[i];
		if (m.nfds)
			abort(); /* none came along */
	}
	__asm__ volatile("" : : "r"(sink)); /* or the reads would be optimised away */
	return 0;
}
