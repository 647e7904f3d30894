/* Offer/answer (RFC 3264): which line, which codec, which address. */
#include "sip-worker/sip/sdp.h"

#include <string.h>

#define PTIME_DEFAULT_MS 20
#define PTIME_MIN_MS     10
#define PTIME_MAX_MS     60

static bool
codec_of(const struct sdp_format *f, enum codec *out)
{
	if (f->kind == SDP_PCMU)
		*out = CODEC_PCMU;
	else if (f->kind == SDP_PCMA)
		*out = CODEC_PCMA;
	else
		return false;
	return true;
}

static bool
is_ours(const struct sdp_capabilities *caps, enum codec codec)
{
	for (size_t i = 0; i < caps->codec_count; i++)
		if (caps->codecs[i] == codec)
			return true;
	return false;
}

/* The peer's order decides: it put first what it need not transcode. */
static bool
pick_codec(const struct sdp_media *m, const struct sdp_capabilities *caps,
	   struct media_remote *remote)
{
	enum codec codec;
	bool found = false;

	remote->dtmf_payload_type = -1;
	for (size_t i = 0; i < m->format_count; i++) {
		const struct sdp_format *f = &m->formats[i];

		if (f->kind == SDP_DTMF && remote->dtmf_payload_type < 0)
			remote->dtmf_payload_type = f->payload_type;
		if (found || !codec_of(f, &codec) || !is_ours(caps, codec))
			continue;
		found = true;
		remote->codec = codec;
		remote->payload_type = f->payload_type;
	}
	return found;
}

static int
pick_ptime(const struct sdp_media *m)
{
	int ptime = m->ptime_ms ? m->ptime_ms : PTIME_DEFAULT_MS;

	if (m->maxptime_ms && ptime > m->maxptime_ms)
		ptime = m->maxptime_ms;
	if (ptime > PTIME_MAX_MS)
		ptime = PTIME_MAX_MS;
	ptime -= ptime % 10;
	return ptime < PTIME_MIN_MS ? PTIME_MIN_MS : ptime;
}

/* The mirror of what the peer does. */
static enum media_direction
our_direction(const struct sdp_media *m)
{
	if (m->direction == MEDIA_INACTIVE)
		return MEDIA_INACTIVE;
	/* The old way to hold (RFC 2543): nothing may be sent to 0.0.0.0. */
	if (addr_is_any(&m->address))
		return m->direction == MEDIA_RECVONLY ? MEDIA_INACTIVE : MEDIA_RECVONLY;
	if (m->direction == MEDIA_SENDONLY)
		return MEDIA_RECVONLY;
	return m->direction == MEDIA_RECVONLY ? MEDIA_SENDONLY : MEDIA_SENDRECV;
}

static void
set_addresses(const struct sdp_media *m, struct media_remote *remote)
{
	bool held = addr_is_any(&m->address);

	remote->rtp = m->address;
	addr_set_port(&remote->rtp, held ? 0 : m->port);
	remote->rtcp = remote->rtp;
	remote->rtcp_mux = m->rtcp_mux;
	if (held || m->rtcp_mux)
		return;
	if (m->rtcp_address_kind == SDP_NUMERIC && !addr_is_any(&m->rtcp_address) &&
	    !addr_is_multicast(&m->rtcp_address) &&
	    addr_family(&m->rtcp_address) == addr_family(&m->address))
		remote->rtcp = m->rtcp_address;
	if (m->rtcp_port)
		addr_set_port(&remote->rtcp, m->rtcp_port);
	else
		addr_set_port(&remote->rtcp, m->port < 65535 ? (uint16_t)(m->port + 1) : 0);
}

bool
sdp_is_secure(const struct sdp_line *line)
{
	return str_eq_nocase(line->proto, "RTP/SAVP") || str_eq_nocase(line->proto, "RTP/SAVPF");
}

static bool
is_audio(const struct sdp_media *m, bool secure)
{
	if (!str_eq_nocase(m->line.media, "audio") || m->port == 0)
		return false;
	return secure ? sdp_is_secure(&m->line)
		      : str_eq_nocase(m->line.proto, "RTP/AVP") ||
				str_eq_nocase(m->line.proto, "RTP/AVPF");
}

/* false: this line cannot carry the call, and *why it cannot. */
static bool
acceptable(const struct sdp_media *m, const struct sdp_capabilities *caps, bool secure,
	   struct media_remote *remote, const char **why)
{
	*why = secure ? "no SRTP audio offered" : "no plain RTP audio offered";
	if (!is_audio(m, secure))
		return false;
	*why = "no SRTP key that can be used";
	if (secure && !m->crypto.key.suite)
		return false;
	*why = "no address in the session description";
	if (m->address_kind == SDP_NO_ADDRESS)
		return false;
	*why = "media address is not numeric";
	if (m->address_kind == SDP_NAME)
		return false;
	*why = "media address is multicast";
	if (addr_is_multicast(&m->address))
		return false;
	*why = "no media address of that family";
	if (!(addr_family(&m->address) == AF_INET6 ? caps->ipv6 : caps->ipv4))
		return false;
	*why = "no codec in common";
	return pick_codec(m, caps, remote);
}

static void
take_line(const struct sdp_media *m, size_t index, const struct sdp_capabilities *caps,
	  struct media_remote *remote, struct sdp_layout *layout)
{
	layout->audio = index;
	layout->crypto_tag[0] = '\0';
	remote->ptime_ms = pick_ptime(m);
	remote->direction = our_direction(m);
	set_addresses(m, remote);
	if (caps->srtp == SRTP_OFF || !m->crypto.key.suite)
		return;
	remote->hear_key = m->crypto.key;
	memcpy(layout->crypto_tag, m->crypto.tag, sizeof(layout->crypto_tag));
}

/* Among the encrypted lines, or among the others; *why stays NULL without any such line. */
static bool
pick_line(const struct sdp *sdp, const struct sdp_capabilities *caps, bool secure,
	  struct media_remote *remote, struct sdp_layout *layout, const char **why)
{
	for (size_t i = 0; i < sdp->count; i++) {
		const struct sdp_media *m = &sdp->media[i];
		const char *here;

		if (acceptable(m, caps, secure, remote, &here)) {
			take_line(m, i, caps, remote, layout);
			return true;
		}
		if (is_audio(m, secure))
			*why = here;
	}
	return false;
}

bool
sdp_negotiate(const struct sdp *sdp, const struct sdp_capabilities *caps,
	      struct media_remote *remote, struct sdp_layout *layout, const char **why)
{
	const char *said = NULL;

	*remote = (struct media_remote){ 0 };
	layout->count = sdp->count;
	for (size_t i = 0; i < sdp->count; i++)
		layout->lines[i] = sdp->media[i].line;
	if (caps->srtp != SRTP_OFF && pick_line(sdp, caps, true, remote, layout, &said))
		return true;
	if (caps->srtp != SRTP_REQUIRED && pick_line(sdp, caps, false, remote, layout, &said))
		return true;
	if (!said)
		said = caps->srtp == SRTP_REQUIRED ? "no SRTP audio offered"
						   : "no plain RTP audio offered";
	*why = said;
	return false;
}
