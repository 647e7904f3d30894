#include "sip-worker/media/tones.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sip-worker/media/dsp.h"

#define RATE   8000
#define ON_MAX 16000
#define RAMP   40 /* samples faded in and out, so that nothing clicks */
/* A sine at the laws' largest value is +3.17 dBm0, by which levels are counted. */
#define PEAK      32124.0
#define PEAK_DBM0 3.17

struct recipe {
	unsigned hz[2]; /* 0: one frequency only */
	double dbm0;    /* of each */
	unsigned on, cycle;
};

static const struct recipe kinds[TONE_KINDS] = {
	[MEDIA_TONE_COMFORT] = { { 440, 0 }, -25, 960, 16000 },
	[MEDIA_TONE_RINGBACK] = { { 440, 480 }, -19, 16000, 48000 },
};

static const unsigned rows[4] = { 697, 770, 852, 941 };
static const unsigned columns[4] = { 1209, 1336, 1477, 1633 };
/* Row and column of 0-9 * # A-D. */
static const uint8_t keys[DTMF_EVENTS] = { 13, 0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 14, 3, 7, 11, 15 };

static void
tone_write(int16_t *pcm, const struct recipe *r)
{
	double amplitude = PEAK * pow(10, (r->dbm0 - PEAK_DBM0) / 20);

	for (unsigned i = 0; i < r->on; i++) {
		unsigned edge = i < r->on - i ? i : r->on - i;
		double sample = 0;

		for (int k = 0; k < 2; k++)
			sample += sin(2 * M_PI * r->hz[k] * i / RATE);
		if (edge < RAMP)
			sample = sample * edge / RAMP;
		pcm[i] = (int16_t)lrint(amplitude * sample);
	}
}

static bool
tone_make(struct tone *t, const struct recipe *r)
{
	int16_t pcm[ON_MAX];

	tone_write(pcm, r);
	t->clip = clip_create(pcm, r->on);
	t->cycle = r->cycle;
	return t->clip;
}

static void
recode_make(struct tones *all)
{
	for (int law = 0; law < CODEC_COUNT; law++) {
		enum codec other = law == CODEC_PCMU ? CODEC_PCMA : CODEC_PCMU;

		for (int i = 0; i < 256; i++) {
			uint8_t byte = (uint8_t)i;
			int16_t pcm;

			law_decode((enum codec)law, &pcm, &byte, 1);
			law_encode(other, &all->recode[law][i], &pcm, 1);
		}
	}
}

struct tones *
tones_create(void)
{
	struct tones *all = calloc(1, sizeof(*all));
	bool ok = all;

	for (int i = MEDIA_TONE_NONE + 1; ok && i < TONE_KINDS; i++)
		ok = tone_make(&all->kinds[i], &kinds[i]);
	for (int i = 0; ok && i < DTMF_EVENTS; i++) {
		struct recipe r = { { rows[keys[i] / 4], columns[keys[i] % 4] }, -9, 960, 1600 };

		ok = tone_make(&all->digits[i], &r);
	}
	if (!ok) {
		tones_destroy(all);
		return NULL;
	}
	recode_make(all);
	return all;
}

void
tones_destroy(struct tones *all)
{
	if (!all)
		return;
	for (int i = 0; i < TONE_KINDS; i++)
		clip_unref(all->kinds[i].clip);
	for (int i = 0; i < DTMF_EVENTS; i++)
		clip_unref(all->digits[i].clip);
	free(all);
}

void
tone_fill(const struct tone *t, enum codec law, uint32_t at, uint8_t *out, size_t n)
{
	size_t on = t->clip->samples;

	while (n > 0) {
		size_t left, take;

		at %= t->cycle;
		left = at < on ? on - at : t->cycle - at;
		take = left < n ? left : n;
		if (at < on)
			memcpy(out, t->clip->law[law] + at, take);
		else
			memset(out, law_silence(law), take);
		out += take;
		n -= take;
		at += (uint32_t)take;
	}
}
