/* clip.h - a piece of audio ready to be sent: immutable, shared by reference count (atomic), 8 kHz.
 * Both G.711 laws are encoded once when it is made, so playing costs a copy. */
#ifndef SIP_WORKER_MEDIA_CLIP_H
#define SIP_WORKER_MEDIA_CLIP_H

#include <stdatomic.h>

#include "common/base.h"
#include "common/config.h"

struct clip {
	atomic_int refs;
	size_t samples;                  /* = bytes of each law */
	const uint8_t *law[CODEC_COUNT]; /* PCMU, PCMA */
	uint8_t data[];
};

/* Encodes 16-bit linear samples; NULL: no memory.  One reference, the caller's. */
struct clip *clip_create(const int16_t *pcm, size_t samples);
struct clip *clip_ref(struct clip *c);
void clip_unref(struct clip *c); /* NULL ok */
static inline int
clip_ms(const struct clip *c)
{
	return (int)(c->samples / 8);
}

#endif
