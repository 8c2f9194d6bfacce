/*
 * test-crash: names are made, linked, renamed and removed, files grow, while
 * processes die. A model says what each request has to answer: what one client
 * alone would have been told, each time, and never that "it exists already"
 * because the process before had made it.
 */
#define _GNU_SOURCE 1
#include <dirent.h>
#include <sys/xattr.h>

#include "test-crash.h"

#define SLOTS 24u
#define KILLS 200u
#define RECORD 16u
#define OLD_MS 100	/* older than the clock by which file systems date is coarse */

enum kind { NOTHING, A_FILE, A_DIR, A_LINK, A_FIFO };

struct object {
	enum kind kind;
	uint64_t node, lookups;
	unsigned int names;
	uint32_t number;	/* of the object; its contents tell it */
	uint32_t records;	/* that were appended */
	uint32_t xattr;		/* value, 0: it has none */
	uint64_t fh;		/* of a file, for appending */
	int64_t made_ms;
};

static struct object *slot[SLOTS];
static uint32_t last_number;
static bool have_xattrs;
static int64_t longest_ms, began_ms;
static uint64_t steps;

static uint64_t rng;

static uint32_t below(uint32_t bound)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 32) % bound;
}

static const char *name_of(unsigned int s)
{
	static char names[SLOTS][16];

	snprintf(names[s], sizeof(names[s]), "slot-%u", s);
	return names[s];
}

static void target_of(const struct object *o, char *text, size_t size)
{
	snprintf(text, size, "target-%u", o->number);
}

static void record_of(const struct object *o, uint32_t n, char *text)
{
	char line[RECORD + 1];

	snprintf(line, sizeof(line), "%06u %08u\n", o->number % 1000000, n % 100000000);
	memcpy(text, line, RECORD);
}

/* Each call that the model makes is one of these. */
#define TIMED(call)                                                                          \
	({                                                                                   \
		int64_t timed_t = crash_now_ms();                                            \
		int timed_r = (int)(call);                                                   \
		int64_t timed_d = crash_now_ms() - timed_t;                                  \
		longest_ms = timed_d > longest_ms ? timed_d : longest_ms;                    \
		timed_r;                                                                     \
	})
#define must(call) ck_ok(TIMED(call))
#define must_fail(call, err) ck_err(TIMED(call), err)

static struct object *new_object(enum kind kind)
{
	struct object *o = calloc(1, sizeof(*o));

	ck_assert_ptr_nonnull(o);
	o->kind = kind;
	o->number = ++last_number;
	o->made_ms = crash_now_ms();
	return o;
}

static void found(struct object *o, const struct fuse_entry_out *e)
{
	static const mode_t type[] = { 0, S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO };

	ck_assert(!o->node || o->node == e->nodeid);
	o->node = e->nodeid;
	o->lookups++;
	ck_assert_uint_eq(e->attr.mode & S_IFMT, type[o->kind]);
	if (o->kind != A_DIR)
		ck_assert_uint_eq(e->attr.nlink, o->names);
	if (o->kind == A_FILE)
		ck_assert_uint_eq(e->attr.size, (uint64_t)o->records * RECORD);
}

/* The last name is gone. */
static void end_object(struct object *o)
{
	if (o->kind == A_FILE)
		must(fs_release(FS, o->node, o->fh, O_RDWR | O_APPEND, 0, 0));
	must(fs_forget(FS, o->node, o->lookups));
	free(o);
}

static void lose_name(unsigned int s)
{
	struct object *o = slot[s];

	slot[s] = NULL;
	if (--o->names == 0)
		end_object(o);
}

static bool old_enough(const struct object *o)
{
	return crash_now_ms() - o->made_ms > OLD_MS;
}

static void make_file(unsigned int s)
{
	struct object *o = new_object(A_FILE);
	struct fuse_entry_out e;
	struct fuse_open_out open;

	must(fs_create(FS, TU_ROOT, name_of(s), O_RDWR | O_APPEND | O_CREAT | O_EXCL, 0644, &e, &open));
	o->fh = open.fh;
	o->names = 1;
	found(o, &e);
	slot[s] = o;
}

static void make_other(unsigned int s)
{
	struct object *o = new_object(A_DIR + below(3));
	struct fuse_entry_out e;
	char target[32];

	o->names = 1;
	target_of(o, target, sizeof(target));
	switch (o->kind) {
	case A_DIR:
		must(fs_mkdir(FS, TU_ROOT, name_of(s), 0755, &e));
		break;
	case A_LINK:
		must(fs_symlink(FS, TU_ROOT, name_of(s), target, &e));
		break;
	default:
		must(fs_mknod(FS, TU_ROOT, name_of(s), S_IFIFO | 0644, 0, &e));
	}
	found(o, &e);
	slot[s] = o;
}

