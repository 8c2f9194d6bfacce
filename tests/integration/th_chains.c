/*
 * test-hostile: rings and descriptor chains that break the rules.
 *
 * The right outcome of all these is the same: the request is answered with an
 * error where its header can be read and its reply has a place; otherwise its
 * descriptors come back unused, or this ring is stopped with an entry in the
 * log. th_outcome() sees to it that one of these happens, the fixture that the
 * other rings go on.
 */
#define _GNU_SOURCE 1
#include "hostlock.h"
#include "test-hostile.h"

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT

/* Where a buffer may lie that is not, or not wholly, guest memory. */
static uint64_t bad_address(int which, uint32_t *len)
{
	const struct vu_region *r = &env.dev.mem.regions[0].wire;

	*len = 64;
	switch (which) {
	case 0:
		return 0;
	case 1:
		return ~0ull;
	case 2:
		return ~0ull - 63;		/* ends at exactly 2^64 */
	case 3:
		return ~0ull - 31;		/* wraps */
	case 4:
		return r->gpa - 32;		/* begins before the region */
	case 5:
		return r->gpa + r->size - 32;	/* ends behind it */
	case 6:
		return r->gpa + r->size;	/* in the gap between regions */
	case 7:
		*len = ~0u;			/* most of it outside */
		return r->gpa;
	case 8:
		*len = 0;			/* of no length */
		return r->gpa;
	case 9:
		return r->uaddr;		/* the other kind of address */
	case 10:
		return r->mmap_offset;
	default:
		*len = (uint32_t)(env.dev.mem.regions[1].wire.gpa + 64 - r->gpa);
		return r->gpa;			/* from one region into the next */
	}
}

#define BAD_ADDRESSES 12

START_TEST(bad_out_address)
{
	struct gbuf out, in;
	uint32_t len;
	uint64_t addr = bad_address(_i, &len);

	th_good_request(&out, &in);
	th_desc(TH_RING, 0, addr, len, NEXT, 1);
	th_desc(TH_RING, 1, in.gpa, in.size, WRITE, 0);
	th_fire(TH_RING, 0);
}
END_TEST

START_TEST(bad_in_address)
{
	struct gbuf out, in;
	uint32_t len;
	uint64_t addr = bad_address(_i, &len);

	th_good_request(&out, &in);
	th_desc(TH_RING, 0, out.gpa, out.size, NEXT, 1);
	th_desc(TH_RING, 1, addr, len, WRITE, 0);
	th_fire(TH_RING, 0);
}
END_TEST

/* Header and its reply are fine; the data goes nowhere. */
START_TEST(bad_data_address)
{
	struct fuse_in_header head = {
		.len = sizeof(head) + sizeof(struct fuse_read_in),
		.opcode = FUSE_READ,
		.unique = 0x7000003,
	};
	struct fuse_read_in rd = { .size = 64 };
	struct gbuf out, in;
	uint32_t len;
	uint64_t addr = bad_address(_i, &len);

	th_good_request(&out, &in);
	tu_write_file(tu_path(&env, "file"), "0123456789", 10, 0644);
	head.nodeid = tu_lookup(FS, TU_ROOT, "file");
	rd.fh = tu_open_file(FS, head.nodeid, O_RDONLY);
	ck_ok(gmem_alloc(&env.dev.mem, head.len, &out));
	memcpy(out.host, &head, sizeof(head));
	memcpy(out.host + sizeof(head), &rd, sizeof(rd));
	th_desc(TH_RING, 0, out.gpa, head.len, NEXT, 1);
	th_desc(TH_RING, 1, in.gpa, 16, WRITE | NEXT, 2);
	th_desc(TH_RING, 2, addr, len, WRITE, 0);
	th_fire(TH_RING, 0);
}
END_TEST

START_TEST(descriptor_loop)
{
	struct gbuf out, in;

	th_good_request(&out, &in);
	th_desc(TH_RING, 0, out.gpa, out.size, NEXT, 1);
	if (_i == 0) {
		/* To itself. */
		th_desc(TH_RING, 1, in.gpa, in.size, WRITE | NEXT, 1);
	} else if (_i == 1) {
		/* Back to the head. */
		th_desc(TH_RING, 1, in.gpa, in.size, WRITE | NEXT, 0);
	} else {
		/* All readable, so that not even the order is wrong. */
		th_desc(TH_RING, 1, out.gpa, 1, NEXT, 2);
		th_desc(TH_RING, 2, out.gpa, 1, NEXT, 1);
	}
	th_fire(TH_RING, 0);
}
END_TEST

START_TEST(next_out_of_range)
{
	static const uint16_t next[] = { 128, 129, 32768, 65535 };
	struct gbuf out, in;

	th_good_request(&out, &in);
	th_desc(TH_RING, 0, out.gpa, out.size, NEXT, next[_i]);
	th_fire(TH_RING, 0);
}
END_TEST

