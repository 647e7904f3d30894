/* What the rules brain does with a call (DESIGN.md 7). */
#include "tests/unit/sip-worker/talk_kit.h"

#include <stdio.h>

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

/* Every state and every event: a changed rule shows as a line in the golden file. */
static void
test_machine(void **state)
{
	const char *name = "tests/unit/golden/talk_fsm.txt";
	bool write = getenv("GOLDEN_WRITE") != NULL;
	FILE *f = fopen(name, write ? "we" : "re");
	char golden[8192] = { 0 };
	struct buf now;

	(void)state;
	assert_non_null(f); /* run from the top of the tree */
	buf_init(&now, sizeof(golden));
	fsm_print(&talk_fsm, &now);
	if (write) {
		fputs(now.data, f);
	} else {
		assert_true(fread(golden, 1, sizeof(golden) - 1, f) > 0);
		assert_string_equal(now.data, golden);
	}
	fclose(f);
	buf_finish(&now);
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
		cmocka_unit_test(test_max_duration),
		cmocka_unit_test(test_hand_back),
		cmocka_unit_test(test_ready_waits_for_first_message),
		cmocka_unit_test(test_resume_after_failed_return),
		cmocka_unit_test(test_reconnection),
		cmocka_unit_test(test_mock_delay),
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_odd_endings),
		cmocka_unit_test(test_machine),
	};

	return cmocka_run_group_tests(tests, NULL, finish_all);
}
