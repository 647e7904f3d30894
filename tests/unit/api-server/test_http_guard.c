/* The strict reader in front of libmicrohttpd: what passes, what does not, and that it does not
 * matter how the bytes are cut. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api-server/http/guard.h"

#define LIMIT 64
#define HOST  "Host: h\r\n"
#define GET   "GET / HTTP/1.1\r\n"
#define POST  "POST / HTTP/1.1\r\n" HOST

struct vector {
	const char *name;
	const char *text;
	size_t len;
	int status; /* 0: whole requests */
	int whole;  /* how many */
};
#define V(name, text, status, whole)                        \
	{                                                   \
		name, text, sizeof(text) - 1, status, whole \
	}

/* clang-format off */
static const struct vector vectors[] = {
	V("plain",             GET HOST "\r\n", 0, 1),
	V("1.0 without host",  "GET / HTTP/1.0\r\n\r\n", 0, 1),
	V("query",             "GET /a?b=%00&c HTTP/1.1\r\n" HOST "\r\n", 0, 1),
	V("body",              POST "Content-Length: 3\r\n\r\nabc", 0, 1),
	V("empty body",        POST "Content-Length: 0\r\n\r\n", 0, 1),
	V("pipelined",         GET HOST "\r\n" POST "Content-Length: 3\r\n\r\nabc" GET HOST "\r\n", 0, 3),
	V("body full of CRLF", POST "Content-Length: 4\r\n\r\n\r\n\r\n" GET HOST "\r\n", 0, 2),
	V("chunked",           POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", 0, 1),
	V("chunked, case",     POST "transfer-ENCODING:\tChunKed \r\n\r\n0\r\n\r\n" GET HOST "\r\n", 0, 2),
	V("length in blanks",  POST "Content-Length: \t 3 \t\r\n\r\nabc", 0, 1),
	V("no blank",          POST "Content-Length:3\r\n\r\nabc", 0, 1),
	V("empty value",       GET HOST "X-Empty:\r\n\r\n", 0, 1),
	V("obs-text",          GET HOST "X-Name: J\xc3\xb6rg\r\n\r\n", 0, 1),
	V("ipv6 host",         GET "Host: [::1]:8080\r\n\r\n", 0, 1),
	V("long name",         GET HOST "Content-Length-And-Some-More-Of-It: x\r\n\r\n", 0, 1),
	V("same plain header", GET HOST "X-A: 1\r\nX-A: 2\r\n\r\n", 0, 1),
	V("two parts",         GET HOST "Accept: a,\tb\r\n\r\n", 0, 1),

	V("two lengths",       POST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400, 0),
	V("same lengths",      POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400, 0),
	V("lengths, listed",   POST "Content-Length: 3, 3\r\n\r\nabc", 400, 0),
	V("lengths, blank",    POST "Content-Length: 3 3\r\n\r\nabc", 400, 0),
	V("length and coding", POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, 0),
	V("coding and length", POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400, 0),
	V("two codings",       POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, 0),
	V("coding list",       POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, 0),
	V("coding twice",      POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 501, 0),
	V("coding, cut",       POST "Transfer-Encoding: chunke\r\n\r\n0\r\n\r\n", 501, 0),
	V("coding, longer",    POST "Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n", 501, 0),
	V("coding, VT",        POST "Transfer-Encoding:\x0b" "chunked\r\n\r\n0\r\n\r\n", 400, 0),
	V("coding, quoted",    POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 501, 0),
	V("coding, empty",     POST "Transfer-Encoding:\r\n\r\n0\r\n\r\n", 400, 0),
	V("coding in 1.0",     "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, 0),
	V("blank, colon",      POST "Content-Length : 3\r\n\r\nabc", 400, 0),
	V("tab, colon",        POST "Content-Length\t: 3\r\n\r\nabc", 400, 0),
	V("blank, name",       GET HOST " X-A: 1\r\n\r\n", 400, 0),
	V("blank first name",  GET " X-A: 1\r\n" HOST "\r\n", 400, 0),
	V("folded",            GET HOST "X-A: 1\r\n 2\r\n\r\n", 400, 0),
	V("folded by tab",     GET HOST "X-A: 1\r\n\t2\r\n\r\n", 400, 0),
	V("no colon",          GET HOST "X-A\r\n\r\n", 400, 0),
	V("no name",           GET HOST ": a\r\n\r\n", 400, 0),
	V("NUL in value",      GET HOST "asapp-api-id: a\0b\r\n\r\n", 400, 0),
	V("NUL in name",       GET HOST "X\0A: b\r\n\r\n", 400, 0),
	V("NUL in target",     "GET /\0 HTTP/1.1\r\n" HOST "\r\n", 400, 0),
	V("DEL in value",      GET HOST "X-A: \x7f\r\n\r\n", 400, 0),
	V("bare LF line",      "GET / HTTP/1.1\n" HOST "\r\n", 400, 0),
	V("bare LF header",    GET HOST "X-A: 1\nX-B: 2\r\n\r\n", 400, 0),
	V("bare LF end",       GET HOST "\n", 400, 0),
	V("bare CR",           GET HOST "X-A: 1\rX-B: 2\r\n\r\n", 400, 0),
	V("CR CR LF",          GET HOST "X-A: 1\r\r\n\r\n", 400, 0),
	V("id twice",          GET HOST "asapp-api-id: a\r\nASAPP-API-ID: a\r\n\r\n", 400, 0),
	V("secret twice",      GET HOST "asapp-api-secret: a\r\nasapp-api-secret: b\r\n\r\n", 400, 0),
	V("type twice",        GET HOST "Content-Type: a\r\nContent-Type: b\r\n\r\n", 400, 0),
	V("authorization",     GET HOST "Authorization: a\r\nAuthorization: a\r\n\r\n", 400, 0),
	V("two hosts",         GET HOST HOST "\r\n", 400, 0),
	V("no host",           GET "\r\n", 400, 0),
	V("host, path",        GET "Host: a/b\r\n\r\n", 400, 0),
	V("host, user",        GET "Host: a@b\r\n\r\n", 400, 0),
	V("host, two words",   GET "Host: a b\r\n\r\n", 400, 0),
	V("negative length",   POST "Content-Length: -1\r\n\r\n", 400, 0),
	V("length with plus",  POST "Content-Length: +3\r\n\r\nabc", 400, 0),
	V("length in hex",     POST "Content-Length: 0x3\r\n\r\nabc", 400, 0),
	V("empty length",      POST "Content-Length: \r\n\r\n", 400, 0),
	V("huge length",       POST "Content-Length: 99999999999999999999\r\n\r\n", 413, 0),
	V("length over limit", POST "Content-Length: 65\r\n\r\n", 413, 0),
	V("chunks over limit", POST "Transfer-Encoding: chunked\r\n\r\n20\r\n01234567890123456789012345678901\r\n"
	                       "21\r\n", 413, 0),
	V("chunk size long",   POST "Transfer-Encoding: chunked\r\n\r\n000000001\r\n", 413, 0),
	V("chunk size sign",   POST "Transfer-Encoding: chunked\r\n\r\n+1\r\na\r\n", 400, 0),
	V("chunk size 0x",     POST "Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n", 400, 0),
	V("chunk size empty",  POST "Transfer-Encoding: chunked\r\n\r\n\r\n", 400, 0),
	V("chunk size blank",  POST "Transfer-Encoding: chunked\r\n\r\n1 \r\na\r\n", 400, 0),
	V("chunk extension",   POST "Transfer-Encoding: chunked\r\n\r\n1;a=b\r\na\r\n", 400, 0),
	V("chunk bare LF",     POST "Transfer-Encoding: chunked\r\n\r\n1\na\r\n", 400, 0),
	V("chunk too long",    POST "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400, 0),
	V("chunk end LF",      POST "Transfer-Encoding: chunked\r\n\r\n1\r\na\n0\r\n\r\n", 400, 0),
	V("trailer",           POST "Transfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\r\n\r\n", 400, 0),
	V("absolute target",   "GET http://h/ HTTP/1.1\r\n" HOST "\r\n", 400, 0),
	V("asterisk",          "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 400, 0),
	V("authority",         "CONNECT h:1 HTTP/1.1\r\n" HOST "\r\n", 400, 0),
	V("fragment",          "GET /# HTTP/1.1\r\n" HOST "\r\n", 400, 0),
	V("two blanks",        "GET  / HTTP/1.1\r\n" HOST "\r\n", 400, 0),
	V("tab for blank",     "GET\t/ HTTP/1.1\r\n" HOST "\r\n", 400, 0),
	V("blank in target",   "GET /a b HTTP/1.1\r\n" HOST "\r\n", 400, 0),
	V("8 bit target",      "GET /\xe4 HTTP/1.1\r\n" HOST "\r\n", 400, 0),
	V("0.9",               "GET /\r\n", 400, 0),
	V("trailing blank",    "GET / HTTP/1.1 \r\n" HOST "\r\n", 400, 0),
	V("version 2",         "PRI / HTTP/2.0\r\n", 505, 0),
	V("version 1.2",       "GET / HTTP/1.2\r\n", 505, 0),
	V("version 1.10",      "GET / HTTP/1.10\r\n", 400, 0),
	V("version case",      "GET / http/1.1\r\n", 400, 0),
	V("method",            "G(T / HTTP/1.1\r\n", 400, 0),
	V("empty line",        "\r\n" GET HOST "\r\n", 400, 0),
	V("TLS hello",         "\x16\x03\x01\x02\x00\x01\x00", 400, 0),
	V("bad second",        GET HOST "\r\nGET / HTTP/1.1\r\nHost : h\r\n\r\n", 400, 1),
	V("body left over",    POST "Content-Length: 3\r\n\r\nabcd / HTTP/1.1\r\n\r\n", 400, 1),
};
/* clang-format on */

/* Feeds in pieces; returns the status of a refusal, 0 for none, -1 for an unfinished request. */
static int
feed(const char *text, size_t len, size_t piece, int *whole)
{
	struct guard g;
	size_t used;

	guard_init(&g, LIMIT);
	*whole = 0;
	for (size_t at = 0; at < len; at += used) {
		size_t n = len - at < piece ? len - at : piece;
		char *copy = malloc(n); /* exact, so that a sanitizer sees a byte too far */
		enum guard_result r;

		memcpy(copy, text + at, n);
		r = guard_feed(&g, copy, n, &used);
		free(copy);
		assert_true(used > 0 && used <= n);
		if (r == GUARD_BAD)
			return g.refusal->status;
		if (r == GUARD_DONE)
			(*whole)++;
		else
			assert_int_equal(used, n);
	}
	return guard_idle(&g) ? 0 : -1;
}

static void
test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		const struct vector *v = &vectors[i];
		static const size_t pieces[] = { 1, 2, 3, 7, 100000 };

		for (size_t p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++) {
			int whole, status = feed(v->text, v->len, pieces[p], &whole);

			if (status != v->status || whole != v->whole)
				fail_msg("%s, in pieces of %zu: %d after %d requests", v->name,
					 pieces[p], status, whole);
		}
	}
}

static void
test_refused_stays_refused(void **state)
{
	struct guard g;
	size_t used;

	(void)state;
	guard_init(&g, LIMIT);
	assert_int_equal(guard_feed(&g, "\r", 1, &used), GUARD_BAD);
	assert_int_equal(guard_feed(&g, GET HOST "\r\n", strlen(GET HOST) + 2, &used), GUARD_BAD);
}

static int
feed_grown(const char *head, char fill, size_t count, const char *tail)
{
	size_t len = strlen(head) + count + strlen(tail);
	char *text = malloc(len + 1);
	int whole, status;

	memcpy(text, head, strlen(head));
	memset(text + strlen(head), fill, count);
	memcpy(text + strlen(head) + count, tail, strlen(tail) + 1);
	status = feed(text, len, 1000, &whole);
	free(text);
	return status;
}

static void
test_sizes(void **state)
{
	char *many = malloc(8 * 70 + 1), *p = many;
	int whole;

	(void)state;
	assert_int_equal(
		feed_grown("GET /", 'a', GUARD_TARGET_MAX - 1, " HTTP/1.1\r\n" HOST "\r\n"), 0);
	assert_int_equal(feed_grown("GET /", 'a', GUARD_TARGET_MAX, " HTTP/1.1\r\n" HOST "\r\n"),
			 414);
	assert_int_equal(feed_grown(GET HOST "X: ", 'a', GUARD_HEAD_MAX - 50, "\r\n\r\n"), 0);
	assert_int_equal(feed_grown(GET HOST "X: ", 'a', GUARD_HEAD_MAX, "\r\n\r\n"), 431);
	assert_int_equal(feed_grown(GET HOST, 'a', GUARD_HEAD_MAX, ": b\r\n\r\n"), 431);
	assert_int_equal(feed_grown("", 'A', 21, " / HTTP/1.1\r\n"), 400);
	for (int i = 0; i < GUARD_HEADERS_MAX + 1; i++)
		p += snprintf(p, 9, "X%d: a\r\n", i % 10);
	*p = '\0';
	p = malloc(1000);
	snprintf(p, 1000, "GET / HTTP/1.0\r\n%s\r\n", many);
	assert_int_equal(feed(p, strlen(p), 1000, &whole), 431);
	free(p);
	free(many);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_refused_stays_refused),
		cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
