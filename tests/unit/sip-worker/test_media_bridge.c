/* Bridged sessions by media.h: audio, as it came and under our own numbers. */
#include "tests/unit/sip-worker/bridge_kit.h"

#include "sip-worker/media/dsp.h"

static void
test_handles(void **state)
{
	struct bench *b = *state;
	struct media_open o = { .family = AF_INET };
	struct media_local local;
	media_id a, beside, other;

	media_set_ports(b->m, 44000, 44199);
	o.remote.ptime_ms = 20;
	assert_int_equal(media_open(b->m, &o, &local, &a), ERR_OK);
	o.beside = a;
	for (int i = 0; i < 40; i++) { /* more than a slab has for one thread */
		assert_int_equal(media_open(b->m, &o, &local, &beside), ERR_OK);
		assert_int_equal(media_bridge(b->m, a, beside), ERR_OK);
	}
	o.beside = 0;
	assert_int_equal(media_open(b->m, &o, &local, &other), ERR_OK);
	assert_int_equal(media_bridge(b->m, a, other), ERR_UNSUPPORTED);
	assert_int_equal(media_bridge(b->m, a, a), ERR_INVALID);
	media_close(b->m, beside);
	assert_non_null(wait_notes(b, 'c', 1, 5000));
	assert_int_equal(media_bridge(b->m, a, beside), ERR_NOT_FOUND);
	assert_int_equal(media_bridge(b->m, beside, a), ERR_NOT_FOUND);
	assert_int_equal(media_bridge(b->m, a, 0), ERR_NOT_FOUND);
	assert_int_equal(media_bridge(b->m, UINT64_MAX, a), ERR_NOT_FOUND);
	media_unbridge(b->m, a, beside);
	media_unbridge(b->m, 0, UINT64_MAX);
	/* Beside one that is gone: anywhere. */
	o.beside = beside;
	assert_int_equal(media_open(b->m, &o, &local, &beside), ERR_OK);
}

/* Both ways; payload untouched, numbers our own and without a hole. */
static void
test_forward(void **state)
{
	struct pair x;
	struct rtp_packet h, last = { 0 };
	uint8_t data[1500];

	pair_open(&x, *state);
	pair_start(&x);
	for (int way = 0; way < 2; way++) {
		struct phone *from = &x.p[way], *to = &x.p[!way];

		pair_sync(&x, way, 160);
		for (int i = 0; i < 10; i++) {
			int64_t sent = clock_mono_ms();

			pair_talk(from, 0, (uint8_t)(0x20 + i), 160);
			pair_voice(to, &h, data);
			assert_in_range(clock_mono_ms() - sent, 0, 500);
			assert_int_equal(h.len, 160);
			assert_int_equal(h.pt, 0);
			for (size_t k = 0; k < h.len; k++)
				assert_int_equal(data[k], 0x20 + i);
			assert_int_not_equal(h.ssrc, from->ssrc);
			if (i > 0) {
				assert_int_equal(h.ssrc, last.ssrc);
				assert_int_equal(h.seq, (uint16_t)(last.seq + 1));
				assert_int_equal(h.ts, last.ts + 160);
				assert_false(h.marker);
			}
			last = h;
		}
	}
	pair_close(&x);
}

static void
test_laws(void **state)
{
	struct pair x;
	struct rtp_packet h;
	uint8_t data[1500], in[160];
	int16_t a[160], b[160];

	pair_open(&x, *state);
	x.o[1].remote.codec = CODEC_PCMA;
	x.o[1].remote.payload_type = 8;
	pair_start(&x);
	for (int way = 0; way < 2; way++) {
		enum codec law = way ? CODEC_PCMA : CODEC_PCMU;

		pair_sync(&x, way, 160);
		for (int i = 0; i < 160; i++)
			in[i] = (uint8_t)(i + 40 * way);
		phone_send(&x.p[way], way ? 8 : 0, false, x.p[way].ts, in, 160);
		do
			pair_voice(&x.p[!way], &h, data);
		while (data[1] == data[0]);
		assert_int_equal(h.pt, way ? 0 : 8);
		law_decode(law, a, in, 160);
		law_decode(way ? CODEC_PCMU : CODEC_PCMA, b, data, 160);
		for (int i = 0; i < 160; i++)
			assert_in_range(abs(a[i] - b[i]), 0, 32 + abs(a[i]) / 16);
	}
	pair_close(&x);
}

