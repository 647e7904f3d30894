#include "sip-worker/sip/sdp.h"

#include <string.h>
#include <strings.h>

/* A piece of the text: nothing is copied until it is known to fit. */
struct span {
	const char *at;
	size_t len;
};

struct parser {
	struct sdp *sdp;
	struct sdp_media *media; /* NULL: still at session level */
	const char *why;
	enum sdp_address session_kind;
	struct addr session_address;
	enum media_direction session_direction;
	int session_ptime_ms, session_maxptime_ms;
};

static bool
fail(struct parser *p, const char *why)
{
	p->why = why;
	return false;
}

static bool
span_is(struct span s, const char *word)
{
	return s.len == strlen(word) && memcmp(s.at, word, s.len) == 0;
}

static bool
span_is_nocase(struct span s, const char *word)
{
	return s.len == strlen(word) && strncasecmp(s.at, word, s.len) == 0;
}

/* What is kept may be written into an answer: no carriage return or the like. */
static bool
span_copy(char *dst, size_t size, struct span s)
{
	if (s.len >= size)
		return false;
	memcpy(dst, s.at, s.len);
	dst[s.len] = '\0';
	return !str_has_control(dst);
}

/* The next word up to `sep`; *rest goes on behind it (also behind runs of spaces). */
static struct span
span_next(struct span *rest, char sep)
{
	struct span word = { rest->at, 0 };

	while (word.len < rest->len && rest->at[word.len] != sep)
		word.len++;
	rest->at += word.len;
	rest->len -= word.len;
	while (rest->len && rest->at[0] == sep) {
		rest->at++;
		rest->len--;
		if (sep != ' ')
			break;
	}
	return word;
}

/* Decimal digits only, at most `max`. */
static bool
span_number(struct span s, unsigned max, unsigned *out)
{
	unsigned n = 0;

	if (s.len == 0 || s.len > 6)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] < '0' || s.at[i] > '9')
			return false;
		n = n * 10 + (unsigned)(s.at[i] - '0');
	}
	if (n > max)
		return false;
	*out = n;
	return true;
}

/* "IN IP4 192.0.2.1" with an optional /ttl. A name is told apart, never resolved. */
static bool
parse_address(struct span s, enum sdp_address *kind, struct addr *out)
{
	char host[ADDR_TEXT_SIZE];
	struct span type;
	int family;

	if (!span_is_nocase(span_next(&s, ' '), "IN"))
		return false;
	type = span_next(&s, ' ');
	if (span_is_nocase(type, "IP4"))
		family = AF_INET;
	else if (span_is_nocase(type, "IP6"))
		family = AF_INET6;
	else
		return false;
	s = span_next(&s, ' ');
	s = span_next(&s, '/');
	if (s.len == 0)
		return false;
	*kind = SDP_NAME;
	if (s.at[0] == '[' || !span_copy(host, sizeof host, s))
		return true;
	if (addr_parse(host, 0, out) && addr_family(out) == family)
		*kind = SDP_NUMERIC;
	return true;
}

static bool
parse_connection(struct parser *p, struct span value)
{
	bool ok;

	if (p->media)
		ok = parse_address(value, &p->media->address_kind, &p->media->address);
	else
		ok = parse_address(value, &p->session_kind, &p->session_address);
	return ok || fail(p, "malformed c= line");
}

static void
add_format(struct sdp_media *m, struct span word)
{
	struct sdp_format *f = &m->formats[m->format_count];
	unsigned pt;

	if (m->format_count == SDP_FORMATS_MAX || !span_number(word, 127, &pt))
		return;
	f->payload_type = (uint8_t)pt;
	f->kind = pt == 0 ? SDP_PCMU : pt == 8 ? SDP_PCMA : SDP_OTHER;
	m->format_count++;
}

/* m=<media> <port>[/<count>] <proto> <fmt> ... */
static bool
parse_media(struct parser *p, struct span value)
{
	struct sdp_media *m = &p->sdp->media[p->sdp->count];
	struct span port, word;
	unsigned n;

	if (p->sdp->count == SDP_MEDIA_MAX)
		return fail(p, "too many m= lines");
	*m = (struct sdp_media){ .direction = p->session_direction,
				 .ptime_ms = p->session_ptime_ms,
				 .maxptime_ms = p->session_maxptime_ms,
				 .address_kind = p->session_kind,
				 .address = p->session_address };
	word = span_next(&value, ' ');
	if (word.len == 0 || !span_copy(m->line.media, sizeof m->line.media, word))
		return fail(p, "malformed m= line");
	word = span_next(&value, ' ');
	port = span_next(&word, '/');
	if (!span_number(port, 65535, &n))
		return fail(p, "malformed port in m= line");
	m->port = (uint16_t)n;
	word = span_next(&value, ' ');
	if (word.len == 0 || !span_copy(m->line.proto, sizeof m->line.proto, word))
		return fail(p, "malformed protocol in m= line");
	word = span_next(&value, ' ');
	if (word.len == 0 || !span_copy(m->line.format, sizeof m->line.format, word))
		return fail(p, "malformed format in m= line");
	for (; word.len; word = span_next(&value, ' '))
		add_format(m, word);
	p->media = m;
	p->sdp->count++;
	return true;
}

