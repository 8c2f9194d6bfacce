/*
 * opstorm - random operations on one file, each compared with a model in memory.
 *
 * opstorm [-n OPERATIONS] [-s SEED] [-l LENGTH] [-q] FILE
 *   Writes, reads, maps, truncates, punches, zeroes, collapses, inserts, copies
 *   ranges, with and without O_DIRECT, through several descriptors, and compares
 *   contents and size after each step that reads. What a file system cannot do is
 *   found out and left out. Ends with 0 and a line "SUM SIZE CHECKSUM" for the
 *   contents that the model has, or with 1, the last operations and the difference.
 * opstorm -c FILE
 *   Prints the same line for what the file holds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 4096, HISTORY = 24, HISTORY_TEXT = 96 };

/* What the storm works on: the file, its model, and what it was found to be able to do. */
struct storm {
	const char *path;
	int fd;
	int direct_fd;        /* -1 without O_DIRECT */
	uint8_t *model;       /* contents as they have to be, zero beyond size */
	uint8_t *scratch;     /* aligned, as long as the model */
	size_t size;
	size_t limit;         /* the file never grows beyond */
	uint64_t random;
	uint64_t step;
	bool map_shared;
	unsigned long lost;   /* kinds of operations that are not supported, one bit each */
	char history[HISTORY][HISTORY_TEXT];
};

static uint64_t next_random(struct storm *s)
{
	s->random ^= s->random >> 12;
	s->random ^= s->random << 25;
	s->random ^= s->random >> 27;
	return s->random * UINT64_C(0x2545f4914f6cdd1d);
}

static size_t below(struct storm *s, size_t bound)
{
	return bound == 0 ? 0 : (size_t)(next_random(s) >> 16) % bound;
}

__attribute__((format(printf, 2, 3))) static void remember(struct storm *s, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(s->history[s->step % HISTORY], HISTORY_TEXT, format, args);
	va_end(args);
}

__attribute__((format(printf, 2, 3), noreturn)) static void lose(const struct storm *s,
								  const char *format, ...)
{
	int saved = errno;
	va_list args;

	fprintf(stderr, "opstorm: %s: step %" PRIu64 ": ", s->path, s->step);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, " (errno: %s)\nlast operations:\n", strerror(saved));
	uint64_t first = s->step < HISTORY ? 0 : s->step - HISTORY + 1;
	for (uint64_t i = first; i <= s->step; i++)
		fprintf(stderr, "  %" PRIu64 " %s\n", i, s->history[i % HISTORY]);
	exit(1);
}

static void compare(const struct storm *s, const uint8_t *got, size_t at, size_t length,
		    const char *how)
{
	if (memcmp(got, s->model + at, length) == 0)
		return;
	size_t first = 0;
	while (got[first] == s->model[at + first])
		first++;
	size_t wrong = 0;
	size_t last = first;
	for (size_t i = first; i < length; i++) {
		if (got[i] != s->model[at + i]) {
			wrong++;
			last = i;
		}
	}
	errno = 0;
	lose(s, "%s of 0x%zx..0x%zx: %zu bytes differ, 0x%zx..0x%zx, first 0x%02x, should be 0x%02x",
	     how, at, at + length, wrong, at + first, at + last, got[first], s->model[at + first]);
}

static void check_size(const struct storm *s)
{
	struct stat st;

	if (fstat(s->fd, &st) != 0)
		lose(s, "fstat");
	if ((size_t)st.st_size != s->size)
		lose(s, "size is 0x%zx, should be 0x%zx", (size_t)st.st_size, s->size);
}

/* New bytes for the model and the scratch buffer; not zero, so that zeroes tell of a loss. */
static void new_bytes(struct storm *s, size_t at, size_t length)
{
	uint8_t first = (uint8_t)(next_random(s) >> 40);

	for (size_t i = 0; i < length; i++)
		s->scratch[i] = (uint8_t)((first + i * 7 + (at + i) / 251) % 255 + 1);
	memcpy(s->model + at, s->scratch, length);
	if (at + length > s->size)
		s->size = at + length;
}

/* A range within the limit; within the file when inside is set (false if that is empty). */
static bool pick_range(struct storm *s, bool inside, size_t align, size_t *at, size_t *length)
{
	size_t end = inside ? s->size : s->limit;

	if (end < align + 1)
		return false;
	*at = below(s, end) / align * align;
	/* Mostly short, sometimes long. */
	size_t most = below(s, 4) == 0 ? end - *at : (size_t)4 * BLOCK;
	if (most > end - *at)
		most = end - *at;
	*length = (below(s, most) + align) / align * align;
	if (*length > end - *at)
		*length = (end - *at) / align * align;
	return *length > 0;
}

