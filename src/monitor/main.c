/* main.c - virtiofsd, the monitor: root's process, which parses options, makes the socket and the namespaces, starts
 * the others and waits for them. See monitor.h.
 *
 * Role: monitor. It trusts the command line and nobody else.
 */
#include "monitor/monitor.h"

#include <stdio.h>

/* Options that print something and end. Returns an exit status, or -1 when there is no such option. */
static int print_and_end(const struct options *o)
{
	static const struct sandbox_policy *const policies[] = {
		&policy_monitor, &policy_transport, &policy_fsworker, &policy_keeper, &policy_holder,
	};

	if (o->value[SET_HELP])
		options_help(stdout);
	else if (o->value[SET_VERSION])
		printf("virtiofsd %s\n", PACKAGE_VERSION_STRING);
	else if (o->value[SET_PRINT_CAPABILITIES])
		printf("{\n  \"type\": \"fs\"\n}\n");
	else if (o->value[SET_DUMP_SANDBOX])
		for (size_t i = 0; i < ARRAY_SIZE(policies); i++) {
			sandbox_dump(policies[i], stdout);
			printf("\n");
		}
	else
		return -1;
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	static struct monitor m;
	struct options o;
	struct config cfg;
	int r;

	log_to_sink(logsink_own);
	r = options_parse(&o, argc, argv);
	if (r)
		return r;
	r = print_and_end(&o);
	if (r >= 0)
		return r;
	r = config_make(&cfg, &o);
	if (r == 0)
		r = setup_all(&m, &cfg);
	if (r == 0) {
		r = roles_links(&m);
		for (size_t i = 0; i < ROLE_COUNT && r == 0; i++)
			r = roles_start(&m, &m.child[i]);
		if (r < 0) {
			m.stop = true;
			m.exit_status = EXIT_FAILURE;
		}
		supervise_run(&m);
		r = m.exit_status;
	}
	listen_remove();
	return r;
}
