/* test_channel.c - messages between the processes: what is sent arrives, and each rule of the table holds against a peer
 * that breaks it. */
#include "ipc/channel.h"
#include "unit.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>

static int sv[2];
static struct ipc_batch out;
static struct ipc_dgram in;

static void open_pair(void)
{
	ck_assert_int_eq(ipc_pair(sv), 0);
}

static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			n++;
	return n;
}

START_TEST(batch_of_requests_arrives_in_order)
{
	struct ipc_msg m;
	const char *why;
	char *tail;

	open_pair();
	for (unsigned i = 0; i < 10; i++) {
		struct ipc_lookup_req *q = ipc_batch_add(&out, IPC_LOOKUP, i, 0, 3 + i, &tail);

		ck_assert_ptr_nonnull(q);
		q->parent = 100 + i;
		memset(tail, 'a' + (int)i, 3 + i);
	}
	ck_assert_int_eq(ipc_batch_send(sv[0], &out), 0);
	ck_assert_uint_eq(out.used, 0);
	ck_assert_int_eq(ipc_recv(sv[1], &in, 0), 1);
	for (unsigned i = 0; i < 10; i++) {
		ck_assert_int_eq(ipc_next(&in, IPC_DIR_T2W, &m, &why), 1);
		ck_assert_uint_eq(m.hdr->tag, i);
		ck_assert_uint_eq(((const struct ipc_lookup_req *)m.body)->parent, 100 + i);
		ck_assert_uint_eq(m.tail_len, 3 + i);
		ck_assert_int_eq(m.tail[2 + i], 'a' + (int)i);
	}
	ck_assert_int_eq(ipc_next(&in, IPC_DIR_T2W, &m, &why), 0);
	close(sv[0]);
	ck_assert_int_eq(ipc_recv(sv[1], &in, 0), 0);
}
END_TEST

START_TEST(descriptors_go_with_their_message)
{
	struct ipc_msg m;
	const char *why;
	int p[2], before;

	open_pair();
	ck_assert_int_eq(pipe(p), 0);
	before = count_fds();
	for (unsigned i = 0; i < 3; i++) {
		struct ipc_open_rep *r = ipc_batch_add(&out, IPC_OPEN | IPC_REPLY, i, 0, 0, NULL);

		r->fh = i;
		if (i != 1)
			ck_assert(ipc_batch_fd(&out, p[i == 2], false));
	}
	ck_assert_int_eq(ipc_batch_send(sv[0], &out), 0);
	ck_assert_int_eq(ipc_recv(sv[1], &in, 0), 1);
	ck_assert_int_eq(ipc_next(&in, IPC_DIR_W2T, &m, &why), 1);
	ck_assert_uint_eq(m.nfds, 1);
	ck_assert_int_eq(ipc_next(&in, IPC_DIR_W2T, &m, &why), 1);
	ck_assert_uint_eq(m.nfds, 0);
	ck_assert_int_eq(ipc_next(&in, IPC_DIR_W2T, &m, &why), 1);
	ck_assert_uint_eq(m.nfds, 1);
	int fd = ipc_take_fd(&in, &m, 0);

	ipc_dgram_end(&in);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_WRONLY);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	close(fd);
	ck_assert_int_eq(count_fds(), before);
}
END_TEST

START_TEST(owned_descriptor_is_closed_after_sending)
{
	int p[2], before = count_fds();

	ck_assert_int_eq(pipe(p), 0);
	open_pair();
	ipc_batch_add(&out, IPC_OPEN | IPC_REPLY, 1, 0, 0, NULL);
	ck_assert(ipc_batch_fd(&out, p[0], true));
	ck_assert_int_eq(ipc_batch_send(sv[0], &out), 0);
	ck_assert_int_eq(ipc_recv(sv[1], &in, 0), 1);
	ipc_dgram_end(&in);
	close(p[1]);
	close(sv[0]);
	close(sv[1]);
	ck_assert_int_eq(count_fds(), before);
}
END_TEST

