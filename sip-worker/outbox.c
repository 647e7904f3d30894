#include "sip-worker/outbox.h"

#include <stdlib.h>
#include <string.h>

#include "common/list.h"
#include "common/log.h"
#include "common/str.h"

#define REPLY_MS  10000 /* then the link is taken for stuck */
#define AGAIN_MS  500   /* api-server could not just now: store locked, disk full */
#define IN_FLIGHT 2048  /* requests sent and not answered */

enum record_state { RECORD_WAITING, RECORD_SENT };

struct record {
	struct list node; /* outbox.records, in order */
	struct outbox *outbox;
	enum msg_type type;
	enum record_state state;
	bool vital;
	uint64_t number; /* of its file, 0: not spooled */
	json_t *msg;
	outbox_done_h *done;
	void *arg;
};

struct outbox {
	struct loop *loop;
	struct control *control;
	struct spool *spool;
	struct list records; /* struct record::node */
	size_t count, plain, sent;
	int64_t dropped;
	bool up;
	struct loop_timer again;
};

static bool
is_vital(enum msg_type t)
{
	return t == MSG_COMPLETE || t == MSG_RELEASE;
}

/* The record is over: told, its file removed, freed. */
static void
record_finish(struct record *r, enum err e)
{
	struct outbox *o = r->outbox;

	list_remove(&r->node);
	o->count--;
	o->plain -= !r->vital;
	if (r->number)
		spool_remove(o->spool, r->number);
	if (r->done)
		r->done(r->arg, e);
	json_decref(r->msg);
	free(r);
}

static void outbox_send(struct outbox *o);

static void
on_again(struct loop_timer *t)
{
	outbox_send(container_of(t, struct outbox, again));
}

static bool
is_passing(enum err e)
{
	return e == ERR_UNAVAILABLE || e == ERR_BUSY || e == ERR_NOMEM || e == ERR_RETRY ||
	       e == ERR_IO || e == ERR_INTERNAL;
}

static void
on_reply(void *arg, enum err e, const json_t *body)
{
	struct record *r = arg;
	struct outbox *o = r->outbox;

	(void)body;
	o->sent--;
	r->state = RECORD_WAITING;
	if (e == ERR_CLOSED)
		return; /* sent again when the link is back */
	if (e == ERR_TIMEOUT) {
		control_reset(o->control, "no reply");
		return;
	}
	if (is_passing(e)) {
		if (!loop_timer_set(o->loop, &o->again, AGAIN_MS, on_again))
			control_reset(o->control, "no memory");
		return;
	}
	if (e != ERR_OK)
		log_warn("outbox", "refused", "type=%s why=%s", msg_table[r->type].wire,
			 err_name(e));
	record_finish(r, e);
	if (o->count > o->sent)
		outbox_send(o);
}

/* Sends what waits, in order.  A retry keeps its place: order matters to nobody but the reader of
 * a timeline, and entries carry their sequence numbers. */
static void
outbox_send(struct outbox *o)
{
	if (!o->up || o->count == o->sent)
		return;
	list_each(n, &o->records)
	{
		struct record *r = container_of(n, struct record, node);

		if (r->state == RECORD_SENT)
			continue;
		if (o->sent >= IN_FLIGHT ||
		    control_request(o->control, r->msg, REPLY_MS, on_reply, r) != ERR_OK)
			break;
		r->state = RECORD_SENT;
		o->sent++;
	}
}

static struct record *
record_add(struct outbox *o, enum msg_type t, json_t *msg)
{
	struct record *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->outbox = o;
	r->type = t;
	r->vital = is_vital(t);
	r->msg = json_incref(msg);
	list_append(&o->records, &r->node);
	o->count++;
	o->plain += !r->vital;
	return r;
}

/* Above the limit the oldest that is not vital and not under way goes. */
static void
make_room(struct outbox *o)
{
	if (o->plain < OUTBOX_MAX)
		return;
	list_each(n, &o->records)
	{
		struct record *r = container_of(n, struct record, node);

		if (r->vital || r->state == RECORD_SENT)
			continue;
		o->dropped++;
		record_finish(r, ERR_BUSY);
		return;
	}
}

