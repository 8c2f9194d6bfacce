/* options.c - reads the command line by the table options.def.
 *
 * Role: monitor. Nothing is guessed: an abbreviated option is unknown, a setting given twice is an error even in two
 * spellings ("last one wins" lets whoever can add an argument replace another: CVE-2026-44210), and so is an empty
 * value. Whoever started us gets one line that says which option and what about it.
 */
#include "monitor/options.h"

#include "common/log.h"

#include <getopt.h>

struct spelling {
	enum setting setting;
	const char *name;  /* without dashes; NULL: a letter only */
	int letter;        /* 0: none */
	const char *value; /* what the value is called; NULL: takes none */
	const char *given; /* what it means to be given, when it takes no value */
	const char *help;
};

static const struct spelling longs[] = {
#define LONG(s, c, l, v, g, h) { SET_##s, l, c, v, g, h },
#include "monitor/options.def"
};

static const struct spelling subs[] = {
#define SUB(s, n, v, g, h) { SET_##s, n, 0, v, g, h },
#include "monitor/options.def"
};

/* "--cache", "-d" or "-o flock", as the user may have written it. Static text per table row. */
static const char *spelled(const struct spelling *s)
{
	static char text[ARRAY_SIZE(longs) + ARRAY_SIZE(subs)][48];
	bool sub = s >= subs && s < subs + ARRAY_SIZE(subs);
	char *t = text[sub ? (size_t)(s - subs) + ARRAY_SIZE(longs) : (size_t)(s - longs)];

	if (s->name)
		snprintf(t, sizeof(text[0]), "%s%s", sub ? "-o " : "--", s->name);
	else
		snprintf(t, sizeof(text[0]), "-%c", s->letter);
	return t;
}

static int put(struct options *o, const struct spelling *s, const char *value)
{
	const char *how = spelled(s);

	if (value && !s->value) {
		log_err("option %s takes no value, but was given '%s'", how, value);
		return EXIT_USAGE;
	}
	if (s->value && (!value || !*value)) {
		log_err("option %s needs a value: %s=%s", how, how, s->value);
		return EXIT_USAGE;
	}
	if (o->value[s->setting] && o->spelled[s->setting] == how) {
		log_err("option %s is given twice: give it once", how);
		return EXIT_USAGE;
	}
	if (o->value[s->setting]) {
		log_err("options %s and %s set the same thing: give only one of them", o->spelled[s->setting], how);
		return EXIT_USAGE;
	}
	o->value[s->setting] = value ? value : s->given;
	o->spelled[s->setting] = how;
	return 0;
}

/* One item of -o: "name" or "name=value". */
static int put_sub(struct options *o, char *item)
{
	char *value = strchr(item, '=');

	if (value)
		*value++ = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(subs); i++)
		if (strcmp(subs[i].name, item) == 0)
			return put(o, &subs[i], value);
	log_err("unknown option '-o %s': see virtiofsd --help", item);
	return EXIT_USAGE;
}

/* The list of -o: items between commas; "\," is a comma within a value, as in mount options. Works on a copy that
 * lives as long as the settings, for ps(1) to show the command line as it was given. */
static int put_list(struct options *o, const char *given)
{
	char *list = strdup(given);
	char *item = list, *out = list;

	if (!list) {
		log_err("out of memory");
		return EXIT_FAILURE;
	}

	for (char *in = list;; in++) {
		if (*in == '\\' && in[1]) {
			*out++ = *++in;
			continue;
		}
		if (*in && *in != ',') {
			*out++ = *in;
			continue;
		}

		bool last = !*in;

		*out = '\0';
		int r = *item ? put_sub(o, item) : 0;
		if (r || last)
			return r;
		item = out = in + 1;
	}
}

/* Is this argument a long option of the table, in full? getopt_long() would take an abbreviation. */
static bool long_known(const char *arg)
{
	size_t len = strcspn(arg + 2, "=");

	for (size_t i = 0; i < ARRAY_SIZE(longs); i++)
		if (longs[i].name && strlen(longs[i].name) == len && strncmp(longs[i].name, arg + 2, len) == 0)
			return true;
	return false;
}

