/* tones.h - sounds made once when the engine starts and played from memory: tones while a caller
 * waits, digits for a far side without telephone events, and the way from one G.711 law to the
 * other.  Immutable afterwards, any thread. */
#ifndef SIP_WORKER_MEDIA_TONES_H
#define SIP_WORKER_MEDIA_TONES_H

#include "sip-worker/media/clip.h"
#include "sip-worker/media/dtmf.h"
#include "sip-worker/media/media.h"

#define TONE_KINDS (MEDIA_TONE_RINGBACK + 1)

struct tone {
	struct clip *clip;
	uint32_t cycle; /* samples until it begins again; silence after the clip */
};

struct tones {
	struct tone kinds[TONE_KINDS]; /* none of MEDIA_TONE_NONE */
	struct tone digits[DTMF_EVENTS];
	uint8_t recode[CODEC_COUNT][256]; /* a byte of this law in the other one */
};

struct tones *tones_create(void);      /* NULL: no memory */
void tones_destroy(struct tones *all); /* NULL ok */
/* n bytes of the tone from sample `at` on, again and again. */
void tone_fill(const struct tone *t, enum codec law, uint32_t at, uint8_t *out, size_t n);

#endif
