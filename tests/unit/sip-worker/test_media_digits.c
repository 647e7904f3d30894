/* Digits and tones that a session sends: passed on from its peer, or of our own. */
#include "tests/unit/sip-worker/bridge_kit.h"

#include "sip-worker/media/bytes.h"
#include "sip-worker/media/dsp.h"

struct event {
	struct rtp_packet h;
	uint8_t digit;
	bool end;
	unsigned duration;
};

/* The next telephone event. */
static bool
event_recv(struct phone *p, uint8_t pt, struct event *e)
{
	static uint8_t data[1500];

	for (int i = 0; i < 100; i++) {
		if (!phone_recv(p, &e->h, data, 3000))
			return false;
		if (e->h.pt != pt)
			continue;
		assert_int_equal(e->h.len, 4);
		e->digit = data[0];
		e->end = data[1] & 0x80;
		e->duration = get_u16(data + 2);
		return true;
	}
	return false;
}

static void
press(struct phone *p, uint8_t pt, uint8_t digit, int packets)
{
	uint8_t e[4] = { digit, 10, 0, 0 };

	for (int i = 1; i <= packets + 3; i++) {
		int n = i < packets ? i : packets;

		e[1] = i > packets ? 0x8a : 10;
		put_u16(e + 2, (uint16_t)(n * 160));
		phone_send(p, pt, i == 1, p->ts, e, 4);
	}
	p->ts += (uint32_t)packets * 160;
	usleep((unsigned)packets * 20000); /* as long as it says */
}

/* Events stay events, with the other side's payload type; audio goes on after them. */
static void
test_relay(void **state)
{
	struct pair x;
	struct event e = { 0 }, last = { 0 };
	struct rtp_packet before, h;
	uint8_t data[1500];
	const struct note *n;

	pair_open(&x, *state);
	x.o[1].remote.dtmf_payload_type = 96;
	pair_start(&x);
	pair_sync(&x, 0, 160);
	pair_talk(&x.p[0], 0, 0x21, 160);
	pair_voice(&x.p[1], &before, data);
	for (int round = 0; round < 3; round++) {
		press(&x.p[0], 101, 5, 5);
		for (int i = 0; i < 8; i++) {
			assert_true(event_recv(&x.p[1], 96, &e));
			assert_int_equal(e.digit, 5);
			assert_int_equal(e.h.marker, i == 0);
			assert_int_equal(e.end, i >= 5);
			assert_int_equal(e.duration, (i < 5 ? i + 1 : 5) * 160);
			assert_int_equal(e.h.ssrc, before.ssrc);
			if (i > 0) {
				assert_int_equal(e.h.seq, (uint16_t)(last.h.seq + 1));
				assert_int_equal(e.h.ts, last.h.ts);
			} else if (round == 0) {
				assert_int_equal(e.h.seq, (uint16_t)(before.seq + 1));
				assert_int_equal(e.h.ts, before.ts + 160);
			} else {
				assert_int_not_equal(e.h.ts, last.h.ts);
			}
			last = e;
		}
	}
	pair_talk(&x.p[0], 0, 0x22, 160);
	pair_voice(&x.p[1], &h, data);
	assert_int_equal(h.seq, (uint16_t)(last.h.seq + 1));
	assert_int_equal(h.ts, last.h.ts + 5 * 160);
	assert_non_null(n = wait_notes(x.b, 'd', 3, 5000));
	assert_null(wait_notes(x.b, 'd', 4, 50));
	assert_int_equal(n->digit, '5');
	assert_int_equal(n->owner, 1);
	pair_close(&x);
}

/* A sender that forgets to move its timestamp: two presses all the same. */
static void
test_relay_again(void **state)
{
	struct pair x;
	struct event e;
	uint32_t first;
	uint8_t p[4] = { 5, 0x8a, 0, 160 };

	pair_open(&x, *state);
	pair_start(&x);
	pair_sync(&x, 0, 160);
	phone_send(&x.p[0], 101, true, x.p[0].ts, p, 4);
	p[0] = 6;
	p[1] = 10;
	phone_send(&x.p[0], 101, true, x.p[0].ts, p, 4);
	assert_true(event_recv(&x.p[1], 101, &e));
	assert_int_equal(e.digit, 5);
	first = e.h.ts;
	assert_true(event_recv(&x.p[1], 101, &e));
	assert_int_equal(e.digit, 6);
	assert_in_range(e.h.ts - first, 160, 8000);
	pair_close(&x);
}