static void op_read(struct storm *s)
{
	size_t at;
	size_t length;

	if (!pick_range(s, true, 1, &at, &length))
		return;
	remember(s, "read 0x%zx..0x%zx", at, at + length);
	ssize_t done = pread(s->fd, s->scratch, length, (off_t)at);
	if (done != (ssize_t)length)
		lose(s, "read returned %zd of %zu", done, length);
	compare(s, s->scratch, at, length, "read");
}

static void op_write(struct storm *s)
{
	size_t at;
	size_t length;

	if (!pick_range(s, below(s, 3) != 0, 1, &at, &length))
		return;
	remember(s, "write 0x%zx..0x%zx (size 0x%zx)", at, at + length, s->size);
	new_bytes(s, at, length);
	ssize_t done = pwrite(s->fd, s->scratch, length, (off_t)at);
	if (done != (ssize_t)length)
		lose(s, "write returned %zd of %zu", done, length);
}

static void op_append(struct storm *s)
{
	size_t length = below(s, BLOCK) + 1;

	if (s->size + length > s->limit)
		return;
	remember(s, "append 0x%zx at 0x%zx", length, s->size);
	int fd = open(s->path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0)
		lose(s, "open for append");
	new_bytes(s, s->size, length);
	if (write(fd, s->scratch, length) != (ssize_t)length)
		lose(s, "append");
	if (close(fd) != 0)
		lose(s, "close");
}

static void op_direct_read(struct storm *s)
{
	size_t at;
	size_t length;

	if (s->direct_fd < 0 || !pick_range(s, true, BLOCK, &at, &length))
		return;
	remember(s, "direct read 0x%zx..0x%zx", at, at + length);
	ssize_t done = pread(s->direct_fd, s->scratch, length, (off_t)at);
	if (done != (ssize_t)length)
		lose(s, "direct read returned %zd of %zu", done, length);
	compare(s, s->scratch, at, length, "direct read");
}

static void op_direct_write(struct storm *s)
{
	size_t at;
	size_t length;

	if (s->direct_fd < 0 || !pick_range(s, below(s, 3) != 0, BLOCK, &at, &length))
		return;
	remember(s, "direct write 0x%zx..0x%zx (size 0x%zx)", at, at + length, s->size);
	new_bytes(s, at, length);
	ssize_t done = pwrite(s->direct_fd, s->scratch, length, (off_t)at);
	if (done != (ssize_t)length)
		lose(s, "direct write returned %zd of %zu", done, length);
}

static uint8_t *map(struct storm *s, size_t at, size_t length, int prot, size_t *mapped)
{
	size_t start = at / BLOCK * BLOCK;
	int flags = s->map_shared ? MAP_SHARED : MAP_PRIVATE;

	*mapped = at + length - start;
	uint8_t *data = mmap(NULL, *mapped, prot, flags, s->fd, (off_t)start);
	if (data == MAP_FAILED)
		lose(s, "mmap");
	return data;
}

static void op_map_read(struct storm *s)
{
	size_t at;
	size_t length;
	size_t mapped;

	if (!pick_range(s, true, 1, &at, &length))
		return;
	remember(s, "map read 0x%zx..0x%zx", at, at + length);
	uint8_t *data = map(s, at, length, PROT_READ, &mapped);
	compare(s, data + at % BLOCK, at, length, "map read");
	/* The rest of the last page is zero. */
	if (at + length == s->size) {
		for (size_t i = mapped; i % BLOCK != 0; i++) {
			if (data[i] != 0)
				lose(s, "map read: byte 0x%02x beyond the end", data[i]);
		}
	}
	munmap(data, mapped);
}

static void op_map_write(struct storm *s)
{
	size_t at;
	size_t length;
	size_t mapped;

	if (!s->map_shared || !pick_range(s, true, 1, &at, &length))
		return;
	remember(s, "map write 0x%zx..0x%zx", at, at + length);
	uint8_t *data = map(s, at, length, PROT_READ | PROT_WRITE, &mapped);
	new_bytes(s, at, length);
	memcpy(data + at % BLOCK, s->scratch, length);
	if (below(s, 2) == 0 && msync(data, mapped, MS_SYNC) != 0)
		lose(s, "msync");
	munmap(data, mapped);
}

static void resize_model(struct storm *s, size_t size)
{
	if (size < s->size)
		memset(s->model + size, 0, s->size - size);
	s->size = size;
}

static void op_truncate(struct storm *s)
{
	size_t size = below(s, s->limit);

	remember(s, "truncate 0x%zx to 0x%zx", s->size, size);
	int ret = below(s, 2) == 0 ? ftruncate(s->fd, (off_t)size) : truncate(s->path, (off_t)size);
	if (ret != 0)
		lose(s, "truncate");
	resize_model(s, size);
}

