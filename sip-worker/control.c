#include "sip-worker/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/ipc.h"
#include "common/list.h"
#include "common/log.h"
#include "common/map.h"
#include "common/str.h"

#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 2000
#define HELLO_MS       5000
#define REFUSED_MS     1000 /* hello refused: the name is taken, or the store is away */

struct pending {
	struct list node; /* control.pending, by age */
	char id[24];
	struct loop_timer deadline;
	struct control *control;
	control_reply_h *done;
	void *arg;
};

struct control {
	struct loop *loop;
	const struct config *cfg;
	const struct control_ops *ops;
	void *app;
	struct ipc *ipc;
	bool up;
	bool told; /* "waiting for api-server" was said */
	char instance[ID_TOKEN_SIZE];
	struct list pending; /* struct pending::node */
	struct map *by_id;
	uint64_t next_id;
	int backoff_ms;
	struct loop_timer reconnect, beat;
};

static void on_reconnect(struct loop_timer *t);

static void
arm(struct control *c, struct loop_timer *t, int ms, void (*fire)(struct loop_timer *t))
{
	if (!loop_timer_set(c->loop, t, ms, fire))
		log_err("control", "no_memory", "what=timer");
}

static void
pending_finish(struct pending *p, enum err e, const json_t *body)
{
	struct control *c = p->control;

	list_remove(&p->node);
	map_remove(c->by_id, p->id);
	loop_timer_cancel(c->loop, &p->deadline);
	p->done(p->arg, e, body);
	free(p);
}

static void
on_pending_deadline(struct loop_timer *t)
{
	pending_finish(container_of(t, struct pending, deadline), ERR_TIMEOUT, NULL);
}

static void
link_down(struct control *c, const char *why, int again_ms)
{
	bool was_up = c->up;
	struct list gone;

	c->up = false;
	ipc_close(c->ipc);
	c->ipc = NULL;
	loop_timer_cancel(c->loop, &c->beat);
	/* What is asked from inside these callbacks is not ours to fail. */
	list_init(&gone);
	list_each(n, &c->pending)
	{
		list_remove(n);
		list_append(&gone, n);
	}
	for (struct list *n = gone.next; n != &gone; n = gone.next)
		pending_finish(container_of(n, struct pending, node), ERR_CLOSED, NULL);
	if (was_up)
		log_warn("control", "link_down", "why=%s", log_quote(why));
	arm(c, &c->reconnect, again_ms, on_reconnect);
	if (was_up)
		c->ops->down(c->app);
}

static int
next_backoff(struct control *c)
{
	uint8_t jitter;
	int ms = c->backoff_ms;

	id_random(&jitter, sizeof(jitter));
	c->backoff_ms = ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : ms * 2;
	return ms + ms * jitter / 512;
}

void
control_reset(struct control *c, const char *why)
{
	if (c->ipc)
		link_down(c, why, BACKOFF_MIN_MS);
}

enum err
control_request(struct control *c, json_t *msg, int timeout_ms, control_reply_h *done, void *arg)
{
	struct pending *p;
	enum err e;

	if (!c->ipc)
		return ERR_UNAVAILABLE;
	if (map_count(c->by_id) >= CONTROL_PENDING_MAX)
		return ERR_BUSY;
	p = calloc(1, sizeof(*p));
	if (!p)
		return ERR_NOMEM;
	p->control = c;
	p->done = done;
	p->arg = arg;
	ignore_err(str_print(p->id, sizeof(p->id), "r-%llu", (unsigned long long)++c->next_id)
			   ? ERR_OK
			   : ERR_INTERNAL);
	if (json_object_set_new(msg, "id", json_string(p->id)) != 0 ||
	    !map_put(c->by_id, p->id, p)) {
		free(p);
		return ERR_NOMEM;
	}
	list_append(&c->pending, &p->node);
	e = loop_timer_set(c->loop, &p->deadline, timeout_ms, on_pending_deadline)
		    ? ipc_send(c->ipc, msg)
		    : ERR_NOMEM;
	if (e == ERR_OK)
		return ERR_OK;
	loop_timer_cancel(c->loop, &p->deadline);
	map_remove(c->by_id, p->id);
	list_remove(&p->node);
	free(p);
	return e;
}

/* --- heartbeat --- */

static void
on_beat(struct loop_timer *t)
{
	struct control *c = container_of(t, struct control, beat);
	struct msg_heartbeat h = { 0 };
	json_t *msg;

	c->ops->heartbeat(c->app, &h);
	msg = msg_event(MSG_HEARTBEAT, &h);
	json_decref(h.counters);
	arm(c, &c->beat, (int)c->cfg->control.heartbeat_ms, on_beat);
	/* A full queue means that the other side reads nothing: its silence is dealt with by
	 * deadlines. */
	if (msg)
		ignore_err(ipc_send(c->ipc, msg));
	json_decref(msg);
}

