/* Bridged sessions under stress: numbers at random from outside, commands from several threads. */
#include "tests/unit/sip-worker/bridge_kit.h"

#include <pthread.h>
#include <stdatomic.h>

#define SESSIONS 6
#define ROUNDS   150

/* What goes out is well-formed whatever comes in. */
static void
test_rubbish(void **state)
{
	struct pair x;
	struct rtp_packet h, last = { 0 };
	uint8_t data[1600], got[1500];
	uint32_t r[4];

	pair_open(&x, *state);
	x.o[0].remote.ptime_ms = 30;
	x.o[1].remote.codec = CODEC_PCMA;
	x.o[1].remote.payload_type = 8;
	x.o[1].remote.dtmf_payload_type = 96;
	pair_start(&x);
	pair_sync(&x, 0, 160);
	for (int i = 0; i < 3000; i++) {
		id_random(r, sizeof(r));
		id_random(data, sizeof(data));
		x.p[0].ssrc = r[0] % 50 ? x.p[0].ssrc : r[1];
		x.p[0].seq = (uint16_t)(r[0] >> 8 & 7 ? x.p[0].seq + (r[0] >> 11 & 3) : r[1]);
		x.p[0].ts = r[0] >> 16 & 15 ? x.p[0].ts + r[2] % 400 : r[2];
		if (r[0] >> 20 & 3)
			phone_send(&x.p[0], 0, r[3] & 1, x.p[0].ts, data,
				   r[3] >> 8 & 1 ? 160 : r[3] % 1400);
		else
			phone_send(&x.p[0], 101, r[3] & 1, x.p[0].ts, data, 4);
		if (i % 8 == 0)
			usleep(1000);
		while (phone_recv(&x.p[1], &h, got, 0)) {
			assert_true(h.pt == 8 || h.pt == 96);
			assert_in_range(h.len, 1, h.pt == 96 ? 4 : 480);
			if (last.len) {
				assert_int_equal(h.ssrc, last.ssrc);
				assert_in_range((uint16_t)(h.seq - last.seq + 64), 0, 64 + 32);
				assert_in_range(h.ts - last.ts + 160000, 0, 320000);
			}
			last = h;
		}
		mailbox_drain(x.b->box, 0);
		x.b->count = 0;
	}
	/* And in between nothing was broken. */
	pair_sync(&x, 0, 160);
	x.b->count = 0;
	pair_close(&x);
}

struct crowd {
	struct media *m;
	struct clip *clip;
	_Atomic media_id id[SESSIONS];
	atomic_bool stop;
	atomic_uint seed;
};

static void
no_addr(void *app, uint64_t owner, const struct addr *a)
{
	(void)app, (void)owner, (void)a;
}

static void
no_digit(void *app, uint64_t owner, char digit, int ms, const char *source)
{
	(void)app, (void)owner, (void)digit, (void)ms, (void)source;
}

static void
no_played(void *app, uint64_t owner, uint32_t play, enum media_stop_how how, int ms)
{
	(void)app, (void)owner, (void)play, (void)how, (void)ms;
}

static void
no_timeout(void *app, uint64_t owner)
{
	(void)app, (void)owner;
}

static void
no_stats(void *app, uint64_t owner, const struct media_stats *stats)
{
	(void)app, (void)owner, (void)stats;
}

static const struct media_ops deaf = {
	no_addr, no_digit, no_played, no_timeout, no_addr, no_stats
};

static void *
meddle(void *arg)
{
	struct crowd *c = arg;
	uint32_t n = atomic_fetch_add(&c->seed, 99);

	while (!atomic_load(&c->stop)) {
		media_id a, b;

		n = n * 1664525u + 1013904223u;
		a = atomic_load(&c->id[(n >> 8) % SESSIONS]);
		b = atomic_load(&c->id[(n >> 16) % SESSIONS]);
		switch (n >> 24 & 7) {
		case 0:
		case 1:
		case 2:
			ignore_err(media_bridge(c->m, a, b));
			break;
		case 3:
			media_unbridge(c->m, a, b);
			break;
		case 4:
			ignore_err(media_send_digit(c->m, a, '5', 40));
			break;
		case 5:
			ignore_err(media_play(c->m, a, c->clip, 1));
			break;
		case 6:
			media_tone(c->m, a, n & 1 ? MEDIA_TONE_COMFORT : MEDIA_TONE_RINGBACK);
			break;
		default:
			usleep(100);
		}
	}
	return NULL;
}

static media_id
join(struct media *m, struct phone *p, media_id beside)
{
	struct media_open o = open_for(p);
	struct media_local local;
	media_id id;

	o.beside = beside;
	assert_int_equal(media_open(m, &o, &local, &id), ERR_OK);
	p->to = local.rtp;
	media_start(m, id);
	return id;
}

/* Sessions come and go while two threads bridge whatever they find. */
static void
test_races(void **state)
{
	struct bench *b = *state;
	struct mailbox *box = mailbox_create(64);
	struct crowd c = { .clip = tone(160) };
	struct phone p[SESSIONS];
	struct media_totals totals = { .sessions = SESSIONS };
	pthread_t thread[2];
	struct fault f;

	assert_non_null(box);
	b->cfg.media.port_first = 44200;
	b->cfg.media.port_last = 44999;
	c.m = media_create(&b->cfg, box, &deaf, NULL, &f);
	assert_non_null(c.m);
	for (int i = 0; i < SESSIONS; i++) {
		phone_open(&p[i], "127.0.0.2");
		atomic_store(&c.id[i], join(c.m, &p[i], 0));
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, meddle, &c), 0);
	for (int round = 0; round < ROUNDS; round++) {
		int i = round % SESSIONS;

		media_close(c.m, atomic_load(&c.id[i]));
		atomic_store(&c.id[i], join(c.m, &p[i], atomic_load(&c.id[(i + 1) % SESSIONS])));
		for (int k = 0; k < SESSIONS; k++)
			phone_talk(&p[k], (uint8_t)k);
		usleep(3000);
		mailbox_drain(box, 0);
	}
	atomic_store(&c.stop, true);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	for (int i = 0; i < SESSIONS; i++) {
		media_close(c.m, atomic_load(&c.id[i]));
		close(p[i].fd);
	}
	for (int i = 0; i < 5000 && totals.sessions > 0; i++) {
		mailbox_drain(box, 0);
		usleep(1000);
		media_totals(c.m, &totals);
	}
	assert_int_equal(totals.sessions, 0);
	assert_int_equal(atomic_load(&c.clip->refs), 1);
	media_destroy(c.m);
	mailbox_destroy(box, leave_task);
	clip_unref(c.clip);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rubbish, setup, teardown),
		cmocka_unit_test_setup_teardown(test_races, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