/* Ours waits until the press that is passed on has ended. */
static void
test_send_meanwhile(void **state)
{
	struct pair x;
	struct event e;
	bool in_turn = false;

	pair_open(&x, *state);
	pair_start(&x);
	pair_sync(&x, 0, 160);
	/* On a machine so busy that the press seems to have ended, once more. */
	for (int tries = 0; tries < 5 && !in_turn; tries++) {
		uint8_t p[4] = { 5, 10, 0, 0 };
		int fives = 0;

		for (int i = 1; i <= 6; i++) {
			p[1] = i > 5 ? 0x8a : 10;
			put_u16(p + 2, (uint16_t)(160 * i));
			phone_send(&x.p[0], 101, i == 1, x.p[0].ts, p, 4);
			usleep(20000);
			if (i == 2)
				assert_int_equal(media_send_digit(x.b->m, x.id[1], '6', 40),
						 ERR_OK);
		}
		x.p[0].ts += 1600;
		do {
			assert_true(event_recv(&x.p[1], 101, &e));
			fives += e.digit == 5;
		} while (e.digit != 6 || !e.end);
		in_turn = fives == 6;
		usleep(200000);
	}
	assert_true(in_turn);
	pair_close(&x);
}

/* Segments of a long press, and a gateway that moves the timestamp with every packet. */
static void
test_relay_long(void **state)
{
	struct pair x;
	struct event e;
	uint32_t first;
	uint8_t p[4] = { 9, 10, 0xff, 0xff };

	pair_open(&x, *state);
	pair_start(&x);
	pair_sync(&x, 0, 160);
	phone_send(&x.p[0], 101, true, x.p[0].ts, p, 4);
	put_u16(p + 2, 160);
	phone_send(&x.p[0], 101, false, x.p[0].ts + 0xffff, p, 4);
	assert_true(event_recv(&x.p[1], 101, &e));
	first = e.h.ts;
	assert_true(e.h.marker);
	assert_true(event_recv(&x.p[1], 101, &e));
	assert_int_equal(e.h.ts, first + 0xffff);
	assert_false(e.h.marker);
	x.p[0].ts += 0x20000;
	p[0] = 4;
	for (int i = 1; i <= 3; i++) {
		put_u16(p + 2, (uint16_t)(160 * i));
		phone_send(&x.p[0], 101, i == 1, x.p[0].ts, p, 4);
		x.p[0].ts += 160;
	}
	assert_true(event_recv(&x.p[1], 101, &e));
	first = e.h.ts;
	for (unsigned i = 2; i <= 3; i++) {
		assert_true(event_recv(&x.p[1], 101, &e));
		assert_int_equal(e.h.ts, first);
		assert_int_equal(e.duration, 160 * i);
	}
	pair_close(&x);
	assert_int_equal(note_count(x.b, 'd'), 2);
}

/* The digits a detector hears in what comes, until `count` or too long. */
static size_t
hear(struct phone *p, char *digits, size_t count)
{
	struct dsp *d = dsp_create();
	struct rtp_packet h;
	uint8_t data[1500];
	int16_t pcm[480];
	size_t n = 0;

	assert_non_null(d);
	for (int i = 0; i < 150 && n < count; i++) {
		assert_true(phone_recv(p, &h, data, 3000));
		assert_int_equal(h.pt, 0);
		law_decode(CODEC_PCMU, pcm, data, h.len);
		n += dsp_tones(d, pcm, h.len, digits + n, count - n);
	}
	dsp_destroy(d);
	return n;
}

/* To a side without telephone events: a tone. */
static void
test_relay_tone(void **state)
{
	struct pair x;
	char got[8] = { 0 };

	pair_open(&x, *state);
	x.o[1].remote.dtmf_payload_type = -1;
	pair_start(&x);
	pair_sync(&x, 0, 160);
	press(&x.p[0], 101, 7, 4);
	press(&x.p[0], 101, 7, 4);
	press(&x.p[0], 101, 11, 4);
	assert_int_equal(hear(&x.p[1], got, 3), 3);
	assert_string_equal(got, "77#");
	pair_sync(&x, 0, 160);
	pair_close(&x);
	assert_int_equal(note_count(x.b, 'd'), 3);
}

