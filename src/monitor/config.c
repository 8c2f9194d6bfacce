/* config.c - from settings to a configuration: are the values possible, and possible together?
 *
 * Role: monitor. Every function returns 0 or an exit status, with one line logged that says what is wrong and what
 * to do. What needs the system (is the source a directory?) is checked where it is opened, still before any child.
 */
#include "monitor/config.h"

#include <grp.h>
#include <pwd.h>

#define NSEC_PER_SEC UINT64_C(1000000000)

/* A value of a fixed list. */
struct word {
	const char *name;
	unsigned int value;
};

static int bad_value(const struct options *o, enum setting s, const char *allowed)
{
	log_err("option %s: '%s' is not possible: give %s", o->spelled[s], o->value[s], allowed);
	return EXIT_USAGE;
}

static int get_number(const struct options *o, enum setting s, uint64_t min, uint64_t max, uint64_t *out)
{
	const char *text = o->value[s];
	uint64_t n = 0;
	char range[64];

	if (!text)
		return 0;
	snprintf(range, sizeof(range), "a number from %llu to %llu", (unsigned long long)min,
		 (unsigned long long)max);
	for (const char *p = text; *p; p++) {
		if (*p < '0' || *p > '9' || n > max)
			return bad_value(o, s, range);
		n = n * 10 + (uint64_t)(*p - '0');
	}
	if (n < min || n > max)
		return bad_value(o, s, range);
	*out = n;
	return 0;
}

static int get_number32(const struct options *o, enum setting s, uint32_t min, uint32_t max, uint32_t *out)
{
	uint64_t n = *out;
	int r = get_number(o, s, min, max, &n);

	*out = (uint32_t)n;
	return r;
}

static int get_word(const struct options *o, enum setting s, const struct word *words, size_t n, unsigned int *out)
{
	char allowed[80] = "";

	if (!o->value[s])
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(words[i].name, o->value[s]) == 0) {
			*out = words[i].value;
			return 0;
		}
		snprintf(allowed + strlen(allowed), sizeof(allowed) - strlen(allowed), "%s%s",
			 i == 0 ? "" : i + 1 < n ? ", " : " or ", words[i].name);
	}
	return bad_value(o, s, allowed);
}

/* Seconds with a fraction, without the locale's say in what a decimal point is. */
static int get_timeout(const struct options *o, uint64_t *ns)
{
	static const char allowed[] = "seconds, such as 1 or 0.5, up to 1000000000";
	const char *p = o->value[SET_TIMEOUT];
	uint64_t sec = 0, frac = 0, unit = NSEC_PER_SEC;

	if (!p)
		return 0;
	if (strspn(p, ".") == strlen(p))
		return bad_value(o, SET_TIMEOUT, allowed);
	for (; *p >= '0' && *p <= '9' && sec <= NSEC_PER_SEC; p++)
		sec = sec * 10 + (uint64_t)(*p - '0');
	if (*p == '.')
		for (p++; *p >= '0' && *p <= '9'; p++) {
			unit /= 10;
			frac += unit * (uint64_t)(*p - '0');
		}
	if (*p || sec > NSEC_PER_SEC)
		return bad_value(o, SET_TIMEOUT, allowed);
	*ns = sec * NSEC_PER_SEC + frac;
	return 0;
}

static int make_log(struct config *c, const struct options *o)
{
	static const struct word levels[] = {
		{ "err", LOG_LVL_ERR }, { "warn", LOG_LVL_WARN }, { "info", LOG_LVL_INFO }, { "debug", LOG_LVL_DEBUG },
	};
	unsigned int level = LOG_LVL_INFO;
	int r = get_word(o, SET_LOG_LEVEL, levels, ARRAY_SIZE(levels), &level);

	if (r)
		return r;
	if (o->value[SET_DEBUG] && o->value[SET_LOG_LEVEL] && level != LOG_LVL_DEBUG) {
		log_err("options %s and %s=%s contradict each other: give only one of them", o->spelled[SET_DEBUG],
			o->spelled[SET_LOG_LEVEL], o->value[SET_LOG_LEVEL]);
		return EXIT_USAGE;
	}
	c->log_level = o->value[SET_DEBUG] ? LOG_LVL_DEBUG : (enum log_level)level;
	c->syslog = o->value[SET_SYSLOG] != NULL;
	return 0;
}

