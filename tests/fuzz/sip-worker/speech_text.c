/* Whatever stands in a variable may have to be spoken: cleaned text keeps its promises, and short
 * ones go through the synthesiser itself, which exits the process on what it cannot read. */
#include <stdlib.h>
#include <string.h>

#include "sip-worker/speech/speech.h"
#include "sip-worker/speech/text.h"
#include "sip-worker/speech/tts.h"

#define SPOKEN_MAX 80 /* bytes that are synthesised */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_clean(const char *text, size_t len)
{
	size_t word = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		word = c == ' ' ? 0 : word + 1;
		if (c < 0x20 || c > 0x7e || word > SPEECH_WORD_MAX)
			abort();
	}
}

static void
speak(const char *sentence)
{
	struct tts_audio a = { 0 };

	if (tts_speak(tts_find_voice("kal"), sentence, &a) != ERR_OK)
		abort();
	free(a.pcm);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *in = malloc(size + 1), out[SPEECH_TEXT_MAX + 1], sentence[SPEECH_SENTENCE_MAX + 1];
	size_t len, skip;

	tts_open();
	memcpy(in, data, size);
	in[size] = 0;
	len = speech_text_clean(in, out, sizeof(out));
	free(in);
	if (len != strlen(out))
		abort();
	check_clean(out, len);
	for (const char *p = out; (len = speech_text_sentence(p, &skip)) > 0; p += skip) {
		if (len > SPEECH_SENTENCE_MAX || skip < len)
			abort();
		memcpy(sentence, p, len);
		sentence[len] = 0;
		if (len <= SPOKEN_MAX)
			speak(sentence);
	}
	return 0;
}
