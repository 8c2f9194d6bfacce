/* test_virtq.c - the device's side of a ring against a driver that keeps the rules, and one that breaks each of them. */
#include "fake_driver.h"

#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

static struct driver d;
static struct virtq *vq;
static struct virtq_elem e;

static void start(bool event_idx)
{
	d.cfg.event_idx = event_idx;
	d.cfg.indirect = true;
	ck_assert_int_eq(virtq_start(vq, &d.cfg, d.m, false), 0);
}

static void set_up(void)
{
	ck_assert_int_eq(gmem_install_sigbus(), 0);
	driver_open(&d, 16);
	vq = virtq_new();
	ck_assert_ptr_nonnull(vq);
}

static void tear_down(void)
{
	virtq_free(vq);
	driver_close(&d);
}

static void broken(void)
{
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_BROKEN);
	ck_assert_ptr_nonnull(virtq_why_broken(vq));
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_BROKEN);
	ck_assert(!virtq_pending(vq));
	ck_assert(!virtq_want_kick(vq));
	ck_assert_uint_eq(virtq_inflight(vq), 0);
	ck_assert_uint_eq(driver_seen_used(&d), 0);
}

/* the rules kept ----------------------------------------------------------------------------------- */

START_TEST(round_trip)
{
	struct driver_used u;

	start(false);
	ck_assert(virtq_started(vq));
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_EMPTY);
	ck_assert(!virtq_pending(vq));
	driver_simple(&d, 4);
	ck_assert(virtq_pending(vq));
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_OK);
	ck_assert_uint_eq(e.head, 4);
	ck_assert_uint_eq(e.nout, 1);
	ck_assert_uint_eq(e.nin, 1);
	ck_assert_uint_eq(e.out_len, 40);
	ck_assert_uint_eq(e.in_len, 16);
	ck_assert_uint_eq(e.seg[0].addr.v, 0x1000);
	ck_assert_uint_eq(e.seg[0].len, 40);
	ck_assert_uint_eq(e.seg[1].addr.v, 0x2000);
	ck_assert_uint_eq(e.seg[1].len, 16);
	ck_assert_uint_eq(virtq_inflight(vq), 1);
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_EMPTY);

	virtq_push(vq, 4, 16);
	ck_assert_uint_eq(virtq_inflight(vq), 0);
	ck_assert_uint_eq(driver_seen_used(&d), 0);
	ck_assert(virtq_publish(vq));
	ck_assert_uint_eq(driver_seen_used(&d), 1);
	u = driver_used_at(&d, 0);
	ck_assert_uint_eq(u.id, 4);
	ck_assert_uint_eq(u.len, 16);
	ck_assert(!virtq_publish(vq));
	ck_assert_uint_eq(virtq_stop(vq), 1);
	ck_assert(!virtq_started(vq));
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_EMPTY);
}
END_TEST

START_TEST(many_segments)
{
	start(false);
	for (uint16_t i = 0; i < 16; i++)
		driver_desc(d.desc, i, 0x1000ull * i, i + 1u, (i < 15 ? D_NEXT : 0) | (i >= 3 ? D_WRITE : 0),
			    (uint16_t)(i + 1));
	driver_offer(&d, 0);
	driver_show(&d);
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_OK);
	ck_assert_uint_eq(e.nout, 3);
	ck_assert_uint_eq(e.nin, 13);
	ck_assert_uint_eq(e.out_len, 1 + 2 + 3);
	ck_assert_uint_eq(e.in_len, 16 * 17 / 2 - 6);
	for (uint16_t i = 0; i < 16; i++) {
		ck_assert_uint_eq(e.seg[i].addr.v, 0x1000ull * i);
		ck_assert_uint_eq(e.seg[i].len, i + 1u);
	}
}
END_TEST

START_TEST(indirect)
{
	start(false);
	/* one ordinary descriptor before the table, the WRITE flag of the reference ignored, an odd address */
	driver_desc(d.desc, 2, 0x9000, 8, D_NEXT, 3);
	driver_desc(d.desc, 3, DRIVER_GUEST + DRIVER_HEAP + 1, 16 * 40, D_INDIRECT | D_WRITE, 0);
	for (uint16_t i = 0; i < 40; i++) {
		struct driver_desc one;

		driver_desc(&one, 0, i, 4096, (i < 39 ? D_NEXT : 0) | (i ? D_WRITE : 0), (uint16_t)(i + 1));
		memcpy((char *)d.heap + 1 + i * sizeof(one), &one, sizeof(one));
	}
	driver_offer(&d, 2);
	driver_show(&d);
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_OK);
	ck_assert_uint_eq(e.nout, 2);
	ck_assert_uint_eq(e.nin, 39);
	ck_assert_uint_eq(e.seg[0].addr.v, 0x9000);
	ck_assert_uint_eq(e.seg[40].addr.v, 39);
}
END_TEST

