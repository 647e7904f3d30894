/* SRTP: replays, forgeries, keys that change; nothing is allocated. */
#include "tests/unit/sip-worker/srtp_kit.h"

#include "tests/fakes/oom.h"

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

	return cmocka_run_group_tests(tests, NULL, NULL);
}
