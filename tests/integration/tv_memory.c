/*
 * test-vhost: guest memory that comes and goes while rings run; and the buffer
 * that records requests in flight.
 */
#define _GNU_SOURCE 1
#include <signal.h>
#include <sys/mman.h>

#include "test-vhost.h"

#define EXTRA_GPA 0x900000000ull
#define EXTRA_SIZE (1ull << 20)

static int add_region(uint64_t gpa)
{
	int i = gmem_add(&env.dev.mem, gpa, EXTRA_SIZE, 0x3000);

	ck_ok(i);
	ck_assert_int_eq(vu_add_mem_reg(VU, &env.dev.mem.regions[i].wire, env.dev.mem.regions[i].fd),
			 0);
	return i;
}

/* A request whose buffers all lie in one region. */
static void use_region(unsigned int region)
{
	struct freq *q = fs_new(FS, FUSE_GETATTR, TU_ROOT, sizeof(struct fuse_getattr_in),
				sizeof(struct fuse_attr_out));
	struct gbuf out, in;

	ck_assert_ptr_nonnull(q);
	memset(fs_put(q, NULL, sizeof(struct fuse_getattr_in)), 0, sizeof(struct fuse_getattr_in));
	ck_ok(gmem_alloc_in(&env.dev.mem, region, q->out.size, &out));
	ck_ok(gmem_alloc_in(&env.dev.mem, region, q->in.size, &in));
	memcpy(out.host, q->out.host, q->out.size);
	q->out = out;
	q->in = in;
	ck_ok(fs_submit(q));
	ck_ok(fs_wait(q));
	fs_free(q);
}

START_TEST(add_and_remove_while_running)
{
	struct vu_region wire;

	tu_start(&env, NULL, NULL);
	for (int round = 0; round < 20; round++) {
		int i = add_region(EXTRA_GPA);

		use_region((unsigned int)i);
		tu_exercise(FS, "file");
		wire = env.dev.mem.regions[i].wire;
		/* A descriptor is of no use here; front ends of old send one. */
		ck_assert_int_eq(vu_rem_mem_reg(VU, &wire,
						round & 1 ? env.dev.mem.regions[i].fd : -1), 0);
		gmem_remove(&env.dev.mem, (unsigned int)i);
		tu_exercise(FS, "file");
	}
}
END_TEST

/* The same map again, and a map with one more region, while rings run. */
START_TEST(table_replaced_while_running)
{
	tu_start(&env, NULL, NULL);
	for (int round = 0; round < 10; round++) {
		ck_ok(dev_set_memory(&env.dev));
		tu_exercise(FS, "file");
	}
	ck_ok(gmem_add(&env.dev.mem, EXTRA_GPA, EXTRA_SIZE, 0));
	ck_ok(dev_set_memory(&env.dev));
	use_region(2);
	tu_exercise(FS, "file");
}
END_TEST

/* Requests of the old map may be in flight while the new one comes. */
START_TEST(table_replaced_under_load)
{
	struct fuse_getattr_in in = { 0 };
	struct freq *q[60];

	tu_start(&env, NULL, NULL);
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 60; i++) {
			q[i] = fs_new(FS, FUSE_GETATTR, TU_ROOT, sizeof(in),
				      sizeof(struct fuse_attr_out));
			fs_put(q[i], &in, sizeof(in));
			ck_ok(fs_submit(q[i]));
		}
		ck_ok(dev_set_memory(&env.dev));
		for (int i = 0; i < 60; i++) {
			ck_ok(fs_wait(q[i]));
			fs_free(q[i]);
		}
	}
}
END_TEST

START_TEST(slots_up_to_the_limit)
{
	static struct vu_region extra[600];
	uint64_t slots;
	unsigned int n = 0;
	int fd;

	tu_start(&env, NULL, NULL);
	ck_ok(vu_get_max_mem_slots(VU, &slots));
	ck_assert_uint_le(slots, 600);
	fd = memfd_create("extra", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(fd, 4096), 0);
	for (n = 0; n + env.dev.mem.n < slots; n++) {
		extra[n] = (struct vu_region){
			.gpa = EXTRA_GPA + n * 0x10000ull,
			.size = 4096,
			.uaddr = 0x100000000ull + n * 0x10000ull,
		};
		ck_assert_int_eq(vu_add_mem_reg(VU, &extra[n], fd), 0);
	}
	extra[n] = extra[0];
	extra[n].gpa = EXTRA_GPA + n * 0x10000ull;
	extra[n].uaddr = 0x100000000ull + n * 0x10000ull;
	ck_assert_int_eq(vu_add_mem_reg(VU, &extra[n], fd), VU_REFUSED);
	tu_exercise(FS, "file");
	while (n--)
		ck_assert_int_eq(vu_rem_mem_reg(VU, &extra[n], -1), 0);
	tu_exercise(FS, "file");
	close(fd);
}
END_TEST

/**
 * memory_case() - The memory map
 *
 * Return: the test case
 */
TCase *memory_case(void)
{
	TCase *tc = tv_case("memory");

	tcase_add_test(tc, add_and_remove_while_running);
	tcase_add_test(tc, table_replaced_while_running);
	tcase_add_test(tc, table_replaced_under_load);
	tcase_add_test(tc, slots_up_to_the_limit);
	return tc;
}

/* The protocol's record of a split ring; one descriptor entry each. */
struct inflight_desc {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;
	uint64_t counter;
};

struct inflight_queue {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t last_batch_head;
	uint16_t used_idx;
	struct inflight_desc desc[];
};

#define RING_SIZE 64

