/* Tones made in advance: level, cadence, frequencies that a detector knows. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "sip-worker/media/dsp.h"
#include "sip-worker/media/tones.h"

static double
level_dbm0(const int16_t *pcm, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)pcm[i] * pcm[i];
	return 10 * log10(sum / (double)n / (32124.0 * 32124.0 / 2)) + 3.17;
}

static void
test_levels(void **state)
{
	static const struct {
		enum media_tone kind;
		size_t on, cycle;
		double dbm0;
	} rows[] = {
		{ MEDIA_TONE_COMFORT, 960, 16000, -25 },
		{ MEDIA_TONE_RINGBACK, 16000, 48000, -16 }, /* two of -19 */
	};
	struct tones *all = tones_create();
	static uint8_t out[48000];
	static int16_t pcm[48000];

	(void)state;
	assert_non_null(all);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct tone *t = &all->kinds[rows[i].kind];

		assert_int_equal(t->cycle, rows[i].cycle);
		for (int law = 0; law < CODEC_COUNT; law++) {
			tone_fill(t, (enum codec)law, 0, out, t->cycle);
			law_decode((enum codec)law, pcm, out, t->cycle);
			assert_true(fabs(level_dbm0(pcm, rows[i].on) - rows[i].dbm0) < 1);
			for (size_t k = rows[i].on; k < t->cycle; k++)
				assert_int_equal(out[k], law_silence((enum codec)law));
		}
	}
	tones_destroy(all);
	tones_destroy(NULL);
}

/* Pieces of any length join to the same sound, again and again. */
static void
test_pieces(void **state)
{
	struct tones *all = tones_create();
	const struct tone *t = &all->kinds[MEDIA_TONE_COMFORT];
	static uint8_t whole[16000], piece[16000];
	uint32_t at = 0;

	(void)state;
	tone_fill(t, CODEC_PCMU, 0, whole, sizeof(whole));
	for (size_t n = 1; n < 480; n += 7, at += (uint32_t)n) {
		tone_fill(t, CODEC_PCMU, at, piece, n);
		for (size_t k = 0; k < n; k++)
			assert_int_equal(piece[k], whole[(at + k) % 16000]);
	}
	tone_fill(t, CODEC_PCMU, 15990, piece, 20);
	assert_memory_equal(piece, whole + 15990, 10);
	assert_memory_equal(piece + 10, whole, 10);
	tones_destroy(all);
}

static void
test_digits(void **state)
{
	static const char keys[] = "0123456789*#ABCD";
	struct tones *all = tones_create();
	struct dsp *d = dsp_create();
	uint8_t out[1600];
	int16_t pcm[1600];
	char got[8];

	(void)state;
	for (int law = 0; law < CODEC_COUNT; law++) {
		for (int i = 0; i < DTMF_EVENTS; i++) {
			assert_int_equal(dtmf_event_of(keys[i]), i);
			assert_int_equal(all->digits[i].cycle, 1600);
			tone_fill(&all->digits[i], (enum codec)law, 0, out, 1600);
			law_decode((enum codec)law, pcm, out, 1600);
			assert_int_equal(dsp_tones(d, pcm, 1600, got, sizeof(got) - 1), 1);
			assert_int_equal(got[0], keys[i]);
		}
	}
	assert_int_equal(dtmf_event_of('d'), 15);
	assert_int_equal(dtmf_event_of('e'), -1);
	assert_int_equal(dtmf_event_of('\0'), -1);
	dsp_destroy(d);
	tones_destroy(all);
}

/* From one law to the other and back: what is heard stays the same. */
static void
test_recode(void **state)
{
	struct tones *all = tones_create();

	(void)state;
	for (int law = 0; law < CODEC_COUNT; law++) {
		enum codec other = law == CODEC_PCMU ? CODEC_PCMA : CODEC_PCMU;

		for (int i = 0; i < 256; i++) {
			uint8_t byte = (uint8_t)i;
			int16_t a, b;

			law_decode((enum codec)law, &a, &byte, 1);
			law_decode(other, &b, &all->recode[law][i], 1);
			/* A-law knows no zero: its silence is the other's least step. */
			assert_in_range(abs(a - b), 0, abs(a) <= 8 ? 8 : 16 + abs(a) / 20);
		}
	}
	tones_destroy(all);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_digits),
		cmocka_unit_test(test_recode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
