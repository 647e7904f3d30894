/* talk_kit.h - conversations driven by scripts: what comes in, and all that comes out.
 * Media, speech and the clock are fakes; definitions, templates and functions are real.
 * Included by one .c file of a test binary, which it gives the fakes. */
#ifndef TESTS_TALK_KIT_H
#define TESTS_TALK_KIT_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/str.h"
#include "sip-worker/agent/talk.h"

#define CLIP_MS 1000 /* every text lasts a second */

/* --- the clock --- */

static int64_t now_ms;

int64_t
clock_mono_ns(void)
{
	return now_ms * 1000000;
}

int64_t
clock_mono_ms(void)
{
	return now_ms;
}

int64_t
clock_wall_ms(void)
{
	return 1736946360000; /* 2025-01-15T13:06:00Z */
}

/* --- what came out --- */

static struct buf out;

#define OUT(...) buf_printf(&out, __VA_ARGS__)

/* --- speech --- */

enum voice_mode { VOICE_CACHED, VOICE_SLOW, VOICE_BUSY, VOICE_BROKEN };

static enum voice_mode voice;
static size_t clip_samples;
static struct list asked; /* of struct speech_job, while VOICE_SLOW */
static struct {
	const struct clip *clip;
	char text[200];
} clips[256];
static size_t clip_count;

static struct clip *
make_clip(const char *text)
{
	static const int16_t silence[CLIP_MS * 8];
	struct clip *c = clip_create(silence, clip_samples);

	clips[clip_count % ARRAY_LEN(clips)].clip = c;
	str_copy(clips[clip_count++ % ARRAY_LEN(clips)].text, sizeof(clips[0].text), text);
	return c;
}

enum err
speech_say(struct speech *s, const char *name, const char *text, struct speech_job *job,
	   struct clip **hit)
{
	(void)s;
	assert_string_equal(name, "slt");
	*hit = NULL;
	if (strcmp(text, "...") == 0)
		return ERR_INVALID;
	if (voice == VOICE_BUSY)
		return ERR_BUSY;
	if (voice == VOICE_BROKEN)
		return ERR_UNAVAILABLE;
	if (voice == VOICE_CACHED) {
		*hit = make_clip(text);
		return *hit ? ERR_OK : ERR_NOMEM;
	}
	job->entry = (struct speech_entry *)(uintptr_t)1;
	list_append(&asked, &job->link);
	OUT("ask; ");
	return ERR_OK;
}

void
speech_cancel(struct speech_job *job)
{
	list_remove(&job->link);
	job->entry = NULL;
}

static void
speech_answers(enum err e)
{
	struct list *it = list_pop(&asked);
	struct speech_job *job = it ? container_of(it, struct speech_job, link) : NULL;

	assert_non_null(job);
	job->entry = NULL;
	job->err = e;
	job->clip = e == ERR_OK ? make_clip("(slow)") : NULL;
	job->done(job);
}

/* --- media --- */

static uint32_t playing;
static bool stopped, media_busy;
static struct mailbox *told; /* read before anything is noted here, so that order shows */

enum err
media_play(struct media *m, media_id id, struct clip *clip, uint32_t play)
{
	const char *text = "?";

	(void)m;
	assert_int_equal(id, 77);
	if (media_busy)
		return ERR_BUSY;
	for (size_t i = 0; i < ARRAY_LEN(clips); i++)
		text = clips[i].clip == clip ? clips[i].text : text;
	mailbox_drain(told, 0);
	OUT("play \"%s\"; ", text);
	assert_int_equal(playing, 0);
	playing = play;
	return ERR_OK;
}

void
media_stop_playing(struct media *m, media_id id)
{
	(void)m;
	(void)id;
	mailbox_drain(told, 0);
	OUT("stop; ");
	stopped = playing != 0;
}

void
media_loopback(struct media *m, media_id id, bool on)
{
	(void)m;
	(void)id;
	OUT("loopback %s; ", on ? "on" : "off");
}

/* --- the app --- */

static json_t *last_snapshot;
static bool quiet_events;

static void
on_ready(void *app, uint64_t owner)
{
	(void)app;
	assert_int_equal(owner, 42);
	OUT("ready; ");
}

static void
on_failed(void *app, uint64_t owner, const char *why)
{
	(void)app;
	(void)owner;
	OUT("failed %s; ", why);
}

static void
on_event(void *app, uint64_t owner, enum call_event type, json_t *info)
{
	char *text = json_dumps(info, JSON_COMPACT);

	(void)app;
	(void)owner;
	if (!quiet_events && type != CALL_EVENT_AGENT && type != CALL_EVENT_OUTCOME)
		OUT("%s %s; ", call_event_names[type], text);
	free(text);
	json_decref(info);
}

static void
on_snapshot(void *app, uint64_t owner, json_t *state)
{
	(void)app;
	(void)owner;
	json_decref(last_snapshot);
	last_snapshot = state;
}