START_TEST(a_data_address_outside_memory_is_no_breach)
{
	start(false);
	driver_desc(d.desc, 0, 0xdead00000000ull, 64, 0, 0);
	driver_offer(&d, 0);
	driver_show(&d);
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_OK);
	ck_assert_ptr_null(gmem_at(d.m, e.seg[0].addr, e.seg[0].len));
}
END_TEST

START_TEST(batch_is_published_at_once)
{
	start(false);
	for (uint16_t h = 0; h < 16; h += 2)
		driver_simple(&d, h);
	for (uint16_t h = 0; h < 16; h += 2)
		ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_OK);
	for (int h = 14; h >= 0; h -= 2)
		virtq_push(vq, (uint16_t)h, (uint32_t)h);
	ck_assert_uint_eq(driver_seen_used(&d), 0);
	ck_assert(virtq_publish(vq));
	ck_assert_uint_eq(driver_seen_used(&d), 8);
	for (uint16_t i = 0; i < 8; i++)
		ck_assert_uint_eq(driver_used_at(&d, i).id, 14u - 2u * i);
}
END_TEST

START_TEST(indices_wrap)
{
	d.cfg.base = 65530;
	d.avail_idx = 65530;
	d.avail[1] = htole16(65530);
	d.used[1] = htole16(65530);
	start(true);
	for (unsigned i = 0; i < 40; i++) {
		*driver_used_event(&d) = htole16((uint16_t)(65530 + i));
		driver_simple(&d, (uint16_t)(i % 16));
		ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_OK);
		virtq_push(vq, e.head, i);
		ck_assert(virtq_publish(vq));
		ck_assert_uint_eq(driver_seen_used(&d), (uint16_t)(65531 + i));
		ck_assert_uint_eq(driver_used_at(&d, (uint16_t)(65530 + i)).len, i);
	}
	ck_assert_uint_eq(virtq_stop(vq), (uint16_t)(65530 + 40));
}
END_TEST

/* notifications ------------------------------------------------------------------------------------ */

START_TEST(no_interrupt_flag)
{
	start(false);
	d.avail[0] = htole16(1);
	driver_simple(&d, 0);
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_OK);
	virtq_push(vq, 0, 0);
	ck_assert(!virtq_publish(vq));
	d.avail[0] = 0;
	driver_simple(&d, 2);
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_OK);
	virtq_push(vq, 2, 0);
	ck_assert(virtq_publish(vq));
}
END_TEST

/* used_event anywhere, batches of 1 to 16 from everywhere near the wrap: called exactly when the index passes it. */
START_TEST(used_event_arithmetic)
{
	for (unsigned from = 65516; from < 65536 + 4; from++) {
		for (uint16_t n = 1; n <= 16; n++) {
			for (int at = -20; at <= 20; at++) {
				bool passes = at >= 0 && at < n;

				d.cfg.base = (uint16_t)from;
				d.avail_idx = (uint16_t)from;
				d.avail[1] = htole16((uint16_t)from);
				d.used[1] = htole16((uint16_t)from);
				start(true);
				*driver_used_event(&d) = htole16((uint16_t)(from + (unsigned)at));
				for (uint16_t h = 0; h < n; h++) {
					driver_desc(d.desc, h, 0x1000, 1, 0, 0);
					driver_offer(&d, h);
				}
				driver_show(&d);
				while (virtq_pop(vq, &e) == VIRTQ_OK)
					virtq_push(vq, e.head, 0);
				ck_assert_int_eq(virtq_publish(vq), passes);
				virtq_stop(vq);
			}
		}
	}
}
END_TEST

START_TEST(kicks_by_flag)
{
	start(false);
	virtq_no_kick(vq);
	ck_assert_uint_eq(le16toh(d.used[0]), 1);
	ck_assert(!virtq_want_kick(vq));
	ck_assert_uint_eq(le16toh(d.used[0]), 0);
	virtq_no_kick(vq);
	driver_simple(&d, 0);
	ck_assert(virtq_want_kick(vq));
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_OK);
	ck_assert(!virtq_want_kick(vq));
}
END_TEST

