/* SRTP: the RFC's vectors, and libsrtp2 as the other side. */
#include "tests/unit/sip-worker/srtp_kit.h"

#include <nettle/aes.h>
#include <nettle/ctr.h>
#include <nettle/hmac.h>
#include <sodium.h>
#include <srtp2/srtp.h>

/* --- RFC 3711, appendix B.3: session keys of a master key, used here by themselves --- */

static const char master[] = "e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6";
static const char cipher_key[] = "c61e7a93744f39ee10734afe3ff7a087";
static const char cipher_salt[] = "30cbbc08863d8c85d49db34a9ae1";
static const char auth_key[] = "cebe321f6ff7716b6fd4ab49af256a156d38baa4";

static void
from_hex(uint8_t *out, size_t len, const char *hex)
{
	size_t n;

	assert_int_equal(sodium_hex2bin(out, len, hex, strlen(hex), " ", &n, NULL), 0);
	assert_int_equal(n, len);
}

static void
encrypt(const void *ctx, size_t len, uint8_t *dst, const uint8_t *src)
{
	aes128_encrypt(ctx, len, dst, src);
}

static void
test_rfc3711_keys(void **state)
{
	struct srtp_key k = { .suite = SRTP_SUITE_80 };
	uint8_t packet[12 + AUDIO + SRTP_TRAILER], expected[sizeof(packet)];
	uint8_t raw[20], iv[16] = { 0 };
	struct aes128_ctx aes;
	struct hmac_sha1_ctx hmac;
	struct srtp_session *s;
	size_t len;

	(void)state;
	from_hex(k.material, sizeof(k.material), master);
	s = session(&k, NULL);
	len = packet_make(expected, SSRC, 0x1234);
	from_hex(raw, 16, cipher_key);
	aes128_set_encrypt_key(&aes, raw);
	from_hex(iv, 14, cipher_salt);
	for (int i = 0; i < 4; i++)
		iv[4 + i] ^= (uint8_t)(SSRC >> (24 - 8 * i));
	iv[12] ^= 0x12;
	iv[13] ^= 0x34;
	ctr_crypt(&aes, encrypt, 16, iv, AUDIO, expected + 12, expected + 12);
	from_hex(raw, 20, auth_key);
	hmac_sha1_set_key(&hmac, 20, raw);
	hmac_sha1_update(&hmac, len, expected);
	hmac_sha1_update(&hmac, 4, (const uint8_t *)"\0\0\0\0");
	hmac_sha1_digest(&hmac, 10, expected + len);
	assert_int_equal(seal(s, packet, 0x1234), len + 10);
	assert_memory_equal(packet, expected, len + 10);
	srtp_session_destroy(s);
}

/* The reference packets that come with libsrtp. */
static void
test_reference_packets(void **state)
{
	struct srtp_key k = { .suite = SRTP_SUITE_80 };
	uint8_t rtp[28 + SRTP_TRAILER], sealed[38], rtcp[24 + SRTP_TRAILER], first[38], second[38];
	struct srtp_session *s;

	(void)state;
	from_hex(k.material, sizeof(k.material), master);
	s = session(&k, &k);
	from_hex(rtp, 28, "800f1234decafbadcafebabe abababababababababababababababab");
	from_hex(sealed, 38,
		 "800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb");
	assert_int_equal(srtp_session_seal_rtp(s, rtp, 28), 38);
	assert_memory_equal(rtp, sealed, 38);
	from_hex(rtcp, 24, "81c8000bcafebabe abababababababababababababababab");
	memcpy(first, rtcp, 24);
	assert_int_equal(srtp_session_seal_rtcp(s, first, 24), 38); /* index 0 */
	from_hex(second, 38,
		 "81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798");
	assert_int_equal(srtp_session_seal_rtcp(s, rtcp, 24), 38);
	assert_memory_equal(rtcp, second, 38);
	srtp_session_destroy(s);
}

/* --- libsrtp2 --- */

static srtp_t
peer_create(const struct srtp_key *k, srtp_ssrc_type_t type)
{
	unsigned char material[SRTP_MATERIAL], mki[SRTP_MKI_MAX];
	srtp_master_key_t mk = { material, mki, k->mki_len };
	srtp_master_key_t *keys[] = { &mk };
	srtp_policy_t p = { .ssrc = { type, 0 }, .window_size = 128, .allow_repeat_tx = 0 };
	srtp_t out;

	memcpy(material, k->material, sizeof(material));
	memcpy(mki, k->mki, sizeof(mki));
	if (k->suite == SRTP_SUITE_32)
		srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32(&p.rtp);
	else
		srtp_crypto_policy_set_rtp_default(&p.rtp);
	srtp_crypto_policy_set_rtcp_default(&p.rtcp);
	if (k->mki_len) {
		p.keys = keys;
		p.num_master_keys = 1;
	} else {
		p.key = material;
	}
	assert_int_equal(srtp_create(&out, &p), srtp_err_status_ok);
	return out;
}

