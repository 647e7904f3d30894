/* tts.h - the one view of flite: text to linear samples. */
#ifndef SIP_WORKER_SPEECH_TTS_H
#define SIP_WORKER_SPEECH_TTS_H

#include "common/base.h"
#include "common/err.h"

#define TTS_NO_VOICE (-1)

/* Registers the voices, which is not thread-safe: once, before any thread speaks. */
void tts_open(void);
int tts_find_voice(const char *name); /* TTS_NO_VOICE: unknown; needs no tts_open() */

struct tts_audio {
	int16_t *pcm; /* malloced; NULL with no samples */
	size_t samples;
	unsigned rate;
};
/* text: cleaned ASCII (text.h). Blocks for about a fiftieth of what it says. Any thread. */
MUST_USE enum err tts_speak(int voice, const char *text, struct tts_audio *out);

#endif