START_TEST(kicks_by_event)
{
	start(true);
	ck_assert_uint_eq(le16toh(*driver_avail_event(&d)), 0);
	driver_simple(&d, 0);
	ck_assert(virtq_want_kick(vq));
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_OK);
	ck_assert(!virtq_want_kick(vq));
	ck_assert_uint_eq(le16toh(*driver_avail_event(&d)), 1);
	virtq_no_kick(vq);
	ck_assert_uint_eq(le16toh(*driver_avail_event(&d)), 1);
	ck_assert_uint_eq(le16toh(d.used[0]), 0);
}
END_TEST

/* the rules broken --------------------------------------------------------------------------------- */

START_TEST(head_out_of_range)
{
	start(false);
	driver_offer(&d, 16);
	driver_show(&d);
	broken();
}
END_TEST

START_TEST(available_index_too_far)
{
	start(false);
	d.avail[1] = htole16(17);
	broken();
}
END_TEST

START_TEST(available_index_goes_back)
{
	d.cfg.base = 5;
	d.avail[1] = htole16(4);
	start(false);
	broken();
}
END_TEST

START_TEST(loop)
{
	start(false);
	driver_desc(d.desc, 0, 0x1000, 8, D_NEXT, 1);
	driver_desc(d.desc, 1, 0x1000, 8, D_NEXT, 0);
	driver_offer(&d, 0);
	driver_show(&d);
	broken();
}
END_TEST

START_TEST(next_out_of_range)
{
	start(false);
	driver_desc(d.desc, 0, 0x1000, 8, D_NEXT, 16);
	driver_offer(&d, 0);
	driver_show(&d);
	broken();
}
END_TEST

START_TEST(zero_length)
{
	start(false);
	driver_desc(d.desc, 0, 0x1000, 0, 0, 0);
	driver_offer(&d, 0);
	driver_show(&d);
	broken();
}
END_TEST

START_TEST(address_wraps)
{
	start(false);
	driver_desc(d.desc, 0, UINT64_MAX - 6, 8, 0, 0);
	driver_offer(&d, 0);
	driver_show(&d);
	broken();
}
END_TEST

START_TEST(readable_after_writable)
{
	start(false);
	driver_desc(d.desc, 0, 0x1000, 8, D_NEXT | D_WRITE, 1);
	driver_desc(d.desc, 1, 0x1000, 8, 0, 0);
	driver_offer(&d, 0);
	driver_show(&d);
	broken();
}
END_TEST

START_TEST(more_than_4_gib)
{
	start(false);
	driver_desc(d.desc, 0, 0x1000, UINT32_MAX, D_NEXT, 1);
	driver_desc(d.desc, 1, 0x1000, 2, 0, 0);
	driver_offer(&d, 0);
	driver_show(&d);
	broken();
}
END_TEST

static void offer_table(uint64_t addr, uint32_t len, uint16_t flags)
{
	driver_desc(d.desc, 0, addr, len, flags, 1);
	driver_desc(d.desc, 1, 0x1000, 8, 0, 0);
	driver_offer(&d, 0);
	driver_show(&d);
}

START_TEST(indirect_with_next)
{
	start(false);
	driver_desc(d.heap, 0, 0x1000, 8, 0, 0);
	offer_table(DRIVER_GUEST + DRIVER_HEAP, 16, D_INDIRECT | D_NEXT);
	broken();
}
END_TEST

START_TEST(indirect_not_negotiated)
{
	driver_desc(d.heap, 0, 0x1000, 8, 0, 0);
	offer_table(DRIVER_GUEST + DRIVER_HEAP, 16, D_INDIRECT);
	ck_assert_int_eq(virtq_start(vq, &d.cfg, d.m, false), 0);
	broken();
}
END_TEST

START_TEST(indirect_in_indirect)
{
	start(false);
	driver_desc(d.heap, 0, DRIVER_GUEST + DRIVER_HEAP, 16, D_INDIRECT, 0);
	offer_table(DRIVER_GUEST + DRIVER_HEAP, 16, D_INDIRECT);
	broken();
}
END_TEST

static const struct {
	uint64_t addr;
	uint32_t len;
} bad_tables[] = {
	{ DRIVER_GUEST + DRIVER_HEAP, 0 },
	{ DRIVER_GUEST + DRIVER_HEAP, 8 },
	{ DRIVER_GUEST + DRIVER_HEAP, 24 },
	{ DRIVER_GUEST + DRIVER_MEM - 16, 32 },
	{ DRIVER_GUEST - 16, 32 },
	{ UINT64_MAX - 15, 32 },
	{ 0, 16 },
};

START_TEST(bad_table)
{
	start(false);
	driver_desc(d.heap, 0, 0x1000, 8, 0, 0);
	offer_table(bad_tables[_i].addr, bad_tables[_i].len, D_INDIRECT);
	broken();
}
END_TEST

