#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "sip-worker/sip/digest.h"
#include "sip-worker/sip/digest_client.h"

static const struct digest_login mufasa = { .username = "Mufasa", .password = "Circle of Life" };

static struct digest_challenge
challenge(const char *text)
{
	struct digest_challenge c;

	assert_true(digest_challenge_parse(text, &c));
	return c;
}

/* The parameters of an answer, the scheme cut off. */
static const char *
answer(struct buf *b, const char *text, const struct digest_login *login,
       const struct digest_use *use)
{
	const struct digest_challenge c = challenge(text);

	buf_reset(b);
	digest_answer(b, &c, login, use);
	assert_false(b->failed);
	assert_true(str_starts(b->data, "Digest "));
	return b->data + 7;
}

static void
has(const char *text, const char *wanted)
{
	if (!strstr(text, wanted))
		fail_msg("no %s in %s", wanted, text);
}

static void
has_not(const char *text, const char *unwanted)
{
	if (strstr(text, unwanted))
		fail_msg("%s in %s", unwanted, text);
}

/* RFC 7616 3.9.1 */
static void
answers_as_rfc_7616_says(void **state)
{
	static const char text[] =
		"realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=%s, "
		"nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", "
		"opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
	const struct digest_use use = { "GET", "/dir/index.html",
					"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", 1 };
	char given[512];
	const char *a;
	struct buf b;

	(void)state;
	buf_init(&b, DIGEST_ANSWER_MAX);
	snprintf(given, sizeof given, text, "MD5");
	a = answer(&b, given, &mufasa, &use);
	has(a, "response=\"8ca523f5e9506fed4657c9700eebdbec\"");
	has(a, "username=\"Mufasa\", realm=\"http-auth@example.org\"");
	has(a, "uri=\"/dir/index.html\"");
	has(a, "algorithm=MD5");
	has(a, "opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"");
	has(a, "qop=auth, nc=00000001");
	snprintf(given, sizeof given, text, "SHA-256");
	a = answer(&b, given, &mufasa, &use);
	has(a, "response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\"");
	has(a, "algorithm=SHA-256");
	buf_finish(&b);
}

/* RFC 2617 3.5, and its answer without qop (RFC 2069) */
static void
answers_as_rfc_2617_says(void **state)
{
	const struct digest_login login = { .username = "Mufasa", .password = "Circle Of Life" };
	const struct digest_use use = { "GET", "/dir/index.html", "0a4f113b", 1 };
	const char *a;
	struct buf b;

	(void)state;
	buf_init(&b, DIGEST_ANSWER_MAX);
	a = answer(&b,
		   "realm=\"testrealm@host.com\",qop=\"auth,auth-int\","
		   "nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\","
		   "opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
		   &login, &use);
	has(a, "response=\"6629fae49393a05397450978507c4ef1\"");
	has_not(a, "algorithm");
	a = answer(&b,
		   "realm=\"testrealm@host.com\", "
		   "nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"",
		   &login, &use);
	has(a, "response=\"670fd8c2df070c60b045671b8b24ff02\"");
	has_not(a, "qop");
	has_not(a, "nc=");
	has_not(a, "opaque");
	buf_finish(&b);
}

/* Our own check agrees, quotes and backslashes and all. */
static void
quotes_what_needs_it(void **state)
{
	const struct digest_login login = { .username = "sb\\c \"1\"", .password = "p\"a:ss" };
	const struct digest_use use = { "REFER", "sip:a@h;x=\"y\"", "c", 0xab };
	struct digest_response r;
	char expected[65];
	struct buf b;
	const char *a;

	(void)state;
	buf_init(&b, DIGEST_ANSWER_MAX);
	a = answer(&b, "realm=\"a \\\"b\\\\\", nonce=\"n\\\"\", qop=auth, opaque=\"\", x=y", &login,
		   &use);
	has(a, "username=\"sb\\\\c \\\"1\\\"\"");
	has(a, "realm=\"a \\\"b\\\\\"");
	has(a, "opaque=\"\"");
	has(a, "nc=000000ab");
	assert_true(digest_parse(a, &r));
	assert_string_equal(r.username, login.username);
	assert_string_equal(r.uri, use.uri);
	digest_compute(&r, login.password, strlen(login.password), "REFER", expected);
	assert_string_equal(r.response, expected);
	buf_finish(&b);
}

static void
reads_challenges(void **state)
{
	struct digest_challenge c;

	(void)state;
	c = challenge("realm=r, nonce=n");
	assert_false(c.qop_auth || c.stale || c.opaque_given || c.algorithm_given);
	assert_int_equal(c.algorithm, DIGEST_MD5);
	c = challenge("REALM = \"r\" , nonce=\"n\",Algorithm=sha-256,QOP=\"auth-int , AUTH\","
		      "stale=TRUE,domain=\"sip:x\",");
	assert_true(c.qop_auth && c.stale && c.algorithm_given);
	assert_int_equal(c.algorithm, DIGEST_SHA256);
	assert_false(challenge("realm=r, nonce=n, stale=false").stale);
}

static void
leaves_what_it_cannot_answer(void **state)
{
	static const char *const texts[] = {
		"",
		"realm=r",
		"nonce=n",
		"realm=r, nonce=\"\"",
		"realm=r, nonce=n, algorithm=MD5-sess",
		"realm=r, nonce=n, algorithm=SHA-512-256",
		"realm=r, nonce=n, qop=\"auth-int\"",
		"realm=r, nonce=n, qop=\"\"",
		"realm=r, nonce=n, realm=s",
		"realm=r, nonce=\"n",
		"realm=r nonce=n",
		"realm, nonce=n",
		"=r, nonce=n",
		"realm=\"a\x01\", nonce=n",
	};
	struct digest_challenge c;
	char big[1200];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (digest_challenge_parse(texts[i], &c))
			fail_msg("taken: %s", texts[i]);
	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	memcpy(big, "realm=r, nonce=", 15);
	assert_false(digest_challenge_parse(big, &c));
}

static void
keeps_to_its_realm(void **state)
{
	const struct digest_challenge c = challenge("realm=\"pbx\", nonce=n");
	struct digest_login l = mufasa;

	(void)state;
	assert_true(digest_login_fits(&l, &c));
	l.realm = "";
	assert_true(digest_login_fits(&l, &c));
	l.realm = "pbx";
	assert_true(digest_login_fits(&l, &c));
	l.realm = "PBX";
	assert_false(digest_login_fits(&l, &c));
	l = (struct digest_login){ .username = "", .password = "p" };
	assert_false(digest_login_fits(&l, &c));
	l = (struct digest_login){ .username = "u" };
	assert_false(digest_login_fits(&l, &c));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_as_rfc_7616_says),
		cmocka_unit_test(answers_as_rfc_2617_says),
		cmocka_unit_test(quotes_what_needs_it),
		cmocka_unit_test(reads_challenges),
		cmocka_unit_test(leaves_what_it_cannot_answer),
		cmocka_unit_test(keeps_to_its_realm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
