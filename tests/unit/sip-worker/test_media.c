/* The engine by media.h: what is sent, and what becomes of sessions. */
#include "tests/unit/sip-worker/phone.h"

static void
test_silence(void **state)
{
	struct bench *b = *state;
	struct phone p;
	struct media_open o;
	struct rtp_packet h, last = { 0 };
	uint8_t data[1500];
	media_id id;

	phone_open(&p, "127.0.0.2");
	o = open_for(&p);
	id = start(b, &p, &o);
	for (int i = 0; i < 10; i++) {
		assert_true(phone_recv(&p, &h, data, 3000));
		assert_int_equal(h.pt, 0);
		assert_int_equal(h.len, 160);
		assert_int_equal(h.marker, i == 0);
		for (size_t k = 0; k < h.len; k++)
			assert_int_equal(data[k], 0xff);
		if (i > 0) {
			assert_int_equal(h.seq, (uint16_t)(last.seq + 1));
			assert_int_equal(h.ts, last.ts + 160);
			assert_int_equal(h.ssrc, last.ssrc);
		} else {
			assert_true(h.seq < 0x8000);
		}
		last = h;
	}
	assert_true(finish(b, &p, id)->packets_sent >= 10);
}

static void
test_play(void **state)
{
	struct bench *b = *state;
	struct phone p;
	struct media_open o;
	struct rtp_packet h;
	uint8_t data[1500];
	struct clip *c = tone(400);
	size_t loud = 0;
	media_id id;
	const struct note *n;

	phone_open(&p, "127.0.0.2");
	o = open_for(&p);
	id = start(b, &p, &o);
	/* 50 ms and 50 ms: five packets without a hole. */
	assert_int_equal(media_play(b->m, id, c, 11), ERR_OK);
	assert_int_equal(media_play(b->m, id, c, 12), ERR_OK);
	for (int i = 0; i < 9; i++) {
		assert_true(phone_recv(&p, &h, data, 3000));
		for (size_t k = 0; k < h.len; k++)
			loud += data[k] == c->law[CODEC_PCMU][0];
	}
	assert_int_equal(loud, 800);
	assert_non_null(n = wait_notes(b, 'p', 2, 5000));
	assert_int_equal(n[0].play, 11);
	assert_int_equal(n[0].how, MEDIA_PLAYED);
	assert_int_equal(n[0].ms, 50);
	assert_int_equal(n[1].play, 12);
	clip_unref(c);
	finish(b, &p, id);
}

static void
test_stop(void **state)
{
	struct bench *b = *state;
	struct phone p;
	struct media_open o;
	struct rtp_packet h;
	uint8_t data[1500];
	struct clip *c = tone(16000);
	media_id id;
	const struct note *n;
	int64_t asked;
	size_t plays = 0;

	phone_open(&p, "127.0.0.2");
	o = open_for(&p);
	id = start(b, &p, &o);
	while (media_play(b->m, id, c, (uint32_t)plays) == ERR_OK)
		plays++;
	assert_in_range(plays, 16, 17);
	do
		assert_true(phone_recv(&p, &h, data, 3000));
	while (data[0] == 0xff);
	media_stop_playing(b->m, id);
	asked = clock_mono_ms();
	/* What is put after the stop is played. */
	assert_non_null(wait_notes(b, 'p', plays, 5000));
	do
		assert_true(phone_recv(&p, &h, data, 3000));
	while (data[0] != 0xff);
	assert_in_range(clock_mono_ms() - asked, 0, 300);
	assert_int_equal(media_play(b->m, id, c, 99), ERR_OK);
	do
		assert_true(phone_recv(&p, &h, data, 3000));
	while (data[0] == 0xff);
	n = note_find(b, 'p');
	for (size_t i = 0; i < plays; i++) {
		assert_int_equal(n[i].play, i);
		assert_int_equal(n[i].how, MEDIA_CUT);
		assert_true(i > 0 ? n[i].ms == 0 : n[i].ms > 0);
	}
	finish(b, &p, id);
	assert_int_equal(note_count(b, 'p'), plays + 1);
	assert_int_equal(atomic_load(&c->refs), 1);
	clip_unref(c);
}

static void
test_digits(void **state)
{
	struct bench *b = *state;
	struct phone p;
	struct media_open o;
	media_id id;
	const struct note *n;

	phone_open(&p, "127.0.0.2");
	o = open_for(&p);
	id = start(b, &p, &o);
	phone_talk(&p, 0xff);
	for (int press = 0; press < 3; press++) {
		uint8_t e[4] = { (uint8_t)(press == 2 ? 11 : 5), 10, 0, 0 };

		for (int i = 1; i <= 6; i++) {
			e[1] = i > 3 ? 0x8a : 10;
			e[3] = (uint8_t)(i > 3 ? 160 : i * 40);
			phone_send(&p, 101, i == 1, p.ts, e, 4);
		}
		p.ts += 800;
	}
	assert_non_null(wait_notes(b, 'd', 3, 5000));
	assert_null(wait_notes(b, 'd', 4, 100));
	n = note_find(b, 'f');
	assert_non_null(n);
	assert_true(addr_equal(&n->addr, &p.addr));
	n = note_find(b, 'd');
	assert_int_equal(n[0].digit, '5');
	assert_int_equal(n[1].digit, '5');
	assert_int_equal(n[2].digit, '#');
	assert_int_equal(n[0].how, 0);
	assert_int_equal(finish(b, &p, id)->packets_received, 19);
}