START_TEST(indirect_loop)
{
	start(false);
	driver_desc(d.heap, 0, 0x1000, 8, D_NEXT, 1);
	driver_desc(d.heap, 1, 0x1000, 8, D_NEXT, 1);
	offer_table(DRIVER_GUEST + DRIVER_HEAP, 32, D_INDIRECT);
	broken();
}
END_TEST

START_TEST(indirect_next_out_of_range)
{
	start(false);
	driver_desc(d.heap, 0, 0x1000, 8, D_NEXT, 2);
	offer_table(DRIVER_GUEST + DRIVER_HEAP, 32, D_INDIRECT);
	broken();
}
END_TEST

static void offer_long_table(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		driver_desc(d.heap, (uint16_t)i, 0x1000, 1, i + 1 < n ? D_NEXT : 0, (uint16_t)(i + 1));
	offer_table(DRIVER_GUEST + DRIVER_HEAP, 16 * n, D_INDIRECT);
}

START_TEST(longest_chain)
{
	start(false);
	offer_long_table(VIRTQ_SEGS_MAX);
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_OK);
	ck_assert_uint_eq(e.nout, VIRTQ_SEGS_MAX);
}
END_TEST

START_TEST(chain_too_long)
{
	start(false);
	offer_long_table(VIRTQ_SEGS_MAX + 1);
	broken();
}
END_TEST

START_TEST(head_in_flight)
{
	start(false);
	driver_simple(&d, 4);
	driver_simple(&d, 4);
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_OK);
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_BROKEN);
	ck_assert_uint_eq(virtq_inflight(vq), 1);
	virtq_push(vq, 4, 16);
	ck_assert_uint_eq(virtq_inflight(vq), 0);
	ck_assert(!virtq_publish(vq));
	ck_assert_uint_eq(driver_seen_used(&d), 0);
}
END_TEST

START_TEST(answered_twice)
{
	start(false);
	driver_simple(&d, 4);
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_OK);
	virtq_push(vq, 4, 16);
	ck_assert_ptr_null(virtq_why_broken(vq));
	virtq_push(vq, 4, 16);
	ck_assert_ptr_nonnull(virtq_why_broken(vq));
}
END_TEST

START_TEST(push_of_nonsense)
{
	start(false);
	virtq_push(vq, 16, 0);
	ck_assert_ptr_nonnull(virtq_why_broken(vq));
	ck_assert_uint_eq(virtq_inflight(vq), 0);
}
END_TEST

/* The used ring cannot be made to overflow between two updates of its index. */
START_TEST(offered_again_before_published)
{
	start(false);
	for (unsigned i = 0; i < 17 && !virtq_why_broken(vq); i++) {
		driver_simple(&d, 0);
		ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_OK);
		virtq_push(vq, 0, 0);
	}
	ck_assert_ptr_nonnull(virtq_why_broken(vq));
}
END_TEST

START_TEST(broken_ring_can_be_started_anew)
{
	start(false);
	driver_offer(&d, 99);
	driver_show(&d);
	broken();
	virtq_stop(vq);
	d.cfg.base = 1;
	start(false);
	ck_assert_ptr_null(virtq_why_broken(vq));
	driver_simple(&d, 4);
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_OK);
}
END_TEST

/* start, stop, memory ------------------------------------------------------------------------------ */

START_TEST(bad_starts)
{
	struct virtq_config c = d.cfg;

	c.size = 0;
	ck_assert_int_eq(virtq_start(vq, &c, d.m, false), -EINVAL);
	c.size = 12;
	ck_assert_int_eq(virtq_start(vq, &c, d.m, false), -EINVAL);
	c.size = 65536;
	ck_assert_int_eq(virtq_start(vq, &c, d.m, false), -EINVAL);
	c = d.cfg;
	c.desc_user += 8;
	ck_assert_int_eq(virtq_start(vq, &c, d.m, false), -EINVAL);
	c = d.cfg;
	c.avail_user += 1;
	ck_assert_int_eq(virtq_start(vq, &c, d.m, false), -EINVAL);
	c = d.cfg;
	c.used_user += 2;
	ck_assert_int_eq(virtq_start(vq, &c, d.m, false), -EINVAL);
	c = d.cfg;
	c.desc_user = DRIVER_USER + DRIVER_MEM - 16 * 15;
	ck_assert_int_eq(virtq_start(vq, &c, d.m, false), -EFAULT);
	c = d.cfg;
	c.used_user = DRIVER_USER + DRIVER_MEM - (4 + 8 * 16);
	c.event_idx = true;
	ck_assert_int_eq(virtq_start(vq, &c, d.m, false), -EFAULT);
	c.event_idx = false;
	ck_assert_int_eq(virtq_start(vq, &c, d.m, false), 0);
	ck_assert_int_eq(virtq_start(vq, &d.cfg, d.m, false), -EINVAL); /* runs already */
}
END_TEST

