#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/loop.h"
#include "common/str.h"

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

struct end {
	struct loop_io io;
	int fd;
	struct end *other; /* unwatched by on_end() */
	const char *name;
};

static void
on_end(struct loop_io *io, uint32_t events)
{
	struct end *e = container_of(io, struct end, io);
	char byte;

	assert_true(events & (EPOLLIN | EPOLLHUP));
	(void)!read(e->fd, &byte, sizeof(byte));
	tell(e->name);
	if (e->other)
		loop_unwatch(loop, &e->other->io);
}

static void
descriptors_call_back(void **state)
{
	int p[2];
	struct end e = { .name = "in", .io.fd = -1 };

	(void)state;
	assert_int_equal(pipe(p), 0);
	e.fd = p[0];
	assert_int_equal(loop_watch(loop, &e.io, p[0], EPOLLIN, on_end), ERR_OK);
	loop_step(loop, 0);
	assert_string_equal(story, "");
	assert_int_equal(write(p[1], "xy", 2), 2);
	assert_true(readable(loop_fd(loop), 0));
	loop_step(loop, -1);
	loop_step(loop, -1);
	assert_string_equal(story, "in in ");
	assert_int_equal(loop_rewatch(loop, &e.io, 0), ERR_OK);
	assert_int_equal(write(p[1], "x", 1), 1);
	loop_step(loop, 0);
	assert_string_equal(story, "in in ");
	assert_int_equal(loop_rewatch(loop, &e.io, EPOLLIN), ERR_OK);
	close(p[1]);
	loop_step(loop, 0);
	loop_step(loop, 0);
	assert_string_equal(story, "in in in in ");
	loop_unwatch(loop, &e.io);
	loop_unwatch(loop, &e.io);
	assert_int_equal(e.io.fd, -1);
	close(p[0]);
}

static void
errors_of_watching(void **state)
{
	struct loop_io io = { .fd = -1 };
	struct loop_io zeroed = { 0 };

	(void)state;
	assert_int_equal(loop_watch(loop, &io, -1, EPOLLIN, on_end), ERR_IO);
	assert_int_equal(io.fd, -1);
	loop_unwatch(loop, &io);
	loop_unwatch(loop, &zeroed);
}

static void
an_io_unwatched_in_the_same_turn_stays_silent(void **state)
{
	struct end e[2] = { { .name = "one" }, { .name = "one" } };
	int fds[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		fds[i] = eventfd(1, EFD_NONBLOCK);
		e[i].fd = fds[i];
		e[i].other = &e[1 - i];
		assert_int_equal(loop_watch(loop, &e[i].io, fds[i], EPOLLIN, on_end), ERR_OK);
	}
	/* Both are ready; whichever comes first unwatches the other. */
	loop_step(loop, 0);
	assert_string_equal(story, "one ");
	loop_unwatch(loop, &e[0].io);
	loop_unwatch(loop, &e[1].io);
	close(fds[0]);
	close(fds[1]);
}

static void
on_reborn(struct loop_io *io, uint32_t events)
{
	(void)io;
	(void)events;
	tell("reborn");
}

static void
on_reuse(struct loop_io *io, uint32_t events)
{
	struct end *e = container_of(io, struct end, io);

	(void)events;
	tell("first");
	/* The other is let go and its memory serves a new descriptor within the turn: the old
	 * readiness must not reach it. */
	loop_unwatch(loop, &e->other->io);
	loop_unwatch(loop, &e->io);
	assert_int_equal(
		loop_watch(loop, &e->other->io, eventfd(0, EFD_NONBLOCK), EPOLLIN, on_reborn),
		ERR_OK);
	e->other->other = NULL;
}

static void
stale_readiness_does_not_reach_a_new_owner(void **state)
{
	struct end e[2] = { { .name = "x" }, { .name = "x" } };
	int reborn;

	(void)state;
	for (int i = 0; i < 2; i++) {
		e[i].fd = eventfd(1, EFD_NONBLOCK);
		e[i].other = &e[1 - i];
		assert_int_equal(loop_watch(loop, &e[i].io, e[i].fd, EPOLLIN, on_reuse), ERR_OK);
	}
	loop_step(loop, 0);
	assert_string_equal(story, "first ");
	reborn = e[0].io.fd >= 0 ? 0 : 1;
	close(e[0].fd);
	close(e[1].fd);
	e[0].fd = e[reborn].io.fd;
	loop_unwatch(loop, &e[reborn].io);
	close(e[0].fd);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_loop, close_loop)
	const struct CMUnitTest tests[] = {
		T(descriptors_call_back),
		T(errors_of_watching),
		T(an_io_unwatched_in_the_same_turn_stays_silent),
		T(stale_readiness_does_not_reach_a_new_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
