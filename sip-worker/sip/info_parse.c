#include "sip-worker/sip/info.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define DEFAULT_MS 160
#define LONGEST_MS 10000

static bool
digit_of(const char *at, size_t len, char *out)
{
	static const char digits[] = "0123456789*#ABCD";

	if (len == 2 && at[0] == '1' && (at[1] == '0' || at[1] == '1')) {
		*out = at[1] == '0' ? '*' : '#';
		return true;
	}
	if (len != 1 || !at[0] || !strchr(digits, toupper((unsigned char)at[0])))
		return false;
	*out = (char)toupper((unsigned char)at[0]);
	return true;
}

static int
duration_of(const char *at, size_t len)
{
	int ms = 0;

	for (size_t i = 0; i < len && isdigit((unsigned char)at[i]) && ms <= LONGEST_MS; i++)
		ms = ms * 10 + (at[i] - '0');
	return ms < 1 ? DEFAULT_MS : ms > LONGEST_MS ? LONGEST_MS : ms;
}

static void
trim(const char **at, size_t *len)
{
	while (*len && isspace((unsigned char)**at)) {
		++*at;
		--*len;
	}
	while (*len && isspace((unsigned char)(*at)[*len - 1]))
		--*len;
}

bool
info_parse(const char *body, size_t len, char *digit, int *duration_ms)
{
	const char *end = body + len;
	bool found = false;

	*duration_ms = DEFAULT_MS;
	while (body < end) {
		const char *eol = memchr(body, '\n', (size_t)(end - body));
		const char *line = body, *equals, *value;
		size_t line_len = (size_t)((eol ? eol : end) - body), value_len;

		body = eol ? eol + 1 : end;
		trim(&line, &line_len);
		equals = memchr(line, '=', line_len);
		if (!equals) {
			found = found || digit_of(line, line_len, digit);
			continue;
		}
		value = equals + 1;
		value_len = line_len - (size_t)(value - line);
		trim(&value, &value_len);
		if (line_len > 6 && strncasecmp(line, "Signal", 6) == 0)
			found = digit_of(value, value_len, digit) || found;
		else if (line_len > 8 && strncasecmp(line, "Duration", 8) == 0)
			*duration_ms = duration_of(value, value_len);
	}
	return found;
}