START_TEST(memory_changes)
{
	const struct gmem_region_desc more = { 0, 4096, 0, 0 };
	const struct gmem_region_desc ring = { DRIVER_GUEST, DRIVER_MEM, DRIVER_USER, 0 };
	struct gmem *larger, *without;

	start(false);
	driver_simple(&d, 0);
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_OK);
	ck_assert_int_eq(gmem_with_region(d.m, &more, d.fd, &larger), 0);
	ck_assert_int_eq(virtq_set_gmem(vq, larger), 0);
	virtq_push(vq, 0, 1);
	ck_assert(virtq_publish(vq));
	driver_simple(&d, 2);
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_OK);
	ck_assert_int_eq(gmem_without_region(larger, &ring, &without), 0);
	ck_assert_int_eq(virtq_set_gmem(vq, without), -EFAULT);
	ck_assert_ptr_nonnull(virtq_why_broken(vq));
	virtq_push(vq, 2, 1);
	ck_assert(!virtq_publish(vq));
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_BROKEN);
	virtq_no_kick(vq);
	ck_assert_uint_eq(virtq_stop(vq), 2);
	gmem_unref(larger);
	gmem_unref(without);
}
END_TEST

START_TEST(memory_is_truncated)
{
	start(false);
	driver_simple(&d, 0);
	ck_assert_int_eq(ftruncate(d.fd, 0), 0);
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_BROKEN);
	ck_assert_ptr_nonnull(virtq_why_broken(vq));
}
END_TEST

START_TEST(memory_is_truncated_in_flight)
{
	start(false);
	driver_simple(&d, 0);
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_OK);
	ck_assert_int_eq(ftruncate(d.fd, 0), 0);
	virtq_push(vq, 0, 1);
	ck_assert(!virtq_publish(vq));
	ck_assert_ptr_nonnull(virtq_why_broken(vq));
}
END_TEST

START_TEST(kept_in_flight_over_a_stop)
{
	start(false);
	driver_simple(&d, 0);
	driver_simple(&d, 2);
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_OK);
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_OK);
	virtq_push(vq, 2, 5);
	virtq_publish(vq);
	d.cfg.base = virtq_stop(vq);
	ck_assert_uint_eq(d.cfg.base, 2);
	ck_assert_int_eq(virtq_start(vq, &d.cfg, d.m, true), 0);
	ck_assert_uint_eq(virtq_inflight(vq), 1);
	virtq_push(vq, 0, 6);
	ck_assert(virtq_publish(vq));
	ck_assert_uint_eq(driver_seen_used(&d), 2);
	ck_assert_uint_eq(driver_used_at(&d, 1).id, 0);
	virtq_stop(vq);
	ck_assert_int_eq(virtq_start(vq, &d.cfg, d.m, false), 0);
	ck_assert_uint_eq(virtq_inflight(vq), 0);
}
END_TEST

/* in-flight record --------------------------------------------------------------------------------- */

struct record {
	uint64_t features;
	uint16_t version, desc_num, last_batch_head, used_idx;
	struct {
		uint8_t inflight, padding[5];
		uint16_t next;
		uint64_t counter;
	} desc[16];
};
static struct record rec;

/* Another process takes over: a virtq that knows nothing but the record. */
static void take_over(void)
{
	virtq_free(vq);
	vq = virtq_new();
	ck_assert_int_eq(virtq_start(vq, &d.cfg, d.m, false), 0);
}

static void record_set_up(void)
{
	set_up();
	memset(&rec, 0, sizeof(rec));
	d.cfg.inflight = &rec;
	start(false);
}

static void pop_is(uint16_t head)
{
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_OK);
	ck_assert_uint_eq(e.head, head);
}

START_TEST(record_layout)
{
	ck_assert_uint_eq(rec.version, 1);
	ck_assert_uint_eq(rec.desc_num, 16);
	driver_simple(&d, 6);
	driver_simple(&d, 2);
	pop_is(6);
	pop_is(2);
	ck_assert_uint_eq(rec.desc[6].inflight, 1);
	ck_assert_uint_eq(rec.desc[2].inflight, 1);
	ck_assert_uint_lt(rec.desc[6].counter, rec.desc[2].counter);
	virtq_push(vq, 2, 0);
	virtq_push(vq, 6, 0);
	ck_assert_uint_eq(rec.last_batch_head, 6);
	ck_assert_uint_eq(rec.desc[6].next, 2);
	ck_assert_uint_eq(rec.desc[2].inflight, 1);
	virtq_publish(vq);
	ck_assert_uint_eq(rec.desc[6].inflight, 0);
	ck_assert_uint_eq(rec.desc[2].inflight, 0);
	ck_assert_uint_eq(rec.used_idx, 2);
}
END_TEST

