/* One scalar of the configuration: from text, and back. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config_rows.h"

struct unit {
	const char *suffix;
	int64_t factor;
};

/* clang-format off */
static const struct unit durations[] = {
	{ "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 },
};
static const struct unit sizes[] = {
	{ "KiB", 1 << 10 }, { "MiB", 1 << 20 }, { "GiB", 1 << 30 }, { "", 1 },
};
/* clang-format on */

bool
creader_fail(struct creader *r, int line, const char *fmt, ...)
{
	char where[160], what[320];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	ignore_err(str_print(where, sizeof(where), "%s:%d", r->name, line) ? ERR_OK : ERR_INVALID);
	fault_set(r->f, where, "%s", what);
	return false;
}

static bool
expected(struct creader *r, const struct crow *row, const struct ynode *n, const char *what)
{
	return creader_fail(r, n->line, "%s%sexpected %s, found \"%.60s\"", row->path,
			    row->path[0] ? ": " : "", what, n->text);
}

/* A whole number and a unit; "0" needs none. */
static bool
with_unit(const char *text, const struct unit *units, size_t count, int64_t *out)
{
	size_t digits = strspn(text, "0123456789");
	char number[24];
	int64_t n;

	if (digits == 0 || digits >= sizeof(number))
		return false;
	memcpy(number, text, digits);
	number[digits] = '\0';
	if (!str_to_int64(number, 0, INT64_MAX, &n))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!str_eq(text + digits, units[i].suffix))
			continue;
		return !__builtin_mul_overflow(n, units[i].factor, out);
	}
	*out = 0;
	return n == 0 && text[digits] == '\0';
}

static bool
in_range(struct creader *r, const struct crow *row, const struct ynode *n, int64_t value)
{
	if ((row->min == 0 && row->max == 0) || (value >= row->min && value <= row->max))
		return true;
	return creader_fail(r, n->line, "%s: \"%.60s\" is out of range (%lld to %lld%s)", row->path,
			    n->text, (long long)row->min, (long long)row->max,
			    row->type == C_DURATION  ? " ms"
			    : row->type == C_SECONDS ? " s"
			    : row->type == C_SIZE    ? " bytes"
						     : "");
}

static bool
read_number(struct creader *r, const struct crow *row, const struct ynode *n, void *at)
{
	int64_t v = 0;

	if (row->type == C_INT || row->type == C_INT32) {
		if (!str_to_int64(n->text, INT64_MIN, INT64_MAX, &v))
			return expected(r, row, n, "a whole number");
	} else if (row->type == C_SIZE) {
		if (!with_unit(n->text, sizes, ARRAY_LEN(sizes), &v))
			return expected(r, row, n, "a size such as 64KiB or 1MiB");
	} else if (!with_unit(n->text, durations, ARRAY_LEN(durations), &v)) {
		return expected(r, row, n, "a duration such as 500ms, 60s, 10m, 24h or 30d");
	}
	if (row->type == C_SECONDS)
		v /= 1000;
	if (!in_range(r, row, n, v))
		return false;
	if (row->type == C_INT32)
		*(int *)at = (int)v;
	else
		*(int64_t *)at = v;
	return true;
}

static bool
read_text(struct creader *r, const struct crow *row, const struct ynode *n, void *at)
{
	char *copy;
	size_t size;

	if (str_has_control(n->text))
		return creader_fail(r, n->line, "%s: control characters are not allowed",
				    row->path);
	if (row->type == C_TEXT || n->text[0] == '/' || n->text[0] == '\0') {
		copy = strdup(n->text);
	} else {
		size = strlen(r->dir) + strlen(n->text) + 2;
		copy = malloc(size);
		if (copy && !str_print(copy, size, "%s/%s", r->dir, n->text))
			copy[0] = '\0';
	}
	*(char **)at = copy;
	return copy || creader_fail(r, n->line, "out of memory");
}

static int
name_index(const char *const *names, const char *text)
{
	for (int i = 0; names[i]; i++)
		if (str_eq(names[i], text))
			return i;
	return -1;
}

static bool
read_name(struct creader *r, const struct crow *row, const struct ynode *n, int *out)
{
	struct buf all;
	int i = name_index(row->names, n->text);

	*out = i;
	if (i >= 0)
		return true;
	buf_init(&all, 256);
	for (int k = 0; row->names[k]; k++)
		buf_printf(&all, "%s%s", k ? ", " : "one of ", row->names[k]);
	expected(r, row, n, all.data ? all.data : "a known word");
	buf_finish(&all);
	return false;
}

