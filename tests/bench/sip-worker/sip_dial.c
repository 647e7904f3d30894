/* sip_dial - the SIP stack alone: hands calls on by an INVITE of its own, through sip.h and dial.h.
 *
 *   sip_dial [-u USER:PASSWORD] [-R REALM] [-H NAME:VALUE] [-a CIDR] [-t TARGET] [-d DNS] [-c MS]
 *            [-x MS] [-b MS] [-r MS] [-i] [-o] URL URI
 *
 * Calls URI at once from URL (udp:HOST:PORT or tcp:…), or with -i for every call that comes, which
 * is answered when the other is.  -c gives up after MS, by BYE; -x lets go after MS; -b hangs up MS
 * after the answer; -r is the ring timeout; -o calls under our own name; -a are the account's
 * addresses (default 127.0.0.0/8), -t its allowed targets; -d HOST:PORT is the name server.
 * Events go to standard output, one a line; it ends on SIGTERM with the number of legs left. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/id.h"
#include "common/log.h"
#include "sip-worker/sip/dial.h"
#include "sip-worker/sip/internal.h"
#include "sip-worker/sip/resolve.h"

#define ITEMS_MAX 8
#define CALLS_MAX 64

struct program {
	struct loop *loop;
	struct sip *sip;
	struct loop_io signals;
	const char *uri, *servers, *realm;
	char *username, *password;
	struct sip_header_line headers[ITEMS_MAX];
	size_t header_count;
	bool inbound, own;
	int cancel_ms, leave_ms, bye_ms;
	uint16_t port;
};

/* One call handed on: out, and with -i in. */
struct call {
	struct program *p;
	struct sip_leg *in, *out;
	struct loop_timer timer;
};

static struct program program = { .cancel_ms = -1, .leave_ms = -1, .bye_ms = -1, .port = 40000 };
static struct cidr networks[ITEMS_MAX];
static char *targets[ITEMS_MAX];
static struct account account = { .name = (char[]){ "bench" } };
static struct sip_listen listeners[4];
static struct addr media_addresses[2];
static struct config config = {
	.accounts = &account,
	.account_count = 1,
	.sip = { .listen = listeners,
		 .realm = (char[]){ "handback" },
		 .challenge = 401,
		 .unknown_drop = true,
		 .session_expires_s = 1800,
		 .min_se_s = 90,
		 .max_message = 65536 },
	.media = { .address = { media_addresses, 2 },
		   .codecs = { CODEC_PCMU, CODEC_PCMA },
		   .codec_count = 2 },
};

static void
say(const char *event, const char *text, int number)
{
	printf("%s %s %d\n", event, text ? text : "-", number);
	fflush(stdout);
}

static const char *
remote_text(const struct media_remote *r)
{
	static char line[160];
	char text[ADDR_TEXT_SIZE];

	if (!r)
		return "-";
	str_print(line, sizeof line, "%s,codec=%d,direction=%d", addr_text(&r->rtp, text),
		  (int)r->codec, (int)r->direction);
	return line;
}

static struct media_local
local_media(struct program *p, int family)
{
	const char *host = family == AF_INET6 ? "::1" : "127.0.0.1";
	struct media_local local = { 0 };

	p->port = (uint16_t)(p->port >= 49000 ? 40000 : p->port + 2);
	if (!addr_parse(host, p->port, &local.rtp) ||
	    !addr_parse(host, (uint16_t)(p->port + 1), &local.rtcp))
		abort();
	return local;
}

/* --- the outbound leg --- */

static void
leave_in(struct call *c, int status, const char *reason)
{
	if (!c->in)
		return;
	sip_leg_reject(c->in, status, reason, 0);
	sip_leg_destroy(c->in);
	c->in = NULL;
}

static void
let_go(struct call *c)
{
	loop_timer_cancel(c->p->loop, &c->timer);
	sip_leg_destroy(c->out);
	c->out = NULL;
}

static void
progress(void *owner, int status, const struct media_remote *remote)
{
	(void)owner;
	say("progress", remote_text(remote), status);
}

static void
bye_due(struct loop_timer *t)
{
	sip_leg_bye(container_of(t, struct call, timer)->out, "");
}

static void
let_go_due(struct loop_timer *t)
{
	struct call *c = container_of(t, struct call, timer);

	say("let_go", "-", 0);
	let_go(c);
}