/* Our own: packets at the session's pace, three ends, the clock goes on. */
static void
test_send(void **state)
{
	struct bench *b = *state;
	struct phone p;
	struct media_open o;
	struct event e, last = { 0 };
	struct rtp_packet h;
	uint8_t data[1500];
	media_id id;

	media_set_ports(b->m, 44000, 44199);
	phone_open(&p, "127.0.0.2");
	o = open_for(&p);
	id = start(b, &p, &o);
	assert_true(phone_recv(&p, &last.h, data, 3000));
	assert_int_equal(media_send_digit(b->m, id, '8', 100), ERR_OK);
	assert_int_equal(media_send_digit(b->m, id, 'a', 1), ERR_OK);
	for (int digit = 0; digit < 2; digit++) {
		/* 100 ms: 20 … 80, 100 and its two repetitions; 40 ms at least. */
		int steps = digit ? 2 : 5;
		uint32_t begin = 0;

		for (int i = 1; i <= steps + 2; i++) {
			assert_true(event_recv(&p, 101, &e));
			assert_int_equal(e.digit, digit ? 12 : 8);
			assert_int_equal(e.h.marker, i == 1);
			assert_int_equal(e.end, i >= steps);
			assert_int_equal(e.duration, (i < steps ? i : steps) * 160);
			if (i == 1) {
				assert_true((int32_t)(e.h.ts - last.h.ts) >= 160);
				begin = e.h.ts;
			} else {
				assert_int_equal(e.h.seq, (uint16_t)(last.h.seq + 1));
				assert_int_equal(e.h.ts, begin);
			}
			last = e;
		}
	}
	assert_true(phone_recv(&p, &h, data, 3000));
	assert_int_equal(h.pt, 0);
	assert_true(h.marker);
	assert_int_equal(h.seq, (uint16_t)(last.h.seq + 1));
	assert_in_range(h.ts - last.h.ts, 4 * 160, 4 * 160 + 8000);
	assert_int_equal(media_send_digit(b->m, id, 'x', 100), ERR_INVALID);
	finish(b, &p, id);
	assert_int_equal(media_send_digit(b->m, id, '1', 100), ERR_NOT_FOUND);
}

static void
test_send_tone(void **state)
{
	struct bench *b = *state;
	struct phone p;
	struct media_open o;
	char got[8] = { 0 };
	media_id id;
	int put = 0;

	media_set_ports(b->m, 44000, 44199);
	phone_open(&p, "127.0.0.2");
	o = open_for(&p);
	o.remote.dtmf_payload_type = -1;
	o.remote.ptime_ms = 30;
	id = start(b, &p, &o);
	assert_int_equal(media_send_digit(b->m, id, '1', 100), ERR_OK);
	assert_int_equal(media_send_digit(b->m, id, '1', 100), ERR_OK);
	assert_int_equal(media_send_digit(b->m, id, '*', 100), ERR_OK);
	assert_int_equal(hear(&p, got, 3), 3);
	assert_string_equal(got, "11*");
	/* Held, they go nowhere; a queue has an end. */
	while (media_send_digit(b->m, id, '2', 1) == ERR_OK)
		assert_in_range(++put, 0, 18);
	assert_in_range(put, 16, 18);
	o.remote.direction = MEDIA_RECVONLY;
	media_update(b->m, id, &o.remote);
	usleep(150000);
	assert_int_equal(media_send_digit(b->m, id, '3', 100), ERR_OK);
	usleep(100000);
	o.remote.direction = MEDIA_SENDRECV;
	media_update(b->m, id, &o.remote);
	assert_int_equal(media_send_digit(b->m, id, '4', 100), ERR_OK);
	memset(got, 0, sizeof(got));
	do
		assert_int_equal(hear(&p, got, 1), 1);
	while (got[0] == '2'); /* sent before the hold */
	assert_int_equal(got[0], '4');
	finish(b, &p, id);
}

/* Our digit and the bridge: audio makes room, then goes on. */
static void
test_send_bridged(void **state)
{
	struct pair x;
	struct rtp_packet h, last = { 0 };
	uint8_t data[1500];
	int ends = 0, voice = 0;

	pair_open(&x, *state);
	pair_start(&x);
	pair_sync(&x, 0, 160);
	pair_talk(&x.p[0], 0, 0x22, 160);
	pair_voice(&x.p[1], &last, data);
	assert_int_equal(media_send_digit(x.b->m, x.id[1], '6', 60), ERR_OK);
	while (voice < 3) {
		pair_talk(&x.p[0], 0, 0x22, 160);
		assert_true(phone_recv(&x.p[1], &h, data, 3000));
		assert_int_equal(h.seq, (uint16_t)(last.seq + 1));
		assert_true((int32_t)(h.ts - last.ts) >= 0);
		ends += h.pt == 101 && data[1] & 0x80;
		voice += h.pt == 0 && ends == 3;
		last = h;
	}
	assert_int_equal(ends, 3);
	pair_close(&x);
	assert_int_equal(note_count(x.b, 'd'), 0); /* ours are not told to us */
}