/* Cut and joined without losing a sample. */
static void
check_lengths(struct bench *b, int in, int out)
{
	struct pair x;
	struct rtp_packet h, last = { 0 };
	uint8_t data[1500], got[8000];
	size_t n = 0, want;

	pair_open(&x, b);
	x.o[0].remote.ptime_ms = in;
	x.o[1].remote.ptime_ms = out;
	pair_start(&x);
	pair_sync(&x, 0, (size_t)in * 8);
	for (int i = 0; i < 12; i++)
		pair_talk(&x.p[0], 0, (uint8_t)(0x20 + i), (size_t)in * 8);
	want = 12 * (size_t)in * 8;
	/* The last partial frame follows once nothing more comes. */
	while (n < want) {
		size_t skip = 0;

		pair_voice(&x.p[1], &h, data);
		while (skip < h.len && data[skip] == 0x11)
			skip++;
		memcpy(got + n, data + skip, h.len - skip);
		n += h.len - skip;
		if (last.len) {
			assert_int_equal(h.seq, (uint16_t)(last.seq + 1));
			assert_int_equal(h.ts, last.ts + last.len);
		}
		if (n < want)
			assert_int_equal(h.len, (size_t)out * 8);
		last = h;
	}
	assert_int_equal(n, want);
	for (size_t i = 0; i < want; i++)
		assert_int_equal(got[i], 0x20 + i / ((size_t)in * 8));
	pair_close(&x);
	b->count = 0;
}

static void
test_lengths(void **state)
{
	check_lengths(*state, 20, 30);
	check_lengths(*state, 30, 20);
	check_lengths(*state, 60, 10);
	check_lengths(*state, 10, 60);
}

/* Lost packets leave a hole in the numbers, late ones fill it, duplicates go nowhere. */
static void
test_disorder(void **state)
{
	struct pair x;
	struct rtp_packet h;
	uint8_t data[1500];
	static const struct {
		int seq;
		uint8_t byte;
	} sent[] = { { 0, 0x20 }, { 3, 0x23 }, { 1, 0x21 }, { 3, 0x23 }, { 4, 0x24 } };
	static const int arrive[] = { 0, 3, 1, 4 };
	uint16_t seq, first = 0;
	uint32_t ts, first_ts = 0;

	pair_open(&x, *state);
	pair_start(&x);
	pair_sync(&x, 0, 160);
	seq = x.p[0].seq;
	ts = x.p[0].ts;
	for (size_t i = 0; i < ARRAY_LEN(sent); i++) {
		x.p[0].seq = (uint16_t)(seq + sent[i].seq);
		x.p[0].ts = ts + (uint32_t)sent[i].seq * 160;
		pair_talk(&x.p[0], 0, sent[i].byte, 160);
	}
	for (size_t i = 0; i < ARRAY_LEN(arrive); i++) {
		pair_voice(&x.p[1], &h, data);
		assert_int_equal(data[0], 0x20 + arrive[i]);
		if (i == 0) {
			first = h.seq;
			first_ts = h.ts;
		}
		assert_int_equal(h.seq, (uint16_t)(first + arrive[i]));
		assert_int_equal(h.ts, first_ts + (uint32_t)arrive[i] * 160);
	}
	pair_close(&x);
}

/* Whatever the peer does to its numbers, ours go on. */
static void
test_restart(void **state)
{
	struct pair x;
	struct rtp_packet h, last = { 0 };
	uint8_t data[1500];

	pair_open(&x, *state);
	pair_start(&x);
	pair_sync(&x, 0, 160);
	for (int i = 0; i < 12; i++) {
		if (i == 3) { /* another source */
			x.p[0].ssrc = 0x9999;
			x.p[0].seq = 7;
			x.p[0].ts = 1000;
		} else if (i == 6) {
			x.p[0].ts += 4000000; /* a jump ahead */
		} else if (i == 8) {
			x.p[0].ts -= 400; /* a little back */
		} else if (i == 9) {
			x.p[0].ts -= 9000000; /* and far */
		}
		pair_talk(&x.p[0], 0, (uint8_t)(0x20 + i), 160);
		pair_voice(&x.p[1], &h, data);
		assert_int_equal(data[0], 0x20 + i);
		if (i > 0) {
			assert_int_equal(h.ssrc, last.ssrc);
			assert_int_equal(h.seq, (uint16_t)(last.seq + 1));
			/* At most as far as the clock went meanwhile. */
			assert_in_range(h.ts - last.ts, 160, 160 + 8000);
			if (h.ts != last.ts + 160)
				assert_true(h.marker);
		}
		last = h;
	}
	pair_close(&x);
}

