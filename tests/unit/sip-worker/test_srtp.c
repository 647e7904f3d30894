/* SRTP: the RFC's vectors, libsrtp2 as the other side, roll-over, replays, forgeries, new keys. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <nettle/aes.h>
#include <nettle/ctr.h>
#include <nettle/hmac.h>
#include <sodium.h>
#include <srtp2/srtp.h>
#include <string.h>

#include "sip-worker/media/bytes.h"
#include "sip-worker/media/srtp.h"
#include "tests/fakes/oom.h"

#define SSRC  0xcafebabe
#define AUDIO 160

static struct srtp_key
key_of(enum srtp_suite suite, uint8_t fill)
{
	struct srtp_key k = { .suite = suite };

	memset(k.material, fill, sizeof(k.material));
	return k;
}

static struct srtp_session *
session(const struct srtp_key *send, const struct srtp_key *hear)
{
	struct srtp_session *s = srtp_session_create();

	assert_non_null(s);
	if (send)
		srtp_session_send_key(s, send);
	if (hear)
		srtp_session_hear_key(s, hear);
	return s;
}

/* A packet whose payload names its sequence number. */
static size_t
packet_make(uint8_t *p, uint32_t ssrc, uint16_t seq)
{
	memset(p, (uint8_t)(seq * 7), 12 + AUDIO);
	p[0] = 0x80;
	p[1] = 0;
	put_u16(p + 2, seq);
	put_u32(p + 4, (uint32_t)seq * AUDIO);
	put_u32(p + 8, ssrc);
	return 12 + AUDIO;
}

static size_t
seal(struct srtp_session *s, uint8_t *p, uint16_t seq)
{
	return srtp_session_seal_rtp(s, p, packet_make(p, SSRC, seq));
}

static bool
is_clear(const uint8_t *p, size_t len, uint16_t seq)
{
	uint8_t expected[12 + AUDIO + SRTP_TRAILER];

	return len == packet_make(expected, SSRC, seq) && memcmp(p, expected, len) == 0;
}

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

/* 200,000 packets both ways, a tenth lost, over three roll-overs. */
static void
talk(enum srtp_suite suite, uint8_t mki_len)
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
	for (unsigned i = 0; i < 200000; i++) {
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
	talk(SRTP_SUITE_80, 0);
	talk(SRTP_SUITE_32, 0);
	talk(SRTP_SUITE_80, 4);
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

/* --- replays, order --- */

static void
test_replay_window(void **state)
{
	struct srtp_key k = key_of(SRTP_SUITE_80, 1);
	struct srtp_session *s = session(&k, &k);
	uint8_t sent[400][12 + AUDIO + SRTP_TRAILER], p[sizeof(sent[0])];
	size_t len;

	(void)state;
	for (uint16_t i = 0; i < 400; i++)
		assert_int_equal(seal(s, sent[i], (uint16_t)(65400 + i)), 12 + AUDIO + 10);
	/* Every other one backwards in blocks of 100, so well within the window. */
	for (int block = 0; block < 400; block += 100) {
		for (int i = 99; i >= 0; i -= 2) {
			memcpy(p, sent[block + i], sizeof(p));
			len = 12 + AUDIO + 10;
			assert_int_equal(srtp_session_open_rtp(s, p, &len), SRTP_TAKE);
		}
	}
	for (int i = 0; i < 400; i++) {
		memcpy(p, sent[i], sizeof(p));
		len = 12 + AUDIO + 10;
		assert_int_equal(srtp_session_open_rtp(s, p, &len),
				 i % 2 == 0 && 399 - i < SRTP_WINDOW ? SRTP_TAKE : SRTP_REPLAYED);
		if (i % 2 == 1)
			assert_memory_equal(p, sent[i], sizeof(p));
	}
	srtp_session_destroy(s);
}

static void
test_index_is_used_once(void **state)
{
	struct srtp_key k = key_of(SRTP_SUITE_80, 1);
	struct srtp_session *s = session(&k, NULL);
	uint8_t p[12 + AUDIO + SRTP_TRAILER];

	(void)state;
	assert_true(seal(s, p, 100) > 0);
	assert_int_equal(seal(s, p, 100), 0);
	assert_int_equal(seal(s, p, 99), 0);
	assert_true(seal(s, p, 101) > 0);
	assert_int_equal(srtp_session_seal_rtp(s, p, 11), 0);
	assert_int_equal(srtp_session_seal_rtcp(s, p, 7), 0);
	srtp_session_destroy(s);
}

/* --- what is not from the peer --- */

static uint32_t
next(uint32_t *random)
{
	*random = *random * 1664525u + 1013904223u;
	return *random >> 8;
}

static void
spoil(uint8_t *p, size_t *len, uint32_t *random)
{
	switch (next(random) % 3) {
	case 0:
		p[next(random) % *len] ^= (uint8_t)(1 + next(random) % 255);
		break;
	case 1:
		*len = next(random) % *len;
		break;
	default:
		for (size_t i = 0; i < *len; i++)
			p[i] = (uint8_t)next(random);
		break;
	}
}

/* 300,000 forged packets between those of a call: none is taken, none of the call's is lost. */
static void
test_forgeries(void **state)
{
	struct srtp_key k = key_of(SRTP_SUITE_80, 1);
	struct srtp_session *s = session(&k, &k);
	uint8_t good[12 + AUDIO + SRTP_TRAILER], bad[sizeof(good)];
	uint32_t random = 1;
	uint64_t refused;

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		size_t len = seal(s, good, (uint16_t)(30000 + i)), n;

		for (int forged = 0; forged < 3; forged++) {
			memcpy(bad, good, len);
			n = len;
			spoil(bad, &n, &random);
			assert_int_not_equal(forged ? srtp_session_open_rtp(s, bad, &n)
						    : srtp_session_open_rtcp(s, bad, &n),
					     SRTP_TAKE);
		}
		assert_int_equal(srtp_session_open_rtp(s, good, &len), SRTP_TAKE);
	}
	refused = srtp_session_count(s, SRTP_SHORT) + srtp_session_count(s, SRTP_BAD_TAG) +
		  srtp_session_count(s, SRTP_REPLAYED);
	assert_int_equal(refused, 300000);
	assert_int_equal(srtp_session_count(s, SRTP_TAKE), 100000);
	srtp_session_destroy(s);
}

