/*
 * test-hostile: guest memory that is not what the VMM says it is.
 */
#define _GNU_SOURCE 1
#include <stddef.h>
#include <sys/mman.h>

#include "test-hostile.h"

#define GPA 0x900000000ull
#define UADDR 0x910000000ull
#define SIZE (1ull << 20)

static int memory_file(uint64_t size)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static void add_refused(struct vu_region region, int fd)
{
	int err;

	VU->want_ack = true;
	err = vu_add_mem_reg(VU, &region, fd);
	ck_assert_msg(err == VU_REFUSED,
		      "gpa %#llx size %#llx uaddr %#llx offset %#llx: %s",
		      (unsigned long long)region.gpa, (unsigned long long)region.size,
		      (unsigned long long)region.uaddr, (unsigned long long)region.mmap_offset,
		      err ? tu_error(err) : "accepted");
	ck_ok(vu_alive(VU));
}

/* Refused each: it lies over another region, wraps, or is not all there. */
START_TEST(wrong_regions)
{
	const struct vu_region *r0 = &env.dev.mem.regions[0].wire;
	int fd = memory_file(SIZE);

	add_refused((struct vu_region){ GPA, 0, UADDR, 0 }, fd);
	add_refused((struct vu_region){ r0->gpa, SIZE, UADDR, 0 }, fd);
	add_refused((struct vu_region){ r0->gpa + r0->size - 4096, SIZE, UADDR, 0 }, fd);
	add_refused((struct vu_region){ r0->gpa - SIZE + 4096, SIZE, UADDR, 0 }, fd);
	add_refused((struct vu_region){ GPA, SIZE, r0->uaddr + 4096, 0 }, fd);
	add_refused((struct vu_region){ ~0ull - 4095, SIZE, UADDR, 0 }, fd);
	add_refused((struct vu_region){ GPA, SIZE, ~0ull - 4095, 0 }, fd);
	add_refused((struct vu_region){ GPA, ~0ull, UADDR, 0 }, fd);
	add_refused((struct vu_region){ GPA, ~0ull - GPA, UADDR, 0 }, fd);
	add_refused((struct vu_region){ GPA, 1ull << 62, UADDR, 0 }, fd);
	/* The file is shorter than the region: touching the rest would be SIGBUS. */
	add_refused((struct vu_region){ GPA, SIZE + 4096, UADDR, 0 }, fd);
	add_refused((struct vu_region){ GPA, SIZE, UADDR, 4096 }, fd);
	add_refused((struct vu_region){ GPA, SIZE, UADDR, ~0ull }, fd);
	add_refused((struct vu_region){ GPA, SIZE, UADDR, ~0ull - SIZE + 1 }, fd);
	/* And after all of that, the right one. */
	ck_assert_int_eq(vu_add_mem_reg(VU, &(struct vu_region){ GPA, SIZE, UADDR, 0 }, fd), 0);
	add_refused((struct vu_region){ GPA, SIZE, UADDR, 0 }, fd);
	close(fd);
}
END_TEST

