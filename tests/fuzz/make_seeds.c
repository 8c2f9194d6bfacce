/* make_seeds.c - write the seed corpora of fuzz_vhost_msg and fuzz_virtq: one message of each kind, a VMM's whole start,
 * and rings that keep the rules in as many ways as there are. Usage: make_seeds FOLDER; FOLDER/vhost_msg and FOLDER/virtq
 * must be there.
 */
#include "transport/vhost_msg.h"

#include <endian.h>
#include <stdio.h>

static const char *folder;
static uint8_t out[65536];
static size_t used;

static void put(const void *p, size_t n)
{
	if (used + n > sizeof(out))
		abort();
	memcpy(out + used, p, n);
	used += n;
}

static void save(const char *corpus, const char *name)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s/%s", folder, corpus, name);
	f = fopen(path, "wb");
	if (!f || fwrite(out, 1, used, f) != used || fclose(f)) {
		perror(path);
		exit(1);
	}
	used = 0;
}

/* messages ----------------------------------------------------------------------------------------- */

static void put_msg(uint32_t request, const void *payload, uint32_t size, uint8_t nfds)
{
	const struct vhost_hdr h = { request, VHOST_VERSION | VHOST_FLAG_NEED_REPLY, size };
	const uint16_t len = (uint16_t)(sizeof(h) + size);
	const uint8_t head[4] = { 0x7f, nfds, (uint8_t)len, (uint8_t)(len >> 8) };

	put(head, sizeof(head));
	put(&h, sizeof(h));
	put(payload, size);
}

static void put_state(uint32_t request, uint32_t index, uint32_t num)
{
	const struct vhost_vring_state s = { index, num };

	put_msg(request, &s, sizeof(s), 0);
}

static void put_fd(uint32_t request, uint64_t index)
{
	put_msg(request, &index, 8, !(index & VHOST_FD_NONE));
}

static void put_ring(uint32_t i)
{
	const struct vhost_vring_addr a = { i, 0, 0x1000, 0x3000, 0x2000, UINT64_MAX };

	put_state(VHOST_SET_VRING_NUM, i, 256);
	put_state(VHOST_SET_VRING_BASE, i, 0);
	put_msg(VHOST_SET_VRING_ADDR, &a, sizeof(a), 0);
	put_fd(VHOST_SET_VRING_KICK, i);
	put_fd(VHOST_SET_VRING_CALL, i);
	put_fd(VHOST_SET_VRING_ERR, i | VHOST_FD_NONE);
	put_state(VHOST_SET_VRING_ENABLE, i, 1);
}

static void messages(void)
{
	const struct vhost_mem_table t = { 2, 0, { { 0, 0x100000, 0x7000000, 0 }, { 1ull << 32, 0x1000, 0x8000000, 0x100000 } } };
	const struct vhost_mem_reg reg = { 0, { 0, 0x100000, 0x7000000, 0x123 } };
	const struct vhost_config c = { 0, 40, 0, { 0 } };
	const struct vhost_inflight in = { 16384, 0, 2, 256, 0 };
	const uint64_t features = 0x170000000ull, proto = 0xb229;
	const uint32_t bare[] = { VHOST_GET_FEATURES, VHOST_SET_OWNER, VHOST_RESET_OWNER, VHOST_GET_PROTOCOL_FEATURES,
				  VHOST_GET_QUEUE_NUM, VHOST_RESET_DEVICE, VHOST_GET_MAX_MEM_SLOTS };

	for (size_t i = 0; i < ARRAY_SIZE(bare); i++)
		put_msg(bare[i], "", 0, 0);
	put_msg(VHOST_SET_BACKEND_REQ_FD, "", 0, 1);
	save("vhost_msg", "bare");
	put_msg(VHOST_SET_FEATURES, &features, 8, 0);
	put_msg(VHOST_SET_PROTOCOL_FEATURES, &proto, 8, 0);
	save("vhost_msg", "features");
	put_msg(VHOST_SET_MEM_TABLE, &t, 8 + 2 * 32, 2);
	put_msg(VHOST_SET_MEM_TABLE, &t, sizeof(t), 2);
	put_msg(VHOST_ADD_MEM_REG, &reg, sizeof(reg), 1);
	put_msg(VHOST_REM_MEM_REG, &reg, sizeof(reg), 0);
	save("vhost_msg", "memory");
	put_ring(0);
	put_ring(1);
	put_state(VHOST_GET_VRING_BASE, 1, 0);
	save("vhost_msg", "rings");
	put_msg(VHOST_GET_CONFIG, &c, VHOST_CONFIG_HEAD + 40, 0);
	put_msg(VHOST_SET_CONFIG, &c, VHOST_CONFIG_HEAD + 40, 0);
	save("vhost_msg", "config");
	put_msg(VHOST_GET_INFLIGHT_FD, &in, 20, 0);
	put_msg(VHOST_GET_INFLIGHT_FD, &in, 24, 0);
	put_msg(VHOST_SET_INFLIGHT_FD, &in, 24, 1);
	save("vhost_msg", "inflight");
	for (uint32_t r = 0; r <= VHOST_REQUEST_END; r++)
		put_msg(r, &t, 8, 1);
	save("vhost_msg", "all");
	put_msg(VHOST_GET_PROTOCOL_FEATURES, "", 0, 0);
	put_msg(VHOST_SET_PROTOCOL_FEATURES, &proto, 8, 0);
	put_msg(VHOST_SET_OWNER, "", 0, 0);
	put_msg(VHOST_SET_FEATURES, &features, 8, 0);
	put_msg(VHOST_SET_MEM_TABLE, &t, 8 + 2 * 32, 2);
	put_ring(0);
	put_ring(1);
	put_ring(2);
	save("vhost_msg", "start");
}