START_TEST(trim_shortens_the_last_message)
{
	struct ipc_msg m;
	const char *why;
	char *tail;

	open_pair();
	ipc_batch_add(&out, IPC_GETATTR | IPC_REPLY, 1, 0, 0, NULL);
	ipc_batch_add(&out, IPC_READLINK | IPC_REPLY, 2, 0, 100, &tail);
	memcpy(tail, "target", 6);
	ipc_batch_trim(&out, 6);
	ipc_batch_add(&out, IPC_GETATTR | IPC_REPLY, 3, 0, 0, NULL);
	ck_assert_int_eq(ipc_batch_send(sv[0], &out), 0);
	ck_assert_int_eq(ipc_recv(sv[1], &in, 0), 1);
	ck_assert_int_eq(ipc_next(&in, IPC_DIR_W2T, &m, &why), 1);
	ck_assert_int_eq(ipc_next(&in, IPC_DIR_W2T, &m, &why), 1);
	ck_assert_uint_eq(m.tail_len, 6);
	ck_assert_int_eq(ipc_next(&in, IPC_DIR_W2T, &m, &why), 1);
	ck_assert_uint_eq(m.hdr->tag, 3);
}
END_TEST

START_TEST(full_batch_refuses_and_an_empty_one_takes_the_largest)
{
	char *tail;
	unsigned n = 0;

	ck_assert_ptr_nonnull(ipc_batch_add(&out, IPC_SETXATTR, 0, 0, IPC_NAME_MAX + IPC_XATTR_MAX, &tail));
	while (ipc_batch_add(&out, IPC_SETXATTR, 0, 0, IPC_NAME_MAX + IPC_XATTR_MAX, &tail))
		n++;
	ck_assert_uint_lt(n, 2);
	ck_assert_ptr_null(ipc_batch_add(&out, IPC_SETXATTR, 0, 0, IPC_NAME_MAX + IPC_XATTR_MAX + 1, &tail));
	ipc_batch_reset(&out);
	ck_assert_ptr_null(ipc_batch_add(&out, IPC_LOOKUP, 0, 0, IPC_NAME_MAX + 1, &tail));
	ck_assert_ptr_null(ipc_batch_add(&out, 0x7777, 0, 0, 0, &tail));
	ck_assert_ptr_null(ipc_batch_add(&out, IPC_FORGET | IPC_REPLY, 0, 0, 0, &tail));
}
END_TEST

/* Send raw bytes and see that the receiver refuses them. */
static void refused(const void *bytes, size_t len, const char *expect)
{
	struct ipc_msg m;
	const char *why = "";

	open_pair();
	ck_assert_int_eq(send(sv[0], bytes, len, 0), (ssize_t)len);
	ck_assert_int_eq(ipc_recv(sv[1], &in, 0), 1);
	ck_assert_int_eq(ipc_next(&in, IPC_DIR_T2W, &m, &why), -EPROTO);
	ck_assert_msg(strstr(why, expect), "said: %s, not: %s", why, expect);
	ipc_dgram_end(&in);
	close(sv[0]);
	close(sv[1]);
}