static void
test_hold(void **state)
{
	struct bench *b = *state;
	struct phone p;
	struct media_open o;
	struct rtp_packet h;
	uint8_t data[1500];
	struct clip *c = tone(1600);
	size_t loud = 0;
	uint32_t ts;
	media_id id;

	phone_open(&p, "127.0.0.2");
	o = open_for(&p);
	id = start(b, &p, &o);
	assert_int_equal(media_play(b->m, id, c, 1), ERR_OK);
	while (loud < 2) {
		assert_true(phone_recv(&p, &h, data, 3000));
		loud += data[0] != 0xff;
	}
	o.remote.direction = MEDIA_RECVONLY;
	media_update(b->m, id, &o.remote);
	while (phone_recv(&p, &h, data, 60))
		loud += data[0] != 0xff;
	ts = h.ts;
	/* Longer than the timeout: on hold silence is no reason to end a call. */
	assert_null(wait_notes(b, 't', 1, 700));
	o.remote.direction = MEDIA_INACTIVE;
	media_update(b->m, id, &o.remote);
	assert_null(wait_notes(b, 't', 1, 700));
	assert_int_equal(note_count(b, 'p'), 0);
	o.remote.direction = MEDIA_SENDRECV;
	media_update(b->m, id, &o.remote);
	assert_true(phone_recv(&p, &h, data, 3000));
	/* The clock went on, the clip did not. */
	assert_true(h.marker);
	assert_true(h.ts - ts >= 8000 * 1200 / 1000);
	assert_int_equal((h.ts - ts) % 40, 0);
	while (data[0] != 0xff) {
		loud++;
		assert_true(phone_recv(&p, &h, data, 3000));
	}
	assert_int_equal(loud, 10);
	assert_non_null(wait_notes(b, 'p', 1, 5000));
	finish(b, &p, id);
	clip_unref(c);
}

static void
test_update(void **state)
{
	struct bench *b = *state;
	struct phone p, other;
	struct media_open o;
	struct rtp_packet h;
	uint8_t data[1500];
	media_id id;

	phone_open(&p, "127.0.0.2");
	phone_open(&other, "127.0.0.4");
	o = open_for(&p);
	id = start(b, &p, &o);
	for (int i = 0; i < 5; i++)
		phone_talk(&p, 1); /* locked and connected */
	assert_true(phone_recv(&p, &h, data, 3000));
	o.remote.rtp = o.remote.rtcp = other.addr;
	o.remote.codec = CODEC_PCMA;
	o.remote.payload_type = 8;
	o.remote.ptime_ms = 30;
	media_update(b->m, id, &o.remote);
	for (int i = 0; i < 3; i++) {
		assert_true(phone_recv(&other, &h, data, 3000));
		assert_int_equal(h.pt, 8);
		assert_int_equal(h.len, 240);
		assert_int_equal(data[0], 0xd5);
	}
	while (phone_recv(&p, &h, data, 50))
		;
	b->count = 0;
	other.to = p.to;
	phone_send(&other, 8, false, 0, data, 160);
	phone_talk(&p, 1); /* no longer ours to hear */
	assert_int_equal(finish(b, &p, id)->codec, CODEC_PCMA);
	close(other.fd);
}

/* Delayed offer: nothing is sent before the answer's address is known. */
static void
test_delayed_offer(void **state)
{
	struct bench *b = *state;
	struct phone p;
	struct media_open o;
	struct media_remote r;
	struct rtp_packet h;
	uint8_t data[1500];
	media_id id;

	phone_open(&p, "::1");
	o = open_for(&p);
	r = o.remote;
	o.remote.rtp = o.remote.rtcp = (struct addr){ .sa.sa_family = AF_INET6 };
	id = start(b, &p, &o);
	assert_false(phone_recv(&p, &h, data, 60));
	media_update(b->m, id, &r);
	assert_true(phone_recv(&p, &h, data, 3000));
	phone_talk(&p, 1);
	assert_non_null(wait_notes(b, 'f', 1, 5000));
	finish(b, &p, id);
}