static void
set_timer(struct call *c, int ms, void (*fire)(struct loop_timer *))
{
	if (ms >= 0 && !loop_timer_set(c->p->loop, &c->timer, ms, fire))
		abort();
}

static void
answered(void *owner, const struct media_remote *remote)
{
	struct call *c = owner;
	struct media_local local = local_media(c->p, AF_INET);

	say("answered", remote_text(remote), 0);
	loop_timer_cancel(c->p->loop, &c->timer);
	set_timer(c, c->p->bye_ms, bye_due);
	if (c->in)
		sip_leg_answer(c->in, &local);
}

static void
failed(void *owner, int status, const char *reason)
{
	struct call *c = owner;

	say("failed", reason, status);
	let_go(c);
	leave_in(c, status, reason);
}

static const struct sip_dial_ops dial_ops = { .progress = progress,
					      .answered = answered,
					      .failed = failed };

static void
dial(struct call *c)
{
	struct program *p = c->p;
	struct addr a = listeners[0].addr;
	struct sip_dial d = {
		.account = &account,
		.inbound = c->in,
		.uri = p->uri,
		.caller_id = p->own ? CALLER_OWN : CALLER_ORIGINAL,
		.headers = p->headers,
		.header_count = p->header_count,
		.realm = p->realm,
		.username = p->username,
		.password = p->password,
		.local = local_media(p, addr_family(&a)),
		.codecs = { CODEC_PCMA, CODEC_PCMU },
		.codec_count = 2,
	};
	enum err e = sip_dial(p->sip, &d, &dial_ops, c, &c->out);

	if (e != ERR_OK) {
		say("not_dialled", err_name(e), 0);
		leave_in(c, 500, err_name(e));
		return;
	}
	set_timer(c, p->cancel_ms, bye_due);
	set_timer(c, p->leave_ms, let_go_due);
}

/* --- the stack's events --- */

static struct call *
create_call(struct program *p)
{
	static struct call calls[CALLS_MAX];
	static size_t count;
	struct call *c = &calls[count++];

	if (count == CALLS_MAX)
		abort();
	c->p = p;
	return c;
}

static int
gate(void *app, const struct account *a, const char **why)
{
	(void)a;
	*why = "no calls wanted";
	return ((struct program *)app)->inbound ? 0 : 480;
}

static void
invite(void *app, struct sip_leg *leg, const struct sip_invite *inv)
{
	struct call *c = create_call(app);

	say("invite", inv->call_id, 0);
	c->in = leg;
	sip_leg_set_owner(leg, c);
	sip_leg_ring(leg);
	dial(c);
}

static void
refused(void *app, const struct sip_refusal *r)
{
	(void)app;
	say("refused", r->reason, r->status);
}

static void
confirmed(void *owner, const struct media_remote *remote)
{
	(void)owner;
	say("confirmed", remote_text(remote), 0);
}

static void
changed(void *owner, const struct media_remote *remote)
{
	(void)owner;
	say("changed", remote_text(remote), 0);
}

static void
digit(void *owner, char which, int duration_ms)
{
	char text[2] = { which, '\0' };

	(void)owner;
	say("digit", text, duration_ms);
}

/* Either leg: both go. */
static void
finish(struct call *c)
{
	sip_leg_destroy(c->in);
	c->in = NULL;
	let_go(c);
}

static void
ended(void *owner, const struct sip_end *end)
{
	say("ended", end->reason, (int)end->cause);
	finish(owner);
}

static void
hung_up(void *owner)
{
	say("hung_up", "-", 0);
	finish(owner);
}

static const struct sip_ops ops = {
	.gate = gate,
	.invite = invite,
	.refused = refused,
	.confirmed = confirmed,
	.changed = changed,
	.digit = digit,
	.ended = ended,
	.hung_up = hung_up,
};

/* --- the program --- */

static void
on_signal(struct loop_io *io, uint32_t events)
{
	struct signalfd_siginfo info;

	(void)events;
	if (read(io->fd, &info, sizeof info) == sizeof info)
		sip_stop(program.sip);
}

static bool
watch_signals(struct program *p)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return fd >= 0 && loop_watch(p->loop, &p->signals, fd, EPOLLIN, on_signal) == ERR_OK;
}

