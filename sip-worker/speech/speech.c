/* Ownership: speech -> entries (in the index; and in one of lru, urgent, background, or at a
 * thread) -> clip.  A thread has one order at a time, embedded in its struct, which travels to it
 * and back by mailbox; so who works on what is decided here, urgent first, without a lock. */
#include "sip-worker/speech/speech.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "common/log.h"
#include "common/map.h"
#include "common/str.h"
#include "sip-worker/speech/synth.h"
#include "sip-worker/speech/text.h"
#include "sip-worker/speech/tts.h"

#define THREADS_MAX  16
#define NICE         10
#define IDLE_POLL_MS 1000
#define REPOST_NS    2000000 /* the asker's mailbox was full: try again in 2 ms */
#define ENTRY_COST   256     /* bytes an entry takes beside its clip, for the bound */

enum entry_state { ENTRY_QUEUED, ENTRY_RUNNING, ENTRY_CACHED };

struct speech_entry {
	struct list link; /* in lru, urgent or background; in none while running */
	struct list jobs; /* of struct speech_job */
	struct speech *speech;
	enum entry_state state;
	bool urgent;
	int voice;
	struct clip *clip;
	size_t cost;
	char *text; /* inside key */
	char key[]; /* "slt\n" text */
};

struct worker {
	struct task task; /* the order, on its way there or back */
	struct speech *speech;
	struct mailbox *box;
	pthread_t thread;
	bool started;
	struct speech_entry *entry; /* NULL: idle */
	enum err err;
	struct clip *clip;
};

struct speech {
	struct mailbox *to;
	struct map *index;      /* key -> entry */
	struct list lru;        /* of cached entries, oldest first */
	struct list urgent;     /* of queued entries somebody waits for */
	struct list background; /* of queued entries nobody waits for yet */
	size_t waiting;
	struct speech_totals totals;
	atomic_bool halted;
	size_t worker_count;
	struct worker workers[THREADS_MAX];
};

static void dispatch(struct speech *s);

/* --- entries --- */

static struct speech_entry *
entry_create(struct speech *s, const char *voice, const char *text)
{
	size_t prefix = strlen(voice) + 1, size = prefix + strlen(text) + 1;
	struct speech_entry *e = calloc(1, sizeof(*e) + size);

	if (!e)
		return NULL;
	if (!str_print(e->key, size, "%s\n%s", voice, text)) {
		free(e);
		return NULL;
	}
	e->text = e->key + prefix;
	e->speech = s;
	e->voice = tts_find_voice(voice);
	e->cost = ENTRY_COST + size;
	list_init(&e->jobs);
	if (!map_put(s->index, e->key, e)) {
		free(e);
		return NULL;
	}
	return e;
}

static void
entry_destroy(struct speech_entry *e)
{
	struct speech *s = e->speech;

	if (e->state == ENTRY_CACHED)
		s->totals.cached_bytes -= e->cost;
	if (e->state == ENTRY_QUEUED)
		s->waiting--;
	list_remove(&e->link);
	map_remove(s->index, e->key);
	clip_unref(e->clip);
	free(e);
}

static void
entry_cache(struct speech_entry *e, struct clip *clip)
{
	struct speech *s = e->speech;

	e->state = ENTRY_CACHED;
	e->clip = clip;
	e->cost += sizeof(*clip) + CODEC_COUNT * clip->samples;
	s->totals.cached_bytes += e->cost;
	list_append(&s->lru, &e->link);
	while (s->totals.cached_bytes > SPEECH_CACHE_BYTES && s->lru.next != &e->link)
		entry_destroy(container_of(s->lru.next, struct speech_entry, link));
}

/* --- results, on the asker's loop --- */

/* The entry is settled before anybody is told: done() may ask again or cancel others. */
static void
entry_done(struct speech_entry *e, enum err err, struct clip *clip)
{
	struct list jobs; /* of struct speech_job */

	list_init(&jobs);
	for (struct list *it; (it = list_pop(&e->jobs));) {
		container_of(it, struct speech_job, link)->entry = NULL;
		list_append(&jobs, it);
	}
	if (clip)
		entry_cache(e, clip_ref(clip));
	else
		entry_destroy(e);
	for (struct list *it; (it = list_pop(&jobs));) {
		struct speech_job *job = container_of(it, struct speech_job, link);

		job->err = err;
		job->clip = clip ? clip_ref(clip) : NULL;
		job->done(job);
	}
}

