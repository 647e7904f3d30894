#include "api-server/http/internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"

struct request *
request_create(struct http *h, struct conn *c, const char *target)
{
	size_t len = strlen(target);
	struct request *r = calloc(1, sizeof(*r) + len + 1);

	if (!r)
		return NULL;
	r->http = h;
	r->conn = c;
	r->began_ns = clock_mono_ns();
	memcpy(r->target, target, len + 1);
	id_uuid(r->id);
	buf_init(&r->body, (size_t)h->cfg->transfers.body_limit);
	return r;
}

static void
request_destroy(struct request *r)
{
	buf_finish(&r->body);
	json_decref(r->json);
	transfer_destroy(r->transfer);
	reply_free(&r->answer);
	free(r);
}

void
request_gone(struct request *r)
{
	r->mhd = NULL;
	r->conn = NULL;
	r->suspended = false;
	if (!r->pending)
		request_destroy(r);
}

/* --- admission --- */

static void
refuse_key(struct request *r)
{
	static struct log_limit limit;
	char host[ADDR_TEXT_SIZE];

	sources_failed(r->http->sources, &r->conn->peer, FAILURE_RATE, loop_now(r->http->loop));
	if (log_allowed(&limit, 5))
		log_warn("http", "unauthorized", "req=%s from=%s suppressed=%u", r->id,
			 addr_host(&r->conn->peer, host), limit.suppressed);
	reply_error(r, ERR_UNAUTHORIZED, NULL);
}

static bool
metrics_open_to(const struct http *h, const struct addr *peer)
{
	const struct cidr_list *l = &h->cfg->api.metrics_allow;

	for (size_t i = 0; i < l->count; i++)
		if (cidr_match(&l->items[i], peer))
			return true;
	return false;
}

static struct auth_key *
find_key(struct request *r)
{
	struct auth *a = r->http->auth;

	if (r->match.route->scope == SCOPE_METRICS)
		return auth_check_basic(a, request_header(r, "Authorization"));
	return auth_check(a, request_header(r, "asapp-api-id"),
			  request_header(r, "asapp-api-secret"));
}

static bool
scope_allows(enum scope scope, const struct auth_key *k)
{
	switch (scope) {
	case SCOPE_ACCOUNT:
		return !k->operator_key;
	case SCOPE_OPERATOR:
	case SCOPE_METRICS:
		return k->operator_key;
	case SCOPE_PUBLIC:
	case SCOPE_READ:
		return true;
	}
	return false;
}

/* Who asks, and may it?  false: answered. */
static bool
admit(struct request *r)
{
	struct http *h = r->http;
	enum scope scope = r->match.route->scope;
	int64_t now = loop_now(h->loop);
	struct auth_key *k;

	if (scope == SCOPE_PUBLIC || (scope == SCOPE_METRICS && metrics_open_to(h, &r->conn->peer)))
		return true;
	if (sources_blocked(h->sources, &r->conn->peer, FAILURE_RATE, now)) {
		h->metrics.throttled++;
		reply_error(r, ERR_RATE, NULL);
		return false;
	}
	k = find_key(r);
	if (!k) {
		refuse_key(r);
		return false;
	}
	if (!bucket_take(&k->bucket_of->bucket, h->cfg->api.rate_limit, now)) {
		reply_error(r, ERR_RATE, NULL);
		return false;
	}
	if (!scope_allows(scope, k)) {
		reply_error(r, ERR_FORBIDDEN, NULL);
		return false;
	}
	r->is_operator = k->operator_key;
	memcpy(r->account, k->account, sizeof(r->account));
	return true;
}

/* "application/json", with parameters or without. */
static bool
is_json(const char *type)
{
	static const char json[] = "application/json";
	size_t n = sizeof(json) - 1;

	if (!type || !str_starts_nocase(type, json))
		return false;
	n += strspn(type + n, " \t");
	return !type[n] || type[n] == ';';
}

static bool
body_readable(const struct request *r)
{
	const char *coding = request_header(r, "Content-Encoding");

	return is_json(request_header(r, "Content-Type")) &&
	       (!coding || str_eq_nocase(coding, "identity"));
}

