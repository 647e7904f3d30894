#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "sip-worker/sip/sdp.h"

#define HEAD  "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n"
#define C     "c=IN IP4 192.0.2.1\r\n"
#define AUDIO "m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"

static const enum codec both[] = { CODEC_PCMU, CODEC_PCMA };
static const struct sdp_capabilities caps = {
	.codecs = both, .codec_count = 2, .ipv4 = true, .ipv6 = true
};

struct negotiated {
	struct sdp sdp;
	struct sdp_layout layout;
	struct media_remote remote;
	const char *why;
};

static bool
negotiate(struct negotiated *n, const char *text)
{
	return sdp_parse(text, strlen(text), &n->sdp, &n->why) &&
	       sdp_negotiate(&n->sdp, &caps, &n->remote, &n->layout, &n->why);
}

static void
accepts(const char *text, const char *expected)
{
	struct negotiated n;
	char rtp[ADDR_TEXT_SIZE], rtcp[ADDR_TEXT_SIZE], got[256];

	if (!negotiate(&n, text))
		fail_msg("refused (%s): %s", n.why, text);
	str_print(got, sizeof got, "%s %s pt=%u %s dtmf=%d ptime=%d dir=%d mux=%d line=%zu/%zu",
		  addr_text(&n.remote.rtp, rtp), addr_text(&n.remote.rtcp, rtcp),
		  n.remote.payload_type, n.remote.codec == CODEC_PCMU ? "U" : "A",
		  n.remote.dtmf_payload_type, n.remote.ptime_ms, (int)n.remote.direction,
		  n.remote.rtcp_mux, n.layout.audio, n.layout.count);
	assert_string_equal(got, expected);
}

static void
acceptable_offers(void **state)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		/* clang-format off */
		{ HEAD C AUDIO, "192.0.2.1:4000 192.0.2.1:4001 pt=0 U dtmf=101 ptime=20 dir=0 mux=0 line=0/1" },
		/* address of the line wins over the session's */
		{ HEAD C AUDIO "c=IN IP4 192.0.2.9/127\r\n", "192.0.2.9:4000 192.0.2.9:4001 pt=0 U dtmf=101 ptime=20 dir=0 mux=0 line=0/1" },
		{ HEAD AUDIO "c=IN IP6 2001:db8::9\r\n", "[2001:db8::9]:4000 [2001:db8::9]:4001 pt=0 U dtmf=101 ptime=20 dir=0 mux=0 line=0/1" },
		/* the peer's order, static types without rtpmap, dynamic types by name */
		{ HEAD C "m=audio 2 RTP/AVP 18 8 0\r\n", "192.0.2.1:2 192.0.2.1:3 pt=8 A dtmf=-1 ptime=20 dir=0 mux=0 line=0/1" },
		{ HEAD C "m=audio 2 RTP/AVPF 97 98 99\r\na=rtpmap:97 PCMA/16000\r\na=rtpmap:98 pcma/8000/1\r\na=rtpmap:99 telephone-event/8000\r\n",
		  "192.0.2.1:2 192.0.2.1:3 pt=98 A dtmf=99 ptime=20 dir=0 mux=0 line=0/1" },
		{ HEAD C "m=audio 2 RTP/AVP 0 97\r\na=rtpmap:0 G722/8000\r\na=rtpmap:97 PCMU/8000\r\n",
		  "192.0.2.1:2 192.0.2.1:3 pt=97 U dtmf=-1 ptime=20 dir=0 mux=0 line=0/1" },
		/* RTCP */
		{ HEAD C AUDIO "a=rtcp:5000\r\n", "192.0.2.1:4000 192.0.2.1:5000 pt=0 U dtmf=101 ptime=20 dir=0 mux=0 line=0/1" },
		{ HEAD C AUDIO "a=rtcp:5000 IN IP4 192.0.2.7\r\n", "192.0.2.1:4000 192.0.2.7:5000 pt=0 U dtmf=101 ptime=20 dir=0 mux=0 line=0/1" },
		{ HEAD C AUDIO "a=rtcp-mux\r\n", "192.0.2.1:4000 192.0.2.1:4000 pt=0 U dtmf=101 ptime=20 dir=0 mux=1 line=0/1" },
		/* packet time, from the session too */
		{ HEAD C AUDIO "a=ptime:30\r\n", "192.0.2.1:4000 192.0.2.1:4001 pt=0 U dtmf=101 ptime=30 dir=0 mux=0 line=0/1" },
		{ HEAD C "a=ptime:60\r\n" AUDIO "a=maxptime:40\r\n", "192.0.2.1:4000 192.0.2.1:4001 pt=0 U dtmf=101 ptime=40 dir=0 mux=0 line=0/1" },
		{ HEAD C AUDIO "a=ptime:200\r\n", "192.0.2.1:4000 192.0.2.1:4001 pt=0 U dtmf=101 ptime=60 dir=0 mux=0 line=0/1" },
		{ HEAD C AUDIO "a=ptime:1\r\n", "192.0.2.1:4000 192.0.2.1:4001 pt=0 U dtmf=101 ptime=10 dir=0 mux=0 line=0/1" },
		{ HEAD C AUDIO "a=ptime:20.0 \r\n", "192.0.2.1:4000 192.0.2.1:4001 pt=0 U dtmf=101 ptime=20 dir=0 mux=0 line=0/1" },
		{ HEAD C AUDIO "a=ptime:zzz\r\n", "192.0.2.1:4000 192.0.2.1:4001 pt=0 U dtmf=101 ptime=20 dir=0 mux=0 line=0/1" },
		/* hold in all its forms */
		{ HEAD C AUDIO "a=sendonly\r\n", "192.0.2.1:4000 192.0.2.1:4001 pt=0 U dtmf=101 ptime=20 dir=2 mux=0 line=0/1" },
		{ HEAD C AUDIO "a=recvonly\r\n", "192.0.2.1:4000 192.0.2.1:4001 pt=0 U dtmf=101 ptime=20 dir=1 mux=0 line=0/1" },
		{ HEAD C "a=inactive\r\n" AUDIO, "192.0.2.1:4000 192.0.2.1:4001 pt=0 U dtmf=101 ptime=20 dir=3 mux=0 line=0/1" },
		{ HEAD C "a=inactive\r\n" AUDIO "a=sendrecv\r\n", "192.0.2.1:4000 192.0.2.1:4001 pt=0 U dtmf=101 ptime=20 dir=0 mux=0 line=0/1" },
		{ HEAD "c=IN IP4 0.0.0.0\r\n" AUDIO, "0.0.0.0:0 0.0.0.0:0 pt=0 U dtmf=101 ptime=20 dir=2 mux=0 line=0/1" },
		/* other lines around */
		{ HEAD C "m=video 9 RTP/AVP 96\r\nm=audio 9 RTP/SAVP 0\r\n" AUDIO "m=message 7 TCP/MSRP *\r\n",
		  "192.0.2.1:4000 192.0.2.1:4001 pt=0 U dtmf=101 ptime=20 dir=0 mux=0 line=2/4" },
		/* bare LF, trailing spaces, empty lines, no line end at the end */
		{ "v=0\no=- 1 1 IN IP4 1.1.1.1\ns=-\n\nc=IN IP4 192.0.2.1 \nt=0 0\nm=audio 4000 RTP/AVP 0",
		  "192.0.2.1:4000 192.0.2.1:4001 pt=0 U dtmf=-1 ptime=20 dir=0 mux=0 line=0/1" },
		/* clang-format on */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		accepts(cases[i].text, cases[i].expected);
}

