/* Agent files: what is read, and every mistake with its line. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "common/agentdef/agentdef.h"
#include "common/embed.h"
#include "common/str.h"
#include "tests/fakes/oom.h"

EMBED(frontdesk, "examples/agents/frontdesk.yaml")

/* Every key there is. */
static const char full[] =
	"name: full\n"
	"brain: rules\n"
	"speech: { tts: flite, voice: kal, stt: pocketsphinx, language: en-GB }\n"
	"default_task: second\n"
	"limits: { max_duration: 90s }\n"
	"tasks:\n"
	"  - name: first task\n"
	"    selector_description: First.\n"
	"    instructions: |\n"
	"      Do it.\n"
	"    message: \"Hello {{ vars.get('n') or 'there' }}.\"\n"
	"    resume_message: Back.\n"
	"    functions:\n"
	"      - { name: give, conditions: \"not vars.get('done')\" }\n"
	"      - { name: agent }\n"
	"      - { name: look }\n"
	"    on_entry: [ look, give ]\n"
	"    intents:\n"
	"      - { phrases: [ a b, c ], dtmf: \"1*#\", call: give, with: { p: high, n: \"{{ vars.n "
	"}}\" } }\n"
	"      - { dtmf: \"2\", task: second }\n"
	"      - { phrases: [ bye ], hangup: true }\n"
	"    on_silence: { after: 1500ms, say: \"There?\", times: 3, call: give, with: { p: low, "
	"n: 1 } }\n"
	"    on_no_match: { say: Sorry., task: second }\n"
	"  - name: second\n"
	"    on_silence: { hangup: true }\n"
	"functions:\n"
	"  - name: give\n"
	"    type: system_transfer\n"
	"    description: Gives back.\n"
	"    message_before: Bye.\n"
	"    parameters: { type: object, required: [ p ], properties: { p: { type: string, enum: [ "
	"high, low ] }, n: { type: integer } } }\n"
	"    transfer_variables: [ { name: next action, value: \"'x' ~ params.p\" } ]\n"
	"  - { name: agent, type: agent_transfer }\n"
	"  - name: look\n"
	"    type: mock\n"
	"    response: { a: [ 1, 2.5, true, null, \"7\" ] }\n"
	"    delay: 2s\n"
	"    reference_vars:\n"
	"      - { name: all, response_keypath: response }\n"
	"      - { name: one, response_keypath: response.a.0, transform: \"val + 1\" }\n"
	"  - { name: set, type: set_variable, variables: [ { name: done, value: true } ] }\n"
	"  - { name: say, type: recite, text: \"It is {{ vars.n }}.\" }\n";

static struct agentdef *
parse(const char *text, struct fault *f)
{
	return agentdef_parse(text, strlen(text), "a.yaml", f);
}

static void
check_functions(const struct agentdef *a)
{
	const struct agent_function *give = agentdef_function(a, "give");
	const struct agent_function *look = agentdef_function(a, "look");

	assert_int_equal(a->function_count, 5);
	assert_int_equal(give->type, FN_SYSTEM_TRANSFER);
	assert_int_equal(give->line, 27);
	assert_string_equal(give->description, "Gives back.");
	assert_non_null(give->message_before);
	assert_int_equal(give->transfer_variable_count, 1);
	assert_string_equal(give->transfer_variables[0].name, "next action");
	assert_int_equal(look->type, FN_MOCK);
	assert_int_equal(look->delay_ms, 2000);
	assert_int_equal(look->reference_var_count, 2);
	assert_string_equal(look->reference_vars[0].keypath, "");
	assert_null(look->reference_vars[0].transform);
	assert_string_equal(look->reference_vars[1].keypath, "a.0");
	assert_non_null(look->reference_vars[1].transform);
	assert_true(json_is_integer(json_array_get(json_object_get(look->response, "a"), 0)));
	assert_true(json_is_string(json_array_get(json_object_get(look->response, "a"), 4)));
	assert_int_equal(agentdef_function(a, "set")->variable_count, 1);
	assert_non_null(agentdef_function(a, "say")->text);
	assert_null(agentdef_function(a, "nothing"));
	assert_null(agentdef_function(a, NULL));
}

