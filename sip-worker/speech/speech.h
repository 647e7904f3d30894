/* speech.h - text to audio off the loops: a small pool of low-priority threads and a cache.
 *
 * Jobs are bounded (SPEECH_QUEUE_MAX); equal texts under way are synthesised once.  The cache keeps
 * the most recently used clips up to SPEECH_CACHE_BYTES.  flite is seen by one file only.
 * Queue, cache and jobs belong to one loop (the agent's), where everything but speech_create(),
 * speech_destroy() and speech_has_voice() is called; the threads see one text at a time. */
#ifndef SIP_WORKER_SPEECH_SPEECH_H
#define SIP_WORKER_SPEECH_SPEECH_H

#include "common/base.h"
#include "common/err.h"
#include "common/list.h"
#include "common/mailbox.h"
#include "sip-worker/media/clip.h"

#define SPEECH_QUEUE_MAX   512
#define SPEECH_CACHE_BYTES (64u << 20)
#define SPEECH_TEXT_MAX    4096

struct speech;
struct speech_entry;

struct speech *speech_create(size_t threads);
void speech_destroy(struct speech *s); /* NULL ok */
/* Is the voice known ("slt", "rms", "awb", "kal")? */
bool speech_has_voice(const char *voice);

/* Where done() runs: the mailbox of the loop that asks.  Before the first job. */
void speech_attach(struct speech *s, struct mailbox *to);
/* Stops the threads; afterwards nothing is posted to the mailbox, no done() is called and
 * speech_say() answers CLOSED.  Waits for the sentence being synthesised (well under 1 s). */
void speech_halt(struct speech *s);

/* Owned by the asker until done() or speech_cancel(). clip is one reference, the asker's;
 * NULL with err on failure. */
struct speech_job {
	struct list link;           /* speech's own */
	struct speech_entry *entry; /* speech's own; NULL: not waiting */
	enum err err;
	struct clip *clip;
	void (*done)(struct speech_job *job);
};
/* In the cache: *hit is set (one reference), no job is made, done() is not called.
 * BUSY: the queue is full; NOT_FOUND: no such voice; INVALID: nothing in the text can be spoken.
 * text is UTF-8, copied; what is beyond SPEECH_TEXT_MAX is not said. */
MUST_USE enum err speech_say(struct speech *s, const char *voice, const char *text,
			     struct speech_job *job, struct clip **hit);
/* done() will not be called; a job that is not waiting is fine. */
void speech_cancel(struct speech_job *job);
/* Into the cache when no caller waits for a thread. */
MUST_USE enum err speech_prefetch(struct speech *s, const char *voice, const char *text);

struct speech_totals {
	uint64_t hits, synthesised, failed;
	size_t cached_bytes, waiting;
};
void speech_totals(const struct speech *s, struct speech_totals *out);

#endif
