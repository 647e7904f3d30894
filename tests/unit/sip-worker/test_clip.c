/* Clips, G.711, concealment, tones, and the queue of clips between threads. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "sip-worker/media/dsp.h"
#include "sip-worker/media/playlist.h"

static void
test_laws(void **state)
{
	(void)state;
	for (int law = 0; law < CODEC_COUNT; law++) {
		int16_t zero = 0, back;
		uint8_t byte;

		law_encode((enum codec)law, &byte, &zero, 1);
		assert_int_equal(byte, law_silence((enum codec)law));
		/* Every code survives a round trip, but for the second zero of PCMU. */
		for (int code = 0; code < 256; code++) {
			uint8_t c = (uint8_t)code;

			law_decode((enum codec)law, &back, &c, 1);
			law_encode((enum codec)law, &byte, &back, 1);
			if (law == CODEC_PCMU && code == 0x7f)
				assert_int_equal(byte, 0xff);
			else
				assert_int_equal(byte, code);
		}
		/* The error is a small share of the value. */
		for (int v = -32000; v <= 32000; v += 7) {
			int16_t in = (int16_t)v;

			law_encode((enum codec)law, &byte, &in, 1);
			law_decode((enum codec)law, &back, &byte, 1);
			assert_true(abs(back - in) <= abs(v) / 16 + 16);
		}
	}
}

static void
test_clip(void **state)
{
	int16_t pcm[803];
	struct clip *c;

	(void)state;
	for (int i = 0; i < 803; i++)
		pcm[i] = (int16_t)(i * 40);
	c = clip_create(pcm, 803);
	assert_non_null(c);
	assert_int_equal(c->samples, 803);
	assert_int_equal(clip_ms(c), 100);
	for (int law = 0; law < CODEC_COUNT; law++)
		for (size_t i = 0; i < 803; i++) {
			uint8_t want;

			law_encode((enum codec)law, &want, &pcm[i], 1);
			assert_int_equal(c->law[law][i], want);
		}
	assert_ptr_equal(clip_ref(c), c);
	clip_unref(c);
	clip_unref(c);
	clip_unref(NULL);
	assert_null(clip_create(pcm, SIZE_MAX));
	c = clip_create(pcm, 0);
	assert_non_null(c);
	assert_int_equal(clip_ms(c), 0);
	clip_unref(c);
}

static void
sine(int16_t *pcm, size_t n, double hz, double hz2, double level)
{
	for (size_t i = 0; i < n; i++)
		pcm[i] = (int16_t)(level * (sin(6.283185307 * hz * (double)i / 8000) +
					    sin(6.283185307 * hz2 * (double)i / 8000)));
}

static double
energy(const int16_t *pcm, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)pcm[i] * pcm[i];
	return sqrt(sum / (double)n);
}

/* A gap is filled with the like of what was before, fading. */
static void
test_conceal(void **state)
{
	struct dsp *d = dsp_create();
	int16_t pcm[1600], gap[160];

	(void)state;
	assert_non_null(d);
	sine(pcm, 1600, 200, 200, 4000);
	for (int i = 0; i < 10; i++)
		dsp_heard(d, pcm + 160 * i, 160);
	dsp_conceal(d, gap, 160);
	assert_true(energy(gap, 160) > 0.5 * energy(pcm, 160));
	for (int i = 0; i < 20; i++)
		dsp_conceal(d, gap, 160);
	assert_true(energy(gap, 160) < 1);
	dsp_destroy(d);
	dsp_destroy(NULL);
}

static void
test_tones(void **state)
{
	struct dsp *d = dsp_create();
	int16_t tone[800], quiet[800] = { 0 };
	char digits[8] = "";
	size_t n = 0;

	(void)state;
	assert_non_null(d);
	sine(tone, 800, 770, 1336, 6000); /* 5 */
	for (int press = 0; press < 2; press++) {
		for (int i = 0; i < 5; i++)
			n += dsp_tones(d, tone + 160 * i, 160, digits + n, sizeof(digits) - 1 - n);
		for (int i = 0; i < 5; i++)
			n += dsp_tones(d, quiet, 160, digits + n, sizeof(digits) - 1 - n);
	}
	assert_int_equal(n, 2);
	assert_memory_equal(digits, "55", 2);
	dsp_tones_missing(d, 320);
	dsp_destroy(d);
}

static void
test_playlist(void **state)
{
	struct playlist l;
	struct playlist_item item = { .generation = 1 };

	(void)state;
	playlist_init(&l);
	assert_false(playlist_any(&l));
	assert_false(playlist_take(&l, &item));
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < PLAYLIST_MAX; i++) {
			item.play = i;
			assert_true(playlist_put(&l, &item));
		}
		assert_false(playlist_put(&l, &item));
		assert_true(playlist_any(&l));
		assert_int_equal(playlist_end(&l), (round + 1) * PLAYLIST_MAX);
		for (unsigned i = 0; i < PLAYLIST_MAX; i++) {
			assert_true(playlist_take(&l, &item));
			assert_int_equal(item.play, i);
			assert_int_equal(item.pos, round * PLAYLIST_MAX + i);
		}
	}
	assert_false(playlist_any(&l));
}

#define PUTS 20000

static void *
putter(void *arg)
{
	struct playlist *l = arg;

	for (uint32_t i = 0; i < PUTS; i++) {
		struct playlist_item item = { .play = i };

		while (!playlist_put(l, &item))
			sched_yield();
	}
	return NULL;
}

/* Two threads put, one takes: each one's order is kept, nothing is lost. */
static void
test_playlist_threads(void **state)
{
	struct playlist l;
	pthread_t t[2];
	uint64_t sum = 0;

	(void)state;
	playlist_init(&l);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, putter, &l), 0);
	for (uint32_t taken = 0; taken < 2 * PUTS;) {
		struct playlist_item item;

		if (!playlist_take(&l, &item)) {
			sched_yield();
			continue;
		}
		assert_int_equal(item.pos, taken);
		sum += item.play;
		taken++;
	}
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	assert_true(sum == (uint64_t)PUTS * (PUTS - 1));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_laws),     cmocka_unit_test(test_clip),
		cmocka_unit_test(test_conceal),  cmocka_unit_test(test_tones),
		cmocka_unit_test(test_playlist), cmocka_unit_test(test_playlist_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
