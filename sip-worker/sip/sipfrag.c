#include "sip-worker/sip/sipfrag.h"

#include <string.h>
#include <strings.h>

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static const char *
skip_blanks(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	return p;
}

/* "SIP/2.0", any case, any version; NULL: something else. */
static const char *
read_version(const char *p, const char *end)
{
	if (end - p < 4 || strncasecmp(p, "SIP/", 4) != 0)
		return NULL;
	for (p += 4; p < end && (is_digit(*p) || *p == '.'); p++)
		;
	return p < end && (*p == ' ' || *p == '\t') ? skip_blanks(p, end) : NULL;
}

bool
sipfrag_parse(const char *body, size_t len, int *status, char *phrase, size_t size)
{
	const char *p = body, *end = body + len, *eol;
	size_t n = 0;
	int code;

	/* Some begin with an empty line. */
	while (p < end && (*p == '\r' || *p == '\n' || *p == ' ' || *p == '\t'))
		p++;
	eol = memchr(p, '\n', (size_t)(end - p));
	end = eol ? eol : end;
	p = read_version(p, end);
	if (!p || end - p < 3 || !is_digit(p[0]) || !is_digit(p[1]) || !is_digit(p[2]))
		return false;
	code = (p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0');
	p += 3;
	if (code < 100 || code > 699 || (p < end && *p != ' ' && *p != '\t' && *p != '\r'))
		return false;
	for (p = skip_blanks(p, end); p < end && n + 1 < size; p++)
		if (*p && *p != '\r')
			phrase[n++] = *p;
	while (n && (phrase[n - 1] == ' ' || phrase[n - 1] == '\t'))
		n--;
	phrase[n] = '\0';
	*status = code;
	return true;
}