static bool
read_enums(struct creader *r, const struct crow *row, const struct ynode *n, void *at)
{
	int *items = at, value;
	size_t count = 0; /* at most as many as there are names: none stands twice */

	if (n->kind != Y_SEQ || n->count == 0)
		return creader_fail(r, n->line, "%s: expected a list of at least one", row->path);
	for (size_t i = 0; i < n->count; i++) {
		if (n->items[i]->kind != Y_SCALAR)
			return creader_fail(r, n->items[i]->line, "%s: expected a word", row->path);
		if (!read_name(r, row, n->items[i], &value))
			return false;
		for (size_t k = 0; k < count; k++)
			if (items[k] == value)
				return creader_fail(r, n->items[i]->line, "%s: \"%s\" stands twice",
						    row->path, n->items[i]->text);
		items[count++] = value;
	}
	memcpy((char *)at - row->offset + row->count_offset, &count, sizeof(count));
	return true;
}

static bool
read_ports(struct creader *r, const struct crow *row, const struct ynode *n, void *at)
{
	char first[8];
	const char *dash = strchr(n->text, '-');
	int64_t a, b;
	uint16_t *out = at;

	if (!dash || (size_t)(dash - n->text) >= sizeof(first))
		return expected(r, row, n, "a port range such as 20000-29999");
	memcpy(first, n->text, (size_t)(dash - n->text));
	first[dash - n->text] = '\0';
	if (!str_to_int64(first, 1024, 65534, &a) || !str_to_int64(dash + 1, 1025, 65535, &b) ||
	    b <= a)
		return expected(r, row, n, "a port range within 1024-65535, at least two ports");
	out[0] = (uint16_t)a;
	out[1] = (uint16_t)b;
	return true;
}

static bool
read_listen(struct creader *r, const struct crow *row, const struct ynode *n, void *at)
{
	static const char *const schemes[] = { "udp:", "tcp:", "tls:" };
	struct sip_listen *out = at;

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		if (!str_starts(n->text, schemes[i]))
			continue;
		out->transport = (enum sip_transport)i;
		if (addr_parse_hostport(n->text + 4, &out->addr))
			return true;
	}
	return expected(r, row, n,
			"udp:HOST:PORT, tcp:HOST:PORT or tls:HOST:PORT with a numeric host");
}

static bool
read_secret(struct creader *r, const struct crow *row, const struct ynode *n, void *at)
{
	if (str_has_control(n->text))
		return creader_fail(r, n->line, "%s: control characters are not allowed",
				    row->path);
	return secret_set(at, n->text, strlen(n->text)) ||
	       creader_fail(r, n->line, "out of memory");
}

static bool
read_address(struct creader *r, const struct crow *row, const struct ynode *n, void *at)
{
	if (row->type == C_HOSTPORT)
		return addr_parse_hostport(n->text, at) ||
		       expected(r, row, n, "HOST:PORT with a numeric host ([…]:PORT for IPv6)");
	if (row->type == C_HOST)
		return addr_parse(n->text, 0, at) ||
		       expected(r, row, n, "a numeric IPv4 or IPv6 address");
	return cidr_parse(n->text, at) ||
	       expected(
		       r, row, n,
		       "an address or a block such as 10.0.0.0/8 or 2001:db8::/32, host bits zero");
}

bool
cvalue_read(struct creader *r, const struct crow *row, const struct ynode *n, void *at)
{
	int i = 0;

	if (row->type == C_ENUMS)
		return read_enums(r, row, n, at);
	if (n->kind != Y_SCALAR)
		return creader_fail(r, n->line, "%s: expected a single value", row->path);
	switch (row->type) {
	case C_TEXT:
	case C_PATH:
		return read_text(r, row, n, at);
	case C_INT:
	case C_INT32:
	case C_DURATION:
	case C_SECONDS:
	case C_SIZE:
		return read_number(r, row, n, at);
	case C_BOOL:
		if (!str_eq(n->text, "true") && !str_eq(n->text, "false"))
			return expected(r, row, n, "true or false");
		*(bool *)at = str_eq(n->text, "true");
		return true;
	case C_ENUM:
		if (!read_name(r, row, n, &i))
			return false;
		*(int *)at = i;
		return true;
	case C_CHOICE:
		if (!read_name(r, row, n, &i))
			return false;
		*(bool *)at = i == 1;
		return true;
	case C_SECRET:
		return read_secret(r, row, n, at);
	case C_HOST:
	case C_HOSTPORT:
	case C_CIDR:
		return read_address(r, row, n, at);
	case C_PORTS:
		return read_ports(r, row, n, at);
	case C_LISTEN:
		return read_listen(r, row, n, at);
	case C_ENUMS:
	case C_LIST:
	case C_MAP:
		break;
	}
	return creader_fail(r, n->line, "%s: expected another kind of value", row->path);
}