static bool
split(char *text, char **second)
{
	char *colon = strchr(text, ':');

	if (!colon)
		return false;
	*colon = '\0';
	*second = colon + 1;
	return true;
}

static bool
read_header(char *text)
{
	struct sip_header_line *h = &program.headers[program.header_count++];
	char *value;

	if (program.header_count == ITEMS_MAX || !split(text, &value))
		return false;
	*h = (struct sip_header_line){ text, value };
	return true;
}

static bool
read_option(int opt, char *text)
{
	struct text_list *list = &account.returns.allowed_targets;
	int number = text ? (int)strtol(text, NULL, 10) : 0;

	switch (opt) {
	case 'u':
		program.username = text;
		return split(text, &program.password);
	case 'a':
		account.sip.allow.items = networks;
		return account.sip.allow.count < ITEMS_MAX &&
		       (strcmp(text, "-") == 0 ||
			cidr_parse(text, &networks[account.sip.allow.count++]));
	case 't':
		account.returns.has_allowed_targets = true;
		list->items = targets;
		targets[list->count++] = text;
		return list->count < ITEMS_MAX;
	case 'H':
		return read_header(text);
	case 'R':
		program.realm = text;
		return true;
	case 'd':
		program.servers = text;
		return true;
	case 'c':
		program.cancel_ms = number;
		return true;
	case 'x':
		program.leave_ms = number;
		return true;
	case 'b':
		program.bye_ms = number;
		return true;
	case 'r':
		account.returns.ring_timeout_ms = number;
		return true;
	case 'i':
		program.inbound = true;
		return true;
	case 'o':
		program.own = true;
		return true;
	default:
		return false;
	}
}

static bool
read_listener(const char *url)
{
	struct sip_listen *l = &listeners[config.sip.listen_count++];

	l->transport = str_starts(url, "tcp:") ? SIP_TCP : SIP_UDP;
	return strlen(url) > 4 && addr_parse_hostport(url + 4, &l->addr);
}

static bool
read_options(int argc, char **argv)
{
	bool ok = true;
	int opt;

	while (ok && (opt = getopt(argc, argv, "u:R:H:a:t:d:c:x:b:r:io")) != -1)
		ok = read_option(opt, optarg);
	if (ok && !account.sip.allow.items)
		ok = read_option('a', (char[]){ "127.0.0.0/8" }) &&
		     read_option('a', (char[]){ "::1" });
	for (; ok && optind < argc - 1 && config.sip.listen_count < ARRAY_LEN(listeners); optind++)
		ok = read_listener(argv[optind]);
	program.uri = argv[argc - 1];
	return ok && config.sip.listen_count > 0;
}

static bool
start(struct program *p, struct fault *f)
{
	p->loop = loop_create();
	p->sip = p->loop ? sip_create(p->loop, &config, &ops, p, f) : NULL;
	if (!p->sip || !watch_signals(p))
		return false;
	if (p->servers)
		p->sip->resolver = resolver_create(p->loop, p->servers);
	return !p->servers || p->sip->resolver;
}

int
main(int argc, char **argv)
{
	struct fault f = { 0 };
	struct program *p = &program;
	struct call *c;

	account.sip.domain = account.returns.uri = (char[]){ "" };
	account.sip.headers_mode = true;
	if (!read_options(argc, argv) || !id_init() ||
	    !addr_parse("127.0.0.1", 0, &media_addresses[0]) ||
	    !addr_parse("::1", 0, &media_addresses[1])) {
		fprintf(stderr, "usage: sip_dial [options] URL URI\n");
		return 2;
	}
	log_init("sip_dial");
	if (!start(p, &f)) {
		fprintf(stderr, "sip_dial: %s: %s\n", f.where, f.what);
		return 1;
	}
	say("ready", "-", 0);
	c = create_call(p);
	if (!p->inbound)
		dial(c);
	sip_run(p->sip);
	printf("stats legs=%lld\n", (long long)p->sip->stats.legs);
	fflush(stdout);
	sip_destroy(p->sip);
	loop_timer_cancel(p->loop, &c->timer);
	close(p->signals.fd);
	loop_unwatch(p->loop, &p->signals);
	loop_destroy(p->loop);
	return 0;
}