static void step_make(unsigned int s)
{
	struct fuse_entry_out e;
	struct fuse_open_out o;

	if (!slot[s]) {
		if (below(2))
			make_file(s);
		else
			make_other(s);
	} else if (old_enough(slot[s])) {
		/* Made long before: nobody's own. */
		if (below(2))
			must_fail(fs_mkdir(FS, TU_ROOT, name_of(s), 0755, &e), EEXIST);
		else
			must_fail(fs_create(FS, TU_ROOT, name_of(s), O_RDWR | O_CREAT | O_EXCL, 0644, &e, &o), EEXIST);
	}
}

static void step_remove(unsigned int s)
{
	if (!slot[s])
		return;
	if (slot[s]->kind == A_DIR)
		must(fs_rmdir(FS, TU_ROOT, name_of(s)));
	else
		must(fs_unlink(FS, TU_ROOT, name_of(s)));
	lose_name(s);
}

static void step_link(unsigned int s)
{
	unsigned int to = below(SLOTS);
	struct fuse_entry_out e;

	if (!slot[s] || slot[s]->kind == A_DIR)
		return;
	if (slot[to]) {
		if (slot[to] != slot[s])
			must_fail(fs_link(FS, slot[s]->node, TU_ROOT, name_of(to), &e), EEXIST);
		return;
	}
	must(fs_link(FS, slot[s]->node, TU_ROOT, name_of(to), &e));
	slot[s]->names++;
	found(slot[s], &e);
	slot[to] = slot[s];
}

static void step_rename(unsigned int s)
{
	unsigned int to = below(SLOTS);
	struct object *o = slot[s];

	if (!o || s == to)
		return;
	if (!slot[to]) {
		must(fs_rename2(FS, TU_ROOT, name_of(s), TU_ROOT, name_of(to), below(2) ? RENAME_NOREPLACE : 0));
		slot[to] = o;
		slot[s] = NULL;
	} else if (below(3) == 0) {
		must_fail(fs_rename2(FS, TU_ROOT, name_of(s), TU_ROOT, name_of(to), RENAME_NOREPLACE), EEXIST);
	} else if (below(2)) {
		must(fs_rename2(FS, TU_ROOT, name_of(s), TU_ROOT, name_of(to), RENAME_EXCHANGE));
		slot[s] = slot[to];
		slot[to] = o;
	} else if (slot[to] != o && (slot[to]->kind == A_DIR) == (o->kind == A_DIR)) {
		must(fs_rename(FS, TU_ROOT, name_of(s), TU_ROOT, name_of(to)));
		lose_name(to);
		slot[to] = o;
		slot[s] = NULL;
	}
}

static void step_append(unsigned int s)
{
	char text[RECORD];
	struct object *o = slot[s];

	if (!o || o->kind != A_FILE)
		return;
	record_of(o, o->records, text);
	ck_assert_int_eq(TIMED(fs_write(FS, o->node, o->fh, text, RECORD, (uint64_t)o->records * RECORD,
					O_RDWR | O_APPEND, 0)), RECORD);
	o->records++;
}

static void step_xattr(unsigned int s)
{
	struct object *o = slot[s];
	char text[16], got[16];

	if (!have_xattrs || !o || (o->kind != A_FILE && o->kind != A_DIR))
		return;
	snprintf(text, sizeof(text), "%015u", o->xattr + 1);
	if (o->xattr && below(3) == 0) {
		must(fs_removexattr(FS, o->node, "user.model"));
		o->xattr = 0;
	} else if (o->xattr && below(3) == 0) {
		must_fail(fs_setxattr(FS, o->node, "user.model", "other", 5, XATTR_CREATE), EEXIST);
	} else if (o->xattr && below(2)) {
		ck_assert_int_eq(TIMED(fs_getxattr(FS, o->node, "user.model", got, sizeof(got))), 15);
		ck_assert_uint_eq(strtoul(got, NULL, 10), o->xattr);
	} else {
		must(fs_setxattr(FS, o->node, "user.model", text, 15, o->xattr ? XATTR_REPLACE : XATTR_CREATE));
		o->xattr++;
	}
}

static void step_look(unsigned int s)
{
	struct object *o = slot[s];
	struct fuse_entry_out e;
	char want[32], got[64];

	if (!o) {
		must_fail(fs_lookup(FS, TU_ROOT, name_of(s), &e), ENOENT);
		return;
	}
	must(fs_lookup(FS, TU_ROOT, name_of(s), &e));
	found(o, &e);
	if (o->kind != A_LINK)
		return;
	target_of(o, want, sizeof(want));
	ck_assert_int_eq(TIMED(fs_readlink(FS, o->node, got, sizeof(got))), (int)strlen(want));
	ck_assert_int_eq(memcmp(got, want, strlen(want)), 0);
}

