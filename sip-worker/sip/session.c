/* Offer and answer of a leg, between the SDP functions and the messages. */
#include <sofia-sip/sip_tag.h>
#include <stdlib.h>
#include <string.h>

#include "sip-worker/sip/leg.h"

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
capabilities(const struct sip *s, struct sdp_capabilities *caps)
{
	*caps = (struct sdp_capabilities){
		.codecs = s->cfg->media.codecs,
		.codec_count = s->cfg->media.codec_count,
		.ipv4 = has_family(&s->cfg->media.address, AF_INET),
		.ipv6 = has_family(&s->cfg->media.address, AF_INET6),
	};
}

int
session_negotiate(const struct sip *s, const char *text, size_t len, struct session_result *out,
		  const char **why)
{
	struct sdp_capabilities caps;
	struct sdp sdp;

	if (!sdp_parse(text, len, &sdp, why))
		return 400;
	capabilities(s, &caps);
	return sdp_negotiate(&sdp, &caps, &out->remote, &out->layout, why) ? 0 : 488;
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

static sip_payload_t *
describe_offer(struct sip_leg *leg, su_home_t *home)
{
	struct sdp_capabilities caps;
	struct buf b;

	buf_init(&b, SDP_TEXT_MAX);
	capabilities(leg->s, &caps);
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

bool
session_ack(struct sip_leg *leg, const sip_t *ack, const char **why)
{
	struct session_result result;
	const char *sdp;
	size_t len;

	leg->offer_pending = leg->offer_wanted = false;
	*why = "no answer in the ACK";
	if (session_body(ack, &sdp, &len) != BODY_SDP ||
	    session_negotiate(leg->s, sdp, len, &result, why) != 0)
		return false;
	leg->remote_sdp = result.remote;
	leg->local_sdp.direction = result.remote.direction;
	return session_keep_layout(leg, &result.layout);
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