static void
refused_offers(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ HEAD C "m=audio 4000 RTP/AVP 18\r\n", "no codec in common" },
		{ HEAD C "m=audio 4000 RTP/SAVP 0\r\n", "no plain RTP audio offered" },
		{ HEAD C "m=audio 0 RTP/AVP 0\r\n", "no plain RTP audio offered" },
		{ HEAD C "m=video 4000 RTP/AVP 0\r\n", "no plain RTP audio offered" },
		{ HEAD AUDIO, "no address in the session description" },
		{ HEAD "c=IN IP4 media.example.com\r\n" AUDIO, "media address is not numeric" },
		{ HEAD "c=IN IP4 2001:db8::1\r\n" AUDIO, "media address is not numeric" },
		{ HEAD "c=IN IP6 [2001:db8::1]\r\n" AUDIO, "media address is not numeric" },
		{ HEAD "c=IN IP4 239.1.2.3/127\r\n" AUDIO, "media address is multicast" },
		{ HEAD C, "session description without media" },
		{ "", "session description without media" },
		{ "o=- 1 1 IN IP4 1.1.1.1\r\n", "session description malformed" },
		{ HEAD "nonsense\r\n", "session description malformed" },
		{ HEAD "c=IN IP7 x\r\n" AUDIO, "malformed c= line" },
		{ HEAD "c=\r\n" AUDIO, "malformed c= line" },
		{ HEAD C "m=audio\r\n", "malformed port in m= line" },
		{ HEAD C "m=audio 70000 RTP/AVP 0\r\n", "malformed port in m= line" },
		{ HEAD C "m=audio -1 RTP/AVP 0\r\n", "malformed port in m= line" },
		{ HEAD C "m=audio 4000\r\n", "malformed protocol in m= line" },
		{ HEAD C "m=audio 4000 RTP/AVP\r\n", "malformed format in m= line" },
		{ HEAD C "m=image 0 udptl \r \x1f\r\n" AUDIO, "malformed format in m= line" },
		{ HEAD C "m=ima\rge 0 udptl t38\r\n" AUDIO, "malformed m= line" },
		/* what hangs the library's own parser */
		{ "v=0\r\nm=x 1 UDP \xb1\r\n", "no plain RTP audio offered" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct negotiated n;

		assert_false(negotiate(&n, cases[i].text));
		assert_string_equal(n.why, cases[i].why);
	}
}

