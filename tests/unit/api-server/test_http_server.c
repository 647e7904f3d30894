/* The REST side as a whole over real sockets, with a store and a hub that do as they are told:
 * late, full, gone.  The client end lives in the same loop, so nothing sleeps. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "api-server/http/http.h"
#include "common/clock.h"
#include "common/id.h"
#include "common/log.h"

#define PORT    34901
#define KEYS    "asapp-api-id: id-a\r\nasapp-api-secret: secret-a\r\n"
#define GET_ONE "GET /generativeagent/v1/call-transfers/x HTTP/1.1\r\nHost: h\r\n" KEYS "\r\n"

/* --- the clock: real, and jumps; or every look at it takes time --- */

static int64_t jumped_ns, look_ns;

int64_t
clock_mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	jumped_ns += look_ns;
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec + jumped_ns;
}

int64_t
clock_mono_ms(void)
{
	return clock_mono_ns() / 1000000;
}

int64_t
clock_wall_ms(void)
{
	return 1736946365000;
}

/* --- the store and the hub --- */

static struct store_req *held[256];
static size_t held_count;
static bool store_full;
static int64_t noted;

enum err
store_submit(struct store *s, struct store_req *r)
{
	(void)s;
	if (store_full)
		return ERR_BUSY;
	assert_true(held_count < ARRAY_LEN(held));
	held[held_count++] = r;
	return ERR_OK;
}

void
store_stats(const struct store *s, struct store_stats *out)
{
	(void)s;
	*out = (struct store_stats){ .commits = 7 };
}

void
hub_note_expiry(struct hub *h, int64_t expires_at)
{
	(void)h;
	noted = expires_at;
}

size_t
hub_ready_workers(const struct hub *h)
{
	(void)h;
	return 2;
}

json_t *
hub_workers_json(const struct hub *h)
{
	(void)h;
	return json_pack("[{s:s,s:i,s:b,s:{s:i,s:i}},{s:s}]", "worker", "w1", "calls", 3,
			 "draining", 0, "counters", "rtp_lost", 5, "bad name", 1, "worker",
			 "evil\"\n");
}

/* Answers the oldest request. */
static void
store_answer(enum err e)
{
	struct store_req *r = held[0];

	assert_true(held_count > 0);
	memmove(held, held + 1, --held_count * sizeof(held[0]));
	if (e == ERR_OK && r->op == STORE_TRANSFER_GET) {
		struct store_transfer_get *g = container_of(r, struct store_transfer_get, req);
		struct transfer *t = transfer_create();

		t->account = strdup(g->account);
		t->id = strdup(g->id);
		t->conversation = strdup("c");
		t->created_at = 1736946360000;
		t->expires_at = INT64_MAX;
		g->transfer = t;
	}
	r->err = e;
	r->done(r);
}

/* --- set-up --- */

static char name_a[] = "a", id_a[] = "id-a", secret_a[] = "secret-a", id_o[] = "ops", none[] = "";
static struct api_key keys[] = { { id_a, { secret_a, sizeof(secret_a) - 1 } } };
static struct account accounts[] = {
	{ .name = name_a,
	  .api_keys = keys,
	  .api_key_count = 1,
	  .returns = { .uri = none, .auth_realm = none, .auth_username = none } },
};
static struct operator_key operators[] = { { id_o, { secret_a, sizeof(secret_a) - 1 } } };
static struct config cfg;
static struct loop *loop;
static struct http *http;

static int
setup(void **state)
{
	struct fault f = { 0 };

	(void)state;
	cfg = (struct config){
		.accounts = accounts,
		.account_count = 1,
		.operators = operators,
		.operator_count = 1,
		.api = { .max_connections = 64, .request_timeout_ms = 300 },
		.transfers = { .body_limit = 1000, .expire_after_ms = 60000 },
	};
	assert_true(addr_parse("127.0.0.1", PORT, &cfg.api.listen));
	loop = loop_create();
	assert_non_null(loop);
	http = http_create(loop, &cfg, NULL, NULL, NULL, &f);
	if (!http)
		fail_msg("%s: %s", f.where, f.what);
	held_count = 0;
	store_full = false;
	noted = 0;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	http_destroy(http);
	loop_destroy(loop);
	return 0;
}

