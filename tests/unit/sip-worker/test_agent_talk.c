/* Conversations driven by scripts: what comes in, on the left; all that comes out, on the right.
 * Media, speech and the clock are fakes linked in; definitions, templates and functions are real.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/str.h"
#include "tests/fakes/oom.h"
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

static void
test_transfer(void **state)
{
	(void)state;
	check(DESK, "begin played d1 played 190 10",
	      "ready; task {\"name\":\"routing\",\"how\":\"start\"}; play \"Hello Ann.\"; "
	      "said {\"text\":\"Hello Ann.\",\"played_ms\":1000,\"cut\":false}; "
	      "heard {\"text\":\"1\",\"how\":\"dtmf\"}; "
	      "function "
	      "{\"name\":\"callback\",\"arguments\":{\"priority\":\"high\",\"who\":\"Ann\"}"
	      ",\"result\":null}; play \"Thank you.\"; "
	      "said {\"text\":\"Thank you.\",\"played_ms\":1000,\"cut\":false}; "
	      "ended SYSTEM routing function {} "
	      "{\"next_action\":\"callback\",\"who\":\"Ann!\",\"priority\":\"high\"}; ");
}

static void
test_tail_of_200_ms(void **state)
{
	(void)state;
	check_quiet(DESK, "begin played d1 played 190",
		    "ready; play \"Hello Ann.\"; play \"Thank you.\"; ");
	check_quiet(
		DESK, "begin played d1 played 200",
		"ready; play \"Hello Ann.\"; play \"Thank you.\"; ended SYSTEM routing function "
		"{} {\"next_action\":\"callback\",\"who\":\"Ann!\",\"priority\":\"high\"}; ");
}

static void
test_barge_in(void **state)
{
	(void)state;
	check(DESK, "begin d0 played 200",
	      "ready; task {\"name\":\"routing\",\"how\":\"start\"}; play \"Hello Ann.\"; stop; "
	      "heard {\"text\":\"0\",\"how\":\"dtmf\"}; "
	      "function {\"name\":\"agent\",\"arguments\":{},\"result\":null}; "
	      "said {\"text\":\"Hello Ann.\",\"played_ms\":300,\"cut\":true}; play \"To an "
	      "agent.\"; "
	      "said {\"text\":\"To an agent.\",\"played_ms\":1000,\"cut\":false}; "
	      "ended AGENT routing function {} {}; ");
}

static void
test_message_before_is_firm(void **state)
{
	(void)state;
	/* the transfer's, where digits no longer count, and one of a running function */
	check_quiet(
		DESK, "begin played d1 d0 played 200",
		"ready; play \"Hello Ann.\"; play \"Thank you.\"; ended SYSTEM routing function "
		"{} {\"next_action\":\"callback\",\"who\":\"Ann!\",\"priority\":\"high\"}; ");
	check_quiet(DESK, "begin played d6 d9 played played 3000",
		    "ready; play \"Hello Ann.\"; play \"Wait.\"; play \"Sorry.\"; ");
}

static void
test_entry_functions_and_task(void **state)
{
	(void)state;
	check(DESK, "begin played d2 played played d0 played 200",
	      "ready; task {\"name\":\"routing\",\"how\":\"start\"}; play \"Hello Ann.\"; "
	      "said {\"text\":\"Hello Ann.\",\"played_ms\":1000,\"cut\":false}; "
	      "heard {\"text\":\"2\",\"how\":\"dtmf\"}; task "
	      "{\"name\":\"balance\",\"how\":\"intent\"}; "
	      "function {\"name\":\"look_up\",\"arguments\":{},\"result\":{\"balance\":\"12.50\","
	      "\"list\":[{\"n\":1},{\"n\":2}],\"none\":null}}; "
	      "function {\"name\":\"tell\",\"arguments\":{},\"result\":{\"text\":\"You have "
	      "12.50.\"}}; "
	      "play \"One moment.\"; said {\"text\":\"One "
	      "moment.\",\"played_ms\":1000,\"cut\":false}; "
	      "play \"You have 12.50.\"; "
	      "said {\"text\":\"You have 12.50.\",\"played_ms\":1000,\"cut\":false}; "
	      "heard {\"text\":\"0\",\"how\":\"dtmf\"}; "
	      "function {\"name\":\"agent\",\"arguments\":{},\"result\":null}; play \"To an "
	      "agent.\"; "
	      "said {\"text\":\"To an agent.\",\"played_ms\":1000,\"cut\":false}; "
	      "ended AGENT balance function {\"bal\":\"12.50\",\"rich\":\"true\",\"second\":\"2\"} "
	      "{}; ");
}