static void one_step(void)
{
	static void (*const step[])(unsigned int) = {
		step_make, step_make, step_make, step_remove, step_remove, step_link, step_rename,
		step_rename, step_append, step_append, step_append, step_xattr, step_look,
	};

	steps++;
	step[below(sizeof(step) / sizeof(step[0]))](below(SLOTS));
}

static void check_contents(const struct object *o, const char *path)
{
	static char text[1u << 20];
	char want[RECORD];
	size_t n = tu_read_file(path, text, sizeof(text));

	ck_assert_uint_eq(n, (size_t)o->records * RECORD);
	for (uint32_t i = 0; i < o->records; i++) {
		record_of(o, i, want);
		ck_assert_msg(!memcmp(text + (size_t)i * RECORD, want, RECORD), "%s: record %u is '%.*s'", path, i,
			      (int)RECORD - 1, text + (size_t)i * RECORD);
	}
}

/* What the host sees is what the model has, no more and no less. */
static void check_host(void)
{
	unsigned int here = 0, there = 0;
	DIR *dir = opendir(env.share);

	ck_assert_ptr_nonnull(dir);
	for (struct dirent *d; (d = readdir(dir));)
		there += d->d_name[0] != '.';
	closedir(dir);
	for (unsigned int s = 0; s < SLOTS; s++) {
		struct stat st;

		if (!slot[s])
			continue;
		here++;
		ck_assert_msg(!lstat(tu_path(&env, name_of(s)), &st), "%s is gone", name_of(s));
		if (slot[s]->kind != A_DIR)
			ck_assert_uint_eq(st.st_nlink, slot[s]->names);
		if (slot[s]->kind == A_FILE)
			check_contents(slot[s], tu_path(&env, name_of(s)));
	}
	ck_assert_uint_eq(here, there);
}

static void begin(void)
{
	const char *seed = getenv("CRASH_SEED");
	uint64_t node;

	rng = seed ? strtoull(seed, NULL, 0) : (uint64_t)crash_now_ms() * 2 + 1;
	printf("seed %llu\n", (unsigned long long)rng);
	tu_write_file(tu_path(&env, "probe"), "", 0, 0644);
	node = tu_lookup(FS, TU_ROOT, "probe");
	have_xattrs = fs_setxattr(FS, node, "user.model", "x", 1, 0) == 0;
	ck_ok(fs_unlink(FS, TU_ROOT, "probe"));
	ck_ok(fs_forget(FS, node, 1));
	began_ms = crash_now_ms();
}

/* @before: descriptors of an fsworker that has nothing open */
static void end(const char *what, unsigned int kills, int before)
{
	check_host();
	/* All that is left goes, and with it every descriptor that was for it. */
	for (unsigned int s = 0; s < SLOTS; s++)
		step_remove(s);
	check_host();
	crash_settle(&env, "after");
	ck_assert_int_eq(kid_descriptors(kid_serving(env.d.pid)), before);
	printf("%s: %u kills in %lld ms, %llu steps; the longest request took %lld ms\n", what, kills,
	       (long long)(crash_now_ms() - began_ms), (unsigned long long)steps, (long long)longest_ms);
}

static void model_while_dying(unsigned int kills, unsigned int pause_us, unsigned int starts_of_8, const char *what)
{
	int64_t deadline = crash_now_ms() + 90000;
	struct crasher c;
	int before;

	begin();
	crash_kill_and_wait(&env);
	crash_settle(&env, "before");
	before = kid_descriptors(kid_serving(env.d.pid));
	crasher_start(&c, &env, pause_us, starts_of_8);
	while (atomic_load(&c.kills) < kills && crash_now_ms() < deadline)
		one_step();
	crasher_stop(&c);
	end(what, atomic_load(&c.kills), before);
}

START_TEST(model)
{
	model_while_dying(KILLS, 20000, 0, "model");
}
END_TEST

/* Also those die that are taking over. */
START_TEST(model_and_starts)
{
	model_while_dying(KILLS / 3, 10000, 4, "model, with starts");
}
END_TEST

/**
 * crash_load_case() - A mixed load
 *
 * Return: the test case
 */
TCase *crash_load_case(void)
{
	TCase *tc = tc_case("load");

	tcase_add_test(tc, model);
	tcase_add_test(tc, model_and_starts);
	return tc;
}
