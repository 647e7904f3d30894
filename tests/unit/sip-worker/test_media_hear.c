/* The engine by media.h: who is heard, and what is made of it. */
#include "tests/unit/sip-worker/phone.h"

#include <math.h>

#include "sip-worker/media/rtcp.h"

static void
test_bad_source(void **state)
{
	struct bench *b = *state;
	struct phone p, thief;
	struct media_open o;
	struct rtp_packet h;
	uint8_t data[1500];
	media_id id;
	const struct media_stats *st;

	phone_open(&p, "127.0.0.2");
	phone_open(&thief, "127.0.0.9");
	o = open_for(&p);
	o.nat = true; /* but the thief is neither the signalling host nor allowed */
	id = start(b, &p, &o);
	thief.to = p.to;
	for (int i = 0; i < 20; i++)
		phone_talk(&thief, 1);
	assert_true(phone_recv(&p, &h, data, 3000));
	for (int i = 0; i < 8; i++)
		phone_talk(&p, 1);
	assert_non_null(wait_notes(b, 'f', 1, 5000));
	for (int i = 0; i < 20; i++)
		phone_talk(&thief, 1);
	assert_false(phone_recv(&thief, &h, data, 100));
	assert_int_equal(note_count(b, 'l'), 0);
	st = finish(b, &p, id);
	assert_int_equal(st->packets_received, 8);
	assert_true(st->bad_source >= 8);
	close(thief.fd);
}

static void
test_latch(void **state)
{
	struct bench *b = *state;
	struct phone p;
	struct media_open o;
	struct rtp_packet h;
	uint8_t data[1500];
	media_id id;
	const struct note *n;

	phone_open(&p, "127.0.0.2");
	o = open_for(&p);
	o.nat = true;
	/* The SDP names an address nobody can reach. */
	assert_true(addr_parse_hostport("127.0.0.77:9", &o.remote.rtp));
	o.remote.rtcp = o.remote.rtp;
	id = start(b, &p, &o);
	assert_false(phone_recv(&p, &h, data, 60));
	for (int i = 0; i < 6; i++)
		phone_talk(&p, 1);
	assert_non_null(n = wait_notes(b, 'l', 1, 5000));
	assert_true(addr_equal(&n->addr, &p.addr));
	assert_true(phone_recv(&p, &h, data, 3000));
	/* Hold and resume with the same SDP: media stays where it was found. */
	o.remote.direction = MEDIA_INACTIVE;
	media_update(b->m, id, &o.remote);
	while (phone_recv(&p, &h, data, 60))
		;
	o.remote.direction = MEDIA_SENDRECV;
	media_update(b->m, id, &o.remote);
	assert_true(phone_recv(&p, &h, data, 3000));
	assert_true(h.marker);
	assert_true(addr_equal(&finish(b, &p, id)->remote, &p.addr));
}

static void
test_timeout(void **state)
{
	struct bench *b = *state;
	struct phone p;
	struct media_open o;
	media_id id;
	int64_t begin = clock_mono_ms();

	phone_open(&p, "127.0.0.2");
	o = open_for(&p);
	id = start(b, &p, &o);
	assert_non_null(wait_notes(b, 't', 1, 5000));
	assert_in_range(clock_mono_ms() - begin, 400, 3000);
	assert_null(wait_notes(b, 't', 2, 600)); /* once */
	phone_talk(&p, 1);
	assert_non_null(wait_notes(b, 't', 2, 5000)); /* until RTP comes again */
	finish(b, &p, id);
}

static void
test_loopback(void **state)
{
	struct bench *b = *state;
	struct phone p;
	struct media_open o;
	struct rtp_packet h;
	uint8_t data[1500];
	size_t same = 0;
	media_id id;

	phone_open(&p, "127.0.0.2");
	o = open_for(&p);
	id = start(b, &p, &o);
	media_loopback(b->m, id, true);
	for (int i = 0; i < 30; i++) {
		assert_true(phone_recv(&p, &h, data, 3000));
		phone_talk(&p, 0x55);
		for (size_t k = 0; k < h.len; k++)
			same += data[k] == 0x55;
	}
	assert_in_range(same, 15 * 160, 29 * 160);
	media_loopback(b->m, id, false);
	do
		assert_true(phone_recv(&p, &h, data, 3000));
	while (data[h.len - 1] != 0xff);
	finish(b, &p, id);
}

