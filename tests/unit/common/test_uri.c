#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/uri.h"

static void
splits(void **state)
{
	static const struct {
		const char *uri, *host, *headers; /* host NULL: refused; headers NULL: none */
		bool is_tel, ambiguous;
	} cases[] = {
		/* clang-format off */
		{ "sip:h",                               "h",             NULL,          false, false },
		{ "SIPS:user:pass@host.example.:5061",   "host.example",  NULL,          false, false },
		{ "sip:u@h;transport=tcp;x=y?X-A=1&b=2", "h",             "X-A=1&b=2",   false, false },
		{ "sip:u;p=q?r@h:5060?X-A=1",            "h",             "X-A=1",       false, false },
		{ "sip:u?q=1@h",                         "h",             NULL,          false, false },
		{ "sip:[2001:db8::1]:5060;lr?a=b",       "2001:db8::1",   "a=b",         false, false },
		{ "sip:192.0.2.1?",                      "192.0.2.1",     "",            false, false },
		{ "sip:u@a@b",                           "a@b",           NULL,          false, true  },
		{ "tel:+1-999;ext=1",                    "",              NULL,          true,  false },
		{ "tel:+1?X-A=1",                        "",              NULL,          true,  false },
		{ "sip:",                                NULL,            NULL,          false, false },
		{ "sip:u@",                              NULL,            NULL,          false, false },
		{ "sip:.",                               NULL,            NULL,          false, false },
		{ "sip:[::1",                            NULL,            NULL,          false, false },
		{ "sip:[]",                              NULL,            NULL,          false, false },
		{ "sip:?a=b",                            NULL,            NULL,          false, false },
		{ "tel:",                                NULL,            NULL,          true,  false },
		{ "mailto:u@h",                          NULL,            NULL,          false, false },
		{ "",                                    NULL,            NULL,          false, false },
		/* clang-format on */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct uri u;
		bool ok = uri_split(cases[i].uri, &u);

		if (ok != (cases[i].host != NULL))
			fprintf(stderr, "%s\n", cases[i].uri);
		assert_int_equal(ok, cases[i].host != NULL);
		if (!ok)
			continue;
		assert_int_equal(u.host_len, strlen(cases[i].host));
		assert_memory_equal(u.host, cases[i].host, u.host_len);
		assert_int_equal(u.is_tel, cases[i].is_tel);
		assert_int_equal(u.ambiguous, cases[i].ambiguous);
		assert_true(str_eq(u.headers, cases[i].headers));
	}
}

static void
what_may_stand_within_brackets(void **state)
{
	(void)state;
	assert_true(uri_is_clean("sip:u%20@h;x=y?a=b&c=\xc3\xbc"));
	assert_false(uri_is_clean("sip:u@h>"));
	assert_false(uri_is_clean("<sip:u@h"));
	assert_false(uri_is_clean("sip:u @h"));
	assert_false(uri_is_clean("sip:\"u\"@h"));
	assert_false(uri_is_clean("sip:u@h\r\nVia: x"));
	assert_false(uri_is_clean("sip:u@h\x7f"));
}

/* Every byte: plain as RFC 3261 25.1 lists them, or its escape; and back. */
static void
escapes(void **state)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
				    "-_.!~*'()" /* unreserved */
				    "[]/?:$";   /* hnv-unreserved, but '+' */
	struct buf b;

	(void)state;
	buf_init(&b, 16);
	for (int c = 1; c < 256; c++) {
		char text[2] = { (char)c, '\0' }, wanted[4];
		const char *p;

		buf_reset(&b);
		uri_encode(text, &b);
		(void)str_print(wanted, sizeof(wanted), strchr(plain, c) ? "%c" : "%%%02X", c);
		assert_string_equal(b.data, wanted);
		assert_int_equal(uri_encoded_len(text), b.len);
		p = b.data;
		assert_int_equal(uri_decode(&p, b.data + b.len), c);
		assert_ptr_equal(p, b.data + b.len);
	}
	buf_finish(&b);
}

static void
broken_escapes(void **state)
{
	static const char *const broken[] = { "%", "%4", "%4g", "%g4", "%%4", "%-1" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		const char *p = broken[i];

		assert_int_equal(uri_decode(&p, broken[i] + strlen(broken[i])), -1);
	}
}

static void
tokens(void **state)
{
	static const char others[] = "\t \r\n\"(),/:;<=>?@[\\]{}#$&^|\x7f";

	(void)state;
	for (const char *p = others; *p; p++)
		assert_false(uri_is_token_char(*p));
	assert_false(uri_is_token_char(0) || uri_is_token_char(-1) || uri_is_token_char(0xc3));
	for (const char *p = "azAZ09-.!%*_+`'~"; *p; p++)
		assert_true(uri_is_token_char(*p));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(splits),  cmocka_unit_test(what_may_stand_within_brackets),
		cmocka_unit_test(escapes), cmocka_unit_test(broken_escapes),
		cmocka_unit_test(tokens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
