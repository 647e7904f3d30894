#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "sip-worker/sip/target.h"

static struct target target;

/* --- what is read --- */

static const char *
why_not(const char *uri)
{
	const char *why = "";

	return target_parse(uri, &target, &why) == ERR_OK ? NULL : why;
}

static void
good_uris(void **state)
{
	static const struct {
		const char *uri, *name, *user, *params;
		uint16_t port;
		bool is_address, has_transport;
	} cases[] = {
		{ "sip:10.0.0.1", "10.0.0.1", NULL, NULL, 0, true, false },
		{ "SIP:agent@sbc.example.com", "sbc.example.com", "agent", NULL, 0, false, false },
		{ "sips:a@sbc.example.com.", "sbc.example.com", "a", NULL, 0, false, false },
		{ "sip:a@[2001:db8::1]:5070", "2001:db8::1", "a", NULL, 5070, true, false },
		{ "sip:a@[::ffff:10.0.0.1]", "::ffff:10.0.0.1", "a", NULL, 0, true, false },
		{ "sip:a;b?c@h-1.example:5080;transport=TCP;lr", "h-1.example", "a;b?c",
		  "transport=TCP;lr", 5080, false, true },
		{ "sip:%41@x1;user=phone;method=INVITE", "x1", "%41", "user=phone;method=INVITE", 0,
		  false, false },
		{ "sip:a@_sip.example;foo=maddr", "_sip.example", "a", "foo=maddr", 0, false,
		  false },
		{ "sip:+15551234@10.0.0.1:65535;User-to-User=UUI-12345", "10.0.0.1", "+15551234",
		  "User-to-User=UUI-12345", 65535, true, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_null(why_not(cases[i].uri));
		assert_string_equal(target.name, cases[i].name);
		assert_int_equal(target.port, cases[i].port);
		assert_int_equal(target.is_address, cases[i].is_address);
		assert_int_equal(target.has_transport, cases[i].has_transport);
		assert_true(str_eq(target.user, cases[i].user));
		assert_true(str_eq(target.params, cases[i].params));
	}
}

#define LONG_LABEL "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const char *const bad[] = {
	/* schemes and noise */
	"",
	"sip:",
	"tel:+15551234",
	"http://10.0.0.1",
	"mailto:a@b",
	"sip:a@",
	"sip:@b",
	"sip:a@b c",
	"<sip:a@b>",
	"sip:a@b>",
	"sip:a@b\r\nX: y",
	"sip:a@b\t",
	"sip:\"a\"@b",
	"sip:a@b\x7f",
	/* whom another parser may see */
	"sip:a@10.0.0.1@evil.example",
	"sip:a:secret@10.0.0.1",
	"sip::@10.0.0.1",
	"sip:10.0.0.1?X-a=b@evil@c",
	/* numbers that are addresses somewhere */
	"sip:a@127.1",
	"sip:a@2130706433",
	"sip:a@017700000001",
	"sip:a@0x7f000001",
	"sip:a@0x7f.0.0.1",
	"sip:a@0177.0.0.1",
	"sip:a@127.0.0.01x",
	"sip:a@1.2.3",
	"sip:a@1.2.3.4.5",
	"sip:a@256.1.1.1",
	"sip:a@127.0.0.1.",
	"sip:a@10.0.0.1..",
	"sip:a@127.0.0.0x1",
	/* IPv6 */
	"sip:a@::1",
	"sip:a@[::1",
	"sip:a@[::1%eth0]",
	"sip:a@[fe80::1%25eth0]",
	"sip:a@[]",
	"sip:a@[10.0.0.1]",
	"sip:a@[v1.x]",
	"sip:a@[::1]x",
	"sip:a@[::1].",
	/* names */
	"sip:a@.example",
	"sip:a@a..b",
	"sip:a@-a.example",
	"sip:a@a-.example",
	"sip:a@exa%6dple.com",
	"sip:a@ex\xc3\xa4mple.com",
	"sip:a@a,b",
	"sip:a@a/b",
	"sip:a@a#b",
	"sip:a@a\\b",
	"sip:a@*",
	"sip:a@" LONG_LABEL ".example",
	/* ports */
	"sip:a@b:",
	"sip:a@b:0",
	"sip:a@b:65536",
	"sip:a@b:-1",
	"sip:a@b:5060x",
	"sip:a@b:+5060",
	"sip:a@b:005060",
	"sip:a@b:5060:5061",
	/* parameters */
	"sip:a@b;maddr=10.0.0.1",
	"sip:a@b;MADDR=x",
	"sip:a@b;transport=sctp",
	"sip:a@b;transport=",
	"sip:a@b;transport=udp;transport=tcp",
	"sip:a@b;method=BYE",
	"sip:a@b;method",
	"sip:a@b;;lr",
	"sip:a@b;",
	"sip:a@b;%6daddr=x",
	"sip:a@b;=x",
	"sips:a@b;transport=udp",
	/* URI headers */
	"sip:a@b?Route=%3Csip:c%3E",
	"sip:a@b?Via=x",
	"sip:a@b?From=x",
	"sip:a@b?body=x",
	"sip:a@b?Subject=x",
	"sip:a@b?X-=x",
	"sip:a@b?X-a",
	"sip:a@b?",
	"sip:a@b?X-a=b&",
	"sip:a@b?X-a=%0d%0aVia:x",
	"sip:a@b?X-a=%00",
	"sip:a@b?X-a=%7f",
	"sip:a@b?X-a=%",
	"sip:a@b?X-a=%4",
	"sip:a@b?X-a=%zz",
	"sip:a@b?X%20a=b",
	"sip:a@b?X-a%3a=b",
	"sip:a@b?X-%0aa=b",
	"sip:a@b?X-Handback-Return=0",
	"sip:a@b?x-handback-return=0",
};