START_TEST(each_broken_rule_is_named)
{
	struct {
		struct ipc_hdr h;
		struct ipc_getattr_req b;
		uint64_t more;
	} good = { .h = { .size = sizeof(struct ipc_hdr) + sizeof(struct ipc_getattr_req), .type = IPC_GETATTR } }, m;

	good.h.dgram = good.h.size;
	m = good;
	refused(&m, 10, "shorter than its header");
	m = good;
	m.h.dgram = 0;
	refused(&m, good.h.size, "another length");
	m = good;
	m.h.dgram |= IPC_RESENT; /* answers only */
	refused(&m, good.h.size, "another length");
	m = good;
	m.h.size = 23;
	refused(&m, good.h.size, "beyond its datagram");
	m = good;
	m.h.size = 4000;
	refused(&m, good.h.size, "beyond its datagram");
	m = good;
	m.h.size = UINT32_MAX;
	refused(&m, good.h.size, "beyond its datagram");
	m = good;
	m.h.type = IPC_OP_END;
	refused(&m, good.h.size, "unknown");
	m = good;
	m.h.type = 0;
	refused(&m, good.h.size, "unknown");
	m = good;
	m.h.type = 0xffff;
	refused(&m, good.h.size, "unknown");
	m = good;
	m.h.type = IPC_GETATTR | IPC_REPLY;
	refused(&m, good.h.size, "never gets");
	m = good;
	m.h.type = IPC_READY;
	refused(&m, good.h.size, "never gets");
	m = good;
	m.h.error = 5;
	refused(&m, good.h.size, "an error where none can be");
	m = good;
	m.h.size -= 8;
	m.h.dgram -= 8;
	refused(&m, m.h.size, "wrong size");
	m = good;
	m.h.size += 8; /* GETATTR has no tail */
	m.h.dgram += 8;
	refused(&m, m.h.size, "wrong size");
	m = good;
	m.h.nfds = 1;
	refused(&m, good.h.size, "number of descriptors");
}
END_TEST

START_TEST(bytes_after_the_last_message_are_refused)
{
	struct {
		struct ipc_hdr h;
		struct ipc_getattr_req b;
		uint64_t more;
	} sent = { .h = { .size = sizeof(struct ipc_hdr) + sizeof(struct ipc_getattr_req), .type = IPC_GETATTR,
			  .dgram = sizeof(sent) } };
	struct ipc_msg m;
	const char *why = "";

	open_pair();
	ck_assert_int_eq(send(sv[0], &sent, sizeof(sent), 0), (ssize_t)sizeof(sent));
	ck_assert_int_eq(ipc_recv(sv[1], &in, 0), 1);
	ck_assert_int_eq(ipc_next(&in, IPC_DIR_T2W, &m, &why), 1);
	ck_assert_int_eq(ipc_next(&in, IPC_DIR_T2W, &m, &why), -EPROTO);
	ck_assert_ptr_nonnull(strstr(why, "shorter than its header"));
}
END_TEST

START_TEST(unexpected_descriptors_are_refused_and_closed)
{
	struct ipc_msg m;
	const char *why = "";
	int before;

	open_pair();
	before = count_fds();
	ipc_batch_add(&out, IPC_GETATTR, 1, 0, 0, NULL);
	ck_assert(ipc_batch_fd(&out, 0, false));
	ck_assert_int_eq(ipc_batch_send(sv[0], &out), 0);
	ck_assert_int_eq(ipc_recv(sv[1], &in, 0), 1);
	ck_assert_int_eq(ipc_next(&in, IPC_DIR_T2W, &m, &why), -EPROTO);
	ipc_dgram_end(&in);
	ck_assert_int_eq(count_fds(), before);
}
END_TEST

START_TEST(datagram_that_is_too_long_is_refused)
{
	static char big[IPC_DGRAM_MAX + 8];

	open_pair();
	ck_assert_int_eq(send(sv[0], big, sizeof(big), 0), (ssize_t)sizeof(big));
	ck_assert_int_eq(ipc_recv(sv[1], &in, 0), -EPROTO);
}
END_TEST

