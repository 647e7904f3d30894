#include "sip-worker/sip/sdp.h"

#include <inttypes.h>

#include "common/secret.h"

#define OFFERED_DTMF_TYPE 101

static const char *const direction_names[] = {
	[MEDIA_SENDRECV] = "sendrecv",
	[MEDIA_SENDONLY] = "sendonly",
	[MEDIA_RECVONLY] = "recvonly",
	[MEDIA_INACTIVE] = "inactive",
};

static const uint8_t static_type[CODEC_COUNT] = { [CODEC_PCMU] = 0, [CODEC_PCMA] = 8 };

static const char *
family_name(const struct addr *a)
{
	return addr_family(a) == AF_INET6 ? "IP6" : "IP4";
}

static void
write_session(struct buf *out, const struct sdp_local *local)
{
	char host[ADDR_TEXT_SIZE];
	const char *family = family_name(&local->media.rtp);

	addr_host(&local->media.rtp, host);
	buf_printf(out,
		   "v=0\r\no=- %" PRIu64 " %" PRIu64 " IN %s %s\r\ns=-\r\nc=IN %s %s\r\nt=0 0\r\n",
		   local->session, local->version, family, host, family, host);
}

static void
write_refused(struct buf *out, const struct sdp_line *line)
{
	buf_printf(out, "m=%s 0 %s %s\r\n", line->media, line->proto, line->format);
}

static void
write_key(struct buf *out, const char *tag, const struct srtp_key *key)
{
	struct sdes line = { .key = *key };

	if (key->suite && str_copy(line.tag, sizeof line.tag, tag))
		sdes_write(out, &line);
	secret_wipe(&line, sizeof line);
}

static void
write_audio_end(struct buf *out, const struct sdp_local *local)
{
	char host[ADDR_TEXT_SIZE];
	uint16_t rtp = addr_port(&local->media.rtp), rtcp = addr_port(&local->media.rtcp);

	if (local->rtcp_mux)
		buf_add_str(out, "a=rtcp-mux\r\n");
	else if (rtcp != rtp + 1 || !addr_equal_host(&local->media.rtp, &local->media.rtcp))
		buf_printf(out, "a=rtcp:%u IN %s %s\r\n", rtcp, family_name(&local->media.rtcp),
			   addr_host(&local->media.rtcp, host));
	buf_printf(out, "a=%s\r\n", direction_names[local->direction]);
}

static void
write_dtmf(struct buf *out, int type)
{
	buf_printf(out, "a=rtpmap:%d telephone-event/8000\r\na=fmtp:%d 0-15\r\n", type, type);
}

static void
write_answer_audio(struct buf *out, const struct sdp_local *local,
		   const struct media_remote *remote, const struct sdp_layout *layout)
{
	buf_printf(out, "m=audio %u %s %u", addr_port(&local->media.rtp),
		   layout->lines[layout->audio].proto, remote->payload_type);
	if (remote->dtmf_payload_type >= 0)
		buf_printf(out, " %d", remote->dtmf_payload_type);
	buf_printf(out, "\r\na=rtpmap:%u %s/8000\r\n", remote->payload_type,
		   codec_names[remote->codec]);
	if (remote->dtmf_payload_type >= 0)
		write_dtmf(out, remote->dtmf_payload_type);
	buf_printf(out, "a=ptime:%d\r\n", remote->ptime_ms);
	write_key(out, layout->crypto_tag, &remote->send_key);
	write_audio_end(out, local);
}

void
sdp_write_answer(struct buf *out, const struct sdp_local *local, const struct media_remote *remote,
		 const struct sdp_layout *layout)
{
	write_session(out, local);
	for (size_t i = 0; i < layout->count; i++) {
		const struct sdp_line *line = &layout->lines[i];

		if (i == layout->audio)
			write_answer_audio(out, local, remote, layout);
		else
			write_refused(out, line);
	}
}

static void
write_offer_audio(struct buf *out, const struct sdp_local *local,
		  const struct sdp_capabilities *caps, bool secure)
{
	buf_printf(out, "m=audio %u %s", addr_port(&local->media.rtp),
		   secure ? "RTP/SAVP" : "RTP/AVP");
	for (size_t i = 0; i < caps->codec_count; i++)
		buf_printf(out, " %u", static_type[caps->codecs[i]]);
	buf_printf(out, " %d\r\n", OFFERED_DTMF_TYPE);
	for (size_t i = 0; i < caps->codec_count; i++)
		buf_printf(out, "a=rtpmap:%u %s/8000\r\n", static_type[caps->codecs[i]],
			   codec_names[caps->codecs[i]]);
	write_dtmf(out, OFFERED_DTMF_TYPE);
	buf_add_str(out, "a=ptime:20\r\n");
	write_key(out, SDP_OFFER_TAG, &local->offer_key);
	write_audio_end(out, local);
}

void
sdp_write_offer(struct buf *out, const struct sdp_local *local, const struct sdp_capabilities *caps,
		const struct sdp_layout *layout)
{
	bool secure = local->offer_key.suite && caps->srtp == SRTP_REQUIRED;

	write_session(out, local);
	if (!layout || layout->count == 0) {
		write_offer_audio(out, local, caps, secure);
		return;
	}
	for (size_t i = 0; i < layout->count; i++) {
		if (i == layout->audio)
			write_offer_audio(out, local, caps,
					  secure || (local->offer_key.suite &&
						     sdp_is_secure(&layout->lines[i])));
		else
			write_refused(out, &layout->lines[i]);
	}
}
