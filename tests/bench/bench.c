/*
 * bench - measures virtiofs daemons beside each other.
 *
 * All daemons do one workload, one after the other, several rounds of it, so
 * that whatever else the machine does meets all of them; medians are printed,
 * and the ratio of each of ours to the best of the others.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"

#define TARGETS 8
#define ROUNDS 31
#define LIST 8

static struct {
	struct target targets[TARGETS];
	unsigned int ntargets;
	const char *base, *only;
	unsigned int depths[LIST], ndepths, queues[LIST], nqueues;
	unsigned int rounds, walk;
	double seconds;
	enum bench_cpus cpus;
	char dir[240], socket[256];
	bool failed;
} opt = { .base = "/tmp", .rounds = 3, .seconds = 0.5, .cpus = CPUS_FREE };

static void usage(FILE *f)
{
	fprintf(f, "usage: bench --daemon NAME=COMMAND... [options]\n"
		"  --daemon NAME=COMMAND  a daemon; {socket} and {dir} are replaced; those whose name begins\n"
		"                         with 'ours' are compared with the best of the others\n"
		"  --cpus same|split|free load generator and daemon on one processor, on different ones, anywhere (free)\n"
		"  --depth N,...          requests in flight on each queue (1,32)\n"
		"  --queues N,...         request queues (1)\n"
		"  --rounds N             medians of N (3)\n"
		"  --seconds S            for each measurement (0.5)\n"
		"  --only NAME,...        these workloads; also start, idle, walk, plain, hop\n"
		"  --walk FILES           files of the walk (0: none; a multiple of 1000)\n"
		"  --dir DIR              where the share is made (/tmp)\n");
}

static bool wanted(const char *name)
{
	size_t n = strlen(name);

	for (const char *p = opt.only; p && (p = strstr(p, name)); p += n)
		if ((p == opt.only || p[-1] == ',') && (p[n] == ',' || p[n] == '\0'))
			return true;
	return !opt.only;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, unsigned int n)
{
	qsort(v, n, sizeof(*v), compare);
	return n ? v[n / 2] : 0;
}

static int measure(struct target *t, const struct workload *w, unsigned int queues, unsigned int depth,
		   struct measured *m)
{
	struct life *v = malloc(sizeof(*v));
	struct load l = { .work = w, .dir = opt.dir, .nlanes = queues, .depth = depth, .seconds = opt.seconds,
			  .hiprio = PTHREAD_MUTEX_INITIALIZER };
	int err;

	if (!v)
		return -ENOMEM;
	memset(m, 0, sizeof(*m));
	err = life_begin(v, t, queues);
	l.dev = &v->dev;
	if (!err)
		err = load_run(&l, m, v->d.pid);
	life_end(v);
	free(v);
	return err;
}

#define MEDIAN(field) ({						\
	double v_[ROUNDS];						\
	unsigned int n_ = 0;						\
	for (unsigned int r_ = 0; r_ < opt.rounds; r_++)		\
		if (m[r_][t].ok)					\
			v_[n_++] = (double)m[r_][t].field;		\
	median(v_, n_);							\
})

static void print_table(const char *title, struct measured m[ROUNDS][TARGETS])
{
	double best_ops = 0, best_cpu = 0;

	for (unsigned int t = 0; t < opt.ntargets; t++) {
		double ops = MEDIAN(ops), cpu = MEDIAN(cpu_us);

		if (opt.targets[t].ours || ops == 0)
			continue;
		best_ops = ops > best_ops ? ops : best_ops;
		best_cpu = best_cpu == 0 || cpu < best_cpu ? cpu : best_cpu;
	}
	for (unsigned int t = 0; t < opt.ntargets; t++) {
		double ops = MEDIAN(ops), cpu = MEDIAN(cpu_us);

		printf("%-24s %-16s", t ? "" : title, opt.targets[t].name);
		if (ops == 0) {
			printf(m[0][t].error == -ENOSPC ? " has fewer queues\n" : " failed\n");
			opt.failed |= opt.targets[t].ours;
			continue;
		}
		printf(" %10.0f %9.1f %9.1f %9.2f %8.0f %6.2f %6.2f %8.0f", ops, MEDIAN(p50_us), MEDIAN(p99_us), cpu,
		       MEDIAN(mb), MEDIAN(kicks), MEDIAN(interrupts), MEDIAN(pss_kb) / 1024);
		if (opt.targets[t].ours && best_ops > 0)
			printf("  %5.2fx  cpu %5.2fx", ops / best_ops, cpu / best_cpu);
		printf("\n");
	}
	fflush(stdout);
}

static void run_workload(const struct workload *w, unsigned int queues, unsigned int depth)
{
	static struct measured m[ROUNDS][TARGETS];
	char title[64];

	for (unsigned int r = 0; r < opt.rounds; r++)
		for (unsigned int t = 0; t < opt.ntargets; t++)
			m[r][t].error = measure(&opt.targets[t], w, queues, depth, &m[r][t]);
	snprintf(title, sizeof(title), "%s d%u q%u", w->name, depth, queues);
	print_table(title, m);
}

static void run_set(const struct workload *w)
{
	for (; w->name; w++) {
		unsigned int last = 0;

		if (!wanted(w->name))
			continue;
		if (w->xattr && !share_has_xattrs()) {
			printf("%-24s skipped: %s has no extended attributes of users\n", w->name, opt.base);
			continue;
		}
		for (unsigned int q = 0; q < opt.nqueues; q++, last = 0)
			for (unsigned int d = 0; d < opt.ndepths; d++) {
				unsigned int depth = opt.depths[d];

				if (w->max_depth && depth > w->max_depth)
					depth = w->max_depth;
				if (depth != last)
					run_workload(w, opt.queues[q], depth);
				last = depth;
			}
	}
}

static void run_plain(void)
{
	for (int write = 0; write < 2; write++) {
		double mb[ROUNDS], cpu[ROUNDS];
		struct measured m;

		for (unsigned int r = 0; r < opt.rounds; r++) {
			if (plain_run(opt.dir, write, opt.seconds, &m))
				opt.failed = true;
			mb[r] = m.mb;
			cpu[r] = m.cpu_us;
		}
		printf("%-24s %-16s %10s %9s %9s %9.2f %8.0f\n", write ? "plain pwritev 1 MiB" : "plain preadv 1 MiB",
		       "(no daemon)", "", "", "", median(cpu, opt.rounds), median(mb, opt.rounds));
	}
}

static void run_hop(void)
{
	static const char *const names[] = { "one process", "two, by a socket", "two, by memory" };

	for (int kind = HOP_NONE; kind <= HOP_MEMORY; kind++) {
		double ops[ROUNDS], us[ROUNDS], cpu[ROUNDS];
		struct measured m;

		for (unsigned int r = 0; r < opt.rounds; r++) {
			if (hop_run(opt.dir, opt.cpus, (enum bench_hop)kind, opt.seconds, &m))
				opt.failed = true;
			ops[r] = m.ops;
			us[r] = m.p50_us;
			cpu[r] = m.cpu_us;
		}
		printf("%-24s %-16s %10.0f %9.1f %9s %9.2f\n", kind ? "" : "hop (no daemon, mean)", names[kind],
		       median(ops, opt.rounds), median(us, opt.rounds), "", median(cpu, opt.rounds));
	}
}

static void run_start(void)
{
	double ready[TARGETS][ROUNDS], reply[TARGETS][ROUNDS], best = 0;
	unsigned int n = opt.rounds * 3 < ROUNDS ? opt.rounds * 3 : ROUNDS;

	for (unsigned int r = 0; r < n; r++)
		for (unsigned int t = 0; t < opt.ntargets; t++)
			if (life_start_times(&opt.targets[t], &ready[t][r], &reply[t][r]))
				opt.failed |= opt.targets[t].ours;
	for (unsigned int t = 0; t < opt.ntargets; t++) {
		double v = median(ready[t], n);

		if (!opt.targets[t].ours && (best == 0 || v < best))
			best = v;
	}
	for (unsigned int t = 0; t < opt.ntargets; t++) {
		double v = median(ready[t], n);

		printf("%-24s %-16s ready after %6.1f ms, INIT answered after %6.1f ms", t ? "" : "start", opt.targets[t].name,
		       v, median(reply[t], n));
		if (opt.targets[t].ours && best > 0)
			printf("  %5.2fx", v / best);
		printf("\n");
	}
}

static void run_idle(void)
{
	for (unsigned int t = 0; t < opt.ntargets; t++) {
		double idle = 0, light = 0;

		if (life_idle(&opt.targets[t], 2, &idle, &light))
			opt.failed |= opt.targets[t].ours;
		printf("%-24s %-16s %8.0f us of processor each second; %8.0f with 100 requests a second\n", t ? "" : "idle",
		       opt.targets[t].name, idle, light);
	}
}

static void run_walk(void)
{
	for (unsigned int t = 0; t < opt.ntargets; t++) {
		struct measured m;

		if (life_walk(&opt.targets[t], opt.walk, &m) || !m.ok) {
			printf("%-24s %-16s failed\n", t ? "" : "walk", opt.targets[t].name);
			opt.failed |= opt.targets[t].ours;
			continue;
		}
		printf("%-24s %-16s %10.0f files/s, %6.2f us of processor, %7.1f MiB more, %u descriptors\n", t ? "" : "walk",
		       opt.targets[t].name, m.ops, m.cpu_us, m.pss_kb / 1024, m.descriptors);
	}
}

/* Exits on a mistake. */
static void add_daemon(char *arg)
{
	struct target *t = &opt.targets[opt.ntargets];
	char *command = strchr(arg, '='), *save = NULL;
	unsigned int n = 0;

	if (!command || opt.ntargets == TARGETS) {
		fprintf(stderr, "bench: --daemon: NAME=COMMAND is wanted, %d times at most\n", TARGETS);
		exit(2);
	}
	*command++ = '\0';
	t->name = arg;
	t->ours = !strncmp(arg, "ours", 4);
	for (char *w = strtok_r(command, " ", &save); w && n < 63; w = strtok_r(NULL, " ", &save))
		t->words[n++] = w;
	if (n == 0) {
		fprintf(stderr, "bench: --daemon %s: no command\n", arg);
		exit(2);
	}
	t->dir = opt.dir;
	t->socket = opt.socket;
	opt.ntargets++;
}

