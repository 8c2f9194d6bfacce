/* siphash.h - SipHash-2-4 with 128 bits of output: a keyed hash for short messages.
 *
 * Role: keeper. A function from bytes to bytes; it calls nothing.
 */
#ifndef VFSD_SIPHASH_H
#define VFSD_SIPHASH_H

#include "common/base.h"

#define SIPHASH_KEY 16
#define SIPHASH_OUT 16

void siphash(const uint8_t key[SIPHASH_KEY], const void *data, size_t len, uint8_t out[SIPHASH_OUT]);

#endif