START_TEST(record_resubmits_in_order)
{
	for (uint16_t h = 0; h < 12; h += 2)
		driver_simple(&d, (uint16_t)(10 - h));
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_OK); /* 10 8 6 4 */
	virtq_push(vq, 8, 0);
	virtq_publish(vq);
	virtq_push(vq, 6, 0); /* dies before it is published */
	d.cfg.base = 77;      /* what the VMM thinks does not count */
	take_over();
	ck_assert(virtq_pending(vq));
	ck_assert(virtq_want_kick(vq));
	ck_assert(virtq_publish(vq)); /* a call may have been lost */
	ck_assert(!virtq_publish(vq));
	pop_is(10);
	pop_is(6);
	pop_is(4);
	pop_is(2); /* the available ring goes on */
	pop_is(0);
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_EMPTY);
	ck_assert_uint_eq(virtq_inflight(vq), 5);
	ck_assert_uint_eq(virtq_stop(vq), 6);
}
END_TEST

START_TEST(record_of_a_death_after_the_used_index)
{
	struct record before;

	for (uint16_t h = 0; h < 8; h += 2)
		driver_simple(&d, h);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_OK);
	virtq_push(vq, 4, 0);
	virtq_push(vq, 0, 0);
	before = rec;
	virtq_publish(vq);
	rec = before; /* used.idx was written, the record not yet */
	take_over();
	pop_is(2);
	pop_is(6);
	ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_EMPTY);
	ck_assert_uint_eq(rec.used_idx, 2);
	ck_assert_uint_eq(rec.desc[4].inflight, 0);
}
END_TEST

START_TEST(record_that_is_not_of_this_ring)
{
	driver_simple(&d, 4);
	pop_is(4);
	switch (_i) {
	case 0:
		rec.used_idx = 20; /* the ring's is 0 */
		break;
	case 1:
		rec.desc_num = 8;
		break;
	case 2:
		rec.version = 2;
		break;
	case 3:
		rec.used_idx = 65535; /* a batch of one, but its list leads nowhere */
		rec.last_batch_head = 16;
		break;
	}
	take_over();
	ck_assert_uint_eq(rec.version, 1);
	ck_assert_uint_eq(rec.desc_num, 16);
	ck_assert_uint_eq(rec.desc[4].inflight, 0);
	pop_is(4); /* by the available ring, from the base */
}
END_TEST

START_TEST(record_kept_over_a_stop)
{
	driver_simple(&d, 4);
	driver_simple(&d, 6);
	pop_is(4);
	pop_is(6);
	virtq_push(vq, 6, 0);
	virtq_publish(vq);
	d.cfg.base = virtq_stop(vq);
	ck_assert_int_eq(virtq_start(vq, &d.cfg, d.m, true), 0);
	driver_simple(&d, 8);
	pop_is(8); /* 4 is not handed out again */
	virtq_push(vq, 4, 0);
	virtq_publish(vq);
	ck_assert_uint_eq(driver_seen_used(&d), 2);
	ck_assert_uint_eq(rec.desc[4].inflight, 0);
}
END_TEST

/* threads ------------------------------------------------------------------------------------------ */

#define TRIPS 50000u

/* The driver of a real guest: fills the ring, sleeps when it must, and counts on being called. */
struct guest {
	uint32_t offered, taken;
	int kick, call; /* atomic flags in place of descriptors */
	bool event_idx;
};

static bool should_kick(struct guest *g, uint16_t old)
{
	uint16_t event = le16toh(__atomic_load_n(driver_avail_event(&d), __ATOMIC_SEQ_CST));

	if (g->event_idx)
		return (uint16_t)(d.avail_idx - event - 1) < (uint16_t)(d.avail_idx - old);
	return !(le16toh(__atomic_load_n(&d.used[0], __ATOMIC_SEQ_CST)) & 1);
}

static void guest_take(struct guest *g)
{
	uint16_t idx = driver_seen_used(&d);

	while (d.used_idx != idx) {
		struct driver_used u = driver_used_at(&d, d.used_idx++);

		ck_assert_uint_eq(u.id, g->taken % 8);
		ck_assert_uint_eq(u.len, g->taken);
		g->taken++;
	}
}

