#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/loop.h"
#include "common/str.h"
#include "tests/fakes/oom.h"

/* This test is its own clock; the loop's timerfd runs on the real one, which it starts at. */
static int64_t ahead_ms;

int64_t
clock_mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec + ahead_ms * 1000000;
}

int64_t
clock_mono_ms(void)
{
	return clock_mono_ns() / 1000000;
}

int64_t
clock_wall_ms(void)
{
	return 0;
}

/* Counts what the loop asks of the kernel. */
static int settings;

int
timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old)
{
	settings++;
	return (int)syscall(SYS_timerfd_settime, fd, flags, new, old);
}

static struct loop *loop;
static char story[512]; /* what happened, as text */

static void
tell(const char *what)
{
	size_t len = strlen(story);

	assert_true(str_print(story + len, sizeof(story) - len, "%s ", what));
}

static int
open_loop(void **state)
{
	(void)state;
	loop = loop_create();
	story[0] = '\0';
	return loop ? 0 : -1;
}

static int
close_loop(void **state)
{
	(void)state;
	loop_destroy(loop);
	return 0;
}

static bool
readable(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1;
}

/* --- timers --- */

struct named {
	struct loop_timer timer;
	const char *name;
};

static void
on_named(struct loop_timer *t)
{
	tell(container_of(t, struct named, timer)->name);
}

static void
timers_fire_in_order(void **state)
{
	struct named t[] = {
		{ .name = "30" }, { .name = "10" }, { .name = "20" },
		{ .name = "5" },  { .name = "40" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_true(loop_timer_set(loop, &t[i].timer, atoll(t[i].name) * 1000, on_named));
	loop_step(loop, 0);
	assert_string_equal(story, "");
	ahead_ms += 31000;
	loop_step(loop, 0);
	assert_string_equal(story, "5 10 20 30 ");
	loop_timer_cancel(loop, &t[4].timer);
	loop_timer_cancel(loop, &t[4].timer);
	ahead_ms += 31000;
	loop_step(loop, 0);
	assert_string_equal(story, "5 10 20 30 ");
}

static void
timers_are_pushed_back_and_forth(void **state)
{
	struct named a = { .name = "a" }, b = { .name = "b" };

	(void)state;
	assert_true(loop_timer_set(loop, &a.timer, 1000, on_named));
	assert_true(loop_timer_set(loop, &b.timer, 2000, on_named));
	assert_true(loop_timer_set(loop, &a.timer, 3000, on_named));
	ahead_ms += 2000;
	loop_step(loop, 0);
	assert_string_equal(story, "b ");
	assert_true(loop_timer_set(loop, &a.timer, -5, on_named));
	loop_step(loop, 0);
	assert_string_equal(story, "b a ");
	assert_int_equal(a.timer.slot, 0);
	/* So late that the sum would overflow. */
	assert_true(loop_timer_set(loop, &a.timer, INT64_MAX, on_named));
	loop_step(loop, 0);
	loop_timer_cancel(loop, &a.timer);
}

static void
on_rearm(struct loop_timer *t)
{
	tell("again");
	assert_true(loop_timer_set(loop, t, 0, on_rearm));
}

static void
a_timer_for_now_waits_for_the_next_turn(void **state)
{
	struct loop_timer t = { 0 };

	(void)state;
	assert_true(loop_timer_set(loop, &t, 0, on_rearm));
	loop_step(loop, 100);
	assert_string_equal(story, "again ");
	loop_step(loop, 100);
	assert_string_equal(story, "again again ");
	loop_timer_cancel(loop, &t);
}

static struct named victim;

static void
on_kill(struct loop_timer *t)
{
	(void)t;
	tell("kill");
	loop_timer_cancel(loop, &victim.timer);
}

static void
a_timer_cancels_another_that_is_due(void **state)
{
	struct loop_timer killer = { 0 };

	(void)state;
	victim = (struct named){ .name = "victim" };
	assert_true(loop_timer_set(loop, &killer, 10, on_kill));
	assert_true(loop_timer_set(loop, &victim.timer, 20, on_named));
	ahead_ms += 100;
	loop_step(loop, 0);
	assert_string_equal(story, "kill ");
}

static void
many_timers_keep_order(void **state)
{
	enum { MANY = 1000 };
	static struct loop_timer t[MANY];
	unsigned seed = 7;

	(void)state;
	memset(t, 0, sizeof(t));
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < MANY; i++) {
			seed = seed * 1103515245 + 12345;
			if (seed >> 16 & 3)
				assert_true(loop_timer_set(loop, &t[i], 1000 + (seed >> 16) % 5000,
							   on_named));
			else
				loop_timer_cancel(loop, &t[i]);
		}
	}
	/* Cancelling one by one checks every place in the heap (asserted inside). */
	for (int i = 0; i < MANY; i++)
		loop_timer_cancel(loop, &t[i]);
}

