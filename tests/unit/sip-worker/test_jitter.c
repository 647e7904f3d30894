/* The jitter buffer against made-up networks; time is a number of samples. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "sip-worker/media/jitter.h"

#define STEP 40 /* a tick of 5 ms */

/* A sender and a network: packet i leaves at i * 160 and arrives delay(i) later. */
struct world {
	struct jitter j;
	uint32_t base_ts;
	int (*delay)(uint32_t i); /* samples; < 0: lost */
	uint32_t pull;            /* samples per pull */
	uint64_t present, missing, wrong;
	uint32_t least_lag, most_lag;
	uint32_t late;
};

static void
put(struct world *w, uint32_t i, uint32_t now)
{
	uint8_t data[160];

	/* A sample's value tells which one it is, coarsely; never 0. */
	for (uint32_t k = 0; k < 160; k++)
		data[k] = (uint8_t)(1 + (i * 160 + k) / 8 % 251);
	if (jitter_put(&w->j, w->base_ts + i * 160, data, sizeof(data), now) == JITTER_LATE)
		w->late++;
}

/* Which sample is it, near the one that is due? */
static void
check_sample(struct world *w, uint8_t value, uint32_t due)
{
	uint32_t at = due / 8;

	for (uint32_t lag = 0; lag < 150 && lag <= at; lag++) {
		if ((uint8_t)(1 + (at - lag) % 251) != value)
			continue;
		if (lag < w->least_lag)
			w->least_lag = lag;
		if (lag > w->most_lag)
			w->most_lag = lag;
		return;
	}
	w->wrong++;
}

static void
pull(struct world *w, uint32_t now)
{
	uint8_t out[JITTER_FRAME];
	uint16_t runs[JITTER_RUNS];
	size_t n, at = 0;

	memset(out, 0, sizeof(out));
	n = jitter_pull(&w->j, out, w->pull, now, runs);
	assert_in_range(n, 1, JITTER_RUNS);
	for (size_t i = 0; i < n; at += runs[i], i++) {
		for (size_t k = 0; k < runs[i]; k++) {
			if (i % 2) {
				w->missing++;
				continue;
			}
			w->present++;
			check_sample(w, out[at + k], now + (uint32_t)(at + k));
		}
	}
	assert_int_equal(at, w->pull);
}

/* Runs packets from..to; pulls happen at their own phase, before arrivals as in the engine. */
static void
run(struct world *w, uint32_t from, uint32_t to)
{
	for (uint32_t now = from * 160; now < to * 160; now += STEP) {
		if ((now + 80) % w->pull == 0)
			pull(w, now);
		for (uint32_t i = now / 160 < 60 ? 0 : now / 160 - 60; i <= now / 160; i++) {
			int d = w->delay(i);
			uint32_t arrives = (i * 160 + (uint32_t)d + STEP - 1) / STEP * STEP;

			if (d >= 0 && arrives == now)
				put(w, i, now);
		}
	}
}

static void
begin(struct world *w, int (*delay)(uint32_t), uint32_t pull_samples)
{
	*w = (struct world){ .delay = delay, .pull = pull_samples, .base_ts = 0xffffff00 };
	jitter_init(&w->j, pull_samples);
}

static void
measure(struct world *w)
{
	w->present = w->missing = w->wrong = 0;
	w->late = 0;
	w->least_lag = 1000;
	w->most_lag = 0;
}

static int
steady(uint32_t i)
{
	(void)i;
	return 0;
}

/* No jitter: nothing is lost and the delay is the depth, at any frame length. */
static void
test_steady(void **state)
{
	static const uint32_t frames[] = { 80, 160, 240, 480 };

	(void)state;
	for (size_t f = 0; f < sizeof(frames) / sizeof(frames[0]); f++) {
		struct world w;

		begin(&w, steady, frames[f]);
		run(&w, 0, 50);
		measure(&w);
		run(&w, 50, 1000);
		assert_int_equal(w.missing, 0);
		assert_int_equal(w.wrong, 0);
		assert_int_equal(w.most_lag, w.least_lag);
		assert_int_equal(w.most_lag * 8, frames[f] < 160 ? 160 : frames[f]);
		assert_int_equal(jitter_depth(&w.j), w.most_lag * 8);
	}
}

static int
jittery(uint32_t i)
{
	return (int)(i * 7919 % 5) * 80; /* 0 to 40 ms */
}

