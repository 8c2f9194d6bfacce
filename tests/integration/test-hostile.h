/*
 * The parts of test-hostile, each a Check test case in a file of its own.
 */
#ifndef TEST_HOSTILE_H
#define TEST_HOSTILE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "testutil.h"

extern struct env env;
#define FS (&env.fs)
#define VU (&env.dev.vu)

#define TH_VICTIM 1u	/* ring that is attacked */
#define TH_HEALTHY 2u	/* ring that must go on */
#define TH_RING (&env.dev.rings[TH_VICTIM])

/* What became of an attack. */
enum th_outcome {
	TH_COMPLETED,	/* the descriptors came back, with or without a reply */
	TH_STOPPED,	/* they did not, and the daemon's log tells why */
};

/* A moment before an attack, to compare with. */
struct th_mark {
	uint16_t used;
	size_t log;
};

TCase *th_case(const char *name);
struct th_mark th_mark(struct ring *r);
enum th_outcome th_outcome(struct ring *r, struct th_mark before);
void th_healthy(void);
void th_desc(struct ring *r, uint16_t i, uint64_t addr, uint32_t len, uint16_t flags,
	     uint16_t next);
void th_good_request(struct gbuf *out, struct gbuf *in);
enum th_outcome th_fire(struct ring *r, uint16_t head);

TCase *requests_case(void);
TCase *replies_case(void);
TCase *names_case(void);
TCase *chains_case(void);
TCase *indirect_case(void);
TCase *messages_case(void);
TCase *memory_case(void);

#endif
