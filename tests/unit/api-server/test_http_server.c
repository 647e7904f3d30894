/* The REST side over real sockets: what is answered, and to whom. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "http_kit.h"

static void
test_simple(void **state)
{
	int fd = dial();

	(void)state;
	assert_int_equal(status_of(ask(fd, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")), 200);
	/* the connection stays */
	assert_int_equal(status_of(ask(fd, "GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n")), 404);
	assert_has(ask(fd, "POST /healthz HTTP/1.1\r\nHost: h\r\n\r\n"), "Allow: GET, HEAD\r\n");
	assert_int_equal(status_of(ask(fd, "GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n")), 404);
	assert_int_equal(
		status_of(ask(fd, "GET /handback/v1/calls/%00 HTTP/1.1\r\nHost: h\r\n\r\n")), 400);
	assert_has(ask(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"), "<title>Handback</title>");
	assert_has(ask(fd, "GET /openapi.json HTTP/1.1\r\nHost: h\r\n\r\n"),
		   "\"openapi\":\"3.0.3\"");
	close(fd);
	turn(20);
}

static void
test_keys(void **state)
{
	static const char *const wrong[] = {
		"",
		"asapp-api-id: id-a\r\n",
		"asapp-api-secret: secret-a\r\n",
		"asapp-api-id: id-a\r\nasapp-api-secret: secret-b\r\n",
		"asapp-api-id: id-b\r\nasapp-api-secret: secret-a\r\n",
	};
	char text[512], first[2048], *id;
	const char *answer;
	int fd = dial();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		snprintf(text, sizeof(text),
			 "GET /generativeagent/v1/call-transfers/x HTTP/1.1\r\nHost: h\r\n%s\r\n",
			 wrong[i]);
		answer = ask(fd, text);
		assert_int_equal(status_of(answer), 401);
		assert_has(answer, "\"code\":\"401-01\"");
		/* the same bytes, but for the ids and the date */
		answer = strstr(answer, "\r\n\r\n");
		snprintf(text, sizeof(text), "%s", answer);
		id = strstr(text, "requestId\":\"");
		memset(id + 12, 'x', 36);
		if (i == 0)
			snprintf(first, sizeof(first), "%s", text);
		assert_string_equal(text, first);
	}
	assert_int_equal(held_count, 0);
	close(fd);
	turn(20);
}

static void
test_store(void **state)
{
	bool closed;
	int fd = dial();
	const char *answer;

	(void)state;
	say(fd, GET_ONE);
	turn(20);
	assert_int_equal(held_count, 1);
	store_answer(ERR_OK);
	answer = hear(fd, 500, &closed);
	assert_int_equal(status_of(answer), 200);
	assert_has(answer, "\"id\":\"x\"");
	assert_has(answer, "\"createdAt\":\"2025-01-15T13:06:00Z\"");
	say(fd, GET_ONE);
	turn(20);
	store_answer(ERR_NOT_FOUND);
	assert_int_equal(status_of(hear(fd, 500, &closed)), 404);
	say(fd, GET_ONE);
	turn(20);
	store_answer(ERR_UNAVAILABLE);
	answer = hear(fd, 500, &closed);
	assert_int_equal(status_of(answer), 503);
	assert_has(answer, "Retry-After: 1\r\n");
	store_full = true;
	answer = ask(fd, GET_ONE);
	assert_int_equal(status_of(answer), 503);
	assert_has(answer, "\"message\":\"Service Unavailable\"");
	close(fd);
	turn(20);
}

static void
test_bodies(void **state)
{
	static const struct {
		const char *type, *body;
		int status;
	} cases[] = {
		{ "Content-Type: text/plain", "{}", 415 },
		{ "X-A: b", "{}", 415 },
		{ "Content-Type: application/jsonx", "{}", 415 },
		{ "Content-Type: application/json\r\nContent-Encoding: gzip", "{}", 415 },
		{ "Content-Type: application/json", "", 400 },
		{ "Content-Type: application/json; charset=utf-8", "{", 400 },
		{ "Content-Type: application/json", "{\"a\":1,\"a\":1}", 400 },
		{ "Content-Type: application/json", "[]", 400 },
	};
	char text[1024];
	const char *answer;
	int fd = dial();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(text, sizeof(text),
			 "POST /generativeagent/v1/call-transfers HTTP/1.1\r\nHost: h\r\n" KEYS
			 "%s\r\nContent-Length: %zu\r\n\r\n%s",
			 cases[i].type, strlen(cases[i].body), cases[i].body);
		answer = ask(fd, text);
		if (status_of(answer) != cases[i].status)
			fail_msg("%s %s: %s", cases[i].type, cases[i].body, answer);
	}
	close(fd);
	turn(20);
}