static void
test_inband(void **state)
{
	struct bench *b = *state;
	struct phone p;
	struct media_open o;
	int16_t pcm[160] = { 0 };
	struct clip *c;
	const struct note *n;
	media_id id;

	phone_open(&p, "127.0.0.2");
	o = open_for(&p);
	o.remote.dtmf_payload_type = -1;
	id = start(b, &p, &o);
	for (int i = 0; i < 12; i++) {
		for (int k = 0; i < 6 && k < 160; k++)
			pcm[k] = (int16_t)(5000 * (sin((i * 160 + k) * 6.283185307 * 697 / 8000) +
						   sin((i * 160 + k) * 6.283185307 * 1477 / 8000)));
		if (i >= 6)
			memset(pcm, 0, sizeof(pcm));
		c = clip_create(pcm, 160);
		assert_non_null(c);
		phone_send(&p, 0, false, p.ts, c->law[CODEC_PCMU], 160);
		p.ts += 160;
		clip_unref(c);
		usleep(2000);
	}
	assert_non_null(n = wait_notes(b, 'd', 1, 5000));
	assert_int_equal(n->digit, '3');
	assert_int_equal(n->how, 1);
	/* Telephone events all the same: from now on only those. */
	phone_send(&p, 120, true, p.ts, (const uint8_t[]){ 4, 0x8a, 3, 0x20 }, 4);
	assert_non_null(wait_notes(b, 'd', 2, 5000));
	assert_int_equal(n[1].digit, '4');
	finish(b, &p, id);
	assert_int_equal(note_count(b, 'd'), 2);
}

/* Rubbish is counted and nothing else. */
static void
test_rubbish(void **state)
{
	struct bench *b = *state;
	struct phone p;
	struct media_open o;
	const struct media_stats *st;
	uint8_t junk[2000];
	media_id id;

	phone_open(&p, "127.0.0.2");
	o = open_for(&p);
	id = start(b, &p, &o);
	for (int i = 0; i < 80; i++) {
		size_t len = (size_t)i * 24;

		id_random(junk, sizeof(junk));
		junk[0] &= 0x7f; /* not version 2 */
		sendto(p.fd, junk, len, 0, &p.to.sa, addr_len(&p.to));
	}
	phone_send(&p, 77, false, 0, junk, 20); /* a payload type nobody agreed on */
	phone_send(&p, 13, false, 0, junk, 1);  /* comfort noise is fine */
	phone_talk(&p, 1);
	assert_non_null(wait_notes(b, 'f', 1, 5000));
	usleep(30000);
	st = finish(b, &p, id);
	assert_int_equal(st->packets_received, 3);
	assert_int_equal(st->discarded, 1);
	assert_int_equal(st->malformed, 80);
}

/* Our sender report is answered by a receiver report: loss, jitter and round trip come out. */
static void
test_rtcp(void **state)
{
	struct bench *b = *state;
	struct phone p;
	struct media_open o;
	struct pollfd pfd;
	uint8_t buf[1500], out[RTCP_MAX];
	struct rtcp_heard h = { 0 };
	struct rtcp_report r = { .ssrc = 0x1234, .has_block = true, .cname = "x" };
	const struct media_stats *st;
	media_id id;

	b->cfg.media.timeout_ms = 0;
	phone_open(&p, "127.0.0.2");
	o = open_for(&p);
	id = start(b, &p, &o);
	pfd = (struct pollfd){ .fd = p.fd, .events = POLLIN };
	for (int i = 0; i < 1000 && !h.sender; i++) {
		ssize_t n;

		assert_int_equal(poll(&pfd, 1, 1000), 1);
		n = recv(p.fd, buf, sizeof(buf), 0);
		if (i % 50 == 0)
			phone_talk(&p, 1);
		if (rtp_is_rtcp(buf, (size_t)n))
			assert_true(rtcp_read(buf, (size_t)n, 0x1234, &h));
	}
	assert_true(h.sender);
	assert_true(h.about_us);
	usleep(100000);
	r.block = (struct rtcp_block){
		.ssrc = h.ssrc, .lost = 17, .jitter = 80, .lsr = h.ntp_mid, .dlsr = 65536 / 20
	};
	sendto(p.fd, out, rtcp_write(out, &r), 0, &p.to.sa, addr_len(&p.to));
	usleep(50000);
	st = finish(b, &p, id);
	assert_int_equal(st->remote_lost, 17);
	assert_int_equal(st->remote_jitter_us, 10000);
	assert_in_range(st->round_trip_us, 45000, 1000000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_bad_source, setup, teardown),
		cmocka_unit_test_setup_teardown(test_latch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timeout, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loopback, setup, teardown),
		cmocka_unit_test_setup_teardown(test_inband, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rubbish, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rtcp, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
