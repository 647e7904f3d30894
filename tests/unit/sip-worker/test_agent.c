/* The agent thread as call control uses it: commands from here, events by mailbox, real voice,
 * a media engine that only takes notes.  Many calls at once, and every way to stop. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/loop.h"
#include "common/mailbox.h"
#include "common/str.h"
#include "sip-worker/agent/agent.h"

#define CALLS_MAX 400

/* --- media: every clip is over at once; played() is sent from the test's thread --- */

struct play {
	struct task task;
	media_id id;
	uint32_t play;
	int ms;
};

static struct mailbox *box; /* of "signalling": this thread */
static struct loop *loop;
static struct agent *agent;
static atomic_int plays, stops, loopbacks;

/* --- calls --- */

struct line {
	agent_id agent;
	bool ready, failed, over, resumed;
	enum outcome_type type;
	char reason[64];
	char task[64];
	int digits; /* to press, one after each prompt */
	int snapshots, events;
};

static struct line lines[CALLS_MAX];

static void
run_played(struct task *t)
{
	struct play *p = container_of(t, struct play, task);
	struct line *l = &lines[p->id - 1];

	agent_played(agent, l->agent, p->play, MEDIA_PLAYED, p->ms);
	if (l->digits > 0) {
		l->digits--;
		agent_digit(agent, l->agent, '1');
	}
	free(p);
}

enum err
media_play(struct media *m, media_id id, struct clip *clip, uint32_t play)
{
	struct play *p = malloc(sizeof(*p));

	(void)m;
	atomic_fetch_add(&plays, 1);
	if (!p)
		return ERR_NOMEM;
	*p = (struct play){ .task.run = run_played, .id = id, .play = play, .ms = clip_ms(clip) };
	if (mailbox_post(box, &p->task) != ERR_OK) {
		free(p);
		return ERR_BUSY;
	}
	return ERR_OK;
}

void
media_stop_playing(struct media *m, media_id id)
{
	(void)m;
	(void)id;
	atomic_fetch_add(&stops, 1);
}

void
media_loopback(struct media *m, media_id id, bool on)
{
	(void)m;
	(void)id;
	atomic_fetch_add(&loopbacks, on ? 1 : -1);
}

static void
on_ready(void *app, uint64_t owner)
{
	(void)app;
	lines[owner].ready = true;
}

static void
on_failed(void *app, uint64_t owner, const char *why)
{
	(void)app;
	(void)why;
	lines[owner].failed = true;
}

static void
on_event(void *app, uint64_t owner, enum call_event type, json_t *info)
{
	(void)app;
	(void)type;
	lines[owner].events++;
	json_decref(info);
}

static void
on_snapshot(void *app, uint64_t owner, json_t *state)
{
	(void)app;
	lines[owner].snapshots++;
	json_decref(state);
}

static void
on_ended(void *app, uint64_t owner, struct outcome *out)
{
	struct line *l = &lines[owner];

	(void)app;
	l->over = true;
	l->type = out->type;
	str_copy(l->reason, sizeof(l->reason), out->reason);
	str_copy(l->task, sizeof(l->task), out->task);
	outcome_finish(out);
}

static const struct agent_ops ops = { .ready = on_ready,
				      .failed = on_failed,
				      .event = on_event,
				      .snapshot = on_snapshot,
				      .ended = on_ended };

/* --- stage --- */

static const char desk[] =
	"name: desk\nbrain: rules\ndefault_task: a\n"
	"tasks:\n"
	"  - name: a\n"
	"    message: \"Hello.\"\n"
	"    functions: [ { name: agent } ]\n"
	"    intents: [ { dtmf: \"1\", call: agent } ]\n"
	"    on_silence: { after: 1s, hangup: true }\n"
	"functions:\n"
	"  - { name: agent, type: agent_transfer, message_before: \"Good bye.\" }\n";
static const char echo[] = "name: echo\nbrain: echo\ndefault_task: t\ntasks: [ { name: t } ]\n";

static struct agentdef *defs[2];
static struct config cfg;
static struct speech *speech;

static int
open_agent(void **state)
{
	struct fault f = { 0 };

	(void)state;
	memset(lines, 0, sizeof(lines));
	atomic_store(&plays, 0);
	defs[0] = agentdef_parse(desk, sizeof(desk) - 1, "desk.yaml", &f);
	defs[1] = agentdef_parse(echo, sizeof(echo) - 1, "echo.yaml", &f);
	assert_non_null(defs[0]);
	assert_non_null(defs[1]);
	cfg = (struct config){ .agents = defs, .agent_count = 2, .worker.max_calls = 300 };
	loop = loop_create();
	box = mailbox_create(256); /* small: the agent has to wait for room */
	assert_int_equal(mailbox_attach(box, loop), ERR_OK);
	speech = speech_create(1);
	agent = agent_create(&cfg, NULL, speech, box, &ops, NULL, &f);
	assert_non_null(agent);
	return 0;
}

static int
close_agent(void **state)
{
	(void)state;
	agent_destroy(agent);
	speech_destroy(speech);
	mailbox_drain(box, 0);
	mailbox_destroy(box, NULL);
	loop_destroy(loop);
	agentdef_destroy(defs[0]);
	agentdef_destroy(defs[1]);
	return 0;
}

