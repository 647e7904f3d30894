/* The stack's life: su_root with our loop nested in it, the nta agent, listeners, counters. */
#include "sip-worker/sip/internal.h"

#include <errno.h>
#include <ifaddrs.h>
#include <sofia-sip/nta_tag.h>
#include <sofia-sip/su_log.h>
#include <sofia-sip/su_tag.h>
#include <sofia-sip/tport_tag.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "sip-worker/sip/leg.h"
#include "sip-worker/sip/resolve.h"
#include "sip-worker/sip/tls.h"

#define PAUSE_NS         1000000
#define TURN_MAX_MS      1000 /* a turn waits at most so long: sip_stop() from a stray context */
#define UDP_BUFFER       4194304
#define TCP_IDLE_MS      1800000
#define TCP_HALF_READ_MS 15000
#define MAX_FORWARDS     70
#define NO_FOLDER        "/nonexistent" /* the library's certificates: tls.c has them */
#define LIBRARY_LOG_RATE 5              /* lines a second of the library's own log */

static const char *const transport_names[] = {
	[SIP_UDP] = "udp",
	[SIP_TCP] = "tcp",
	[SIP_TLS] = "tls",
};

/* The library writes pieces of lines, some of them for every bad packet. */
PRINTF(2, 0)
static void
library_log(void *stream, char const *fmt, va_list ap)
{
	static struct log_limit limit;
	char text[512];

	(void)stream;
	if (!log_enabled(LOG_DEBUG) || !log_allowed(&limit, LIBRARY_LOG_RATE))
		return;
	if (vsnprintf(text, sizeof text, fmt, ap) > 0)
		log_debug("sofia", "log", "text=%s", log_quote(text));
}

static int
loop_ready(su_root_magic_t *magic, su_wait_t *wait, su_wakeup_arg_t *arg)
{
	struct sip *s = (void *)arg;

	(void)magic;
	(void)wait;
	s->work++;
	loop_step(s->loop, 0);
	return 0;
}

static bool
create_root(struct sip *s, struct fault *f)
{
	s->root = su_root_create(NULL);
	if (!s->root) {
		fault_set(f, "sip", "cannot create the event root: %s", strerror(errno));
		return false;
	}
	su_root_threading(s->root, 0);
	if (su_wait_create(s->wait, loop_fd(s->loop), SU_WAIT_IN) < 0) {
		fault_set(f, "sip", "cannot watch the loop: %s", strerror(errno));
		return false;
	}
	s->wait_index = su_root_register(s->root, s->wait, loop_ready, (void *)s, 0);
	if (s->wait_index < 0) {
		su_wait_destroy(s->wait);
		fault_set(f, "sip", "cannot nest the loop: %s", strerror(errno));
		return false;
	}
	return true;
}

static bool
create_headers(struct sip *s)
{
	s->home = su_home_new(sizeof *s->home);
	if (!s->home)
		return false;
	s->allow = sip_allow_make(s->home,
				  "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, NOTIFY, PRACK");
	s->accept = sip_accept_make(s->home, "application/sdp");
	s->supported = sip_supported_make(s->home, "timer, 100rel");
	s->server = sip_server_make(s->home, "Handback");
	s->content_type = sip_content_type_make(s->home, "application/sdp");
	s->require_timer = sip_require_make(s->home, "timer");
	return s->allow && s->accept && s->supported && s->server && s->content_type &&
	       s->require_timer;
}

/* public_address of the same family, or the address bound. */
static const struct addr *
advertised(const struct config *cfg, const struct addr *bound)
{
	for (size_t i = 0; i < cfg->sip.public_address.count; i++)
		if (addr_family(&cfg->sip.public_address.items[i]) == addr_family(bound))
			return &cfg->sip.public_address.items[i];
	return bound;
}

static void
host_text(const struct addr *a, char out[ADDR_TEXT_SIZE])
{
	char host[ADDR_TEXT_SIZE];

	addr_host(a, host);
	str_print(out, ADDR_TEXT_SIZE, addr_family(a) == AF_INET6 ? "[%s]" : "%s", host);
}

