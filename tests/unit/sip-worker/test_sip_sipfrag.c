#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "sip-worker/sip/sipfrag.h"

struct row {
	const char *text;
	int status; /* 0: no status line */
	const char *phrase;
};

static const struct row rows[] = {
	{ "SIP/2.0 200 OK\r\n", 200, "OK" },
	{ "SIP/2.0 200 OK", 200, "OK" },
	{ "SIP/2.0 200 OK\n", 200, "OK" },
	{ "SIP/2.0 100 Trying\r\nContent-Type: x\r\n\r\n", 100, "Trying" },
	{ "SIP/2.0 486 Busy Here  \r\n\r\n", 486, "Busy Here" },
	{ "SIP/2.0 200", 200, "" },
	{ "SIP/2.0 200 \r\n", 200, "" },
	{ "SIP/2.0 200\r\n", 200, "" },
	{ "\r\n\r\n SIP/2.0 603 Decline", 603, "Decline" },
	{ "sip/2.0 180 Ringing", 180, "Ringing" },
	{ "SIP/2.0  \t 183   Session Progress", 183, "Session Progres" },
	{ "SIP/3.11 699 X", 699, "X" },
	{ "SIP/2.0 200 a very long phrase indeed", 200, "a very long phr" },
	{ "", 0, "" },
	{ "\r\n", 0, "" },
	{ "SIP", 0, "" },
	{ "SIP/", 0, "" },
	{ "SIP/2.0", 0, "" },
	{ "SIP/2.0 ", 0, "" },
	{ "SIP/2.0 20", 0, "" },
	{ "SIP/2.0 2000 OK", 0, "" },
	{ "SIP/2.0 200OK", 0, "" },
	{ "SIP/2.0 099 OK", 0, "" },
	{ "SIP/2.0 700 OK", 0, "" },
	{ "SIP/2.0\r\n 200 OK", 0, "" },
	{ "SIP/2.0200 OK", 0, "" },
	{ "HTTP/1.1 200 OK", 0, "" },
	{ "INVITE sip:a@b SIP/2.0\r\n", 0, "" },
	{ "200 OK", 0, "" },
};

static void
reads_status_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char phrase[16] = "", copy[80];
		int status = 0;
		bool ok;

		/* No NUL after it. */
		memset(copy, '0', sizeof copy);
		memcpy(copy, rows[i].text, strlen(rows[i].text));
		ok = sipfrag_parse(copy, strlen(rows[i].text), &status, phrase, sizeof phrase);
		if (ok != (rows[i].status != 0) || status != rows[i].status ||
		    strcmp(phrase, rows[i].phrase) != 0)
			fail_msg("%s: %d %d %s", rows[i].text, ok, status, phrase);
	}
}

static void
leaves_out_nuls(void **state)
{
	static const char text[] = "SIP/2.0 200 O\0K";
	char phrase[16];
	int status;

	(void)state;
	assert_true(sipfrag_parse(text, sizeof text - 1, &status, phrase, sizeof phrase));
	assert_string_equal(phrase, "OK");
	assert_false(sipfrag_parse("SIP/2.0 200\0OK", 14, &status, phrase, sizeof phrase));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_status_lines),
		cmocka_unit_test(leaves_out_nuls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