/* --- the client --- */

static int
dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	assert_true(connect(fd, &cfg.api.listen.sa, addr_len(&cfg.api.listen)) == 0 ||
		    errno == EINPROGRESS);
	return fd;
}

static void
turn(int ms)
{
	int64_t end = clock_mono_ms() + ms;

	do
		loop_step(loop, 5);
	while (clock_mono_ms() < end);
}

static void
say(int fd, const char *text)
{
	turn(0);
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* What has come within `ms`, or until something has and then nothing more; closed: at the end. */
static const char *
hear(int fd, int ms, bool *closed)
{
	static char text[65536];
	int64_t end = clock_mono_ms() + ms;
	size_t len = 0;
	bool quiet = false;

	*closed = false;
	while (clock_mono_ms() < end && !quiet) {
		ssize_t n;

		loop_step(loop, 5);
		n = read(fd, text + len, sizeof(text) - 1 - len);
		if (n == 0 || (n < 0 && errno == ECONNRESET)) {
			*closed = true;
			break;
		}
		quiet = n < 0 && len > 0;
		len += n > 0 ? (size_t)n : 0;
	}
	text[len] = '\0';
	return text;
}

static const char *
ask(int fd, const char *text)
{
	bool closed;

	say(fd, text);
	return hear(fd, 500, &closed);
}

static int
status_of(const char *answer)
{
	return strlen(answer) > 12 ? (int)strtol(answer + 9, NULL, 10) : 0;
}

static void
assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in: %s", part, text);
}