/* A short pause, or a loss where frames are joined: both are passed on as they are. */
static void
test_gaps(void **state)
{
	struct pair x;
	struct rtp_packet h, last = { 0 };
	uint8_t data[1500];

	pair_open(&x, *state);
	x.o[1].remote.ptime_ms = 30;
	pair_start(&x);
	pair_sync(&x, 1, 160);
	pair_talk(&x.p[1], 0, 0x22, 160);
	pair_voice(&x.p[0], &last, data);
	x.p[1].ts += 800;
	pair_talk(&x.p[1], 0, 0x23, 160);
	pair_voice(&x.p[0], &h, data);
	assert_int_equal(h.seq, (uint16_t)(last.seq + 1));
	assert_int_equal(h.ts, last.ts + 160 + 800);
	assert_true(h.marker);
	pair_sync(&x, 0, 240);
	pair_talk(&x.p[0], 0, 0x24, 160);
	x.p[0].ts += 160;
	x.p[0].seq++;
	pair_talk(&x.p[0], 0, 0x25, 240);
	pair_voice(&x.p[1], &last, data);
	assert_int_equal(data[0], 0x24);
	assert_int_equal(last.len, 160);
	pair_voice(&x.p[1], &h, data);
	assert_int_equal(data[0], 0x25);
	assert_int_equal(h.len, 240);
	assert_int_equal(h.seq, (uint16_t)(last.seq + 2));
	assert_int_equal(h.ts, last.ts + 320);
	pair_close(&x);
}

/* A pause: silence in its place, then the voice again; time never goes back. */
static void
test_pause(void **state)
{
	struct pair x;
	struct rtp_packet h, last = { 0 };
	uint8_t data[1500];
	int silent = 0;

	pair_open(&x, *state);
	pair_start(&x);
	pair_sync(&x, 0, 160);
	pair_talk(&x.p[0], 0, 0x22, 160);
	pair_voice(&x.p[1], &last, data);
	for (int round = 0; round < 3; round++) {
		for (silent = 0; silent < 5; silent++) {
			assert_true(phone_recv(&x.p[1], &h, data, 3000));
			assert_int_equal(data[0], SILENCE);
			assert_int_equal(h.seq, (uint16_t)(last.seq + 1));
			assert_in_range(h.ts - last.ts, 160, 80000);
			assert_int_equal(h.marker, h.ts != last.ts + 160);
			last = h;
		}
		x.p[0].ts += 160 * 20; /* the peer's clock went on, */
		x.p[0].seq += 3;       /* what was lost meanwhile is nobody's business */
		pair_talk(&x.p[0], 0, 0x33, 160);
		do {
			assert_true(phone_recv(&x.p[1], &h, data, 3000));
			assert_int_equal(h.seq, (uint16_t)(last.seq + 1));
			assert_in_range(h.ts - last.ts, 160, 80000);
			last = h;
		} while (data[0] == SILENCE);
		assert_int_equal(data[0], 0x33);
	}
	pair_close(&x);
}

static void
test_hold(void **state)
{
	struct pair x;
	struct rtp_packet h, last = { 0 };
	uint8_t data[1500];

	pair_open(&x, *state);
	pair_start(&x);
	pair_sync(&x, 0, 160);
	pair_talk(&x.p[0], 0, 0x22, 160);
	pair_voice(&x.p[1], &last, data);
	/* Held by 1: nothing goes there. */
	x.o[1].remote.direction = MEDIA_RECVONLY;
	media_update(x.b->m, x.id[1], &x.o[1].remote);
	while (phone_recv(&x.p[1], &h, data, 100))
		last = h;
	for (int i = 0; i < 40; i++)
		pair_talk(&x.p[0], 0, 0x23, 160);
	assert_false(phone_recv(&x.p[1], &h, data, 100));
	/* Its music is heard by 0 … */
	pair_sync(&x, 1, 160);
	/* … unless it is not ours to hear. */
	x.o[1].remote.direction = MEDIA_INACTIVE;
	media_update(x.b->m, x.id[1], &x.o[1].remote);
	usleep(100000);
	while (phone_recv(&x.p[0], &h, data, 0))
		;
	for (int i = 0; i < 20; i++) {
		pair_talk(&x.p[1], 0, 0x44, 160);
		assert_true(phone_recv(&x.p[0], &h, data, 3000));
		assert_int_equal(data[0], SILENCE);
	}
	x.o[1].remote.direction = MEDIA_SENDRECV;
	media_update(x.b->m, x.id[1], &x.o[1].remote);
	do
		assert_true(phone_recv(&x.p[1], &h, data, 3000));
	while (data[0] == 0x23);
	assert_int_equal(h.seq, (uint16_t)(last.seq + 1));
	assert_true((int32_t)(h.ts - last.ts) >= 160);
	assert_true(h.marker);
	pair_sync(&x, 0, 160);
	pair_close(&x);
}

