/* A call in which anything happens at any time: keys, hold, prompts that end, are cut or are never
 * reported, synthesis that is slow or fails, a media engine that is full.  Whatever comes, the
 * conversation ends by itself once the caller does nothing more. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "sip-worker/agent/talk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- fakes --- */

static int64_t now_ms;
static uint32_t playing;
static enum err media_says, speech_says;
static struct list asked; /* of struct speech_job */
static bool ended, failed, ready;

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
	return now_ms;
}

enum err
speech_say(struct speech *s, const char *name, const char *text, struct speech_job *job,
	   struct clip **hit)
{
	static const int16_t silence[80];

	(void)s;
	(void)name;
	*hit = NULL;
	if (speech_says == ERR_OK && strlen(text) % 2 == 0)
		*hit = clip_create(silence, 80);
	else if (speech_says == ERR_OK) {
		job->entry = (struct speech_entry *)(uintptr_t)1;
		list_append(&asked, &job->link);
	}
	return speech_says;
}

void
speech_cancel(struct speech_job *job)
{
	list_remove(&job->link);
	job->entry = NULL;
}

enum err
media_play(struct media *m, media_id id, struct clip *clip, uint32_t play)
{
	(void)m;
	(void)id;
	(void)clip;
	if (media_says == ERR_OK)
		playing = play;
	return media_says;
}

void
media_stop_playing(struct media *m, media_id id)
{
	(void)m;
	(void)id;
}

void
media_loopback(struct media *m, media_id id, bool on)
{
	(void)m;
	(void)id;
	(void)on;
}

/* --- the app --- */

static void
on_ready(void *app, uint64_t owner)
{
	(void)app;
	(void)owner;
	ready = true;
}

static void
on_failed(void *app, uint64_t owner, const char *why)
{
	(void)app;
	(void)owner;
	(void)why;
	failed = true;
}

static void
on_event(void *app, uint64_t owner, enum call_event type, json_t *info)
{
	(void)app;
	(void)owner;
	(void)type;
	json_decref(info);
}

static void
on_snapshot(void *app, uint64_t owner, json_t *state)
{
	(void)app;
	(void)owner;
	json_decref(state);
}

static void
on_ended(void *app, uint64_t owner, struct outcome *o)
{
	(void)app;
	(void)owner;
	if (ended || failed || !o->reference_vars || !o->transfer_vars)
		abort();
	ended = true;
	outcome_finish(o);
}

static const struct agent_ops ops = { .ready = on_ready,
				      .failed = on_failed,
				      .event = on_event,
				      .snapshot = on_snapshot,
				      .ended = on_ended };

static const char definition[] =
	"name: desk\nbrain: rules\ndefault_task: a\nlimits: { max_duration: 10m }\n"
	"tasks:\n"
	"  - name: a\n"
	"    message: \"Hello {{ input_vars.get('name') }}.\"\n"
	"    functions: [ { name: give, conditions: \"not vars.get('done')\" }, { name: agent },\n"
	"                 { name: slow }, { name: set } ]\n"
	"    intents:\n"
	"      - { dtmf: \"1\", call: give, with: { who: \"{{ input_vars.get('name') }}\" } }\n"
	"      - { dtmf: \"12\", call: slow }\n"
	"      - { dtmf: \"2\", task: b }\n"
	"      - { dtmf: \"3\", call: set }\n"
	"      - { dtmf: \"0#\", call: agent }\n"
	"    on_no_match: { say: \"Sorry.\", times: 3, task: b }\n"
	"    on_silence: { after: 4s, say: \"Hello?\", times: 1, call: agent }\n"
	"  - name: b\n"
	"    message: \"One moment.\"\n"
	"    functions: [ { name: look }, { name: slow }, { name: tell }, { name: agent } ]\n"
	"    on_entry: [ look, slow, tell ]\n"
	"    intents: [ { dtmf: \"9\", task: a }, { dtmf: \"99\", call: agent } ]\n"
	"functions:\n"
	"  - { name: give, type: system_transfer, message_before: \"Thanks.\",\n"
	"      parameters: { type: object, properties: { who: { type: string } } } }\n"
	"  - { name: look, type: mock, response: { x: 1 },\n"
	"      reference_vars: [ { name: x, response_keypath: response.x } ] }\n"
	"  - { name: slow, type: mock, response: {}, delay: 3s, message_before: \"Wait.\" }\n"
	"  - { name: tell, type: recite, text: \"It is {{ vars.get('x') }}.\" }\n"
	"  - { name: set, type: set_variable, variables: [ { name: done, value: \"true\" } ] }\n"
	"  - { name: agent, type: agent_transfer, message_before: \"To an agent.\" }\n";