static void
check_task(const struct agentdef *a, const struct agent_task *t)
{
	const struct agent_function *give = agentdef_function(a, "give");

	assert_int_equal(t->line, 7);
	assert_string_equal(t->selector_description, "First.");
	assert_string_equal(t->instructions, "Do it.\n");
	assert_non_null(t->message);
	assert_non_null(t->resume_message);
	assert_int_equal(t->function_count, 3);
	assert_ptr_equal(t->functions[0].function, give);
	assert_non_null(t->functions[0].conditions);
	assert_null(t->functions[1].conditions);
	assert_int_equal(t->on_entry_count, 2);
	assert_ptr_equal(t->on_entry[1], give);
	assert_int_equal(t->intent_count, 3);
	assert_int_equal(t->intents[0].phrase_count, 2);
	assert_string_equal(t->intents[0].phrases[0], "a b");
	assert_string_equal(t->intents[0].dtmf, "1*#");
	assert_ptr_equal(t->intents[0].action.call, give);
	assert_non_null(t->intents[0].action.with_tmpl);
	assert_ptr_equal(t->intents[1].action.task, agentdef_task(a, "second"));
	assert_null(t->intents[1].action.with);
	assert_null(t->intents[2].dtmf);
	assert_true(t->intents[2].action.hangup);
	assert_true(t->on_silence.present);
	assert_int_equal(t->on_silence.after_ms, 1500);
	assert_int_equal(t->on_silence.times, 3);
	assert_ptr_equal(t->on_silence.action.call, give);
	assert_int_equal(t->on_no_match.times, 2);
	assert_non_null(t->on_no_match.say);
}

static void
test_every_key(void **state)
{
	struct fault f = { 0 };
	struct agentdef *a = parse(full, &f);
	const struct agent_task *second;

	(void)state;
	if (!a)
		fail_msg("%s: %s", f.where, f.what);
	assert_string_equal(a->name, "full");
	assert_string_equal(a->file, "a.yaml");
	assert_string_equal(a->voice, "kal");
	assert_string_equal(a->language, "en-GB");
	assert_int_equal(a->max_duration_ms, 90000);
	assert_int_equal(a->task_count, 2);
	second = agentdef_task(a, "second");
	assert_ptr_equal(a->default_task, second);
	assert_int_equal(second->on_silence.after_ms, 8000);
	assert_int_equal(second->on_silence.times, 0);
	assert_false(second->on_no_match.present);
	check_functions(a);
	check_task(a, agentdef_task(a, "first task"));
	assert_null(agentdef_task(a, "third"));
	agentdef_destroy(a);
	agentdef_destroy(NULL);
}

static void
test_least(void **state)
{
	struct fault f = { 0 };
	struct agentdef *a = parse(
		"name: e\nbrain: echo\ndefault_task: t\ntasks: [ { name: t } ]\n", &f);

	(void)state;
	assert_non_null(a);
	assert_int_equal(a->brain, BRAIN_ECHO);
	assert_string_equal(a->tts, "flite");
	assert_string_equal(a->voice, "slt");
	assert_string_equal(a->stt, "pocketsphinx");
	assert_string_equal(a->language, "en-US");
	assert_int_equal(a->max_duration_ms, 30 * 60 * 1000);
	assert_false(a->tasks[0].on_silence.present);
	agentdef_destroy(a);
}

