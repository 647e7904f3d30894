/* dsp.h - signal processing G.711, loss concealment, in-band DTMF.  The only file that
 * sees spandsp is dsp.c.  8 kHz, 16-bit.  Pure: one thread per object. */
#ifndef SIP_WORKER_MEDIA_DSP_H
#define SIP_WORKER_MEDIA_DSP_H

#include "common/base.h"
#include "common/config.h"

/* The byte that is silence. */
uint8_t law_silence(enum codec law);
/* Table-driven; the tables are built at the first use of any function here, by any thread. */
void law_encode(enum codec law, uint8_t *out, const int16_t *pcm, size_t samples);
void law_decode(enum codec law, int16_t *pcm, const uint8_t *data, size_t samples);

struct dsp;
struct dsp *dsp_create(void);    /* NULL: no memory; nothing later allocates */
void dsp_destroy(struct dsp *d); /* NULL ok */
void dsp_reset(struct dsp *d);

/* Concealment: what arrived goes through heard() (it may smooth the first samples after a gap),
 * what did not is made up by conceal(), fading to silence. */
void dsp_heard(struct dsp *d, int16_t *pcm, size_t samples);
void dsp_conceal(struct dsp *d, int16_t *pcm, size_t samples);

/* In-band DTMF: digits found while listening to these samples, at most max. */
size_t dsp_tones(struct dsp *d, const int16_t *pcm, size_t samples, char *digits, size_t max);
void dsp_tones_missing(struct dsp *d, size_t samples);

#endif
