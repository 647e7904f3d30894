/* A session description from anyone: parse, negotiate, answer; our answer must parse again. */
#include <stdlib.h>
#include <string.h>

#include "sip-worker/sip/sdp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum codec codecs[] = { CODEC_PCMU, CODEC_PCMA };
	const struct sdp_capabilities caps = {
		.codecs = codecs,
		.codec_count = 2,
		.ipv4 = true,
		.ipv6 = true,
		.srtp = (enum srtp_policy)(size % 3),
	};
	static struct sdp sdp, again;
	struct sdp_local local = { .session = 1, .version = 1 };
	struct sdp_layout layout;
	struct media_remote remote;
	const char *why;
	struct buf b;

	if (!sdp_parse((const char *)data, size, &sdp, &why) ||
	    !sdp_negotiate(&sdp, &caps, &remote, &layout, &why)) {
		assert(why && why[0]);
		return 0;
	}
	if (!addr_parse("192.0.2.1", 20000, &local.media.rtp) ||
	    !addr_parse("192.0.2.1", 20001, &local.media.rtcp))
		abort();
	local.direction = remote.direction;
	local.rtcp_mux = remote.rtcp_mux;
	assert(caps.srtp != SRTP_REQUIRED || remote.hear_key.suite);
	assert(caps.srtp != SRTP_OFF || !remote.hear_key.suite);
	remote.send_key = local.offer_key = remote.hear_key;
	buf_init(&b, SDP_TEXT_MAX);
	sdp_write_answer(&b, &local, &remote, &layout);
	assert(!b.failed && sdp_parse(b.data, b.len, &again, &why));
	assert(again.count == sdp.count && again.media[layout.audio].port == 20000);
	assert(remote.ptime_ms >= 10 && remote.ptime_ms <= 60);
	buf_reset(&b);
	sdp_write_offer(&b, &local, &caps, &layout);
	assert(!b.failed && sdp_parse(b.data, b.len, &again, &why));
	buf_finish(&b);
	return 0;
}
