#include "sip-worker/speech/resample.h"

#include <speex/speex_resampler.h>
#include <stdlib.h>
#include <string.h>

#define QUALITY 7 /* clean up to 3.4 kHz; synthesis costs a hundred times more */

/* Feeds all input and then silence, until the filter has given everything out. */
static size_t
run(SpeexResamplerState *st, const int16_t *in, size_t samples, int16_t *out, size_t room)
{
	static const int16_t silence[256];
	size_t used = 0, made = 0;

	while (made < room) {
		bool tail = used >= samples;
		spx_uint32_t n = tail ? (spx_uint32_t)ARRAY_LEN(silence)
				      : (spx_uint32_t)(samples - used);
		spx_uint32_t m = (spx_uint32_t)(room - made);

		if (speex_resampler_process_int(st, 0, tail ? silence : in + used, &n, out + made,
						&m) != RESAMPLER_ERR_SUCCESS)
			break;
		if (n == 0 && m == 0)
			break;
		used += n;
		made += m;
	}
	return made;
}

enum err
resample_to_8k(const int16_t *in, size_t samples, unsigned rate, int16_t **out, size_t *out_samples)
{
	size_t room = (size_t)((uint64_t)samples * RESAMPLE_RATE / (rate ? rate : 1));
	SpeexResamplerState *st;
	int16_t *pcm;

	if (rate < RESAMPLE_RATE || rate > 192000 || samples > UINT32_MAX / 2)
		return ERR_INVALID;
	pcm = malloc((room + 1) * sizeof(*pcm));
	if (!pcm)
		return ERR_NOMEM;
	if (rate == RESAMPLE_RATE) {
		memcpy(pcm, in, samples * sizeof(*pcm));
	} else {
		st = speex_resampler_init(1, rate, RESAMPLE_RATE, QUALITY, NULL);
		if (!st) {
			free(pcm);
			return ERR_NOMEM;
		}
		speex_resampler_skip_zeros(st);
		room = run(st, in, samples, pcm, room);
		speex_resampler_destroy(st);
	}
	*out = pcm;
	*out_samples = room;
	return ERR_OK;
}