START_TEST(head_out_of_range)
{
	static const uint16_t head[] = { 128, 9999, 32768, 65535 };

	th_fire(TH_RING, head[_i]);
}
END_TEST

/* The index runs ahead by more entries than the ring has. */
START_TEST(index_out_of_range)
{
	static const int jump[] = { 129, 1000, 32768, 65535 /* backwards by one */ };
	struct th_mark mark = th_mark(TH_RING);

	TH_RING->avail->idx = (uint16_t)(TH_RING->avail_idx + jump[_i]);
	ring_kick_always(TH_RING);
	th_outcome(TH_RING, mark);
}
END_TEST

/* What the device reads must come before what it writes. */
START_TEST(wrong_order)
{
	struct gbuf out, in;

	th_good_request(&out, &in);
	th_desc(TH_RING, 0, in.gpa, in.size, WRITE | NEXT, 1);
	th_desc(TH_RING, 1, out.gpa, out.size, 0, 0);
	th_fire(TH_RING, 0);
}
END_TEST

/* Requests that are all reply, or no request at all. */
START_TEST(no_header)
{
	static const uint32_t lengths[] = { 1, 8, 39 };
	struct gbuf out, in;

	th_good_request(&out, &in);
	if (_i == 3) {
		th_desc(TH_RING, 0, in.gpa, in.size, WRITE, 0);
	} else {
		th_desc(TH_RING, 0, out.gpa, lengths[_i], NEXT, 1);
		th_desc(TH_RING, 1, in.gpa, in.size, WRITE, 0);
	}
	th_fire(TH_RING, 0);
}
END_TEST

/* The length in the header is not that of the request. */
START_TEST(header_lies)
{
	static const uint32_t lengths[] = { 0, 1, 39, 40, 55, 57, 4096, 1u << 20, 1u << 31, ~0u };
	struct gbuf out, in;

	th_good_request(&out, &in);
	memcpy(out.host, &lengths[_i], 4);
	th_desc(TH_RING, 0, out.gpa, out.size, NEXT, 1);
	th_desc(TH_RING, 1, in.gpa, in.size, WRITE, 0);
	if (th_fire(TH_RING, 0) == TH_COMPLETED) {
		struct fuse_out_header oh;

		memcpy(&oh, in.host, sizeof(oh));
		/* If anything was written it is an error, and a whole one. */
		if (TH_RING->used->ring[TH_RING->used_idx & 127].len) {
			ck_assert_int_lt(oh.error, 0);
			ck_assert_uint_eq(oh.len, sizeof(oh));
		}
	}
}
END_TEST

/*
 * A head that is in flight comes again, while the first waits for a lock. Two
 * replies into one buffer are memory corruption elsewhere: this ring must be
 * stopped. Until it is set up again it gives nothing back.
 */
START_TEST(head_in_flight)
{
	struct fuse_file_lock lk = { .type = F_WRLCK, .end = 100 };
	struct ring *r = TH_RING;
	struct hostlock h;
	struct th_mark mark;
	uint64_t node, fh;
	struct freq *q;
	uint32_t base;

	fh = tu_create(FS, TU_ROOT, "file", O_RDWR | O_CREAT, 0644, &node);
	ck_ok(hostlock_hold(&h, tu_path(&env, "file"), HOSTLOCK_POSIX, F_WRLCK, 0, 0));
	q = fs_setlk_begin(FS, FUSE_SETLKW, node, fh, 1, &lk, 0);
	ck_ok(fs_getattr(FS, node, NULL, &(struct fuse_attr_out){ 0 }));
	mark = th_mark(r);
	ring_put_raw(r, q->vq.head);
	ring_kick_always(r);
	ck_assert_int_eq(th_outcome(r, mark), TH_STOPPED);
	ring_put_raw(r, q->vq.head);
	ring_kick_always(r);
	th_healthy();
	hostlock_drop(&h);
	th_healthy();
	/* At most the one that was in flight comes back, and once. */
	ck_assert_uint_le((uint16_t)(ring_used_idx(r) - mark.used), 1);
	ck_ok(dev_stop_ring(&env.dev, TH_VICTIM, &base));
	ring_reset(r);
	ck_ok(dev_start_ring(&env.dev, TH_VICTIM, 0));
	tu_exercise(FS, "again");
}
END_TEST

/* One head many times in one go. */
START_TEST(head_repeated)
{
	struct ring *r = TH_RING;
	struct gbuf out, in;
	struct th_mark mark;

	th_good_request(&out, &in);
	th_desc(r, 0, out.gpa, out.size, NEXT, 1);
	th_desc(r, 1, in.gpa, in.size, WRITE, 0);
	mark = th_mark(r);
	for (int i = 0; i < 100; i++)
		ring_put_raw(r, 0);
	ring_kick_always(r);
	th_outcome(r, mark);
}
END_TEST