static void
test_clear_rtcp_is_refused(void **state)
{
	struct srtp_key k = key_of(SRTP_SUITE_80, 1);
	struct srtp_session *s = session(&k, &k);
	uint8_t p[8 + SRTP_TRAILER] = { 0x80, 201, 0, 1 };
	size_t len = srtp_session_seal_rtcp(s, p, 8);

	(void)state;
	assert_int_equal(len, 22);
	p[8] &= 0x7f;
	assert_int_equal(srtp_session_open_rtcp(s, p, &len), SRTP_BAD_TAG);
	p[8] |= 0x80;
	assert_int_equal(srtp_session_open_rtcp(s, p, &len), SRTP_TAKE);
	srtp_session_destroy(s);
}

static void
test_sources_are_bounded(void **state)
{
	struct srtp_key k = key_of(SRTP_SUITE_80, 1);
	struct srtp_session *in = session(NULL, &k);
	uint8_t p[12 + AUDIO + SRTP_TRAILER];

	(void)state;
	for (uint32_t i = 0; i < SRTP_SOURCES + 5; i++) {
		struct srtp_session *out = session(&k, NULL);
		size_t len = srtp_session_seal_rtp(out, p, packet_make(p, i, 1));

		assert_int_equal(srtp_session_open_rtp(in, p, &len),
				 i < SRTP_SOURCES ? SRTP_TAKE : SRTP_REPLAYED);
		srtp_session_destroy(out);
	}
	srtp_session_destroy(in);
}

/* --- keys change --- */

static void
test_same_key_goes_on(void **state)
{
	struct srtp_key k = key_of(SRTP_SUITE_80, 1);
	struct srtp_session *s = session(&k, &k);
	uint8_t p[12 + AUDIO + SRTP_TRAILER], first[sizeof(p)];
	size_t len;

	(void)state;
	for (unsigned i = 0; i < 70000; i++) {
		len = seal(s, p, (uint16_t)i);
		if (i == 69990)
			memcpy(first, p, sizeof(p));
		assert_int_equal(srtp_session_open_rtp(s, p, &len), SRTP_TAKE);
		if (i % 1000 == 0) {
			srtp_session_send_key(s, &k);
			srtp_session_hear_key(s, &k);
		}
	}
	len = 12 + AUDIO + 10;
	assert_int_equal(srtp_session_open_rtp(s, first, &len), SRTP_REPLAYED);
	srtp_session_destroy(s);
}

