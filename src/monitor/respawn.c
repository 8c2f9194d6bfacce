/* respawn.c - one process of a role after the other.
 *
 * Role: monitor. A role of which a process has served once is started again whenever it ends. What its next process needs is all
 * here already: the memory, the links, the namespace and the sockets are kept, the descriptors are with the holders. The monitor
 * looks into none of it.
 *
 * A start that comes to nothing is tried again, later each time. The holders of a process that ended while it took over are kept
 * beside those of the ones before it, since it may have moved some of the descriptors to its own table. They all end when one
 * serves.
 */
#include "monitor/monitor.h"

#include <signal.h>
#include <sys/socket.h>
#include <time.h>

#define AT_ONCE 3u         /* failures after which there is no pause yet */
#define PAUSE_FIRST_MS 10
#define PAUSE_MAX_MS 2000
#define GIVE_UP 12u        /* failures of the fsworker, and */
#define GIVE_UP_MS 30000   /* how long they must have gone on, after which the guest gets errors */
#define LIVED_MS 250       /* who served for so long has done something; else the next one waits up to as long */
#define START_MS 60000     /* for a process to come to serve; else it is taken to hang */

/**
 * now_ms() - a clock that only goes forward.
 */
int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* After so many mishaps in a row. */
static int64_t pause_of(uint32_t n, int64_t most)
{
	return n <= AT_ONCE ? 0 : MIN((int64_t)PAUSE_FIRST_MS << MIN(n - AT_ONCE - 1, 16u), most);
}

/* Plan the next start, or give up. */
static void plan(struct monitor *m, struct child *c)
{
	c->start_at_ms = now_ms() + MAX(pause_of(c->failures, PAUSE_MAX_MS), pause_of(c->short_lives, LIVED_MS));
	if (c->failures <= 1)
		c->failing_ms = now_ms();
	if (c->role != &roles[ROLE_FSWORKER] || c->failures < GIVE_UP || now_ms() - c->failing_ms < GIVE_UP_MS)
		return;
	/* The transport sees the end of its links, and answers all that it is asked from now on by EIO. */
	c->start_at_ms = 0;
	c->given_up = true;
	m->upgrade = false;
	notify_ready("the fsworker could not be started: the guest gets I/O errors; only a new start helps");
	for (uint32_t i = 0; i < m->cfg->nlinks; i++)
		shutdown(m->links[i][1], SHUT_RDWR);
	log_err("the fsworker could not be started %u times: the guest gets I/O errors from now on", c->failures);
}

/* Keep the holders of a process that has ended for those after it. */
static void keep_holders(struct child *c, bool served)
{
	struct holders *last = &c->before[IPC_FETCH_MAX - 1];

	if (c->own.generation == 0)
		return;
	/* One that was not told to has taken nothing over. */
	if (!served && !c->taking) {
		holders_end(&c->own);
		return;
	}
	if (!holders_alive(&c->own)) {
		if (served)
			log_err("nobody has kept the descriptors of the %s", c->role->name);
		holders_end(&c->own);
		return;
	}
	/* Before there are so many the pauses are long; what the oldest still has is lost. */
	if (last->generation)
		holders_end(last);
	memmove(&c->before[1], &c->before[0], sizeof(c->before) - sizeof(c->before[0]));
	c->before[0] = c->own;
	c->own.generation = 0;
}

/**
 * respawn_ended() - a process of a role has ended and was collected: another one takes its place.
 * @cause: how it ended, in words.
 * @killed: by a signal that is none of its own making.
 */
void respawn_ended(struct monitor *m, struct child *c, const char *cause, bool killed)
{
	bool served = c->state == CHILD_SERVING || c->state == CHILD_ENDING;

	/* One that has never served and was killed by somebody is tried again; all else is a mistake that would come again. */
	if (!m->stop && (!c->role->respawns || (!c->ever_served && (!killed || c->failures >= AT_ONCE)))) {
		log_err("the %s (pid %d) %s; the daemon ends", c->role->name, (int)c->pid, cause);
		m->stop = true;
		m->exit_status = EXIT_FAILURE;
	} else if (!m->stop && !served) {
		log_err("the %s (pid %d) %s before it could serve", c->role->name, (int)c->pid,
			c->thrown_away ? "was ended by the monitor, since who would keep its descriptors had died," :
			c->overdue     ? "was ended by the monitor" :
					 cause);
		/* One that somebody has killed who is not the monitor says nothing against its executable. */
		killed &= !c->at_fault;
		c->failures = !killed && upgrade_failed(c) ? 0 : c->failures + 1;
		/* Nor against starting at all: who kills each start makes the guest wait, not fail. */
		if (killed)
			c->failures = MIN(c->failures, GIVE_UP - 1);
	} else if (!m->stop) {
		snprintf(c->cause, sizeof(c->cause), "%s", cause);
		c->dead_pid = c->pid;
		c->died_ms = now_ms();
		/* One that ends by itself as soon as it serves is not to be run in a circle. */
		if (c->died_ms - c->served_ms >= LIVED_MS)
			c->short_lives = 0;
		else if (!killed)
			c->short_lives++;
		log_debug("the %s (pid %d) %s", c->role->name, (int)c->pid, cause);
	}
	c->state = CHILD_NONE;
	c->ready = false;
	close_fd(&c->pidfd);
	close_fd(&c->channel);
	close_fd(&c->log);
	keep_holders(c, served);
	if (!m->stop)
		plan(m, c);
}