static void
limits(void **state)
{
	struct negotiated n;
	struct buf b;

	(void)state;
	buf_init(&b, 1u << 20);
	buf_add_str(&b, HEAD C);
	for (int i = 0; i < SDP_MEDIA_MAX; i++)
		buf_add_str(&b, AUDIO);
	assert_true(negotiate(&n, b.data));
	buf_add_str(&b, AUDIO);
	assert_false(negotiate(&n, b.data));

	buf_reset(&b);
	buf_add_str(&b, HEAD C "m=audio 4000 RTP/AVP");
	for (int i = 0; i < 200; i++)
		buf_add_str(&b, " 18");
	buf_add_str(&b, " 0\r\n");
	assert_false(negotiate(&n, b.data)); /* further than we look */

	buf_reset(&b);
	buf_add_str(&b, HEAD C AUDIO);
	for (int i = 0; i < SDP_LINES_MAX; i++)
		buf_add_str(&b, "a=x\r\n");
	assert_false(negotiate(&n, b.data));

	buf_reset(&b);
	buf_add_str(&b, HEAD C AUDIO "a=");
	while (b.len <= SDP_TEXT_MAX)
		buf_add_str(&b, "xxxxxxxxxxxxxxxx");
	assert_false(sdp_parse(b.data, b.len, &n.sdp, &n.why));
	assert_string_equal(n.why, "session description too long");
	buf_finish(&b);

	assert_false(sdp_parse("v=0\r\na=\0\r\n", 11, &n.sdp, &n.why));
}

static void
capabilities_bound_the_choice(void **state)
{
	struct sdp_capabilities only = caps;
	struct negotiated n;
	const char *text = HEAD C AUDIO;

	(void)state;
	only.codecs = &both[1];
	only.codec_count = 1;
	assert_true(sdp_parse(text, strlen(text), &n.sdp, &n.why));
	assert_true(sdp_negotiate(&n.sdp, &only, &n.remote, &n.layout, &n.why));
	assert_int_equal(n.remote.codec, CODEC_PCMA);
	only.ipv4 = false;
	assert_false(sdp_negotiate(&n.sdp, &only, &n.remote, &n.layout, &n.why));
	assert_string_equal(n.why, "no media address of that family");
}

static struct sdp_local
local(const char *host, uint16_t port)
{
	struct sdp_local l = { .session = 7, .version = 2 };

	assert_true(addr_parse(host, port, &l.media.rtp));
	assert_true(addr_parse(host, (uint16_t)(port + 1), &l.media.rtcp));
	return l;
}

static void
writes_an_answer(void **state)
{
	struct sdp_local l = local("198.51.100.1", 20000);
	struct negotiated n;
	struct buf b;

	(void)state;
	buf_init(&b, SDP_TEXT_MAX);
	assert_true(negotiate(&n,
			      HEAD C "m=video 9 RTP/AVP 96 97\r\nm=audio 4 RTP/AVPF 97 98\r\n"
				     "a=rtpmap:97 PCMA/8000\r\na=rtpmap:98 telephone-event/8000\r\n"
				     "a=ptime:30\r\na=sendonly\r\na=rtcp-mux\r\n"));
	l.direction = n.remote.direction;
	l.rtcp_mux = n.remote.rtcp_mux;
	sdp_write_answer(&b, &l, &n.remote, &n.layout);
	assert_string_equal(b.data,
			    "v=0\r\no=- 7 2 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\n"
			    "t=0 0\r\nm=video 0 RTP/AVP 96\r\nm=audio 20000 RTP/AVPF 97 98\r\n"
			    "a=rtpmap:97 PCMA/8000\r\na=rtpmap:98 telephone-event/8000\r\n"
			    "a=fmtp:98 0-15\r\na=ptime:30\r\na=rtcp-mux\r\na=recvonly\r\n");
	buf_finish(&b);
}

/* Our own offer must be one that we would take. */
static void
writes_an_offer(void **state)
{
	struct sdp_local l = local("2001:db8::5", 20000);
	struct sdp_layout layout = { .count = 2, .audio = 1 };
	struct negotiated n;
	struct buf b;

	(void)state;
	buf_init(&b, SDP_TEXT_MAX);
	str_copy(layout.lines[0].media, sizeof layout.lines[0].media, "image");
	str_copy(layout.lines[0].proto, sizeof layout.lines[0].proto, "udptl");
	str_copy(layout.lines[0].format, sizeof layout.lines[0].format, "t38");
	assert_true(addr_parse("2001:db8::6", 21000, &l.media.rtcp));
	sdp_write_offer(&b, &l, &caps, &layout);
	assert_non_null(strstr(b.data, "m=image 0 udptl t38\r\nm=audio 20000 RTP/AVP 0 8 101\r\n"));
	accepts(b.data,
		"[2001:db8::5]:20000 [2001:db8::6]:21000 pt=0 U dtmf=101 ptime=20 dir=0 mux=0 "
		"line=1/2");
	buf_reset(&b);
	sdp_write_offer(&b, &l, &caps, NULL);
	assert_true(negotiate(&n, b.data));
	assert_int_equal(n.layout.count, 1);
	buf_finish(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(acceptable_offers),
		cmocka_unit_test(refused_offers),
		cmocka_unit_test(limits),
		cmocka_unit_test(capabilities_bound_the_choice),
		cmocka_unit_test(writes_an_answer),
		cmocka_unit_test(writes_an_offer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