static void
test_new_key(void **state)
{
	struct srtp_key a = key_of(SRTP_SUITE_80, 1), b = key_of(SRTP_SUITE_32, 2);
	struct srtp_session *peer = session(&a, NULL), *s = session(NULL, &a);
	uint8_t late[12 + AUDIO + SRTP_TRAILER], p[sizeof(late)], again[sizeof(late)];
	size_t len, late_len;

	(void)state;
	len = seal(peer, p, 500);
	assert_int_equal(srtp_session_open_rtp(s, p, &len), SRTP_TAKE);
	late_len = seal(peer, late, 501);
	memcpy(again, late, sizeof(late));
	srtp_session_hear_key(s, &b);
	srtp_session_send_key(peer, &b);
	len = seal(peer, p, 502);
	assert_int_equal(len, 12 + AUDIO + 4);
	assert_int_equal(srtp_session_open_rtp(s, p, &len), SRTP_TAKE);
	/* Sent under the old key before the change, heard after it, once. */
	len = late_len;
	assert_int_equal(srtp_session_open_rtp(s, late, &len), SRTP_TAKE);
	assert_true(is_clear(late, len, 501));
	len = late_len;
	assert_int_not_equal(srtp_session_open_rtp(s, again, &len), SRTP_TAKE);
	srtp_session_settle(s);
	srtp_session_send_key(peer, &a);
	len = seal(peer, p, 600);
	assert_int_equal(srtp_session_open_rtp(s, p, &len), SRTP_BAD_TAG);
	assert_true(srtp_session_hears(s));
	srtp_session_clear(s);
	assert_false(srtp_session_hears(s) || srtp_session_sends(s));
	srtp_session_destroy(s);
	srtp_session_destroy(peer);
}

/* Nothing on the way of a packet, nor a new key, asks for memory. */
static void
test_nothing_is_allocated(void **state)
{
	struct srtp_key k = key_of(SRTP_SUITE_80, 1), b = key_of(SRTP_SUITE_80, 2);
	struct srtp_session *s = session(&k, &k);
	uint8_t p[12 + AUDIO + SRTP_TRAILER], r[8 + SRTP_TRAILER] = { 0x80, 201, 0, 1 };
	bool failed, taken = true;

	(void)state;
	oom_fail(1, true);
	for (uint16_t i = 0; i < 100; i++) {
		size_t len = seal(s, p, i);

		taken = taken && srtp_session_open_rtp(s, p, &len) == SRTP_TAKE;
	}
	srtp_session_send_key(s, &b);
	srtp_session_hear_key(s, &b);
	for (int i = 0; i < 100; i++) {
		size_t len = srtp_session_seal_rtcp(s, r, 8);

		taken = taken && srtp_session_open_rtcp(s, r, &len) == SRTP_TAKE;
	}
	srtp_session_settle(s);
	failed = oom_stop();
	assert_true(taken);
	assert_false(failed);
	srtp_session_destroy(s);
}

static bool
make_one(void *arg)
{
	struct srtp_session *s = srtp_session_create();

	(void)arg;
	srtp_session_destroy(s);
	return s != NULL;
}

static void
test_no_memory(void **state)
{
	(void)state;
	assert_int_equal(oom_run(make_one, NULL), 2);
	srtp_session_destroy(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc3711_keys),
		cmocka_unit_test(test_reference_packets),
		cmocka_unit_test(test_libsrtp_peer),
		cmocka_unit_test(test_libsrtp_rtcp),
		cmocka_unit_test(test_long_header),
		cmocka_unit_test(test_replay_window),
		cmocka_unit_test(test_index_is_used_once),
		cmocka_unit_test(test_forgeries),
		cmocka_unit_test(test_clear_rtcp_is_refused),
		cmocka_unit_test(test_sources_are_bounded),
		cmocka_unit_test(test_same_key_goes_on),
		cmocka_unit_test(test_new_key),
		cmocka_unit_test(test_nothing_is_allocated),
		cmocka_unit_test(test_no_memory),
	};

	if (srtp_init() != srtp_err_status_ok)
		return 2;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
