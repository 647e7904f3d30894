/* The engine with a phone that encrypts: both ways, forgeries, new keys, latching. */
#include "tests/unit/sip-worker/phone.h"

#include "sip-worker/media/bytes.h"
#include "sip-worker/media/engine.h"
#include "sip-worker/media/rtcp.h"

struct secure {
	struct phone p;
	struct srtp_session *srtp;
	struct srtp_key ours, theirs; /* the phone's; the engine's */
	uint8_t last[1500];           /* as it was sent */
	size_t last_len;
};

static struct srtp_key
key_of(uint8_t fill)
{
	struct srtp_key k = { .suite = fill % 2 ? SRTP_SUITE_80 : SRTP_SUITE_32 };

	memset(k.material, fill, sizeof(k.material));
	return k;
}

static struct media_open
secure_open(struct secure *s, const char *host)
{
	struct media_open o;

	memset(s, 0, sizeof(*s));
	phone_open(&s->p, host);
	s->srtp = srtp_session_create();
	assert_non_null(s->srtp);
	s->ours = key_of(1);
	s->theirs = key_of(3);
	srtp_session_send_key(s->srtp, &s->ours);
	srtp_session_hear_key(s->srtp, &s->theirs);
	o = open_for(&s->p);
	o.remote.send_key = s->theirs;
	o.remote.hear_key = s->ours;
	return o;
}

static void
wire_send(struct secure *s, const uint8_t *data, size_t len)
{
	sendto(s->p.fd, data, len, 0, &s->p.to.sa, addr_len(&s->p.to));
}

static void
secure_send(struct secure *s, uint8_t pt, const void *data, size_t len)
{
	struct rtp_packet h = { .pt = pt, .seq = s->p.seq++, .ts = s->p.ts, .ssrc = s->p.ssrc };

	rtp_write(s->last, &h);
	memcpy(s->last + RTP_HEADER, data, len);
	s->last_len = srtp_session_seal_rtp(s->srtp, s->last, RTP_HEADER + len);
	assert_true(s->last_len > 0);
	wire_send(s, s->last, s->last_len);
}

static void
secure_talk(struct secure *s)
{
	uint8_t audio[160];

	memset(audio, 0xff, sizeof(audio));
	secure_send(s, 0, audio, sizeof(audio));
	s->p.ts += 160;
}

static void
secure_press(struct secure *s, uint8_t event)
{
	const uint8_t e[4] = { event, 0x8a, 0, 160 };

	for (int i = 0; i < 3; i++)
		secure_send(s, 101, e, sizeof(e));
	s->p.ts += 800;
}

/* Waits for a packet of the engine that is RTP, or RTCP, and opens it. */
static enum srtp_verdict
secure_recv(struct secure *s, bool rtcp, uint8_t data[1500], size_t *len)
{
	struct pollfd pfd = { .fd = s->p.fd, .events = POLLIN };

	for (int i = 0; i < 1000; i++) {
		ssize_t n;

		assert_int_equal(poll(&pfd, 1, 5000), 1);
		n = recv(s->p.fd, data, 1500, 0);
		assert_true(n > 0);
		*len = (size_t)n;
		if (rtp_is_rtcp(data, *len) != rtcp)
			continue;
		return rtcp ? srtp_session_open_rtcp(s->srtp, data, len)
			    : srtp_session_open_rtp(s->srtp, data, len);
	}
	fail_msg("nothing came");
	return SRTP_SHORT;
}

static bool
hears_silence(struct secure *s)
{
	uint8_t data[1500];
	size_t len;

	if (secure_recv(s, false, data, &len) != SRTP_TAKE || len != 172)
		return false;
	for (size_t i = RTP_HEADER; i < len; i++)
		if (data[i] != 0xff)
			return false;
	return true;
}

static const struct media_stats *
secure_finish(struct bench *b, struct secure *s, media_id id)
{
	srtp_session_destroy(s->srtp);
	return finish(b, &s->p, id);
}

