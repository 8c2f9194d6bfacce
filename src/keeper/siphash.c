/* siphash.c - see siphash.h.
 *
 * Written after J.-P. Aumasson and D. J. Bernstein, "SipHash: a fast short-input PRF" (INDOCRYPT 2012), and what the
 * authors' reference implementation adds to it for 128 bits of output: another initial constant, and a second finalization.
 * A library for one function of 40 lines would be the largest thing in this process. The unit test has the authors' vectors.
 */
#include "keeper/siphash.h"

struct state {
	uint64_t v0, v1, v2, v3;
};

static uint64_t rotate(uint64_t x, unsigned int bits)
{
	return x << bits | x >> (64 - bits);
}

/* Little-endian, on any machine; n up to 8. */
static uint64_t load(const uint8_t *p, size_t n)
{
	uint64_t x = 0;

	for (size_t i = 0; i < n; i++)
		x |= (uint64_t)p[i] << (8 * i);
	return x;
}

static void store(uint8_t *p, uint64_t x)
{
	for (size_t i = 0; i < 8; i++)
		p[i] = (uint8_t)(x >> (8 * i));
}

static void rounds(struct state *s, int n)
{
	while (n--) {
		s->v0 += s->v1;
		s->v2 += s->v3;
		s->v1 = rotate(s->v1, 13) ^ s->v0;
		s->v3 = rotate(s->v3, 16) ^ s->v2;
		s->v0 = rotate(s->v0, 32);
		s->v2 += s->v1;
		s->v0 += s->v3;
		s->v1 = rotate(s->v1, 17) ^ s->v2;
		s->v3 = rotate(s->v3, 21) ^ s->v0;
		s->v2 = rotate(s->v2, 32);
	}
}

static void absorb(struct state *s, uint64_t word)
{
	s->v3 ^= word;
	rounds(s, 2);
	s->v0 ^= word;
}

/* siphash() - the hash of len bytes under a key */
void siphash(const uint8_t key[SIPHASH_KEY], const void *data, size_t len, uint8_t out[SIPHASH_OUT])
{
	const uint8_t *p = data;
	uint64_t k0 = load(key, 8), k1 = load(key + 8, 8);
	/* "somepseudorandomlygeneratedbytes" */
	struct state s = {
		k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u,
	};

	s.v1 ^= 0xee;
	for (size_t left = len; left >= 8; left -= 8, p += 8)
		absorb(&s, load(p, 8));
	absorb(&s, load(p, len % 8) | (uint64_t)len << 56);
	s.v2 ^= 0xee;
	rounds(&s, 4);
	store(out, s.v0 ^ s.v1 ^ s.v2 ^ s.v3);
	s.v1 ^= 0xdd;
	rounds(&s, 4);
	store(out + 8, s.v0 ^ s.v1 ^ s.v2 ^ s.v3);
}