static void
the_clock_stands_still_within_a_turn(void **state)
{
	int64_t outside;

	(void)state;
	outside = loop_now(loop);
	ahead_ms += 5000;
	/* Nobody has stepped for 5 s; a delay still counts from now. */
	assert_true(loop_now(loop) >= outside + 5000);
}

/* --- nesting: somebody else's poll must wake for our timers --- */

static void
the_descriptor_wakes_for_timers(void **state)
{
	struct named a = { .name = "a" }, b = { .name = "b" };

	(void)state;
	ahead_ms = 0;
	assert_false(readable(loop_fd(loop), 0));
	assert_true(loop_timer_set(loop, &a.timer, 20, on_named));
	assert_true(loop_timer_set(loop, &b.timer, 60, on_named));
	assert_true(readable(loop_fd(loop), 2000));
	loop_step(loop, 0);
	assert_string_equal(story, "a ");
	assert_false(readable(loop_fd(loop), 0));
	assert_true(readable(loop_fd(loop), 2000));
	loop_step(loop, 0);
	assert_string_equal(story, "a b ");
	assert_false(readable(loop_fd(loop), 100));
}

static void
a_cancelled_timer_costs_one_idle_turn(void **state)
{
	struct named a = { .name = "a" }, b = { .name = "b" };

	(void)state;
	assert_true(loop_timer_set(loop, &a.timer, 10, on_named));
	assert_true(loop_timer_set(loop, &b.timer, 50, on_named));
	loop_timer_cancel(loop, &a.timer);
	for (int turns = 0; story[0] == '\0'; turns++) {
		assert_true(turns < 3);
		assert_true(readable(loop_fd(loop), 2000));
		loop_step(loop, 0);
	}
	assert_string_equal(story, "b ");
	assert_false(readable(loop_fd(loop), 50));
}

static void
pushing_back_costs_no_system_call(void **state)
{
	struct named a = { .name = "a" };

	(void)state;
	settings = 0;
	for (int i = 0; i < 1000; i++)
		assert_true(loop_timer_set(loop, &a.timer, 5000 + i, on_named));
	for (int i = 0; i < 1000; i++) {
		loop_timer_cancel(loop, &a.timer);
		assert_true(loop_timer_set(loop, &a.timer, 9000, on_named));
		loop_step(loop, 0);
	}
	assert_int_equal(settings, 1);
	loop_timer_cancel(loop, &a.timer);
}

static void
an_earlier_timer_set_within_a_turn_rings(void **state)
{
	struct named late = { .name = "late" };
	struct loop_timer again = { 0 };

	(void)state;
	assert_true(loop_timer_set(loop, &late.timer, 60000, on_named));
	assert_true(loop_timer_set(loop, &again, 5, on_rearm));
	assert_true(readable(loop_fd(loop), 2000));
	loop_step(loop, 0);
	assert_true(readable(loop_fd(loop), 2000));
	loop_timer_cancel(loop, &again);
	loop_timer_cancel(loop, &late.timer);
}

struct end {
	struct loop_io io;
	int fd;
	const char *name;
};

static void
on_eight(struct loop_io *io, uint32_t events)
{
	struct end *e = container_of(io, struct end, io);
	uint64_t count;

	assert_true(events & EPOLLIN);
	assert_int_equal(read(e->fd, &count, sizeof(count)), sizeof(count));
	tell(e->name);
}