static int make_socket(struct config *c, const struct options *o)
{
	uint64_t fd = 0;
	int r;

	if (!o->value[SET_SOCKET_PATH] && !o->value[SET_FD]) {
		log_err("no socket to serve: give --socket-path=PATH or --fd=FDNUM");
		return EXIT_USAGE;
	}
	if (o->value[SET_SOCKET_PATH] && o->value[SET_FD]) {
		log_err("options --socket-path and --fd contradict each other: give only one of them");
		return EXIT_USAGE;
	}
	if (o->value[SET_FD] && o->value[SET_SOCKET_GROUP]) {
		log_err("option --socket-group is for the socket of --socket-path: do not give it with --fd");
		return EXIT_USAGE;
	}
	r = get_number(o, SET_FD, 0, INT32_MAX, &fd);
	if (r)
		return r;
	c->fd = o->value[SET_FD] ? (int)fd : -1;
	c->socket_path = o->value[SET_SOCKET_PATH];
	if (o->value[SET_SOCKET_GROUP]) {
		const struct group *g = getgrnam(o->value[SET_SOCKET_GROUP]);

		if (!g) {
			log_err("option --socket-group: there is no group '%s': give an existing one",
				o->value[SET_SOCKET_GROUP]);
			return EXIT_FAILURE;
		}
		c->has_socket_gid = true;
		c->socket_gid = g->gr_gid;
	}
	return 0;
}

static int make_cache(struct config *c, const struct options *o)
{
	static const struct word modes[] = {
		{ "none", CACHE_NONE }, { "auto", CACHE_AUTO }, { "always", CACHE_ALWAYS },
	};
	static const uint64_t default_s[] = { [CACHE_NONE] = 0, [CACHE_AUTO] = 1, [CACHE_ALWAYS] = 86400 };
	unsigned int mode = CACHE_AUTO;
	int r = get_word(o, SET_CACHE, modes, ARRAY_SIZE(modes), &mode);

	if (r)
		return r;
	c->cache = (enum cache_mode)mode;
	c->timeout_ns = default_s[mode] * NSEC_PER_SEC;
	return get_timeout(o, &c->timeout_ns);
}

static int make_flags(struct config *c, const struct options *o)
{
	static const struct {
		enum setting setting;
		uint32_t flag;
		bool by_default;
	} flags[] = {
		{ SET_XATTR, CFG_XATTR, false },	    { SET_FLOCK, CFG_FLOCK, false },
		{ SET_POSIX_LOCK, CFG_POSIX_LOCK, true },   { SET_READDIRPLUS, CFG_READDIRPLUS, true },
		{ SET_WRITEBACK, CFG_WRITEBACK, false },    { SET_NORACE, CFG_NORACE, false },
		{ SET_PROPAGATE_MOUNTS, CFG_PROPAGATE, false },
	};
	static const struct word paths[] = { { "direct", 0 }, { "forwarded", CFG_FORWARDED } };
	/* Named so by libvirt, and by daemons that have others. */
	static const struct word sandboxes[] = { { "namespace", 0 } };
	unsigned int path = 0, sandbox = 0;

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		const char *v = o->value[flags[i].setting];

		if (v ? strcmp(v, "yes") == 0 : flags[i].by_default)
			c->flags |= flags[i].flag;
	}
	int r = get_word(o, SET_DATA_PATH, paths, ARRAY_SIZE(paths), &path);
	c->flags |= path;
	return r ? r : get_word(o, SET_SANDBOX, sandboxes, ARRAY_SIZE(sandboxes), &sandbox);
}