static void
test_jitter(void **state)
{
	struct world w;

	(void)state;
	begin(&w, jittery, 160);
	run(&w, 0, 100);
	measure(&w);
	run(&w, 100, 2000);
	assert_int_equal(w.missing, 0);
	assert_int_equal(w.late, 0);
	assert_int_equal(w.wrong, 0);
	assert_in_range(w.most_lag, 40, 65); /* ms: 20 for the frame and 40 */
}

static int
calms_down(uint32_t i)
{
	return i < 300 ? jittery(i) : 0;
}

/* The depth comes back when the network calms down. */
static void
test_shrinks(void **state)
{
	struct world w;

	(void)state;
	begin(&w, calms_down, 160);
	run(&w, 0, 300);
	measure(&w);
	run(&w, 300, 1500);
	measure(&w);
	run(&w, 1500, 1700);
	assert_int_equal(w.missing, 0);
	assert_in_range(w.most_lag, 20, 30);
}

static int
lossy(uint32_t i)
{
	return i % 10 == 3 ? -1 : 0;
}

static void
test_loss(void **state)
{
	struct world w;

	(void)state;
	begin(&w, lossy, 160);
	run(&w, 0, 50);
	measure(&w);
	run(&w, 50, 550);
	assert_int_equal(w.missing, 50 * 160);
	assert_int_equal(w.present, 450 * 160);
	assert_int_equal(w.wrong, 0);
}

static int
disordered(uint32_t i)
{
	return i % 4 == 1 ? 200 : 0; /* overtaken by the next */
}

static void
test_disorder(void **state)
{
	struct world w;

	(void)state;
	begin(&w, disordered, 160);
	run(&w, 0, 50);
	measure(&w);
	run(&w, 50, 500);
	assert_int_equal(w.missing, 0);
	assert_int_equal(w.wrong, 0);
}

static int
jump(uint32_t i)
{
	return i < 200 ? 0 : 4000; /* half a second more from here on */
}

static void
test_delay_jump(void **state)
{
	struct world w;

	(void)state;
	begin(&w, jump, 160);
	run(&w, 0, 300);
	measure(&w);
	run(&w, 300, 600);
	assert_int_equal(w.missing, 0);
}

/* Timestamps jump (a new sender behind the same SSRC): play goes on from there. */
static void
test_timestamp_jump(void **state)
{
	struct world w;

	(void)state;
	begin(&w, steady, 160);
	run(&w, 0, 100);
	w.base_ts += 0x40000000;
	run(&w, 100, 120);
	measure(&w);
	run(&w, 120, 300);
	assert_int_equal(w.missing, 0);
	w.base_ts -= 0x7f000000;
	run(&w, 300, 320);
	measure(&w);
	run(&w, 320, 500);
	assert_int_equal(w.missing, 0);
}

/* Silence suppression: after a pause the same clock goes on. */
static int
pauses(uint32_t i)
{
	return i % 200 >= 100 ? -1 : 0;
}

static void
test_pauses(void **state)
{
	struct world w;

	(void)state;
	begin(&w, pauses, 160);
	run(&w, 0, 90);
	measure(&w);
	run(&w, 90, 1090);
	assert_int_equal(w.present, 500 * 160);
	assert_int_equal(w.wrong, 0);
}

/* Anything goes in without harm. */
static void
test_nonsense(void **state)
{
	struct world w;
	uint8_t data[2000] = { 0 };
	uint32_t r = 1;

	(void)state;
	begin(&w, steady, 160);
	for (uint32_t now = 0; now < 4000000; now += 40) {
		uint8_t out[JITTER_FRAME];
		uint16_t runs[JITTER_RUNS];
		size_t sum = 0, n;

		r = r * 1664525 + 1013904223;
		jitter_put(&w.j, r % 3 ? now + r % 1000 : r, data, (r >> 8) % sizeof(data), now);
		n = jitter_pull(&w.j, out, JITTER_FRAME, now, runs);
		for (size_t i = 0; i < n; i++)
			sum += runs[i];
		assert_true(sum <= JITTER_FRAME);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steady),         cmocka_unit_test(test_jitter),
		cmocka_unit_test(test_shrinks),        cmocka_unit_test(test_loss),
		cmocka_unit_test(test_disorder),       cmocka_unit_test(test_delay_jump),
		cmocka_unit_test(test_timestamp_jump), cmocka_unit_test(test_pauses),
		cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
