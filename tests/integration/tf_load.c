/*
 * test-fuse: many requests in flight on several queues, every byte compared.
 */
#define _GNU_SOURCE 1
#include "test-fuse.h"

#define FILES 8
#define DEPTH 48
#define BLOCK 16384u
#define BLOCKS 64u
#define ROUNDS 6000

static uint64_t node[FILES], fh[FILES];
static uint32_t version[FILES][BLOCKS];	/* what each block holds now */
static bool busy[FILES][BLOCKS];	/* a request on it is in flight */

struct job {
	struct freq *q;
	unsigned int file, block;
	uint32_t version;
	enum { JOB_WRITE, JOB_READ, JOB_ATTR, JOB_LOOKUP, JOB_KINDS } kind;
};

static uint64_t rng = 88172645463325252ull;

static uint32_t rnd(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 32);
}

static void content(uint8_t *p, unsigned int file, unsigned int block, uint32_t ver)
{
	tu_fill(p, BLOCK, ((uint64_t)ver << 32) | (file * BLOCKS + block));
}

static void submit(struct job *j)
{
	struct fuse_write_in w = { 0 };
	struct fuse_read_in r = { 0 };
	struct fuse_getattr_in g = { 0 };
	char name[16];

	do {
		j->file = rnd() % FILES;
		j->block = rnd() % BLOCKS;
	} while (busy[j->file][j->block]);
	j->kind = rnd() % JOB_KINDS;
	FS->queue = DEV_REQUEST + rnd() % (env.dev.nrings - 1);
	switch (j->kind) {
	case JOB_WRITE:
		j->version = rnd();
		w.fh = fh[j->file];
		w.offset = (uint64_t)j->block * BLOCK;
		w.size = BLOCK;
		j->q = fs_new(FS, FUSE_WRITE, node[j->file], sizeof(w) + BLOCK,
			      sizeof(struct fuse_write_out));
		ck_assert_ptr_nonnull(j->q);
		fs_put(j->q, &w, sizeof(w));
		content(fs_put(j->q, NULL, BLOCK), j->file, j->block, j->version);
		busy[j->file][j->block] = true;
		break;
	case JOB_READ:
		r.fh = fh[j->file];
		r.offset = (uint64_t)j->block * BLOCK;
		r.size = BLOCK;
		j->q = fs_new(FS, FUSE_READ, node[j->file], sizeof(r), BLOCK);
		ck_assert_ptr_nonnull(j->q);
		fs_put(j->q, &r, sizeof(r));
		busy[j->file][j->block] = true;
		break;
	case JOB_ATTR:
		j->q = fs_new(FS, FUSE_GETATTR, node[j->file], sizeof(g),
			      sizeof(struct fuse_attr_out));
		ck_assert_ptr_nonnull(j->q);
		fs_put(j->q, &g, sizeof(g));
		break;
	default:
		snprintf(name, sizeof(name), "f%u", j->file);
		j->q = fs_new(FS, FUSE_LOOKUP, TU_ROOT, sizeof(name),
			      sizeof(struct fuse_entry_out));
		ck_assert_ptr_nonnull(j->q);
		fs_put(j->q, name, strlen(name) + 1);
	}
	ck_assert_int_eq(fs_submit(j->q), 0);
}

static void check(struct job *j)
{
	static uint8_t want[BLOCK];
	struct fuse_write_out *w;
	struct fuse_attr_out *a;
	struct fuse_entry_out *e;
	size_t len;
	void *p;

	ck_ok(fs_result(j->q));
	p = fs_reply(j->q, &len);
	switch (j->kind) {
	case JOB_WRITE:
		w = p;
		ck_assert_uint_eq(len, sizeof(*w));
		ck_assert_uint_eq(w->size, BLOCK);
		version[j->file][j->block] = j->version;
		busy[j->file][j->block] = false;
		break;
	case JOB_READ:
		ck_assert_uint_eq(len, BLOCK);
		content(want, j->file, j->block, version[j->file][j->block]);
		ck_assert_int_eq(memcmp(p, want, BLOCK), 0);
		busy[j->file][j->block] = false;
		break;
	case JOB_ATTR:
		a = p;
		ck_assert_uint_eq(len, sizeof(*a));
		ck_assert_uint_eq(a->attr.size, BLOCK * BLOCKS);
		break;
	default:
		e = p;
		ck_assert_uint_eq(len, sizeof(*e));
		ck_assert_uint_eq(e->nodeid, node[j->file]);
	}
	fs_free(j->q);
	j->q = NULL;
}

