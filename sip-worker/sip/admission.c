/* Who may call: by address, by Request-URI domain, by credentials; all of it without state but for
 * the tables of rate.c and digest.c. */
#include "sip-worker/sip/leg.h"

#include <ctype.h>
#include <sofia-sip/url.h>
#include <string.h>

#include "common/clock.h"

#define LISTED_CONNECTIONS   256 /* per address of an account */
#define STRANGER_CONNECTIONS 4
#define CREDENTIALS_MAX      8 /* Authorization headers looked at */

bool
cidr_list_match(const struct cidr_list *list, const struct addr *a)
{
	for (size_t i = 0; i < list->count; i++)
		if (cidr_match(&list->items[i], a))
			return true;
	return false;
}

void
admission_config(struct sip *s)
{
	s->open_users = false;
	for (size_t i = 0; i < s->cfg->account_count; i++) {
		const struct account *a = &s->cfg->accounts[i];

		if (a->sip.user_count && a->sip.allow.count == 0)
			s->open_users = true;
	}
}

static bool
is_own(const struct sip *s, const struct addr *source)
{
	for (size_t i = 0; i < s->listener_count; i++)
		if (addr_equal_host(&s->listeners[i].addr, source))
			return true;
	return false;
}

static bool
is_dialled(const struct sip *s, const struct addr *source)
{
	char host[ADDR_TEXT_SIZE];

	return map_count(s->dialled) > 0 && map_find(s->dialled, addr_host(source, host));
}

bool
dialled_add(struct sip_leg *leg)
{
	char host[ADDR_TEXT_SIZE];
	uintptr_t n = (uintptr_t)map_find(leg->s->dialled, addr_host(&leg->source, host));

	leg->counted = map_put(leg->s->dialled, host, (void *)(n + 1));
	return leg->counted;
}

void
dialled_remove(struct sip_leg *leg)
{
	char host[ADDR_TEXT_SIZE];
	uintptr_t n;

	if (!leg->counted)
		return;
	leg->counted = false;
	n = (uintptr_t)map_remove(leg->s->dialled, addr_host(&leg->source, host));
	if (n > 1 && !map_put(leg->s->dialled, host, (void *)(n - 1)))
		log_warn("sip", "dialled", "why=\"out of memory\"");
}

enum source_class
admission_source(const struct sip *s, const struct addr *source)
{
	for (size_t i = 0; i < s->cfg->account_count; i++)
		if (cidr_list_match(&s->cfg->accounts[i].sip.allow, source))
			return SOURCE_LISTED;
	if (is_own(s, source))
		return SOURCE_OWN;
	if (rate_is_trusted(s->rate, source, loop_now(s->loop)) || is_dialled(s, source))
		return SOURCE_TRUSTED;
	return SOURCE_STRANGER;
}

bool
admission_datagram(struct sip *s, const struct addr *source, const uint8_t *data, size_t len)
{
	/* Keep-alives, STUN and noise: a SIP message begins with a token. */
	if (len < 16 || !isalpha(data[0])) {
		s->stats.malformed++;
		return false;
	}
	if (admission_source(s, source) != SOURCE_STRANGER)
		return true;
	if (s->cfg->sip.unknown_drop && !s->open_users) {
		s->stats.dropped_source++;
		return false;
	}
	if (!rate_take(s->rate, source, loop_now(s->loop))) {
		s->stats.dropped_rate++;
		return false;
	}
	return true;
}

bool
admission_connection(const struct sip *s, const struct addr *source, size_t open)
{
	if (admission_source(s, source) != SOURCE_STRANGER)
		return open < LISTED_CONNECTIONS;
	return (s->open_users || !s->cfg->sip.unknown_drop) && open < STRANGER_CONNECTIONS;
}

static bool
address_fits(const struct account *a, const struct addr *source)
{
	return a->sip.allow.count == 0 || cidr_list_match(&a->sip.allow, source);
}

/* Accounts with a domain are tried first; pass 0 and 1. */
static bool
domain_fits(const struct account *a, const char *host, int pass)
{
	if (pass == 0)
		return a->sip.domain[0] && str_eq_nocase(a->sip.domain, host);
	return a->sip.domain[0] == '\0';
}

static const struct sip_user *
find_user(const struct account *a, const char *username)
{
	for (size_t i = 0; i < a->sip.user_count; i++)
		if (strcmp(a->sip.users[i].username, username) == 0)
			return &a->sip.users[i];
	return NULL;
}

/* The URI that was signed must name what is asked for.  SBCs rewrite ports and parameters, some
 * clients sign the host alone; a replay is stopped by the nonce count. */
static bool
uri_fits(struct request *rq, const char *text)
{
	const url_t *asked = rq->sip->sip_request->rq_url;
	const url_t *given = url_make(msg_home(rq->msg), text);

	return given && str_eq_nocase(given->url_host, asked->url_host) &&
	       (!given->url_user || str_eq(given->url_user, asked->url_user));
}