static void
test_both_ways(void **state)
{
	struct bench *b = *state;
	struct secure s;
	struct media_open o = secure_open(&s, "127.0.0.2");
	media_id id = start(b, &s.p, &o);
	const struct media_stats *st;

	for (int i = 0; i < 20; i++) {
		assert_true(hears_silence(&s));
		secure_talk(&s); /* over a roll-over: it begins at 65530 */
	}
	secure_press(&s, 5);
	assert_non_null(wait_notes(b, 'd', 1, 5000));
	assert_int_equal(note_find(b, 'd')->digit, '5');
	st = secure_finish(b, &s, id);
	assert_int_equal(st->packets_received, 23);
	assert_int_equal(st->lost, 0);
	assert_true(st->srtp);
	assert_int_equal(st->srtp_bad_tag, 0);
	assert_int_equal(st->srtp_replayed, 0);
}

static void
test_reports(void **state)
{
	struct bench *b = *state;
	struct secure s;
	struct media_open o = secure_open(&s, "127.0.0.2");
	media_id id = start(b, &s.p, &o);
	struct rtcp_report r = { .ssrc = 9, .sent = true, .has_block = true, .cname = "x" };
	struct rtcp_heard h;
	uint8_t data[1500];
	size_t len;

	secure_talk(&s);
	/* The engine's first one is due after 1.25 to 3.75 s. */
	assert_int_equal(secure_recv(&s, true, data, &len), SRTP_TAKE);
	assert_true(rtcp_read(data, len, s.p.ssrc, &h));
	assert_true(h.sender && h.about_us);
	r.block = (struct rtcp_block){ .ssrc = h.ssrc, .lost = 5 };
	len = rtcp_write(data, &r);
	wire_send(&s, data, len); /* in clear: not heard */
	r.block.lost = 17;
	len = srtp_session_seal_rtcp(s.srtp, data, rtcp_write(data, &r));
	wire_send(&s, data, len);
	r.block.lost = 5;
	wire_send(&s, data, rtcp_write(data, &r));
	usleep(50000);
	assert_int_equal(secure_finish(b, &s, id)->remote_lost, 17);
}

/* Neither taken nor kept alive by, nor moved. */
static void
test_forgeries(void **state)
{
	struct bench *b = *state;
	struct secure s;
	struct media_open o = secure_open(&s, "127.0.0.2");
	const uint8_t digit[16] = { 0x80, 101, 0, 9, [12] = 7, 0x8a, 0, 160 };
	uint8_t bad[1500];
	const struct media_stats *st;
	media_id id;

	o.nat = true;
	id = start(b, &s.p, &o);
	for (int i = 0; i < 4; i++)
		secure_talk(&s);
	assert_true(hears_silence(&s));
	for (int i = 0; i < 60; i++) {
		memcpy(bad, s.last, s.last_len);
		put_u16(bad + 2, (uint16_t)(s.p.seq + i)); /* not seen yet */
		wire_send(&s, bad, s.last_len);
		wire_send(&s, s.last, s.last_len);
		wire_send(&s, bad, 15);
		wire_send(&s, digit, sizeof(digit));
		usleep(10000);
	}
	/* Longer than media.timeout: nobody was heard. */
	assert_non_null(wait_notes(b, 't', 1, 5000));
	assert_int_equal(note_count(b, 'd'), 0);
	secure_press(&s, 1);
	assert_non_null(wait_notes(b, 'd', 1, 5000));
	assert_int_equal(note_find(b, 'd')->digit, '1');
	st = secure_finish(b, &s, id);
	assert_int_equal(st->packets_received, 7);
	assert_in_range(st->srtp_bad_tag, 50, 60);
	assert_in_range(st->srtp_replayed, 50, 60);
	assert_in_range(st->malformed, 100, 120);
}

