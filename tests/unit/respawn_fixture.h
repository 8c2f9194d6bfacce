/* respawn_fixture.h - a transport that dies and is replaced, between a VMM, a guest and an fsworker that must not notice.
 *
 * The transport is a forked process: everything but main(), which needs the privileges of the real one. Its holder is a process that
 * shares its descriptor table. It dies where it is told to (common/crashpoint.h: the transport's sources are compiled once
 * more for these tests), or whenever the test kills it, and the next one is started at once. VMM, guest and fsworker are the test:
 * they check on their own that nothing comes twice, and wait() that all of it comes.
 */
#ifndef RESPAWN_FIXTURE_H
#define RESPAWN_FIXTURE_H

#include "transport/fuse_wire.h"
#include "transport/vhost_wire.h"
#include "ipc/messages.h"

#include <check.h>

#define RINGS 2u
#define RING_SIZE 64u
#define SLOTS (RING_SIZE / 2)
#define BUFFER 16384u
#define REQUESTS_MAX 40000u
#define FILES 64u

/* A request of the guest; its number is its unique, and is in all that the fsworker is asked for it. */
struct guest_request {
	bool busy, answered;
	bool no_reply;
	uint32_t ring, slot;
	int error;        /* 0 or a positive errno */
	uint32_t len;     /* of the reply's body */
	uint8_t body[192];
	const void *expect; /* the body must be this */
	uint32_t expect_len;
	/* what the fsworker was asked, repetitions that carry the same number not counted */
	uint32_t asked;
	uint64_t forgotten;
	int file;         /* OPEN: of this; -1: ENOENT */
	bool no_grant;    /* OPEN: without the descriptor */
	uint64_t fh;      /* OPEN: what it got; its nodeid is the request's number */
	uint32_t closed;  /* OPEN: RELEASEs and CLOSEs of it */
	uint32_t flushed; /* OPEN: FLUSHes */
};

struct world {
	struct guest_request req[REQUESTS_MAX];
	uint32_t nreq;
	uint32_t deaths;   /* of transports */
	uint32_t repeated; /* datagrams that came again, with their number */
	void (*on_death)(void); /* called between one transport and the next */
	bool exited;       /* by itself, with status 0 */
	bool gone;         /* it said so */
	bool hold_locks;   /* locks that wait are not granted */
	uint32_t locks;    /* that wait at the fsworker */
	uint32_t cancels;
	uint32_t forwarded; /* READs and WRITEs of granted files */
};
extern struct world world;

/* world_open() - @crash: where the first transport dies at the count-th passing; @then: where the second one does, at the first.
 * NULL: nowhere. */
void world_open(const char *crash, unsigned count, const char *then);
void world_close(void);

void world_pump(int timeout_ms);
/* world_wait() - until *flag, or the test fails. */
void world_wait(const bool *flag);
void world_wait_count(const uint32_t *count, uint32_t atleast);
void world_wait_all(void);
void transport_kill(void);
/* transport_spoiled() - it dies, its state is overwritten in `places` places, and the next one starts from that: it may give up,
 * but no more. Nobody answers it; the world is good for nothing afterwards. */
void transport_spoiled(uint32_t seed, uint32_t places);

/* the VMM. vmm_connect() - up to both rings running. */
void vmm_connect(void);
uint64_t vmm_ask(uint32_t request, const void *payload, uint32_t size, int fd);
uint32_t vmm_stop(uint32_t ring);
void vmm_start(uint32_t ring, uint32_t base);
void vmm_disconnect(void);

/* the guest. guest_add() - a request that is not shown yet: its number. guest_kick() - show. */
uint32_t guest_add(uint32_t ring, uint32_t opcode, uint64_t nodeid, const void *arg, uint32_t arg_len, const void *more,
		   uint32_t more_len, uint32_t room);
bool guest_has_room(uint32_t ring);
void guest_kick(uint32_t ring);

/* the fsworker grants what waits */
void fsworker_grant_locks(void);

#endif
