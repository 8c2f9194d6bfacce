/* fuzz_fuse_decode.c - FUSE requests from a hostile guest: header check, then decode, as request_begin() does it. */
#include "transport/fuse_decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Touch every byte that the decoder hands out, so that a sanitizer sees a wrong length. */
static unsigned touch(const char *p, uint32_t n)
{
	unsigned sum = 0;

	while (n--)
		sum += (unsigned char)p[n];
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned sink = 0;
	struct fw_in_header h;
	struct fuse_req r;
	uint32_t want;

	if (size < sizeof(h))
		return 0;
	memcpy(&h, data, sizeof(h));
	if (fuse_decode_head(&h, size, &want))
		return 0;
	/* Exactly `want` bytes on the heap, so that one too far is seen. */
	char *copy = malloc(want);

	memcpy(copy, data, want);
	for (unsigned ext = 0; ext < 2; ext++) {
		if (fuse_decode(copy, want, ext, &r))
			continue;
		for (unsigned i = 0; i < 2; i++)
			if (r.name[i])
				sink += touch(r.name[i], r.name_len[i] + 1);
		sink += touch(r.data, r.data_len);
		if (!(r.flags & (FD_XATTR_NAME | FD_SECOND_IS_PATH)) && r.name[0] && memchr(r.name[0], '/', r.name_len[0]))
			abort();
	}
	__asm__ volatile("" : : "r"(sink)); /* or the reads would be optimised away */
	free(copy);
	return 0;
}
