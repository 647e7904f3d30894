/* The speaking queue of a conversation: texts become clips ahead of time, clips are played one by
 * one, and every wait has a deadline, so that nothing a synthesiser or the media engine does or
 * leaves undone can hold a call. */
#include "sip-worker/agent/talk.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"

#define RETRY_MS  50   /* speech or media were full */
#define STOP_MS   1000 /* for media to say how far it came */
#define TRIES_MAX ((unsigned)(TALK_SPEECH_DEADLINE_MS / RETRY_MS))

enum say_state { SAY_WAITING, SAY_READY, SAY_PLAYING, SAY_STOPPING };

struct say {
	struct list link;
	struct talk *talk;
	uint32_t id;
	unsigned flags;
	enum say_state state;
	enum err err;
	unsigned tries;
	struct speech_job job;
	struct clip *clip;
	char text[];
};

static struct say *
first(const struct talk *t)
{
	return t->say_count ? container_of(t->says.next, struct say, link) : NULL;
}

static void
say_destroy(struct say *s)
{
	struct talk *t = s->talk;

	if (first(t) == s)
		ptimer_cancel(t->home->loop, &t->speak);
	speech_cancel(&s->job);
	clip_unref(s->clip);
	list_remove(&s->link);
	t->say_count--;
	free(s);
}

static void
finish(struct say *s, bool cut, int played_ms)
{
	struct talk *t = s->talk;
	uint32_t id = s->id;

	if (s->clip) {
		t->quiet_since = loop_now(t->home->loop);
		emit_event(t, CALL_EVENT_SAID,
			   json_pack("{s:o,s:i,s:b}", "text", emit_text(s->text, SPEECH_TEXT_MAX),
				     "played_ms", played_ms, "cut", cut));
		transcript_add(t, "agent", s->text, cut);
	}
	say_destroy(s);
	if (t->brain->said && talk_is_live(t))
		t->brain->said(t->brain_state, id, cut, played_ms);
}

/* --- synthesis --- */

static void
on_clip(struct speech_job *job)
{
	struct say *s = container_of(job, struct say, job);

	s->clip = job->clip;
	s->err = job->err;
	if (s->clip)
		s->state = SAY_READY;
	if (first(s->talk) == s)
		ptimer_cancel(s->talk->home->loop, &s->talk->speak);
	talk_settle(s->talk);
}

static void
request(struct say *s)
{
	struct talk *t = s->talk;
	enum err e = speech_say(t->home->speech, t->def->voice, s->text, &s->job, &s->clip);

	if (e == ERR_OK && s->clip)
		s->state = SAY_READY;
	else if (e == ERR_BUSY && ++s->tries < TRIES_MAX)
		s->err = ERR_OK; /* asked again when it is its turn */
	else
		s->err = e;
}

static void on_speak(struct ptimer *p);

static void
wait_for(struct talk *t, int64_t ms)
{
	ptimer_set(t->home->loop, &t->speak, ms, t->held, on_speak);
}

static void
on_speak(struct ptimer *p)
{
	struct talk *t = container_of(p, struct talk, speak);
	struct say *s = first(t);

	if (!s)
		return;
	if (s->state == SAY_WAITING && s->job.entry) {
		speech_cancel(&s->job);
		s->err = ERR_TIMEOUT;
	} else if (s->state == SAY_WAITING) {
		request(s);
	} else if (s->state == SAY_STOPPING) {
		finish(s, true, 0);
	} else if (s->state == SAY_PLAYING) {
		log_warn("agent", "playout", "talk=%llu play=%u text=\"media did not report\"",
			 (unsigned long long)t->id, s->id);
		talk_note(t, "The end of a prompt was not reported in time.");
		media_stop_playing(t->home->media, t->media);
		finish(s, false, clip_ms(s->clip));
	}
	talk_settle(t);
}

/* --- the queue --- */

static void
give_up(struct say *s)
{
	struct talk *t = s->talk;
	enum err e = s->err;

	if (e == ERR_INVALID) { /* nothing in it to speak: silence is what it says */
		finish(s, false, 0);
		return;
	}
	say_destroy(s);
	talk_fail(t, "A prompt could not be spoken: %s", err_text(e));
}

static bool
play(struct say *s)
{
	struct talk *t = s->talk;
	enum err e = media_play(t->home->media, t->media, s->clip, s->id);

	if (e == ERR_OK) {
		s->state = SAY_PLAYING;
		wait_for(t, clip_ms(s->clip) + TALK_PLAYOUT_SLACK_MS);
		return false;
	}
	if (e == ERR_BUSY && ++s->tries < TRIES_MAX) {
		wait_for(t, RETRY_MS);
		return false;
	}
	s->err = e;
	give_up(s);
	return true;
}