static void
on_ended(void *app, uint64_t owner, struct outcome *o)
{
	char *refs = json_dumps(o->reference_vars, JSON_COMPACT);
	char *vars = json_dumps(o->transfer_vars, JSON_COMPACT);

	(void)app;
	(void)owner;
	OUT("ended %s %s %s %s %s; ", outcome_type_names[o->type], o->task, o->reason, refs, vars);
	free(refs);
	free(vars);
	outcome_finish(o);
}

static const struct agent_ops ops = { .ready = on_ready,
				      .failed = on_failed,
				      .event = on_event,
				      .snapshot = on_snapshot,
				      .ended = on_ended };

/* --- scripts --- */

struct stage {
	struct agentdef *def;
	struct talk_home home;
	struct talk *talk;
};

static void
stage_open(struct stage *st, const char *yaml, const char *task, const json_t *snapshot)
{
	struct fault f = { 0 };
	struct agent_start s = { .owner = 42, .task = task, .snapshot = snapshot };

	*st = (struct stage){ 0 };
	st->def = agentdef_parse(yaml, strlen(yaml), "test.yaml", &f);
	if (!st->def)
		fail_msg("%s: %s", f.where, f.what);
	s.def = st->def;
	s.input_vars = json_pack("{s:s,s:s}", "name", "Ann", "plan", "gold");
	s.call = json_pack("{s:s}", "from", "sip:a@b");
	st->home.loop = loop_create();
	st->home.events = told = mailbox_create(1024);
	st->home.ops = &ops;
	list_init(&st->home.backlog);
	st->talk = talk_create(&s);
	talk_open(st->talk, &st->home);
	json_decref((json_t *)(uintptr_t)s.input_vars);
	json_decref((json_t *)(uintptr_t)s.call);
}

static void
stage_close(struct stage *st)
{
	talk_destroy(st->talk);
	loop_timer_cancel(st->home.loop, &st->home.retry);
	mailbox_drain(st->home.events, 0);
	mailbox_destroy(st->home.events, NULL);
	loop_destroy(st->home.loop);
	agentdef_destroy(st->def);
}

/* In steps of 10 ms; of half a second where it is long. */
static void
pass(struct stage *st, int64_t ms)
{
	int64_t tick = ms > 20000 ? 500 : 10;

	for (int64_t i = 0; i < ms; i += tick) {
		now_ms += tick;
		loop_step(st->home.loop, 0);
		mailbox_drain(st->home.events, 0);
	}
}

static void
play_ends(struct stage *st, enum media_stop_how how, int ms)
{
	uint32_t id = playing;

	assert_int_not_equal(id, 0);
	playing = 0;
	stopped = false;
	talk_played(st->talk, id, how, ms);
}

static void
step(struct stage *st, const char *word)
{
	int64_t n;

	if (strcmp(word, "begin") == 0)
		talk_begin(st->talk, 77);
	else if (strcmp(word, "played") == 0)
		play_ends(st, MEDIA_PLAYED, CLIP_MS);
	else if (strcmp(word, "hold") == 0 || strcmp(word, "unhold") == 0)
		talk_hold(st->talk, word[0] == 'h');
	else if (strcmp(word, "drain") == 0)
		talk_hand_back(st->talk, "drain");
	else if (strcmp(word, "resume") == 0)
		talk_resume(st->talk, "refused");
	else if (strcmp(word, "spoken") == 0)
		speech_answers(ERR_OK);
	else if (strcmp(word, "mute") == 0)
		speech_answers(ERR_IO);
	else if (strcmp(word, "broken") == 0)
		voice = VOICE_BROKEN;
	else if (strcmp(word, "free") == 0)
		voice = VOICE_CACHED, media_busy = false;
	else if (strcmp(word, "busy") == 0)
		voice = VOICE_BUSY;
	else if (strcmp(word, "full") == 0)
		media_busy = true;
	else if (strcmp(word, "slow") == 0)
		voice = VOICE_SLOW;
	else if (str_starts(word, "d"))
		for (const char *d = word + 1; *d; d++)
			talk_digit(st->talk, *d);
	else if (str_to_int64(word, 1, 10000000, &n))
		pass(st, n);
	else
		fail_msg("no such step: %s", word);
	mailbox_drain(st->home.events, 0);
	if (stopped)
		play_ends(st, MEDIA_CUT, 300);
	mailbox_drain(st->home.events, 0);
}

static void
run_steps(struct stage *st, const char *steps)
{
	char word[32];

	for (const char *p = steps + strspn(steps, " "); *p; p += strspn(p, " ")) {
		size_t len = strcspn(p, " ");

		assert_true(len < sizeof(word));
		memcpy(word, p, len);
		word[len] = 0;
		step(st, word);
		p += len;
	}
}