static struct inflight_queue *queue_record(void *map, const struct vu_inflight *io, unsigned int i)
{
	return (void *)((char *)map + io->mmap_size / io->num_queues * i);
}

static void *map_inflight(struct vu_inflight *io, int *fd)
{
	void *map;

	*io = (struct vu_inflight){ .num_queues = 2, .queue_size = RING_SIZE };
	ck_ok(vu_get_inflight_fd(VU, io, fd));
	ck_assert_uint_eq(io->num_queues, 2);
	ck_assert_uint_eq(io->queue_size, RING_SIZE);
	map = mmap(NULL, io->mmap_size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd,
		   (off_t)io->mmap_offset);
	ck_assert_ptr_ne(map, MAP_FAILED);
	return map;
}

static unsigned int marked(const struct inflight_queue *rec)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < RING_SIZE; i++)
		n += rec->desc[i].inflight;
	return n;
}

static void start_with_inflight(struct vu_inflight *io, int *fd, void **map)
{
	static const char *const options[] = { "-o", "posix_lock", NULL };
	struct dev_config cfg = { .queue_size = RING_SIZE };
	int sock;

	tu_daemon(&env, options);
	sock = daemon_connect(&env.d, env.socket);
	ck_ok(sock);
	env.connected = true;
	ck_ok(dev_negotiate(&env.dev, sock, &cfg));
	fs_init(FS, &env.dev);
	if (!(VU->proto & VU_BIT(VU_P_INFLIGHT_SHMFD)))
		return;
	*map = map_inflight(io, fd);
	ck_assert_int_eq(vu_set_inflight_fd(VU, io, *fd), 0);
	ck_ok(dev_start(&env.dev));
	tu_init(&env);
}

START_TEST(heads_are_recorded)
{
	struct fuse_file_lock lk = { .type = F_WRLCK, .end = 100 };
	struct inflight_queue *rec;
	struct vu_inflight io;
	void *map = NULL;
	uint64_t node, fh;
	struct freq *q;
	int fd;

	start_with_inflight(&io, &fd, &map);
	if (!map)
		return;
	rec = queue_record(map, &io, 1);
	ck_assert_uint_eq(rec->version, 1);
	ck_assert_uint_eq(rec->desc_num, RING_SIZE);
	tu_exercise(FS, "file");
	ck_assert_uint_eq(marked(rec), 0);
	fh = tu_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, 0644, &node);
	ck_ok(fs_setlk(FS, FUSE_SETLK, node, fh, 1, &lk, 0));
	q = fs_setlk_begin(FS, FUSE_SETLKW, node, fh, 2, &lk, 0);
	tu_exercise(FS, "other");
	ck_assert_uint_eq(marked(rec), 1);
	ck_assert_uint_eq(rec->desc[q->vq.head].inflight, 1);
	lk.type = F_UNLCK;
	ck_ok(fs_setlk(FS, FUSE_SETLK, node, fh, 1, &lk, 0));
	ck_ok(fs_wait(q));
	fs_free(q);
	tu_exercise(FS, "other");
	ck_assert_uint_eq(marked(rec), 0);
	munmap(map, io.mmap_size);
	close(fd);
}
END_TEST

/*
 * A back end dies with a request in flight; the next one gets the record and
 * must complete that head, though it knows nothing of the session it was made
 * in: with an error then.
 */
START_TEST(heads_survive_the_back_end)
{
	struct fuse_file_lock lk = { .type = F_WRLCK, .end = 100 };
	struct vu_inflight io;
	void *map = NULL;
	uint64_t node, fh;
	struct freq *q;
	int fd, sock;

	start_with_inflight(&io, &fd, &map);
	if (!map)
		return;
	fh = tu_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, 0644, &node);
	ck_ok(fs_setlk(FS, FUSE_SETLK, node, fh, 1, &lk, 0));
	q = fs_setlk_begin(FS, FUSE_SETLKW, node, fh, 2, &lk, 0);
	tu_exercise(FS, "other");
	ck_assert(!q->vq.done);
	/* Only the connection goes: its rings and their memory stay as they are. */
	ck_ok(daemon_signal(&env.d, SIGKILL));
	ck_assert_int_eq(daemon_wait(&env.d, vuf_timeout_ms()), 256 + SIGKILL);
	vu_close(VU);
	daemon_close(&env.d);

	tu_daemon(&env, NULL);
	sock = daemon_connect(&env.d, env.socket);
	ck_ok(sock);
	VU->fd = sock;
	ck_ok(vu_set_protocol_features(VU, VU->proto));
	ck_ok(vu_set_owner(VU));
	ck_ok(vu_set_features(VU, VU->features));
	ck_assert_int_eq(vu_set_inflight_fd(VU, &io, fd), 0);
	ck_ok(dev_set_memory(&env.dev));
	for (unsigned int i = 0; i < 2; i++) {
		env.dev.rings[i].conn_fd = sock;
		ck_ok(dev_start_ring(&env.dev, i, ring_used_idx(&env.dev.rings[i])));
	}
	ck_assert_int_lt(fs_wait(q), 0);
	ck_assert_int_eq(q->vq.error, 0);
	fs_free(q);
	tu_init(&env);
	tu_exercise(FS, "again");
	munmap(map, io.mmap_size);
	close(fd);
}
END_TEST

/**
 * inflight_case() - The record of requests in flight
 *
 * Return: the test case
 */
TCase *inflight_case(void)
{
	TCase *tc = tv_case("inflight");

	tcase_add_test(tc, heads_are_recorded);
	tcase_add_test(tc, heads_survive_the_back_end);
	return tc;
}