static bool
bind_listener(struct sip *s, const struct sip_listen *cfg, struct fault *f)
{
	struct listener *l = &s->listeners[s->listener_count];
	const struct addr *public = advertised(s->cfg, &cfg->addr);
	char text[ADDR_TEXT_SIZE], host[ADDR_TEXT_SIZE], bound[ADDR_TEXT_SIZE], url[256];
	const char *transport = transport_names[cfg->transport];
	bool fits, failed;

	addr_text(&cfg->addr, text);
	if (s->listener_count == SIP_LISTEN_MAX) {
		fault_set(f, "sip.listen", "more than %d listeners", SIP_LISTEN_MAX);
		return false;
	}
	host_text(public, host);
	host_text(&cfg->addr, bound);
	fits = str_print(url, sizeof url, "%s:%s:%u;transport=%s%s%s",
			 cfg->transport == SIP_TLS ? "sips" : "sip", host, addr_port(&cfg->addr),
			 transport,
			 public == &cfg->addr ? "" : ";maddr=", public == &cfg->addr ? "" : bound);
	assert(fits);
	(void)fits;
	*l = (struct listener){ .transport = cfg->transport, .addr = cfg->addr };
	str_print(l->ident, sizeof l->ident, "l%zu", s->listener_count);
	/* A request whose connection closes, or never comes about for want of a good certificate,
	 * has failed: without TPTAG_SDWN_ERROR it would wait out its 32 s. */
	tls_adopt(cfg->transport == SIP_TLS);
	failed = nta_agent_add_tport(
		s->agent, URL_STRING_MAKE(url), TPTAG_IDENT(l->ident), TPTAG_SERVER(1),
		TPTAG_STUN_SERVER(0), TPTAG_UDP_RMEM(UDP_BUFFER), TPTAG_UDP_WMEM(UDP_BUFFER),
		TPTAG_IDLE(TCP_IDLE_MS), TPTAG_TIMEOUT(TCP_HALF_READ_MS), TPTAG_PONG2PING(1),
		TPTAG_SDWN_ERROR(1), TPTAG_CERTIFICATE(NO_FOLDER), TAG_END());
	tls_adopt(false);
	if (failed) {
		fault_set(f, "sip.listen", "%s:%s: %s", transport, text, strerror(errno));
		return false;
	}
	l->contact = sip_contact_format(s->home, "<sip:%s:%u%s%s>", host, addr_port(&cfg->addr),
					cfg->transport == SIP_UDP ? "" : ";transport=",
					cfg->transport == SIP_UDP ? "" : transport);
	l->secure_contact = sip_contact_format(s->home, "<sips:%s:%u>", host,
					       addr_port(&cfg->addr));
	if (!l->contact || !l->secure_contact) {
		fault_set(f, "sip", "out of memory");
		return false;
	}
	s->listener_count++;
	return true;
}

/* Every address of this machine by itself, so that Contact, Via and the source of what we send are
 * the address that the peer knows.  Addresses that come later are not listened on. */
static bool
bind_wildcard(struct sip *s, const struct sip_listen *cfg, struct fault *f)
{
	struct ifaddrs *all, *i;
	size_t before = s->listener_count;
	bool ok = true;

	if (getifaddrs(&all) != 0) {
		fault_set(f, "sip.listen", "cannot list local addresses: %s", strerror(errno));
		return false;
	}
	for (i = all; ok && i; i = i->ifa_next) {
		struct sip_listen one = { .transport = cfg->transport };

		if (!i->ifa_addr || i->ifa_addr->sa_family != addr_family(&cfg->addr))
			continue;
		if (addr_family(&cfg->addr) == AF_INET6)
			memcpy(&one.addr.v6, i->ifa_addr, sizeof one.addr.v6);
		else
			memcpy(&one.addr.v4, i->ifa_addr, sizeof one.addr.v4);
		if (addr_family(&one.addr) == AF_INET6 &&
		    IN6_IS_ADDR_LINKLOCAL(&one.addr.v6.sin6_addr))
			continue;
		addr_set_port(&one.addr, addr_port(&cfg->addr));
		ok = bind_listener(s, &one, f);
	}
	freeifaddrs(all);
	if (ok && s->listener_count == before)
		fault_set(f, "sip.listen", "no local address of that family");
	return ok && s->listener_count > before;
}