static void
reset(void)
{
	buf_finish(&out);
	buf_init(&out, 1 << 20);
	now_ms = 1000000;
	voice = VOICE_CACHED;
	clip_samples = CLIP_MS * 8;
	list_init(&asked);
	playing = 0;
	stopped = media_busy = quiet_events = false;
	json_decref(last_snapshot);
	last_snapshot = NULL;
}

static void
check_from(const char *yaml, const char *task, const json_t *snapshot, const char *steps,
	   const char *expected)
{
	struct stage st;

	stage_open(&st, yaml, task, snapshot);
	mailbox_drain(st.home.events, 0);
	run_steps(&st, steps);
	assert_string_equal(out.data ? out.data : "", expected);
	stage_close(&st);
}

static void
check(const char *yaml, const char *steps, const char *expected)
{
	reset();
	check_from(yaml, NULL, NULL, steps, expected);
}

/* Only what the caller and the app notice. */
static void
check_quiet(const char *yaml, const char *steps, const char *expected)
{
	reset();
	quiet_events = true;
	check_from(yaml, NULL, NULL, steps, expected);
}

/* --- the definition of DESIGN.md, shortened --- */

#define DESK                                                                                       \
	"name: desk\n"                                                                             \
	"brain: rules\n"                                                                           \
	"default_task: routing\n"                                                                  \
	"limits: { max_duration: 10m }\n"                                                          \
	"tasks:\n"                                                                                 \
	"  - name: routing\n"                                                                      \
	"    message: \"Hello {{ input_vars.get('name') or 'there' }}.\"\n"                        \
	"    resume_message: \"Welcome back{{ ' again' if resumed else '' }}.\"\n"                 \
	"    functions:\n"                                                                         \
	"      - { name: callback, conditions: \"not vars.get('done')\" }\n"                       \
	"      - { name: agent }\n"                                                                \
	"      - { name: note_done }\n"                                                            \
	"      - { name: slow }\n"                                                                 \
	"    intents:\n"                                                                           \
	"      - { dtmf: \"1\", call: callback, with: { priority: high, who: \"{{ "                \
	"input_vars.get('name') }}\" } }\n"                                                        \
	"      - { dtmf: \"0\", call: agent }\n"                                                   \
	"      - { dtmf: \"2\", task: balance }\n"                                                 \
	"      - { dtmf: \"3\", call: note_done }\n"                                               \
	"      - { dtmf: \"45\", task: balance }\n"                                                \
	"      - { dtmf: \"4\", call: agent }\n"                                                   \
	"      - { dtmf: \"6\", call: slow }\n"                                                    \
	"    on_no_match: { say: \"Sorry.\", times: 2, call: agent }\n"                            \
	"    on_silence: { after: 8s, say: \"Still there?\", times: 2, call: agent }\n"            \
	"  - name: balance\n"                                                                      \
	"    message: \"One moment.\"\n"                                                           \
	"    functions: [ { name: look_up }, { name: tell }, { name: agent } ]\n"                  \
	"    on_entry: [ look_up, tell ]\n"                                                        \
	"    intents: [ { dtmf: \"0\", call: agent } ]\n"                                          \
	"functions:\n"                                                                             \
	"  - name: callback\n"                                                                     \
	"    type: system_transfer\n"                                                              \
	"    message_before: \"Thank you.\"\n"                                                     \
	"    parameters: { type: object, properties: { who: { type: string }, priority: { type: "  \
	"string } } }\n"                                                                           \
	"    transfer_variables:\n"                                                                \
	"      - { name: next_action, value: \"'callback'\" }\n"                                   \
	"      - { name: who, value: \"params.who ~ '!'\" }\n"                                     \
	"  - name: look_up\n"                                                                      \
	"    type: mock\n"                                                                         \
	"    response: { balance: \"12.50\", list: [ { n: 1 }, { n: 2 } ], none: null }\n"         \
	"    reference_vars:\n"                                                                    \
	"      - { name: bal, response_keypath: response.balance }\n"                              \
	"      - { name: rich, response_keypath: response.balance, transform: \"val|length > 3\" " \
	"}\n"                                                                                      \
	"      - { name: second, response_keypath: response.list.1.n }\n"                          \
	"      - { name: absent, response_keypath: response.nothing }\n"                           \
	"      - { name: none, response_keypath: response.none }\n"                                \
	"  - { name: slow, type: mock, response: { a: 1 }, delay: 3s, message_before: \"Wait.\" "  \
	"}\n"                                                                                      \
	"  - { name: tell, type: recite, text: \"You have {{ vars.get('bal') }}.\" }\n"            \
	"  - name: note_done\n"                                                                    \
	"    type: set_variable\n"                                                                 \
	"    variables: [ { name: done, value: \"true\" } ]\n"                                     \
	"  - { name: agent, type: agent_transfer, message_before: \"To an agent.\" }\n"

#endif
