/* The REST side with every allocation failing in turn: it answers or closes, and leaves nothing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api-server/http/http.h"
#include "api-server/http/internal.h"
#include "common/id.h"
#include "common/log.h"
#include "tests/fakes/oom.h"

#define PORT      34902
#define TURNS     40
#define KEYS      "asapp-api-id: id-a\r\nasapp-api-secret: secret-a\r\n"
#define TRANSFERS "/generativeagent/v1/call-transfers"

static struct store_req *held[16];
static size_t held_count;

enum err
store_submit(struct store *s, struct store_req *r)
{
	(void)s;
	held[held_count++] = r;
	return ERR_OK;
}

void
store_stats(const struct store *s, struct store_stats *out)
{
	(void)s;
	*out = (struct store_stats){ 0 };
}

void
hub_note_expiry(struct hub *h, int64_t expires_at)
{
	(void)h, (void)expires_at;
}

size_t
hub_ready_workers(const struct hub *h)
{
	(void)h;
	return 1;
}

json_t *
hub_workers_json(const struct hub *h)
{
	(void)h;
	return json_pack("[{s:s,s:i}]", "worker", "w1", "calls", 3);
}

/* The description is thousands of allocations, and none of this test's business. */
char *
openapi_json(struct fault *f)
{
	(void)f;
	return strdup("{}");
}

void
h_openapi(struct request *r)
{
	reply_static(r, "application/json", "{}", 2);
}

void
h_index(struct request *r)
{
	reply_static(r, "text/html", "", 0);
}

/* What the store would have found; without memory it says so. */
static enum err
find(struct store_req *r)
{
	if (r->op == STORE_CALL_LIST) {
		struct store_call_list *l = container_of(r, struct store_call_list, req);

		l->calls = json_pack("[{s:s,s:s}]", "id", "c", "startedAt",
				     "2025-01-15T13:06:00.000Z");
		return l->calls ? ERR_OK : ERR_NOMEM;
	}
	if (r->op == STORE_TRANSFER_GET) {
		struct store_transfer_get *g = container_of(r, struct store_transfer_get, req);
		struct transfer *t = transfer_create();

		if (!t || !(t->id = strdup("x")) || !(t->account = strdup("a")) ||
		    !(t->conversation = strdup("c"))) {
			transfer_destroy(t);
			return ERR_NOMEM;
		}
		t->expires_at = INT64_MAX;
		g->transfer = t;
	}
	return ERR_OK;
}

static void
answer_held(void)
{
	while (held_count) {
		struct store_req *r = held[--held_count];

		r->err = find(r);
		r->done(r);
	}
}

static char name_a[] = "a", id_a[] = "id-a", secret_a[] = "secret-a", none[] = "";
static struct api_key keys[] = { { id_a, { secret_a, sizeof(secret_a) - 1 } } };
static struct account accounts[] = {
	{ .name = name_a,
	  .api_keys = keys,
	  .api_key_count = 1,
	  .returns = { .uri = none, .auth_realm = none, .auth_username = none } },
};
static struct cidr everywhere[1];
static struct config cfg = {
	.accounts = accounts,
	.account_count = 1,
	.api = { .max_connections = 8,
		 .request_timeout_ms = 1000,
		 .metrics_allow = { everywhere, 1 } },
	.transfers = { .body_limit = 1000, .expire_after_ms = 60000 },
};

static const char *const requests[] = {
	"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n",
	"GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n",
	"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n",
	"GET " TRANSFERS "/x HTTP/1.1\r\nHost: h\r\n" KEYS "\r\n",
	"GET /handback/v1/calls?limit=1 HTTP/1.1\r\nHost: h\r\n" KEYS "\r\n",
	"POST " TRANSFERS " HTTP/1.1\r\nHost: h\r\n" KEYS "Content-Type: application/json\r\n"
	"Content-Length: "
	"53\r\n\r\n{\"id\":\"x\",\"externalConversationId\":\"c\",\"type\":\"SIP\"} ",
};

/* One request; true when it was answered with 200.  Its own memory is none. */
static bool
ask(struct loop *loop, const char *request)
{
	static char text[65536];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	size_t len = 0;

	if (connect(fd, &cfg.api.listen.sa, addr_len(&cfg.api.listen)) == 0 || errno == EINPROGRESS)
		loop_step(loop, 10);
	ignore_err(send(fd, request, strlen(request), MSG_NOSIGNAL) > 0 ? ERR_OK : ERR_IO);
	for (int i = 0; i < TURNS && len == 0; i++) {
		ssize_t n;

		loop_step(loop, 1);
		answer_held();
		n = read(fd, text, sizeof(text) - 1);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			break; /* closed without an answer: so be it */
		len = n > 0 ? (size_t)n : 0;
	}
	close(fd);
	loop_step(loop, 0);
	text[len] = '\0';
	return strncmp(text, "HTTP/1.1 200 ", 13) == 0;
}

static bool
serve(void *arg)
{
	struct fault f;
	struct loop *loop = loop_create();
	struct http *http = loop ? http_create(loop, &cfg, NULL, NULL, NULL, &f) : NULL;
	bool ok = http && ask(loop, arg);

	http_destroy(http);
	if (loop)
		loop_destroy(loop);
	return ok;
}

static bool
reconfigure(void *arg)
{
	struct fault f;
	struct loop *loop = loop_create();
	struct http *http = loop ? http_create(loop, &cfg, NULL, NULL, NULL, &f) : NULL;
	bool ok = http && http_set_config(http, &cfg, &f) == ERR_OK;

	(void)arg;
	http_destroy(http);
	if (loop)
		loop_destroy(loop);
	return ok;
}

static void
test_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		union {
			const char *in;
			void *out;
		} u = { .in = requests[i] };

		if (oom_run(serve, u.out) <= 0)
			fail_msg("%s", requests[i]);
	}
}

static void
test_reconfigure(void **state)
{
	(void)state;
	assert_true(oom_run(reconfigure, NULL) > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_reconfigure),
	};
	char host[32];

	log_init("test");
	log_set_level(LOG_ERR);
	snprintf(host, sizeof(host), "127.34.%d.%d", (getpid() >> 8) & 255, getpid() & 255);
	if (!id_init() || !cidr_parse("0.0.0.0/0", everywhere) ||
	    !addr_parse(host, PORT, &cfg.api.listen))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