static void
test_condition_makes_intent_inactive(void **state)
{
	(void)state;
	check_quiet(DESK, "begin played d3 d1 played d1 played d1 played 200",
		    "ready; play \"Hello Ann.\"; play \"Sorry.\"; play \"Sorry.\"; "
		    "play \"To an agent.\"; ended AGENT routing function {\"done\":\"true\"} {}; ");
}

static void
test_longest_match(void **state)
{
	(void)state;
	check_quiet(DESK, "begin played d4 1990", "ready; play \"Hello Ann.\"; ");
	check_quiet(DESK, "begin played d4 2000",
		    "ready; play \"Hello Ann.\"; play \"To an agent.\"; ");
	check_quiet(DESK, "begin played d4 1000 d5",
		    "ready; play \"Hello Ann.\"; play \"One moment.\"; ");
	check_quiet(DESK, "begin played d4#",
		    "ready; play \"Hello Ann.\"; play \"To an agent.\"; ");
	check_quiet(DESK, "begin played d#", "ready; play \"Hello Ann.\"; ");
}

static void
test_silence(void **state)
{
	(void)state;
	check_quiet(DESK, "begin 20 played 7990", "ready; play \"Hello Ann.\"; ");
	check_quiet(DESK, "begin 20 played 8000 played 8000 played 8000 played 200",
		    "ready; play \"Hello Ann.\"; play \"Still there?\"; play \"Still there?\"; "
		    "play \"To an agent.\"; ended AGENT routing function {} {}; ");
	/* input starts it again, and the count with it */
	check_quiet(DESK, "begin played 8000 played 8000 played 4000 d9 played 7990",
		    "ready; play \"Hello Ann.\"; play \"Still there?\"; play \"Still there?\"; "
		    "play \"Sorry.\"; ");
	check_quiet(DESK, "begin played 8000 played 8000 played 4000 d9 played 8000",
		    "ready; play \"Hello Ann.\"; play \"Still there?\"; play \"Still there?\"; "
		    "play \"Sorry.\"; play \"Still there?\"; ");
}

static void
test_silence_waits_for_hold_and_functions(void **state)
{
	(void)state;
	check_quiet(DESK, "begin played 5000 hold 60000 unhold 2990",
		    "ready; play \"Hello Ann.\"; ");
	check_quiet(DESK, "begin played 5000 hold 60000 unhold 3000",
		    "ready; play \"Hello Ann.\"; play \"Still there?\"; ");
	check_quiet(DESK, "begin played d6 played 3000 7970",
		    "ready; play \"Hello Ann.\"; play \"Wait.\"; ");
	check_quiet(DESK, "begin played d6 played 3000 8000",
		    "ready; play \"Hello Ann.\"; play \"Wait.\"; play \"Still there?\"; ");
}

static void
test_hold_stops_playout_deadline(void **state)
{
	(void)state;
	check_quiet(DESK, "begin hold 60000 unhold 3000 played", "ready; play \"Hello Ann.\"; ");
	check_quiet(
		DESK, "begin played d1 hold 60000 unhold played 200",
		"ready; play \"Hello Ann.\"; play \"Thank you.\"; ended SYSTEM routing function "
		"{} {\"next_action\":\"callback\",\"who\":\"Ann!\",\"priority\":\"high\"}; ");
}

static void
test_media_never_reports(void **state)
{
	(void)state;
	reset();
	quiet_events = true;
	{
		struct stage st;

		stage_open(&st, DESK, NULL, NULL);
		run_steps(&st, "10 begin");
		playing = 0; /* it forgets */
		run_steps(&st, "5990");
		assert_string_equal(out.data, "ready; play \"Hello Ann.\"; ");
		run_steps(&st, "20 8010");
		assert_string_equal(out.data,
				    "ready; play \"Hello Ann.\"; stop; play \"Still there?\"; ");
		stage_close(&st);
	}
}

