#include "sip-worker/speech/level.h"

#include <math.h>

#define FRAME      160   /* samples: 20 ms at 8 kHz */
#define QUIET      160.0 /* rms under which an edge counts as silence, about -46 dBov */
#define KNEE       0.75  /* of LEVEL_PEAK: where rounding off begins */
#define GAIN_MAX   4.0   /* 12 dB either way */
#define EDGE_FRAME 40    /* 5 ms */

static double
frame_rms(const int16_t *pcm, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)pcm[i] * pcm[i];
	return n ? sqrt(sum / (double)n) : 0;
}

void
level_trim(const int16_t *pcm, size_t samples, size_t keep, size_t *first, size_t *count)
{
	size_t begin = 0, end = samples;

	while (begin + EDGE_FRAME <= samples && frame_rms(pcm + begin, EDGE_FRAME) < QUIET)
		begin += EDGE_FRAME;
	while (end >= begin + EDGE_FRAME && frame_rms(pcm + end - EDGE_FRAME, EDGE_FRAME) < QUIET)
		end -= EDGE_FRAME;
	if (begin >= end) {
		*first = *count = 0;
		return;
	}
	begin = begin > keep ? begin - keep : 0;
	end = samples - end > keep ? end + keep : samples;
	*first = begin;
	*count = end - begin;
}

static double
speaking_rms(const int16_t *pcm, size_t samples)
{
	double loudest = 0, sum = 0;
	size_t frames = 0;

	for (size_t i = 0; i + FRAME <= samples; i += FRAME)
		loudest = fmax(loudest, frame_rms(pcm + i, FRAME));
	for (size_t i = 0; i + FRAME <= samples; i += FRAME) {
		double rms = frame_rms(pcm + i, FRAME);

		if (rms < loudest * 0.0562) /* 25 dB below the loudest is a pause */
			continue;
		sum += rms * rms;
		frames++;
	}
	return frames ? sqrt(sum / (double)frames) : 0;
}

double
level_measure(const int16_t *pcm, size_t samples)
{
	double rms = speaking_rms(pcm, samples);

	return rms > 0.5 ? 20 * log10(rms / 32768.0) : -96.0;
}

static double
rounded_off(double x)
{
	double knee = KNEE * LEVEL_PEAK, room = LEVEL_PEAK - knee, over = fabs(x) - knee;

	return over <= 0 ? x : copysign(knee + room * tanh(over / room), x);
}

void
level_normalise(int16_t *pcm, size_t samples)
{
	double rms = speaking_rms(pcm, samples);
	double gain = rms > 0.5 ? 32768.0 * pow(10, LEVEL_TARGET_DBOV / 20) / rms : 1.0;

	gain = fmin(fmax(gain, 1 / GAIN_MAX), GAIN_MAX);
	for (size_t i = 0; i < samples; i++)
		pcm[i] = (int16_t)lrint(rounded_off(pcm[i] * gain));
}
