#include "api-server/http/guard.h"

#include <string.h>

/* clang-format off */
/*   start ─▶ METHOD ─▶ TARGET ─▶ VERSION ─▶ LINE_LF ─▶ ┌─▶ LINE ─▶ NAME ─▶ VALUE ─▶ LINE_LF ─┐
 *                                                     │     │                              │
 *                                                     └─────┼──────────────────────────────┘
 *       end ◀── HEAD_LF ◀── (CR)  ◀──────────────────────────┘
 *        │
 *        └─▶ BODY | SIZE ─▶ SIZE_LF ─▶ CHUNK ─▶ CHUNK_CR ─▶ CHUNK_LF ─▶ SIZE …  LAST_CR ─▶ LAST_LF */
/* clang-format on */
enum state {
	S_START,
	S_METHOD,
	S_TARGET,
	S_VERSION,
	S_LINE_LF,
	S_LINE,
	S_NAME,
	S_VALUE,
	S_HEAD_LF,
	S_BODY,
	S_SIZE,
	S_SIZE_LF,
	S_CHUNK,
	S_CHUNK_CR,
	S_CHUNK_LF,
	S_LAST_CR,
	S_LAST_LF,
	S_BAD,
};

/* clang-format off */
static const struct guard_refusal
	bad_line     = { 400, "400-01", "Malformed request line" },
	bad_header   = { 400, "400-01", "Malformed header" },
	bad_repeat   = { 400, "400-01", "A header that must be single is repeated" },
	bad_length   = { 400, "400-01", "Malformed Content-Length" },
	bad_framing  = { 400, "400-01", "Content-Length together with Transfer-Encoding" },
	bad_host     = { 400, "400-01", "Missing or malformed Host" },
	bad_chunk    = { 400, "400-01", "Malformed chunked body" },
	bad_coding   = { 501, "501-01", "Unsupported Transfer-Encoding" },
	bad_version  = { 505, "505-01", "HTTP Version Not Supported" },
	too_large    = { 413, "413-01", "Request Entity Too Large" },
	long_target  = { 414, "414-01", "URI Too Long" },
	long_headers = { 431, "431-01", "Request Header Fields Too Large" };

enum known { K_OTHER, K_LENGTH, K_CODING, K_HOST, K_API_ID, K_API_SECRET, K_AUTHORIZATION,
             K_TYPE, K_ENCODING, K_EXPECT, K_COUNT };
/* Headers whose repetition could mean two things to two readers. */
static const char *const single[K_COUNT] = {
	[K_LENGTH]        = "content-length",
	[K_CODING]        = "transfer-encoding",
	[K_HOST]          = "host",
	[K_API_ID]        = "asapp-api-id",
	[K_API_SECRET]    = "asapp-api-secret",
	[K_AUTHORIZATION] = "authorization",
	[K_TYPE]          = "content-type",
	[K_ENCODING]      = "content-encoding",
	[K_EXPECT]        = "expect",
};
/* clang-format on */

static enum guard_result
refuse(struct guard *g, const struct guard_refusal *why)
{
	g->refusal = why;
	g->state = S_BAD;
	return GUARD_BAD;
}

static bool
is_token(unsigned char c)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
		return true;
	return c && strchr("!#$%&'*+-.^_`|~", c);
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static void
restart(struct guard *g)
{
	uint64_t limit = g->body_limit;

	*g = (struct guard){ .body_limit = limit };
}

void
guard_init(struct guard *g, uint64_t body_limit)
{
	*g = (struct guard){ .body_limit = body_limit };
}

bool
guard_idle(const struct guard *g)
{
	return g->state == S_START;
}

/* --- the request line --- */

static enum guard_result
on_method(struct guard *g, char c)
{
	if (c == ' ' && g->count) {
		g->state = S_TARGET;
		g->count = 0;
		return GUARD_MORE;
	}
	if (!is_token((unsigned char)c) || ++g->count > 20)
		return refuse(g, &bad_line);
	g->state = S_METHOD;
	return GUARD_MORE;
}

/* Origin form only: a path.  We are nobody's proxy. */
static enum guard_result
on_target(struct guard *g, char c)
{
	if (c == ' ' && g->count) {
		g->state = S_VERSION;
		g->count = 0;
		return GUARD_MORE;
	}
	if (c <= 0x20 || c > 0x7e || c == '#' || (!g->count && c != '/'))
		return refuse(g, &bad_line);
	if (++g->count > GUARD_TARGET_MAX)
		return refuse(g, &long_target);
	return GUARD_MORE;
}