static void
test_scopes(void **state)
{
	bool closed;
	int fd = dial();

	(void)state;
	assert_int_equal(
		status_of(ask(fd, "GET /handback/v1/workers HTTP/1.1\r\nHost: h\r\n" KEYS "\r\n")),
		403);
	assert_has(ask(fd, "GET /handback/v1/workers HTTP/1.1\r\nHost: h\r\nasapp-api-id: ops\r\n"
			   "asapp-api-secret: secret-a\r\n\r\n"),
		   "\"worker\":\"w1\"");
	assert_int_equal(
		status_of(ask(fd, "POST /generativeagent/v1/call-transfers HTTP/1.1\r\nHost: h\r\n"
				  "asapp-api-id: ops\r\nasapp-api-secret: secret-a\r\n\r\n")),
		403);
	assert_int_equal(status_of(ask(fd, "GET /generativeagent/v1/call-transfers/x HTTP/1.1\r\n"
					   "Host: h\r\nasapp-api-id: ops\r\n"
					   "asapp-api-secret: secret-a\r\n\r\n")),
			 400);
	say(fd, "GET /generativeagent/v1/call-transfers/x?account=b HTTP/1.1\r\nHost: h\r\n"
		"asapp-api-id: ops\r\nasapp-api-secret: secret-a\r\n\r\n");
	turn(20);
	assert_int_equal(held_count, 1);
	assert_string_equal(container_of(held[0], struct store_transfer_get, req)->account, "b");
	store_answer(ERR_OK);
	assert_int_equal(status_of(hear(fd, 500, &closed)), 200);
	close(fd);
	turn(20);
}

static void
test_metrics(void **state)
{
	int fd = dial();
	const char *answer = ask(fd, "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");

	(void)state;
	assert_int_equal(status_of(answer), 401);
	assert_has(answer, "WWW-Authenticate: Basic realm=\"handback\"\r\n");
	answer = ask(fd, "GET /metrics HTTP/1.1\r\nHost: h\r\nAuthorization: Basic "
			 "b3BzOnNlY3JldC1h\r\n\r\n");
	assert_int_equal(status_of(answer), 200);
	assert_has(answer, "\nhandback_store_commits_total 7\n");
	assert_has(answer, "\nhandback_worker_calls{worker=\"w1\"} 3\n");
	assert_has(answer, "\nhandback_worker_draining{worker=\"w1\"} 0\n");
	assert_has(answer, "\nhandback_worker_rtp_lost{worker=\"w1\"} 5\n");
	assert_has(answer, "handback_http_requests_total{method=\"GET\",route=\"/metrics\","
			   "code=\"401\"} 1\n");
	assert_null(strstr(answer, "bad name"));
	assert_null(strstr(answer, "evil"));
	close(fd);
	turn(20);
}

static void
test_new_keys(void **state)
{
	static char fresh[] = "secret-b";
	static struct api_key new_keys[] = { { id_a, { fresh, sizeof(fresh) - 1 } } };
	struct account new_accounts[] = { accounts[0] };
	struct config new_cfg = cfg;
	struct fault f;
	int fd = dial();

	(void)state;
	new_accounts[0].api_keys = new_keys;
	new_cfg.accounts = new_accounts;
	store_full = true;
	assert_int_equal(status_of(ask(fd, GET_ONE)), 503);
	assert_int_equal(http_set_config(http, &new_cfg, &f), ERR_OK);
	assert_int_equal(status_of(ask(fd, GET_ONE)), 401);
	assert_int_equal(http_set_config(http, &cfg, &f), ERR_OK);
	assert_int_equal(status_of(ask(fd, GET_ONE)), 503);
	close(fd);
	turn(20);
}

static void
test_port_taken(void **state)
{
	struct fault f = { 0 };

	(void)state;
	assert_null(http_create(loop, &cfg, NULL, NULL, NULL, &f));
	assert_string_equal(f.where, "api.listen");
	assert_has(f.what, ":34901: Address already in use");
	/* the failed attempt took nothing from the one that runs */
	test_simple(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		KIT_TEST(test_simple),   KIT_TEST(test_keys),       KIT_TEST(test_store),
		KIT_TEST(test_bodies),   KIT_TEST(test_scopes),     KIT_TEST(test_metrics),
		KIT_TEST(test_new_keys), KIT_TEST(test_port_taken),
	};

	return kit_init() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