static void
test_latch(void **state)
{
	struct bench *b = *state;
	struct secure s;
	struct media_open o = secure_open(&s, "127.0.0.2");
	struct phone thief;
	struct rtp_packet h;
	uint8_t data[1500];
	media_id id;

	o.nat = true;
	assert_true(addr_parse_hostport("127.0.0.77:9", &o.remote.rtp));
	o.remote.rtcp = o.remote.rtp;
	id = start(b, &s.p, &o);
	phone_open(&thief, "127.0.0.2"); /* the signalling's own host */
	thief.to = s.p.to;
	for (int i = 0; i < 10; i++)
		phone_talk(&thief, 1);
	assert_false(phone_recv(&thief, &h, data, 100));
	assert_int_equal(note_count(b, 'l'), 0);
	for (int i = 0; i < 4; i++)
		secure_talk(&s);
	assert_non_null(wait_notes(b, 'l', 1, 5000));
	assert_true(addr_equal(&note_find(b, 'l')->addr, &s.p.addr));
	assert_true(hears_silence(&s));
	assert_int_equal(secure_finish(b, &s, id)->packets_received, 1);
	close(thief.fd);
}

/* Somebody on the way sends each packet first, from elsewhere: the real one is heard all the same. */
static void
test_race(void **state)
{
	struct bench *b = *state;
	struct secure s;
	struct media_open o = secure_open(&s, "127.0.0.2");
	struct phone thief;
	media_id id = start(b, &s.p, &o);
	int fd = s.p.fd;

	phone_open(&thief, "127.0.0.3");
	assert_true(hears_silence(&s));
	secure_talk(&s); /* locked: nat is off */
	assert_non_null(wait_notes(b, 'f', 1, 5000));
	for (int i = 0; i < 20; i++) {
		s.p.fd = thief.fd;
		secure_talk(&s);
		s.p.fd = fd;
		usleep(8000);
		wire_send(&s, s.last, s.last_len);
	}
	assert_true(hears_silence(&s));
	usleep(50000);
	assert_int_equal(secure_finish(b, &s, id)->packets_received, 21);
	close(thief.fd);
}

static void
test_new_keys(void **state)
{
	struct bench *b = *state;
	struct secure s;
	struct media_open o = secure_open(&s, "127.0.0.2");
	media_id id = start(b, &s.p, &o);
	struct srtp_session *before;
	uint8_t late[1500], again[1500];
	size_t late_len;
	const struct media_stats *st;

	assert_true(hears_silence(&s));
	secure_talk(&s);
	/* The same keys: all goes on. */
	media_update(b->m, id, &o.remote);
	for (int i = 0; i < 5; i++) {
		assert_true(hears_silence(&s));
		secure_talk(&s);
	}
	/* New ones; a packet under the old key is still on its way. */
	secure_talk(&s);
	assert_non_null(wait_notes(b, 'f', 1, 5000));
	rtp_write(late, &(struct rtp_packet){ .seq = s.p.seq++, .ts = s.p.ts, .ssrc = s.p.ssrc });
	memset(late + RTP_HEADER, 0xff, 160);
	s.p.ts += 160;
	late_len = srtp_session_seal_rtp(s.srtp, late, 172);
	memcpy(again, late, late_len);
	before = s.srtp;
	s.ours = key_of(10);
	s.theirs = key_of(12);
	s.srtp = srtp_session_create();
	assert_non_null(s.srtp);
	srtp_session_send_key(s.srtp, &s.ours);
	srtp_session_hear_key(s.srtp, &s.theirs);
	o.remote.send_key = s.theirs;
	o.remote.hear_key = s.ours;
	media_update(b->m, id, &o.remote);
	usleep(30000);
	wire_send(&s, late, late_len);
	wire_send(&s, again, late_len);
	secure_talk(&s);
	secure_press(&s, 9);
	assert_non_null(wait_notes(b, 'd', 1, 5000));
	for (int i = 0; i < 10 && !hears_silence(&s); i++)
		;
	assert_true(hears_silence(&s));
	st = secure_finish(b, &s, id);
	assert_int_equal(st->packets_received, 12);
	assert_int_equal(st->lost, 0);
	assert_int_equal(st->srtp_bad_tag + st->srtp_replayed, 1);
	srtp_session_destroy(before);
}