/* One row for each mode of fallocate. */
static const struct allocation {
	const char *name;
	int mode;
	size_t align;
	bool inside;
	bool zeroes;
	bool extends;
} allocations[] = {
	{ "allocate", 0, 1, false, false, true },
	{ "reserve", FALLOC_FL_KEEP_SIZE, 1, false, false, false },
	{ "punch", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1, true, true, false },
	{ "zero", FALLOC_FL_ZERO_RANGE, 1, false, true, true },
	{ "zero and keep", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 1, false, true, false },
	{ "collapse", FALLOC_FL_COLLAPSE_RANGE, BLOCK, true, false, false },
	{ "insert", FALLOC_FL_INSERT_RANGE, BLOCK, true, false, false },
};

/* Returns false for a range that this mode must refuse. */
static bool allocation_fits(const struct storm *s, const struct allocation *a, size_t at, size_t length)
{
	if (a->mode == FALLOC_FL_COLLAPSE_RANGE)
		return at + length < s->size;
	if (a->mode == FALLOC_FL_INSERT_RANGE)
		return at < s->size && s->size + length <= s->limit;
	return true;
}

static void allocation_model(struct storm *s, const struct allocation *a, size_t at, size_t length)
{
	size_t end = at + length;

	if (a->mode == FALLOC_FL_COLLAPSE_RANGE) {
		memmove(s->model + at, s->model + end, s->size - end);
		memset(s->model + s->size - length, 0, length);
		s->size -= length;
	} else if (a->mode == FALLOC_FL_INSERT_RANGE) {
		memmove(s->model + end, s->model + at, s->size - at);
		memset(s->model + at, 0, length);
		s->size += length;
	} else {
		if (a->zeroes && at < s->size)
			memset(s->model + at, 0, (end < s->size ? end : s->size) - at);
		if (a->extends && end > s->size)
			s->size = end;
	}
}

static void op_allocate(struct storm *s)
{
	size_t which = below(s, sizeof(allocations) / sizeof(allocations[0]));
	const struct allocation *a = &allocations[which];
	size_t at;
	size_t length;

	if ((s->lost & (1UL << which)) != 0 || !pick_range(s, a->inside, a->align, &at, &length))
		return;
	if (!allocation_fits(s, a, at, length))
		return;
	remember(s, "%s 0x%zx..0x%zx (size 0x%zx)", a->name, at, at + length, s->size);
	if (fallocate(s->fd, a->mode, (off_t)at, (off_t)length) != 0) {
		/* Insert and collapse want the file system's own block size. */
		if (errno != EOPNOTSUPP && !(errno == EINVAL && a->align > 1))
			lose(s, "%s", a->name);
		s->lost |= 1UL << which;
		return;
	}
	allocation_model(s, a, at, length);
}

static void op_copy(struct storm *s)
{
	const unsigned long bit = 1UL << 16;
	size_t from;
	size_t length;

	if ((s->lost & bit) != 0 || !pick_range(s, true, 1, &from, &length))
		return;
	size_t to = below(s, s->limit - length + 1);
	if (to < from + length && from < to + length)
		return;
	remember(s, "copy 0x%zx..0x%zx to 0x%zx (size 0x%zx)", from, from + length, to, s->size);
	while (length > 0) {
		off_t from_at = (off_t)from;
		off_t to_at = (off_t)to;
		ssize_t done = copy_file_range(s->fd, &from_at, s->fd, &to_at, length, 0);

		if (done < 0 && (errno == EOPNOTSUPP || errno == EXDEV || errno == ENOSYS)) {
			s->lost |= bit;
			return;
		}
		if (done <= 0)
			lose(s, "copy returned %zd", done);
		size_t count = (size_t)done;
		memcpy(s->model + to, s->model + from, count);
		from += count;
		to += count;
		length -= count;
		if (to > s->size)
			s->size = to;
	}
}

static void op_sync(struct storm *s)
{
	remember(s, "fsync");
	if ((below(s, 2) == 0 ? fsync(s->fd) : fdatasync(s->fd)) != 0)
		lose(s, "fsync");
}

