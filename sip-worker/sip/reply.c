/* Answers of the stack itself, most of them without a transaction. */
#include "sip-worker/sip/internal.h"

#include <inttypes.h>
#include <sodium.h>
#include <sofia-sip/sip_status.h>
#include <sofia-sip/sip_tag.h>
#include <sofia-sip/sip_util.h>
#include <sofia-sip/nta_stateless.h>
#include <sofia-sip/su_tagarg.h>
#include <string.h>

#include "common/clock.h"
#include "common/id.h"

/* Retransmissions of a request must see the same To tag (RFC 3261 8.2.7). */
static void
set_tag(struct request *rq)
{
	static uint8_t key[crypto_shorthash_KEYBYTES];
	static bool keyed;
	uint8_t sum[crypto_shorthash_BYTES];
	char tag[2 * sizeof sum + 1], seed[SIP_TEXT_MAX];
	const sip_via_t *via = rq->sip->sip_via;

	if (!rq->sip->sip_to || rq->sip->sip_to->a_tag)
		return;
	if (!keyed) {
		id_random(key, sizeof key);
		keyed = true;
	}
	str_print(seed, sizeof seed, "%s %s", via && via->v_branch ? via->v_branch : "",
		  rq->sip->sip_call_id ? rq->sip->sip_call_id->i_id : "");
	crypto_shorthash(sum, (const uint8_t *)seed, strlen(seed), key);
	sip_to_tag(msg_home(rq->msg), rq->sip->sip_to, id_hex(tag, sum, sizeof sum));
}

const char *
reply_phrase(int status)
{
	const char *phrase = sip_status_phrase(status);

	return phrase ? phrase : "Refused";
}

/* Quoted text of a header: printable, no quotes. */
static void
safe_text(char *out, size_t size, const char *why)
{
	headers_clean(out, size, why);
	for (char *c = out; *c; c++)
		if (*c == '"' || *c == '\\')
			*c = '\'';
}

sip_warning_t *
reply_warning(su_home_t *home, int code, const char *why)
{
	char text[SIP_TEXT_MAX];

	safe_text(text, sizeof text, why);
	return sip_warning_format(home, "%d handback \"%s\"", code, text);
}

sip_header_t *
reply_reason(su_home_t *home, int status, const char *why)
{
	char text[SIP_TEXT_MAX];

	safe_text(text, sizeof text, why);
	return (sip_header_t *)sip_reason_format(home, "SIP;cause=%d;text=\"%s\"", status, text);
}

void
reply_send(struct request *rq, int status, const char *phrase, tag_type_t tag, tag_value_t value,
	   ...)
{
	ta_list ta;

	ta_start(ta, tag, value);
	if (rq->irq) {
		nta_incoming_treply(rq->irq, status, phrase, SIPTAG_SERVER(rq->s->server),
				    ta_tags(ta));
		nta_incoming_destroy(rq->irq);
		rq->irq = NULL;
	} else {
		set_tag(rq);
		nta_msg_treply(rq->s->agent, rq->msg, status, phrase, SIPTAG_SERVER(rq->s->server),
			       ta_tags(ta));
	}
	ta_end(ta);
}

void
reply_plain(struct request *rq, int status, const char *phrase)
{
	reply_send(rq, status, phrase ? phrase : reply_phrase(status), TAG_END());
}

static int
warn_code(int status)
{
	return status == 488 ? 305 : 399;
}

void
reply_refuse(struct request *rq, int status, const char *why, int retry_after_s,
	     const sip_header_t *extra)
{
	su_home_t *home = msg_home(rq->msg);
	sip_retry_after_t *retry = NULL;

	rq->s->stats.refused++;
	if (retry_after_s > 0)
		retry = sip_retry_after_format(home, "%d", retry_after_s);
	reply_send(rq, status, reply_phrase(status),
		   SIPTAG_WARNING(reply_warning(home, warn_code(status), why)),
		   SIPTAG_HEADER(reply_reason(home, status, why)), SIPTAG_RETRY_AFTER(retry),
		   SIPTAG_HEADER(extra), TAG_END());
}

void
reply_challenge(struct request *rq, bool stale)
{
	struct sip *s = rq->s;
	char nonce[DIGEST_NONCE_SIZE], text[512];
	bool proxy = s->cfg->sip.challenge == 407;
	su_home_t *home = msg_home(rq->msg);
	msg_auth_t *first = NULL, **next = &first;

	s->stats.challenged++;
	digest_nonce(s->digest, &rq->source, clock_mono_ms() / 1000, nonce);
	for (size_t i = 0; i < s->cfg->sip.digest_count; i++) {
		str_print(text, sizeof text,
			  "Digest realm=\"%s\", nonce=\"%s\", algorithm=%s, "
			  "qop=\"auth\"%s",
			  s->cfg->sip.realm, nonce, digest_alg_name(s->cfg->sip.digest[i]),
			  stale ? ", stale=true" : "");
		*next = proxy ? sip_proxy_authenticate_make(home, text)
			      : sip_www_authenticate_make(home, text);
		if (!*next)
			break;
		next = &(*next)->au_next;
	}
	reply_send(rq, proxy ? 407 : 401, reply_phrase(proxy ? 407 : 401),
		   SIPTAG_HEADER((sip_header_t *)first), TAG_END());
}