static void
spool_record(struct record *r, spool_done_h *done, void *arg)
{
	struct outbox *o = r->outbox;

	if (!r->number)
		r->number = spool_next_number(o->spool);
	if (spool_write(o->spool, r->number, r->msg, done, arg) != ERR_OK) {
		log_err("outbox", "spool_failed", "type=%s", msg_table[r->type].wire);
		r->number = 0;
	}
}

enum err
outbox_put(struct outbox *o, enum msg_type t, const void *body, outbox_done_h *done, void *arg)
{
	json_t *msg = msg_request(t, "", body);
	struct record *r;

	if (!msg)
		return ERR_NOMEM;
	make_room(o);
	r = record_add(o, t, msg);
	json_decref(msg);
	if (!r)
		return ERR_NOMEM;
	r->done = done;
	r->arg = arg;
	if (o->up)
		outbox_send(o);
	else if (r->vital)
		spool_record(r, NULL, NULL);
	return ERR_OK;
}

void
outbox_forget(struct outbox *o, const void *arg)
{
	list_each(n, &o->records)
	{
		struct record *r = container_of(n, struct record, node);

		if (r->arg != arg)
			continue;
		r->done = NULL;
		r->arg = NULL;
	}
}

bool
outbox_spool_now(struct outbox *o, const void *arg, spool_done_h *done, void *done_arg)
{
	bool any = false;

	list_each(n, &o->records)
	{
		struct record *r = container_of(n, struct record, node);

		if (r->arg != arg || !r->vital || r->number)
			continue;
		spool_record(r, done, done_arg);
		any = r->number != 0;
	}
	return any;
}

void
outbox_link_up(struct outbox *o)
{
	o->up = true;
	outbox_send(o);
}

void
outbox_link_down(struct outbox *o)
{
	o->up = false;
	list_each(n, &o->records)
	{
		struct record *r = container_of(n, struct record, node);

		if (r->vital && !r->number)
			spool_record(r, NULL, NULL);
	}
}

static void
recover_one(void *arg, uint64_t number, json_t *msg)
{
	struct outbox *o = arg;
	enum msg_type t;
	struct record *r;

	if (!msg_type_find(json_string_value(json_object_get(msg, "t")), &t) || !is_vital(t)) {
		log_warn("outbox", "bad_spool_file", "number=%llu", (unsigned long long)number);
		return;
	}
	r = record_add(o, t, msg);
	if (r)
		r->number = number;
}

void
outbox_recover(struct outbox *o)
{
	spool_load(o->spool, recover_one, o);
	if (o->count)
		log_info("outbox", "recovered", "count=%zu", o->count);
}

void
outbox_list_claims(const struct outbox *o, json_t *calls)
{
	list_each(n, &o->records)
	{
		const struct record *r = container_of(n, struct record, node);
		json_t *body = json_object_get(r->msg, "body");

		if (r->vital)
			json_array_append_new(calls,
					      json_pack("{s:O, s:O}", "call",
							json_object_get(body, "call"), "token",
							json_object_get(body, "token")));
	}
}

size_t
outbox_count(const struct outbox *o)
{
	return o->count;
}

int64_t
outbox_dropped(const struct outbox *o)
{
	return o->dropped;
}

struct outbox *
outbox_create(struct loop *l, struct control *c, struct spool *s)
{
	struct outbox *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->loop = l;
	o->control = c;
	o->spool = s;
	list_init(&o->records);
	return o;
}

void
outbox_destroy(struct outbox *o)
{
	if (!o)
		return;
	loop_timer_cancel(o->loop, &o->again);
	list_each(n, &o->records)
	{
		struct record *r = container_of(n, struct record, node);

		/* Files stay for the next start. */
		list_remove(&r->node);
		json_decref(r->msg);
		free(r);
	}
	free(o);
}
