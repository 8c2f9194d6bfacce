/*
 * A load generator for virtiofs daemons: the vhost-user front end of the tests
 * drives one daemon after the other with the same requests, checks every reply
 * and counts what each request cost.
 */
#ifndef BENCH_H
#define BENCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fuse_client.h"
#include "vuf_daemon.h"

#define BENCH_FILES 1024		/* with names, in the share's root */
#define BENCH_FILE_SIZE 4096u
#define BENCH_DATA_SIZE (64u << 20)	/* of the file that is read and written */
#define BENCH_DIR_ENTRIES 10000
#define BENCH_QUEUES 8
#define BENCH_DEPTH 64
#define BENCH_SLOT_REQS 11
#define BENCH_MIX 5
#define BENCH_PAGE 4096u
#define BENCH_BLOCK (1u << 20)
#define BENCH_FORGETS 64		/* lookups that are given back in one message */

enum bench_cpus { CPUS_FREE, CPUS_SAME, CPUS_SPLIT };

struct load;
struct lane;

/* One of the requests that are in flight at a time; an operation may take several, one after the other. */
struct slot {
	struct lane *lane;
	unsigned int number;
	unsigned int step;		/* requests of this operation that were answered */
	struct freq *req[BENCH_SLOT_REQS];
	struct freq *mixed[BENCH_MIX][BENCH_SLOT_REQS];
	struct freq *now;		/* which one is in flight */
	unsigned int kind;		/* for workloads that are several */
	uint64_t at;			/* file, or offset, of this operation */
	uint64_t nodeid, fh;		/* of what it has made */
	uint64_t serial;		/* operations that this slot has done */
	int64_t began_ns;
};

/* One request queue and the thread that drives it. */
struct lane {
	struct load *load;
	struct fs fs;
	pthread_t thread;
	unsigned int number;
	unsigned int nslots;
	struct slot slots[BENCH_DEPTH];
	uint64_t rng;
	uint64_t ops, bytes;
	uint64_t kicks, interrupts, requests;
	struct histogram *latency;
	struct fuse_forget_one forgets[BENCH_FORGETS];
	unsigned int nforgets;
	bool failed;
};

struct workload {
	const char *name;
	const char *what;
	uint32_t bytes;			/* of contents that an operation moves */
	bool xattr;			/* needs extended attributes of users */
	uint64_t ops;			/* ends after so many; 0: after some time */
	unsigned int max_depth;		/* 0: any */
	int (*prepare)(struct load *l);	/* once for each lane's client is set up; may be NULL */
	int (*begin)(struct slot *s);	/* makes its requests */
	/*
	 * Judge the reply to the last request, if there was one (s->step > 0),
	 * and return the next one. NULL: the operation is done; s->lane->failed
	 * says if it was wrong.
	 */
	struct freq *(*next)(struct slot *s);
	int (*check)(struct load *l);	/* afterwards, on the host; may be NULL */
};

/* What every lane of a run shares. */
struct load {
	const struct workload *work;
	struct vudev *dev;
	const char *dir;		/* on the host */
	unsigned int nlanes, depth;
	double seconds;
	atomic_bool stop;
	pthread_mutex_t hiprio;		/* the one queue that all lanes use */
	struct lane *lanes;
	uint64_t nodeids[BENCH_FILES];
	uint64_t data_node, data_fh, dir_node;
	_Atomic uint64_t next_offset;	/* of sequential workloads */
};

struct histogram {
	uint64_t count[64 * 32];
	uint64_t n;
};

struct measured {
	bool ok;
	int error;			/* of the run, 0 or a negative errno */
	double ops, mb, p50_us, p99_us, cpu_us, kicks, interrupts;
	double pss_kb;
	unsigned int descriptors;
};

/* A daemon that is measured. */
struct target {
	const char *name;
	bool ours;
	const char *words[64];
	const char *dir;		/* that is shared */
	const char *socket;
	enum bench_cpus cpus;
};

/* One that runs. */
struct life {
	struct daemon d;
	struct vudev dev;
	bool opened;
	double ready_ms, reply_ms;	/* since exec */
};

/* life.c */
int life_begin(struct life *v, const struct target *t, unsigned int queues);
void life_end(struct life *v);
int life_start_times(const struct target *t, double *ready_ms, double *reply_ms);
int life_idle(const struct target *t, double seconds, double *idle_us, double *light_us);
int life_walk(const struct target *t, unsigned int files, struct measured *m);

/* load.c */
int load_run(struct load *l, struct measured *m, pid_t daemon);
struct freq *slot_request(struct slot *s, unsigned int i, uint32_t opcode, uint64_t nodeid,
			  const void *args, size_t n, size_t reply);
struct freq *slot_made(struct slot *s, unsigned int i, struct freq *q);
void *slot_args(struct freq *q);
const void *slot_reply(struct slot *s, size_t size);
struct freq *slot_fail(struct slot *s, const char *why);
void lane_forget(struct lane *lane, uint64_t nodeid);
uint64_t lane_random(struct lane *lane);
int64_t bench_now_ns(void);

/* share.c */
int share_make(const char *dir);
int share_make_walk(const char *dir, unsigned int files);
void share_file_name(char name[16], unsigned int i);
void share_fill(uint8_t *page, uint64_t offset);
void share_word(uint8_t *p, uint64_t offset, unsigned int i);
bool share_page_is(const uint8_t *page, uint64_t offset);
bool share_has_xattrs(void);

/* procs.c */
double procs_cpu_us(pid_t daemon);
double procs_pss_kb(pid_t daemon);
unsigned int procs_descriptors(pid_t daemon);
int procs_pin(enum bench_cpus cpus, bool daemon);

/* work_*.c */
extern const struct workload work_names[], work_data[], work_file[], work_mix[];

/* plain.c */
int plain_run(const char *dir, bool write, double seconds, struct measured *m);

/* hop.c */
enum bench_hop { HOP_NONE, HOP_SOCKET, HOP_MEMORY };
int hop_run(const char *dir, enum bench_cpus cpus, enum bench_hop kind, double seconds, struct measured *m);

#endif
