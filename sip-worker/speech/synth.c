#include "sip-worker/speech/synth.h"

#include <stdlib.h>
#include <string.h>

#include "sip-worker/speech/level.h"
#include "sip-worker/speech/resample.h"
#include "sip-worker/speech/text.h"
#include "sip-worker/speech/tts.h"

#define EDGE_SAMPLES  240  /* 30 ms of silence stay at both ends, so that no consonant is cut */
#define PAUSE_SAMPLES 1600 /* between sentences */

struct take {
	int16_t *pcm;
	size_t samples, room;
};

static enum err
append(struct take *t, const int16_t *pcm, size_t samples)
{
	size_t pause = t->samples > 0 ? PAUSE_SAMPLES : 0;
	size_t need = t->samples + pause + samples;

	if (samples == 0)
		return ERR_OK;
	if (need > SYNTH_SAMPLES_MAX)
		return ERR_TOO_LARGE;
	if (need > t->room) {
		size_t room = need * 2;
		int16_t *grown = realloc(t->pcm, room * sizeof(*grown));

		if (!grown)
			return ERR_NOMEM;
		t->pcm = grown;
		t->room = room;
	}
	memset(t->pcm + t->samples, 0, pause * sizeof(*pcm));
	memcpy(t->pcm + t->samples + pause, pcm, samples * sizeof(*pcm));
	t->samples = need;
	return ERR_OK;
}

static enum err
speak_sentence(int voice, const char *sentence, struct take *t)
{
	struct tts_audio raw = { 0 };
	int16_t *pcm = NULL;
	size_t samples = 0, first, count;
	enum err e = tts_speak(voice, sentence, &raw);

	if (e != ERR_OK || raw.samples == 0)
		return e;
	e = resample_to_8k(raw.pcm, raw.samples, raw.rate, &pcm, &samples);
	free(raw.pcm);
	if (e != ERR_OK)
		return e;
	level_trim(pcm, samples, EDGE_SAMPLES, &first, &count);
	e = append(t, pcm + first, count);
	free(pcm);
	return e;
}

enum err
synth_clip(int voice, const char *text, const atomic_bool *stop, struct clip **out)
{
	char sentence[SPEECH_SENTENCE_MAX + 1];
	struct take t = { 0 };
	enum err e = ERR_OK;
	size_t len, skip;
	struct clip *clip;

	for (const char *at = text; e == ERR_OK && (len = speech_text_sentence(at, &skip)) > 0;
	     at += skip) {
		if (atomic_load_explicit(stop, memory_order_relaxed))
			e = ERR_CLOSED;
		memcpy(sentence, at, len);
		sentence[len] = 0;
		if (e == ERR_OK)
			e = speak_sentence(voice, sentence, &t);
	}
	if (e == ERR_OK && t.samples == 0)
		e = ERR_INVALID;
	if (e == ERR_OK) {
		level_normalise(t.pcm, t.samples);
		clip = clip_create(t.pcm, t.samples);
		if (clip)
			*out = clip;
		else
			e = ERR_NOMEM;
	}
	free(t.pcm);
	return e;
}