/* A guest refuses a tag with a line break, and an operator's terminal should not have to. */
static int make_tag(struct config *c, const struct options *o)
{
	const char *tag = o->value[SET_TAG];

	if (!tag)
		return 0;
	if (strlen(tag) > CONFIG_TAG_MAX)
		return bad_value(o, SET_TAG, "1 to 36 bytes");
	for (const char *p = tag; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return bad_value(o, SET_TAG, "a name without control characters");
	memcpy(c->tag, tag, strlen(tag));
	c->flags |= CFG_HAS_TAG;
	return 0;
}

/* A VMM that asks how many request queues there are makes them all: no more than can be of use. user-mode-linux before 6.10
 * refuses more than 63, and its driver uses one. */
static uint32_t useful_queues(uint32_t queues)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return MIN(queues, (uint32_t)MAX(1, MIN(cpus, 8)));
}

static int make_limits(struct config *c, const struct options *o)
{
	uint32_t queues = 64;
	int r;

	c->thread_pool_size = 64;
	r = get_number32(o, SET_THREAD_POOL_SIZE, 0, 1024, &c->thread_pool_size);
	if (r)
		return r;
	r = get_number32(o, SET_NUM_REQUEST_QUEUES, 1, IPC_LINKS_MAX - 1, &queues);
	if (r)
		return r;
	c->nlinks = 1 + queues; /* and hiprio */
	c->config_queues = o->value[SET_NUM_REQUEST_QUEUES] ? queues : useful_queues(queues);
	r = get_number32(o, SET_MAX_OPEN_FILES, 1, 1u << 24, &c->max_open_files);
	if (r)
		return r;
	c->poll_us = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 50 : 0;
	r = get_number32(o, SET_POLL_US, 0, 1000, &c->poll_us);
	if (r)
		return r;
	r = get_number32(o, SET_INODE_FD_CACHE, 64, 1u << 24, &c->inode_fd_cache);
	if (r)
		return r;
	c->raise_nofile = !o->value[SET_RLIMIT_NOFILE] || strcmp(o->value[SET_RLIMIT_NOFILE], "0") != 0;
	return get_number(o, SET_RLIMIT_NOFILE, 0, 1u << 30, &c->rlimit_nofile);
}

static int make_user(struct config *c, const struct options *o)
{
	const char *name = o->value[SET_USER];
	const struct passwd *pw;

	pw = getpwnam(name ? name : "virtiofsd");
	if (!pw && !name)
		pw = getpwnam("nobody");
	if (!pw) {
		log_err("there is no user '%s' for the transport to run as: give --user=NAME of an existing one",
			name ? name : "nobody");
		return EXIT_FAILURE;
	}
	if (pw->pw_uid == 0 || pw->pw_gid == 0) {
		log_err("option --user: '%s' has root's user or group id: the transport needs an unprivileged user",
			pw->pw_name);
		return EXIT_FAILURE;
	}
	c->uid = pw->pw_uid;
	c->gid = pw->pw_gid;
	return 0;
}

/**
 * config_make() - judge the settings.
 * @c: out.
 *
 * Return: 0, or an exit status when the reason was logged.
 */
int config_make(struct config *c, const struct options *o)
{
	static int (*const steps[])(struct config *, const struct options *) = {
		make_log, make_socket, make_cache, make_flags, make_tag, make_limits, make_user,
	};

	memset(c, 0, sizeof(*c));
	if (!o->value[SET_SOURCE]) {
		log_err("no directory to share: give -o source=PATH");
		return EXIT_USAGE;
	}
	c->source = o->value[SET_SOURCE];
	c->transport_path = o->value[SET_TRANSPORT_PATH] ?: LIBEXECDIR "/virtiofsd-transport";
	c->fsworker_path = o->value[SET_FSWORKER_PATH] ?: LIBEXECDIR "/virtiofsd-fsworker";
	c->keeper_path = o->value[SET_KEEPER_PATH] ?: LIBEXECDIR "/virtiofsd-keeper";
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		int r = steps[i](c, o);

		if (r)
			return r;
	}
	return 0;
}