static bool
is_offered(const struct config *cfg, enum digest_alg alg)
{
	for (size_t i = 0; i < cfg->sip.digest_count; i++)
		if (cfg->sip.digest[i] == alg)
			return true;
	return false;
}

/* The library hands the parameters over as a list; ours is the one parser that judges them. */
static bool
read_credentials(const msg_auth_t *au, struct digest_response *out)
{
	char text[3072];
	size_t n = 0;

	if (!str_eq_nocase(au->au_scheme, "Digest") || !au->au_params)
		return false;
	for (size_t i = 0; au->au_params[i]; i++) {
		size_t len = strlen(au->au_params[i]);

		if (n + len + 2 > sizeof text)
			return false;
		if (n)
			text[n++] = ',';
		memcpy(text + n, au->au_params[i], len);
		n += len;
	}
	text[n] = '\0';
	return digest_parse(text, out);
}

struct credentials {
	struct digest_response responses[CREDENTIALS_MAX];
	size_t count;
};

static void
collect_credentials(struct request *rq, const msg_auth_t *au, struct credentials *c)
{
	for (; au && c->count < CREDENTIALS_MAX; au = au->au_next) {
		struct digest_response *r = &c->responses[c->count];

		if (read_credentials(au, r) && strcmp(r->realm, rq->s->cfg->sip.realm) == 0 &&
		    is_offered(rq->s->cfg, r->algorithm) && uri_fits(rq, r->uri))
			c->count++;
	}
}

struct outcome {
	const struct account *account; /* admitted */
	bool challenge, stale;
};

static enum digest_verdict
check_users(struct request *rq, const struct account *a, const struct credentials *c)
{
	enum digest_verdict verdict = DIGEST_WRONG;
	const char *method = rq->sip->sip_request->rq_method_name;

	for (size_t i = 0; i < c->count && verdict == DIGEST_WRONG; i++) {
		const struct digest_response *r = &c->responses[i];

		verdict = digest_check(rq->s->digest, r, find_user(a, r->username), method,
				       &rq->source, clock_mono_ms() / 1000);
	}
	return verdict;
}

static void
try_account(struct request *rq, const struct account *a, const struct credentials *c,
	    struct outcome *out)
{
	enum digest_verdict verdict;

	if (!address_fits(a, &rq->source))
		return;
	if (a->sip.user_count == 0) {
		out->account = a;
		return;
	}
	out->challenge = true;
	verdict = check_users(rq, a, c);
	if (verdict == DIGEST_OK)
		out->account = a;
	else if (verdict == DIGEST_STALE)
		out->stale = true;
}

static struct outcome
find_account(struct request *rq, const struct credentials *c)
{
	const struct config *cfg = rq->s->cfg;
	const char *host = rq->sip->sip_request->rq_url->url_host;
	struct outcome out = { 0 };

	for (int pass = 0; pass < 2 && !out.account; pass++)
		for (size_t i = 0; i < cfg->account_count && !out.account; i++)
			if (domain_fits(&cfg->accounts[i], host ? host : "", pass))
				try_account(rq, &cfg->accounts[i], c, &out);
	return out;
}

static void
refuse_stranger(struct request *rq)
{
	rq->s->stats.dropped_source++;
	if (rq->s->cfg->sip.unknown_drop && rq->transport == SIP_UDP)
		nta_msg_discard(rq->s->agent, rq->msg);
	else
		reply_plain(rq, 403, NULL);
}

bool
admission_request(struct request *rq)
{
	struct sip *s = rq->s;
	struct credentials c;
	struct outcome out;
	int64_t now = loop_now(s->loop);

	if (rq->transport != SIP_UDP && admission_source(s, &rq->source) == SOURCE_STRANGER &&
	    !rate_take(s->rate, &rq->source, now)) {
		s->stats.dropped_rate++;
		nta_msg_discard(s->agent, rq->msg);
		return false;
	}
	c.count = 0;
	collect_credentials(rq, rq->sip->sip_authorization, &c);
	collect_credentials(rq, rq->sip->sip_proxy_authorization, &c);
	out = find_account(rq, &c);
	if (out.account) {
		if (out.account->sip.user_count)
			rate_trust(s->rate, &rq->source, now);
		rq->account = out.account;
		return true;
	}
	if (!out.challenge) {
		refuse_stranger(rq);
		return false;
	}
	if ((rq->sip->sip_authorization || rq->sip->sip_proxy_authorization) && !out.stale) {
		s->stats.auth_failed++;
		invite_refused(rq, NULL, s->cfg->sip.challenge, "credentials are wrong");
	}
	reply_challenge(rq, out.stale);
	return false;
}