/* A clip comes before the peer, whole and in order. */
static void
test_clip(void **state)
{
	struct pair x;
	struct rtp_packet h, last = { 0 };
	uint8_t data[1500];
	struct clip *c = tone(800);
	uint8_t byte = c->law[CODEC_PCMU][0];
	int clip = 0, voice = 0;

	pair_open(&x, *state);
	pair_start(&x);
	pair_sync(&x, 0, 160);
	pair_talk(&x.p[0], 0, 0x22, 160);
	pair_voice(&x.p[1], &last, data);
	assert_int_equal(media_play(x.b->m, x.id[1], c, 5), ERR_OK);
	while (voice < 3) {
		pair_talk(&x.p[0], 0, 0x22, 160);
		assert_true(phone_recv(&x.p[1], &h, data, 3000));
		clip += data[0] == byte;
		if (clip == 5)
			voice += data[0] == 0x22;
		assert_int_equal(h.seq, (uint16_t)(last.seq + 1));
		assert_true((int32_t)(h.ts - last.ts) >= 160);
		last = h;
	}
	assert_int_equal(clip, 5);
	assert_non_null(wait_notes(x.b, 'p', 1, 5000));
	pair_close(&x);
	clip_unref(c);
}

/* One side encrypts, the other does not. */
static void
test_encrypted(void **state)
{
	struct pair x;
	struct srtp_session *srtp = srtp_session_create();
	struct srtp_key key = { .suite = SRTP_SUITE_80 };
	struct rtp_packet h = { 0 };
	uint8_t data[1500] = { 0 };
	size_t len = 0;
	bool heard = false;

	assert_non_null(srtp);
	memset(key.material, 7, sizeof(key.material));
	srtp_session_send_key(srtp, &key);
	srtp_session_hear_key(srtp, &key);
	pair_open(&x, *state);
	x.o[1].remote.send_key = x.o[1].remote.hear_key = key;
	pair_start(&x);
	for (int i = 0; i < 200 && !heard; i++) {
		struct pollfd pfd = { .fd = x.p[1].fd, .events = POLLIN };

		pair_talk(&x.p[0], 0, 0x22, 160);
		assert_int_equal(poll(&pfd, 1, 3000), 1);
		len = (size_t)recv(x.p[1].fd, data, sizeof(data), 0);
		if (rtp_is_rtcp(data, len))
			continue;
		assert_int_equal(srtp_session_open_rtp(srtp, data, &len), SRTP_TAKE);
		assert_int_equal(len, RTP_HEADER + 160);
		heard = data[RTP_HEADER] == 0x22;
	}
	assert_true(heard);
	h.seq = 5;
	h.ssrc = 9;
	rtp_write(data, &h);
	memset(data + RTP_HEADER, 0x44, 160);
	len = srtp_session_seal_rtp(srtp, data, RTP_HEADER + 160);
	assert_int_not_equal(data[RTP_HEADER + 1], 0x44);
	sendto(x.p[1].fd, data, len, 0, &x.p[1].to.sa, addr_len(&x.p[1].to));
	pair_voice(&x.p[0], &h, data);
	assert_int_equal(data[0], 0x44);
	assert_int_equal(h.len, 160);
	pair_close(&x);
	srtp_session_destroy(srtp);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_handles, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forward, setup, teardown),
		cmocka_unit_test_setup_teardown(test_laws, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lengths, setup, teardown),
		cmocka_unit_test_setup_teardown(test_disorder, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gaps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pause, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hold, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clip, setup, teardown),
		cmocka_unit_test_setup_teardown(test_encrypted, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