/* The number of a datagram tells whether it is the one before it once more. Only requests have one. */
START_TEST(datagrams_are_numbered)
{
	struct ipc_msg m;
	const char *why = "";

	open_pair();
	for (uint32_t seq = 0; seq <= IPC_SEQ_MAX; seq += IPC_SEQ_MAX) {
		ck_assert_ptr_nonnull(ipc_batch_add(&out, IPC_GETATTR, 1, 0, 0, NULL));
		ck_assert_ptr_nonnull(ipc_batch_add(&out, IPC_GETATTR, 2, 0, 0, NULL));
		out.seq = seq;
		ck_assert_int_eq(ipc_batch_send(sv[0], &out), 0);
		ck_assert_int_eq(ipc_recv(sv[1], &in, 0), 1);
		ck_assert_uint_eq(in.seq, seq);
		in.seq = 0;
		ck_assert(ipc_dgram_found(&in));
		ck_assert_uint_eq(in.seq, seq);
		ck_assert_int_eq(ipc_next(&in, IPC_DIR_T2W, &m, &why), 1);
		ck_assert_int_eq(ipc_next(&in, IPC_DIR_T2W, &m, &why), 1);
		ck_assert_int_eq(ipc_next(&in, IPC_DIR_T2W, &m, &why), 0);
		ipc_dgram_end(&in);
	}
	ck_assert_ptr_nonnull(ipc_batch_add(&out, IPC_GETATTR | IPC_REPLY, 1, 0, 0, NULL));
	ck_assert_int_eq(ipc_batch_send(sv[0], &out), 0);
	ck_assert_int_eq(ipc_recv(sv[1], &in, 0), 1);
	ck_assert_int_eq(ipc_next(&in, IPC_DIR_W2T, &m, &why), -EPROTO);
	out.seq = 0;
}
END_TEST

/* Who is killed in or after ipc_recv() leaves a datagram behind, or none, never a part of one. */
START_TEST(datagram_left_behind)
{
	struct ipc_msg m;
	const char *why;

	open_pair();
	memset(&in, 0xff, sizeof(in));
	ck_assert(!ipc_dgram_found(&in)); /* a length that cannot be */
	memset(&in, 0, sizeof(in));
	ck_assert(!ipc_dgram_found(&in));
	ck_assert_ptr_nonnull(ipc_batch_add(&out, IPC_GETATTR, 7, 0, 0, NULL));
	ck_assert_ptr_nonnull(ipc_batch_add(&out, IPC_GETATTR, 8, 0, 0, NULL));
	ck_assert_int_eq(ipc_batch_send(sv[0], &out), 0);
	ck_assert_int_eq(ipc_recv(sv[1], &in, 0), 1);
	in.len = 0; /* killed before it learned the length */
	ck_assert(ipc_dgram_found(&in));
	ck_assert_int_eq(ipc_next(&in, IPC_DIR_T2W, &m, &why), 1);
	ck_assert_uint_eq(m.hdr->tag, 7);
	ck_assert_int_eq(ipc_next(&in, IPC_DIR_T2W, &m, &why), 1);
	ck_assert_uint_eq(m.hdr->tag, 8);
	ck_assert_int_eq(ipc_next(&in, IPC_DIR_T2W, &m, &why), 0);
	/* In the middle of waiting for the next one; or when all was done. */
	ck_assert_int_eq(ipc_recv(sv[1], &in, MSG_DONTWAIT), -EAGAIN);
	ck_assert(!ipc_dgram_found(&in));
	ck_assert_ptr_nonnull(ipc_batch_add(&out, IPC_GETATTR, 9, 0, 0, NULL));
	ck_assert_int_eq(ipc_batch_send(sv[0], &out), 0);
	ck_assert_int_eq(ipc_recv(sv[1], &in, 0), 1);
	ipc_dgram_end(&in);
	ck_assert(!ipc_dgram_found(&in));
}
END_TEST

/* Answers that may be there twice say so; questions never do. */
START_TEST(resent_answers)
{
	struct ipc_msg m;
	const char *why = "";

	open_pair();
	ck_assert_ptr_nonnull(ipc_batch_add(&out, IPC_RENAME | IPC_REPLY, 1, 0, 0, NULL));
	out.resent = true;
	ck_assert_int_eq(ipc_batch_send(sv[0], &out), 0);
	ck_assert(!out.resent);
	ck_assert_int_eq(ipc_recv(sv[1], &in, 0), 1);
	ck_assert(in.resent);
	ck_assert_int_eq(ipc_next(&in, IPC_DIR_W2T, &m, &why), 1);
	ipc_dgram_end(&in);
	ck_assert_ptr_nonnull(ipc_batch_add(&out, IPC_RENAME | IPC_REPLY, 1, 0, 0, NULL));
	ck_assert_int_eq(ipc_batch_send(sv[0], &out), 0);
	ck_assert_int_eq(ipc_recv(sv[1], &in, 0), 1);
	ck_assert(!in.resent);
	ipc_dgram_end(&in);
}
END_TEST

