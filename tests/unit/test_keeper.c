/* test_keeper.c - sealed handles: the hash, the seal, and a keeper whose fsworker was taken over. Needs root. */
#include "common/log.h"
#include "keeper/keeper.h"
#include "unit.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#define MASK (STATX_BASIC_STATS | STATX_MNT_ID | 0x4000u /* STATX_MNT_ID_UNIQUE */)

static struct keeper keeper;
static struct ipc_batch b;
static struct ipc_dgram d;
static struct ipc_msg m;
static int ours;   /* the fsworker's end */
static int theirs;
static char dir[32];
static const char *why;

static void quiet(enum log_level level, const char *text, size_t len)
{
	(void)level;
	(void)text;
	(void)len;
}

/* The vectors of the authors' reference implementation: key 00 01 .. 0f, input 00 01 .. */
START_TEST(hash_vectors)
{
	static const struct {
		size_t len;
		const char *hex;
	} vectors[] = {
		{ 0, "a3817f04ba25a8e66df67214c7550293" },  { 1, "da87c1d86b99af44347659119b22fc45" },
		{ 7, "a1f1ebbed8dbc153c0b84aa61ff08239" },  { 8, "3b62a9ba6258f5610f83e264f31497b4" },
		{ 15, "5493e99933b0a8117e08ec0f97cfc3d9" }, { 16, "6ee2a4ca67b054bbfd3315bf85230577" },
		{ 63, "5150d1772f50834a503e069a973fbd7c" },
	};
	uint8_t key[SIPHASH_KEY], text[64], out[SIPHASH_OUT];
	char hex[2 * SIPHASH_OUT + 1];

	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)i;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)i;
	for (size_t v = 0; v < ARRAY_SIZE(vectors); v++) {
		siphash(key, text, vectors[v].len, out);
		for (size_t i = 0; i < sizeof(out); i++)
			snprintf(hex + 2 * i, 3, "%02x", out[i]);
		ck_assert_str_eq(hex, vectors[v].hex);
	}
}
END_TEST