static void open_files(struct storm *s, int flags)
{
	s->fd = open(s->path, O_RDWR | O_CLOEXEC | flags, 0644);
	if (s->fd < 0)
		lose(s, "open");
	s->direct_fd = open(s->path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (s->direct_fd < 0 && errno != EINVAL)
		lose(s, "open with O_DIRECT");
}

static void op_reopen(struct storm *s)
{
	remember(s, "close and open");
	if (close(s->fd) != 0 || (s->direct_fd >= 0 && close(s->direct_fd) != 0))
		lose(s, "close");
	open_files(s, 0);
}

static void op_read_all(struct storm *s)
{
	remember(s, "read all");
	if (s->size > 0 && pread(s->fd, s->scratch, s->size, 0) != (ssize_t)s->size)
		lose(s, "read of all");
	compare(s, s->scratch, 0, s->size, "read of all");
	uint8_t beyond;
	if (pread(s->fd, &beyond, 1, (off_t)s->size) != 0)
		lose(s, "read at the end");
}

static const struct operation {
	unsigned weight;
	void (*run)(struct storm *s);
} operations[] = {
	{ 20, op_read },       { 24, op_write },       { 4, op_append },   { 8, op_direct_read },
	{ 8, op_direct_write }, { 12, op_map_read },   { 12, op_map_write }, { 6, op_truncate },
	{ 12, op_allocate },   { 6, op_copy },         { 2, op_sync },     { 2, op_reopen },
	{ 1, op_read_all },
};

static void run_one(struct storm *s)
{
	unsigned sum = 0;

	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		sum += operations[i].weight;
	size_t pick = below(s, sum);
	for (size_t i = 0;; i++) {
		if (pick < operations[i].weight) {
			operations[i].run(s);
			return;
		}
		pick -= operations[i].weight;
	}
}

static void print_sum(const uint8_t *data, size_t size)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < size; i++)
		sum = (sum ^ data[i]) * UINT64_C(0x100000001b3);
	printf("SUM %zu %016" PRIx64 "\n", size, sum);
}

static int sum_of_file(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) != 0) {
		perror(path);
		return 1;
	}
	uint8_t *data = malloc((size_t)st.st_size + 1);
	if (data == NULL || read(fd, data, (size_t)st.st_size) != st.st_size) {
		perror(path);
		return 1;
	}
	print_sum(data, (size_t)st.st_size);
	return 0;
}

static void find_shared_maps(struct storm *s)
{
	if (pwrite(s->fd, "x", 1, 0) != 1)
		lose(s, "first write");
	void *data = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
	s->map_shared = data != MAP_FAILED;
	if (s->map_shared)
		munmap(data, BLOCK);
	else if (errno != ENODEV)
		lose(s, "shared mapping");
	if (ftruncate(s->fd, 0) != 0)
		lose(s, "truncate");
}

static void report_lost(const struct storm *s)
{
	printf("opstorm: left out:%s%s", s->map_shared ? "" : " shared maps",
	       s->direct_fd < 0 ? " direct" : "");
	for (size_t i = 0; i < sizeof(allocations) / sizeof(allocations[0]); i++) {
		if ((s->lost & (1UL << i)) != 0)
			printf(" %s", allocations[i].name);
	}
	puts((s->lost & (1UL << 16)) != 0 ? " copy" : "");
}

int main(int argc, char **argv)
{
	struct storm s = { .limit = (size_t)256 * 1024, .random = 1, .direct_fd = -1 };
	uint64_t count = 10000;
	bool quiet = false;
	int option;

	while ((option = getopt(argc, argv, "n:s:l:qc:")) != -1) {
		switch (option) {
		case 'n':
			count = strtoull(optarg, NULL, 0);
			break;
		case 's':
			s.random = strtoull(optarg, NULL, 0) * 2 + 1;
			break;
		case 'l':
			s.limit = strtoull(optarg, NULL, 0) / BLOCK * BLOCK;
			break;
		case 'q':
			quiet = true;
			break;
		case 'c':
			return sum_of_file(optarg);
		default:
			return 2;
		}
	}
	if (optind + 1 != argc || s.limit < (size_t)4 * BLOCK) {
		fputs("usage: opstorm [-n OPERATIONS] [-s SEED] [-l LENGTH] [-q] FILE | -c FILE\n",
		      stderr);
		return 2;
	}
	s.path = argv[optind];
	s.model = calloc(1, s.limit);
	s.scratch = aligned_alloc(BLOCK, s.limit);
	if (s.model == NULL || s.scratch == NULL) {
		perror("opstorm");
		return 2;
	}
	open_files(&s, O_CREAT | O_TRUNC);
	find_shared_maps(&s);
	for (s.step = 0; s.step < count; s.step++) {
		remember(&s, "nothing");
		run_one(&s);
		check_size(&s);
	}
	s.step = count;
	op_read_all(&s);
	op_sync(&s);
	op_reopen(&s);
	op_read_all(&s);
	close(s.fd);
	if (!quiet)
		report_lost(&s);
	print_sum(s.model, s.size);
	return 0;
}