static bool
is_tone(const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (data[i] != SILENCE)
			return true;
	return false;
}

/* Samples of sound and of silence after it, in turn. */
static void
test_tones(void **state)
{
	struct bench *b = *state;
	struct phone p;
	struct media_open o;
	struct rtp_packet h;
	uint8_t data[1500];
	struct clip *c = tone(400);
	int on = 0, off = 0;
	media_id id;

	media_set_ports(b->m, 44000, 44199);
	phone_open(&p, "127.0.0.2");
	o = open_for(&p);
	id = start(b, &p, &o);
	media_tone(b->m, id, MEDIA_TONE_COMFORT);
	do
		assert_true(phone_recv(&p, &h, data, 3000));
	while (!is_tone(data, h.len));
	for (; is_tone(data, h.len); on++)
		assert_true(phone_recv(&p, &h, data, 3000));
	for (; !is_tone(data, h.len); off++)
		assert_true(phone_recv(&p, &h, data, 3000));
	assert_int_equal(on, 6);
	assert_int_equal(off, 94);
	/* Another one, at once and from its beginning. */
	media_tone(b->m, id, MEDIA_TONE_RINGBACK);
	for (int i = 0; i < 20; i++)
		assert_true(phone_recv(&p, &h, data, 3000));
	for (int i = 0; i < 20; i++) {
		assert_true(phone_recv(&p, &h, data, 3000));
		assert_true(is_tone(data, h.len));
	}
	/* A clip ends it. */
	assert_int_equal(media_play(b->m, id, c, 1), ERR_OK);
	assert_non_null(wait_notes(b, 'p', 1, 5000));
	while (phone_recv(&p, &h, data, 0))
		;
	for (int i = 0; i < 10; i++) {
		assert_true(phone_recv(&p, &h, data, 3000));
		assert_false(is_tone(data, h.len));
	}
	media_tone(b->m, id, MEDIA_TONE_RINGBACK);
	do
		assert_true(phone_recv(&p, &h, data, 3000));
	while (!is_tone(data, h.len));
	media_tone(b->m, id, MEDIA_TONE_NONE);
	do
		assert_true(phone_recv(&p, &h, data, 3000));
	while (is_tone(data, h.len));
	finish(b, &p, id);
	media_tone(b->m, id, MEDIA_TONE_RINGBACK); /* gone: nothing */
	clip_unref(c);
}

/* Ringing until the bridge; asked for on a bridge, until the far end is heard. */
static void
test_tone_bridged(void **state)
{
	struct pair x;
	struct rtp_packet h;
	uint8_t data[1500];

	pair_open(&x, *state);
	x.id[0] = start(x.b, &x.p[0], &x.o[0]);
	media_tone(x.b->m, x.id[0], MEDIA_TONE_RINGBACK);
	do
		assert_true(phone_recv(&x.p[0], &h, data, 3000));
	while (!is_tone(data, h.len));
	x.o[1].beside = x.id[0];
	x.id[1] = start(x.b, &x.p[1], &x.o[1]);
	assert_int_equal(media_bridge(x.b->m, x.id[0], x.id[1]), ERR_OK);
	for (int i = 0; i < 30 && is_tone(data, h.len); i++) /* of 100 */
		assert_true(phone_recv(&x.p[0], &h, data, 3000));
	assert_false(is_tone(data, h.len));
	media_tone(x.b->m, x.id[0], MEDIA_TONE_RINGBACK);
	do
		assert_true(phone_recv(&x.p[0], &h, data, 3000));
	while (!is_tone(data, h.len));
	for (int i = 0; i < 20; i++) {
		pair_talk(&x.p[1], 0, 0x44, 160);
		assert_true(phone_recv(&x.p[0], &h, data, 3000));
	}
	for (int i = 0; i < 5; i++) {
		pair_talk(&x.p[1], 0, 0x44, 160);
		assert_true(phone_recv(&x.p[0], &h, data, 3000));
		assert_int_equal(data[0], 0x44);
	}
	pair_close(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_relay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_relay_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_relay_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_relay_tone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_send, setup, teardown),
		cmocka_unit_test_setup_teardown(test_send_tone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_send_bridged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_send_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tones, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tone_bridged, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
