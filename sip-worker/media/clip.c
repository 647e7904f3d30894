#include "sip-worker/media/clip.h"

#include <stdlib.h>

#include "sip-worker/media/dsp.h"

struct clip *
clip_create(const int16_t *pcm, size_t samples)
{
	struct clip *c;

	if (samples > (SIZE_MAX - sizeof(*c)) / CODEC_COUNT)
		return NULL;
	c = malloc(sizeof(*c) + CODEC_COUNT * samples);
	if (!c)
		return NULL;
	atomic_init(&c->refs, 1);
	c->samples = samples;
	for (int law = 0; law < CODEC_COUNT; law++) {
		uint8_t *out = c->data + (size_t)law * samples;

		law_encode((enum codec)law, out, pcm, samples);
		c->law[law] = out;
	}
	return c;
}

struct clip *
clip_ref(struct clip *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void
clip_unref(struct clip *c)
{
	if (c && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
		free(c);
}