/* --- printing --- */

static void
print_quoted(const char *s, struct buf *out)
{
	buf_add_str(out, "\"");
	for (; s && *s; s++) {
		if (*s == '"' || *s == '\\')
			buf_add_str(out, "\\");
		if (*s == '$') /* it would be a reference when read again */
			buf_add_str(out, "$");
		buf_add(out, s, 1);
	}
	buf_add_str(out, "\"");
}

/* The largest unit that divides it. */
static void
print_unit(int64_t v, const struct unit *units, size_t count, struct buf *out)
{
	const struct unit *best = NULL;

	for (size_t i = 0; i < count; i++)
		if (v && v % units[i].factor == 0 && (!best || units[i].factor > best->factor))
			best = &units[i];
	buf_printf(out, "%lld%s", best ? (long long)(v / best->factor) : (long long)v,
		   best ? best->suffix : "");
}

static void
print_cidr(const struct cidr *c, struct buf *out)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct addr a = { 0 };
	char text[ADDR_TEXT_SIZE];
	bool v4 = c->bits >= 96 && memcmp(c->ip, mapped, sizeof(mapped)) == 0;

	a.sa.sa_family = v4 ? AF_INET : AF_INET6;
	if (v4)
		memcpy(&a.v4.sin_addr, c->ip + 12, 4);
	else
		memcpy(&a.v6.sin6_addr, c->ip, 16);
	buf_printf(out, "\"%s/%d\"", addr_host(&a, text), v4 ? c->bits - 96 : c->bits);
}

static void
print_enums(const struct crow *row, const void *at, struct buf *out)
{
	const int *items = at;
	size_t count;

	memcpy(&count, (const char *)at - row->offset + row->count_offset, sizeof(count));
	buf_add_str(out, "[ ");
	for (size_t i = 0; i < count; i++)
		buf_printf(out, "%s%s", i ? ", " : "", row->names[items[i]]);
	buf_add_str(out, " ]");
}

void
cvalue_print(const struct crow *row, const void *at, struct buf *out)
{
	static const char *const schemes[] = { "udp", "tcp", "tls" };
	char text[ADDR_TEXT_SIZE];
	const struct sip_listen *l = at;

	switch (row->type) {
	case C_TEXT:
	case C_PATH:
		print_quoted(*(char *const *)at, out);
		break;
	case C_INT:
		buf_printf(out, "%lld", (long long)*(const int64_t *)at);
		break;
	case C_INT32:
		buf_printf(out, "%d", *(const int *)at);
		break;
	case C_DURATION:
		print_unit(*(const int64_t *)at, durations, ARRAY_LEN(durations), out);
		break;
	case C_SECONDS:
		print_unit(*(const int64_t *)at * 1000, durations, ARRAY_LEN(durations), out);
		break;
	case C_SIZE:
		print_unit(*(const int64_t *)at, sizes, ARRAY_LEN(sizes), out);
		break;
	case C_BOOL:
		buf_add_str(out, *(const bool *)at ? "true" : "false");
		break;
	case C_ENUM:
		buf_add_str(out, row->names[*(const int *)at]);
		break;
	case C_CHOICE:
		buf_add_str(out, row->names[*(const bool *)at]);
		break;
	case C_ENUMS:
		print_enums(row, at, out);
		break;
	case C_SECRET:
		buf_add_str(out, ((const struct secret *)at)->len ? "\"********\"" : "\"\"");
		break;
	case C_HOST:
		buf_printf(out, "\"%s\"", addr_host(at, text));
		break;
	case C_HOSTPORT:
		buf_printf(out, "\"%s\"", addr_text(at, text));
		break;
	case C_CIDR:
		print_cidr(at, out);
		break;
	case C_PORTS:
		buf_printf(out, "%u-%u", ((const uint16_t *)at)[0], ((const uint16_t *)at)[1]);
		break;
	case C_LISTEN:
		buf_printf(out, "\"%s:%s\"", schemes[l->transport], addr_text(&l->addr, text));
		break;
	case C_LIST:
	case C_MAP:
		break;
	}
}
