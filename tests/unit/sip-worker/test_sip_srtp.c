/* What each media.srtp policy makes of an offer, and the keys in what we write. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sodium.h>
#include <string.h>

#include "sip-worker/sip/sdp.h"

#define HEAD "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
#define KEY  "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"
#define K80  "a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:" KEY "\r\n"
#define K32  "a=crypto:4 AES_CM_128_HMAC_SHA1_32 inline:" KEY "|2^31\r\n"
#define BAD  "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" KEY " UNENCRYPTED_SRTP\r\n"
#define GCM  "a=crypto:2 AEAD_AES_128_GCM inline:" KEY "\r\n"
#define AVP  "m=audio 4000 RTP/AVP 0\r\n"
#define SAVP "m=audio 5000 RTP/SAVP 0\r\n"
#define G729 "m=audio 6000 RTP/SAVP 18\r\n"

static const enum codec codecs[] = { CODEC_PCMU, CODEC_PCMA };

struct negotiated {
	struct sdp sdp;
	struct sdp_layout layout;
	struct media_remote remote;
	const char *why;
};

static bool
negotiate(struct negotiated *n, enum srtp_policy policy, const char *text)
{
	const struct sdp_capabilities caps = {
		.codecs = codecs, .codec_count = 2, .ipv4 = true, .ipv6 = true, .srtp = policy
	};

	return sdp_parse(text, strlen(text), &n->sdp, &n->why) &&
	       sdp_negotiate(&n->sdp, &caps, &n->remote, &n->layout, &n->why);
}

/* "line tag suite", or why not. */
static const char *
outcome(enum srtp_policy policy, const char *text, char out[128])
{
	struct negotiated n;

	if (!negotiate(&n, policy, text))
		str_copy(out, 128, n.why);
	else if (n.remote.hear_key.suite)
		str_print(out, 128, "%zu tag=%s %s", n.layout.audio, n.layout.crypto_tag,
			  n.remote.hear_key.suite == SRTP_SUITE_80 ? "80" : "32");
	else
		str_print(out, 128, "%zu clear%s", n.layout.audio, n.layout.crypto_tag);
	return out;
}

#define NO_PLAIN "no plain RTP audio offered"
#define NO_SRTP  "no SRTP audio offered"
#define NO_KEY   "no SRTP key that can be used"
#define NO_CODEC "no codec in common"

static void
test_policies(void **state)
{
	static const struct {
		const char *text, *off, *optional, *required;
	} cases[] = {
		/* clang-format off */
		{ HEAD AVP,                       "0 clear",  "0 clear",     NO_SRTP },
		{ HEAD SAVP K80,                  NO_PLAIN,   "0 tag=3 80",  "0 tag=3 80" },
		{ HEAD SAVP K32,                  NO_PLAIN,   "0 tag=4 32",  "0 tag=4 32" },
		{ HEAD SAVP K32 K80,              NO_PLAIN,   "0 tag=4 32",  "0 tag=4 32" },
		{ HEAD SAVP BAD GCM K80 K32,      NO_PLAIN,   "0 tag=3 80",  "0 tag=3 80" },
		{ HEAD SAVP,                      NO_PLAIN,   NO_KEY,        NO_KEY },
		{ HEAD SAVP BAD GCM,              NO_PLAIN,   NO_KEY,        NO_KEY },
		{ HEAD G729 K80,                  NO_PLAIN,   NO_CODEC,      NO_CODEC },
		{ HEAD "m=audio 0 RTP/SAVP 0\r\n" K80, NO_PLAIN, NO_PLAIN,   NO_SRTP },
		{ HEAD "m=audio 9 RTP/SAVPF 0\r\n" K80, NO_PLAIN, "0 tag=3 80", "0 tag=3 80" },
		{ HEAD "m=audio 9 UDP/TLS/RTP/SAVP 0\r\n" K80, NO_PLAIN, NO_PLAIN, NO_SRTP },
		{ HEAD "m=video 9 RTP/SAVP 0\r\n" K80, NO_PLAIN, NO_PLAIN,   NO_SRTP },
		/* encrypted before clear, wherever it stands */
		{ HEAD AVP SAVP K80,              "0 clear",  "1 tag=3 80",  "1 tag=3 80" },
		{ HEAD SAVP K80 AVP,              "1 clear",  "0 tag=3 80",  "0 tag=3 80" },
		{ HEAD AVP K32 SAVP K80,          "0 clear",  "1 tag=3 80",  "1 tag=3 80" },
		{ HEAD G729 K80 SAVP K32,         NO_PLAIN,   "1 tag=4 32",  "1 tag=4 32" },
		{ HEAD SAVP BAD AVP,              "1 clear",  "1 clear",     NO_KEY },
		{ HEAD G729 K80 AVP,              "1 clear",  "1 clear",     NO_CODEC },
		/* a key on a plain line (RFC 8643) */
		{ HEAD AVP K80,                   "0 clear",  "0 tag=3 80",  NO_SRTP },
		{ HEAD AVP BAD GCM,               "0 clear",  "0 clear",     NO_SRTP },
		{ HEAD AVP BAD K32,               "0 clear",  "0 tag=4 32",  NO_SRTP },
		/* only a line's own keys count */
		{ HEAD K80 AVP,                   "0 clear",  "0 clear",     NO_SRTP },
		{ HEAD K80 SAVP,                  NO_PLAIN,   NO_KEY,        NO_KEY },
		{ HEAD AVP SAVP K80 AVP,          "0 clear",  "1 tag=3 80",  "1 tag=3 80" },
		/* clang-format on */
	};
	char out[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_string_equal(outcome(SRTP_OFF, cases[i].text, out), cases[i].off);
		assert_string_equal(outcome(SRTP_OPTIONAL, cases[i].text, out), cases[i].optional);
		assert_string_equal(outcome(SRTP_REQUIRED, cases[i].text, out), cases[i].required);
	}
}

