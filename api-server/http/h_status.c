#include "api-server/http/internal.h"

#define METRICS_MAX (4u << 20)

void
h_worker_list(struct request *r)
{
	json_t *workers = hub_workers_json(r->http->hub);

	reply_json(r, workers ? json_pack("{s:o}", "workers", workers) : NULL);
}

void
h_health(struct request *r)
{
	static const char ok[] = "{\"status\":\"ok\"}";

	reply_static(r, "application/json", ok, sizeof(ok) - 1);
}

static void
on_checked(struct request *r)
{
	size_t workers = hub_ready_workers(r->http->hub);

	if (r->store.req.err != ERR_OK || !workers)
		reply_error(r, ERR_UNAVAILABLE, NULL);
	else
		reply_json(r, json_pack("{s:s,s:I}", "status", "ready", "workers",
					(json_int_t)workers));
}

/* Can a transfer be stored, and is there a worker to take its call? */
void
h_ready(struct request *r)
{
	request_wait(r, STORE_CHECK, on_checked);
}

void
h_metrics(struct request *r)
{
	struct buf text;

	buf_init(&text, METRICS_MAX);
	metrics_print(r->http, &text);
	reply_text(r, "text/plain; version=0.0.4", buf_take(&text));
}