static enum err
start(size_t i, const struct agentdef *def)
{
	struct agent_start s = { .def = def, .owner = i };

	return agent_start(agent, &s, &lines[i].agent);
}

static size_t
count(bool (*is)(const struct line *l))
{
	size_t n = 0;

	for (size_t i = 0; i < CALLS_MAX; i++)
		n += is(&lines[i]);
	return n;
}

static bool
is_ready(const struct line *l)
{
	return l->ready;
}

static bool
is_over(const struct line *l)
{
	return l->over;
}

static void
wait_until(bool (*is)(const struct line *l), size_t n)
{
	int64_t deadline = clock_mono_ms() + 20000;

	while (count(is) < n && clock_mono_ms() < deadline)
		loop_step(loop, 50);
	assert_int_equal(count(is), n);
}

/* --- tests --- */

static void
test_one_call(void **state)
{
	int64_t begin;

	(void)state;
	lines[0].digits = 1;
	assert_int_equal(start(0, defs[0]), ERR_OK);
	wait_until(is_ready, 1);
	begin = clock_mono_ms();
	agent_begin(agent, lines[0].agent, 1);
	wait_until(is_over, 1);
	assert_true(clock_mono_ms() - begin >= 200);
	assert_int_equal(lines[0].type, OUTCOME_AGENT);
	assert_string_equal(lines[0].reason, "function");
	assert_string_equal(lines[0].task, "a");
	assert_int_equal(atomic_load(&plays), 2);
	assert_true(lines[0].snapshots > 0);
	agent_resume(agent, lines[0].agent, "no answer");
	lines[0].over = false;
	wait_until(is_over, 1); /* nobody presses a key: silence */
	assert_string_equal(lines[0].reason, "hangup");
	agent_stop(agent, lines[0].agent);
}

static void
test_many_calls(void **state)
{
	size_t n = 0;
	enum err e = ERR_OK;

	(void)state;
	while (n < CALLS_MAX && (e = start(n, defs[n % 4 == 3])) == ERR_OK) {
		lines[n].digits = 1;
		n++;
	}
	assert_int_equal(e, ERR_BUSY); /* max_calls and a quarter of it */
	assert_in_range(n, 300, CALLS_MAX - 1);
	wait_until(is_ready, n);
	for (size_t i = 0; i < n; i++)
		agent_begin(agent, lines[i].agent, i + 1);
	for (size_t i = 3; i < n; i += 4)
		agent_hand_back(agent, lines[i].agent, "drain");
	wait_until(is_over, n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(lines[i].type, OUTCOME_AGENT);
		assert_string_equal(lines[i].reason, i % 4 == 3 ? "drain" : "function");
		agent_stop(agent, lines[i].agent);
	}
	/* places are free again, and ids new */
	for (int i = 0; i < 2000 && e == ERR_BUSY; i++) {
		e = start(n, defs[1]);
		loop_step(loop, 10);
	}
	assert_int_equal(e, ERR_OK);
	assert_true(lines[n].agent > lines[n - 1].agent);
}

static void
test_gone_and_unknown(void **state)
{
	(void)state;
	assert_int_equal(start(0, defs[0]), ERR_OK);
	agent_stop(agent, lines[0].agent);
	agent_begin(agent, lines[0].agent, 1);
	agent_digit(agent, lines[0].agent, '1');
	agent_played(agent, lines[0].agent, 1, MEDIA_PLAYED, 1);
	agent_hold(agent, 12345, true);
	agent_hand_back(agent, 0, "drain");
	agent_resume(agent, 99, "x");
	agent_stop(agent, lines[0].agent);
	assert_int_equal(start(1, defs[0]), ERR_OK);
	while (!lines[1].ready)
		loop_step(loop, 50);
	assert_int_equal(atomic_load(&plays), 0);
}

/* More commands than the mailbox holds: none that stops a call is lost. */
static void
test_overload(void **state)
{
	size_t n = 0;

	(void)state;
	while (n < CALLS_MAX && start(n, defs[0]) == ERR_OK)
		n++;
	for (int round = 0; round < 200; round++) {
		for (size_t i = 0; i < n; i++)
			agent_digit(agent, lines[i].agent, '9');
	}
	for (size_t i = 0; i < n; i++)
		agent_stop(agent, lines[i].agent);
	for (size_t i = 0; i < n; i++) { /* as many fit again */
		int64_t deadline = clock_mono_ms() + 20000;
		enum err e;

		while ((e = start(i, defs[1])) == ERR_BUSY && clock_mono_ms() < deadline)
			loop_step(loop, 10);
		assert_int_equal(e, ERR_OK);
	}
}

/* Destroyed in the middle of everything. */
static void
test_destroy_while_busy(void **state)
{
	(void)state;
	for (size_t i = 0; i < 100; i++) {
		assert_int_equal(start(i, defs[i % 2]), ERR_OK);
		agent_begin(agent, lines[i].agent, i + 1);
	}
	loop_step(loop, 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_call, open_agent, close_agent),
		cmocka_unit_test_setup_teardown(test_many_calls, open_agent, close_agent),
		cmocka_unit_test_setup_teardown(test_gone_and_unknown, open_agent, close_agent),
		cmocka_unit_test_setup_teardown(test_overload, open_agent, close_agent),
		cmocka_unit_test_setup_teardown(test_destroy_while_busy, open_agent, close_agent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