static void
bad_uris(void **state)
{

	(void)state;
	assert_true(ARRAY_LEN(bad) >= 80);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (!why_not(bad[i]))
			fail_msg("taken: %s", bad[i]);
}

static void
uri_headers(void **state)
{
	char uri[TARGET_TEXT_MAX + 16] = "sip:a@b?X-0=0";
	size_t len;

	(void)state;
	assert_null(
		why_not("sip:a@b?X-a=b&user-to-user=56%3bencoding%3dhex&X%2Db=a%20%25b%26&X-c="));
	assert_int_equal(target.header_count, 4);
	assert_string_equal(target.headers[0], "X-a");
	assert_string_equal(target_header_value(target.headers[0]), "b");
	assert_string_equal(target.headers[1], "user-to-user");
	assert_string_equal(target_header_value(target.headers[1]), "56;encoding=hex");
	assert_string_equal(target.headers[2], "X-b");
	assert_string_equal(target_header_value(target.headers[2]), "a %b&");
	assert_string_equal(target_header_value(target.headers[3]), "");

	for (size_t i = 1; i < TARGET_HEADERS_MAX; i++)
		assert_true(str_print(uri + strlen(uri), sizeof uri - strlen(uri), "&X-%zu=1", i));
	assert_null(why_not(uri));
	assert_true(str_print(uri + strlen(uri), sizeof uri - strlen(uri), "&X-n=1"));
	assert_non_null(why_not(uri));

	len = strlen("sip:a@b;x=");
	memcpy(uri, "sip:a@b;x=", len);
	memset(uri + len, 'x', TARGET_TEXT_MAX - len);
	uri[TARGET_TEXT_MAX] = '\0';
	assert_null(why_not(uri));
	uri[TARGET_TEXT_MAX] = 'x';
	uri[TARGET_TEXT_MAX + 1] = '\0';
	assert_non_null(why_not(uri));
}

/* --- where to --- */

static struct cidr allow[4];
static struct account account = { .name = (char[]){ "demo" } };
static struct addr listeners[2], source;

static struct addr
at(const char *text)
{
	struct addr a;

	if (!addr_parse_hostport(text, &a))
		fail_msg("%s", text);
	return a;
}

/* Networks 10.1.0.0/16, 127.0.0.1 and 2001:db8:1::/48; own URI at pbx.example.com; the call came
 * from 192.0.2.7; we listen on 10.1.0.5:5060 and [2001:db8:1::5]:5060. */