static unsigned int numbers(const char *arg, unsigned int *v, unsigned int most)
{
	unsigned int n = 0;
	char *end;

	for (; n < LIST && *arg; arg = *end ? end + 1 : end) {
		unsigned long x = strtoul(arg, &end, 10);

		if (end == arg || x == 0 || x > most || (*end && *end != ',')) {
			fprintf(stderr, "bench: numbers from 1 to %u are wanted: %s\n", most, arg);
			exit(2);
		}
		v[n++] = (unsigned int)x;
	}
	return n;
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "daemon", 1, NULL, 'd' }, { "cpus", 1, NULL, 'c' },	 { "depth", 1, NULL, 'e' },
		{ "queues", 1, NULL, 'q' }, { "rounds", 1, NULL, 'r' },	 { "seconds", 1, NULL, 's' },
		{ "only", 1, NULL, 'o' },   { "walk", 1, NULL, 'w' },	 { "dir", 1, NULL, 'D' },
		{ "help", 0, NULL, 'h' },   { NULL, 0, NULL, 0 },
	};
	int c;

	opt.ndepths = numbers("1,32", opt.depths, BENCH_DEPTH);
	opt.nqueues = numbers("1", opt.queues, BENCH_QUEUES);
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'd': add_daemon(optarg); break;
		case 'e': opt.ndepths = numbers(optarg, opt.depths, BENCH_DEPTH); break;
		case 'q': opt.nqueues = numbers(optarg, opt.queues, BENCH_QUEUES); break;
		case 'r': numbers(optarg, &opt.rounds, ROUNDS); break;
		case 's': opt.seconds = atof(optarg); break;
		case 'o': opt.only = optarg; break;
		case 'w': opt.walk = (unsigned int)atoi(optarg); break;
		case 'D': opt.base = optarg; break;
		case 'c':
			opt.cpus = !strcmp(optarg, "same") ? CPUS_SAME : !strcmp(optarg, "split") ? CPUS_SPLIT : CPUS_FREE;
			break;
		case 'h': usage(stdout); exit(0);
		default: usage(stderr); exit(2);
		}
	}
	if (opt.ntargets == 0 || optind != argc || opt.seconds <= 0 || opt.walk % 1000) {
		usage(stderr);
		exit(2);
	}
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return remove(path);
}

