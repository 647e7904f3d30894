#include "sip-worker/media/dsp.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <spandsp.h>
#include <spandsp/expose.h>

/* spandsp's own concealment copies within a buffer by memcpy(); this one is small.  The last pitch
 * period is repeated and fades out; what comes after the gap is faded in over it. */
#define HISTORY    280 /* samples: the longest period and the span it is compared over */
#define PERIOD_MIN 40  /* 200 Hz */
#define PERIOD_MAX 120 /* 66 Hz */
#define FADE_OUT   480 /* 60 ms */
#define FADE_IN    32

struct conceal {
	int16_t history[HISTORY];
	size_t period;  /* repeated from the history's end */
	size_t at;      /* in the period */
	size_t missing; /* samples made up since the last heard one; FADE_OUT at most */
};

struct dsp {
	struct conceal conceal;
	dtmf_rx_state_t dtmf;
};

/* 14 bits of a sample decide its code in both laws, so a table of 16 k entries is exact. */
#define ENCODE_BITS 14
static uint8_t encode_table[CODEC_COUNT][1 << ENCODE_BITS];
static int16_t decode_table[CODEC_COUNT][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void
tables_build(void)
{
	for (int i = 0; i < 1 << ENCODE_BITS; i++) {
		int sample = (int16_t)(i << (16 - ENCODE_BITS));

		encode_table[CODEC_PCMU][i] = linear_to_ulaw(sample);
		encode_table[CODEC_PCMA][i] = linear_to_alaw(sample);
	}
	for (int i = 0; i < 256; i++) {
		decode_table[CODEC_PCMU][i] = ulaw_to_linear((uint8_t)i);
		decode_table[CODEC_PCMA][i] = alaw_to_linear((uint8_t)i);
	}
}

uint8_t
law_silence(enum codec law)
{
	return law == CODEC_PCMU ? 0xff : 0xd5;
}

void
law_encode(enum codec law, uint8_t *out, const int16_t *pcm, size_t samples)
{
	const uint8_t *table = encode_table[law];

	pthread_once(&tables_once, tables_build);
	for (size_t i = 0; i < samples; i++)
		out[i] = table[(uint16_t)pcm[i] >> (16 - ENCODE_BITS)];
}

void
law_decode(enum codec law, int16_t *pcm, const uint8_t *data, size_t samples)
{
	const int16_t *table = decode_table[law];

	pthread_once(&tables_once, tables_build);
	for (size_t i = 0; i < samples; i++)
		pcm[i] = table[data[i]];
}

struct dsp *
dsp_create(void)
{
	struct dsp *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	pthread_once(&tables_once, tables_build);
	dsp_reset(d);
	return d;
}

void
dsp_destroy(struct dsp *d)
{
	free(d);
}

void
dsp_reset(struct dsp *d)
{
	memset(&d->conceal, 0, sizeof(d->conceal));
	dtmf_rx_init(&d->dtmf, NULL, NULL);
}

/* The shift at which the history is most like itself. */
static size_t
find_period(const int16_t *history)
{
	const int16_t *end = history + HISTORY - 160;
	int64_t least = INT64_MAX;
	size_t best = PERIOD_MIN;

	for (size_t period = PERIOD_MIN; period <= PERIOD_MAX; period++) {
		int64_t sum = 0;

		for (size_t i = 0; i < 160; i++)
			sum += abs(end[i] - end[(ptrdiff_t)i - (ptrdiff_t)period]);
		if (sum < least) {
			least = sum;
			best = period;
		}
	}
	return best;
}

static int
made_up(struct conceal *c)
{
	int sample = c->history[HISTORY - c->period + c->at];

	c->at = (c->at + 1) % c->period;
	return sample * (int)(FADE_OUT - c->missing) / FADE_OUT;
}

void
dsp_conceal(struct dsp *d, int16_t *pcm, size_t samples)
{
	struct conceal *c = &d->conceal;

	if (c->missing == 0) {
		c->period = find_period(c->history);
		c->at = 0;
	}
	for (size_t i = 0; i < samples; i++) {
		pcm[i] = (int16_t)made_up(c);
		if (c->missing < FADE_OUT)
			c->missing++;
	}
}

void
dsp_heard(struct dsp *d, int16_t *pcm, size_t samples)
{
	struct conceal *c = &d->conceal;

	if (c->missing > 0)
		for (size_t i = 0; i < samples && i < FADE_IN; i++)
			pcm[i] = (int16_t)((made_up(c) * (int)(FADE_IN - i) + pcm[i] * (int)i) /
					   FADE_IN);
	c->missing = 0;
	if (samples >= HISTORY) {
		memcpy(c->history, pcm + samples - HISTORY, sizeof(c->history));
	} else {
		memmove(c->history, c->history + samples,
			(HISTORY - samples) * sizeof(c->history[0]));
		memcpy(c->history + HISTORY - samples, pcm, samples * sizeof(c->history[0]));
	}
}

size_t
dsp_tones(struct dsp *d, const int16_t *pcm, size_t samples, char *digits, size_t max)
{
	dtmf_rx(&d->dtmf, pcm, (int)samples);
	return dtmf_rx_get(&d->dtmf, digits, (int)max);
}

void
dsp_tones_missing(struct dsp *d, size_t samples)
{
	dtmf_rx_fillin(&d->dtmf, (int)samples);
}