bool
say_step(struct talk *t)
{
	struct say *s = first(t);

	if (!s || !t->media)
		return false;
	if (s->err != ERR_OK) {
		give_up(s);
		return true;
	}
	if (s->state == SAY_WAITING) {
		if (!ptimer_armed(&t->speak))
			wait_for(t, s->job.entry ? TALK_SPEECH_DEADLINE_MS : RETRY_MS);
		return false;
	}
	if (s->state == SAY_READY)
		return !ptimer_armed(&t->speak) && play(s);
	return false;
}

void
say_played(struct talk *t, uint32_t play_id, enum media_stop_how how, int played_ms)
{
	struct say *s = first(t);

	if (s && s->id == play_id && (s->state == SAY_PLAYING || s->state == SAY_STOPPING))
		finish(s, how == MEDIA_CUT, played_ms);
}

void
say_hush(struct talk *t, bool firm_too)
{
	list_each(it, &t->says)
	{
		struct say *s = container_of(it, struct say, link);

		if ((s->flags & SAY_FIRM) && !firm_too)
			return;
		if (s->state == SAY_PLAYING) {
			media_stop_playing(t->home->media, t->media);
			s->state = SAY_STOPPING;
			ptimer_set(t->home->loop, &t->speak, STOP_MS, false, on_speak);
		} else if (s->state != SAY_STOPPING) {
			say_destroy(s);
		}
	}
}

void
talk_hush(struct talk *t)
{
	say_hush(t, false);
}

void
say_drop_all(struct talk *t)
{
	struct say *s = first(t);

	if (s && s->state == SAY_PLAYING)
		media_stop_playing(t->home->media, t->media);
	while ((s = first(t)))
		say_destroy(s);
}

uint32_t
talk_say(struct talk *t, const char *text, unsigned flags)
{
	size_t len = strlen(text);
	struct say *s;

	if (len == 0 || !talk_is_live(t))
		return 0;
	if (t->say_count >= SAY_QUEUE_MAX) {
		talk_fail(t, "More than %d prompts are waiting to be spoken.", SAY_QUEUE_MAX);
		return 0;
	}
	s = calloc(1, sizeof(*s) + len + 1);
	if (!s) {
		talk_fail(t, "Out of memory.");
		return 0;
	}
	memcpy(s->text, text, len);
	s->talk = t;
	s->flags = flags;
	s->job.done = on_clip;
	s->id = ++t->next_say;
	list_append(&t->says, &s->link);
	t->say_count++;
	request(s);
	return s->id;
}

uint32_t
talk_say_tmpl(struct talk *t, const struct tmpl *text, unsigned flags)
{
	struct fault f = { 0 };
	uint32_t id;
	char *s;

	if (!text)
		return 0;
	s = tmpl_render(text, talk_context(t), &f);
	if (!s) {
		talk_note(t, "A message could not be written: %s", f.what);
		return 0;
	}
	id = talk_say(t, s, flags);
	free(s);
	return id;
}

/* --- before the answer --- */

static void
prepared(struct talk *t)
{
	speech_cancel(&t->prepared);
	loop_timer_cancel(t->home->loop, &t->prepare);
	if (t->brain_ready)
		talk_feed(t, TALK_EV_READY);
	talk_settle(t);
}

static void
on_prepared(struct speech_job *job)
{
	clip_unref(job->clip);
	prepared(container_of(job, struct talk, prepared));
}

static void
on_prepare_timer(struct loop_timer *timer)
{
	prepared(container_of(timer, struct talk, prepare));
}

void
talk_prepare(struct talk *t, const struct tmpl *text)
{
	struct fault f = { 0 };
	char *s = text ? tmpl_render(text, talk_context(t), &f) : NULL;
	struct clip *hit = NULL;
	enum err e;

	if (!s || t->prepared.entry) {
		free(s);
		return;
	}
	t->prepared.done = on_prepared;
	e = speech_say(t->home->speech, t->def->voice, s, &t->prepared, &hit);
	free(s);
	clip_unref(hit);
	if (e == ERR_OK && !hit &&
	    !loop_timer_set(t->home->loop, &t->prepare, TALK_PREPARE_MS, on_prepare_timer))
		speech_cancel(&t->prepared);
}

void
talk_ready(struct talk *t)
{
	t->brain_ready = true;
	if (!t->prepared.entry)
		talk_feed(t, TALK_EV_READY);
}
