/* Everything a conversation depends on fails or is late, and the call still goes on or back. */
#include "tests/unit/sip-worker/talk_kit.h"

#include "common/log.h"
#include "tests/fakes/oom.h"

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

/* Definitions that only fail when they run: notes say so, the call goes on. */
#define BAD                                                                                        \
	"name: bad\nbrain: rules\ndefault_task: a\n"                                               \
	"tasks:\n"                                                                                 \
	"  - name: a\n"                                                                            \
	"    message: \"{{ 1 - 'x' }}\"\n"                                                         \
	"    functions: [ { name: set }, { name: look } ]\n"                                       \
	"    on_entry: [ set, look ]\n"                                                            \
	"functions:\n"                                                                             \
	"  - { name: set, type: set_variable, variables: [ { name: x, value: \"1 - 'x'\" } ] }\n"  \
	"  - name: look\n"                                                                         \
	"    type: mock\n"                                                                         \
	"    response: { a: 1 }\n"                                                                 \
	"    reference_vars: [ { name: y, response_keypath: response.a, transform: \"val - 'x'\" " \
	"} "                                                                                       \
	"]\n"

static void
test_bad_expressions(void **state)
{
	const char *at;
	int notes = 0;

	(void)state;
	reset();
	{
		struct stage st;

		stage_open(&st, BAD, NULL, NULL);
		run_steps(&st, "begin");
		for (at = out.data; (at = strstr(at, "note {")); at++)
			notes++;
		assert_int_equal(notes, 3);
		assert_non_null(
			strstr(out.data, "\"name\":\"set\",\"arguments\":{},\"result\":{}}"));
		assert_non_null(strstr(out.data, "\"name\":\"look\""));
		assert_int_equal(json_object_size(st.talk->vars), 0);
		assert_true(talk_is_live(st.talk));
		stage_close(&st);
	}
}

/* A brain that calls without end in one turn is stopped. */
static void
test_too_many_calls(void **state)
{
	struct stage st;

	(void)state;
	reset();
	quiet_events = true;
	stage_open(&st, DESK, NULL, NULL);
	run_steps(&st, "10 begin played");
	for (int i = 0; i < 100; i++)
		talk_call(st.talk, agentdef_function(st.def, "note_done"), NULL);
	talk_settle(st.talk);
	run_steps(&st, "10 played 200");
	assert_string_equal(out.data,
			    "ready; play \"Hello Ann.\"; "
			    "play \"I am sorry, something went wrong. Please hold the line.\"; "
			    "ended AGENT routing agent_failed {\"done\":\"true\"} {}; ");
	stage_close(&st);
	reset();
	quiet_events = true;
	stage_open(&st, DESK, NULL, NULL);
	run_steps(&st, "10 begin played");
	for (int i = 0; i < 100; i++)
		talk_say(st.talk, "Again.", 0);
	talk_settle(st.talk);
	run_steps(&st, "10 played 200");
	assert_non_null(strstr(out.data, "ended AGENT routing agent_failed"));
	stage_close(&st);
}

/* Variables are bounded in size and number; what does not fit is noted. */
static void
test_variables_are_bounded(void **state)
{
	struct stage st;
	char name[32], *big = malloc(100000);

	(void)state;
	memset(big, 'x', 99999);
	big[99999] = 0;
	reset();
	stage_open(&st, DESK, NULL, NULL);
	run_steps(&st, "begin played");
	vars_set(st.talk, st.talk->vars, "big", json_string(big));
	assert_null(json_object_get(st.talk->vars, "big"));
	big[60000] = 0;
	for (int i = 0; i < 400; i++) {
		str_print(name, sizeof(name), "v%d", i);
		vars_set(st.talk, st.talk->vars, name, json_string(i < 10 ? big : "x"));
	}
	assert_true(json_object_size(st.talk->vars) <= 256);
	assert_true(json_dumpb(st.talk->vars, NULL, 0, 0) < 300000);
	for (int i = 0; i < 1000; i++)
		transcript_add(st.talk, "agent", big, false);
	assert_true(json_dumpb(talk_transcript(st.talk), NULL, 0, 0) < 64 * 1024);
	talk_note(st.talk, "%.*s\xc3\xa9 and more", 510, big); /* cut within a character */
	mailbox_drain(st.home.events, 0);
	assert_non_null(strstr(out.data, "Variable big was dropped"));
	assert_non_null(strstr(out.data, "note {\"text\":\"xxxx"));
	stage_close(&st);
	free(big);
	check(DESK, "1", "ready; ");
}

static void
test_never_begun(void **state)
{
	(void)state;
	check_quiet(DESK, "60000", "ready; ended AGENT routing agent_failed {} {}; ");
}

static void
test_snapshot_garbage(void **state)
{
	static const char *const texts[] = {
		"{}",
		"[]",
		"{\"task\":7,\"vars\":[],\"transcript\":{}}",
		"{\"task\":\"gone\",\"vars\":\"x\",\"input_vars\":null,\"transcript\":[1,{}]}",
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
		cmocka_unit_test(test_media_never_reports),
		cmocka_unit_test(test_broken_speech),
		cmocka_unit_test(test_slow_and_full),
		cmocka_unit_test(test_never_begun),
		cmocka_unit_test(test_bad_expressions),
		cmocka_unit_test(test_too_many_calls),
		cmocka_unit_test(test_variables_are_bounded),
		cmocka_unit_test(test_snapshot_garbage),
		cmocka_unit_test(test_backlog),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, finish_all);
}
