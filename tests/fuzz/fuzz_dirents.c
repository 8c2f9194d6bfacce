/* fuzz_dirents.c - READDIR answers of a fsworker that was taken over. */
#include "transport/fuse_encode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuse_timeout t = { .sec = 1 };
	uint32_t max;

	if (size < 4)
		return 0;
	max = (uint32_t)(data[0] | data[1] << 8);
	/* Both buffers exact, on the heap. */
	char *tail = malloc(size - 4 + 1), *out = malloc(max + 1);

	memcpy(tail, data + 4, size - 4);
	int64_t n = fuse_encode_dirents(tail, (uint32_t)size - 4, data[2], data[3] & 1, t, out, max);

	if (n > max)
		abort();
	free(tail);
	free(out);
	return 0;
}