/* --- tests --- */

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
test_throttled(void **state)
{
	int fd = dial(), limited = 0;

	(void)state;
	for (int i = 0; i < 40; i++)
		limited += status_of(
				   ask(fd, "GET /handback/v1/calls HTTP/1.1\r\nHost: h\r\n\r\n")) ==
			   429;
	assert_true(limited > 0);
	/* nor is the right key looked at then */
	while (status_of(ask(fd, "GET /handback/v1/calls HTTP/1.1\r\nHost: h\r\n\r\n")) != 429)
		;
	assert_int_equal(status_of(ask(fd, GET_ONE)), 429);
	turn(200);
	say(fd, GET_ONE);
	turn(20);
	assert_int_equal(held_count, 1);
	store_answer(ERR_NOT_FOUND);
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

/* The client leaves while the store works: its answer is dropped, once, and freed. */
static void
test_client_gone(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, GET_ONE);
	turn(20);
	assert_int_equal(held_count, 1);
	close(fd);
	turn(20);
	store_answer(ERR_OK);
	turn(20);
	fd = dial();
	assert_int_equal(status_of(ask(fd, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")), 200);
	close(fd);
	turn(20);
}

/* The store answers after the deadline: the client has its 503, the late answer goes nowhere. */
static void
test_store_late(void **state)
{
	bool closed;
	int fd = dial();

	(void)state;
	say(fd, GET_ONE);
	turn(20);
	jumped_ns += 5100000000;
	assert_int_equal(status_of(hear(fd, 1000, &closed)), 503);
	assert_int_equal(held_count, 1);
	assert_int_equal(status_of(ask(fd, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")), 200);
	store_answer(ERR_OK);
	turn(20);
	close(fd);
	turn(20);
}

static void
test_pipelined(void **state)
{
	bool closed;
	int fd = dial();
	const char *answer;

	(void)state;
	say(fd,
	    GET_ONE "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost : h\r\n\r\n");
	turn(20);
	store_answer(ERR_OK);
	answer = hear(fd, 100, &closed);
	assert_has(answer, "\"id\":\"x\"");
	assert_has(answer, "\"status\":\"ok\"");
	while (!closed && !strstr(answer, "400 Bad Request"))
		answer = hear(fd, 1000, &closed);
	assert_has(answer, "HTTP/1.1 400 Bad Request");
	assert_has(answer, "\"code\":\"400-01\"");
	close(fd);
	turn(20);
}

static void
test_slow(void **state)
{
	bool closed = false;
	int fd = dial(), idle = dial();
	int64_t began = clock_mono_ms();

	(void)state;
	/* A byte now and then does not buy time. */
	for (const char *p = GET_ONE; *p && !closed; p++) {
		char c[2] = { *p, '\0' };

		if (send(fd, c, 1, MSG_NOSIGNAL) < 0)
			break;
		hear(fd, 20, &closed);
	}
	assert_true(clock_mono_ms() - began < 600);
	hear(idle, 400, &closed);
	assert_true(closed);
	close(fd);
	close(idle);
	turn(20);
}

static void
test_too_large(void **state)
{
	char text[4096];
	bool closed;
	int fd = dial();
	const char *answer;

	(void)state;
	answer = ask(fd, "POST /generativeagent/v1/call-transfers HTTP/1.1\r\nHost: h\r\n" KEYS
			 "Content-Type: application/json\r\nContent-Length: 1001\r\n\r\n");
	assert_int_equal(status_of(answer), 413);
	assert_has(answer, "\"code\":\"413-01\"");
	assert_has(answer, "Connection: close");
	close(fd);
	/* The peer keeps sending, and has its answer all the same. */
	fd = dial();
	say(fd, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
	memset(text, 'x', sizeof(text));
	for (int i = 0; i < 10; i++)
		if (send(fd, text, sizeof(text), MSG_NOSIGNAL) < 0)
			break;
	assert_int_equal(status_of(hear(fd, 500, &closed)), 413);
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
test_rate(void **state)
{
	int fd = dial(), limited = 0;

	(void)state;
	cfg.api.rate_limit = 5;
	store_full = true;
	for (int i = 0; i < 10; i++)
		limited += status_of(ask(fd, GET_ONE)) == 429;
	assert_in_range(limited, 3, 5);
	close(fd);
	turn(20);
}

static void
test_per_address(void **state)
{
	static const char get[] = "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n";
	int fds[20], served = 0;
	bool closed;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = dial();
	turn(50);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		send(fds[i], get, sizeof(get) - 1, MSG_NOSIGNAL);
		served += status_of(hear(fds[i], 50, &closed)) == 200;
	}
	assert_int_equal(served, 16); /* a quarter of 64 */
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	turn(20);
}

/* Stopping with requests that the store never answered in time, and answers afterwards. */
static void
test_stop(void **state)
{
	bool closed;
	int fd = dial();

	(void)state;
	say(fd, GET_ONE);
	turn(20);
	assert_int_equal(held_count, 1);
	look_ns = 50000000;
	http_destroy(http); /* waits for the store, in vain */
	look_ns = 0;
	assert_int_equal(status_of(hear(fd, 100, &closed)), 503);
	store_answer(ERR_OK);
	close(fd);
	loop_destroy(loop);
	setup(NULL);
}

static void
test_port_taken(void **state)
{
	struct fault f = { 0 };

	(void)state;
	assert_null(http_create(loop, &cfg, NULL, NULL, NULL, &f));
	assert_string_equal(f.where, "api.listen");
	assert_has(f.what, "127.0.0.1:34901: Address already in use");
	/* the failed attempt took nothing from the one that runs */
	test_simple(NULL);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_simple),      T(test_keys),       T(test_throttled),   T(test_store),
		T(test_client_gone), T(test_store_late), T(test_pipelined),   T(test_slow),
		T(test_too_large),   T(test_bodies),     T(test_scopes),      T(test_metrics),
		T(test_new_keys),    T(test_rate),       T(test_per_address), T(test_stop),
		T(test_port_taken),
	};

	log_init("test");
	log_set_level(LOG_ERR);
	return id_init() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
