#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api-server/server.h"
#include "common/id.h"
#include "common/log.h"

#define EXIT_FAILED 1 /* could not start or serve; 2 is a mistake in options or configuration */

/* Keys are in this process's memory: no core files, no debugger of the same user. */
static void
protect_process(void)
{
	struct rlimit none = { 0, 0 };

	umask(007);
	if (prctl(PR_SET_DUMPABLE, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0)
		log_warn("main", "unprotected", "errno=%d", errno);
}

/* As many descriptors as we may have, and no more connections than they allow. */
static void
fit_descriptors(struct config *cfg)
{
	const int64_t others = 96; /* database, workers, epoll, refused connections that linger */
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0)
		return;
	r.rlim_cur = r.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur == RLIM_INFINITY)
		return;
	if ((int64_t)r.rlim_cur >= cfg->api.max_connections + others)
		return;
	cfg->api.max_connections = (int64_t)r.rlim_cur > 2 * others ? (int64_t)r.rlim_cur - others
								    : 16;
	log_warn("main", "few-descriptors", "limit=%lld max_connections=%lld",
		 (long long)r.rlim_cur, (long long)cfg->api.max_connections);
}

static void
ignore_sigpipe(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	sigaction(SIGPIPE, &ignore, NULL);
}

static void
on_warning(const char *text, void *arg)
{
	(void)arg;
	log_warn("config", "warning", "text=%s", log_quote(text));
}

int
main(int argc, char **argv)
{
	struct cli cli = { 0 };
	struct config *cfg;
	struct server *s;
	struct fault f = { 0 };
	char at[ADDR_TEXT_SIZE];

	log_init("api-server");
	ignore_sigpipe();
	if (!id_init()) {
		log_err("main", "failed", "why=\"no randomness\"");
		return EXIT_FAILED;
	}
	cli_parse(&cli, argc, argv, false);
	cfg = cli_config(&cli);
	protect_process();
	fit_descriptors(cfg);
	config_warnings(cfg, on_warning, NULL);
	addr_text(&cfg->api.listen, at);
	log_info("main", "starting", "version=%s pid=%d", HANDBACK_VERSION, (int)getpid());
	s = server_create(cfg, &cli, &f);
	if (!s) {
		log_err("main", "failed", "where=%s why=%s", log_quote(f.where), log_quote(f.what));
		return EXIT_FAILED;
	}
	log_info("main", "ready", "api=%s", at);
	server_run(s);
	server_destroy(s);
	log_info("main", "stopped", "pid=%d", (int)getpid());
	return 0;
}
