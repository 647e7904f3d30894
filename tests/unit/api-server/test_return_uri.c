/* Which return URIs are well formed, and which may be reached. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "api-server/domain/transfer.h"

static struct account plain;

static int
setup(void **state)
{
	(void)state;
	plain = (struct account){ .name = (char *)(uintptr_t) "demo" };
	plain.returns.uri = (char *)(uintptr_t) "";
	return 0;
}

static void
test_uris(void **state)
{
	static const struct {
		const char *uri;
		enum return_type type;
		bool ok;
	} cases[] = {
		/* clang-format off */
		{ "sip:h",                                 RETURN_REFER,  true },
		{ "SIP:u@h",                               RETURN_REFER,  true },
		{ "sips:u:p@h:5061;transport=tls",         RETURN_INVITE, true },
		{ "sip:[2001:db8::1]:5060",                RETURN_INVITE, true },
		{ "tel:+1-999",                            RETURN_REFER,  true },
		{ "sip:u@h;User-to-User=UUI-12345",        RETURN_INVITE, true },
		{ "sip:u@h?X-A=1&x-b=2&user-to-user=%22a", RETURN_INVITE, true },
		{ "sip:u?q=1@h",                           RETURN_INVITE, true },  /* '?' of the user part */
		{ "sip:u@h?X-A=",                          RETURN_INVITE, true },
		{ "sip:u@h?X%2dA=1",                       RETURN_INVITE, true },
		{ "sip:u@h?Replaces=x%0d%0aVia:y",         RETURN_REFER,  true },  /* the peer decodes it */
		{ "",                                      RETURN_BYE,    false },
		{ "sip:",                                  RETURN_BYE,    false },
		{ "tel:",                                  RETURN_BYE,    false },
		{ "sip:u@",                                RETURN_REFER,  false },
		{ "sip:u@:5060",                           RETURN_REFER,  false },
		{ "sip:[::1",                              RETURN_REFER,  false },
		{ "sip:[]",                                RETURN_REFER,  false },
		{ "h",                                     RETURN_REFER,  false },
		{ "mailto:u@h",                            RETURN_REFER,  false },
		{ " sip:h",                                RETURN_REFER,  false },
		{ "sip:a b@h",                             RETURN_REFER,  false },
		{ "<sip:h>",                               RETURN_REFER,  false },
		{ "sip:h\x7f",                             RETURN_REFER,  false },
		{ "sip:u@h?",                              RETURN_INVITE, false },
		{ "sip:u@h?X-A",                           RETURN_INVITE, false },
		{ "sip:u@h?X-A=1&",                        RETURN_INVITE, false },
		{ "sip:u@h?X-=1",                          RETURN_INVITE, false },
		{ "sip:u@h?From=x",                        RETURN_INVITE, false },
		{ "sip:u@h?X-A=1&Contact=x",               RETURN_INVITE, false },
		{ "sip:u@h?X-A%3a=1",                      RETURN_INVITE, false },
		{ "sip:u@h?X-A=%0d%0aVia:y",               RETURN_INVITE, false },
		{ "sip:u@h?X-A=%00",                       RETURN_INVITE, false },
		{ "sip:u@h?X-A=%4",                        RETURN_INVITE, false },
		{ "sip:u@h?X-A=%zz",                       RETURN_INVITE, false },
		{ "sip:u@h?X-A%=1",                        RETURN_INVITE, false },
		/* clang-format on */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fault f = { .where = "" };
		enum err e = transfer_check_uri(cases[i].uri, cases[i].type, &f);

		if (e != (cases[i].ok ? ERR_OK : ERR_INVALID))
			fprintf(stderr, "%s: %s %s\n", cases[i].uri, err_name(e), f.what);
		assert_int_equal(e, cases[i].ok ? ERR_OK : ERR_INVALID);
	}
}