/* What the quickstart presses. */
static void
test_frontdesk(void **state)
{
	struct fault f = { 0 };
	struct agentdef *a = agentdef_parse(frontdesk, (size_t)(frontdesk_end - frontdesk), "f",
					    &f);
	const struct agent_intent *in;
	json_t *context, *value = NULL, *args = NULL;
	char *text;

	(void)state;
	if (!a)
		fail_msg("%s: %s", f.where, f.what);
	assert_string_equal(a->default_task->name, "call_routing");
	in = &a->default_task->intents[0];
	assert_string_equal(in->dtmf, "1");
	assert_int_equal(in->action.call->type, FN_SYSTEM_TRANSFER);
	context = json_pack("{s:{s:s},s:{}}", "input_vars", "name", "Ada", "vars");
	text = tmpl_render(a->default_task->message, context, &f);
	assert_string_equal(text, "Hello Ada. Press 1 to be called back, 2 for your balance, or 0 "
				  "to speak to a person.");
	free(text);
	assert_int_equal(
		expr_eval(in->action.call->transfer_variables[0].value, context, &value, &f),
		ERR_OK);
	assert_string_equal(json_string_value(value), "schedule_callback");
	assert_int_equal(tmpl_json_render(in->action.with_tmpl, context, &args, &f), ERR_OK);
	assert_string_equal(json_string_value(json_object_get(args, "priority")), "high");
	assert_int_equal(agentdef_check_args(in->action.call, args, &f), ERR_OK);
	assert_true(agentdef_allows(a->default_task, in->action.call, context));
	json_decref(value);
	json_decref(args);
	json_decref(context);
	agentdef_destroy(a);
}

/* --- mistakes --- */

#define HEAD "name: n\ndefault_task: t\n" /* 2 lines */
#define TASK HEAD "tasks: [ { name: t } ]\n"
#define FN   TASK "functions:\n" /* the next line is the 5th */
/* A task with the functions f (system_transfer with a parameter), a (agent_transfer); the next
 * line, within the task, is the 10th. */
#define FUNCTIONS                                                                               \
	"functions:\n"                                                                          \
	"  - { name: f, type: system_transfer, parameters: { type: object, required: [ p ],"    \
	" properties: { p: { type: string, enum: [ x, y ] }, n: { type: integer }, l: { type: " \
	"array, items: { type: boolean } } } } }\n"                                             \
	"  - { name: a, type: agent_transfer }\n"                                               \
	"  - { name: b, type: agent_transfer }\n"
#define IN           HEAD FUNCTIONS "tasks:\n  - name: t\n    functions: [ { name: f }, { name: a } ]\n"
#define INTENT(text) IN "    intents:\n      - " text "\n" /* line 11 */

struct mistake {
	const char *text, *where, *what;
};

