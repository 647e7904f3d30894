/* Offer and answer of a leg, between the SDP functions and the messages. */
#include <sofia-sip/sip_tag.h>
#include <stdlib.h>
#include <string.h>

#include "common/secret.h"
#include "sip-worker/sip/leg.h"
#include "sip-worker/sip/session.h"

enum body_kind
session_body(const sip_t *sip, const char **sdp, size_t *len)
{
	const sip_payload_t *pl = sip->sip_payload;
	const sip_content_type_t *c = sip->sip_content_type;
	char type[256];

	if (!pl || pl->pl_len == 0)
		return BODY_NONE;
	if (!c || (sip->sip_content_encoding && sip->sip_content_encoding->k_items &&
		   !str_eq_nocase(sip->sip_content_encoding->k_items[0], "identity")))
		return BODY_UNSUPPORTED;
	str_print(type, sizeof type, "%s", c->c_type);
	for (size_t i = 0, n; c->c_params && c->c_params[i]; i++) {
		n = strlen(type);
		str_print(type + n, sizeof type - n, ";%s", c->c_params[i]);
	}
	return body_find_sdp(type, pl->pl_data, pl->pl_len, sdp, len);
}

static bool
has_family(const struct addr_list *list, int family)
{
	for (size_t i = 0; i < list->count; i++)
		if (addr_family(&list->items[i]) == family)
			return true;
	return false;
}

static void
capabilities(const struct sip *s, const struct sip_leg *leg, struct sdp_capabilities *caps)
{
	bool own = leg && leg->codec_count > 0;

	*caps = (struct sdp_capabilities){
		.codecs = own ? leg->codecs : s->cfg->media.codecs,
		.codec_count = own ? leg->codec_count : s->cfg->media.codec_count,
		.ipv4 = has_family(&s->cfg->media.address, AF_INET),
		.ipv6 = has_family(&s->cfg->media.address, AF_INET6),
		.srtp = s->cfg->media.srtp,
	};
}

static int
negotiate(const struct sdp_capabilities *caps, const char *text, size_t len,
	  struct session_result *out, const char **why)
{
	struct sdp sdp;
	int status = 0;

	if (!sdp_parse(text, len, &sdp, why))
		status = 400;
	else if (!sdp_negotiate(&sdp, caps, &out->remote, &out->layout, why))
		status = 488;
	secret_wipe(&sdp, sizeof sdp);
	return status;
}

/* Ours lasts as long as the peer's: with a new key a new end may have come, which has not counted
 * our packets. */
static void
choose_key(const struct sip_leg *leg, struct media_remote *remote)
{
	if (!remote->hear_key.suite)
		return;
	if (leg && srtp_key_equal(&leg->remote_sdp.hear_key, &remote->hear_key))
		remote->send_key = leg->remote_sdp.send_key;
	else
		sdes_make_key(&remote->send_key, remote->hear_key.suite);
}

int
session_negotiate(const struct sip *s, const struct sip_leg *leg, const char *text, size_t len,
		  struct session_result *out, const char **why)
{
	struct sdp_capabilities caps;
	int status;

	capabilities(s, leg, &caps);
	status = negotiate(&caps, text, len, out, why);
	if (status)
		return status;
	if (leg && leg->remote_sdp.hear_key.suite && !out->remote.hear_key.suite) {
		*why = "an encrypted call stays encrypted";
		return 488;
	}
	choose_key(leg, &out->remote);
	return 0;
}

static sip_payload_t *
take_payload(struct buf *b, su_home_t *home)
{
	sip_payload_t *payload = b->failed ? NULL
					   : sip_payload_create(home, b->data, (isize_t)b->len);

	buf_finish(b);
	return payload;
}

static sip_payload_t *
describe_answer(struct sip_leg *leg, su_home_t *home)
{
	struct buf b;

	buf_init(&b, SDP_TEXT_MAX);
	leg->local_sdp.direction = leg->remote_sdp.direction;
	leg->local_sdp.rtcp_mux = leg->remote_sdp.rtcp_mux;
	sdp_write_answer(&b, &leg->local_sdp, &leg->remote_sdp, leg->layout);
	return take_payload(&b, home);
}

/* The key of an offer of ours: the one in use; in the first offer what the policy says, so that
 * a call begun in clear stays so. */
static void
offer_key(struct sip_leg *leg, enum srtp_policy policy)
{
	struct srtp_key *key = &leg->local_sdp.offer_key;

	*key = leg->remote_sdp.send_key;
	if (!key->suite && !leg->layout && policy != SRTP_OFF)
		sdes_make_key(key, SRTP_SUITE_80);
}

static sip_payload_t *
describe_offer(struct sip_leg *leg, su_home_t *home)
{
	struct sdp_capabilities caps;
	struct buf b;

	buf_init(&b, SDP_TEXT_MAX);
	capabilities(leg->s, leg, &caps);
	offer_key(leg, caps.srtp);
	/* Our own wish: who was held may come back this way. */
	leg->local_sdp.direction = MEDIA_SENDRECV;
	leg->local_sdp.rtcp_mux = false;
	sdp_write_offer(&b, &leg->local_sdp, &caps, leg->layout);
	leg->offer_pending = true;
	return take_payload(&b, home);
}

sip_payload_t *
session_describe(struct sip_leg *leg, su_home_t *home)
{
	if (leg->layout && !leg->offer_wanted)
		return describe_answer(leg, home);
	return describe_offer(leg, home);
}

/* The answer may take the key that was offered, or leave it where it was offered as a choice. */
static bool
answer_key(struct sip_leg *leg, struct session_result *result)
{
	const struct srtp_key *offered = &leg->local_sdp.offer_key;
	struct media_remote *r = &result->remote;

	if (!r->hear_key.suite)
		return !leg->remote_sdp.send_key.suite;
	if (r->hear_key.suite != offered->suite ||
	    !str_eq(result->layout.crypto_tag, SDP_OFFER_TAG))
		return false;
	r->send_key = *offered;
	return true;
}

static bool
take_answer(struct sip_leg *leg, const char *sdp, size_t len, const char **why)
{
	struct session_result result;
	struct sdp_capabilities caps;
	bool ok = false;

	capabilities(leg->s, leg, &caps);
	if (!leg->local_sdp.offer_key.suite)
		caps.srtp = SRTP_OFF;
	if (negotiate(&caps, sdp, len, &result, why) == 0) {
		*why = "the answer does not take the SRTP key offered";
		ok = answer_key(leg, &result) && session_keep_layout(leg, &result.layout);
	}
	if (ok) {
		leg->remote_sdp = result.remote;
		leg->local_sdp.direction = result.remote.direction;
	}
	secret_wipe(&result, sizeof result);
	return ok;
}

bool
session_ack(struct sip_leg *leg, const sip_t *ack, const char **why)
{
	const char *sdp;
	size_t len;
	bool ok;

	leg->offer_pending = leg->offer_wanted = false;
	*why = "no answer in the ACK";
	ok = session_body(ack, &sdp, &len) == BODY_SDP && take_answer(leg, sdp, len, why);
	secret_wipe(&leg->local_sdp.offer_key, sizeof leg->local_sdp.offer_key);
	return ok;
}

bool
session_keep_layout(struct sip_leg *leg, const struct sdp_layout *layout)
{
	if (!leg->layout)
		leg->layout = malloc(sizeof *leg->layout);
	if (leg->layout)
		*leg->layout = *layout;
	return leg->layout != NULL;
}
