#include "api-server/http/internal.h"

#include <ctype.h>
#include <string.h>
#include <time.h>

#define LIMIT_DEFAULT 50
#define LIMIT_MAX     200

static bool
digits(const char **p, int count, int *out)
{
	*out = 0;
	for (int i = 0; i < count; i++, (*p)++) {
		if (!isdigit((unsigned char)**p))
			return false;
		*out = *out * 10 + (**p - '0');
	}
	return true;
}

static bool
literal(const char **p, char c)
{
	return *(*p)++ == c;
}

/* "2025-01-15T13:06:00Z", with or without ".123": what our answers hold. */
bool
time_read(const char *text, int64_t *out_ms)
{
	struct tm tm = { 0 };
	int ms = 0;
	const char *p = text;

	if (!(digits(&p, 4, &tm.tm_year) && literal(&p, '-') && digits(&p, 2, &tm.tm_mon) &&
	      literal(&p, '-') && digits(&p, 2, &tm.tm_mday) && literal(&p, 'T') &&
	      digits(&p, 2, &tm.tm_hour) && literal(&p, ':') && digits(&p, 2, &tm.tm_min) &&
	      literal(&p, ':') && digits(&p, 2, &tm.tm_sec)))
		return false;
	if (*p == '.' && (p++, !digits(&p, 3, &ms)))
		return false;
	if (strcmp(p, "Z") != 0 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 ||
	    tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	*out_ms = (int64_t)timegm(&tm) * 1000 + ms;
	return *out_ms > 0; /* 0 means now to the store */
}

/* ?account=NAME for operators; others have theirs.  false: answered. */
bool
query_account(struct request *r)
{
	char name[MSG_NAME_MAX];
	bool found;

	if (!r->is_operator)
		return true;
	if (route_query(r->match.query, "account", name, sizeof(name), &found) != ERR_OK) {
		reply_error(r, ERR_INVALID, &(struct fault){ .what = "account: malformed" });
		return false;
	}
	if (found)
		memcpy(r->account, name, sizeof(name));
	return true;
}

static bool
query_page(struct request *r, struct store_call_list *l)
{
	char text[64];
	int64_t limit = LIMIT_DEFAULT;
	bool found;

	if (route_query(r->match.query, "limit", text, sizeof(text), &found) != ERR_OK ||
	    (found && !str_to_int64(text, 1, LIMIT_MAX, &limit))) {
		reply_error(r, ERR_INVALID, &(struct fault){ .what = "limit: 1 to 200 expected" });
		return false;
	}
	if (route_query(r->match.query, "before", text, sizeof(text), &found) != ERR_OK ||
	    (found && !time_read(text, &l->before_ms))) {
		reply_error(r, ERR_INVALID,
			    &(struct fault){ .what = "before: a time like 2025-01-15T13:06:00.000Z "
						     "expected" });
		return false;
	}
	l->limit = (int)limit;
	return true;
}

/* "next" is the `before` of the following page. */
static void
on_listed(struct request *r)
{
	struct store_call_list *l = &r->store.calls;
	const char *name = l->refused ? "refusals" : "calls";
	json_t *body, *last, *next = NULL;

	if (l->req.err != ERR_OK) {
		reply_error(r, l->req.err, NULL);
		return;
	}
	if (json_array_size(l->calls) == (size_t)l->limit) {
		last = json_array_get(l->calls, (size_t)l->limit - 1);
		next = json_incref(json_object_get(last, "startedAt"));
	}
	body = json_pack("{s:o,s:o*}", name, l->calls, "next", next);
	reply_json(r, body);
}

static void
list_calls(struct request *r, bool refused)
{
	struct store_call_list *l = &r->store.calls;

	if (!query_account(r) || !query_page(r, l))
		return;
	l->account = r->account[0] ? r->account : NULL;
	l->refused = refused;
	request_wait(r, STORE_CALL_LIST, on_listed);
}

void
h_call_list(struct request *r)
{
	list_calls(r, false);
}

void
h_refusal_list(struct request *r)
{
	list_calls(r, true);
}

static void
on_call(struct request *r)
{
	struct store_call_get *g = &r->store.call;

	if (g->req.err == ERR_OK)
		reply_json(r, g->call);
	else
		reply_error(r, g->req.err, NULL);
}

void
h_call_get(struct request *r)
{
	if (!query_account(r))
		return;
	r->store.call.account = r->account[0] ? r->account : NULL;
	r->store.call.id = r->match.param;
	request_wait(r, STORE_CALL_GET, on_call);
}
