/*
 * What a guest that works does: 40 of 100 getattr, 20 lookup, 10 open and
 * release, 20 reads and 10 writes of 4 KiB.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <string.h>

#include "bench.h"

static const struct {
	unsigned int percent;
	const struct workload *set;
	const char *name;
} parts[] = {
	{ 40, work_names, "getattr" }, { 20, work_names, "lookup" }, { 10, work_names, "open" },
	{ 20, work_data, "read4k" },   { 10, work_data, "write4k" },
};

#define PARTS (sizeof(parts) / sizeof(parts[0]))

static const struct workload *find(unsigned int i)
{
	const struct workload *w = parts[i].set;

	while (strcmp(w->name, parts[i].name))
		w++;
	return w;
}

/* Each part has requests of its own; they stand in s->mixed. */
static int begin(struct slot *s)
{
	int err = 0;

	for (unsigned int i = 0; i < PARTS && !err; i++) {
		err = find(i)->begin(s);
		memcpy(s->mixed[i], s->req, sizeof(s->req));
	}
	return err;
}

static struct freq *next(struct slot *s)
{
	if (!s->step) {
		unsigned int dice = (unsigned int)(lane_random(s->lane) >> 32) % 100;

		for (s->kind = 0; dice >= parts[s->kind].percent; s->kind++)
			dice -= parts[s->kind].percent;
		memcpy(s->req, s->mixed[s->kind], sizeof(s->req));
	}
	return find(s->kind)->next(s);
}

const struct workload work_mix[] = {
	{ .name = "mix", .what = "40 getattr, 20 lookup, 10 open and release, 20 read, 10 write of 4 KiB", .begin = begin,
	  .next = next },
	{ .name = NULL },
};
