/* sip-worker: takes calls over SIP and RTP, lets an agent talk to them, hands them back. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <signal.h>
#include <unistd.h>

#include "common/config.h"
#include "common/id.h"
#include "common/log.h"
#include "sip-worker/worker.h"

struct signals {
	struct loop_io io;
	struct worker *worker;
	const struct cli *cli;
};

static void
reload(struct signals *s)
{
	struct fault f = { 0 };
	struct config *cfg = config_load(s->cli->config_file, &f);

	if (cfg && sip_check_config(cfg, &f)) {
		worker_set_config(s->worker, cfg);
	} else {
		config_destroy(cfg);
		log_err("worker", "reload_failed", "where=%s what=%s", log_quote(f.where),
			log_quote(f.what));
	}
}

static void
on_signal(struct loop_io *io, uint32_t events)
{
	struct signals *s = container_of(io, struct signals, io);
	struct signalfd_siginfo si;

	(void)events;
	if (read(io->fd, &si, sizeof(si)) != sizeof(si))
		return;
	if (si.ssi_signo == SIGHUP)
		reload(s);
	else
		worker_drain(s->worker, si.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
}

static void
our_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
}

/* Before any thread starts, so that all of them go to the descriptor of run(). */
static void
block_signals(void)
{
	sigset_t set;

	our_signals(&set);
	sigaddset(&set, SIGPIPE); /* never taken out: a closed peer is an error of write */
	sigprocmask(SIG_BLOCK, &set, NULL);
}

/* Each call takes up to four sockets; memory with credentials in it is nobody's to dump. */
static void
set_limits(void)
{
	struct rlimit files, no_core = { 0, 0 };

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	setrlimit(RLIMIT_CORE, &no_core);
	prctl(PR_SET_DUMPABLE, 0);
}

static int
run(struct worker *w, const struct cli *cli)
{
	struct signals s = { .io.fd = -1, .worker = w, .cli = cli };
	sigset_t set;
	int fd;

	our_signals(&set);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0 || loop_watch(w->loop, &s.io, fd, EPOLLIN, on_signal) != ERR_OK) {
		log_err("worker", "signals", "error=%s", log_quote(strerror(errno)));
		return 1;
	}
	worker_run(w);
	loop_unwatch(w->loop, &s.io);
	close(fd);
	return 0;
}

int
main(int argc, char **argv)
{
	struct cli cli = { 0 };
	struct config *cfg;
	struct worker *w;
	struct fault f = { 0 };
	char name[128];
	int rc;

	cli_parse(&cli, argc, argv, true);
	cfg = cli_config(&cli);
	if (cli.ping) {
		rc = sip_ping(cfg);
		config_destroy(cfg);
		return rc;
	}
	snprintf(name, sizeof(name), "sip-worker/%s", cfg->worker.name);
	log_init(name);
	block_signals();
	set_limits();
	if (!id_init()) {
		log_err("worker", "no_randomness", "error=%s", log_quote(strerror(errno)));
		config_destroy(cfg);
		return 1;
	}
	w = worker_create(cfg, &f);
	if (!w) {
		log_err("worker", "cannot_start", "where=%s what=%s", log_quote(f.where),
			log_quote(f.what));
		return 1;
	}
	rc = run(w, &cli);
	worker_destroy(w);
	log_info("worker", "stopped", "code=%d", rc);
	return rc;
}