static void make_files(void)
{
	static uint8_t data[BLOCK];
	char name[16];

	for (unsigned int f = 0; f < FILES; f++) {
		snprintf(name, sizeof(name), "f%u", f);
		fh[f] = tu_create(FS, TU_ROOT, name, O_RDWR | O_CREAT, 0644, &node[f]);
		for (unsigned int b = 0; b < BLOCKS; b++) {
			content(data, f, b, 0);
			ck_assert_int_eq(fs_write(FS, node[f], fh[f], data, BLOCK,
						  (uint64_t)b * BLOCK, O_RDWR, 0), BLOCK);
		}
	}
}

static void run(bool poll_rings)
{
	static struct job jobs[DEPTH];
	unsigned int started = 0, finished = 0;

	make_files();
	while (started < DEPTH)
		submit(&jobs[started++]);
	while (finished < ROUNDS) {
		struct job *done = NULL;

		for (unsigned int i = 1; i < env.dev.nrings; i++) {
			if (poll_rings)
				ring_disarm(&env.dev.rings[i]);
			while (ring_pop(&env.dev.rings[i]))
				;
			ck_assert(!env.dev.rings[i].broken);
		}
		for (unsigned int i = 0; i < DEPTH; i++) {
			if (!jobs[i].q || !jobs[i].q->vq.done)
				continue;
			done = &jobs[i];
			check(done);
			finished++;
			if (started < ROUNDS) {
				submit(done);
				started++;
			}
		}
		if (done || poll_rings)
			continue;
		for (unsigned int i = 0; i < DEPTH; i++) {
			if (jobs[i].q) {
				ck_ok(fs_wait(jobs[i].q));
				break;
			}
		}
	}
}

START_TEST(mixed_sleeping)
{
	run(false);
}
END_TEST

START_TEST(mixed_polling)
{
	run(true);
}
END_TEST

/* The same requests again and again, several for one kick, never sleeping. */
START_TEST(resubmitted)
{
	enum { N = 16 };
	struct fuse_read_in in = { .size = BLOCK };
	struct ring *r = &env.dev.rings[DEV_REQUEST];
	static uint8_t want[BLOCK];
	struct freq *q[N];
	unsigned int finished = 0;

	make_files();
	FS->queue = DEV_REQUEST;
	in.fh = fh[0];
	for (unsigned int i = 0; i < N; i++) {
		in.offset = (uint64_t)i * BLOCK;
		q[i] = fs_new(FS, FUSE_READ, node[0], sizeof(in), BLOCK);
		ck_assert_ptr_nonnull(q[i]);
		fs_put(q[i], &in, sizeof(in));
		ck_ok(fs_submit(q[i]));
	}
	ring_disarm(r);
	while (finished < 20000) {
		struct vreq *v;
		unsigned int n = 0;

		while ((v = ring_pop(r))) {
			struct freq *done = v->owner;
			size_t len;

			ck_ok(fs_result(done));
			fs_reply(done, &len);
			ck_assert_uint_eq(len, BLOCK);
			ck_ok(fs_again(done));
			n++;
		}
		ck_assert(!r->broken);
		ring_disarm(r);
		if (n)
			ring_kick(r);
		finished += n;
	}
	for (unsigned int i = 0; i < N; i++) {
		size_t len;
		void *p;

		ck_ok(fs_wait(q[i]));
		p = fs_reply(q[i], &len);
		content(want, 0, i, 0);
		ck_assert_int_eq(memcmp(p, want, BLOCK), 0);
		fs_free(q[i]);
	}
}
END_TEST

/* FORGETs of the hiprio queue race with lookups of the same names. */
START_TEST(forget_against_lookup)
{
	struct fuse_entry_out e;
	struct fuse_attr_out a;

	tu_write_file(tu_path(&env, "file"), "x", 1, 0644);
	for (int i = 0; i < 2000; i++) {
		FS->queue = DEV_REQUEST + (unsigned int)i % (env.dev.nrings - 1);
		ck_ok(fs_lookup(FS, TU_ROOT, "file", &e));
		ck_ok(fs_getattr(FS, e.nodeid, NULL, &a));
		ck_ok(fs_forget(FS, e.nodeid, 1));
	}
}
END_TEST

