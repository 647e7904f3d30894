/* level.h - loudness and edges of synthesised speech for the telephone.  Pure; any thread. */
#ifndef SIP_WORKER_SPEECH_LEVEL_H
#define SIP_WORKER_SPEECH_LEVEL_H

#include "common/base.h"

#define LEVEL_TARGET_DBOV (-19.0) /* of the speaking frames */
#define LEVEL_PEAK        32000   /* never above */

/* The part of pcm between the silences at both ends, with `keep` samples of them. */
void level_trim(const int16_t *pcm, size_t samples, size_t keep, size_t *first, size_t *count);
/* Level of the speaking 20 ms frames (8 kHz) in dBov; -96 for silence. */
double level_measure(const int16_t *pcm, size_t samples);
/* Moves the level to LEVEL_TARGET_DBOV, 12 dB at most, peaks rounded off below LEVEL_PEAK. */
void level_normalise(int16_t *pcm, size_t samples);

#endif
