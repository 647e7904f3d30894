/* The options of both programs. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "common/config_rows.h"

static const char common_help[] =
	"  --config FILE      configuration (default ./handback.yaml, else built-in defaults)\n"
	"  --check-config     say whether it is right, and exit (0 or 2)\n"
	"  --print-config     print every key with its value in force, secrets masked, and exit\n"
	"  --version          print the version and exit\n"
	"  --help             this text\n";

static const char worker_help[] =
	"  --name NAME        this worker's name (default worker.name, else the host's)\n"
	"  --sip-listen URL   udp:HOST:PORT or tcp:HOST:PORT; replaces sip.listen; repeatable\n"
	"  --ping             ask the running worker by OPTIONS: exit 0 if it answers 200\n";

static const char tail_help[] =
	"\nEvery key of the configuration is explained in README.md and schema/config.json.\n"
	"Log level: HANDBACK_LOG=debug|info|warn|err\n"
	"Signals: SIGTERM ends (a worker drains first), SIGHUP re-reads accounts, agents, "
	"certificates.\n";

static void
help(bool is_worker)
{
	printf("%s\n\nusage: %s [options]\n\n%s%s%s",
	       is_worker ? "sip-worker: takes calls, lets an agent talk to the caller, hands the "
			   "call back"
			 : "api-server: the REST side and the register of call transfers",
	       is_worker ? "sip-worker" : "api-server", common_help, is_worker ? worker_help : "",
	       tail_help);
	exit(0);
}

_Noreturn static void
misuse(bool is_worker, const char *what)
{
	fprintf(stderr, "%s: %s (see --help)\n", is_worker ? "sip-worker" : "api-server", what);
	exit(2);
}

static void
take_option(struct cli *cli, int opt, bool is_worker)
{
	switch (opt) {
	case 'c':
		cli->config_file = optarg;
		break;
	case 'k':
		cli->check_config = true;
		break;
	case 'p':
		cli->print_config = true;
		break;
	case 'n':
		cli->worker_name = optarg;
		break;
	case 'l':
		if (cli->sip_listen_count == ARRAY_LEN(cli->sip_listen))
			misuse(is_worker, "too many --sip-listen");
		cli->sip_listen[cli->sip_listen_count++] = optarg;
		break;
	case 'i':
		cli->ping = true;
		break;
	case 'v':
		puts("handback " HANDBACK_VERSION);
		exit(0);
	case 'h':
		help(is_worker);
		break;
	default:
		exit(2); /* getopt has said why */
	}
}

void
cli_parse(struct cli *cli, int argc, char **argv, bool is_worker)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check-config", no_argument, NULL, 'k' },
		{ "print-config", no_argument, NULL, 'p' },
		{ "version", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ "name", required_argument, NULL, 'n' },
		{ "sip-listen", required_argument, NULL, 'l' },
		{ "ping", no_argument, NULL, 'i' },
		{ NULL, 0, NULL, 0 },
	};
	int opt;

	memset(cli, 0, sizeof(*cli));
	optind = 1;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (!is_worker && (opt == 'n' || opt == 'l' || opt == 'i'))
			misuse(is_worker, "--name, --sip-listen and --ping are sip-worker's");
		take_option(cli, opt, is_worker);
	}
	if (optind < argc)
		misuse(is_worker, "unexpected argument");
}

static bool
override_listen(const struct cli *cli, struct config *c, struct fault *f)
{
	static const struct crow row = { "--sip-listen", C_LISTEN, 0 };
	struct creader r = { .name = "command line", .dir = ".", .f = f };
	struct sip_listen *list;

	if (cli->sip_listen_count == 0)
		return true;
	list = calloc(cli->sip_listen_count, sizeof(*list));
	for (size_t i = 0; list && i < cli->sip_listen_count; i++) {
		char text[256];
		struct ynode n = { .kind = Y_SCALAR, .line = 1, .text = text };

		if (!str_copy(text, sizeof(text), cli->sip_listen[i]) ||
		    !cvalue_read(&r, &row, &n, &list[i])) {
			fault_set(f, "--sip-listen",
				  "expected udp:HOST:PORT or tcp:HOST:PORT, found \"%.60s\"",
				  cli->sip_listen[i]);
			free(list);
			return false;
		}
	}
	if (!list)
		return false;
	free(c->sip.listen);
	c->sip.listen = list;
	c->sip.listen_count = cli->sip_listen_count;
	return true;
}

static bool
override_name(const struct cli *cli, struct config *c, struct fault *f)
{
	char *name;

	if (!cli->worker_name)
		return true;
	name = strdup(cli->worker_name);
	if (!name || !*name || strlen(name) > 63 || strpbrk(name, "/ \"") ||
	    str_has_control(name)) {
		fault_set(f, "--name",
			  "expected 1 to 63 characters without blanks, quotes or slashes");
		free(name);
		return false;
	}
	free(c->worker.name);
	c->worker.name = name;
	return true;
}

static void
print_warning(const char *text, void *arg)
{
	(void)arg;
	fprintf(stderr, "warning: %s\n", text);
}

struct config *
cli_config(const struct cli *cli)
{
	struct fault f = { 0 };
	struct config *c = config_load(cli->config_file, &f);
	struct buf out;

	if (!c || !override_listen(cli, c, &f) || !override_name(cli, c, &f)) {
		fprintf(stderr, "%s%s%s\n", f.where, f.where[0] ? ": " : "", f.what);
		config_destroy(c);
		exit(2);
	}
	if (!cli->check_config && !cli->print_config)
		return c;
	config_warnings(c, print_warning, NULL);
	if (cli->print_config) {
		buf_init(&out, 16u << 20);
		config_print(c, &out);
		fputs(out.data ? out.data : "", stdout);
		buf_finish(&out);
	} else {
		printf("%s: ok, %zu account(s), %zu agent(s)\n",
		       c->file ? c->file : "built-in defaults", c->account_count, c->agent_count);
	}
	config_destroy(c);
	exit(0);
}
