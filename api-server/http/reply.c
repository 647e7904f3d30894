#include <microhttpd.h>

#include "api-server/http/internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"

#define TYPE_JSON "application/json"

void
reply_free(struct answer *a)
{
	if (a->owned)
		free(a->text);
	*a = (struct answer){ 0 };
}

static void
set(struct request *r, const struct answer *a)
{
	struct answer drop = *a;

	if (r->answered) {
		reply_free(&drop);
		return;
	}
	r->answer = *a;
	r->answered = true;
	if (r->suspended)
		http_resume(r);
}

/* No memory for an answer: this one needs none. */
static void
set_no_memory(struct request *r)
{
	static char text[] = "{\"error\":{\"requestId\":\"\",\"code\":\"503-01\","
			     "\"message\":\"Service Unavailable\"}}";

	set(r,
	    &(struct answer){
		    .err = ERR_NOMEM, .text = text, .len = sizeof(text) - 1, .type = TYPE_JSON });
}

void
reply_text(struct request *r, const char *type, char *text)
{
	if (!text) {
		set_no_memory(r);
		return;
	}
	set(r, &(struct answer){ .err = ERR_OK,
				 .text = text,
				 .len = strlen(text),
				 .owned = true,
				 .type = type });
}

void
reply_json(struct request *r, json_t *body)
{
	char *text = body ? json_text(body) : NULL;

	json_decref(body);
	reply_text(r, TYPE_JSON, text);
}

void
reply_static(struct request *r, const char *type, const char *text, size_t len)
{
	union {
		const char *in;
		char *out;
	} u = { .in = text };

	set(r, &(struct answer){ .err = ERR_OK, .text = u.out, .len = len, .type = type });
}

/* A message that does not fit is cut; that is all right. */
static void
cut(bool fits)
{
	(void)fits;
}

/* What a client may know: a server's trouble has no details. */
static const char *
message(enum err e, const struct fault *f, char *out, size_t size)
{
	if (!f || !f->what[0] || err_http(e) >= 500)
		return err_http(e) == 503 ? err_text(ERR_UNAVAILABLE) : err_text(e);
	if (!f->where[0] || f->where[0] == '/')
		cut(str_print(out, size, "ERROR - [Path '%s'] %s", f->where, f->what));
	else
		cut(str_print(out, size, "ERROR - [%s] %s", f->where, f->what));
	return out;
}

void
reply_error(struct request *r, enum err e, const struct fault *f)
{
	char text[sizeof(struct fault) + 32];
	json_t *body;
	char *json;

	body = json_pack("{s:{s:s,s:s,s:s}}", "error", "requestId", r->id, "code", err_code(e),
			 "message", message(e, f, text, sizeof(text)));
	json = body ? json_text(body) : NULL;
	json_decref(body);
	if (!json) {
		set_no_memory(r);
		return;
	}
	set(r, &(struct answer){ .err = e,
				 .text = json,
				 .len = strlen(json),
				 .owned = true,
				 .type = TYPE_JSON,
				 .ask_basic = e == ERR_UNAUTHORIZED && r->match.route &&
					      r->match.route->scope == SCOPE_METRICS });
}

static bool
add_headers(struct MHD_Response *m, const struct request *r)
{
	const struct answer *a = &r->answer;
	int status = err_http(a->err);
	bool ok = MHD_add_response_header(m, "Content-Type", a->type) &&
		  MHD_add_response_header(m, "X-Request-Id", r->id) &&
		  MHD_add_response_header(m, "Cache-Control", "no-store") &&
		  MHD_add_response_header(m, "X-Content-Type-Options", "nosniff");

	if (a->err == ERR_METHOD)
		ok = ok && MHD_add_response_header(m, "Allow", r->match.allow);
	if (status == 503 || status == 429)
		ok = ok && MHD_add_response_header(m, "Retry-After", "1");
	if (a->ask_basic)
		ok = ok &&
		     MHD_add_response_header(m, "WWW-Authenticate", "Basic realm=\"handback\"");
	return ok;
}

static void
log_answer(const struct request *r, int64_t took_ns)
{
	char host[ADDR_TEXT_SIZE];

	if (log_enabled(LOG_DEBUG))
		log_debug("http", "answer", "req=%s from=%s route=%s status=%d us=%lld", r->id,
			  addr_host(&r->conn->peer, host),
			  r->match.route ? r->match.route->pattern : "-", err_http(r->answer.err),
			  (long long)(took_ns / 1000));
}

bool
reply_send(struct request *r)
{
	struct answer *a = &r->answer;
	struct MHD_Response *m;
	int64_t took_ns = clock_mono_ns() - r->began_ns;
	size_t row = r->match.route ? (size_t)(r->match.route - http_routes) : METRICS_ROUTES;
	bool ok;

	m = MHD_create_response_from_buffer(
		a->len, a->text, a->owned ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
	if (!m)
		return false;
	a->owned = false; /* the library's now */
	metrics_count(&r->http->metrics, row, a->err, took_ns);
	log_answer(r, took_ns);
	conn_sending(r->conn);
	ok = add_headers(m, r) && MHD_queue_response(r->mhd, (unsigned)err_http(a->err), m);
	MHD_destroy_response(m);
	return ok;
}