/* rtpmap:<pt> <name>/<clock>[/<channels>] */
static void
parse_rtpmap(struct sdp_media *m, struct span value)
{
	struct span pt_text = span_next(&value, ' ');
	struct span name = span_next(&value, '/');
	struct span clock_text = span_next(&value, '/');
	unsigned pt, rate = 0, channels = 1;
	bool narrow;

	if (!span_number(pt_text, 127, &pt))
		return;
	while (clock_text.len && clock_text.at[clock_text.len - 1] == ' ')
		clock_text.len--;
	while (value.len && value.at[value.len - 1] == ' ')
		value.len--;
	narrow = span_number(clock_text, 192000, &rate) && rate == 8000 &&
		 (value.len == 0 || (span_number(value, 16, &channels) && channels == 1));
	for (size_t i = 0; i < m->format_count; i++) {
		struct sdp_format *f = &m->formats[i];

		if (f->payload_type != pt)
			continue;
		f->kind = SDP_OTHER;
		if (narrow && span_is_nocase(name, "PCMU"))
			f->kind = SDP_PCMU;
		else if (narrow && span_is_nocase(name, "PCMA"))
			f->kind = SDP_PCMA;
		else if (narrow && span_is_nocase(name, "telephone-event"))
			f->kind = SDP_DTMF;
	}
}

/* rtcp:<port> [IN IP4 <address>] */
static void
parse_rtcp(struct sdp_media *m, struct span value)
{
	struct span port = span_next(&value, ' ');
	unsigned n;

	if (!span_number(port, 65535, &n))
		return;
	m->rtcp_port = (uint16_t)n;
	if (value.len && !parse_address(value, &m->rtcp_address_kind, &m->rtcp_address))
		m->rtcp_address_kind = SDP_NO_ADDRESS;
}

/* The peer puts first what it likes best. */
static void
parse_crypto(struct sdp_media *m, struct span value)
{
	struct sdes line;

	if (!m->crypto.key.suite && sdes_read(value.at, value.len, &line))
		m->crypto = line;
}

static bool
parse_direction(struct span name, enum media_direction *out)
{
	static const struct {
		const char *name;
		enum media_direction direction;
	} directions[] = {
		{ "sendrecv", MEDIA_SENDRECV },
		{ "sendonly", MEDIA_SENDONLY },
		{ "recvonly", MEDIA_RECVONLY },
		{ "inactive", MEDIA_INACTIVE },
	};

	for (size_t i = 0; i < ARRAY_LEN(directions); i++)
		if (span_is(name, directions[i].name)) {
			*out = directions[i].direction;
			return true;
		}
	return false;
}

/* Some write "ptime:20.0"; what stands before the point counts. */
static int
parse_ms(struct span value)
{
	unsigned n;

	value = span_next(&value, ' ');
	value = span_next(&value, '.');
	return span_number(value, 1000, &n) ? (int)n : 0;
}

static void
parse_attribute(struct parser *p, struct span value)
{
	struct span name = span_next(&value, ':');
	struct sdp_media *m = p->media;

	while (name.len && name.at[name.len - 1] == ' ')
		name.len--;
	if (parse_direction(name, m ? &m->direction : &p->session_direction))
		return;
	if (span_is(name, "ptime"))
		*(m ? &m->ptime_ms : &p->session_ptime_ms) = parse_ms(value);
	else if (span_is(name, "maxptime"))
		*(m ? &m->maxptime_ms : &p->session_maxptime_ms) = parse_ms(value);
	else if (m && span_is(name, "rtpmap"))
		parse_rtpmap(m, value);
	else if (m && span_is(name, "rtcp"))
		parse_rtcp(m, value);
	else if (m && span_is(name, "crypto"))
		parse_crypto(m, value);
	else if (m && span_is(name, "rtcp-mux"))
		m->rtcp_mux = true;
}

static bool
parse_line(struct parser *p, struct span line)
{
	struct span value = { line.at + 2, line.len - 2 };

	if (memchr(line.at, '\0', line.len))
		return fail(p, "NUL in the description");
	switch (line.at[0]) {
	case 'm':
		return parse_media(p, value);
	case 'c':
		return parse_connection(p, value);
	case 'a':
		parse_attribute(p, value);
		return true;
	default:
		return true;
	}
}

static struct span
next_line(struct span *rest)
{
	struct span line = span_next(rest, '\n');

	while (line.len && (line.at[line.len - 1] == '\r' || line.at[line.len - 1] == ' '))
		line.len--;
	return line;
}

bool
sdp_parse(const char *text, size_t len, struct sdp *out, const char **why)
{
	struct parser p = { .sdp = out };
	struct span rest = { text, len };
	size_t lines = 0;

	out->count = 0;
	*why = "session description too long";
	if (len > SDP_TEXT_MAX)
		return false;
	while (rest.len) {
		struct span line = next_line(&rest);

		if (line.len == 0)
			continue;
		*why = "session description malformed";
		if (line.len < 2 || line.at[1] != '=' || ++lines > SDP_LINES_MAX ||
		    (lines == 1 && !span_is(line, "v=0")))
			return false;
		if (!parse_line(&p, line)) {
			*why = p.why;
			return false;
		}
	}
	*why = "session description without media";
	return out->count > 0;
}