START_TEST(seals)
{
	static const uint8_t key[IPC_KEEPER_KEY] = "key", other_key[IPC_KEEPER_KEY] = "another";
	static const struct seal_place place = { 1, 2, 3 };
	static const struct seal_place others[] = { { 4, 2, 3 }, { 1, 4, 3 }, { 1, 2, 4 } };
	struct seal_handle h = { .type = 0x81, .len = 12, .bytes = "\2\0\0\0abcdefgh" }, back;
	uint8_t s[IPC_HANDLE_MAX + 1] = { 0 };
	uint32_t n = seal_make(key, &place, &h, s);

	ck_assert_uint_eq(n, SEAL_BYTES + 4 + 12);
	ck_assert_int_eq(seal_open(key, &place, s, n, &back), 0);
	ck_assert(back.type == h.type && back.len == h.len && !memcmp(back.bytes, h.bytes, 12));
	ck_assert_int_eq(seal_open(other_key, &place, s, n, &back), -EBADMSG);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		ck_assert_int_eq(seal_open(key, &others[i], s, n, &back), -EBADMSG);
	for (uint32_t bit = 0; bit < n * 8; bit++) {
		s[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ck_assert_int_eq(seal_open(key, &place, s, n, &back), -EBADMSG);
		s[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (uint32_t len = 0; len <= sizeof(s); len++)
		ck_assert_int_eq(seal_open(key, &place, s, len, &back), len == n ? 0 : -EBADMSG);
	/* The longest that fits. */
	h.len = SEAL_HANDLE_MAX;
	n = seal_make(key, &place, &h, s);
	ck_assert_uint_eq(n, IPC_HANDLE_MAX);
	ck_assert_int_eq(seal_open(key, &place, s, n, &back), 0);
	ck_assert_uint_eq(back.len, SEAL_HANDLE_MAX);
}
END_TEST

/* A file system of the test's own, with a directory "share" that is a mount of its own, too, as the jail's is. */
static void start(void)
{
	char path[64];
	int sv[2];

	log_to_sink(quiet);
	ck_assert(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	strcpy(dir, "/tmp/keeper-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(mount("keeper", dir, "tmpfs", 0, NULL), 0);
	ck_assert(chdir(dir) == 0 && mkdir("share", 0755) == 0 && mkdir("outside", 0755) == 0);
	snprintf(path, sizeof(path), "%s/share", dir);
	ck_assert_int_eq(mount(path, path, NULL, MS_BIND, NULL), 0);
	ck_assert(chdir("share") == 0 && mkdir("d", 0755) == 0 && symlink("x", "l") == 0 && mkfifo("p", 0600) == 0);
	close(open("f", O_CREAT | O_WRONLY, 0600));
	ck_assert_int_eq(ipc_pair(sv), 0);
	ours = sv[0];
	theirs = sv[1];
	keeper_init(&keeper, (const uint8_t *)"0123456789abcdef");
}

static void stop(void)
{
	ipc_dgram_end(&d);
	close(ours);
	close(theirs);
	ck_assert_int_eq(chdir("/"), 0);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
}

/* Send what is in b and let the keeper answer. */
static int hear(void)
{
	ipc_dgram_end(&d);
	ck_assert_int_eq(ipc_batch_send(ours, &b), 0);
	return keeper_hear(&keeper, theirs, &why);
}

static void answer(uint16_t type, uint64_t tag)
{
	ck_assert_int_eq(ipc_recv(ours, &d, MSG_DONTWAIT), 1);
	ck_assert_int_eq(ipc_next(&d, IPC_DIR_K2W, &m, &why), 1);
	ck_assert_uint_eq(m.hdr->type, type);
	ck_assert_uint_eq(m.hdr->tag, tag);
}

static void add_mount(int fd)
{
	ck_assert_ptr_nonnull(ipc_batch_add(&b, IPC_MOUNT, 0, 0, 0, NULL));
	ck_assert(ipc_batch_fd(&b, fd, true));
}

static void show(const char *path, int flags)
{
	add_mount(open(path, flags | O_CLOEXEC));
	ck_assert_int_eq(hear(), 1);
}

static struct ipc_sealed_one seal_fd(int fd)
{
	struct ipc_seal *q = ipc_batch_add(&b, IPC_SEAL, 7, 0, 0, NULL);

	ck_assert_int_ge(fd, 0);
	q->count = 1;
	ck_assert(ipc_batch_fd(&b, fd, true));
	ck_assert_int_eq(hear(), 1);
	answer(IPC_SEALED, 7);
	ck_assert_uint_eq(m.tail_len, sizeof(struct ipc_sealed_one));
	return *(const struct ipc_sealed_one *)(const void *)m.tail;
}

static struct ipc_sealed_one seal(const char *path)
{
	return seal_fd(open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC));
}

static struct statx look(int fd, const char *path)
{
	struct statx st;

	ck_assert_int_eq(statx(fd, path, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, MASK, &st), 0);
	return st;
}

/* Descriptor, or -errno that the keeper told. */
static int unseal(uint64_t mnt_id, const void *handle, uint32_t len)
{
	char *tail;
	struct ipc_unseal *q = ipc_batch_add(&b, IPC_UNSEAL, 8, 0, sizeof(struct ipc_unseal_one), &tail);
	struct ipc_unseal_one one = { .mnt_id = mnt_id, .len = len };
	uint32_t error;

	q->count = 1;
	memcpy(one.handle, handle, MIN(len, (uint32_t)IPC_HANDLE_MAX));
	memcpy(tail, &one, sizeof(one));
	ck_assert_int_eq(hear(), 1);
	answer(IPC_UNSEALED, 8);
	ck_assert_uint_eq(m.tail_len, sizeof(error));
	memcpy(&error, m.tail, sizeof(error));
	ck_assert_uint_eq(m.nfds, error == 0);
	return error ? -(int)error : ipc_take_fd(&d, &m, 0);
}

START_TEST(there_and_back)
{
	static const char *const paths[] = { "f", "d", "l", "p", "." };
	struct ipc_sealed_one s = seal("f");

	/* Of a mount that was not shown, or shown by what is of no use for it, nothing is opened. */
	ck_assert_uint_eq(s.error, ENODEV);
	show(".", O_PATH);
	show("p", O_RDWR);
	ck_assert_uint_eq(seal("f").error, ENODEV);
	show(".", O_RDONLY | O_DIRECTORY);
	show(".", O_RDONLY | O_DIRECTORY); /* asked again: no harm */
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct statx st = look(AT_FDCWD, paths[i]), back;
		struct ipc_sealed_one again;
		int fd;

		s = seal(paths[i]);
		ck_assert_uint_eq(s.error, 0);
		again = seal(paths[i]);
		ck_assert(again.len == s.len && !memcmp(again.handle, s.handle, s.len));
		fd = unseal(st.stx_mnt_id, s.handle, s.len);
		ck_assert_int_ge(fd, 0);
		ck_assert(fcntl(fd, F_GETFL) & O_PATH);
		back = look(fd, "");
		ck_assert(back.stx_ino == st.stx_ino && back.stx_mnt_id == st.stx_mnt_id && back.stx_mode == st.stx_mode);
		close(fd);
	}
	s = seal("f");
	ck_assert_int_eq(unlink("f"), 0);
	ck_assert_int_eq(unseal(look(AT_FDCWD, ".").stx_mnt_id, s.handle, s.len), -ESTALE);
}
END_TEST

/* A whole datagram of each. */
START_TEST(many_at_once)
{
	struct statx st = look(AT_FDCWD, "."), back;
	static struct ipc_sealed_one s[IPC_FDS_MAX];
	struct ipc_unseal_one *one;
	const uint32_t *error;
	struct ipc_seal *q;
	struct ipc_unseal *u;
	char *tail, name[16];

	add_mount(open(".", O_RDONLY | O_CLOEXEC));
	q = ipc_batch_add(&b, IPC_SEAL, 1, 0, 0, NULL);
	q->count = IPC_FDS_MAX - 1;
	for (int i = 0; i < IPC_FDS_MAX - 1; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		ck_assert(ipc_batch_fd(&b, open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600), true));
	}
	ck_assert_int_eq(hear(), 1);
	answer(IPC_SEALED, 1);
	memcpy(s, m.tail, m.tail_len);
	memcpy(s[249].handle, s[0].handle, sizeof(s[0].handle));
	s[249].handle[3] ^= 4;
	s[249].len = s[0].len;
	u = ipc_batch_add(&b, IPC_UNSEAL, 2, 0, IPC_FDS_MAX * sizeof(*one), &tail);
	u->count = IPC_FDS_MAX;
	one = (struct ipc_unseal_one *)(void *)tail;
	for (uint32_t i = 0; i < IPC_FDS_MAX; i++) {
		ck_assert_uint_eq(s[i].error, 0);
		one[i] = (struct ipc_unseal_one){ .mnt_id = st.stx_mnt_id, .len = s[i].len };
		memcpy(one[i].handle, s[(i + 100) % IPC_FDS_MAX].handle, IPC_HANDLE_MAX);
	}
	ck_assert_int_eq(hear(), 1);
	answer(IPC_UNSEALED, 2);
	error = (const uint32_t *)(const void *)m.tail;
	ck_assert_uint_eq(m.nfds, IPC_FDS_MAX - 1);
	ck_assert_uint_eq(error[149], EBADMSG);
	for (uint32_t i = 0; i < 149; i++) {
		snprintf(name, sizeof(name), "f%u", i + 100);
		ck_assert_uint_eq(error[i], 0);
		st = look(AT_FDCWD, name);
		back = look(m.fds[i], "");
		ck_assert_uint_eq(st.stx_ino, back.stx_ino);
	}
}
END_TEST

/* struct file_handle as this process, which has the capability, gets it. */
static struct seal_handle raw_handle(const char *path)
{
	union {
		struct file_handle h;
		char room[sizeof(struct file_handle) + 64];
	} r = { .h.handle_bytes = 64 };
	struct seal_handle h = { 0 };
	int id;

	ck_assert_int_eq(name_to_handle_at(AT_FDCWD, path, &r.h, &id, 0), 0);
	h.type = r.h.handle_type;
	h.len = r.h.handle_bytes;
	memcpy(h.bytes, r.h.f_handle, h.len);
	return h;
}

/* The known escape from a jail: the handle of what is outside, made up or copied, on the mount that is inside. */
START_TEST(escapes)
{
	static const uint8_t other_key[IPC_KEEPER_KEY] = "fsworker's guess";
	struct statx st = look(AT_FDCWD, "."), up = look(AT_FDCWD, "..");
	struct seal_handle h = raw_handle("../outside"), root = { .type = 1, .len = 8, .bytes = { 2 } };
	struct statfs fs;
	struct ipc_sealed_one s, outside;
	struct seal_place place;
	union {
		struct file_handle h;
		char room[sizeof(struct file_handle) + 64];
	} r = { .h = { .handle_bytes = h.len, .handle_type = h.type } };
	uint8_t text[IPC_HANDLE_MAX];
	uint32_t n;
	int fd, at = open(".", O_RDONLY | O_CLOEXEC);

	/* It is one: whoever may open by handle gets out. */
	memcpy(r.h.f_handle, h.bytes, h.len);
	fd = open_by_handle_at(at, &r.h, O_PATH);
	ck_assert_int_ge(fd, 0);
	ck_assert_uint_eq(look(fd, "").stx_ino, look(AT_FDCWD, "../outside").stx_ino);
	close(fd);

	show(".", O_RDONLY);
	ck_assert_int_eq(fstatfs(at, &fs), 0);
	place = (struct seal_place){ .mnt_id = st.stx_mnt_id, .fs_type = (uint64_t)fs.f_type };
	memcpy(&place.fs_id, &fs.f_fsid, sizeof(place.fs_id));
	/* No seal; one with a key of its own, of all that it can know. */
	memset(text, 0, sizeof(text));
	memcpy(text + SEAL_BYTES, &h.type, 4);
	memcpy(text + SEAL_BYTES + 4, h.bytes, h.len);
	ck_assert_int_eq(unseal(st.stx_mnt_id, text, SEAL_BYTES + 4 + h.len), -EBADMSG);
	ck_assert_int_eq(unseal(st.stx_mnt_id, text + SEAL_BYTES, 4 + h.len), -EBADMSG);
	n = seal_make(other_key, &place, &h, text);
	ck_assert_int_eq(unseal(st.stx_mnt_id, text, n), -EBADMSG);
	n = seal_make(other_key, &place, &root, text);
	ck_assert_int_eq(unseal(st.stx_mnt_id, text, n), -EBADMSG);
	/* The real key would do: it is the key, and nothing else, that keeps it in. */
	n = seal_make(keeper.key, &place, &h, text);
	fd = unseal(st.stx_mnt_id, text, n);
	ck_assert_int_ge(fd, 0);
	close(fd);

	/* A good one, with another handle in it, a bit changed, cut, made longer. */
	s = seal("f");
	ck_assert_uint_eq(s.error, 0);
	memcpy(text, s.handle, sizeof(text));
	memcpy(text + SEAL_BYTES + 4, h.bytes, h.len);
	ck_assert_int_eq(unseal(st.stx_mnt_id, text, s.len), -EBADMSG);
	for (uint32_t bit = 0; bit < s.len * 8; bit += 5) {
		memcpy(text, s.handle, sizeof(text));
		text[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ck_assert_int_eq(unseal(st.stx_mnt_id, text, s.len), -EBADMSG);
	}
	for (uint32_t len = 0; len < s.len + 9; len++)
		if (len != s.len)
			ck_assert_int_eq(unseal(st.stx_mnt_id, s.handle, MIN(len, (uint32_t)IPC_HANDLE_MAX)), -EBADMSG);
	ck_assert_int_eq(unseal(st.stx_mnt_id, s.handle, UINT32_MAX), -EBADMSG);

	/* Sealed for another mount of the same file system, and the other way round. */
	show("..", O_RDONLY);
	outside = seal("../outside");
	ck_assert_uint_eq(outside.error, 0);
	ck_assert_uint_ne(up.stx_mnt_id, st.stx_mnt_id);
	ck_assert_int_eq(unseal(st.stx_mnt_id, outside.handle, outside.len), -EBADMSG);
	ck_assert_int_eq(unseal(up.stx_mnt_id, s.handle, s.len), -EBADMSG);
	ck_assert_int_eq(unseal(up.stx_mnt_id + 1000000, s.handle, s.len), -ENODEV);
	close(at);
}
END_TEST

/* It may show anything: what is no file of a mount, or has no handle, costs an errno. */
START_TEST(odd_things)
{
	int sv[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	add_mount(sv[0]);
	ck_assert_int_eq(hear(), 1);
	ck_assert_uint_ne(seal_fd(sv[1]).error, 0);
	show("/proc", O_RDONLY);
	ck_assert_uint_ne(seal("/proc/self/status").error, 0);
	ck_assert_uint_ne(seal("/dev/null").error, 0);
}
END_TEST

/* More mounts than there are places: the oldest must be shown again, and then works as before. */
START_TEST(many_mounts)
{
	struct ipc_sealed_one s;
	uint64_t id = look(AT_FDCWD, ".").stx_mnt_id;
	char path[64];

	show(".", O_RDONLY);
	s = seal("f");
	for (int i = 0; i < IPC_MOUNTS_MAX; i++) {
		snprintf(path, sizeof(path), "%s/outside", dir);
		ck_assert_int_eq(mount("keeper", path, "tmpfs", 0, NULL), 0);
		show(path, O_RDONLY);
		ck_assert_uint_eq(seal(path).error, 0);
	}
	ck_assert_int_eq(unseal(id, s.handle, s.len), -ENODEV);
	show(".", O_RDONLY);
	close(unseal(id, s.handle, s.len));
	/* Another keeper that has the key. */
	keeper_init(&keeper, (const uint8_t *)"0123456789abcdef");
	show(".", O_RDONLY);
	ck_assert_int_ge(unseal(id, s.handle, s.len), 0);
	keeper_init(&keeper, (const uint8_t *)"0123456789abcdeF");
	show(".", O_RDONLY);
	ck_assert_int_eq(unseal(id, s.handle, s.len), -EBADMSG);
}
END_TEST

START_TEST(broken_rules)
{
	struct ipc_unseal *u;
	struct ipc_seal *q;
	char *tail;

	q = ipc_batch_add(&b, IPC_SEAL, 1, 0, 0, NULL);
	q->count = 2;
	ck_assert(ipc_batch_fd(&b, open(".", O_PATH), true));
	ck_assert_int_eq(hear(), -EPROTO);
	ck_assert_ptr_nonnull(ipc_batch_add(&b, IPC_SEAL, 1, 0, 0, NULL));
	ck_assert_int_eq(hear(), -EPROTO);
	u = ipc_batch_add(&b, IPC_UNSEAL, 1, 0, 80, &tail);
	u->count = 2;
	memset(tail, 0, 80);
	ck_assert_int_eq(hear(), -EPROTO);
	u = ipc_batch_add(&b, IPC_UNSEAL, 1, 0, 72, &tail);
	u->count = 1;
	memset(tail, 0, 72);
	ck_assert_int_eq(hear(), -EPROTO);
	ck_assert_ptr_nonnull(ipc_batch_add(&b, IPC_SEALED, 1, 0, 0, NULL));
	ck_assert_int_eq(hear(), -EPROTO);
	ck_assert_ptr_nonnull(ipc_batch_add(&b, IPC_GETATTR, 1, 0, 0, NULL));
	ck_assert_int_eq(hear(), -EPROTO);
	ck_assert_int_eq(send(ours, "x", 1, 0), 1);
	ck_assert_int_eq(keeper_hear(&keeper, theirs, &why), -EPROTO);
	close(ours);
	ck_assert_int_eq(keeper_hear(&keeper, theirs, &why), 0);
	ours = -1;
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("keeper");
	TCase *pure = tcase_create("seal"), *tc = tcase_create("keeper");
	SRunner *r;
	int failed;

	if (geteuid() != 0) {
		printf("SKIP: needs root\n");
		return 77;
	}
	tcase_add_test(pure, hash_vectors);
	tcase_add_test(pure, seals);
	suite_add_tcase(suite, pure);
	tcase_add_checked_fixture(tc, start, stop);
	tcase_add_test(tc, there_and_back);
	tcase_add_test(tc, many_at_once);
	tcase_add_test(tc, escapes);
	tcase_add_test(tc, odd_things);
	tcase_add_test(tc, many_mounts);
	tcase_add_test(tc, broken_rules);
	suite_add_tcase(suite, tc);
	r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
