#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/id.h"
#include "sip-worker/sip/digest.h"

#define NOW 1000000

static struct sip_user bob = { .username = (char[]){ "bob" } };

static int
set_up(void **state)
{
	assert_true(id_init());
	assert_true(secret_set(&bob.password, "secret", 6));
	*state = digest_create("handback");
	return *state ? 0 : -1;
}

static int
tear_down(void **state)
{
	digest_destroy(*state);
	secret_finish(&bob.password);
	return 0;
}

static struct addr
at(const char *host)
{
	struct addr a;

	assert_true(addr_parse(host, 5060, &a));
	return a;
}

/* RFC 7616 3.9.1: the same request with both algorithms. */
static void
computes_what_the_standard_says(void **state)
{
	struct digest_response r;
	char out[65];
	static const char text[] =
		"username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", "
		"algorithm=%s, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", "
		"nc=00000001, "
		"cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, "
		"response=\"%s\", "
		"opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
	char value[1024];

	(void)state;
	snprintf(value, sizeof value, text, "MD5", "8CA523F5E9506FED4657C9700EEBDBEC");
	assert_true(digest_parse(value, &r));
	digest_compute(&r, "Circle of Life", 14, "GET", out);
	assert_string_equal(out, "8ca523f5e9506fed4657c9700eebdbec");
	assert_string_equal(out, r.response);
	snprintf(value, sizeof value, text, "SHA-256",
		 "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
	assert_true(digest_parse(value, &r));
	digest_compute(&r, "Circle of Life", 14, "GET", out);
	assert_string_equal(out, r.response);
}

/* A right answer to a challenge. */
static void
respond(struct digest *d, struct digest_response *r, const struct addr *source, unsigned nc)
{
	*r = (struct digest_response){ .username = "bob",
				       .realm = "handback",
				       .uri = "sip:a@h",
				       .cnonce = "c",
				       .qop = "auth" };
	digest_nonce(d, source, NOW, r->nonce);
	snprintf(r->nc, sizeof r->nc, "%08x", nc);
	digest_compute(r, "secret", 6, "INVITE", r->response);
}

static void
recount(struct digest_response *r, unsigned nc)
{
	snprintf(r->nc, sizeof r->nc, "%08x", nc);
	digest_compute(r, "secret", 6, "INVITE", r->response);
}

static void
right_once(void **state)
{
	struct digest *d = *state;
	struct addr source = at("192.0.2.1");
	struct digest_response r;

	respond(d, &r, &source, 1);
	assert_int_equal(digest_check(d, &r, &bob, "INVITE", &source, NOW), DIGEST_OK);
	assert_int_equal(digest_check(d, &r, &bob, "INVITE", &source, NOW), DIGEST_STALE);
	recount(&r, 5);
	assert_int_equal(digest_check(d, &r, &bob, "INVITE", &source, NOW), DIGEST_OK);
	recount(&r, 4);
	assert_int_equal(digest_check(d, &r, &bob, "INVITE", &source, NOW), DIGEST_STALE);
	recount(&r, 6);
	assert_int_equal(digest_check(d, &r, &bob, "INVITE", &source, NOW), DIGEST_OK);
	recount(&r, 0);
	assert_int_equal(digest_check(d, &r, &bob, "INVITE", &source, NOW), DIGEST_WRONG);
}

static void
wrong_in_every_part(void **state)
{
	struct digest *d = *state;
	struct addr source = at("192.0.2.1"), other = at("192.0.2.2");
	struct digest_response r, good;

	respond(d, &good, &source, 1);
	assert_int_equal(digest_check(d, &good, NULL, "INVITE", &source, NOW), DIGEST_WRONG);
	assert_int_equal(digest_check(d, &good, &bob, "BYE", &source, NOW), DIGEST_WRONG);
	assert_int_equal(digest_check(d, &good, &bob, "INVITE", &other, NOW), DIGEST_WRONG);
	r = good;
	r.response[3] ^= 1;
	assert_int_equal(digest_check(d, &r, &bob, "INVITE", &source, NOW), DIGEST_WRONG);
	r = good;
	r.response[31] = '\0';
	assert_int_equal(digest_check(d, &r, &bob, "INVITE", &source, NOW), DIGEST_WRONG);
	r = good;
	r.nonce[0] = r.nonce[0] == '0' ? '1' : '0';
	digest_compute(&r, "secret", 6, "INVITE", r.response);
	assert_int_equal(digest_check(d, &r, &bob, "INVITE", &source, NOW), DIGEST_WRONG);
	r = good;
	str_copy(r.realm, sizeof r.realm, "else");
	digest_compute(&r, "secret", 6, "INVITE", r.response);
	assert_int_equal(digest_check(d, &r, &bob, "INVITE", &source, NOW), DIGEST_WRONG);
	/* None of it spoilt the count of the good one. */
	assert_int_equal(digest_check(d, &good, &bob, "INVITE", &source, NOW), DIGEST_OK);
}

static void
grows_stale(void **state)
{
	struct digest *d = *state;
	struct addr source = at("2001:db8::1");
	struct digest_response r;

	respond(d, &r, &source, 1);
	assert_int_equal(digest_check(d, &r, &bob, "INVITE", &source, NOW + DIGEST_NONCE_TTL_S + 1),
			 DIGEST_STALE);
	/* Stale is said to who knows the password alone. */
	r.response[0] ^= 1;
	assert_int_equal(digest_check(d, &r, &bob, "INVITE", &source, NOW + DIGEST_NONCE_TTL_S + 1),
			 DIGEST_WRONG);
}

/* Many more nonces in use than there is room for: none is ever good twice. */
static void
table_is_bounded(void **state)
{
	enum { KEPT = 512, ALL = 80000 };
	static struct digest_response kept[KEPT];
	struct digest *d = *state;
	struct addr source = at("192.0.2.1");
	struct digest_response r;
	int taken = 0;

	for (int i = 0; i < ALL; i++) {
		respond(d, &r, &source, 1);
		if (i < KEPT)
			kept[i] = r;
		taken += digest_check(d, &r, &bob, "INVITE", &source, NOW) == DIGEST_OK;
	}
	assert_true(taken > 20000 && taken <= 32768);
	for (int i = 0; i < KEPT; i++)
		assert_int_equal(digest_check(d, &kept[i], &bob, "INVITE", &source, NOW),
				 DIGEST_STALE);
}

static void
parses(void **state)
{
	struct digest_response r;

	(void)state;
	assert_true(digest_parse(
		" username=\"b\\\"o\\\\b\" ,realm=\"r\",uri=\"sip:a\",nonce=\"n\",cnonce=\"\","
		"response=AB,nc=00000001,QOP=auth,x=\"y,z\"",
		&r));
	assert_string_equal(r.username, "b\"o\\b");
	assert_string_equal(r.response, "ab");
	assert_int_equal(r.algorithm, DIGEST_MD5);
}

static void
refuses_malformed(void **state)
{
#define REST "uri=u,nonce=n,cnonce=c,response=0,nc=00000001,qop=auth"
	static const char *const cases[] = {
		"",
		"username",
		"username=\"b",
		"username=b,realm=r",
		"=,username=b,realm=r," REST,
		"username=b realm=r," REST,
		"username=b,username=b,realm=r," REST,
		"username=b,realm=r,algorithm=MD5-sess," REST,
		"username=b,realm=r,uri=u,nonce=n,cnonce=c,response=0,nc=00000001,qop=auth-int",
		"username=b,realm=r,uri=u,nonce=n,cnonce=c,response=0,nc=000000001,qop=auth",
	};
	struct digest_response r;
	char text[2048];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_false(digest_parse(cases[i], &r));
	memset(text, 'a', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	memcpy(text, "username=", 9);
	assert_false(digest_parse(text, &r));
	snprintf(text, sizeof text, "username=b,realm=r,%s", REST);
	assert_true(digest_parse(text, &r));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(computes_what_the_standard_says),
		cmocka_unit_test_setup_teardown(right_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(wrong_in_every_part, set_up, tear_down),
		cmocka_unit_test_setup_teardown(grows_stale, set_up, tear_down),
		cmocka_unit_test_setup_teardown(table_is_bounded, set_up, tear_down),
		cmocka_unit_test(parses),
		cmocka_unit_test(refuses_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
