/* Apart from clock.c, so that a fake clock replaces the readers alone. */
#include "common/clock.h"

#include <time.h>

#include "common/str.h"

/* The contract's years have four digits: what does not fit is shown as the nearest that does. */
#define WALL_MAX_MS INT64_C(253402300799999)

static void
split(int64_t wall_ms, struct tm *tm, int *ms)
{
	time_t s;

	if (wall_ms < 0)
		wall_ms = 0;
	if (wall_ms > WALL_MAX_MS)
		wall_ms = WALL_MAX_MS;
	s = (time_t)(wall_ms / 1000);
	*ms = (int)(wall_ms % 1000);
	(void)gmtime_r(&s, tm);
}

const char *
clock_format_s(int64_t wall_ms, char out[CLOCK_TEXT_SIZE])
{
	struct tm tm;
	int ms;

	split(wall_ms, &tm, &ms);
	(void)str_print(out, CLOCK_TEXT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900,
			tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
	return out;
}

const char *
clock_format_ms(int64_t wall_ms, char out[CLOCK_TEXT_SIZE])
{
	struct tm tm;
	int ms;

	split(wall_ms, &tm, &ms);
	(void)str_print(out, CLOCK_TEXT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
			tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
			tm.tm_sec, ms);
	return out;
}