/* clang-format off */
static const struct mistake mistakes[] = {
	{ "[]", "a.yaml:1", "expected an agent: a map with keys" },
	{ "name: [", "a.yaml:2", NULL },
	{ "", "a.yaml:1", "name: missing; an agent must have it" },
	{ "tasks: []\n", "a.yaml:1", "tasks: expected a list of 1 to 1000 tasks" },
	{ "name: n\n", "a.yaml:1", "tasks: missing; an agent must have it" },
	{ "name: n\ntasks: [ { name: t } ]", "a.yaml:1", "default_task: missing; an agent must have it" },
	{ HEAD "tasks: [ { name: u } ]", "a.yaml:2", "default_task: there is no task \"t\"" },
	{ TASK "voice: slt\n", "a.yaml:4", "unknown key \"voice\" of an agent; expected name, brain, speech, limits, functions, tasks, default_task" },
	{ TASK "name: m\n", "a.yaml:4", NULL },
	{ "name: a b\n", "a.yaml:1", "name: expected 1 to 63 letters, digits, '_', '-' or '.', not \"a b\"" },
	{ "name: [ a ]\n", "a.yaml:1", "name: expected a name, not a list" },
	{ TASK "brain: llm\n", "a.yaml:4", "brain: expected one of: rules, echo, chat, realtime, media_stream; not \"llm\"" },
	{ TASK "brain: chat\nchat: { url: x }\n", "a.yaml:4", "brain: chat is not available in this version; expected rules or echo" },
	{ TASK "brain: realtime\n", "a.yaml:4", "brain: realtime is not available in this version; expected rules or echo" },
	{ TASK "brain: media_stream\n", "a.yaml:4", "brain: media_stream is not available in this version; expected rules or echo" },
	{ TASK "speech: { tts: espeak }\n", "a.yaml:4", "tts: expected one of: flite; not \"espeak\"" },
	{ TASK "speech: { voice: bob }\n", "a.yaml:4", "voice: expected one of: slt, rms, awb, kal; not \"bob\"" },
	{ TASK "speech: { speed: 2 }\n", "a.yaml:4", "unknown key \"speed\" of speech; expected tts, voice, stt, language" },
	{ TASK "limits: { max_duration: 30 }\n", "a.yaml:4", "max_duration: expected a duration up to 24h, such as 500ms, 8s or 30m; not \"30\"" },
	{ TASK "limits: { max_duration: 25h }\n", "a.yaml:4", "max_duration: expected a duration up to 24h, such as 500ms, 8s or 30m; not \"25h\"" },
	{ TASK "limits: { max_duration: 0s }\n", "a.yaml:4", "max_duration: expected at least 1s" },
	{ HEAD "tasks: [ { name: t }, { name: t } ]", "a.yaml:3", "name: another task is called \"t\" too" },
	{ HEAD "tasks: [ t ]", "a.yaml:3", "expected a task: a map with keys" },
	{ HEAD "tasks: [ { message: x } ]", "a.yaml:3", "name: missing; a task must have it" },
	{ HEAD "tasks: [ { name: t, mesage: x } ]", "a.yaml:3", "unknown key \"mesage\" of a task; expected name, selector_description, instructions, message, resume_message, functions, on_entry, intents, on_silence, on_no_match" },
	{ HEAD "tasks: [ { name: t, message: \"{{ x|nope }}\" } ]", "a.yaml:3", "message: column 6: there is no filter 'nope'" },
	{ HEAD "tasks:\n  - name: t\n    message: |\n      a\n      {% for x in y %}\n", "a.yaml:5", "message: line 2, column 4: 'for' is not known here: if, elif, else and endif are" },
	{ HEAD "tasks: [ { name: t, functions: [ { name: f } ] } ]", "a.yaml:3", "name: there is no function \"f\"" },
	/* functions */
	{ FN "  - { type: mock }\n", "a.yaml:5", "name: missing; a function must have it" },
	{ FN "  - { name: f }\n", "a.yaml:5", "type: missing; a function must have it" },
	{ FN "  - { name: f, type: call_transfer }\n", "a.yaml:5", "type: expected one of: system_transfer, agent_transfer, http, mock, set_variable, recite; not \"call_transfer\"" },
	{ FN "  - { name: f, type: http, request: { url: x } }\n", "a.yaml:5", "type: http is not available in this version; a mock can stand in" },
	{ FN "  - { name: f, type: mock }\n  - { name: f, type: mock }\n", "a.yaml:6", "functions: \"f\" stands here twice" },
	{ FN "  - { name: f, type: mock, text: x }\n", "a.yaml:5", "text: a function of type mock has no such key; recite has" },
	{ FN "  - { name: f, type: recite, delay: 1s, text: x }\n", "a.yaml:5", "delay: a function of type recite has no such key; mock has" },
	{ FN "  - { name: f, type: recite }\n", "a.yaml:5", "text: missing; a recite function must have it" },
	{ FN "  - { name: f, type: set_variable }\n", "a.yaml:5", "variables: missing; a set_variable function must have it" },
	{ FN "  - { name: f, type: set_variable, variables: [ { name: v } ] }\n", "a.yaml:5", "value: missing; a variable must have it" },
	{ FN "  - { name: f, type: set_variable, variables: [ { name: v, value: \"1 +\" } ] }\n", "a.yaml:5", "value: column 4: expected a value, but the text ends" },
	{ FN "  - { name: f, type: set_variable, variables: [ { name: v, value: [ 1 ] } ] }\n", "a.yaml:5", "value: expected an expression, not a list" },
	{ FN "  - name: f\n    type: system_transfer\n    transfer_variables:\n      - { name: v, value: 1 }\n      - { name: v, value: 2 }\n", "a.yaml:9", "transfer_variables: \"v\" stands here twice" },
	{ FN "  - { name: f, type: agent_transfer, transfer_variables: [] }\n", "a.yaml:5", "transfer_variables: a function of type agent_transfer has no such key; system_transfer has" },
	{ FN "  - { name: f, type: agent_transfer, reference_vars: [] }\n", "a.yaml:5", "reference_vars: a function that ends the call has no response to keep" },
	{ FN "  - { name: f, type: mock, reference_vars: [ { name: v, response_keypath: balance } ] }\n", "a.yaml:5", "response_keypath: expected \"response\" or \"response.NAME…\", not \"balance\"" },
	{ FN "  - { name: f, type: mock, reference_vars: [ { name: v, response_keypath: response.a, transform: \"val ==\" } ] }\n", "a.yaml:5", "transform: column 7: expected a value, but the text ends" },
	{ FN "  - { name: f, type: mock, parameters: [] }\n", "a.yaml:5", "parameters: expected a schema: an object with type, properties, …" },
	{ FN "  - { name: f, type: mock, parameters: { properties: {} } }\n", "a.yaml:5", "parameters: type: expected object" },
	{ FN "  - { name: f, type: mock, parameters: { type: object, properties: { a: { type: text } } } }\n", "a.yaml:5", "parameters: type: expected string, number, integer, boolean, object, array or null" },
	{ FN "  - { name: f, type: mock, parameters: { type: object, required: [ a ] } }\n", "a.yaml:5", "parameters: required: \"a\" is not among the properties" },
	{ FN "  - { name: f, type: mock, parameters: { type: object, properties: { a: { enum: [] } } } }\n", "a.yaml:5", "parameters: enum: expected a list of values" },
	/* tasks' functions */
	{ IN "    on_entry: [ b ]\n", "a.yaml:10", "on_entry: \"b\" is not under the functions of the task \"t\"" },
	{ IN "    on_entry: [ x ]\n", "a.yaml:10", "on_entry: there is no function \"x\"" },
	{ IN "    on_entry: x\n", "a.yaml:10", "on_entry: expected a list" },
	{ HEAD FUNCTIONS "tasks:\n  - name: t\n    functions: [ { name: a }, { name: a } ]\n", "a.yaml:9", "functions: \"a\" stands here twice" },
	{ HEAD FUNCTIONS "tasks:\n  - name: t\n    functions: [ { name: a, conditions: \"not\" } ]\n", "a.yaml:9", "conditions: column 4: expected a value, but the text ends" },
	{ HEAD FUNCTIONS "tasks:\n  - name: t\n    functions: [ a ]\n", "a.yaml:9", "expected a task's function: a map with keys" },
	/* intents */
	{ INTENT("{ dtmf: \"1\" }"), "a.yaml:11", "expected call, task or hangup: true" },
	{ INTENT("{ call: a }"), "a.yaml:11", "expected phrases or dtmf: nothing leads to this intent" },
	{ INTENT("{ dtmf: \"1\", call: a, task: t }"), "a.yaml:11", "expected one of call, task and hangup, not several" },
	{ INTENT("{ dtmf: \"1\", hangup: false }"), "a.yaml:11", "expected call, task or hangup: true" },
	{ INTENT("{ dtmf: \"1\", hangup: yes }"), "a.yaml:11", "hangup: expected true or false" },
	{ INTENT("{ dtmf: \"1\", call: b }"), "a.yaml:11", "call: \"b\" is not under the functions of the task \"t\"" },
	{ INTENT("{ dtmf: \"1\", call: x }"), "a.yaml:11", "call: there is no function \"x\"" },
	{ INTENT("{ dtmf: \"1\", task: x }"), "a.yaml:11", "task: there is no task \"x\"" },
	{ INTENT("{ dtmf: one, call: a }"), "a.yaml:11", "dtmf: expected 1 to 32 keys of 0-9, *, # and A-D, not \"one\"" },
	{ INTENT("{ dtmf: \"\", call: a }"), "a.yaml:11", "dtmf: expected 1 to 32 keys of 0-9, *, # and A-D, not \"\"" },
	{ INTENT("{ dtmf: \"1\", call: a }\n      - { dtmf: \"1\", task: t }"), "a.yaml:12", "dtmf: \"1\" is taken by the intent in line 11" },
	{ INTENT("{ phrases: [], call: a }"), "a.yaml:11", "expected phrases or dtmf: nothing leads to this intent" },
	{ INTENT("{ phrases: agent, call: a }"), "a.yaml:11", "phrases: expected a list" },
	{ INTENT("{ dtmf: \"1\", task: t, with: { p: x } }"), "a.yaml:11", "with: expected only beside call" },
	{ INTENT("{ dtmf: \"1\", call: f, with: x }"), "a.yaml:11", "with: expected a map of arguments" },
	{ INTENT("{ dtmf: \"1\", call: f, with: {} }"), "a.yaml:11", "with: missing: p" },
	{ INTENT("{ dtmf: \"1\", call: f, with: { p: z } }"), "a.yaml:11", "with: /p: expected one of: x, y" },
	{ INTENT("{ dtmf: \"1\", call: f, with: { p: x, n: \"1\" } }"), "a.yaml:11", "with: /n: expected a whole number" },
	{ INTENT("{ dtmf: \"1\", call: f, with: { p: x, l: [ true, 1 ] } }"), "a.yaml:11", "with: /l/1: expected true or false" },
	{ INTENT("{ dtmf: \"1\", call: f, with: { p: \"{{ x\" } }"), "a.yaml:11", "with: column 5: expected }}" },
	/* on_silence, on_no_match */
	{ IN "    on_silence: { after: 1ms }\n", "a.yaml:10", "after: expected at least 100ms" },
	{ IN "    on_silence: { times: 2, call: a }\n", "a.yaml:10", "times: expected only beside say" },
	{ IN "    on_silence: { say: x, times: 101 }\n", "a.yaml:10", "times: expected a number from 0 to 100" },
	{ IN "    on_silence: { say: x, call: a, hangup: true }\n", "a.yaml:10", "expected one of call, task and hangup, not several" },
	{ IN "    on_no_match: { after: 1s }\n", "a.yaml:10", "unknown key \"after\" of on_no_match; expected say, times, call, with, task, hangup" },
	{ IN "    on_no_match: { call: f, with: { p: q } }\n", "a.yaml:10", "with: /p: expected one of: x, y" },
};
/* clang-format on */