/* media.srtp required and keys not known yet: neither sent nor heard. */
static void
test_required(void **state)
{
	struct bench *b = *state;
	struct secure s;
	struct media_open o = secure_open(&s, "127.0.0.2");
	struct rtp_packet h;
	struct fault f;
	uint8_t data[1500];
	media_id id;

	media_destroy(b->m);
	b->cfg.media.srtp = SRTP_REQUIRED;
	b->m = media_create(&b->cfg, b->box, &ops, b, &f);
	assert_non_null(b->m);
	o.remote.send_key = o.remote.hear_key = (struct srtp_key){ 0 };
	id = start(b, &s.p, &o);
	for (int i = 0; i < 10; i++)
		phone_talk(&s.p, 0xff);
	assert_false(phone_recv(&s.p, &h, data, 100));
	assert_null(wait_notes(b, 'f', 1, 50));
	o.remote.send_key = s.theirs;
	o.remote.hear_key = s.ours;
	media_update(b->m, id, &o.remote);
	assert_true(hears_silence(&s));
	secure_talk(&s);
	assert_non_null(wait_notes(b, 'f', 1, 5000));
	assert_int_equal(secure_finish(b, &s, id)->packets_received, 1);
}

/* Under a new key the sequence number does not turn over at once; in clear it may. */
static void
test_turn_over(void **state)
{
	struct bench *b = *state;

	for (int plain = 0; plain < 2; plain++) {
		struct secure s;
		struct media_open o = secure_open(&s, "127.0.0.2");
		struct media_local local;
		uint8_t data[1500];
		size_t len;
		media_id id;

		if (plain)
			o.remote.send_key = o.remote.hear_key = (struct srtp_key){ 0 };
		assert_int_equal(media_open(b->m, &o, &local, &id), ERR_OK);
		slot_of(b->m, id)->seq = 65500;
		media_start(b->m, id);
		assert_int_equal(secure_recv(&s, false, data, &len) == SRTP_TAKE, !plain);
		assert_int_equal(get_u16(data + 2), plain ? 65500 : 0);
		secure_finish(b, &s, id);
		b->count = 0;
	}
}

/* A slot's next call has nothing of its keys. */
static void
test_slot_is_used_again(void **state)
{
	struct bench *b = *state;
	struct rtp_packet h;
	uint8_t data[1500];

	for (int i = 0; i < 64; i++) {
		struct secure s;
		struct media_open o = secure_open(&s, "127.0.0.2");
		media_id id;

		if (i % 2)
			o.remote.send_key = o.remote.hear_key = (struct srtp_key){ 0 };
		id = start(b, &s.p, &o);
		if (i % 2) {
			assert_true(phone_recv(&s.p, &h, data, 3000));
			assert_int_equal(h.len, 160);
			assert_int_equal(data[80], 0xff);
			phone_talk(&s.p, 0xff);
		} else {
			assert_true(hears_silence(&s));
			secure_talk(&s);
		}
		assert_non_null(wait_notes(b, 'f', 1, 5000));
		assert_int_equal(secure_finish(b, &s, id)->srtp, i % 2 == 0);
		b->count = 0;
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_both_ways, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reports, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forgeries, setup, teardown),
		cmocka_unit_test_setup_teardown(test_latch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_race, setup, teardown),
		cmocka_unit_test_setup_teardown(test_new_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(test_required, setup, teardown),
		cmocka_unit_test_setup_teardown(test_turn_over, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slot_is_used_again, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