static void say_waiting(const struct monitor *m)
{
	static const char line[] = "Waiting for vhost-user socket connection...\n";

	for (size_t i = 0; i < ROLE_COUNT; i++)
		if (!m->child[i].ever_served)
			return;
	/* On stderr even with --syslog: management software waits for this line there. */
	(void)!write(STDERR_FILENO, line, sizeof(line) - 1);
	notify_ready("serving");
}

static int tell(struct child *c, uint16_t type)
{
	static struct ipc_batch b;

	ipc_batch_reset(&b);
	return ipc_batch_add(&b, type, 0, 0, 0, NULL) ? ipc_batch_send(c->channel, &b) : -EMSGSIZE;
}

/* One entry for each death: who, why, and what became of the requests. */
static void say_taken_over(const struct child *c)
{
	char op[48] = "";

	if (c->said.op)
		snprintf(op, sizeof(op), " (%s was under way)", ipc_type_name((uint16_t)c->said.op));
	log_warn("the %s (pid %d) %s; pid %d took over after %lld ms: %u requests are served again%s, %u answers sent again%s",
		 c->role->name, (int)c->dead_pid, c->cause, (int)c->pid, (long long)(now_ms() - c->died_ms), c->said.again, op,
		 c->said.answers, c->said.lost ? "; some open files or nodeids were lost" : "");
}

/**
 * respawn_go() - if all processes of a role are known, its worker may take over; if it is ready, it may serve.
 */
void respawn_go(struct monitor *m, struct child *c)
{
	bool first = !c->ever_served;

	if (c->state == CHILD_STARTING && c->role->holds && !c->taking && c->pidfd >= 0 && holders_complete(&c->own))
		c->taking = tell(c, IPC_TAKE) == 0;
	if (!c->ready || c->state != CHILD_STARTING || (c->role->holds && (c->pidfd < 0 || !holders_complete(&c->own))))
		return;
	if (tell(c, IPC_GO) < 0)
		return; /* it has ended: waitid() will say how */
	c->state = CHILD_SERVING;
	c->ever_served = true;
	c->served_ms = now_ms();
	c->failures = 0;
	upgrade_done(c);
	for (size_t i = 0; i < IPC_FETCH_MAX; i++)
		holders_end(&c->before[i]);
	if (first) {
		log_debug("the %s is ready", c->role->name);
		say_waiting(m);
	} else {
		say_taken_over(c);
	}
}

/* A start must not wait for ever for what does not come: it would be a guest that waits. */
static int64_t overdue_at(const struct child *c)
{
	return c->state == CHILD_STARTING && !c->overdue ? c->began_ms + START_MS : 0;
}

static void end_overdue(struct child *c)
{
	if (!overdue_at(c) || now_ms() < overdue_at(c))
		return;
	c->overdue = true;
	c->at_fault = true;
	log_err("the %s (pid %d) does not come to serve: it is killed", c->role->name, (int)c->pid);
	spawn_signal(c, SIGKILL);
	/* It may not have got so far as to be several. */
	if (c->pidfd < 0 && c->role->holds && c->own.holder[0].pidfd >= 0)
		pidfd_kill(c->own.holder[0].pidfd);
}

/**
 * respawn_due() - do now what is to be done now: starts, holders that are missing, starts that take too long.
 */
void respawn_due(struct monitor *m)
{
	for (size_t i = 0; i < ROLE_COUNT; i++) {
		struct child *c = &m->child[i];
		int r;

		end_overdue(c);
		holders_again(c, &c->own);
		if (c->start_at_ms == 0 || now_ms() < c->start_at_ms)
			continue;
		c->start_at_ms = 0;
		r = roles_start(m, c);
		if (r < 0) {
			c->failures++;
			plan(m, c);
		}
	}
}

/**
 * respawn_next_ms() - how long until something is to be done; -1 when nothing is.
 */
int64_t respawn_next_ms(const struct monitor *m)
{
	int64_t next = -1;

	for (size_t i = 0; i < ROLE_COUNT; i++) {
		const struct child *c = &m->child[i];
		const int64_t times[] = { c->start_at_ms, overdue_at(c), c->own.generation ? c->own.again_at_ms : 0 };

		for (size_t k = 0; k < ARRAY_SIZE(times); k++)
			if (times[k] && (next < 0 || times[k] - now_ms() < next))
				next = MAX(times[k] - now_ms(), 0);
	}
	return next;
}