static void
test_mistakes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(mistakes); i++) {
		const struct mistake *m = &mistakes[i];
		struct fault f = { 0 };
		struct agentdef *a = parse(m->text, &f);

		if (a)
			fail_msg("accepted:\n%s", m->text);
		if (strcmp(f.where, m->where) != 0 || (m->what && strcmp(f.what, m->what) != 0))
			fail_msg("%s\n  gives    %s: %s\n  expected %s: %s", m->text, f.where,
				 f.what, m->where, m->what);
		assert_null(parse(m->text, NULL));
	}
}

/* A file cut anywhere is refused or read, and leaves nothing behind (the sanitizers look). */
static void
test_cut_files(void **state)
{
	(void)state;
	for (size_t len = 0; len < sizeof(full); len++) {
		struct fault f = { 0 };
		struct agentdef *a = agentdef_parse(full, len, "cut.yaml", &f);

		assert_true(a || f.what[0]);
		agentdef_destroy(a);
	}
}

/* --- in use --- */

static void
test_allows(void **state)
{
	struct agentdef *a = parse(full, NULL);
	const struct agent_task *t = agentdef_task(a, "first task");
	const struct agent_function *give = agentdef_function(a, "give");
	json_t *fresh = json_pack("{s:{}}", "vars"),
	       *done = json_pack("{s:{s:b}}", "vars", "done", 1);
	json_t *broken = json_pack("{s:s}", "vars", "text");

	(void)state;
	assert_true(agentdef_allows(t, give, fresh));
	assert_false(agentdef_allows(t, give, done));
	assert_false(agentdef_allows(t, give, broken));
	assert_true(agentdef_allows(t, agentdef_function(a, "agent"), broken));
	assert_false(agentdef_allows(t, agentdef_function(a, "set"), fresh));
	json_decref(fresh);
	json_decref(done);
	json_decref(broken);
	agentdef_destroy(a);
}