static void
test_handles(void **state)
{
	struct bench *b = *state;
	struct media_open o = { .family = AF_INET };
	struct media_local local;
	struct clip *c = tone(80);
	struct media_totals totals;
	media_id id, again;

	o.remote.ptime_ms = 20;
	assert_int_equal(media_open(b->m, &o, &local, &id), ERR_OK);
	assert_int_equal(media_play(b->m, id, c, 1), ERR_OK);
	media_close(b->m, id);
	media_close(b->m, id);
	assert_non_null(wait_notes(b, 'c', 1, 5000));
	assert_int_equal(note_count(b, 'p'), 1);
	assert_int_equal(atomic_load(&c->refs), 1);
	/* Gone: nothing happens. */
	media_start(b->m, id);
	media_close(b->m, id);
	media_update(b->m, id, &o.remote);
	media_stop_playing(b->m, id);
	media_loopback(b->m, id, true);
	assert_int_equal(media_play(b->m, id, c, 1), ERR_NOT_FOUND);
	media_start(b->m, 0);
	media_start(b->m, UINT64_MAX);
	assert_int_equal(media_play(b->m, 12345, c, 1), ERR_NOT_FOUND);
	for (int i = 0; i < 50; i++) {
		b->count = 0;
		assert_int_equal(media_open(b->m, &o, &local, &again), ERR_OK);
		assert_int_not_equal(again, id);
		media_start(b->m, id);
		media_close(b->m, again);
		assert_non_null(wait_notes(b, 'c', 1, 5000));
		assert_int_equal(b->notes[0].stats.packets_sent, 0);
	}
	media_totals(b->m, &totals);
	assert_int_equal(totals.sessions, 0);
	clip_unref(c);
}

/* No address of that family: told, not guessed. A public address is what the SDP says. */
static void
test_addresses(void **state)
{
	struct bench *b = *state;
	struct media_open o = { .family = AF_INET6 };
	struct addr public;
	struct media_local local;
	struct media *m;
	struct fault f;
	media_id id;

	assert_true(addr_parse("203.0.113.7", 0, &public));
	b->cfg.media.address.count = 1;
	b->cfg.media.public_address.items = &public;
	b->cfg.media.public_address.count = 1;
	m = media_create(&b->cfg, b->box, &ops, b, &f);
	assert_non_null(m);
	assert_int_equal(media_open(m, &o, &local, &id), ERR_UNSUPPORTED);
	o.family = AF_INET;
	assert_int_equal(media_open(m, &o, &local, &id), ERR_OK);
	assert_true(addr_equal_host(&local.rtp, &public));
	assert_int_equal(addr_port(&local.rtp) + 1, addr_port(&local.rtcp));
	media_destroy(m);
}

static void
test_ports(void **state)
{
	struct bench *b = *state;
	struct media_open o = { .family = AF_INET };
	struct media_local local;
	media_id id[8];

	media_set_ports(b->m, 36200, 36205);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(media_open(b->m, &o, &local, &id[i]), ERR_OK);
		assert_in_range(addr_port(&local.rtp), 36200, 36204);
	}
	assert_int_equal(media_open(b->m, &o, &local, &id[3]), ERR_BUSY);
	media_close(b->m, id[0]);
	assert_non_null(wait_notes(b, 'c', 1, 5000));
	assert_int_equal(media_open(b->m, &o, &local, &id[3]), ERR_BUSY); /* it rests */
	media_set_ports(b->m, 36206, 36215);
	assert_int_equal(media_open(b->m, &o, &local, &id[0]), ERR_OK);
	assert_true(addr_port(&local.rtp) >= 36206);
}

/* A full mailbox delays events and loses none. */
static void
test_full_mailbox(void **state)
{
	struct bench *b = *state;
	struct mailbox *small = mailbox_create(2);
	struct media_open o = { .family = AF_INET };
	struct media_local local;
	struct clip *c = tone(80);
	struct media *m;
	media_id id[10];
	struct fault f;

	assert_non_null(small);
	m = media_create(&b->cfg, small, &ops, b, &f);
	assert_non_null(m);
	media_set_ports(m, 36220, 36299);
	for (int i = 0; i < 10; i++) {
		o.owner = (uint64_t)i;
		o.remote.ptime_ms = 20;
		assert_int_equal(media_open(m, &o, &local, &id[i]), ERR_OK);
		assert_int_equal(media_play(m, id[i], c, 5), ERR_OK);
		media_start(m, id[i]);
		media_close(m, id[i]);
	}
	usleep(50000);
	for (int i = 0; i < 200 && note_count(b, 'c') < 10; i++) {
		mailbox_drain(small, 0);
		usleep(5000);
	}
	assert_int_equal(note_count(b, 'c'), 10);
	assert_int_equal(note_count(b, 'p'), 10);
	assert_int_equal(atomic_load(&c->refs), 1);
	/* Destroyed with sessions open and events on the way. */
	o.owner = 11;
	assert_int_equal(media_open(m, &o, &local, &id[0]), ERR_OK);
	assert_int_equal(media_open(m, &o, &local, &id[1]), ERR_OK);
	for (int i = 0; i < 10; i++)
		assert_int_equal(media_play(m, id[0], c, 5), ERR_OK);
	media_start(m, id[0]);
	media_close(m, id[1]);
	usleep(20000);
	media_destroy(m);
	mailbox_destroy(small, leave_task);
	assert_int_equal(note_count(b, 'c'), 10);
	assert_int_equal(atomic_load(&c->refs), 1);
	clip_unref(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_silence, setup, teardown),
		cmocka_unit_test_setup_teardown(test_play, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_digits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hold, setup, teardown),
		cmocka_unit_test_setup_teardown(test_update, setup, teardown),
		cmocka_unit_test_setup_teardown(test_delayed_offer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_handles, setup, teardown),
		cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ports, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_mailbox, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