static bool
may(const char *host, const char *address)
{
	const struct target_policy p = {
		.account = &account,
		.source = &source,
		.listeners = listeners,
		.listener_count = 2,
	};
	struct addr a = at(address);
	const char *why = NULL;
	bool ok = target_allowed(&p, host, &a, &why);

	assert_true(ok || why);
	return ok;
}

struct vector {
	const char *host, *address;
	bool allowed;
};

static void
check(const struct vector *v, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (may(v[i].host, v[i].address) != v[i].allowed)
			fail_msg("%s at %s", v[i].host, v[i].address);
}

static void
own_uri(const char *uri)
{
	static char text[64];

	assert_true(str_copy(text, sizeof text, uri));
	account.returns.uri = text;
}

static int
set_up(void **state)
{
	(void)state;
	assert_true(cidr_parse("10.1.0.0/16", &allow[0]));
	assert_true(cidr_parse("127.0.0.1", &allow[1]));
	assert_true(cidr_parse("2001:db8:1::/48", &allow[2]));
	account.sip.allow = (struct cidr_list){ allow, 3 };
	own_uri("sip:queue@pbx.example.com:5080");
	account.returns.has_allowed_targets = false;
	source = at("192.0.2.7:41234");
	listeners[0] = at("10.1.0.5:5060");
	listeners[1] = at("[2001:db8:1::5]:5060");
	return 0;
}

static void
without_a_list(void **state)
{
	static const struct vector vectors[] = {
		{ "10.1.2.3", "10.1.2.3:5060", true },
		{ "any.example", "10.1.2.3:5060", true },
		{ "10.1.2.3", "[::ffff:10.1.2.3]:5060", true },
		{ "10.2.0.1", "10.2.0.1:5060", false },
		{ "10.2.0.1", "[::ffff:10.2.0.1]:5060", false },
		{ "192.0.2.7", "192.0.2.7:5060", true },
		{ "192.0.2.8", "192.0.2.8:5060", false },
		{ "pbx.example.com", "203.0.113.9:5060", true },
		{ "PBX.example.COM", "203.0.113.9:5060", true },
		{ "pbx.example.com", "127.0.0.2:5060", false },
		{ "pbx.example.com", "127.0.0.1:5060", true },
		{ "pbx.example.com", "169.254.169.254:5060", false },
		{ "pbx.example.com", "[::1]:5060", false },
		{ "pbx.example.com", "[::ffff:127.0.0.2]:5060", false },
		{ "pbx.example.com", "[fe80::1]:5060", false },
		{ "pbx.example.com.evil.example", "203.0.113.9:5060", false },
		{ "evilpbx.example.com", "203.0.113.9:5060", false },
		{ "other.example", "203.0.113.9:5060", false },
		{ "x", "[2001:db8:1::1]:5060", true },
		{ "x", "[2001:db8:2::1]:5060", false },
		{ "x", "[::10.1.2.3]:5060", false },
		{ "x", "[64:ff9b::a01:203]:5060", false },
		{ "x", "[2002:a01:203::]:5060", false },
		{ "x", "[fd00::1]:5060", false },
		{ "x", "172.16.0.1:5060", false },
		{ "x", "192.168.0.1:5060", false },
		/* ourselves */
		{ "x", "10.1.0.5:5060", false },
		{ "x", "[::ffff:10.1.0.5]:5060", false },
		{ "x", "10.1.0.5:5062", true },
		{ "x", "[2001:db8:1::5]:5060", false },
		/* ports */
		{ "x", "10.1.2.3:22", false },
		{ "x", "10.1.2.3:25", false },
		{ "x", "10.1.2.3:1023", false },
		{ "x", "10.1.2.3:1024", true },
		{ "x", "10.1.2.3:443", true },
		{ "x", "10.1.2.3:0", false },
		/* nobody's */
		{ "pbx.example.com", "0.0.0.0:5060", false },
		{ "pbx.example.com", "0.1.2.3:5060", false },
		{ "pbx.example.com", "[::]:5060", false },
		{ "pbx.example.com", "224.0.1.75:5060", false },
		{ "pbx.example.com", "240.0.0.1:5060", false },
		{ "pbx.example.com", "255.255.255.255:5060", false },
		{ "pbx.example.com", "[ff02::1]:5060", false },
		{ "pbx.example.com", "[::ffff:0.0.0.0]:5060", false },
		{ "pbx.example.com", "[::ffff:224.0.1.75]:5060", false },
		{ "pbx.example.com", "[::203.0.113.9]:5060", false },
	};

	set_up(state);
	check(vectors, ARRAY_LEN(vectors));
	own_uri("sip:203.0.113.9");
	assert_true(may("203.0.113.9", "203.0.113.9:5060"));
	assert_true(may("any.example", "[::ffff:203.0.113.9]:5060"));
	assert_false(may("203.0.113.9", "203.0.113.8:5060"));
	own_uri("tel:+15551234");
	assert_false(may("", "203.0.113.9:5060"));
	own_uri("");
	assert_false(may("", "203.0.113.9:5060"));
}