static enum guard_result
on_version(struct guard *g, char c)
{
	static const char form[] = "HTTP/1.";

	if (g->count < sizeof(form) - 1) {
		if (c == form[g->count++])
			return GUARD_MORE;
		/* HTTP/2.0 is a version, HTTQ/1.1 is nonsense. */
		return refuse(g, g->count == 6 && c >= '0' && c <= '9' ? &bad_version : &bad_line);
	}
	if (g->count == sizeof(form) - 1) {
		if (c != '0' && c != '1')
			return refuse(g, c >= '2' && c <= '9' ? &bad_version : &bad_line);
		g->minor = c == '1';
		g->count++;
		return GUARD_MORE;
	}
	if (c != '\r')
		return refuse(g, &bad_line);
	g->state = S_LINE_LF;
	return GUARD_MORE;
}

/* --- headers --- */

static enum guard_result
on_name_end(struct guard *g)
{
	g->field = K_OTHER;
	for (unsigned i = 1; i < K_COUNT && g->count < GUARD_NAME_MAX; i++)
		if (!strncmp(g->name, single[i], g->count) && !single[i][g->count])
			g->field = (uint8_t)i;
	if (g->field && (g->seen & (1u << g->field)))
		return refuse(g, &bad_repeat);
	g->seen |= 1u << g->field;
	if (++g->headers > GUARD_HEADERS_MAX)
		return refuse(g, &long_headers);
	g->state = S_VALUE;
	g->count = 0;
	g->spaced = false;
	return GUARD_MORE;
}

static enum guard_result
on_name(struct guard *g, char c)
{
	if (c == ':' && g->count)
		return on_name_end(g);
	if (!is_token((unsigned char)c))
		return refuse(g, &bad_header);
	if (g->count < GUARD_NAME_MAX)
		g->name[g->count++] = lower(c);
	g->state = S_NAME;
	return GUARD_MORE;
}

static enum guard_result
on_length_char(struct guard *g, char c)
{
	if (c < '0' || c > '9')
		return refuse(g, &bad_length);
	if (++g->count > 18)
		return refuse(g, &too_large);
	g->left = g->left * 10 + (uint64_t)(c - '0');
	return GUARD_MORE;
}

static enum guard_result
on_coding_char(struct guard *g, char c)
{
	static const char form[] = "chunked";

	if (g->count >= sizeof(form) - 1 || lower(c) != form[g->count])
		return refuse(g, &bad_coding);
	g->chunked = ++g->count == sizeof(form) - 1;
	return GUARD_MORE;
}

/* One byte of a value whose form matters to framing or identity. */
static enum guard_result
on_known_char(struct guard *g, char c)
{
	if (c == ' ' || c == '\t') {
		g->spaced = g->count > 0;
		return GUARD_MORE;
	}
	if (g->spaced && g->field <= K_HOST) /* white space inside: "5, 6" */
		return refuse(g, g->field == K_LENGTH   ? &bad_length
				 : g->field == K_CODING ? &bad_coding
							: &bad_host);
	if (g->field == K_LENGTH)
		return on_length_char(g, c);
	if (g->field == K_CODING)
		return on_coding_char(g, c);
	if (g->field == K_HOST && (!c || strchr("/\\@?#,<>\"", c)))
		return refuse(g, &bad_host);
	if ((unsigned char)c >= 0x80)
		return refuse(g, &bad_header);
	if (g->count < UINT16_MAX)
		g->count++;
	return GUARD_MORE;
}

static enum guard_result
on_value(struct guard *g, char c)
{
	if (c == '\r') {
		if (g->field == K_LENGTH && !g->count)
			return refuse(g, &bad_length);
		if (g->field == K_CODING && !g->chunked)
			return refuse(g, g->count ? &bad_coding : &bad_header);
		g->state = S_LINE_LF;
		return GUARD_MORE;
	}
	if (((unsigned char)c < 0x20 && c != '\t') || c == 0x7f)
		return refuse(g, &bad_header);
	return g->field ? on_known_char(g, c) : GUARD_MORE;
}

static enum guard_result
on_line(struct guard *g, char c)
{
	if (c == '\r') {
		g->state = S_HEAD_LF;
		return GUARD_MORE;
	}
	g->count = 0;
	return on_name(g, c); /* white space first: a folded line, refused there */
}

