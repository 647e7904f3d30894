/* sip_answer - the SIP stack alone: answers every call it is offered, through sip.h only.
 *
 *   sip_answer [-rnqxDA] [-w MS] [-b MS] [-u USER:PASSWORD] [-a CIDR] [-R REFER-TO] … URL...
 *
 * -r rings first; -w answers after MS; -b hangs up MS after the ACK; -n never answers; -u wants
 * digest; -a addresses to accept (default 127.0.0.0/8, with -u none; "-" for none); -d drains.
 * -R sends a REFER with this Refer-To after the ACK, -B with this Referred-By; -l REALM:USER:PASSWORD
 * answers its challenges.  After its last word the call is hung up (with -b as that says), -A sends
 * it again after a failure.  -D lets the leg go where it would be hung up; -s and -m are
 * session_expires and min_se in seconds.
 * URL is udp:HOST:PORT or tcp:HOST:PORT.  Events go to standard output, one a line; it ends on
 * SIGTERM with the stack's counters. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/id.h"
#include "common/list.h"
#include "common/log.h"
#include "sip-worker/sip/refer.h"
#include "sip-worker/sip/sip.h"

struct options {
	bool ring, never, quiet, destroy, again;
	int wait_ms, bye_ms;
	const char *refer_to, *referred_by; /* refer_to NULL: no REFER */
};

struct program {
	struct options o;
	struct loop *loop;
	struct sip *sip;
	struct loop_io signals;
	struct list calls; /* call.node */
	uint16_t port;
};

struct call {
	struct list node;
	struct program *p;
	struct sip_leg *leg;
	struct loop_timer timer;
	int family;
};

static struct program program;

static void
say(const char *event, const char *text, int number)
{
	if (program.o.quiet)
		return;
	printf("%s %s %d\n", event, text ? text : "-", number);
	fflush(stdout);
}

static void
say_remote(const char *event, const struct media_remote *r)
{
	char text[ADDR_TEXT_SIZE], line[160];

	if (!r) {
		say(event, "-", 0);
		return;
	}
	str_print(line, sizeof line, "%s,codec=%d,pt=%u,dtmf=%d,ptime=%d,direction=%d,mux=%d",
		  addr_text(&r->rtp, text), (int)r->codec, r->payload_type, r->dtmf_payload_type,
		  r->ptime_ms, (int)r->direction, r->rtcp_mux);
	say(event, line, 0);
}

static int
gate(void *app, const struct account *account, const char **why)
{
	(void)app;
	(void)account;
	*why = "no";
	return 0;
}

static void
answer(struct call *c)
{
	struct media_local local = { 0 };
	const char *host = c->family == AF_INET6 ? "::1" : "127.0.0.1";
	uint16_t port = c->p->port = (uint16_t)(c->p->port >= 39998 ? 30000 : c->p->port + 2);

	if (addr_parse(host, port, &local.rtp) &&
	    addr_parse(host, (uint16_t)(port + 1), &local.rtcp))
		sip_leg_answer(c->leg, &local);
}

static void
answer_due(struct loop_timer *t)
{
	answer(container_of(t, struct call, timer));
}

static void finish(struct call *c);

static void
leave(struct call *c)
{
	if (c->p->o.destroy) {
		say("let go", "-", 0);
		finish(c);
	} else {
		sip_leg_bye(c->leg, "Q.850;cause=16;text=\"Normal call clearing\"");
	}
}

static void
bye_due(struct loop_timer *t)
{
	leave(container_of(t, struct call, timer));
}