static void
with_a_list(void **state)
{
	static const char *const list[] = {
		"sbc.example.com", ".trunk.example", "198.51.100.0/24",
		"2001:db8:9::/48", "127.0.0.8/29",
	};
	static const struct vector vectors[] = {
		{ "198.51.100.7", "198.51.100.7:5060", true },
		{ "any.example", "198.51.100.7:5060", true },
		{ "any.example", "[::ffff:198.51.100.7]:5060", true },
		{ "198.51.101.7", "198.51.101.7:5060", false },
		{ "x", "[2001:db8:9::1]:5060", true },
		{ "x", "[2001:db8:8::1]:5060", false },
		{ "sbc.example.com", "203.0.113.9:5060", true },
		{ "SBC.example.com", "192.168.1.1:5060", true },
		{ "sbc.example.com", "127.0.0.1:5060", true }, /* in the account's networks */
		{ "sbc.example.com", "127.0.0.2:5060", false },
		{ "sbc.example.com", "127.0.0.9:5060", true },
		{ "sbc.example.com", "169.254.169.254:5060", false },
		{ "sbc.example.com", "[::1]:5060", false },
		{ "a.trunk.example", "203.0.113.9:5060", true },
		{ "a.b.trunk.example", "203.0.113.9:5060", true },
		{ "trunk.example", "203.0.113.9:5060", false },
		{ "eviltrunk.example", "203.0.113.9:5060", false },
		{ "a.trunk.example.evil", "203.0.113.9:5060", false },
		{ "xsbc.example.com", "203.0.113.9:5060", false },
		{ "sbc.example.com", "10.1.0.5:5060", false },
		{ "sbc.example.com", "203.0.113.9:80", false },
		/* the list replaces what holds without one */
		{ "10.1.2.3", "10.1.2.3:5060", false },
		{ "192.0.2.7", "192.0.2.7:5060", false },
		{ "pbx.example.com", "203.0.113.9:5060", false },
	};

	set_up(state);
	account.returns.has_allowed_targets = true;
	account.returns.allowed_targets.items = (char **)(uintptr_t)list;
	account.returns.allowed_targets.count = ARRAY_LEN(list);
	check(vectors, ARRAY_LEN(vectors));
	account.returns.allowed_targets.count = 0;
	assert_false(may("sbc.example.com", "198.51.100.7:5060"));
}

static void
headers_from_above(void **state)
{
	(void)state;
	assert_true(target_header_allowed("X-GA-tv-next_action"));
	assert_true(target_header_allowed("User-to-User"));
	assert_false(target_header_allowed("Route"));
	assert_false(target_header_allowed("X-"));
	assert_false(target_header_allowed("X-a: b"));
	assert_false(target_header_allowed("X-a\r\n"));
	assert_false(target_header_allowed("X-Handback-Return"));
	assert_false(target_header_allowed(""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_uris),   cmocka_unit_test(bad_uris),
		cmocka_unit_test(uri_headers), cmocka_unit_test(without_a_list),
		cmocka_unit_test(with_a_list), cmocka_unit_test(headers_from_above),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
