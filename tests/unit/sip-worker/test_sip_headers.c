#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/id.h"
#include "sip-worker/sip/internal.h"

#define START                                                                    \
	"INVITE sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: " \
	"<sip:b@h>;tag=1\r\n"                                                    \
	"To: <sip:a@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n"

static struct account account = { .name = (char[]){ "demo" } };

static msg_t *
message(const char *headers)
{
	char text[20000];
	msg_t *msg;

	assert_true(str_print(text, sizeof text, START "%sContent-Length: 0\r\n\r\n", headers));
	msg = msg_make(sip_default_mclass(), 0, text, -1);
	assert_non_null(msg);
	return msg;
}

static void
expect(const char *headers, const char *variables, const char *context)
{
	msg_t *msg = message(headers);
	struct invite_headers h;
	char *got;

	assert_true(headers_read(&h, sip_object(msg), &account));
	got = json_dumps(h.input_variables, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(got, variables);
	free(got);
	got = json_dumps(h.headers, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(got, context);
	free(got);
	headers_finish(&h);
	msg_destroy(msg);
}

static void
context(void **state)
{
	(void)state;
	expect("Subject: x\r\n", "{}", "{}");
	expect("X-One: 1\r\nx-TWO: 2\r\nX-One: 3\r\n", "{}", "{\"X-One\":\"3\",\"x-TWO\":\"2\"}");
	expect("User-to-User: a;encoding=hex\r\nDiversion: <sip:d@h>;reason=x\r\n"
	       "P-Asserted-Identity: \"N\" <sip:n@h>\r\n",
	       "{}",
	       "{\"Diversion\":\"<sip:d@h>;reason=x\",\"P-Asserted-Identity\":\"\\\"N\\\" "
	       "<sip:n@h>\","
	       "\"User-to-User\":\"a;encoding=hex\"}");
	expect("X-GA-iv-Name: John Doe\r\nx-ga-IV-name: j\r\nX-GA-iv-: none\r\nX-GA-iv-Name: "
	       "last\r\n",
	       "{\"Name\":\"last\",\"name\":\"j\"}",
	       "{\"X-GA-iv-\":\"none\",\"X-GA-iv-Name\":\"last\",\"x-ga-IV-name\":\"j\"}");
	/* A folded value is one line, foreign bytes are replaced, tabs are spaces. */
	expect("X-F: a\r\n \tb\r\nX-L: \xe4 \xc3\xa4\r\nX-T: a\tb\r\n", "{}",
	       "{\"X-F\":\"a b\",\"X-L\":\"\xef\xbf\xbd \xc3\xa4\",\"X-T\":\"a b\"}");
}

static struct invite_headers
read_all(const char *headers)
{
	msg_t *msg = message(headers);
	struct invite_headers h;

	assert_true(headers_read(&h, sip_object(msg), &account));
	msg_destroy(msg);
	headers_finish(&h);
	return h;
}

static void
transfer(void **state)
{
	char text[1024] = "X-ASAPP-CallTransferId: ";
	struct invite_headers h;

	(void)state;
	h = read_all("");
	assert_false(h.has_transfer || h.conflicting || h.has_task);
	h = read_all(
		"x-asapp-calltransferid: id-1\r\nX-GA-taskName: t\r\nX-GA-extConversationId: e\r\n"
		"X-GA-customerId: c\r\n");
	assert_true(h.has_transfer && h.has_task && h.has_conversation && h.has_customer);
	assert_string_equal(h.transfer, "id-1");
	assert_string_equal(h.task, "t");
	h = read_all("X-ASAPP-CallTransferId: a\r\nX-ASAPP-CallTransferId: a\r\n");
	assert_false(h.conflicting);
	h = read_all("X-ASAPP-CallTransferId: a\r\nX-ASAPP-CallTransferId: b\r\n");
	assert_true(h.conflicting);
	h = read_all("X-ASAPP-CallTransferId: \r\n");
	assert_false(h.has_transfer);
	/* 256 bytes are an id; 257 are none, and not the first 256 of one. */
	memset(text + strlen(text), 'x', 256);
	memcpy(text + strlen(text), "\r\n", 3);
	h = read_all(text);
	assert_int_equal(strlen(h.transfer), 256);
	memcpy(text + strlen(text) - 2, "x\r\n", 4);
	h = read_all(text);
	assert_true(h.has_transfer);
	assert_string_equal(h.transfer, "?");
}

static void
loop_marker(void **state)
{
	struct account other = { .name = (char[]){ "other" } };
	char token[SIP_LOOP_TOKEN_SIZE], text[128];

	(void)state;
	headers_loop_token(&account, token);
	str_print(text, sizeof text, "%s: %s\r\n", SIP_LOOP_HEADER, token);
	assert_true(read_all(text).looped);
	headers_loop_token(&other, token);
	str_print(text, sizeof text, "%s: %s\r\n", SIP_LOOP_HEADER, token);
	assert_false(read_all(text).looped);
}

static void
cleans(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "a\r\n b", "a b" },
		{ "\x01\x02", "" },
		{ "a\x7f", "a" },
		{ "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
		{ "\xf0\x9f\x98", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xed\xa0\x80x", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdx" },
	};
	char out[64];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		assert_true(headers_clean(out, sizeof out, cases[i].in));
		assert_string_equal(out, cases[i].out);
	}
	assert_false(headers_clean(out, 4, "abcd"));
	assert_string_equal(out, "abc");
	/* A character is not cut in two. */
	assert_false(headers_clean(out, 4, "ab\xc3\xa4"));
	assert_string_equal(out, "ab");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(context),
		cmocka_unit_test(transfer),
		cmocka_unit_test(loop_marker),
		cmocka_unit_test(cleans),
	};

	if (!id_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