static void
test_max_duration(void **state)
{
	(void)state;
	check_quiet(DESK, "begin played d2 played played 600000 played 200",
		    "ready; play \"Hello Ann.\"; play \"One moment.\"; play \"You have 12.50.\"; "
		    "play \"I have to end our conversation here. Please hold the line.\"; "
		    "ended AGENT balance max_duration "
		    "{\"bal\":\"12.50\",\"rich\":\"true\",\"second\":\"2\"} {}; ");
	/* held: nobody would hear it */
	check_quiet(DESK, "begin played hold 600000",
		    "ready; play \"Hello Ann.\"; ended AGENT routing max_duration {} {}; ");
	/* held while the last message is played: it does not wait for ever */
	check_quiet(DESK, "begin played d1 hold 600000",
		    "ready; play \"Hello Ann.\"; play \"Thank you.\"; stop; "
		    "ended SYSTEM routing function {} "
		    "{\"next_action\":\"callback\",\"who\":\"Ann!\",\"priority\":\"high\"}; ");
}

static void
test_hand_back(void **state)
{
	(void)state;
	check_quiet(DESK, "begin drain played 200",
		    "ready; play \"Hello Ann.\"; stop; "
		    "play \"I have to end our conversation here. Please hold the line.\"; "
		    "ended AGENT routing drain {} {}; ");
	check_quiet(DESK, "drain", "ready; ended AGENT routing drain {} {}; ");
	check_quiet(
		DESK, "begin played d1 drain played 200",
		"ready; play \"Hello Ann.\"; play \"Thank you.\"; ended SYSTEM routing function "
		"{} {\"next_action\":\"callback\",\"who\":\"Ann!\",\"priority\":\"high\"}; ");
}

static void
test_broken_speech(void **state)
{
	(void)state;
	reset();
	quiet_events = true;
	voice = VOICE_BROKEN;
	check_from(DESK, NULL, NULL, "begin", "ready; ended AGENT routing agent_failed {} {}; ");
	/* one text alone fails: the short message is heard */
	check_quiet(DESK, "begin played slow d2 free mute played 200",
		    "ready; play \"Hello Ann.\"; ask; ask; "
		    "play \"I am sorry, something went wrong. Please hold the line.\"; "
		    "ended AGENT balance agent_failed "
		    "{\"bal\":\"12.50\",\"rich\":\"true\",\"second\":\"2\"} {}; ");
	/* the last message cannot be said: the call goes back all the same */
	check_quiet(DESK, "begin played broken d1 200",
		    "ready; play \"Hello Ann.\"; ended SYSTEM routing function {} "
		    "{\"next_action\":\"callback\",\"who\":\"Ann!\",\"priority\":\"high\"}; ");
}

static void
test_slow_and_full(void **state)
{
	(void)state;
	/* synthesis that never answers */
	check_quiet(DESK, "begin played slow d1 9900", "ready; play \"Hello Ann.\"; ask; ");
	check_quiet(DESK, "begin played slow d1 10300",
		    "ready; play \"Hello Ann.\"; ask; ended SYSTEM routing function {} "
		    "{\"next_action\":\"callback\",\"who\":\"Ann!\",\"priority\":\"high\"}; ");
	check_quiet(
		DESK, "begin played slow d1 5000 spoken played 200",
		"ready; play \"Hello Ann.\"; ask; play \"(slow)\"; ended SYSTEM routing function "
		"{} {\"next_action\":\"callback\",\"who\":\"Ann!\",\"priority\":\"high\"}; ");
	/* queues that are full for a while, or for good */
	check_quiet(
		DESK, "begin played busy d1 3000 free 100 played 200",
		"ready; play \"Hello Ann.\"; play \"Thank you.\"; ended SYSTEM routing function "
		"{} {\"next_action\":\"callback\",\"who\":\"Ann!\",\"priority\":\"high\"}; ");
	check_quiet(DESK, "begin played busy d1 11000",
		    "ready; play \"Hello Ann.\"; ended SYSTEM routing function {} "
		    "{\"next_action\":\"callback\",\"who\":\"Ann!\",\"priority\":\"high\"}; ");
	check_quiet(DESK, "begin played full d1 3000 free 100",
		    "ready; play \"Hello Ann.\"; play \"Thank you.\"; ");
}

static void
test_ready_waits_for_first_message(void **state)
{
	(void)state;
	reset();
	voice = VOICE_SLOW;
	check_from(DESK, NULL, NULL, "1990", "ask; ");
	reset();
	voice = VOICE_SLOW;
	check_from(DESK, NULL, NULL, "2010", "ask; ready; ");
	reset();
	voice = VOICE_SLOW;
	check_from(DESK, NULL, NULL, "100 spoken", "ask; ready; ");
	reset();
	voice = VOICE_SLOW;
	check_from(DESK, NULL, NULL, "100 mute", "ask; ready; ");
}