static void
local_set(struct sdp_local *l)
{
	*l = (struct sdp_local){ .session = 7, .version = 2 };
	assert_true(addr_parse("198.51.100.1", 20000, &l->media.rtp));
	assert_true(addr_parse("198.51.100.1", 20001, &l->media.rtcp));
}

static void
test_answer(void **state)
{
	struct negotiated n, again;
	struct sdp_local l;
	struct buf b;

	(void)state;
	local_set(&l);
	buf_init(&b, SDP_TEXT_MAX);
	assert_true(negotiate(&n, SRTP_OPTIONAL, HEAD AVP SAVP BAD K32));
	sdes_make_key(&n.remote.send_key, n.remote.hear_key.suite);
	sdp_write_answer(&b, &l, &n.remote, &n.layout);
	assert_non_null(strstr(b.data, "m=audio 0 RTP/AVP 0\r\nm=audio 20000 RTP/SAVP 0\r\n"));
	assert_non_null(strstr(b.data, "a=crypto:4 AES_CM_128_HMAC_SHA1_32 inline:"));
	assert_null(strstr(b.data, KEY));
	assert_true(negotiate(&again, SRTP_REQUIRED, b.data));
	assert_true(srtp_key_equal(&again.remote.hear_key, &n.remote.send_key));
	/* In clear: no key, whatever was left in the structs. */
	buf_reset(&b);
	assert_true(negotiate(&n, SRTP_OFF, HEAD AVP K80));
	sdp_write_answer(&b, &l, &n.remote, &n.layout);
	assert_null(strstr(b.data, "crypto"));
	buf_finish(&b);
}

static void
test_offer(void **state)
{
	static const struct {
		enum srtp_policy policy;
		bool key;
		const char *before, *expected;
	} cases[] = {
		{ SRTP_OFF, false, NULL, "RTP/AVP" },
		{ SRTP_OPTIONAL, false, NULL, "RTP/AVP" },
		{ SRTP_OPTIONAL, true, NULL, "RTP/AVP" },
		{ SRTP_OPTIONAL, true, "RTP/AVP", "RTP/AVP" },
		{ SRTP_OPTIONAL, true, "RTP/SAVP", "RTP/SAVP" },
		{ SRTP_REQUIRED, true, NULL, "RTP/SAVP" },
		{ SRTP_REQUIRED, true, "RTP/SAVPF", "RTP/SAVP" },
	};
	char line[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sdp_capabilities caps = {
			.codecs = codecs, .codec_count = 2, .ipv4 = true, .srtp = cases[i].policy
		};
		struct sdp_layout layout = { .count = 1 };
		struct negotiated n;
		struct sdp_local l;
		struct buf b;

		local_set(&l);
		if (cases[i].key)
			sdes_make_key(&l.offer_key, SRTP_SUITE_80);
		if (cases[i].before)
			str_copy(layout.lines[0].proto, sizeof layout.lines[0].proto,
				 cases[i].before);
		buf_init(&b, SDP_TEXT_MAX);
		sdp_write_offer(&b, &l, &caps, cases[i].before ? &layout : NULL);
		str_print(line, sizeof line, "m=audio 20000 %s 0 8 101\r\n", cases[i].expected);
		assert_non_null(strstr(b.data, line));
		assert_int_equal(strstr(b.data, "a=crypto:" SDP_OFFER_TAG " ") != NULL,
				 cases[i].key);
		assert_true(negotiate(&n, cases[i].policy, b.data));
		assert_true(srtp_key_equal(&n.remote.hear_key, &l.offer_key));
		buf_finish(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_policies),
		cmocka_unit_test(test_answer),
		cmocka_unit_test(test_offer),
	};

	if (sodium_init() < 0)
		return 2;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