static void
assert_allowed(const char *uri, enum return_type type, bool allowed)
{
	if (transfer_uri_allowed(uri, type, &plain) != allowed)
		fprintf(stderr, "%s\n", uri);
	assert_int_equal(transfer_uri_allowed(uri, type, &plain), allowed);
}

static void
test_listed_targets(void **state)
{
	static char *targets[] = { (char *)(uintptr_t) "sbc.example.com",
				   (char *)(uintptr_t) ".example.net",
				   (char *)(uintptr_t) "10.0.0.0/8",
				   (char *)(uintptr_t) "2001:db8::/32" };

	(void)state;
	plain.returns.has_allowed_targets = true;
	plain.returns.allowed_targets = (struct text_list){ .items = targets, .count = 2 };
	for (int type = RETURN_REFER; type <= RETURN_INVITE; type++) {
		assert_allowed("sip:u@SBC.example.com:5070;x=y", (enum return_type)type, true);
		assert_allowed("sip:sbc.example.com.", (enum return_type)type, true);
		assert_allowed("sip:u@a.example.net", (enum return_type)type, true);
		assert_allowed("sip:u@example.net", (enum return_type)type, false);
		assert_allowed("sip:u@aexample.net", (enum return_type)type, false);
		assert_allowed("sip:u@evil.com;maddr=sbc.example.com", (enum return_type)type,
			       false);
		assert_allowed("sip:u@evil.com?X-A=@sbc.example.com", (enum return_type)type,
			       false);
		assert_allowed("sip:sbc.example.com@evil.com", (enum return_type)type, false);
		assert_allowed("sip:u@evil.com@sbc.example.com", (enum return_type)type, false);
		assert_allowed("sip:u@10.1.2.3", (enum return_type)type, false);
		assert_allowed("tel:+1999", (enum return_type)type, false);
	}
	plain.returns.allowed_targets.count = 4;
	for (int type = RETURN_REFER; type <= RETURN_INVITE; type++) {
		assert_allowed("sip:u@10.1.2.3:5060", (enum return_type)type, true);
		assert_allowed("sip:11.1.2.3", (enum return_type)type, false);
		assert_allowed("sip:u@[2001:db8::5]:5061", (enum return_type)type, true);
		assert_allowed("sip:u@[2001:db9::5]", (enum return_type)type, false);
	}
	/* A name may resolve into a listed network: the worker judges that for its own INVITE. */
	assert_allowed("sip:u@other.com", RETURN_INVITE, true);
	assert_allowed("sip:u@other.com", RETURN_REFER, false);
	assert_allowed("sip:u@other.com", RETURN_BYE, true);
	plain.returns.allowed_targets.count = 0;
	assert_allowed("sip:u@sbc.example.com", RETURN_INVITE, false);
}

static void
test_targets_without_a_list(void **state)
{
	static struct cidr allow[1];

	(void)state;
	assert_true(cidr_parse("192.0.2.0/24", &allow[0]));
	assert_allowed("sip:anything.example", RETURN_REFER, true);
	assert_allowed("tel:+1", RETURN_REFER, true);
	assert_allowed("sip:u@198.51.100.1", RETURN_REFER, true);
	assert_allowed("tel:+1", RETURN_INVITE, false);
	assert_allowed("sip:u@198.51.100.1", RETURN_INVITE,
		       true); /* may be where the call comes from */
	plain.sip.allow = (struct cidr_list){ .items = allow, .count = 1 };
	assert_allowed("sip:u@198.51.100.1", RETURN_INVITE, false);
	assert_allowed("sip:u@192.0.2.7", RETURN_INVITE, true);
	assert_allowed("sip:u@name.example", RETURN_INVITE, true);
	plain.returns.uri = (char *)(uintptr_t) "sip:198.51.100.1";
	assert_allowed("sip:u@198.51.100.1", RETURN_INVITE, true);
	plain.sip.allow = (struct cidr_list){ .items = NULL };
}

#define T(name) cmocka_unit_test_setup(name, setup)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_uris),
		T(test_listed_targets),
		T(test_targets_without_a_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