static bool
create_agent(struct sip *s, struct fault *f)
{
	/* No URL here: every listener is bound by itself, so that a failure can be named. */
	s->agent = nta_agent_create(
		s->root, (url_string_t *)-1, request_received, s, NTATAG_UA(1), NTATAG_MERGE_482(1),
		NTATAG_CANCEL_487(0), NTATAG_SERVER_RPORT(1), NTATAG_UDP_MTU(65535),
		NTATAG_MAXSIZE((usize_t)s->cfg->sip.max_message), NTATAG_MAX_FORWARDS(MAX_FORWARDS),
		NTATAG_USE_NAPTR(0), NTATAG_USE_SRV(0), NTATAG_EXTRA_100(0), NTATAG_PRELOAD(2048),
		TAG_END());
	if (!s->agent) {
		fault_set(f, "sip", "cannot create the SIP agent: %s", strerror(errno));
		return false;
	}
	for (size_t i = 0; i < s->cfg->sip.listen_count; i++) {
		const struct sip_listen *l = &s->cfg->sip.listen[i];

		if (!(addr_is_any(&l->addr) ? bind_wildcard : bind_listener)(s, l, f))
			return false;
	}
	return true;
}

struct sip *
sip_create(struct loop *l, const struct config *cfg, const struct sip_ops *ops, void *app,
	   struct fault *f)
{
	struct sip *s = calloc(1, sizeof *s);

	if (!s) {
		fault_set(f, "sip", "out of memory");
		return NULL;
	}
	s->loop = l;
	s->cfg = cfg;
	s->ops = ops;
	s->app = app;
	s->wait_index = -1;
	list_init(&s->legs);
	list_init(&s->graveyard);
	su_init();
	su_log_redirect(NULL, library_log, NULL);
	s->dialogs = map_create();
	s->dialled = map_create();
	s->digest = digest_create(cfg->sip.realm);
	s->rate = rate_create();
	if (!s->dialogs || !s->dialled || !s->digest || !s->rate || !create_headers(s)) {
		fault_set(f, "sip", "out of memory");
		sip_destroy(s);
		return NULL;
	}
	admission_config(s);
	if (!tls_load(cfg, f) || !create_root(s, f) || !create_agent(s, f) || !guard_create(s, f)) {
		sip_destroy(s);
		return NULL;
	}
	return s;
}

void
sip_destroy(struct sip *s)
{
	if (!s)
		return;
	guard_destroy();
	list_each(it, &s->legs) sip_leg_destroy(container_of(it, struct sip_leg, node));
	list_each(it, &s->legs) leg_bury(container_of(it, struct sip_leg, node));
	leg_reap(s);
	nta_agent_destroy(s->agent);
	tls_unload();
	if (s->wait_index >= 0)
		su_root_deregister(s->root, s->wait_index);
	if (s->root)
		su_root_destroy(s->root);
	su_home_unref(s->home);
	map_destroy(s->dialogs);
	map_destroy(s->dialled);
	resolver_destroy(s->resolver);
	digest_destroy(s->digest);
	rate_destroy(s->rate);
	free(s);
	su_deinit();
}

/* The library rounds the wait for its next timer down, so that it turns without sleep for up to a
 * millisecond before each.  Transactions keep timers for 32 s: after some hundred calls a second that
 * was a third of a core.  A turn that waited for nothing and found nothing is followed by a pause. */
static void
pause_if_idle(struct sip *s, uint64_t work, int64_t began_ns)
{
	static const struct timespec pause = { .tv_nsec = PAUSE_NS };

	if (s->work == work && clock_mono_ns() - began_ns < PAUSE_NS)
		nanosleep(&pause, NULL);
}

void
sip_run(struct sip *s)
{
	s->stopping = false;
	while (!s->stopping) {
		uint64_t work = s->work;
		int64_t began_ns = clock_mono_ns();

		su_root_step(s->root, TURN_MAX_MS);
		leg_reap(s);
		pause_if_idle(s, work, began_ns);
	}
}

void
sip_stop(struct sip *s)
{
	s->stopping = true;
}

void
sip_set_config(struct sip *s, const struct config *cfg)
{
	struct fault f = { 0 };

	if (!tls_load(cfg, &f))
		log_err("sip", "certificates-kept", "where=%s what=%s", log_quote(f.where),
			log_quote(f.what));
	s->cfg = cfg;
	admission_config(s);
}

bool
sip_check_config(const struct config *cfg, struct fault *f)
{
	return tls_check(cfg, f);
}

void
sip_set_draining(struct sip *s, bool draining)
{
	s->draining = draining;
}

void
sip_stats(const struct sip *s, struct sip_stats *out)
{
	*out = s->stats;
}