/* --- what may happen --- */

static void
pass(struct talk_home *h, int64_t ms)
{
	now_ms += ms;
	loop_step(h->loop, 0);
	mailbox_drain(h->events, 0);
}

static void
answer(enum err e)
{
	static const int16_t silence[80];
	struct list *it = list_pop(&asked);
	struct speech_job *job = it ? container_of(it, struct speech_job, link) : NULL;

	if (!job)
		return;
	job->entry = NULL;
	job->err = e;
	job->clip = e == ERR_OK ? clip_create(silence, 80) : NULL;
	job->done(job);
}

static void
step(struct talk *t, struct talk_home *h, uint8_t byte)
{
	static const enum err answers[] = { ERR_OK, ERR_OK, ERR_BUSY, ERR_IO };
	uint32_t play = playing;

	switch (byte >> 4) {
	case 0:
	case 1:
	case 2:
		talk_digit(t, "0123456789*#ABC?"[byte & 15]);
		break;
	case 3:
	case 4:
		playing = 0;
		talk_played(t, play, byte & 1 ? MEDIA_CUT : MEDIA_PLAYED, byte);
		break;
	case 5:
		talk_hold(t, byte & 1);
		break;
	case 6:
		media_says = answers[byte & 3];
		break;
	case 7:
		speech_says = answers[byte & 3];
		break;
	case 8:
	case 9:
		answer(byte & 1 ? ERR_OK : ERR_INTERNAL);
		break;
	case 10:
		talk_begin(t, 1);
		break;
	case 11:
		if ((byte & 15) == 0)
			talk_hand_back(t, "drain");
		break;
	case 12:
		pass(h, 10);
		if (!ended || !t->media)
			break;
		ended = false;
		talk_resume(t, "refused");
		break;
	default:
		pass(h, (int64_t)(byte & 31) * (byte & 31) * 20);
		break;
	}
}

static void
run(struct talk *t, struct talk_home *h, const uint8_t *data, size_t size)
{
	talk_open(t, h);
	for (size_t i = 0; i < size && i < 400; i++) {
		if (t->fsm.state == TALK_READY)
			talk_begin(t, 1);
		step(t, h, data[i]);
	}
	/* the caller waits; the longest is max_duration, and the last message of a held call */
	for (int i = 0; i < 600 && !ended && !failed; i++)
		pass(h, i < 500 ? 2000 : 20000);
	if (!ended && !failed)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct agentdef *def;
	struct talk_home home = { .ops = &ops };
	struct agent_start start = { .owner = 1 };
	json_t *input = json_pack("{s:s}", "name", size % 3 ? "Ann" : "");

	if (!def) {
		log_set_level(LOG_ERR + 1);
		def = agentdef_parse(definition, sizeof(definition) - 1, "fuzz", NULL);
	}
	now_ms = 1000;
	playing = 0;
	media_says = speech_says = ERR_OK;
	ended = failed = ready = false;
	list_init(&asked);
	list_init(&home.backlog);
	home.loop = loop_create();
	home.events = mailbox_create(8);
	start.def = def;
	start.input_vars = input;
	{
		struct talk *t = talk_create(&start);

		run(t, &home, data, size);
		talk_destroy(t);
	}
	loop_timer_cancel(home.loop, &home.retry);
	mailbox_drain(home.events, 0);
	mailbox_destroy(home.events, NULL);
	loop_destroy(home.loop);
	json_decref(input);
	return 0;
}
