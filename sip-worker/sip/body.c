#include "sip-worker/sip/body.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define BOUNDARY_MAX 70 /* RFC 2046 */
#define PARTS_MAX    32

/* The media type ends at a parameter or space. */
static bool
type_is(const char *type, size_t len, const char *wanted)
{
	size_t n = strlen(wanted);

	while (len && (*type == ' ' || *type == '\t')) {
		type++;
		len--;
	}
	if (len < n || strncasecmp(type, wanted, n) != 0)
		return false;
	return len == n || type[n] == ';' || type[n] == ' ' || type[n] == '\t' || type[n] == '\r';
}

/* Copies the value of boundary=, quoted or not; false: absent or too long. */
static bool
find_boundary(const char *content_type, char out[BOUNDARY_MAX + 1])
{
	const char *p = content_type;
	size_t n = 0;
	bool quoted;

	while ((p = strchr(p, ';'))) {
		p++;
		p += strspn(p, " \t");
		if (strncasecmp(p, "boundary", 8) == 0 && *(p + 8 + strspn(p + 8, " \t")) == '=')
			break;
	}
	if (!p)
		return false;
	p = strchr(p, '=') + 1;
	p += strspn(p, " \t");
	quoted = *p == '"';
	if (quoted)
		p++;
	while (p[n] && (quoted ? p[n] != '"' : !strchr("; \t", p[n])))
		n++;
	if (n == 0 || n > BOUNDARY_MAX)
		return false;
	memcpy(out, p, n);
	out[n] = '\0';
	return true;
}

/* The next line that is "--boundary"; NULL: none.  *after is where the next line begins. */
static const char *
find_delimiter(const char *at, const char *end, const char *boundary, const char **after)
{
	size_t n = strlen(boundary);

	while (at < end) {
		const char *eol = memchr(at, '\n', (size_t)(end - at));
		const char *next = eol ? eol + 1 : end;

		if ((size_t)(next - at) >= n + 2 && at[0] == '-' && at[1] == '-' &&
		    memcmp(at + 2, boundary, n) == 0) {
			*after = next;
			return at;
		}
		at = next;
	}
	return NULL;
}

/* Is this part application/sdp?  *content is what follows its headers. */
static bool
part_is_sdp(const char *at, const char *end, const char **content)
{
	bool is_sdp = false;

	while (at < end) {
		const char *eol = memchr(at, '\n', (size_t)(end - at));
		size_t len = eol ? (size_t)(eol - at) : (size_t)(end - at);

		if (len && at[len - 1] == '\r')
			len--;
		if (len > 13 && strncasecmp(at, "Content-Type:", 13) == 0)
			is_sdp = type_is(at + 13, len - 13, "application/sdp");
		else if (len > 2 && strncasecmp(at, "c:", 2) == 0)
			is_sdp = type_is(at + 2, len - 2, "application/sdp");
		at = eol ? eol + 1 : end;
		if (len == 0)
			break;
	}
	*content = at;
	return is_sdp;
}

static enum body_kind
find_in_multipart(const char *boundary, const char *body, size_t len, const char **sdp,
		  size_t *sdp_len)
{
	const char *end = body + len, *after, *start, *stop, *content;

	if (!find_delimiter(body, end, boundary, &start))
		return BODY_MALFORMED;
	for (int i = 0; i < PARTS_MAX; i++) {
		stop = find_delimiter(start, end, boundary, &after);
		if (!stop)
			return i ? BODY_UNSUPPORTED : BODY_MALFORMED;
		if (part_is_sdp(start, stop, &content)) {
			/* The line break before a delimiter belongs to it. */
			if (stop > content && stop[-1] == '\n')
				stop--;
			if (stop > content && stop[-1] == '\r')
				stop--;
			*sdp = content;
			*sdp_len = (size_t)(stop - content);
			return *sdp_len ? BODY_SDP : BODY_MALFORMED;
		}
		start = after;
	}
	return BODY_UNSUPPORTED;
}

enum body_kind
body_find_sdp(const char *content_type, const char *body, size_t len, const char **sdp,
	      size_t *sdp_len)
{
	char boundary[BOUNDARY_MAX + 1];

	if (!body || len == 0)
		return BODY_NONE;
	if (!content_type)
		return BODY_UNSUPPORTED;
	if (type_is(content_type, strlen(content_type), "application/sdp")) {
		*sdp = body;
		*sdp_len = len;
		return BODY_SDP;
	}
	if (strncasecmp(content_type, "multipart/", 10) != 0)
		return BODY_UNSUPPORTED;
	if (!find_boundary(content_type, boundary))
		return BODY_MALFORMED;
	return find_in_multipart(boundary, body, len, sdp, sdp_len);
}