static void
finish_order(struct task *t)
{
	struct worker *w = container_of(t, struct worker, task);
	struct speech *s = w->speech;
	struct speech_entry *e = w->entry;
	struct clip *clip = w->clip;
	enum err err = w->err;

	w->entry = NULL;
	w->clip = NULL;
	if (atomic_load(&s->halted)) {
		clip_unref(clip); /* the entry goes with the index */
		return;
	}
	if (clip)
		s->totals.synthesised++;
	else
		s->totals.failed++;
	if (!clip)
		log_warn("speech", "failed", "err=%s text=%s", err_name(err), log_quote(e->text));
	dispatch(s);
	entry_done(e, err, clip);
	clip_unref(clip);
}

/* --- the threads --- */

static void
run_order(struct task *t)
{
	struct worker *w = container_of(t, struct worker, task);
	struct speech *s = w->speech;
	const struct timespec pause = { .tv_nsec = REPOST_NS };

	w->clip = NULL;
	w->err = synth_clip(w->entry->voice, w->entry->text, &s->halted, &w->clip);
	w->task.run = finish_order;
	while (!atomic_load(&s->halted)) {
		if (mailbox_post(s->to, &w->task) == ERR_OK)
			return;
		nanosleep(&pause, NULL);
	}
}

static void *
thread_main(void *arg)
{
	struct worker *w = arg;
	struct pollfd p = { .fd = mailbox_fd(w->box), .events = POLLIN };
	const struct sched_param param = { 0 };

	pthread_setname_np(pthread_self(), "speech");
	if (pthread_setschedparam(pthread_self(), SCHED_BATCH, &param) != 0 ||
	    setpriority(PRIO_PROCESS, 0, NICE) != 0)
		log_info("speech", "priority", "text=\"threads run at normal priority\"");
	while (!atomic_load(&w->speech->halted)) {
		if (mailbox_drain(w->box, 1) == 0)
			poll(&p, 1, IDLE_POLL_MS);
	}
	return NULL;
}

static bool
worker_start(struct worker *w, struct speech *s)
{
	w->speech = s;
	w->box = mailbox_create(4);
	if (!w->box)
		return false;
	w->started = pthread_create(&w->thread, NULL, thread_main, w) == 0;
	return w->started;
}

static void
keep(struct task *t)
{
	(void)t; /* orders are embedded in their worker */
}

static void
wake(struct task *t)
{
	(void)t;
}

static void
worker_join(struct worker *w)
{
	struct task nudge = { .run = wake };

	if (!w->box)
		return;
	if (w->started) {
		ignore_err(mailbox_post(w->box, &nudge)); /* else within IDLE_POLL_MS */
		pthread_join(w->thread, NULL);
	}
	w->started = false;
	mailbox_destroy(w->box, keep);
	w->box = NULL;
}

/* --- queue --- */

static struct speech_entry *
next_entry(struct speech *s)
{
	struct list *it = list_pop(list_empty(&s->urgent) ? &s->background : &s->urgent);

	return it ? container_of(it, struct speech_entry, link) : NULL;
}

static void
dispatch(struct speech *s)
{
	for (size_t i = 0; i < s->worker_count; i++) {
		struct worker *w = &s->workers[i];

		if (w->entry || !s->to || atomic_load(&s->halted))
			continue;
		w->entry = next_entry(s);
		if (!w->entry)
			return;
		w->entry->state = ENTRY_RUNNING;
		s->waiting--;
		w->task.run = run_order;
		if (mailbox_post(w->box, &w->task) != ERR_OK)
			assert(!"an idle thread's mailbox is empty");
	}
}

