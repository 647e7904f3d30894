#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fsm.h"
#include "common/str.h"

/* A call in small: what was done is told as text. */
enum { NEW, TALKING, ENDING, ENDED, STATE_COUNT };
enum { DIAL, ANSWERED, HANGUP, LOST, CLOCK, EVENT_COUNT };

struct owner {
	struct fsm fsm;
	char story[256];
	bool feed_inside;
};

static void
tell(struct owner *o, const char *what)
{
	size_t len = strlen(o->story);

	assert_true(str_print(o->story + len, sizeof(o->story) - len, "%s; ", what));
}

static void
act_dial(void *owner, const void *arg)
{
	tell(owner, arg ? arg : "dial");
}

static void
act_answered(void *owner, const void *arg)
{
	struct owner *o = owner;

	(void)arg;
	tell(o, "post");
	/* Both wait until this action has returned, and keep their order. */
	fsm_post(&o->fsm, CLOCK, NULL);
	fsm_post(&o->fsm, HANGUP, NULL);
	tell(o, "posted");
}

static void
act_clock(void *owner, const void *arg)
{
	(void)arg;
	tell(owner, "tick");
}

static void
act_bye(void *owner, const void *arg)
{
	struct owner *o = owner;

	(void)arg;
	tell(o, "bye");
	if (o->feed_inside)
		(void)fsm_feed(&o->fsm, o, LOST, NULL);
}

static void
act_flood(void *owner, const void *arg)
{
	struct owner *o = owner;

	(void)arg;
	for (int i = 0; i < 5; i++)
		fsm_post(&o->fsm, CLOCK, NULL);
}

static void
on_enter(void *owner, int from, int to, int event)
{
	struct owner *o = owner;
	char text[32];

	assert_int_equal(o->fsm.state, to);
	(void)str_print(text, sizeof(text), "%d>%d on %d", from, to, event);
	tell(o, text);
}

static const struct fsm_state states[STATE_COUNT] = {
	{ "NEW", 100 }, { "TALKING", 0 }, { "ENDING", 100 }, { "ENDED", 0 }
};
static const char *const events[EVENT_COUNT] = { "DIAL", "ANSWERED", "HANGUP", "LOST", "CLOCK" };

static const struct fsm_rule rules[] = {
	/* clang-format off */
	{ NEW,     DIAL,     FSM_SAME, act_dial },
	{ NEW,     ANSWERED, TALKING,  act_answered },
	{ TALKING, CLOCK,    FSM_SAME, act_clock },
	{ TALKING, HANGUP,   ENDING,   act_bye },
	{ ENDING,  LOST,     FSM_SAME, NULL }, /* exact before any */
	{ FSM_ANY, LOST,     ENDED,    NULL },
	{ ENDING,  CLOCK,    ENDING,   NULL }, /* enters again: a new deadline */
	{ ENDED,   DIAL,     FSM_SAME, act_flood },
	/* clang-format on */
};

static const struct fsm_def def = {
	.name = "test",
	.states = states,
	.state_count = STATE_COUNT,
	.events = events,
	.event_count = EVENT_COUNT,
	.rules = rules,
	.rule_count = ARRAY_LEN(rules),
	.enter = on_enter,
};

static void
moves_then_enters_then_acts(void **state)
{
	struct owner o = { 0 };

	(void)state;
	fsm_init(&o.fsm, &def, NEW);
	assert_true(fsm_feed(&o.fsm, &o, DIAL, NULL));
	assert_true(fsm_feed(&o.fsm, &o, DIAL, "argument"));
	assert_int_equal(o.fsm.state, NEW);
	assert_string_equal(o.story, "dial; argument; ");
	assert_true(fsm_feed(&o.fsm, &o, LOST, NULL));
	assert_string_equal(o.story, "dial; argument; 0>3 on 3; ");
	assert_int_equal(o.fsm.state, ENDED);
}

static void
no_rule_changes_nothing(void **state)
{
	struct owner o = { 0 };

	(void)state;
	fsm_init(&o.fsm, &def, NEW);
	assert_false(fsm_feed(&o.fsm, &o, HANGUP, NULL));
	assert_int_equal(o.fsm.state, NEW);
	assert_string_equal(o.story, "");
	assert_false(o.fsm.running);
}

static void
posted_events_follow_the_action(void **state)
{
	struct owner o = { 0 };

	(void)state;
	fsm_init(&o.fsm, &def, NEW);
	assert_true(fsm_feed(&o.fsm, &o, ANSWERED, NULL));
	assert_string_equal(o.story, "0>1 on 1; post; posted; tick; 1>2 on 2; bye; ");
	assert_int_equal(o.fsm.state, ENDING);
	assert_int_equal(o.fsm.posted, 0);
	o.story[0] = '\0';
	assert_true(fsm_feed(&o.fsm, &o, CLOCK, NULL));
	assert_string_equal(o.story, "2>2 on 4; ");
}

static void
the_table_prints(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	fsm_print(&def, &b);
	assert_string_equal(b.data, "NEW DIAL -> NEW\n"
				    "NEW ANSWERED -> TALKING\n"
				    "NEW HANGUP -> -\n"
				    "NEW LOST -> ENDED\n"
				    "NEW CLOCK -> -\n"
				    "TALKING DIAL -> -\n"
				    "TALKING ANSWERED -> -\n"
				    "TALKING HANGUP -> ENDING\n"
				    "TALKING LOST -> ENDED\n"
				    "TALKING CLOCK -> TALKING\n"
				    "ENDING DIAL -> -\n"
				    "ENDING ANSWERED -> -\n"
				    "ENDING HANGUP -> -\n"
				    "ENDING LOST -> ENDING\n"
				    "ENDING CLOCK -> ENDING\n"
				    "ENDED DIAL -> ENDED\n"
				    "ENDED ANSWERED -> -\n"
				    "ENDED HANGUP -> -\n"
				    "ENDED LOST -> ENDED\n"
				    "ENDED CLOCK -> -\n");
	buf_finish(&b);
}

/* --- bugs abort: seen from a child --- */

static void
bug_feed_inside(void)
{
	struct owner o = { .feed_inside = true };

	fsm_init(&o.fsm, &def, TALKING);
	(void)fsm_feed(&o.fsm, &o, HANGUP, NULL);
}

static void
bug_post_too_many(void)
{
	struct owner o = { 0 };

	fsm_init(&o.fsm, &def, ENDED);
	(void)fsm_feed(&o.fsm, &o, DIAL, NULL);
}

static void
bug_post_outside(void)
{
	struct owner o = { 0 };

	fsm_init(&o.fsm, &def, NEW);
	fsm_post(&o.fsm, DIAL, NULL);
}

static void
bugs_abort(void **state)
{
	void (*const bugs[])(void) = { bug_feed_inside, bug_post_too_many, bug_post_outside };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bugs); i++) {
		int status;
		pid_t child = fork();

		if (child == 0) {
			close(STDERR_FILENO);
			(void)setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
			bugs[i]();
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(moves_then_enters_then_acts),
		cmocka_unit_test(no_rule_changes_nothing),
		cmocka_unit_test(posted_events_follow_the_action),
		cmocka_unit_test(the_table_prints),
		cmocka_unit_test(bugs_abort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