static void
test_never_begun(void **state)
{
	(void)state;
	check_quiet(DESK, "60000", "ready; ended AGENT routing agent_failed {} {}; ");
}

static void
test_resume_after_failed_return(void **state)
{
	(void)state;
	check_quiet(DESK, "begin played d0 played 200 resume played d1",
		    "ready; play \"Hello Ann.\"; play \"To an agent.\"; "
		    "ended AGENT routing function {} {}; play \"Welcome back again.\"; "
		    "play \"Thank you.\"; ");
	check_quiet(DESK, "begin played resume", "ready; play \"Hello Ann.\"; "); /* not ended */
}

static void
test_reconnection(void **state)
{
	json_t *snapshot;

	(void)state;
	check_quiet(DESK, "begin played d3 d2 played",
		    "ready; play \"Hello Ann.\"; play \"One moment.\"; play \"You have 12.50.\"; ");
	snapshot = json_incref(last_snapshot);
	assert_non_null(snapshot);
	assert_string_equal(json_string_value(json_object_get(snapshot, "task")), "balance");
	json_object_set_new(json_object_get(snapshot, "input_vars"), "name", json_string("Old"));
	json_object_set_new(json_object_get(snapshot, "input_vars"), "extra", json_string("kept"));
	reset();
	check_from(DESK, "routing", snapshot, "begin",
		   "ready; task {\"name\":\"routing\",\"how\":\"resumed\"}; "
		   "play \"Welcome back again.\"; ");
	assert_string_equal(json_string_value(json_object_get(
				    json_object_get(last_snapshot, "input_vars"), "name")),
			    "Ann");
	assert_string_equal(json_string_value(json_object_get(
				    json_object_get(last_snapshot, "input_vars"), "extra")),
			    "kept");
	assert_true(json_is_true(json_object_get(json_object_get(last_snapshot, "vars"), "done")));
	assert_true(json_array_size(json_object_get(last_snapshot, "transcript")) >= 3);
	reset();
	quiet_events = true;
	check_from(DESK, NULL, snapshot, "begin played",
		   "ready; play \"One moment.\"; play \"You have 12.50.\"; ");
	json_decref(snapshot);
}

static void
test_snapshot_garbage(void **state)
{
	static const char *const texts[] = {
		"{}",
		"[]",
		"{\"task\":7,\"vars\":[],\"transcript\":{}}",
		"{\"task\":\"gone\",\"vars\":\"x\",\"input_vars\":null,\"transcript\":[1,{\"who\":"
		"1}]}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		json_t *snapshot = json_loads(texts[i], 0, NULL);

		reset();
		quiet_events = true;
		check_from(DESK, NULL, snapshot, "begin",
			   i == 1 ? "ready; play \"Hello Ann.\"; "
				  : "ready; play \"Welcome back again.\"; ");
		json_decref(snapshot);
	}
}

static void
test_mock_delay(void **state)
{
	(void)state;
	check(DESK, "begin played d6 played 2500 510",
	      "ready; task {\"name\":\"routing\",\"how\":\"start\"}; play \"Hello Ann.\"; "
	      "said {\"text\":\"Hello Ann.\",\"played_ms\":1000,\"cut\":false}; "
	      "heard {\"text\":\"6\",\"how\":\"dtmf\"}; play \"Wait.\"; "
	      "said {\"text\":\"Wait.\",\"played_ms\":1000,\"cut\":false}; "
	      "function {\"name\":\"slow\",\"arguments\":{},\"result\":{\"a\":1}}; ");
	/* a call that ends meanwhile takes the function with it */
	check_quiet(DESK, "begin played d6 d0 played played 3000",
		    "ready; play \"Hello Ann.\"; play \"Wait.\"; play \"To an agent.\"; "
		    "ended AGENT routing function {} {}; ");
}

#define ECHO                                                                                       \
	"name: e\nbrain: echo\ndefault_task: t\nlimits: { max_duration: 1m }\ntasks: [ { name: t " \
	"} ]\n"

static void
test_echo(void **state)
{
	(void)state;
	check(ECHO, "begin d1 40000 19990", "ready; loopback on; ");
	check_quiet(ECHO, "begin 60000 played 200",
		    "ready; loopback on; loopback off; "
		    "play \"I have to end our conversation here. Please hold the line.\"; "
		    "ended AGENT t max_duration {} {}; ");
}