static void
on_inner(struct loop_io *io, uint32_t events)
{
	(void)io;
	assert_true(events & EPOLLIN);
	loop_step(loop, 0);
}

static void
loops_nest(void **state)
{
	struct loop *outer = loop_create();
	struct loop_io io = { .fd = -1 };
	struct named a = { .name = "timer" };
	struct end e = { .name = "fd", .fd = eventfd(0, EFD_NONBLOCK) };

	(void)state;
	assert_int_equal(loop_watch(outer, &io, loop_fd(loop), EPOLLIN, on_inner), ERR_OK);
	assert_int_equal(loop_watch(loop, &e.io, e.fd, EPOLLIN, on_eight), ERR_OK);
	assert_true(loop_timer_set(loop, &a.timer, 1, on_named));
	for (int i = 0; i < 3 && story[0] == '\0'; i++)
		loop_step(outer, 1000);
	assert_string_equal(story, "timer ");
	assert_int_equal(write(e.fd, "\1\0\0\0\0\0\0\0", 8), 8);
	loop_step(outer, 1000);
	assert_string_equal(story, "timer fd ");
	loop_step(outer, 0);
	assert_string_equal(story, "timer fd ");
	loop_unwatch(loop, &e.io);
	close(e.fd);
	loop_unwatch(outer, &io);
	loop_destroy(outer);
}

static void
on_stop(struct loop_timer *t)
{
	(void)t;
	tell("stop");
	loop_stop(loop);
}

static void
runs_until_stopped(void **state)
{
	struct loop_timer t = { 0 };

	(void)state;
	ahead_ms = 0;
	assert_true(loop_timer_set(loop, &t, 5, on_stop));
	loop_run(loop);
	assert_true(loop_timer_set(loop, &t, 5, on_stop));
	loop_run(loop);
	assert_string_equal(story, "stop stop ");
}

static struct loop_end last, taken_back;

static void
on_last(struct loop_end *e)
{
	tell(e == &last ? "end" : "never");
}

static void
on_asks_for_end(struct loop_timer *t)
{
	on_named(t);
	assert_true(loop_at_end(loop, &last, on_last));
	assert_true(loop_at_end(loop, &taken_back, on_last));
	loop_end_cancel(&taken_back);
}

static void
the_end_of_a_turn_comes_once(void **state)
{
	struct named t[] = { { .name = "1" }, { .name = "2" } };

	(void)state;
	assert_false(loop_at_end(loop, &last, on_last)); /* no turn is under way */
	loop_end_cancel(&last);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_true(loop_timer_set(loop, &t[i].timer, 0, on_asks_for_end));
	loop_step(loop, 100);
	loop_step(loop, 0);
	assert_string_equal(story, "1 2 end ");
}

static bool
arm_many(void *arg)
{
	struct loop *l = loop_create();
	struct loop_timer t[200] = { 0 };
	bool ok = l != NULL;

	(void)arg;
	for (size_t i = 0; ok && i < ARRAY_LEN(t); i++)
		ok = loop_timer_set(l, &t[i], 1000, on_named);
	for (size_t i = 0; l && i < ARRAY_LEN(t); i++)
		loop_timer_cancel(l, &t[i]);
	loop_destroy(l);
	return ok;
}

static void
survives_lack_of_memory(void **state)
{
	(void)state;
	assert_true(oom_run(arm_many, NULL) >= 4);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_loop, close_loop)
	const struct CMUnitTest tests[] = {
		T(timers_fire_in_order),
		T(timers_are_pushed_back_and_forth),
		T(a_timer_for_now_waits_for_the_next_turn),
		T(a_timer_cancels_another_that_is_due),
		T(many_timers_keep_order),
		T(the_clock_stands_still_within_a_turn),
		T(the_descriptor_wakes_for_timers),
		T(a_cancelled_timer_costs_one_idle_turn),
		T(pushing_back_costs_no_system_call),
		T(an_earlier_timer_set_within_a_turn_rings),
		T(loops_nest),
		T(the_end_of_a_turn_comes_once),
		T(runs_until_stopped),
		cmocka_unit_test(survives_lack_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
