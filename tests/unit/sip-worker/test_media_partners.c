/* Who is bridged with whom: a third takes a place, one leaves, a slot is used again. */
#include "tests/unit/sip-worker/bridge_kit.h"

struct three {
	struct pair x;
	struct phone third;
	media_id id; /* of the third */
};

static void
three_open(struct three *t, struct bench *b)
{
	struct media_open o;

	pair_open(&t->x, b);
	pair_start(&t->x);
	pair_sync(&t->x, 0, 160);
	phone_open(&t->third, "127.0.0.4");
	o = open_for(&t->third);
	o.beside = t->x.id[0];
	t->id = start(b, &t->third, &o);
}

static void
three_close(struct three *t)
{
	media_close(t->x.b->m, t->id);
	for (int i = 0; i < 2; i++)
		media_close(t->x.b->m, t->x.id[i]);
	assert_non_null(wait_notes(t->x.b, 'c', 3, 5000));
	close(t->third.fd);
	close(t->x.p[0].fd);
	close(t->x.p[1].fd);
}

/* Talks until it is heard there. */
static void
reaches(struct phone *from, struct phone *to, uint8_t byte)
{
	struct rtp_packet h;
	uint8_t data[1500];

	for (int i = 0; i < 100; i++) {
		pair_talk(from, 0, byte, 160);
		for (int k = 0; k < 4 && phone_recv(to, &h, data, 15); k++)
			if (data[0] == byte)
				return;
	}
	fail();
}

/* However much one talks, the other hears none of it. */
static void
stays_away(struct phone *from, struct phone *to, uint8_t byte)
{
	struct rtp_packet h;
	uint8_t data[1500];

	for (int i = 0; i < 8; i++) {
		pair_talk(from, 0, byte, 160);
		assert_true(phone_recv(to, &h, data, 3000));
		assert_int_not_equal(data[0], byte);
	}
}

/* The newcomer may be named first or last. */
static void
test_third(void **state)
{
	struct three t;
	struct media *m = ((struct bench *)*state)->m;

	three_open(&t, *state);
	assert_int_equal(media_bridge(m, t.x.id[0], t.id), ERR_OK);
	reaches(&t.x.p[0], &t.third, 0x31);
	reaches(&t.third, &t.x.p[0], 0x32);
	stays_away(&t.x.p[0], &t.x.p[1], 0x33);
	stays_away(&t.x.p[1], &t.x.p[0], 0x34);
	assert_int_equal(media_bridge(m, t.x.id[1], t.x.id[0]), ERR_OK);
	reaches(&t.x.p[1], &t.x.p[0], 0x35);
	stays_away(&t.third, &t.x.p[0], 0x36);
	stays_away(&t.x.p[0], &t.third, 0x37);
	/* Undone by names that are not together: nothing happens. */
	media_unbridge(m, t.id, t.x.id[0]);
	reaches(&t.x.p[0], &t.x.p[1], 0x38);
	media_unbridge(m, t.x.id[0], t.x.id[1]);
	usleep(50000);
	stays_away(&t.x.p[0], &t.x.p[1], 0x39);
	stays_away(&t.x.p[1], &t.x.p[0], 0x3a);
	three_close(&t);
}

/* Silence for who stays; numbers go on. */
static void
test_leaves(void **state)
{
	struct three t;
	struct bench *b = *state;
	struct rtp_packet h, last = { 0 };
	uint8_t data[1500];

	three_open(&t, b);
	pair_talk(&t.x.p[0], 0, 0x32, 160);
	pair_voice(&t.x.p[1], &last, data);
	media_close(b->m, t.x.id[0]);
	assert_non_null(wait_notes(b, 'c', 1, 5000));
	for (int i = 0; i < 3; i++) {
		assert_true(phone_recv(&t.x.p[1], &h, data, 3000));
		assert_int_equal(data[0], SILENCE);
		assert_int_equal(h.seq, (uint16_t)(last.seq + 1));
		assert_true((int32_t)(h.ts - last.ts) >= 160);
		last = h;
	}
	three_close(&t);
}

/* The next call in the place of one that ended hears nothing of its partner. */
static void
test_slot_again(void **state)
{
	struct three t;
	struct bench *b = *state;
	struct phone next;
	struct media_open o;
	struct media_local local;
	media_id id;

	three_open(&t, b);
	media_close(b->m, t.x.id[0]);
	assert_non_null(wait_notes(b, 'c', 1, 5000));
	phone_open(&next, "127.0.0.5");
	o = open_for(&next);
	o.beside = t.x.id[1];
	for (int i = 0;; i++) {
		assert_true(i < 200);
		assert_int_equal(media_open(b->m, &o, &local, &id), ERR_OK);
		if ((uint32_t)id == (uint32_t)t.x.id[0])
			break;
		b->count = 0;
		media_close(b->m, id);
		assert_non_null(wait_notes(b, 'c', 1, 5000));
	}
	next.to = local.rtp;
	media_start(b->m, id);
	for (int i = 0; i < 2; i++) {
		stays_away(&t.x.p[1], &next, 0x41);
		stays_away(&next, &t.x.p[1], 0x42);
		/* Nor is the handle of the one that ended good for anything. */
		assert_int_equal(media_bridge(b->m, t.x.id[1], t.x.id[0]), ERR_NOT_FOUND);
	}
	assert_int_equal(media_bridge(b->m, t.x.id[1], id), ERR_OK);
	reaches(&t.x.p[1], &next, 0x43);
	b->count = 0;
	t.x.id[0] = id;
	three_close(&t);
	close(next.fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_third, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leaves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slot_again, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