#define ODD                                                                                        \
	"name: odd\nbrain: rules\ndefault_task: a\n"                                               \
	"tasks:\n"                                                                                 \
	"  - name: a\n"                                                                            \
	"    message: \"...\"\n"                                                                   \
	"    functions: [ { name: give }, { name: bad }, { name: wrong } ]\n"                      \
	"    intents:\n"                                                                           \
	"      - { dtmf: \"1\", call: give, with: { n: \"{{ 1 + 1 }}\", flag: true, gone: null } " \
	"}\n"                                                                                      \
	"      - { dtmf: \"2\", call: wrong }\n"                                                   \
	"    on_silence: { after: 1s, hangup: true }\n"                                            \
	"    on_no_match: { times: 0 }\n"                                                          \
	"functions:\n"                                                                             \
	"  - name: give\n"                                                                         \
	"    type: system_transfer\n"                                                              \
	"    parameters: { type: object, properties: { flag: { type: boolean }, n: {}, gone: {}, " \
	"skipped: {} } }\n"                                                                        \
	"    transfer_variables: [ { name: broken, value: \"params.n - 'x'\" }, { name: skipped, " \
	"value: \"none\" } ]\n"                                                                    \
	"  - { name: bad, type: mock, response: {} }\n"                                            \
	"  - { name: wrong, type: agent_transfer, parameters: { type: object, required: [ x ], "   \
	"properties: { x: { type: string } } } }\n"

static void
test_odd_endings(void **state)
{
	(void)state;
	check_quiet(ODD, "begin 1000", "ready; ended SYSTEM a hangup {} {}; ");
	check_quiet(ODD, "begin d9", "ready; ended AGENT a no_match {} {}; ");
	check_quiet(ODD, "begin d1",
		    "ready; ended SYSTEM a function {} {\"flag\":\"true\",\"n\":\"2\"}; ");
	/* arguments that the schema refuses: a failure of the brain */
	check_quiet(ODD, "begin d2 played 200",
		    "ready; play \"I am sorry, something went wrong. Please hold the line.\"; "
		    "ended AGENT a agent_failed {} {}; ");
}

/* Every state and every event: a changed rule shows here. */
static void
test_machine(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 65536);
	fsm_print(&talk_fsm, &b);
	assert_non_null(strstr(b.data, "live freeze -> closing\n"));
	assert_non_null(strstr(b.data, "closing deadline -> ended\n"));
	assert_non_null(strstr(b.data, "starting deadline -> ended\n"));
	assert_non_null(strstr(b.data, "ready deadline -> ended\n"));
	assert_null(strstr(b.data, "starting begin -> live"));
	assert_null(strstr(b.data, "closing resume -> live"));
	buf_finish(&b);
}

/* The app's mailbox is full: order is kept and nothing a call depends on is lost. */
static void
test_backlog(void **state)
{
	struct stage st;
	struct mailbox *small;

	(void)state;
	reset();
	quiet_events = true;
	stage_open(&st, DESK, NULL, NULL);
	mailbox_drain(st.home.events, 0);
	small = mailbox_create(2);
	mailbox_destroy(st.home.events, NULL);
	st.home.events = small;
	told = mailbox_create(2); /* nobody reads while the digits come */
	talk_begin(st.talk, 77);
	for (int i = 0; i < 400; i++) {
		talk_digit(st.talk, '3'); /* three entries each */
		if (stopped)
			play_ends(&st, MEDIA_CUT, 300);
	}
	assert_true(st.talk->event_count <= TALK_EVENTS_MAX);
	talk_digit(st.talk, '0');
	play_ends(&st, MEDIA_PLAYED, 1000);
	pass(&st, 3000);
	assert_int_equal(st.talk->event_count, 0);
	assert_string_equal(out.data, "ready; play \"Hello Ann.\"; stop; play \"To an agent.\"; "
				      "ended AGENT routing function {\"done\":\"true\"} {}; ");
	mailbox_destroy(told, NULL);
	stage_close(&st);
}

/* --- no memory --- */

struct outage {
	struct agentdef *def;
	json_t *input, *snapshot;
	bool over; /* the call was told that it ended or cannot start */
};

static void
outage_failed(void *app, uint64_t owner, const char *why)
{
	(void)owner;
	(void)why;
	((struct outage *)app)->over = true;
}

