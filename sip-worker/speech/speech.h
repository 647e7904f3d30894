/* speech.h - text to audio off the loops: a small pool of low-priority threads and a cache.
 *
 * Jobs are bounded (SPEECH_QUEUE_MAX); equal texts under way are synthesised once.  The cache keeps
 * the most recently used clips up to SPEECH_CACHE_BYTES.  flite is seen by one file only. */
#ifndef SIP_WORKER_SPEECH_SPEECH_H
#define SIP_WORKER_SPEECH_SPEECH_H

#include "common/base.h"
#include "common/err.h"
#include "common/mailbox.h"
#include "sip-worker/media/clip.h"

#define SPEECH_QUEUE_MAX   512
#define SPEECH_CACHE_BYTES (64u << 20)
#define SPEECH_TEXT_MAX    4096

struct speech;

struct speech *speech_create(size_t threads);
void speech_destroy(struct speech *s);
/* Is the voice known ("slt", "rms", "awb", "kal")? */
bool speech_has_voice(const char *voice);

/* First member of the asker's object. done() runs in the mailbox `to`; clip is one reference,
 * the asker's; NULL with err on failure. */
struct speech_job {
	struct task task; /* speech's own */
	struct mailbox *to;
	enum err err;
	struct clip *clip;
	void (*done)(struct speech_job *job);
};
/* In the cache: *hit is set (one reference), no job is made, done() is not called.
 * BUSY: the queue is full. text is copied. Agent loop only. */
MUST_USE enum err speech_say(struct speech *s, const char *voice, const char *text, struct speech_job *job,
			     struct clip **hit);

#endif