/* rings -------------------------------------------------------------------------------------------- */

/* Where things are: see fuzz_virtq.c. */
#define GUEST 0x1000ull
#define AVAIL 2048u
#define RECORD 6144u
#define HEAP 12288u
#define MEM 16384u

static uint8_t mem[MEM];

static void desc(uint8_t *table, unsigned i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	const uint64_t a = htole64(addr);
	const uint32_t l = htole32(len);
	const uint16_t f = htole16(flags), n = htole16(next);
	uint8_t *d = table + 16 * i;

	memcpy(d, &a, 8);
	memcpy(d + 8, &l, 4);
	memcpy(d + 12, &f, 2);
	memcpy(d + 14, &n, 2);
}

static void avail(uint16_t idx, unsigned at, uint16_t head)
{
	const uint16_t i = htole16(idx), h = htole16(head);

	memcpy(mem + AVAIL + 2, &i, 2);
	memcpy(mem + AVAIL + 4 + 2 * at, &h, 2);
}

static void save_ring(const char *name, uint8_t flags, const char *calls)
{
	const uint8_t head[4] = { flags, (uint8_t)strlen(calls), 0, 0 };
	size_t n = sizeof(mem);

	while (n && !mem[n - 1])
		n--;
	put(head, sizeof(head));
	put(calls, strlen(calls));
	put(mem, n);
	save("virtq", name);
	memset(mem, 0, sizeof(mem));
}

static void rings(void)
{
	/* digits as calls: '0' (48) pop, '2' (50) push, '3' publish, '4' want kick, '5' no kick */
	desc(mem, 0, GUEST + HEAP, 40, 1, 1);
	desc(mem, 1, GUEST + HEAP + 64, 16, 2, 0);
	avail(1, 0, 0);
	save_ring("simple", 4, "5004203");

	for (unsigned i = 0; i < 16; i++)
		desc(mem, i, GUEST + i * 64, 64, (uint16_t)((i < 15) | (i > 4 ? 2 : 0)), (uint16_t)(i + 1));
	avail(1, 0, 0);
	save_ring("long", 4 | 8, "0234");

	desc(mem, 3, GUEST + 64, 8, 1, 2);
	desc(mem, 2, GUEST + HEAP, 16 * 5, 4, 0);
	for (unsigned i = 0; i < 5; i++)
		desc(mem + HEAP, i, GUEST + i * 64, 64, (uint16_t)((i < 4) | (i > 1 ? 2 : 0)), (uint16_t)(i + 1));
	avail(1, 0, 3);
	save_ring("indirect", 4 | 8 | 16, "0234");

	for (unsigned i = 0; i < 8; i++) {
		desc(mem, i, GUEST + i * 64, 64, (uint16_t)(i & 1 ? 2 : 0), 0);
		avail((uint16_t)(i + 1), i, (uint16_t)(7 - i));
	}
	save_ring("many", 3 | 8 | 32, "00022300222230002222340");

	for (unsigned i = 0; i < 8; i++)
		desc(mem, i, GUEST + i * 64, 64, 0, 0);
	for (unsigned i = 0; i < 4; i++)
		avail((uint16_t)(i + 1), i, (uint16_t)i);
	mem[RECORD + 8] = 1;  /* version */
	mem[RECORD + 10] = 8; /* descriptors */
	for (unsigned i = 0; i < 3; i++) {
		mem[RECORD + 16 + 16 * i] = 1;
		mem[RECORD + 16 + 16 * i + 8] = (uint8_t)(9 - i);
	}
	save_ring("record", 3 | 32 | 64, "30002222300223");
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: make_seeds FOLDER\n");
		return 1;
	}
	folder = argv[1];
	messages();
	rings();
	return 0;
}