/* Descriptors that are no memory, or not to be written. */
START_TEST(wrong_memory_files)
{
	struct vu_region region = { GPA, SIZE, UADDR, 0 };
	int fds[6], p[2];
	char path[64];

	ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
	fds[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fds[1] = open(env.share, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fds[2] = p[0];
	fds[3] = memory_file(0);
	fds[4] = memory_file(SIZE);
	/* The same memory, but opened for reading only. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[4]);
	fds[5] = open(path, O_RDONLY | O_CLOEXEC);
	close(fds[4]);
	fds[4] = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < 6; i++) {
		add_refused(region, fds[i]);
		close(fds[i]);
	}
	close(p[1]);
}
END_TEST

START_TEST(remove_what_is_not_there)
{
	struct vu_region r0 = env.dev.mem.regions[0].wire;
	struct vu_region odd = { GPA, SIZE, UADDR, 0 };

	ck_assert_int_eq(vu_rem_mem_reg(VU, &odd, -1), VU_REFUSED);
	odd = r0;
	odd.size -= 4096;
	ck_assert_int_eq(vu_rem_mem_reg(VU, &odd, -1), VU_REFUSED);
	odd = r0;
	odd.gpa += 4096;
	ck_assert_int_eq(vu_rem_mem_reg(VU, &odd, -1), VU_REFUSED);
	ck_ok(vu_alive(VU));
}
END_TEST

/* Tables whose count, size and descriptors do not belong together. */
START_TEST(wrong_tables)
{
	struct vu_mem_table t = { .count = 2 };
	uint32_t two = offsetof(struct vu_mem_table, regions) + 2 * sizeof(struct vu_region);
	int fds[9];

	for (int i = 0; i < 9; i++)
		fds[i] = memory_file(SIZE);
	for (unsigned int i = 0; i < 8; i++)
		t.regions[i] = (struct vu_region){ GPA + i * SIZE, SIZE, UADDR + i * SIZE, 0 };
#define REFUSED(size, nfds)                                                                  \
	do {                                                                                 \
		ck_ok(vu_send(VU, VU_SET_MEM_TABLE, VU_FLAG_NEED_REPLY, &t, size, fds, nfds)); \
		ck_assert_int_eq(vu_wait_ack(VU, VU_SET_MEM_TABLE), VU_REFUSED);               \
	} while (0)
	REFUSED(two, 0);
	REFUSED(two, 1);
	REFUSED(two, 3);
	REFUSED(two - 1, 2);
	REFUSED(two - 32, 2);
	t.count = 9;
	REFUSED(sizeof(t), 8);
	REFUSED(sizeof(t), 9);
	t.count = ~0u;
	REFUSED(sizeof(t), 8);
	t.count = 1u << 27;		/* times 32 it wraps */
	REFUSED(sizeof(t), 1);
	t.count = 2;
	t.regions[1].gpa = t.regions[0].gpa + 4096;
	REFUSED(two, 2);
	t.regions[1] = t.regions[0];
	REFUSED(two, 2);
	t.regions[1] = (struct vu_region){ GPA + SIZE, SIZE + 1, UADDR + SIZE, 0 };
	REFUSED(two, 2);
#undef REFUSED
	for (int i = 0; i < 9; i++)
		close(fds[i]);
	/* A table that was refused has changed nothing. */
	th_healthy();
	tu_exercise(FS, "file");
}
END_TEST

/*
 * The memory that running rings lie in is taken away. Those rings are lost, or
 * the message is refused; requests to them do nothing. Then it comes back.
 */
START_TEST(rings_lose_their_memory)
{
	struct vu_mem_table t = { .count = 1, .regions = { { GPA, SIZE, UADDR, 0 } } };
	struct vu_region regions[2];
	int fd = memory_file(SIZE), err;

	for (int i = 0; i < 2; i++)
		regions[i] = env.dev.mem.regions[i].wire;
	if (_i == 0) {
		ck_ok(vu_send(VU, VU_SET_MEM_TABLE, VU_FLAG_NEED_REPLY, &t, 40, &fd, 1));
		ck_ok(vu_wait_ack(VU, VU_SET_MEM_TABLE));
	} else {
		ck_ok(vu_rem_mem_reg(VU, &regions[0], -1));
		ck_ok(vu_rem_mem_reg(VU, &regions[1], -1));
	}
	for (unsigned int i = 0; i < env.dev.nrings; i++) {
		ring_put_raw(&env.dev.rings[i], 0);
		ring_kick_always(&env.dev.rings[i]);
	}
	ck_ok(vu_alive(VU));
	/* The guest is rebooted. */
	for (unsigned int i = 0; i < env.dev.nrings; i++) {
		uint32_t base;

		ck_ok(vu_get_vring_base(VU, i, &base));
		ring_reset(&env.dev.rings[i]);
	}
	err = dev_set_memory(&env.dev);
	ck_ok(err);
	for (unsigned int i = 0; i < env.dev.nrings; i++)
		ck_ok(dev_start_ring(&env.dev, i, 0));
	tu_init(&env);
	close(fd);
}
END_TEST

/* Rings before there is any memory at all. */
START_TEST(no_memory)
{
	struct vu_mem_table t = { .count = 0 };

	/* An empty table may be refused, or take all memory away. */
	ck_ok(vu_send(VU, VU_SET_MEM_TABLE, VU_FLAG_NEED_REPLY, &t, 8, NULL, 0));
	ck_ok(vu_wait_ack(VU, VU_SET_MEM_TABLE));
	ring_kick_always(TH_RING);
	ck_ok(vu_alive(VU));
	for (unsigned int i = 0; i < env.dev.nrings; i++) {
		uint32_t base;

		ck_ok(vu_get_vring_base(VU, i, &base));
		ring_reset(&env.dev.rings[i]);
	}
	ck_ok(dev_set_memory(&env.dev));
	for (unsigned int i = 0; i < env.dev.nrings; i++)
		ck_ok(dev_start_ring(&env.dev, i, 0));
	tu_init(&env);
}
END_TEST

static int extra_region(void)
{
	int i = gmem_add(&env.dev.mem, GPA, SIZE, 0);

	ck_ok(i);
	ck_assert_int_eq(vu_add_mem_reg(VU, &env.dev.mem.regions[i].wire, env.dev.mem.regions[i].fd),
			 0);
	return i;
}

/* The VMM truncates a file that holds data buffers: those requests fail. */
START_TEST(truncated_buffers)
{
	int i = extra_region();
	struct gbuf out, in, bad_out, bad_in;

	ck_ok(gmem_alloc_in(&env.dev.mem, (unsigned int)i, 4096, &bad_out));
	ck_ok(gmem_alloc_in(&env.dev.mem, (unsigned int)i, 4096, &bad_in));
	th_good_request(&out, &in);
	ck_assert_int_eq(ftruncate(env.dev.mem.regions[i].fd, 0), 0);
	if (_i == 0) {
		/* Request header in memory that is gone. */
		th_desc(TH_RING, 0, bad_out.gpa, 56, VRING_DESC_F_NEXT, 1);
		th_desc(TH_RING, 1, in.gpa, in.size, VRING_DESC_F_WRITE, 0);
	} else if (_i == 1) {
		th_desc(TH_RING, 0, out.gpa, out.size, VRING_DESC_F_NEXT, 1);
		th_desc(TH_RING, 1, bad_in.gpa, 4096, VRING_DESC_F_WRITE, 0);
	} else {
		/* An indirect table there. */
		th_desc(TH_RING, 0, bad_in.gpa, 32, VRING_DESC_F_INDIRECT, 0);
	}
	th_fire(TH_RING, 0);
}
END_TEST

/* Data pages that are gone: EFAULT for the system call, not death. */
START_TEST(truncated_data)
{
	int i = extra_region();
	struct gbuf out, in, bad;
	struct fuse_in_header head = { .unique = 0x7000005 };
	struct fuse_read_in io = { .size = 4096 };
	static uint8_t data[4096];

	tu_write_file(tu_path(&env, "file"), data, sizeof(data), 0644);
	head.nodeid = tu_lookup(FS, TU_ROOT, "file");
	io.fh = tu_open_file(FS, head.nodeid, O_RDWR);
	ck_ok(gmem_alloc_in(&env.dev.mem, (unsigned int)i, 4096, &bad));
	th_good_request(&out, &in);
	ck_ok(gmem_alloc(&env.dev.mem, 4096, &out));
	head.opcode = _i ? FUSE_WRITE : FUSE_READ;
	head.len = (uint32_t)(sizeof(head) + sizeof(io) + (_i ? 4096 : 0));
	memcpy(out.host, &head, sizeof(head));
	memcpy(out.host + sizeof(head), &io, sizeof(io));
	ck_assert_int_eq(ftruncate(env.dev.mem.regions[i].fd, 0), 0);
	th_desc(TH_RING, 0, out.gpa, sizeof(head) + sizeof(io), VRING_DESC_F_NEXT, 1);
	if (_i) {
		th_desc(TH_RING, 1, bad.gpa, 4096, VRING_DESC_F_NEXT, 2);
		th_desc(TH_RING, 2, in.gpa, 24, VRING_DESC_F_WRITE, 0);
	} else {
		th_desc(TH_RING, 1, in.gpa, 16, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2);
		th_desc(TH_RING, 2, bad.gpa, 4096, VRING_DESC_F_WRITE, 0);
	}
	th_fire(TH_RING, 0);
}
END_TEST

/* The file that a running ring itself lies in is truncated. */
START_TEST(truncated_ring)
{
	struct ring *r = TH_RING;
	struct th_mark mark;
	uint32_t base;
	int i;

	ck_ok(dev_stop_ring(&env.dev, TH_VICTIM, &base));
	ring_close(r);
	i = extra_region();
	ck_ok(ring_init(r, &env.dev.mem, i, TH_VICTIM, 128, false));
	r->conn_fd = VU->fd;
	r->indirect = VU->features & VU_BIT(VU_F_INDIRECT);
	r->event_idx = VU->features & VU_BIT(VU_F_EVENT_IDX);
	ck_ok(dev_start_ring(&env.dev, TH_VICTIM, 0));
	tu_exercise(FS, "file");
	mark = th_mark(r);
	/* Our own mapping dies with it: the used index must not be looked at again. */
	ck_assert_int_eq(ftruncate(env.dev.mem.regions[i].fd, 0), 0);
	ck_assert_ptr_ne(mmap(env.dev.mem.regions[i].host, SIZE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), MAP_FAILED);
	r->used->idx = mark.used;
	ring_kick_always(r);
	/* There is nothing to complete, so it must be in the log. */
	ck_assert_int_eq(th_outcome(r, mark), TH_STOPPED);
	ck_ok(vu_alive(VU));
}
END_TEST

/**
 * memory_case() - Memory that is not what it seems
 *
 * Return: the test case
 */
TCase *memory_case(void)
{
	TCase *tc = th_case("memory");

	tcase_add_test(tc, wrong_regions);
	tcase_add_test(tc, wrong_memory_files);
	tcase_add_test(tc, remove_what_is_not_there);
	tcase_add_test(tc, wrong_tables);
	tcase_add_loop_test(tc, rings_lose_their_memory, 0, 2);
	tcase_add_test(tc, no_memory);
	tcase_add_loop_test(tc, truncated_buffers, 0, 3);
	tcase_add_loop_test(tc, truncated_data, 0, 2);
	tcase_add_test(tc, truncated_ring);
	return tc;
}