int main(int argc, char **argv)
{
	int err;

	parse(argc, argv);
	snprintf(opt.dir, sizeof(opt.dir), "%s/virtiofsd-bench.XXXXXX", opt.base);
	if (!mkdtemp(opt.dir)) {
		fprintf(stderr, "bench: %s: %s\n", opt.dir, strerror(errno));
		return 1;
	}
	snprintf(opt.socket, sizeof(opt.socket), "%s.socket", opt.dir);
	for (unsigned int t = 0; t < opt.ntargets; t++)
		opt.targets[t].cpus = opt.cpus;
	procs_pin(opt.cpus, false);
	err = share_make(opt.dir);
	if (!err && opt.walk)
		err = share_make_walk(opt.dir, opt.walk);
	if (err) {
		fprintf(stderr, "bench: %s: %s\n", opt.dir, strerror(-err));
	} else {
		printf("%-24s %-16s %10s %9s %9s %9s %8s %6s %6s %8s\n", "workload depth queues", "daemon", "op/s", "p50 us",
		       "p99 us", "cpu us/op", "MB/s", "kicks", "calls", "MiB");
		run_set(work_names);
		run_set(work_data);
		run_set(work_file);
		run_set(work_mix);
		if (wanted("plain"))
			run_plain();
		if (wanted("hop"))
			run_hop();
		if (wanted("start"))
			run_start();
		if (wanted("idle"))
			run_idle();
		if (wanted("walk") && opt.walk)
			run_walk();
	}
	nftw(opt.dir, remove_one, 32, FTW_DEPTH | FTW_PHYS);
	unlink(opt.socket);
	return err || opt.failed;
}