static const char schema_text[] =
	"{\"type\":\"object\",\"required\":[\"s\"],\"additionalProperties\":false,\"properties\":{"
	"\"s\":{\"type\":\"string\"},\"n\":{\"type\":\"number\"},\"i\":{\"type\":\"integer\"},"
	"\"b\":"
	"{\"type\":\"boolean\"},\"any\":{},\"two\":{\"type\":[\"string\",\"null\"]},\"e\":{"
	"\"enum\":[1,"
	"\"a\",null]},\"o\":{\"type\":\"object\",\"required\":[\"k\"],\"properties\":{\"k\":{"
	"\"type\":"
	"\"array\",\"items\":{\"type\":\"integer\"}}}}}}";

static void
test_arguments(void **state)
{
	static const struct {
		const char *args, *where, *what; /* where NULL: fine */
	} rows[] = {
		{ "{\"s\":\"x\"}", NULL, NULL },
		{ "{\"s\":\"x\",\"n\":1,\"i\":2,\"b\":true,\"any\":[],\"two\":null,\"e\":null}",
		  NULL, NULL },
		{ "{\"s\":\"x\",\"n\":1.5,\"e\":1,\"o\":{\"k\":[1,2],\"more\":1}}", NULL, NULL },
		{ "{}", "", "missing: s" },
		{ "[]", "", "expected an object of arguments" },
		{ "{\"s\":1}", "/s", "expected a string" },
		{ "{\"s\":null}", "/s", "expected a string" },
		{ "{\"s\":\"x\",\"n\":\"1\"}", "/n", "expected a number" },
		{ "{\"s\":\"x\",\"i\":1.5}", "/i", "expected a whole number" },
		{ "{\"s\":\"x\",\"b\":\"true\"}", "/b", "expected true or false" },
		{ "{\"s\":\"x\",\"two\":1}", "/two", "expected string, null" },
		{ "{\"s\":\"x\",\"e\":2}", "/e", "expected one of: 1, a, null" },
		{ "{\"s\":\"x\",\"o\":{}}", "/o", "missing: k" },
		{ "{\"s\":\"x\",\"o\":{\"k\":{}}}", "/o/k", "expected a list" },
		{ "{\"s\":\"x\",\"o\":{\"k\":[1,\"2\"]}}", "/o/k/1", "expected a whole number" },
		{ "{\"s\":\"x\",\"other\":1}", "", "not a parameter: other" },
	};
	struct agent_function fn = { .parameters = json_loads(schema_text, 0, NULL) };
	const struct agent_function none = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_t *args = json_loads(rows[i].args, 0, NULL);
		struct fault f = { 0 };
		enum err e = agentdef_check_args(&fn, args, &f);

		assert_int_equal(e, rows[i].where ? ERR_INVALID : ERR_OK);
		if (rows[i].where) {
			assert_string_equal(f.where, rows[i].where);
			assert_string_equal(f.what, rows[i].what);
		}
		json_decref(args);
	}
	assert_int_equal(agentdef_check_args(&fn, NULL, NULL), ERR_INVALID);
	assert_int_equal(agentdef_check_args(&none, NULL, NULL), ERR_OK);
	json_decref(fn.parameters);
}

static bool
load(void *arg)
{
	struct agentdef *a = parse(arg, NULL);

	agentdef_destroy(a);
	return a;
}

static void
test_no_memory(void **state)
{
	char *text = strdup(full);

	(void)state;
	assert_true(oom_run(load, text) > 200);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_key), cmocka_unit_test(test_least),
		cmocka_unit_test(test_frontdesk), cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_cut_files), cmocka_unit_test(test_allows),
		cmocka_unit_test(test_arguments), cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
