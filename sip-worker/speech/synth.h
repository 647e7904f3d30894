/* synth.h - one cleaned text to one clip: spoken sentence by sentence, 8 kHz, levelled, trimmed. */
#ifndef SIP_WORKER_SPEECH_SYNTH_H
#define SIP_WORKER_SPEECH_SYNTH_H

#include <stdatomic.h>

#include "common/base.h"
#include "common/err.h"
#include "sip-worker/media/clip.h"

#define SYNTH_SAMPLES_MAX (8000u * 60 * 10) /* ten minutes */

/* Blocks; any thread.  stop is looked at between sentences: CLOSED.  One reference in *out.
 * text: from speech_text_clean(); INVALID: it made no sound. */
MUST_USE enum err
synth_clip(int voice, const char *text, const atomic_bool *stop, struct clip **out);

#endif