/* So many packets both ways, a tenth lost; the sequence turns over at 45,536 and 111,072. */
static void
talk(enum srtp_suite suite, uint8_t mki_len, unsigned packets)
{
	struct srtp_key ours = key_of(suite, 0x11), theirs = key_of(suite, 0x22);
	uint8_t p[12 + AUDIO + SRTP_MAX_TRAILER_LEN];
	struct srtp_session *s;
	srtp_t out, in;
	size_t ours_len = 12 + AUDIO;

	theirs.mki_len = mki_len;
	memset(theirs.mki, 0xa5, mki_len);
	s = session(&ours, &theirs);
	out = peer_create(&theirs, ssrc_any_outbound);
	in = peer_create(&ours, ssrc_any_inbound);
	for (unsigned i = 0; i < packets; i++) {
		uint16_t seq = (uint16_t)(20000 + i);
		size_t len = seal(s, p, seq);
		int n = (int)len;
		bool lost = i % 10 == 3;

		assert_int_equal(len, ours_len + (suite == SRTP_SUITE_32 ? 4 : 10));
		assert_false(is_clear(p, ours_len, seq));
		if (!lost) {
			assert_int_equal(srtp_unprotect(in, p, &n), srtp_err_status_ok);
			assert_true(is_clear(p, (size_t)n, seq));
		}
		n = (int)packet_make(p, SSRC, seq);
		assert_int_equal(srtp_protect_mki(out, p, &n, mki_len > 0, 0), srtp_err_status_ok);
		len = (size_t)n;
		if (!lost) {
			assert_int_equal(srtp_session_open_rtp(s, p, &len), SRTP_TAKE);
			assert_true(is_clear(p, len, seq));
		}
	}
	srtp_dealloc(out);
	srtp_dealloc(in);
	srtp_session_destroy(s);
}

static void
test_libsrtp_peer(void **state)
{
	(void)state;
	talk(SRTP_SUITE_80, 0, 120000);
	talk(SRTP_SUITE_32, 0, 50000);
	talk(SRTP_SUITE_80, 4, 50000);
}

static void
test_libsrtp_rtcp(void **state)
{
	struct srtp_key k = key_of(SRTP_SUITE_32, 5);
	struct srtp_session *s = session(&k, &k);
	srtp_t out = peer_create(&k, ssrc_any_outbound), in = peer_create(&k, ssrc_any_inbound);
	uint8_t report[28], p[28 + SRTP_MAX_TRAILER_LEN];

	(void)state;
	memset(report, 3, sizeof(report));
	report[0] = 0x80;
	report[1] = 200;
	for (int i = 0; i < 300; i++) {
		size_t len;
		int n;

		memcpy(p, report, sizeof(report));
		len = srtp_session_seal_rtcp(s, p, sizeof(report));
		assert_int_equal(len, sizeof(report) + 14);
		n = (int)len;
		assert_int_equal(srtp_unprotect_rtcp(in, p, &n), srtp_err_status_ok);
		assert_int_equal(n, sizeof(report));
		assert_memory_equal(p, report, sizeof(report));
		n = sizeof(report);
		assert_int_equal(srtp_protect_rtcp(out, p, &n), srtp_err_status_ok);
		len = (size_t)n;
		assert_int_equal(srtp_session_open_rtcp(s, p, &len), SRTP_TAKE);
		assert_int_equal(len, sizeof(report));
		assert_memory_equal(p, report, sizeof(report));
	}
	srtp_dealloc(out);
	srtp_dealloc(in);
	srtp_session_destroy(s);
}

/* CSRCs and a header extension stay in clear, as libsrtp sees it too. */
static void
test_long_header(void **state)
{
	struct srtp_key k = key_of(SRTP_SUITE_80, 9);
	struct srtp_session *s = session(&k, &k);
	srtp_t in = peer_create(&k, ssrc_any_inbound);
	uint8_t clear[12 + 8 + 8 + 20], p[sizeof(clear) + SRTP_TRAILER], q[sizeof(p)];
	size_t len;
	int n;

	(void)state;
	for (size_t i = 0; i < sizeof(clear); i++)
		clear[i] = (uint8_t)i;
	clear[0] = 0x92; /* two CSRCs, extension */
	put_u16(clear + 22, 1);
	memcpy(p, clear, sizeof(clear));
	len = srtp_session_seal_rtp(s, p, sizeof(clear));
	assert_int_equal(len, sizeof(clear) + 10);
	assert_memory_equal(p, clear, 28);
	memcpy(q, p, len);
	n = (int)len;
	assert_int_equal(srtp_unprotect(in, q, &n), srtp_err_status_ok);
	assert_memory_equal(q, clear, sizeof(clear));
	assert_int_equal(srtp_session_open_rtp(s, p, &len), SRTP_TAKE);
	assert_memory_equal(p, clear, sizeof(clear));
	srtp_dealloc(in);
	srtp_session_destroy(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc3711_keys), cmocka_unit_test(test_reference_packets),
		cmocka_unit_test(test_libsrtp_peer), cmocka_unit_test(test_libsrtp_rtcp),
		cmocka_unit_test(test_long_header),
	};

	if (srtp_init() != srtp_err_status_ok)
		return 2;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