/* --- hello --- */

static void
on_hello_reply(void *arg, enum err e, const json_t *body)
{
	struct control *c = arg;
	struct msg_hello_reply reply = { 0 };
	struct fault f = { 0 };

	if (e == ERR_CLOSED)
		return; /* link_down() is at work */
	if (e == ERR_OK)
		e = msg_read_reply(MSG_HELLO, body, &reply, &f);
	if (e != ERR_OK) {
		log_warn("control", "hello_refused", "why=%s what=%s", err_name(e),
			 log_quote(f.what));
		link_down(c, "hello refused", REFUSED_MS);
		return;
	}
	c->up = true;
	c->told = false;
	c->backoff_ms = BACKOFF_MIN_MS;
	log_info("control", "link_up", "ports=%lld-%lld", (long long)reply.port_first,
		 (long long)reply.port_last);
	arm(c, &c->beat, (int)c->cfg->control.heartbeat_ms, on_beat);
	c->ops->up(c->app, &reply);
	msg_finish_reply(MSG_HELLO, &reply);
}

static enum err
say_hello(struct control *c)
{
	struct msg_hello h = { .pid = getpid() };
	json_t *msg;
	enum err e;

	if (!str_copy(h.worker, sizeof(h.worker), c->cfg->worker.name) ||
	    !str_copy(h.agents_version, sizeof(h.agents_version), c->cfg->agents_version))
		return ERR_INVALID;
	memcpy(h.instance, c->instance, sizeof(h.instance));
	c->ops->hello(c->app, &h);
	msg = msg_request(MSG_HELLO, "", &h);
	e = msg ? control_request(c, msg, HELLO_MS, on_hello_reply, c) : ERR_NOMEM;
	json_decref(msg);
	msg_finish_body(MSG_HELLO, &h);
	return e;
}

/* --- the connection --- */

static void
on_message(struct ipc *ipc, json_t *msg, void *arg)
{
	struct control *c = arg;
	struct msg_head head;
	struct fault f = { 0 };
	struct pending *p;

	(void)ipc;
	if (msg_open(msg, MSG_DOWN, &head, &f) != ERR_OK) {
		log_warn("control", "bad_message", "what=%s", log_quote(f.what));
		link_down(c, "protocol error", next_backoff(c));
	} else if (!head.is_reply) {
		log_info("control", "bye", "from=api-server");
		link_down(c, "api-server says bye", BACKOFF_MIN_MS);
	} else {
		p = map_find(c->by_id, head.id);
		if (p) /* else its deadline passed before */
			pending_finish(p, head.err, head.err == ERR_OK ? head.body : NULL);
	}
}

static void
on_gone(struct ipc *ipc, enum err why, void *arg)
{
	struct control *c = arg;

	(void)ipc;
	link_down(c, err_name(why), next_backoff(c));
}

static void
on_reconnect(struct loop_timer *t)
{
	static const struct ipc_ops ops = { .message = on_message, .gone = on_gone };
	struct control *c = container_of(t, struct control, reconnect);
	int fd = ipc_connect(c->cfg->control.socket);

	if (fd < 0) {
		if (!c->told)
			log_warn("control", "waiting", "socket=%s error=%s",
				 log_quote(c->cfg->control.socket), log_quote(strerror(errno)));
		c->told = true;
		arm(c, &c->reconnect, next_backoff(c), on_reconnect);
		return;
	}
	c->ipc = ipc_open(c->loop, fd, &ops, c);
	if (!c->ipc || say_hello(c) != ERR_OK)
		link_down(c, "no memory", next_backoff(c));
}

struct control *
control_create(struct loop *l, const struct config *cfg, const struct control_ops *ops, void *app)
{
	struct control *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->by_id = map_create();
	if (!c->by_id) {
		free(c);
		return NULL;
	}
	c->loop = l;
	c->cfg = cfg;
	c->ops = ops;
	c->app = app;
	c->backoff_ms = BACKOFF_MIN_MS;
	id_token(c->instance);
	list_init(&c->pending);
	return c;
}

void
control_start(struct control *c)
{
	arm(c, &c->reconnect, 0, on_reconnect);
}

void
control_destroy(struct control *c)
{
	if (!c)
		return;
	list_each(n, &c->pending)
		pending_finish(container_of(n, struct pending, node), ERR_CLOSED, NULL);
	loop_timer_cancel(c->loop, &c->reconnect);
	loop_timer_cancel(c->loop, &c->beat);
	ipc_close(c->ipc);
	map_destroy(c->by_id);
	free(c);
}

bool
control_is_up(const struct control *c)
{
	return c->up;
}

size_t
control_pending(const struct control *c)
{
	return map_count(c->by_id);
}
