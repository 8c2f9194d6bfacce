/* seal.c - see seal.h. A sealed handle is the hash, the type (host byte order: it never leaves this host), the bytes. */
#include "keeper/seal.h"

_Static_assert(IPC_KEEPER_KEY == SIPHASH_KEY, "one key");

/* Everything that counts, in one block of a fixed form: no two different handles look the same in it. */
struct sealed_text {
	struct seal_place place;
	struct seal_handle handle;
};
_Static_assert(sizeof(struct sealed_text) == sizeof(struct seal_place) + 8 + SEAL_HANDLE_MAX + 4, "padded only at its end");

static void hash(const uint8_t *key, const struct seal_place *place, const struct seal_handle *h, uint8_t out[SEAL_BYTES])
{
	struct sealed_text t;

	memset(&t, 0, sizeof(t));
	t.place.mnt_id = place->mnt_id;
	t.place.fs_type = place->fs_type;
	t.place.fs_id = place->fs_id;
	t.handle.type = h->type;
	t.handle.len = h->len;
	memcpy(t.handle.bytes, h->bytes, h->len);
	siphash(key, &t, sizeof(t), out);
}

/* Without a hint, by the time it takes, of how much of a guess was right. */
static bool same(const uint8_t *a, const uint8_t *b)
{
	unsigned int diff = 0;

	for (size_t i = 0; i < SEAL_BYTES; i++)
		diff |= (unsigned int)(a[i] ^ b[i]);
	return diff == 0;
}

/*
 * seal_make() - Seal a handle
 * @key:	The keepers'
 * @place:	Where the handle is valid
 * @h:		Handle
 * @out:	Out: the sealed handle
 *
 * Return: its length
 */
uint32_t seal_make(const uint8_t key[IPC_KEEPER_KEY], const struct seal_place *place, const struct seal_handle *h,
		   uint8_t out[IPC_HANDLE_MAX])
{
	hash(key, place, h, out);
	memcpy(out + SEAL_BYTES, &h->type, sizeof(h->type));
	memcpy(out + SEAL_BYTES + sizeof(h->type), h->bytes, h->len);
	return SEAL_BYTES + (uint32_t)sizeof(h->type) + h->len;
}

/*
 * seal_open() - Get the handle back, if it is the one that was sealed
 * @key:	The keepers'
 * @place:	Where it is to be opened
 * @sealed:	What a fsworker says a keeper gave it; nothing of it is believed
 * @len:	Its length
 * @h:		Out: handle
 *
 * Return: 0, -EBADMSG
 */
int seal_open(const uint8_t key[IPC_KEEPER_KEY], const struct seal_place *place, const uint8_t *sealed, uint32_t len,
	      struct seal_handle *h)
{
	uint8_t expect[SEAL_BYTES];

	memset(h, 0, sizeof(*h));
	if (len < SEAL_BYTES + sizeof(h->type) || len > IPC_HANDLE_MAX)
		return -EBADMSG;
	h->len = len - SEAL_BYTES - (uint32_t)sizeof(h->type);
	memcpy(&h->type, sealed + SEAL_BYTES, sizeof(h->type));
	memcpy(h->bytes, sealed + SEAL_BYTES + sizeof(h->type), h->len);
	hash(key, place, h, expect);
	return same(expect, sealed) ? 0 : -EBADMSG;
}
