#include "sip-worker/report.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"

struct report {
	struct loop *loop;
	struct outbox *outbox;
	json_t *batch;
	struct loop_timer timer;
};

void
report_flush(struct report *r)
{
	struct msg_report m = { .events = r->batch };

	loop_timer_cancel(r->loop, &r->timer);
	if (json_array_size(r->batch) == 0)
		return;
	if (outbox_put(r->outbox, MSG_REPORT, &m, NULL, NULL) != ERR_OK)
		log_warn("report", "lost", "entries=%zu", json_array_size(r->batch));
	/* The message holds the array: a new one, not a cleared one. */
	json_decref(r->batch);
	r->batch = json_array();
}

static void
on_timer(struct loop_timer *t)
{
	report_flush(container_of(t, struct report, timer));
}

/* What a reap looks at must be known soon: a call that was answered is COMPLETED when its worker is
 * lost, one that was not is ACTIVE again. */
static int
patience_ms(enum call_event type)
{
	return type == CALL_EVENT_ANSWERED ? REPORT_SOON_MS : REPORT_MS;
}

/* Not later than the entries before it. */
static void
arm(struct report *r, int ms)
{
	int64_t at = loop_now(r->loop) + ms;

	if (r->timer.slot && r->timer.at_ms <= at)
		return;
	if (!loop_timer_set(r->loop, &r->timer, ms, on_timer))
		report_flush(r);
}

void
report_add(struct report *r, const char *call, int64_t seq, enum call_event type, json_t *info)
{
	json_t *e = json_pack("{s:s, s:I, s:I, s:s, s:o}", "call", call, "seq", (json_int_t)seq,
			      "at", (json_int_t)clock_wall_ms(), "type", call_event_names[type],
			      "info", info ? info : json_object());

	if (!e || json_array_append_new(r->batch, e) != 0) {
		log_warn("report", "no_memory", "call=%s", call);
		return;
	}
	if (json_array_size(r->batch) >= REPORT_BATCH)
		report_flush(r);
	else
		arm(r, patience_ms(type));
}

struct report *
report_create(struct loop *l, struct outbox *o)
{
	struct report *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->loop = l;
	r->outbox = o;
	r->batch = json_array();
	return r;
}

void
report_destroy(struct report *r)
{
	if (!r)
		return;
	report_flush(r);
	json_decref(r->batch);
	free(r);
}
