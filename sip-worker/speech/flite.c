/* The only file that sees flite.
 *
 * A registered voice is shared by all threads: synthesis reads it and keeps what it writes in its
 * own utterance; only registering writes to globals, so tts_open() does that once.  flite exits
 * the process on what it cannot read (cst_error), which is why it is given cleaned text only. */
#include "sip-worker/speech/tts.h"

#include <flite/flite.h>
#include <stdlib.h>
#include <string.h>

/* Not declared in any header of the library. */
cst_voice *register_cmu_us_slt(const char *voxdir);
cst_voice *register_cmu_us_rms(const char *voxdir);
cst_voice *register_cmu_us_awb(const char *voxdir);
cst_voice *register_cmu_us_kal(const char *voxdir);

/* clang-format off */
static const struct { const char *name; cst_voice *(*open)(const char *); } table[] = {
	{ "slt", register_cmu_us_slt },
	{ "rms", register_cmu_us_rms },
	{ "awb", register_cmu_us_awb },
	{ "kal", register_cmu_us_kal },
};
/* clang-format on */

static cst_voice *voices[ARRAY_LEN(table)]; /* written by tts_open() only */

void
tts_open(void)
{
	if (voices[0])
		return;
	flite_init();
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		voices[i] = table[i].open(NULL);
}

int
tts_find_voice(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (strcmp(table[i].name, name) == 0)
			return (int)i;
	}
	return TTS_NO_VOICE;
}

enum err
tts_speak(int voice, const char *text, struct tts_audio *out)
{
	cst_wave *w;
	struct tts_audio a = { 0 };

	assert(voice >= 0 && (size_t)voice < ARRAY_LEN(table));
	if (!voices[voice])
		return ERR_UNAVAILABLE;
	w = flite_text_to_wave(text, voices[voice]);
	if (!w)
		return ERR_INTERNAL;
	if (w->num_samples > 0 && w->num_channels == 1 && w->sample_rate > 0) {
		a.samples = (size_t)w->num_samples;
		a.rate = (unsigned)w->sample_rate;
		a.pcm = malloc(a.samples * sizeof(*a.pcm));
		if (a.pcm)
			memcpy(a.pcm, w->samples, a.samples * sizeof(*a.pcm));
	}
	delete_wave(w);
	if (a.samples > 0 && !a.pcm)
		return ERR_NOMEM;
	*out = a;
	return ERR_OK;
}
