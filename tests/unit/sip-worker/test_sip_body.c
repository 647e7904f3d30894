#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "sip-worker/sip/body.h"
#include "sip-worker/sip/info.h"

static void
finds_the_description(void **state)
{
	static const struct {
		const char *type, *body;
		enum body_kind kind;
		const char *sdp;
	} cases[] = {
		/* clang-format off */
		{ "application/sdp", "", BODY_NONE, NULL },
		{ NULL, "v=0", BODY_UNSUPPORTED, NULL },
		{ "application/sdp", "v=0", BODY_SDP, "v=0" },
		{ "Application/SDP;charset=utf-8", "v=0", BODY_SDP, "v=0" },
		{ "application/sdpx", "v=0", BODY_UNSUPPORTED, NULL },
		{ "text/plain", "v=0", BODY_UNSUPPORTED, NULL },
		{ "multipart/mixed", "v=0", BODY_MALFORMED, NULL },
		{ "multipart/mixed;boundary=x", "v=0", BODY_MALFORMED, NULL },
		{ "multipart/mixed;boundary=", "--\r\n", BODY_MALFORMED, NULL },
		{ "multipart/mixed;boundary=x", "--x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--x--\r\n", BODY_SDP, "v=0" },
		{ "multipart/mixed; boundary=\"x y\"", "pre\r\n--x y\nc: application/sdp\n\nv=0\n\n--x y--", BODY_SDP, "v=0\n" },
		{ "multipart/related;type=a;BOUNDARY = x", "--x\r\nContent-Type: text/xml\r\n\r\n<a/>\r\n--x\r\nA: b\r\ncontent-type:application/sdp\r\n\r\nv=0\r\n--x--", BODY_SDP, "v=0" },
		{ "multipart/mixed;boundary=x", "--x\r\nContent-Type: text/plain\r\n\r\nv=0\r\n--x--", BODY_UNSUPPORTED, NULL },
		{ "multipart/mixed;boundary=x", "--x\r\nContent-Type: application/sdp\r\n\r\nv=0", BODY_MALFORMED, NULL },
		{ "multipart/mixed;boundary=x", "--x\r\n--x\r\n--x--", BODY_UNSUPPORTED, NULL },
		{ "multipart/mixed;boundary=x", "--x\r\nContent-Type: application/sdp\r\n\r\n\r\n--x--", BODY_MALFORMED, NULL },
		/* clang-format on */
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const char *sdp = NULL;
		size_t len = 0;
		enum body_kind kind = body_find_sdp(cases[i].type, cases[i].body,
						    strlen(cases[i].body), &sdp, &len);

		if (kind != cases[i].kind)
			fail_msg("%s: %s: got %d", cases[i].type, cases[i].body, (int)kind);
		if (kind == BODY_SDP) {
			assert_int_equal(len, strlen(cases[i].sdp));
			assert_memory_equal(sdp, cases[i].sdp, len);
		}
	}
}

/* The library aborts on a NUL in a part's header. */
static void
takes_nul_and_long_boundaries(void **state)
{
	static const char nul[] = "--x\r\nA\0b: c\r\n\r\nx\r\n--x--";
	char type[200] = "multipart/mixed;boundary=";
	const char *sdp;
	size_t len;

	(void)state;
	assert_int_equal(
		body_find_sdp("multipart/mixed;boundary=x", nul, sizeof nul - 1, &sdp, &len),
		BODY_UNSUPPORTED);
	memset(type + strlen(type), 'b', 71);
	assert_int_equal(body_find_sdp(type, "--b", 3, &sdp, &len), BODY_MALFORMED);
}

static void
reads_digits(void **state)
{
	static const struct {
		const char *body;
		char digit; /* 0: none */
		int duration_ms;
	} cases[] = {
		{ "Signal=5\r\nDuration=200\r\n", '5', 200 },
		{ "Signal= *\nDuration = 99999999\n", '*', 10000 },
		{ "signal=d\r\nduration=\r\n", 'D', 160 },
		{ "Signal=11\r\n", '#', 160 },
		{ "Signal=10", '*', 160 },
		{ "7", '7', 160 },
		{ " # \r\n", '#', 160 },
		{ "Duration=160\r\n", 0, 0 },
		{ "Signal=\r\n", 0, 0 },
		{ "Signal=12\r\n", 0, 0 },
		{ "Signal=E\r\n", 0, 0 },
		{ "hello", 0, 0 },
		{ "", 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char digit;
		int ms;
		bool found = info_parse(cases[i].body, strlen(cases[i].body), &digit, &ms);

		if (found != (cases[i].digit != 0))
			fail_msg("%s", cases[i].body);
		if (found) {
			assert_int_equal(digit, cases[i].digit);
			assert_int_equal(ms, cases[i].duration_ms);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_description),
		cmocka_unit_test(takes_nul_and_long_boundaries),
		cmocka_unit_test(reads_digits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