static void *guest_run(void *arg)
{
	struct guest *g = arg;

	while (g->taken < TRIPS) {
		uint16_t old = d.avail_idx;

		while (g->offered < TRIPS && g->offered - g->taken < 8 && (uint16_t)(d.avail_idx - old) < 3) {
			driver_desc(d.desc, (uint16_t)(g->offered % 8), g->offered, 4, 0, 0);
			driver_offer(&d, (uint16_t)(g->offered++ % 8));
		}
		if (d.avail_idx != old) {
			driver_show(&d);
			if (should_kick(g, old))
				__atomic_store_n(&g->kick, 1, __ATOMIC_SEQ_CST);
		}
		guest_take(g);
		if (g->offered - g->taken < 8 && g->offered < TRIPS)
			continue;
		__atomic_store_n(driver_used_event(&d), htole16(d.used_idx), __ATOMIC_SEQ_CST);
		if (driver_seen_used(&d) != d.used_idx || g->taken == TRIPS)
			continue;
		while (!__atomic_exchange_n(&g->call, 0, __ATOMIC_SEQ_CST))
			sched_yield();
	}
	return NULL;
}

/* If a notification were ever missed, both would sleep for good. */
START_TEST(nobody_sleeps_for_ever)
{
	struct guest g = { .event_idx = _i };
	uint32_t served = 0;
	pthread_t t;

	start(g.event_idx);
	ck_assert_int_eq(pthread_create(&t, NULL, guest_run, &g), 0);
	while (served < TRIPS) {
		enum virtq_status s = virtq_pop(vq, &e);

		ck_assert_int_ne(s, VIRTQ_BROKEN);
		if (s == VIRTQ_OK) {
			ck_assert_uint_eq(e.seg[0].addr.v, served);
			virtq_push(vq, e.head, served++);
			if (served % 3 && served < TRIPS)
				continue;
		}
		if (virtq_publish(vq))
			__atomic_store_n(&g.call, 1, __ATOMIC_SEQ_CST);
		if (s == VIRTQ_OK || virtq_want_kick(vq))
			continue;
		while (served < TRIPS && !__atomic_exchange_n(&g.kick, 0, __ATOMIC_SEQ_CST))
			sched_yield();
		virtq_no_kick(vq);
	}
	ck_assert_int_eq(pthread_join(t, NULL), 0);
	ck_assert_uint_eq(g.taken, TRIPS);
}
END_TEST

/* The moment that matters, over and over: both sides write their own word and read the other's at the same time. One of
 * them at least must see what the other wrote. */
#define MOMENTS 500000u
#define MOMENTS_S 2 /* and no longer, on a machine with other work */

static uint32_t at_gate[2]; /* atomic: rounds that each side has come to */

static void gate(int side, uint32_t round)
{
	unsigned spins = 0;

	__atomic_store_n(&at_gate[side], round, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&at_gate[!side], __ATOMIC_SEQ_CST) < round)
		if (++spins % 512 == 0)
			sched_yield();
}

/* Nobody knows which of the two is faster: try all small leads. */
static void wait_a_little(uint32_t n)
{
	while (n--)
		__asm__ volatile("" : : : "memory");
}

struct moment {
	struct guest g;
	bool sees; /* the driver's side: kicked, or saw the used index move */
	bool last; /* the device's side: this was the last round */
	bool calls; /* which half is tried: false kicks, true calls */
};

static void *moments_run(void *arg)
{
	struct moment *m = arg;

	for (uint32_t round = 1; !m->last; round += 3) {
		uint16_t old = d.avail_idx;

		driver_desc(d.desc, 0, 0x1000, 4, 0, 0);
		driver_offer(&d, 0);
		if (m->calls)
			driver_show(&d);
		gate(1, round);
		if (m->calls) {
			gate(1, round + 1); /* the device has taken it */
			wait_a_little(round / 3 % 64);
			__atomic_store_n(driver_used_event(&d), htole16(d.used_idx), __ATOMIC_SEQ_CST);
			m->sees = driver_seen_used(&d) != d.used_idx;
		} else {
			wait_a_little(round / 3 % 64);
			driver_show(&d);
			m->sees = should_kick(&m->g, old);
			gate(1, round + 1);
		}
		gate(1, round + 2);
		d.used_idx++;
	}
	return NULL;
}