static void
invite(void *app, struct sip_leg *leg, const struct sip_invite *inv)
{
	struct program *p = app;
	struct call *c = calloc(1, sizeof *c);
	char *vars, *headers;

	if (!c) {
		sip_leg_reject(leg, 503, "out of memory", 1);
		sip_leg_destroy(leg);
		return;
	}
	list_append(&p->calls, &c->node);
	c->p = p;
	c->leg = leg;
	c->family = addr_family(inv->has_offer ? &inv->remote.rtp : &inv->source);
	sip_leg_set_owner(leg, c);
	say("invite", inv->transfer ? inv->transfer : inv->call_id, inv->has_offer);
	if (!p->o.quiet) {
		vars = json_dumps(inv->input_variables, JSON_COMPACT | JSON_SORT_KEYS);
		headers = json_dumps(inv->headers, JSON_COMPACT | JSON_SORT_KEYS);
		say("variables", vars, 0);
		say("headers", headers, 0);
		free(vars);
		free(headers);
		if (inv->has_offer)
			say_remote("offer", &inv->remote);
	}
	if (p->o.ring)
		sip_leg_ring(leg);
	if (p->o.never)
		return;
	if (p->o.wait_ms == 0)
		answer(c);
	else if (!loop_timer_set(p->loop, &c->timer, p->o.wait_ms, answer_due))
		sip_leg_reject(leg, 503, "out of memory", 1);
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
	struct call *c = owner;

	say_remote("confirmed", remote);
	if (c->p->o.bye_ms >= 0 && !loop_timer_set(c->p->loop, &c->timer, c->p->o.bye_ms, bye_due))
		sip_leg_bye(c->leg, "SIP;cause=500");
	if (c->p->o.refer_to)
		sip_leg_refer(c->leg, c->p->o.refer_to, c->p->o.referred_by);
}

static void
refer(void *owner, const struct sip_refer *r)
{
	struct call *c = owner;
	char line[320];

	str_print(line, sizeof line, "%s,%d,%s", sip_refer_state_names[r->state], r->status,
		  r->reason);
	say("refer", line, 0);
	if (r->state == SIP_REFER_FAILED && c->p->o.again) {
		c->p->o.again = false;
		sip_leg_refer(c->leg, c->p->o.refer_to, c->p->o.referred_by);
	} else if (r->state >= SIP_REFER_ANSWERED && c->p->o.bye_ms < 0) {
		leave(c);
	}
}

static void
changed(void *owner, const struct media_remote *remote)
{
	(void)owner;
	say_remote("changed", remote);
}

static void
digit(void *owner, char which, int duration_ms)
{
	char text[2] = { which, '\0' };

	(void)owner;
	say("digit", text, duration_ms);
}

static void
finish(struct call *c)
{
	loop_timer_cancel(c->p->loop, &c->timer);
	sip_leg_destroy(c->leg);
	list_remove(&c->node);
	free(c);
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
	.refer = refer,
};

static void
on_signal(struct loop_io *io, uint32_t events)
{
	(void)events;
	struct signalfd_siginfo info;

	if (read(io->fd, &info, sizeof info) != sizeof info)
		return;
	sip_stop(program.sip);
}

static bool
watch_signals(struct program *p)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return fd >= 0 && loop_watch(p->loop, &p->signals, fd, EPOLLIN, on_signal) == ERR_OK;
}

static bool
read_listener(const char *url, struct sip_listen *out)
{
	if (str_starts(url, "udp:"))
		out->transport = SIP_UDP;
	else if (str_starts(url, "tcp:"))
		out->transport = SIP_TCP;
	else
		return false;
	return addr_parse_hostport(url + 4, &out->addr);
}

static void
print_stats(struct sip *s)
{
	struct sip_stats st;

	sip_stats(s, &st);
	printf("stats received=%lld malformed=%lld dropped_source=%lld dropped_rate=%lld "
	       "challenged=%lld auth_failed=%lld refused=%lld invites=%lld legs=%lld\n",
	       (long long)st.received, (long long)st.malformed, (long long)st.dropped_source,
	       (long long)st.dropped_rate, (long long)st.challenged, (long long)st.auth_failed,
	       (long long)st.refused, (long long)st.invites, (long long)st.legs);
	fflush(stdout);
}

static struct sip_user user;
static struct cidr networks[16];
static struct account account = { .name = (char[]){ "bench" } };
static struct sip_listen listeners[16];
static struct addr media_addresses[2];
static struct config config = {
	.accounts = &account,
	.account_count = 1,
	.sip = { .listen = listeners,
		 .realm = (char[]){ "handback" },
		 .challenge = 401,
		 .digest = { DIGEST_MD5, DIGEST_SHA256 },
		 .digest_count = 2,
		 .unknown_drop = true,
		 .session_expires_s = 1800,
		 .min_se_s = 90,
		 .max_message = 65536 },
	.media = { .address = { media_addresses, 2 },
		   .codecs = { CODEC_PCMU, CODEC_PCMA },
		   .codec_count = 2 },
};

