/* Telephone events: each press once, whatever the network and the gateway do. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "sip-worker/media/dtmf.h"

struct step {
	uint32_t ts;
	uint8_t event;
	uint16_t duration;
	bool end, marker;
	int after_ms; /* since the step before */
};

/* Feeds and compares the digits that come out. */
static void
expect(const struct step *steps, size_t count, const char *want)
{
	struct dtmf d = { 0 };
	char got[64];
	size_t n = 0;
	int64_t now = 1000;

	for (size_t i = 0; i < count; i++) {
		struct dtmf_event e = { .event = steps[i].event,
					.end = steps[i].end,
					.duration = steps[i].duration };
		char digit;

		now += steps[i].after_ms;
		digit = dtmf_take(&d, steps[i].ts, steps[i].marker, &e, now);
		if (digit)
			got[n++] = digit;
	}
	got[n] = '\0';
	assert_string_equal(got, want);
}

#define EXPECT(want, ...)                                              \
	do {                                                           \
		const struct step steps[] = { __VA_ARGS__ };           \
		expect(steps, sizeof(steps) / sizeof(steps[0]), want); \
	} while (0)

/* clang-format off */
static void
test_presses(void **state)
{
	(void)state;
	/*             ts     event dur  end    marker ms */
	EXPECT("1",  { 100,   1, 160,  false, true,  0 },
	             { 100,   1, 320,  false, false, 20 },
	             { 100,   1, 800,  true,  false, 60 },
	             { 100,   1, 800,  true,  false, 0 },
	             { 100,   1, 800,  true,  false, 0 });
	/* Twice the same key. */
	EXPECT("11", { 100,   1, 160,  false, true,  0 },
	             { 100,   1, 800,  true,  false, 80 },
	             { 1700,  1, 160,  false, true,  120 },
	             { 1700,  1, 800,  true,  false, 80 });
	/* No marker anywhere. */
	EXPECT("12", { 100,   1, 160,  false, false, 0 },
	             { 100,   1, 320,  false, false, 20 },
	             { 1700,  2, 160,  false, false, 180 },
	             { 1700,  2, 320,  false, false, 20 });
	/* All but the end packet lost. */
	EXPECT("#",  { 100,  11, 800,  true,  false, 0 },
	             { 100,  11, 800,  true,  false, 0 });
	/* Every end packet lost; the next press begins small. */
	EXPECT("55", { 100,   5, 160,  false, true,  0 },
	             { 100,   5, 800,  false, false, 80 },
	             { 1300,  5, 160,  false, true,  70 });
	EXPECT("55", { 100,   5, 800,  false, false, 0 },
	             { 1300,  5, 160,  false, false, 150 });
}

static void
test_disorder(void **state)
{
	(void)state;
	/* An end of the old press after the start of the new one. */
	EXPECT("12", { 100,   1, 160,  false, true,  0 },
	             { 1700,  2, 160,  false, true,  200 },
	             { 100,   1, 800,  true,  false, 1 },
	             { 1700,  2, 320,  false, false, 20 },
	             { 1700,  2, 800,  true,  false, 60 });
	/* An update after the end. */
	EXPECT("1",  { 100,   1, 800,  true,  false, 0 },
	             { 100,   1, 640,  false, false, 1 },
	             { 100,   1, 800,  true,  false, 1 });
	/* Timestamps turn over. */
	EXPECT("12", { 0xffffff00, 1, 800, true, true, 0 },
	             { 0x00000300, 2, 800, true, true, 200 });
	/* A new timestamp base long after. */
	EXPECT("12", { 0x70000000, 1, 800, true, true, 0 },
	             { 0x60000000, 2, 800, true, true, 5000 });
}

static void
test_long_press(void **state)
{
	(void)state;
	/* Segments of 0xffff samples are one press. */
	EXPECT("7",  { 100,           7, 160,    false, true,  0 },
	             { 100,           7, 0xffff, false, false, 100 },
	             { 100 + 0xffff,  7, 160,    false, false, 20 },
	             { 100 + 0xffff,  7, 0xffff, false, false, 100 },
	             { 100 + 0x1fffe, 7, 400,    true,  false, 20 });
	/* A gateway that moves the timestamp with each packet. */
	EXPECT("3",  { 100,   3, 160,  false, true,  0 },
	             { 260,   3, 320,  false, false, 20 },
	             { 420,   3, 480,  false, false, 20 },
	             { 420,   3, 480,  true,  false, 20 });
	/* One that forgets to move it. */
	EXPECT("34", { 100,   3, 160,  false, true,  0 },
	             { 100,   3, 800,  true,  false, 80 },
	             { 100,   4, 160,  false, true,  100 },
	             { 100,   4, 800,  true,  false, 80 });
}

static void
test_events(void **state)
{
	(void)state;
	EXPECT("0*#AD", { 100, 0, 80, true, true, 0 },
	                { 900, 10, 80, true, true, 100 },
	                { 1800, 11, 80, true, true, 100 },
	                { 2700, 12, 80, true, true, 100 },
	                { 3600, 15, 80, true, true, 100 },
	                { 4500, 16, 80, true, true, 100 },  /* flash */
	                { 5400, 255, 80, true, true, 100 });
}
/* clang-format on */

static void
test_read(void **state)
{
	struct dtmf_event e;

	(void)state;
	assert_true(dtmf_read((const uint8_t[]){ 11, 0x8a, 0x03, 0x20 }, 4, &e));
	assert_int_equal(e.event, 11);
	assert_true(e.end);
	assert_int_equal(e.volume, 10);
	assert_int_equal(e.duration, 800);
	for (size_t len = 0; len < 9; len++)
		if (len != 4)
			assert_false(dtmf_read((const uint8_t[9]){ 0 }, len, &e));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_presses),    cmocka_unit_test(test_disorder),
		cmocka_unit_test(test_long_press), cmocka_unit_test(test_events),
		cmocka_unit_test(test_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