START_TEST(error_reply_is_a_bare_header)
{
	struct ipc_msg m;
	const char *why;

	open_pair();
	ck_assert_ptr_nonnull(ipc_batch_add(&out, IPC_LOOKUP | IPC_REPLY, 9, ENOENT, 0, NULL));
	ck_assert_uint_eq(out.used, sizeof(struct ipc_hdr));
	ck_assert_int_eq(ipc_batch_send(sv[0], &out), 0);
	ck_assert_int_eq(ipc_recv(sv[1], &in, 0), 1);
	ck_assert_int_eq(ipc_next(&in, IPC_DIR_W2T, &m, &why), 1);
	ck_assert_int_eq(m.hdr->error, ENOENT);
	ck_assert_ptr_null(m.body);
}
END_TEST

START_TEST(full_socket_keeps_the_batch)
{
	int sent = 0, r;
	char *tail;

	open_pair();
	ck_assert_int_eq(fcntl(sv[0], F_SETFL, O_NONBLOCK), 0);
	do {
		ipc_batch_reset(&out);
		ipc_batch_add(&out, IPC_SETXATTR, 0, 0, 60000, &tail);
		r = ipc_batch_send(sv[0], &out);
		sent++;
	} while (r == 0 && sent < 1000);
	ck_assert_int_eq(r, -EAGAIN);
	ck_assert_uint_ne(out.used, 0);
	while (sent-- > 1)
		ck_assert_int_eq(ipc_recv(sv[1], &in, 0), 1);
	ck_assert_int_eq(ipc_batch_send(sv[0], &out), 0);
	ck_assert_int_eq(ipc_recv(sv[1], &in, MSG_DONTWAIT), 1);
}
END_TEST

/* In a process that is not root and may have few descriptors: too many that nobody has taken. */
START_TEST(too_many_descriptors_on_their_way)
{
	const struct rlimit few = { 64, 64 };
	struct ipc_msg m;
	const char *why;
	int r = 0, sent = 0;

	open_pair();
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	if (geteuid() == 0)
		ck_assert_int_eq(setresuid(64321, 64321, 64321), 0);
	while (sent < 1000 && r == 0) {
		ipc_batch_add(&out, IPC_OPEN | IPC_REPLY, 5, 0, 0, NULL);
		ck_assert(ipc_batch_fd(&out, 0, false));
		r = ipc_batch_send(sv[0], &out);
		sent += r == 0;
	}
	ck_assert_int_eq(r, -ETOOMANYREFS);
	ipc_batch_drop_fds(&out);
	while (sent--) {
		ck_assert_int_eq(ipc_recv(sv[1], &in, 0), 1);
		ipc_dgram_end(&in);
	}
	ck_assert_int_eq(ipc_batch_send(sv[0], &out), 0);
	ck_assert_int_eq(ipc_recv(sv[1], &in, 0), 1);
	ck_assert_int_eq(ipc_next(&in, IPC_DIR_W2T, &m, &why), 1);
	ck_assert_uint_eq(m.nfds, 0);
	ck_assert_int_eq(ipc_next(&in, IPC_DIR_W2T, &m, &why), 0);
}
END_TEST

UNIT_MAIN("channel", batch_of_requests_arrives_in_order, descriptors_go_with_their_message,
	  owned_descriptor_is_closed_after_sending, trim_shortens_the_last_message,
	  full_batch_refuses_and_an_empty_one_takes_the_largest, each_broken_rule_is_named,
	  bytes_after_the_last_message_are_refused,	  unexpected_descriptors_are_refused_and_closed, datagram_that_is_too_long_is_refused,
	  datagram_left_behind, datagrams_are_numbered, resent_answers, error_reply_is_a_bare_header, full_socket_keeps_the_batch, too_many_descriptors_on_their_way)