static bool
read_user(char *text)
{
	char *colon = strchr(text, ':');

	if (!colon)
		return false;
	*colon = '\0';
	user.username = text;
	account.sip.users = &user;
	account.sip.user_count = 1;
	return secret_set(&user.password, colon + 1, strlen(colon + 1));
}

static bool
read_network(const char *text)
{
	size_t n = account.sip.allow.count;

	if (strcmp(text, "-") == 0)
		return true;
	account.sip.allow.items = networks;
	account.sip.allow.count++;
	return n < ARRAY_LEN(networks) && cidr_parse(text, &networks[n]);
}

/* REALM:USER:PASSWORD */
static bool
read_login(char *text)
{
	char *user_at = strchr(text, ':'), *password = user_at ? strchr(user_at + 1, ':') : NULL;

	if (!password)
		return false;
	*user_at = *password = '\0';
	account.returns.auth_realm = text;
	account.returns.auth_username = user_at + 1;
	return secret_set(&account.returns.auth_password, password + 1, strlen(password + 1));
}

static bool
read_flag(int opt)
{
	struct options *o = &program.o;

	switch (opt) {
	case 'r':
		o->ring = true;
		return true;
	case 'n':
		o->never = true;
		return true;
	case 'q':
		o->quiet = true;
		return true;
	case 'x':
		config.sip.unknown_drop = false;
		return true;
	case 'D':
		o->destroy = true;
		return true;
	case 'A':
		o->again = true;
		return true;
	default:
		return false;
	}
}

static bool
read_argument(int opt, char *text)
{
	struct options *o = &program.o;

	switch (opt) {
	case 'w':
		o->wait_ms = (int)strtol(text, NULL, 10);
		return true;
	case 'b':
		o->bye_ms = (int)strtol(text, NULL, 10);
		return true;
	case 'c':
		config.sip.challenge = (int)strtol(text, NULL, 10);
		return true;
	case 's':
		config.sip.session_expires_s = strtol(text, NULL, 10);
		return true;
	case 'm':
		config.sip.min_se_s = strtol(text, NULL, 10);
		return true;
	case 'R':
		o->refer_to = text;
		return true;
	case 'B':
		o->referred_by = text;
		return true;
	case 'u':
		return read_user(text);
	case 'a':
		return read_network(text);
	case 'l':
		return read_login(text);
	default:
		return false;
	}
}

static bool
read_options(int argc, char **argv)
{
	bool networks_given = false, ok = true;
	int opt;

	while (ok && (opt = getopt(argc, argv, "rnqxDAw:b:u:a:c:R:B:l:s:m:")) != -1) {
		ok = optarg ? read_argument(opt, optarg) : read_flag(opt);
		networks_given |= opt == 'a';
	}
	if (ok && !networks_given && !account.sip.user_count)
		ok = read_network("127.0.0.0/8") && read_network("::1");
	for (; ok && optind < argc && config.sip.listen_count < ARRAY_LEN(listeners); optind++)
		ok = read_listener(argv[optind], &listeners[config.sip.listen_count++]);
	return ok && config.sip.listen_count > 0;
}

int
main(int argc, char **argv)
{
	struct fault f = { 0 };
	struct program *p = &program;

	p->o.bye_ms = -1;
	account.sip.domain = (char[]){ "" };
	account.sip.headers_mode = account.sip.nat = true;
	if (!read_options(argc, argv) || !id_init() ||
	    !addr_parse("127.0.0.1", 0, &media_addresses[0]) ||
	    !addr_parse("::1", 0, &media_addresses[1])) {
		fprintf(stderr, "usage: sip_answer [OPTION]... URL...   (see the source)\n");
		return 2;
	}
	log_init("sip_answer");
	p->loop = loop_create();
	p->port = 30000;
	list_init(&p->calls);
	p->sip = p->loop ? sip_create(p->loop, &config, &ops, p, &f) : NULL;
	if (!p->sip || !watch_signals(p)) {
		fprintf(stderr, "sip_answer: %s: %s\n", f.where, f.what);
		return 1;
	}
	printf("ready\n");
	fflush(stdout);
	sip_run(p->sip);
	print_stats(p->sip);
	list_each(it, &p->calls) finish(container_of(it, struct call, node));
	sip_destroy(p->sip);
	close(p->signals.fd);
	loop_unwatch(p->loop, &p->signals);
	loop_destroy(p->loop);
	secret_finish(&user.password);
	secret_finish(&account.returns.auth_password);
	return 0;
}