static const struct spelling *by_letter(int letter)
{
	for (size_t i = 0; i < ARRAY_SIZE(longs); i++)
		if (letter && longs[i].letter == letter)
			return &longs[i];
	return NULL;
}

/**
 * options_parse() - read the whole command line.
 * @o: out; values point into argv, or are static.
 *
 * Return: 0, or EXIT_USAGE when the reason was logged.
 */
int options_parse(struct options *o, int argc, char **argv)
{
	enum { LONG_BASE = 256 };
	struct option table[ARRAY_SIZE(longs) + 1] = { 0 };
	char letters[2 * ARRAY_SIZE(longs) + 8] = "+:o:";
	size_t n = 0, nl = strlen(letters);

	memset(o, 0, sizeof(*o));
	for (size_t i = 0; i < ARRAY_SIZE(longs); i++) {
		if (longs[i].letter)
			letters[nl++] = (char)longs[i].letter;
		if (longs[i].name)
			table[n++] = (struct option){ longs[i].name, optional_argument, NULL, LONG_BASE + (int)i };
		/* A value that stands as an argument of its own. */
		if (longs[i].name && longs[i].value)
			table[n - 1].has_arg = required_argument;
	}

	opterr = 0;
	for (;;) {
		const char *arg = optind < argc ? argv[optind] : NULL;

		if (arg && strncmp(arg, "--", 2) == 0 && arg[2] && !long_known(arg)) {
			log_err("unknown option '%.*s': see virtiofsd --help", (int)strcspn(arg, "="), arg);
			return EXIT_USAGE;
		}
		int c = getopt_long(argc, argv, letters, table, NULL);
		int r;

		if (c == -1)
			break;
		if (c == ':' && optopt == 'o') {
			log_err("option -o needs a value: see virtiofsd --help");
			return EXIT_USAGE;
		}
		if (c == ':')
			r = put(o, &longs[optopt - LONG_BASE], NULL);
		else if (c == 'o')
			r = put_list(o, optarg);
		else if (c >= LONG_BASE)
			r = put(o, &longs[c - LONG_BASE], optarg);
		else if (by_letter(c))
			r = put(o, by_letter(c), NULL);
		else {
			log_err("unknown option '-%c': see virtiofsd --help", optopt);
			return EXIT_USAGE;
		}
		if (r)
			return r;
	}
	if (optind < argc) {
		log_err("unexpected argument '%s': all is given by options, see virtiofsd --help", argv[optind]);
		return EXIT_USAGE;
	}
	return 0;
}

static void help_line(FILE *out, const char *left, const char *help)
{
	fprintf(out, "  %-30s%s%s\n", left, strlen(left) > 29 ? "\n                                " : "", help);
}

/**
 * options_help() - print the text of --help.
 */
void options_help(FILE *out)
{
	char left[80];

	fprintf(out, "usage: virtiofsd -o source=PATH (--socket-path=PATH | --fd=FDNUM) [OPTIONS]\n\n"
		     "Shares a directory tree with a virtual machine by virtio-fs.\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(longs); i++) {
		const struct spelling *s = &longs[i];
		char letter[8] = "    ";

		if (s->letter)
			snprintf(letter, sizeof(letter), "-%c%s", s->letter, s->name ? ", " : "");
		snprintf(left, sizeof(left), "%s%s%s%s%s", letter, s->name ? "--" : "", s->name ? s->name : "",
			 s->value ? "=" : "", s->value ? s->value : "");
		help_line(out, left, s->help);
	}
	fprintf(out, "\n");
	for (size_t i = 0; i < ARRAY_SIZE(subs); i++) {
		snprintf(left, sizeof(left), "-o %s%s%s", subs[i].name, subs[i].value ? "=" : "",
			 subs[i].value ? subs[i].value : "");
		help_line(out, left, subs[i].help);
	}
	fprintf(out, "\nSeveral -o and lists with commas are allowed. See virtiofsd(8).\n");
}
