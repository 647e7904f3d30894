/* resample.h - one whole recording to 8 kHz (libspeexdsp behind it).  Any thread. */
#ifndef SIP_WORKER_SPEECH_RESAMPLE_H
#define SIP_WORKER_SPEECH_RESAMPLE_H

#include "common/base.h"
#include "common/err.h"

#define RESAMPLE_RATE 8000

/* *out is malloced, *out_samples what it holds (the filter's delay taken off). */
MUST_USE enum err resample_to_8k(const int16_t *in, size_t samples, unsigned rate, int16_t **out,
				 size_t *out_samples);

#endif
