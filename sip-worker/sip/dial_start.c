/* An outbound leg from the wish to the search for addresses. */
#include "sip-worker/sip/dial.h"

#include <sofia-sip/sip_util.h>
#include <stdlib.h>
#include <string.h>

#include "common/id.h"
#include "common/secret.h"
#include "sip-worker/sip/dialling.h"
#include "sip-worker/sip/session.h"

#define RING_MAX_MS      170000 /* below the library's own limit, timer C */
#define MAX_FORWARDS_OWN 69

static bool
add_header(struct dialling *d, const char *name, const char *value)
{
	size_t size = strlen(name) + strlen(value) + 3;
	char *line = malloc(size);

	if (!line)
		return false;
	str_print(line, size, "%s: %s", name, value);
	d->headers[d->header_count++] = line;
	return true;
}

static enum err
copy_headers(struct dialling *d, const struct sip_dial *from)
{
	const struct target *t = &d->target;

	d->headers = calloc(t->header_count + from->header_count + 1, sizeof *d->headers);
	if (!d->headers)
		return ERR_NOMEM;
	for (size_t i = 0; i < t->header_count; i++)
		if (!add_header(d, t->headers[i], target_header_value(t->headers[i])))
			return ERR_NOMEM;
	for (size_t i = 0; i < from->header_count; i++) {
		const struct sip_header_line *h = &from->headers[i];

		if (!target_header_allowed(h->name) || str_has_control(h->value))
			return ERR_INVALID;
		if (!add_header(d, h->name, h->value))
			return ERR_NOMEM;
	}
	return ERR_OK;
}

static enum err
copy_login(struct dialling *d, const struct sip_dial *from)
{
	if (!from->username || !from->username[0] || !from->password)
		return ERR_OK;
	d->username = strdup(from->username);
	d->realm = strdup(from->realm ? from->realm : "");
	return d->username && d->realm &&
			       secret_set(&d->password, from->password, strlen(from->password))
		       ? ERR_OK
		       : ERR_NOMEM;
}

static enum err
create_dialling(struct sip_leg *leg, const struct sip_dial *from, const struct sip_dial_ops *ops)
{
	struct dialling *d = calloc(1, sizeof *d);
	const char *why;
	enum err e;

	if (!d)
		return ERR_NOMEM;
	leg->dial = d;
	d->leg = leg;
	d->ops = *ops;
	d->max_forwards = MAX_FORWARDS_OWN;
	if (from->inbound) {
		d->has_source = true;
		d->source = from->inbound->source;
		d->max_forwards = from->inbound->max_forwards ? from->inbound->max_forwards - 1 : 0;
	}
	e = target_parse(from->uri, &d->target, &why);
	if (e == ERR_OK)
		e = copy_headers(d, from);
	else
		log_warn("sip", "bad-target", "why=%s", log_quote(why));
	return e == ERR_OK ? copy_login(d, from) : e;
}

/* The URI as it was written, but its headers. */
static bool
address_to(struct sip_leg *leg)
{
	const struct target *t = &leg->dial->target;
	const url_t plain = URL_INIT_AS(sip), secure = URL_INIT_AS(sips);
	url_t url = t->secure ? secure : plain;

	url.url_user = t->user;
	url.url_host = t->host;
	url.url_port = t->port_text;
	url.url_params = t->params;
	leg->target = sip_contact_create(leg->home, (url_string_t *)&url, NULL);
	leg->remote = sip_to_create(leg->home, (url_string_t *)&url);
	return leg->target && leg->remote;
}

static bool
address_from(struct sip_leg *leg, const struct sip_dial *from)
{
	const struct sip_leg *in = from->inbound;
	bool original = from->caller_id == CALLER_ORIGINAL;
	const sip_addr_t *who = !in        ? NULL
				: original ? (sip_addr_t *)in->remote
					   : (sip_addr_t *)in->local;
	url_t url = who ? *who->a_url : *leg->s->listeners[0].contact->m_url;

	url.url_headers = url.url_fragment = NULL;
	leg->local = sip_from_create(leg->home, (url_string_t *)&url);
	if (!leg->local)
		return false;
	if (who && original && who->a_display)
		leg->local->a_display = su_strdup(leg->home, who->a_display);
	return sip_from_tag(leg->home, leg->local, leg->tag) == 0;
}

static bool
describe(struct sip_leg *leg, const struct sip_dial *from)
{
	struct dialling *d = leg->dial;
	sip_payload_t *payload;

	leg->local_sdp.media = from->local;
	memcpy(leg->codecs, from->codecs, sizeof leg->codecs);
	leg->codec_count = from->codec_count;
	payload = session_describe(leg, leg->home);
	if (!payload)
		return false;
	d->offer = strndup(payload->pl_data, payload->pl_len);
	d->offer_key = leg->local_sdp.offer_key;
	return d->offer != NULL;
}

static enum err
judge(const struct sip_leg *leg)
{
	const struct target *t = &leg->dial->target;
	struct addr a = t->address;
	const char *why;

	if (!t->is_address)
		return ERR_OK;
	if (!addr_port(&a))
		addr_set_port(&a, t->secure ? 5061 : 5060);
	if (dial_may_reach(leg, &a, &why))
		return ERR_OK;
	log_warn("sip", "target-refused", "account=%s why=%s", log_quote(leg->account->name),
		 log_quote(why));
	return ERR_FORBIDDEN;
}

static enum err
begin(struct sip_leg *leg, const struct sip_dial *from)
{
	struct sip *s = leg->s;
	struct dialling *d = leg->dial;
	const struct resolve_question q = {
		.name = d->target.name,
		.port = d->target.port,
		.secure = d->target.secure,
		.has_transport = d->target.has_transport,
		.transport = d->target.transport,
		.family = addr_family(&from->local.rtp),
	};
	int64_t ring = leg->account->returns.ring_timeout_ms;
	char call_id[ID_TOKEN_SIZE];

	leg->call_id = sip_call_id_make(leg->home, id_token(call_id));
	if (!leg->call_id || !address_to(leg) || !address_from(leg, from) || !describe(leg, from))
		return ERR_NOMEM;
	if (!s->resolver)
		s->resolver = resolver_create(s->loop, NULL);
	if (!s->resolver ||
	    !loop_timer_set(s->loop, &d->ring, ring > 0 && ring < RING_MAX_MS ? ring : RING_MAX_MS,
			    dial_ring_timeout))
		return ERR_NOMEM;
	d->resolution = resolve_start(s->resolver, &q, dial_found, leg);
	return d->resolution ? ERR_OK : ERR_NOMEM;
}

enum err
sip_dial(struct sip *s, const struct sip_dial *from, const struct sip_dial_ops *ops, void *owner,
	 struct sip_leg **out)
{
	struct sip_leg *leg = leg_alloc(s, from->account);
	enum err e;

	if (!leg)
		return ERR_NOMEM;
	e = create_dialling(leg, from, ops);
	if (e == ERR_OK)
		e = judge(leg);
	if (e == ERR_OK && !leg_register(leg))
		e = ERR_NOMEM;
	if (e != ERR_OK) {
		leg_free(leg);
		return e;
	}
	e = begin(leg, from);
	if (e != ERR_OK) {
		leg_bury(leg);
		return e;
	}
	sip_leg_set_owner(leg, owner);
	*out = leg;
	return ERR_OK;
}
