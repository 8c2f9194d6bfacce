/* upgrade.c - SIGHUP: the children are replaced by the executables that are on disk now, one at a time.
 *
 * Role: monitor. That a child can die at any moment is what makes this simple: it is killed, and the new executable takes over as after
 * any other death. One that does not come to serve is given up, and the old one, whose file is kept open for that, is started again.
 *
 * A child that dies without a SIGHUP is replaced by what ran before: a half-installed package is nobody's wish.
 */
#include "monitor/monitor.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>

/**
 * upgrade_open() - the executable of a role that is on disk now.
 * @in_sandbox: this process has given up its capabilities already.
 *
 * Return: a descriptor to execute, or -errno.
 */
int upgrade_open(const struct role *role, const struct config *cfg, bool in_sandbox)
{
	/* It may lie below a directory that root may enter only with this. */
	bool raised = in_sandbox && sandbox_set_cap(CAP_DAC_OVERRIDE, true) == 0;
	int fd = open(role->path(cfg), O_PATH | O_CLOEXEC);
	int r = fd < 0 ? -errno : fd;

	if (fd >= 0 && faccessat(fd, "", X_OK, AT_EMPTY_PATH) < 0) {
		r = -errno;
		close(fd);
	}
	if (raised)
		(void)!sandbox_set_cap(CAP_DAC_OVERRIDE, false);
	return r;
}

/* How a reload ended. The number tells one from the one before. */
static void say_done(struct monitor *m, const char *how)
{
	char status[120];

	snprintf(status, sizeof(status), "reload %u: %s", m->reloads, how);
	notify_ready(status);
}

/**
 * upgrade_begin() - open all that is new; a file that is missing leaves its child alone.
 */
void upgrade_begin(struct monitor *m)
{
	m->reloads++;
	notify_reloading();
	for (size_t i = 0; i < ROLE_COUNT; i++)
		if (m->child[i].given_up) {
			log_err("SIGHUP: the %s was given up: start the daemon anew, and the guest", m->child[i].role->name);
			say_done(m, "nothing was replaced: a process had been given up, only a new start helps");
			return;
		}
	for (size_t i = 0; i < ROLE_COUNT; i++) {
		struct child *c = &m->child[i];
		int fd = c->role->respawns ? upgrade_open(c->role, m->cfg, true) : -1;

		if (!c->role->respawns)
			continue;
		c->stays = fd < 0;
		if (fd < 0) {
			log_err("cannot execute '%s': %s: the %s stays as it is", c->role->path(m->cfg), strerror(-fd), c->role->name);
			continue;
		}
		close_fd(&c->next_exe_fd);
		c->next_exe_fd = fd;
		c->tries_next = false; /* whatever is starting now is none of it */
	}
	m->upgrade = true;
}

/**
 * upgrade_step() - if all serve, kill the next one that is to be replaced.
 */
void upgrade_step(struct monitor *m)
{
	bool stays = false;

	if (!m->upgrade)
		return;
	for (size_t i = 0; i < ROLE_COUNT; i++)
		if (m->child[i].state != CHILD_SERVING)
			return;
	for (size_t i = 0; i < ROLE_COUNT; i++) {
		struct child *c = &m->child[i];

		stays |= c->stays;
		if (c->next_exe_fd < 0)
			continue;
		log_debug("the %s is to be replaced", c->role->name);
		spawn_signal(c, SIGKILL);
		c->state = CHILD_ENDING;
		return;
	}
	m->upgrade = false;
	log_info("SIGHUP: done");
	say_done(m, stays ? "not all processes could be replaced, see the log; serving" :
			    "all processes but the first were replaced; serving");
}

/**
 * upgrade_failed() - a start came to nothing: was it that of a new executable? Then the old one is to be tried.
 */
bool upgrade_failed(struct child *c)
{
	if (!c->tries_next)
		return false;
	c->tries_next = false;
	c->stays = true;
	log_err("the new executable of the %s cannot take over: the old one goes on", c->role->name);
	close_fd(&c->next_exe_fd);
	return true;
}

/**
 * upgrade_done() - a process serves: its executable is the one to use from now on.
 */
void upgrade_done(struct child *c)
{
	if (!c->tries_next)
		return;
	c->tries_next = false;
	close_fd(&c->exe_fd);
	c->exe_fd = take_fd(&c->next_exe_fd);
	log_info("the %s runs the executable that is on disk now", c->role->name);
}
