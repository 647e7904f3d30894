#include "sip-worker/media/dsp.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <spandsp.h>
#include <spandsp/expose.h>

struct dsp {
	plc_state_t plc;
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
	plc_init(&d->plc);
	dtmf_rx_init(&d->dtmf, NULL, NULL);
}

void
dsp_heard(struct dsp *d, int16_t *pcm, size_t samples)
{
	plc_rx(&d->plc, pcm, (int)samples);
}

void
dsp_conceal(struct dsp *d, int16_t *pcm, size_t samples)
{
	plc_fillin(&d->plc, pcm, (int)samples);
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