static void
outage_ended(void *app, uint64_t owner, struct outcome *o)
{
	(void)owner;
	((struct outage *)app)->over = true;
	outcome_finish(o);
}

static void
outage_json(void *app, uint64_t owner, json_t *state)
{
	(void)app;
	(void)owner;
	json_decref(state);
}

static void
outage_event(void *app, uint64_t owner, enum call_event type, json_t *info)
{
	(void)type;
	outage_json(app, owner, info);
}

static void
outage_ready(void *app, uint64_t owner)
{
	(void)app;
	(void)owner;
}

static void
outage_play(struct stage *st)
{
	for (int i = 0; i < 10 && playing; i++) {
		uint32_t id = playing;

		playing = 0;
		talk_played(st->talk, id, stopped ? MEDIA_CUT : MEDIA_PLAYED, 500);
		stopped = false;
	}
	pass(st, 20);
}

/* A whole call: whatever cannot be had, it is told how the call ends and leaves nothing behind. */
static bool
outage_call(void *arg)
{
	static const struct agent_ops quiet = { .ready = outage_ready,
						.failed = outage_failed,
						.event = outage_event,
						.snapshot = outage_json,
						.ended = outage_ended };
	struct outage *o = arg;
	struct agent_start s = { .def = o->def, .input_vars = o->input, .snapshot = o->snapshot };
	struct stage st = { .home = { .ops = &quiet, .app = o } };

	o->over = false;
	playing = 0;
	list_init(&st.home.backlog);
	st.home.loop = loop_create();
	st.home.events = told = mailbox_create(1024);
	st.talk = st.home.loop && told ? talk_create(&s) : NULL;
	if (st.talk) {
		talk_open(st.talk, &st.home);
		talk_begin(st.talk, 77);
		outage_play(&st);
		for (const char *d = "13260"; *d; d++) {
			talk_digit(st.talk, *d);
			outage_play(&st);
		}
		for (int i = 0; i < 3 && !o->over; i++) {
			now_ms += i == 0 ? 300 : 700000;
			outage_play(&st);
			now_ms += 300;
			pass(&st, 20);
		}
		talk_destroy(st.talk);
		loop_timer_cancel(st.home.loop, &st.home.retry);
		mailbox_drain(told, 0);
	}
	mailbox_destroy(told, NULL);
	loop_destroy(st.home.loop);
	return o->over;
}

static void
test_no_memory(void **state)
{
	struct outage o = { .def = agentdef_parse(DESK, strlen(DESK), "desk.yaml", NULL) };
	int n;

	(void)state;
	assert_non_null(o.def);
	reset();
	clip_samples = 8;
	log_set_level(LOG_ERR + 1);
	o.input = json_pack("{s:s}", "name", "Ann");
	o.snapshot = json_pack("{s:{s:s},s:[{s:s,s:s}]}", "vars", "x", "y", "transcript", "who",
			       "agent", "text", "Before.");
	n = oom_run(outage_call, &o);
	assert_true(n > 500);
	print_message("%d allocations\n", n);
	log_set_level(LOG_WARN);
	json_decref(o.input);
	json_decref(o.snapshot);
	agentdef_destroy(o.def);
}

static int
finish_all(void **state)
{
	(void)state;
	reset();
	buf_finish(&out);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transfer),
		cmocka_unit_test(test_tail_of_200_ms),
		cmocka_unit_test(test_barge_in),
		cmocka_unit_test(test_message_before_is_firm),
		cmocka_unit_test(test_entry_functions_and_task),
		cmocka_unit_test(test_condition_makes_intent_inactive),
		cmocka_unit_test(test_longest_match),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_silence_waits_for_hold_and_functions),
		cmocka_unit_test(test_hold_stops_playout_deadline),
		cmocka_unit_test(test_media_never_reports),
		cmocka_unit_test(test_max_duration),
		cmocka_unit_test(test_hand_back),
		cmocka_unit_test(test_broken_speech),
		cmocka_unit_test(test_slow_and_full),
		cmocka_unit_test(test_ready_waits_for_first_message),
		cmocka_unit_test(test_never_begun),
		cmocka_unit_test(test_resume_after_failed_return),
		cmocka_unit_test(test_reconnection),
		cmocka_unit_test(test_snapshot_garbage),
		cmocka_unit_test(test_mock_delay),
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_odd_endings),
		cmocka_unit_test(test_machine),
		cmocka_unit_test(test_backlog),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, finish_all);
}
