#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

/* This test is its own clock. */
static int64_t fake_ms = 1736946360123;

int64_t
clock_mono_ns(void)
{
	return fake_ms * 1000000;
}

int64_t
clock_mono_ms(void)
{
	return fake_ms;
}

int64_t
clock_wall_ms(void)
{
	return fake_ms;
}

static int saved_stderr, pipe_end;

static int
catch_stderr(void **state)
{
	int p[2];

	(void)state;
	if (pipe2(p, O_NONBLOCK) != 0)
		return -1;
	saved_stderr = dup(STDERR_FILENO);
	pipe_end = p[0];
	dup2(p[1], STDERR_FILENO);
	close(p[1]);
	log_set_level(LOG_INFO);
	return 0;
}

static int
release_stderr(void **state)
{
	(void)state;
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(pipe_end);
	return 0;
}

static const char *
caught(void)
{
	static char text[2 * LOG_LINE_MAX];
	ssize_t n = read(pipe_end, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void
a_line_is_logfmt(void **state)
{
	(void)state;
	log_init("sip-worker/w1");
	errno = EDOM;
	log_info("call", "state", "call=%s to=%s", "c-7", "ACTIVE");
	assert_int_equal(errno, EDOM);
	assert_string_equal(caught(), "t=2025-01-15T13:06:00.123Z lvl=info p=sip-worker/w1 m=call "
				      "event=state call=c-7 to=ACTIVE\n");
	log_err("call", "broken", "%s", "");
	assert_string_equal(caught(), "t=2025-01-15T13:06:00.123Z lvl=err p=sip-worker/w1 m=call "
				      "event=broken\n");
}

static void
levels_filter(void **state)
{
	(void)state;
	log_debug("m", "e", "x=%d", 1);
	assert_string_equal(caught(), "");
	log_set_level(LOG_ERR);
	log_warn("m", "e", "x=%d", 1);
	assert_string_equal(caught(), "");
	assert_true(log_enabled(LOG_ERR));
	assert_false(log_enabled(LOG_WARN));
	setenv("HANDBACK_LOG", "debug", 1);
	log_init("p");
	assert_true(log_enabled(LOG_DEBUG));
	setenv("HANDBACK_LOG", "nonsense", 1);
	log_init("p");
	assert_true(log_enabled(LOG_DEBUG));
	unsetenv("HANDBACK_LOG");
}

static void
one_event_stays_one_line(void **state)
{
	char longer[3 * LOG_LINE_MAX];
	const char *out;

	(void)state;
	log_info("m", "e", "v=%s", "a\nt=forged\r\x1b[31m");
	out = caught();
	assert_non_null(strstr(out, "v=a t=forged  [31m\n"));
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	log_info("m", "e", "v=%s", longer);
	out = caught();
	assert_in_range(strlen(out), LOG_LINE_MAX - 2, LOG_LINE_MAX);
	assert_int_equal(out[strlen(out) - 1], '\n');
	assert_ptr_equal(strchr(out, '\n'), out + strlen(out) - 1);
}

static void
a_full_pipe_stops_nobody(void **state)
{
	char line[1024];
	int flags = fcntl(STDERR_FILENO, F_GETFL);

	(void)state;
	assert_int_equal(fcntl(STDERR_FILENO, F_SETFL, flags & ~O_NONBLOCK), 0);
	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	for (int i = 0; i < 1000; i++)
		log_info("m", "e", "v=%s", line);
	assert_true(strlen(caught()) > 0);
}

static void
quotes_what_peers_chose(void **state)
{
	char longer[500];
	const char *a, *b, *c, *d;

	(void)state;
	assert_string_equal(log_quote("plain"), "\"plain\"");
	assert_string_equal(log_quote("a\"b\\c\n\x7f"), "\"a\\\"b\\\\c\\x0a\\x7f\"");
	assert_string_equal(log_quote(NULL), "\"\"");
	memset(longer, '\n', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_in_range(strlen(log_quote(longer)), 190, 200);
	a = log_quote("a");
	b = log_quote("b");
	c = log_quote("c");
	d = log_quote("d");
	assert_int_equal(a[1], 'a');
	assert_int_equal(b[1], 'b');
	assert_int_equal(c[1], 'c');
	assert_int_equal(d[1], 'd');
}

static void
limits_what_peers_trigger(void **state)
{
	struct log_limit l = { 0 };
	int allowed = 0;

	(void)state;
	for (int i = 0; i < 10; i++)
		allowed += log_allowed(&l, 3);
	assert_int_equal(allowed, 3);
	assert_int_equal(l.suppressed, 7);
	fake_ms += 1000;
	assert_true(log_allowed(&l, 3));
	assert_int_equal(l.suppressed, 7);
}

static void
clock_prints_utc(void **state)
{
	static const struct {
		int64_t ms;
		const char *s, *ms_text;
	} cases[] = {
		{ 0, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z" },
		{ 1736946360123, "2025-01-15T13:06:00Z", "2025-01-15T13:06:00.123Z" },
		{ 951782399999, "2000-02-28T23:59:59Z", "2000-02-28T23:59:59.999Z" },
		{ 951782400000, "2000-02-29T00:00:00Z", "2000-02-29T00:00:00.000Z" },
		{ -1, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z" },
		{ INT64_MAX, "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999Z" },
	};
	char out[CLOCK_TEXT_SIZE];

	(void)state;
	setenv("TZ", "America/New_York", 1);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_string_equal(clock_format_s(cases[i].ms, out), cases[i].s);
		assert_string_equal(clock_format_ms(cases[i].ms, out), cases[i].ms_text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_line_is_logfmt, catch_stderr, release_stderr),
		cmocka_unit_test_setup_teardown(levels_filter, catch_stderr, release_stderr),
		cmocka_unit_test_setup_teardown(one_event_stays_one_line, catch_stderr,
						release_stderr),
		cmocka_unit_test_setup_teardown(a_full_pipe_stops_nobody, catch_stderr,
						release_stderr),
		cmocka_unit_test(quotes_what_peers_chose),
		cmocka_unit_test(limits_what_peers_trigger),
		cmocka_unit_test(clock_prints_utc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