/* Two requests at once that share a descriptor, or a buffer. */
START_TEST(shared_descriptors)
{
	struct ring *r = TH_RING;
	struct gbuf out, in;
	struct th_mark mark;

	th_good_request(&out, &in);
	th_desc(r, 0, out.gpa, out.size, NEXT, 2);
	th_desc(r, 1, out.gpa, out.size, NEXT, 2);
	th_desc(r, 2, in.gpa, in.size, WRITE, 0);
	mark = th_mark(r);
	ring_put_raw(r, 0);
	ring_put_raw(r, 1);
	ring_kick_always(r);
	th_outcome(r, mark);
}
END_TEST

/* The request's own memory is the ring that brings it, or its reply's. */
START_TEST(buffers_in_the_ring)
{
	struct ring *r = TH_RING;
	struct gbuf out, in;

	th_good_request(&out, &in);
	th_desc(r, 0, out.gpa, out.size, NEXT, 1);
	if (_i == 0)
		th_desc(r, 1, r->desc_gpa, 2048, WRITE, 0);
	else if (_i == 1)
		th_desc(r, 1, r->avail_gpa, 200, WRITE, 0);
	else if (_i == 2)
		th_desc(r, 1, r->used_gpa, 1000, WRITE, 0);
	else
		th_desc(r, 1, out.gpa, out.size, WRITE, 0);
	th_fire(r, 0);
}
END_TEST

/* A chain of all descriptors, of 4 GiB in sum: one more than 32 bits hold. */
START_TEST(huge_chain)
{
	const struct vu_region *reg = &env.dev.mem.regions[0].wire;
	struct ring *r = TH_RING;
	struct gbuf out, in;

	th_good_request(&out, &in);
	th_desc(r, 0, out.gpa, out.size, NEXT, 1);
	for (uint16_t i = 1; i < 127; i++)
		th_desc(r, i, reg->gpa, (uint32_t)reg->size, NEXT | (_i ? WRITE : 0), i + 1);
	th_desc(r, 127, reg->gpa, (uint32_t)reg->size, WRITE, 0);
	if (_i)
		th_desc(r, 1, in.gpa, in.size, WRITE | NEXT, 2);
	th_fire(r, 0);
}
END_TEST

/* Unknown flags mean nothing. */
START_TEST(unknown_flags)
{
	struct gbuf out, in;

	th_good_request(&out, &in);
	th_desc(TH_RING, 0, out.gpa, out.size, 0xfff8 | NEXT, 1);
	th_desc(TH_RING, 1, in.gpa, in.size, 0xfff8 | WRITE, 0);
	th_fire(TH_RING, 0);
}
END_TEST

/* Kicks without work, by the thousand, cost nothing. */
START_TEST(idle_kicks)
{
	for (int i = 0; i < 5000; i++)
		ring_kick_always(TH_RING);
	tu_exercise(FS, "file");
}
END_TEST

/**
 * chains_case() - Rings and chains
 *
 * Return: the test case
 */
TCase *chains_case(void)
{
	TCase *tc = th_case("chains");

	tcase_add_loop_test(tc, bad_out_address, 0, BAD_ADDRESSES);
	tcase_add_loop_test(tc, bad_in_address, 0, BAD_ADDRESSES);
	tcase_add_loop_test(tc, bad_data_address, 0, BAD_ADDRESSES);
	tcase_add_loop_test(tc, descriptor_loop, 0, 3);
	tcase_add_loop_test(tc, next_out_of_range, 0, 4);
	tcase_add_loop_test(tc, head_out_of_range, 0, 4);
	tcase_add_loop_test(tc, index_out_of_range, 0, 4);
	tcase_add_test(tc, wrong_order);
	tcase_add_loop_test(tc, no_header, 0, 4);
	tcase_add_loop_test(tc, header_lies, 0, 10);
	tcase_add_test(tc, head_in_flight);
	tcase_add_test(tc, head_repeated);
	tcase_add_test(tc, shared_descriptors);
	tcase_add_loop_test(tc, buffers_in_the_ring, 0, 4);
	tcase_add_loop_test(tc, huge_chain, 0, 2);
	tcase_add_test(tc, unknown_flags);
	tcase_add_test(tc, idle_kicks);
	return tc;
}

static struct vring_desc *make_table(struct gbuf *table, unsigned int n)
{
	struct gbuf out, in;
	struct vring_desc *t;

	th_good_request(&out, &in);
	ck_ok(gmem_alloc(&env.dev.mem, n * sizeof(*t), table));
	t = (void *)table->host;
	memset(t, 0, n * sizeof(*t));
	t[0] = (struct vring_desc){ .addr = out.gpa, .len = out.size, .flags = NEXT, .next = 1 };
	t[1] = (struct vring_desc){ .addr = in.gpa, .len = in.size, .flags = WRITE };
	return t;
}