static enum err
ask(struct speech *s, const char *voice, const char *text, bool urgent, struct speech_entry **out)
{
	char key[SPEECH_TEXT_MAX + 64], clean[SPEECH_TEXT_MAX + 1];
	struct speech_entry *e;

	if (atomic_load(&s->halted) || !s->to)
		return ERR_CLOSED;
	if (tts_find_voice(voice) == TTS_NO_VOICE)
		return ERR_NOT_FOUND;
	if (speech_text_clean(text, clean, sizeof(clean)) == 0)
		return ERR_INVALID;
	if (!str_print(key, sizeof(key), "%s\n%s", voice, clean))
		return ERR_TOO_LARGE;
	e = map_find(s->index, key);
	if (!e) {
		if (s->waiting >= SPEECH_QUEUE_MAX)
			return ERR_BUSY;
		e = entry_create(s, voice, clean);
		if (!e)
			return ERR_NOMEM;
		list_append(urgent ? &s->urgent : &s->background, &e->link);
		e->urgent = urgent;
		s->waiting++;
	} else if (urgent && e->state == ENTRY_QUEUED && !e->urgent) {
		list_remove(&e->link);
		list_append(&s->urgent, &e->link);
		e->urgent = true;
	}
	*out = e;
	return ERR_OK;
}

enum err
speech_say(struct speech *s, const char *voice, const char *text, struct speech_job *job,
	   struct clip **hit)
{
	struct speech_entry *e;
	enum err err = ask(s, voice, text, true, &e);

	*hit = NULL;
	if (err != ERR_OK)
		return err;
	if (e->state == ENTRY_CACHED) {
		list_remove(&e->link);
		list_append(&s->lru, &e->link);
		s->totals.hits++;
		*hit = clip_ref(e->clip);
		return ERR_OK;
	}
	job->entry = e;
	job->clip = NULL;
	list_append(&e->jobs, &job->link);
	dispatch(s);
	return ERR_OK;
}

void
speech_cancel(struct speech_job *job)
{
	struct speech_entry *e = job->entry;

	list_remove(&job->link);
	job->entry = NULL;
	if (e && list_empty(&e->jobs) && e->state == ENTRY_QUEUED)
		entry_destroy(e);
}

enum err
speech_prefetch(struct speech *s, const char *voice, const char *text)
{
	struct speech_entry *e;
	enum err err = ask(s, voice, text, false, &e);

	if (err == ERR_OK)
		dispatch(s);
	return err;
}

void
speech_totals(const struct speech *s, struct speech_totals *out)
{
	*out = s->totals;
	out->waiting = s->waiting;
}

/* --- life --- */

bool
speech_has_voice(const char *voice)
{
	return tts_find_voice(voice) != TTS_NO_VOICE;
}

struct speech *
speech_create(size_t threads)
{
	struct speech *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	list_init(&s->lru);
	list_init(&s->urgent);
	list_init(&s->background);
	atomic_init(&s->halted, false);
	tts_open();
	s->index = map_create();
	s->worker_count = threads < 1 ? 1 : threads > THREADS_MAX ? THREADS_MAX : threads;
	for (size_t i = 0; s->index && i < s->worker_count; i++) {
		if (!worker_start(&s->workers[i], s)) {
			speech_destroy(s);
			return NULL;
		}
	}
	if (!s->index) {
		free(s);
		return NULL;
	}
	return s;
}

void
speech_attach(struct speech *s, struct mailbox *to)
{
	assert(!s->to);
	s->to = to;
}

void
speech_halt(struct speech *s)
{
	atomic_store(&s->halted, true);
	for (size_t i = 0; i < s->worker_count; i++)
		worker_join(&s->workers[i]);
}

static bool
drop_entry(const char *key, void *value, void *arg)
{
	struct speech_entry *e = value;

	(void)key;
	(void)arg;
	for (struct list *it; (it = list_pop(&e->jobs));)
		container_of(it, struct speech_job, link)->entry = NULL;
	entry_destroy(e);
	return true;
}

void
speech_destroy(struct speech *s)
{
	if (!s)
		return;
	speech_halt(s);
	for (size_t i = 0; i < s->worker_count; i++)
		clip_unref(s->workers[i].clip);
	map_each(s->index, drop_entry, NULL);
	map_destroy(s->index);
	free(s);
}
