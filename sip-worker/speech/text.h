/* text.h - what people write, made speakable: plain ASCII that a synthesiser takes without harm.
 * Pure; any thread. */
#ifndef SIP_WORKER_SPEECH_TEXT_H
#define SIP_WORKER_SPEECH_TEXT_H

#include "common/base.h"

#define SPEECH_WORD_MAX     40  /* longer runs are broken: no caller says them in one breath */
#define SPEECH_SENTENCE_MAX 300 /* bytes; also bounds what one step of synthesis costs */

/* UTF-8 in; letters lose accents, currency signs become words, the rest becomes a space.
 * Returns the length written (cut at size - 1); 0: nothing to speak. */
size_t speech_text_clean(const char *in, char *out, size_t size);
/* The next sentence of cleaned text: its length, at most SPEECH_SENTENCE_MAX; *skip is how far to
 * advance.  0: the end. */
size_t speech_text_sentence(const char *text, size_t *skip);

#endif