START_TEST(bad_table_length)
{
	static const uint32_t lengths[] = { 0, 1, 15, 17, 31, 1u << 20, 1u << 31, ~0u, ~15u };
	struct gbuf table;

	make_table(&table, 2);
	th_desc(TH_RING, 0, table.gpa, lengths[_i], INDIRECT, 0);
	th_fire(TH_RING, 0);
}
END_TEST

START_TEST(bad_table_address)
{
	uint32_t len;
	uint64_t addr = bad_address(_i, &len);

	th_desc(TH_RING, 0, addr, 64, INDIRECT, 0);
	th_fire(TH_RING, 0);
}
END_TEST

START_TEST(table_in_a_table)
{
	struct gbuf table, inner;
	struct vring_desc *t = make_table(&table, 2);

	make_table(&inner, 2);
	t[1] = (struct vring_desc){ .addr = inner.gpa, .len = 32, .flags = INDIRECT };
	th_desc(TH_RING, 0, table.gpa, 32, INDIRECT, 0);
	th_fire(TH_RING, 0);
}
END_TEST

/* INDIRECT and NEXT exclude each other. */
START_TEST(table_with_a_next)
{
	struct gbuf table, out, in;

	make_table(&table, 2);
	th_good_request(&out, &in);
	th_desc(TH_RING, 0, table.gpa, 32, INDIRECT | NEXT, 1);
	th_desc(TH_RING, 1, in.gpa, in.size, WRITE, 0);
	th_fire(TH_RING, 0);
}
END_TEST

START_TEST(loops_in_a_table)
{
	struct gbuf table;
	struct vring_desc *t = make_table(&table, 4);

	if (_i == 0) {
		t[1].flags |= NEXT;
		t[1].next = 1;
	} else if (_i == 1) {
		t[1].flags |= NEXT;
		t[1].next = 0;
	} else if (_i == 2) {
		t[0].next = 4;		/* one behind the end */
	} else {
		t[0].next = 65535;
	}
	th_desc(TH_RING, 0, table.gpa, 4 * 16, INDIRECT, 0);
	th_fire(TH_RING, 0);
}
END_TEST

/* Longer than the ring, as it must not be; with each entry one byte. */
START_TEST(table_longer_than_the_ring)
{
	enum { N = 60000 };
	struct gbuf table, out, in;
	struct vring_desc *t;

	th_good_request(&out, &in);
	t = make_table(&table, N);
	for (unsigned int i = 0; i < N; i++)
		t[i] = (struct vring_desc){ .addr = out.gpa + i % out.size, .len = 1,
					    .flags = NEXT, .next = (uint16_t)(i + 1) };
	t[N - 1].flags = WRITE;
	th_desc(TH_RING, 0, table.gpa, N * 16, INDIRECT, 0);
	th_fire(TH_RING, 0);
}
END_TEST

/* A guest that writes to a table while the device walks it. */
START_TEST(table_changes)
{
	struct ring *r = TH_RING;
	struct gbuf table;
	struct vring_desc *t = make_table(&table, 2);
	struct vring_desc good = t[1];

	for (int i = 0; i < 3000 && !r->broken; i++) {
		struct th_mark mark = { .used = ring_used_idx(r), .log = ~(size_t)0 };

		th_desc(r, 0, table.gpa, 32, INDIRECT, 0);
		ring_put_raw(r, 0);
		ring_kick_always(r);
		for (int k = 0; k < 2000 && ring_used_idx(r) == mark.used; k++) {
			__atomic_store_n(&t[1].addr, k & 1 ? good.addr : 0, __ATOMIC_RELAXED);
			__atomic_store_n(&t[1].len, k & 2 ? good.len : ~0u, __ATOMIC_RELAXED);
			__atomic_store_n(&t[0].next, k & 4 ? 1 : 9, __ATOMIC_RELAXED);
		}
		if (ring_used_idx(r) == mark.used)
			break;
	}
}
END_TEST

/**
 * indirect_case() - Indirect tables
 *
 * Return: the test case
 */
TCase *indirect_case(void)
{
	TCase *tc = th_case("indirect");

	tcase_add_loop_test(tc, bad_table_length, 0, 9);
	tcase_add_loop_test(tc, bad_table_address, 0, BAD_ADDRESSES);
	tcase_add_test(tc, table_in_a_table);
	tcase_add_test(tc, table_with_a_next);
	tcase_add_loop_test(tc, loops_in_a_table, 0, 4);
	tcase_add_test(tc, table_longer_than_the_ring);
	tcase_add_test(tc, table_changes);
	return tc;
}