static enum guard_result
on_head_end(struct guard *g)
{
	bool length = g->seen & (1u << K_LENGTH), coding = g->seen & (1u << K_CODING);

	if (length && coding)
		return refuse(g, &bad_framing);
	if (coding && !g->minor)
		return refuse(g, &bad_framing);
	if (g->minor && !(g->seen & (1u << K_HOST)))
		return refuse(g, &bad_host);
	if (g->left > g->body_limit)
		return refuse(g, &too_large);
	g->count = 0;
	if (coding) {
		g->state = S_SIZE;
		return GUARD_MORE;
	}
	g->state = S_BODY;
	return g->left ? GUARD_MORE : GUARD_DONE;
}

/* --- chunked bodies: no extensions, no trailers --- */

static enum guard_result
on_size(struct guard *g, char c)
{
	char l = lower(c);

	if (c == '\r' && g->count) {
		g->state = S_SIZE_LF;
		return GUARD_MORE;
	}
	if (!((c >= '0' && c <= '9') || (l >= 'a' && l <= 'f')))
		return refuse(g, &bad_chunk);
	if (++g->count > 8)
		return refuse(g, &too_large);
	g->left = g->left * 16 + (uint64_t)(c <= '9' ? c - '0' : l - 'a' + 10);
	return GUARD_MORE;
}

static enum guard_result
on_size_end(struct guard *g)
{
	g->total += g->left;
	if (g->total > g->body_limit)
		return refuse(g, &too_large);
	g->state = g->left ? S_CHUNK : S_LAST_CR;
	return GUARD_MORE;
}

static enum guard_result
expect(struct guard *g, char c, char want, enum state next)
{
	if (c != want)
		return refuse(g, g->state < S_BODY ? &bad_header : &bad_chunk);
	g->state = (uint8_t)next;
	return GUARD_MORE;
}

static enum guard_result
on_byte(struct guard *g, char c)
{
	switch ((enum state)g->state) {
	case S_START:
	case S_METHOD:
		return on_method(g, c);
	case S_TARGET:
		return on_target(g, c);
	case S_VERSION:
		return on_version(g, c);
	case S_LINE_LF:
		return expect(g, c, '\n', S_LINE);
	case S_LINE:
		return on_line(g, c);
	case S_NAME:
		return on_name(g, c);
	case S_VALUE:
		return on_value(g, c);
	case S_HEAD_LF:
		return c == '\n' ? on_head_end(g) : refuse(g, &bad_header);
	case S_SIZE:
		return on_size(g, c);
	case S_SIZE_LF:
		return c == '\n' ? on_size_end(g) : refuse(g, &bad_chunk);
	case S_CHUNK_CR:
		return expect(g, c, '\r', S_CHUNK_LF);
	case S_CHUNK_LF:
		g->count = 0;
		return expect(g, c, '\n', S_SIZE);
	case S_LAST_CR:
		return expect(g, c, '\r', S_LAST_LF);
	case S_LAST_LF:
		return c == '\n' ? GUARD_DONE : refuse(g, &bad_chunk);
	case S_BODY:
	case S_CHUNK:
	case S_BAD:
		break;
	}
	return GUARD_BAD;
}

/* Bytes of a body need no look.  Returns how many were skipped. */
static size_t
skip_body(struct guard *g, size_t len, enum guard_result *r)
{
	size_t n = g->left < len ? (size_t)g->left : len;

	g->left -= n;
	*r = GUARD_MORE;
	if (g->left)
		return n;
	if (g->state == S_CHUNK)
		g->state = S_CHUNK_CR;
	else
		*r = GUARD_DONE;
	return n;
}

enum guard_result
guard_feed(struct guard *g, const char *data, size_t len, size_t *used)
{
	enum guard_result r = g->state == S_BAD ? GUARD_BAD : GUARD_MORE;
	size_t i = 0;

	while (i < len && r == GUARD_MORE) {
		if (g->state == S_BODY || g->state == S_CHUNK) {
			i += skip_body(g, len - i, &r);
			continue;
		}
		r = on_byte(g, data[i++]);
		if (g->state < S_BODY && ++g->head > GUARD_HEAD_MAX && r == GUARD_MORE)
			r = refuse(g, &long_headers);
	}
	*used = i;
	if (r == GUARD_DONE)
		restart(g);
	return r;
}
