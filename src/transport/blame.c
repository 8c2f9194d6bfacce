/* blame.c - see blame.h. */
#include "transport/blame.h"

#include "sandbox/sandbox.h"

#include <signal.h>

#define BLAME_MAX 2u

/* What this thread is at. */
static _Thread_local struct state_ring *at_ring;
static _Thread_local uint64_t at_ticket;

/* blame_now() - see blame.h. One note for each ring is enough: chains are served again in their old order, so the first that kills is
 * refused before the next one has its turn. */
void blame_now(void)
{
	struct state_ring *r = at_ring;

	if (!r)
		return;
	if (r->blamed != at_ticket) {
		r->blame = 0;
		r->blamed = at_ticket;
	}
	r->blame++;
}

static void on_fault(int sig, siginfo_t *si, void *context)
{
	(void)sig; /* the default action is back: what caused it happens again, and ends the process */
	(void)context;
	if (si->si_code > 0 || (si->si_code == SI_TKILL && si->si_pid == getpid()))
		blame_now();
}

/* blame_install() - see blame.h. SIGBUS is gmem.c's: memory that the VMM takes away. */
void blame_install(void)
{
	static const int faults[] = { SIGSEGV, SIGILL, SIGFPE, SIGABRT };
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | (int)SA_RESETHAND };

	for (size_t i = 0; i < ARRAY_SIZE(faults) && !SANDBOX_SANITIZED; i++)
		(void)sigaction(faults[i], &sa, NULL);
}

/* blame_begin() - see blame.h. */
void blame_begin(struct state_ring *ring, uint64_t ticket)
{
	at_ring = ring;
	at_ticket = ticket;
}

/* blame_end() - see blame.h. */
void blame_end(void)
{
	at_ring = NULL;
}

/* blame_enough() - see blame.h. */
bool blame_enough(const struct state_ring *ring, uint64_t ticket)
{
	return unlikely(ring->blame >= BLAME_MAX) && ring->blamed == ticket;
}