void
request_begin(struct request *r, const char *method)
{
	r->begun = true;
	route_find(http_routes, method, r->target, &r->match);
	if (!r->match.route) {
		struct fault f = { .what = "Malformed path or query" };

		reply_error(r, r->match.err, r->match.err == ERR_INVALID ? &f : NULL);
		return;
	}
	if (admit(r) && r->match.route->body && !body_readable(r))
		reply_error(r, ERR_UNSUPPORTED, NULL);
}

void
request_body(struct request *r, const char *data, size_t len)
{
	if (r->answered || !r->match.route->body)
		return; /* read and dropped: the connection stays usable */
	buf_add(&r->body, data, len);
	if (r->body.failed)
		reply_error(r, r->body.len + len > r->body.max ? ERR_TOO_LARGE : ERR_NOMEM, NULL);
}

void
request_dispatch(struct request *r)
{
	struct fault f = { 0 };
	enum err e;

	r->dispatched = true;
	if (r->conn->received <= r->conn->answered) {
		/* The library made a request of bytes in which the guard saw none. */
		log_err("http", "unguarded", "req=%s", r->id);
		reply_error(r, ERR_INTERNAL, NULL);
		return;
	}
	if (r->http->closing) {
		reply_error(r, ERR_UNAVAILABLE, NULL);
		return;
	}
	if (r->match.route->body) {
		e = json_parse(r->body.data ? r->body.data : "", r->body.len, &r->json, &f);
		if (e != ERR_OK) {
			reply_error(r, e == ERR_NOMEM ? e : ERR_INVALID, &f);
			return;
		}
	}
	r->match.route->handle(r);
}

const struct account *
request_account(struct request *r)
{
	const struct account *a = config_account(r->http->cfg, r->account);

	if (!a)
		reply_error(r, ERR_UNAUTHORIZED, NULL);
	return a;
}

/* --- waiting for the store --- */

/* The last request that the store still had outlives http_destroy(). */
static void
http_let_go(struct http *h)
{
	if (h->closing && !h->daemon && !h->pending)
		free(h);
}

static void
on_overdue(struct loop_timer *t)
{
	struct http *h = container_of(t, struct http, overdue);
	int64_t now = loop_now(h->loop);

	list_each(it, &h->waiting)
	{
		struct request *r = container_of(it, struct request, node);

		if (r->deadline_ms > now) {
			if (!loop_timer_set(h->loop, t, r->deadline_ms - now, on_overdue))
				log_warn("http", "no-memory", "what=timer");
			return;
		}
		list_remove(&r->node);
		log_warn("http", "store-late", "req=%s", r->id);
		reply_error(r, ERR_TIMEOUT, NULL);
	}
}

static void
on_done(struct store_req *req)
{
	struct request *r = req->arg;
	struct http *h = r->http;

	r->pending = false;
	list_remove(&r->node);
	r->after(r);
	assert(r->answered);
	if (!r->mhd)
		request_destroy(r);
	h->pending--;
	http_let_go(h);
}

void
request_wait(struct request *r, enum store_op op, void (*after)(struct request *r))
{
	struct http *h = r->http;
	enum err e;

	r->store.req.op = op;
	r->store.req.done = on_done;
	r->store.req.arg = r;
	r->after = after;
	e = store_submit(h->store, &r->store.req);
	if (e != ERR_OK) {
		reply_error(r, e, NULL);
		return;
	}
	r->pending = true;
	h->pending++;
	r->deadline_ms = loop_now(h->loop) + STORE_WAIT_MS;
	list_append(&h->waiting, &r->node);
	if (!h->overdue.slot && !loop_timer_set(h->loop, &h->overdue, STORE_WAIT_MS, on_overdue))
		log_warn("http", "no-memory", "what=timer");
}

void
requests_give_up(struct http *h)
{
	list_each(it, &h->waiting)
	{
		struct request *r = container_of(it, struct request, node);

		list_remove(&r->node);
		reply_error(r, ERR_UNAVAILABLE, NULL);
	}
}