#define MANY_DIRS 64u
#define MANY_FORGETS 100u
#define FORGETS_OF_64K 4090u

/* Put it on its ring and say nothing: one kick for all. Once the ring is full, what is done makes room. */
static void put_quietly(struct freq *q)
{
	int err;

	fs_layout(q);
	q->vq.reply = q->in.host;
	q->vq.unique = fs_head(q)->unique;
	q->vq.owner = q;
	while ((err = ring_add(q->ring, &q->vq)) == -EAGAIN) {
		ring_kick(q->ring);
		if (!ring_pop(q->ring))
			ck_ok(ring_sleep(q->ring, vuf_timeout_ms()));
	}
	ck_ok(err);
}

/*
 * A ring whose answers fill the way back from the fsworker while its questions
 * fill the way there. If ever both processes wait to write, neither reads.
 */
START_TEST(both_ways_full)
{
	static struct fuse_forget_one one[FORGETS_OF_64K];
	struct fuse_batch_forget_in count = { .count = FORGETS_OF_64K };
	struct freq *dirs[MANY_DIRS], *forgets[MANY_FORGETS], *last;
	struct fuse_read_in in = { .size = 65536 };
	struct fuse_open_out o;
	char name[64];
	size_t len;

	for (unsigned int i = 0; i < 1500; i++) {
		snprintf(name, sizeof(name), "a-name-that-is-not-so-short-%u", i);
		ck_assert_int_eq(mknod(tu_path(&env, name), S_IFREG | 0644, 0), 0);
	}
	FS->queue = DEV_REQUEST;
	ck_ok(fs_opendir(FS, TU_ROOT, 0, &o));
	in.fh = o.fh;
	/* Of nodes that there are not. */
	for (unsigned int i = 0; i < FORGETS_OF_64K; i++)
		one[i] = (struct fuse_forget_one){ .nodeid = 0x7000000 + i, .nlookup = 1 };
	for (unsigned int i = 0; i < MANY_DIRS; i++) {
		dirs[i] = fs_new(FS, FUSE_READDIR, TU_ROOT, sizeof(in), in.size);
		ck_assert_ptr_nonnull(dirs[i]);
		fs_put(dirs[i], &in, sizeof(in));
	}
	for (unsigned int i = 0; i < MANY_FORGETS; i++) {
		forgets[i] = fs_new(FS, FUSE_BATCH_FORGET, 0, sizeof(count) + sizeof(one), 0);
		ck_assert_ptr_nonnull(forgets[i]);
		fs_put(forgets[i], &count, sizeof(count));
		fs_put(forgets[i], one, sizeof(one));
		forgets[i]->vq.noreply = true;
	}
	for (unsigned int i = 0; i < MANY_DIRS; i++)
		put_quietly(dirs[i]);
	for (unsigned int i = 0; i < MANY_FORGETS; i++)
		put_quietly(forgets[i]);
	last = fs_new(FS, FUSE_STATFS, TU_ROOT, 0, sizeof(struct fuse_statfs_out));
	ck_assert_ptr_nonnull(last);
	put_quietly(last);
	ring_kick(last->ring);
	ck_ok(fs_wait(last));
	fs_free(last);
	for (unsigned int i = 0; i < MANY_DIRS; i++) {
		ck_ok(fs_wait(dirs[i]));
		fs_reply(dirs[i], &len);
		/* Large enough that a few of them are more than a socket holds. */
		ck_assert_uint_gt(len, 60000);
		fs_free(dirs[i]);
	}
	for (unsigned int i = 0; i < MANY_FORGETS; i++) {
		ck_ok(fs_wait(forgets[i]));
		fs_free(forgets[i]);
	}
	/* A new session needs every link to be at rest for a moment. */
	FS->queue = DEV_REQUEST + 1;
	tu_init(&env);
}
END_TEST

TCase *load_case(void)
{
	TCase *tc = tf_case("load");

	tcase_add_test(tc, mixed_sleeping);
	tcase_add_test(tc, mixed_polling);
	tcase_add_test(tc, resubmitted);
	tcase_add_test(tc, forget_against_lookup);
	tcase_add_test(tc, both_ways_full);
	return tc;
}