static bool device_moment(struct moment *m, uint32_t round, time_t until)
{
	struct timespec now;
	bool mine;

	if (!m->calls) {
		virtq_no_kick(vq);
		gate(0, round);
		wait_a_little(round / 192 % 64);
		mine = virtq_want_kick(vq);
		gate(0, round + 1);
		ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_OK);
		virtq_push(vq, 0, 0);
		virtq_publish(vq);
	} else {
		gate(0, round);
		ck_assert_int_eq(virtq_pop(vq, &e), VIRTQ_OK);
		virtq_push(vq, 0, 0);
		gate(0, round + 1);
		wait_a_little(round / 192 % 64);
		mine = virtq_publish(vq);
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	m->last = round >= 3 * MOMENTS || now.tv_sec > until;
	gate(0, round + 2);
	return mine;
}

START_TEST(one_of_both_sees_it)
{
	struct moment m = { .g.event_idx = true, .calls = _i };
	struct timespec now;
	pthread_t t;

	start(true);
	clock_gettime(CLOCK_MONOTONIC, &now);
	ck_assert_int_eq(pthread_create(&t, NULL, moments_run, &m), 0);
	for (uint32_t round = 1; !m.last; round += 3) {
		bool mine = device_moment(&m, round, now.tv_sec + MOMENTS_S);

		/* m.sees is the driver's of this round: it wrote it before the last gate and not again before the next */
		ck_assert(mine || m.sees);
	}
	ck_assert_int_eq(pthread_join(t, NULL), 0);
}
END_TEST

static TCase *make_case(const char *name, void (*before)(void))
{
	TCase *t = tcase_create(name);

	tcase_add_checked_fixture(t, before, tear_down);
	tcase_set_timeout(t, 120);
	return t;
}

static void add_kept(TCase *t)
{
	tcase_add_test(t, round_trip);
	tcase_add_test(t, many_segments);
	tcase_add_test(t, indirect);
	tcase_add_test(t, a_data_address_outside_memory_is_no_breach);
	tcase_add_test(t, batch_is_published_at_once);
	tcase_add_test(t, indices_wrap);
	tcase_add_test(t, no_interrupt_flag);
	tcase_add_test(t, used_event_arithmetic);
	tcase_add_test(t, kicks_by_flag);
	tcase_add_test(t, kicks_by_event);
	tcase_add_test(t, longest_chain);
}

static void add_broken(TCase *t)
{
	tcase_add_test(t, head_out_of_range);
	tcase_add_test(t, available_index_too_far);
	tcase_add_test(t, available_index_goes_back);
	tcase_add_test(t, loop);
	tcase_add_test(t, next_out_of_range);
	tcase_add_test(t, zero_length);
	tcase_add_test(t, address_wraps);
	tcase_add_test(t, readable_after_writable);
	tcase_add_test(t, more_than_4_gib);
	tcase_add_test(t, indirect_with_next);
	tcase_add_test(t, indirect_not_negotiated);
	tcase_add_test(t, indirect_in_indirect);
	tcase_add_loop_test(t, bad_table, 0, (int)ARRAY_SIZE(bad_tables));
	tcase_add_test(t, indirect_loop);
	tcase_add_test(t, indirect_next_out_of_range);
	tcase_add_test(t, chain_too_long);
	tcase_add_test(t, head_in_flight);
	tcase_add_test(t, answered_twice);
	tcase_add_test(t, push_of_nonsense);
	tcase_add_test(t, offered_again_before_published);
	tcase_add_test(t, broken_ring_can_be_started_anew);
}

static void add_state(TCase *t)
{
	tcase_add_test(t, bad_starts);
	tcase_add_test(t, memory_changes);
	tcase_add_test(t, memory_is_truncated);
	tcase_add_test(t, memory_is_truncated_in_flight);
	tcase_add_test(t, kept_in_flight_over_a_stop);
	tcase_add_loop_test(t, nobody_sleeps_for_ever, 0, 2);
	tcase_add_loop_test(t, one_of_both_sees_it, 0, 2);
}

static void add_record(TCase *t)
{
	tcase_add_test(t, record_layout);
	tcase_add_test(t, record_resubmits_in_order);
	tcase_add_test(t, record_of_a_death_after_the_used_index);
	tcase_add_loop_test(t, record_that_is_not_of_this_ring, 0, 4);
	tcase_add_test(t, record_kept_over_a_stop);
}

int main(void)
{
	Suite *s = suite_create("virtq");
	TCase *kept = make_case("rules kept", set_up);
	TCase *breaches = make_case("rules broken", set_up);
	TCase *state = make_case("state", set_up);
	TCase *record = make_case("in-flight record", record_set_up);
	SRunner *r;
	int failed;

	add_kept(kept);
	add_broken(breaches);
	add_state(state);
	add_record(record);
	suite_add_tcase(s, kept);
	suite_add_tcase(s, breaches);
	suite_add_tcase(s, state);
	suite_add_tcase(s, record);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
