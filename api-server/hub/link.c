#include "api-server/hub/internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/str.h"

/* What a worker may ask.  Rows are by msg_type; NULL: not for us to receive. */
static enum err (*const commands[MSG_TYPE_COUNT])(struct link *l, const char *id, void *body) = {
	[MSG_HELLO] = cmd_hello,       [MSG_CLAIM] = cmd_claim,   [MSG_RELEASE] = cmd_release,
	[MSG_COMPLETE] = cmd_complete, [MSG_REPORT] = cmd_report, [MSG_SNAPSHOT] = cmd_snapshot,
};

/* The largest body of any type, on the stack while it is read. */
union any_body {
	struct msg_hello hello;
	struct msg_heartbeat heartbeat;
	struct msg_claim claim;
	struct msg_release release;
	struct msg_complete complete;
	struct msg_report report;
	struct msg_snapshot snapshot;
	struct msg_bye bye;
	struct msg_none none;
};

struct link *
link_find(struct hub *h, uint64_t id)
{
	list_each(n, &h->links)
	{
		struct link *l = container_of(n, struct link, node);

		if (l->id == id)
			return l;
	}
	return NULL;
}

void
link_close(struct link *l, const char *why)
{
	struct worker *w = l->worker;

	log_info("hub", "link_closed", "worker=%s why=%s", w ? log_quote(w->name) : "-",
		 log_quote(why));
	loop_timer_cancel(l->hub->loop, &l->deadline);
	list_remove(&l->node);
	l->hub->link_count--;
	ipc_close(l->ipc);
	free(l);
	if (w)
		worker_detach(w);
}

void
link_reply(struct link *l, enum msg_type t, const char *re, enum err e, const void *reply)
{
	json_t *msg = msg_reply(t, re, e, e == ERR_OK ? reply : NULL);
	enum err sent = msg ? ipc_send(l->ipc, msg) : ERR_NOMEM;

	json_decref(msg);
	if (sent != ERR_OK)
		link_close(l, err_name(sent)); /* it reconnects and resynchronises */
}

/* A deadline is believed only after one more turn: after a stall of ours the sockets are read
 * first. */
static void
on_deadline(struct loop_timer *t)
{
	struct link *l = container_of(t, struct link, deadline);

	if (!l->suspected) {
		l->suspected = true;
		if (loop_timer_set(l->hub->loop, t, 50, on_deadline))
			return;
	}
	if (l->worker)
		worker_dead(l->worker, "no heartbeat");
	else
		link_close(l, "no hello");
}

static bool
arm_deadline(struct link *l, int64_t ms)
{
	l->suspected = false;
	return loop_timer_set(l->hub->loop, &l->deadline, ms, on_deadline);
}

static void
take_heartbeat(struct link *l, struct msg_heartbeat *beat)
{
	struct worker *w = l->worker;

	json_decref(w->beat.counters);
	w->beat = *beat;
	beat->counters = NULL;
}

static enum err
dispatch(struct link *l, const struct msg_head *head, struct fault *f)
{
	union any_body body;
	enum err e;

	memset(&body, 0, sizeof(body));
	if (!l->worker && head->type != MSG_HELLO) {
		fault_set(f, "", "hello expected");
		return ERR_PROTOCOL;
	}
	e = msg_read_body(head->type, head->body, &body, f);
	if (e != ERR_OK)
		return ERR_PROTOCOL;
	if (head->type == MSG_HEARTBEAT)
		take_heartbeat(l, &body.heartbeat);
	else if (l->requests >= REQUESTS_MAX)
		e = ERR_BUSY;
	else
		e = commands[head->type](l, head->id, &body);
	msg_finish_body(head->type, &body);
	return e;
}

static void
on_message(struct ipc *c, json_t *msg, void *arg)
{
	struct link *l = arg;
	struct msg_head head;
	struct fault f = { 0 };
	enum err e;

	(void)c;
	e = msg_open(msg, MSG_UP, &head, &f);
	if (e == ERR_OK && head.is_reply)
		e = ERR_PROTOCOL;
	/* Any message is a sign of life. */
	if (e == ERR_OK && !arm_deadline(l, l->worker ? SILENCE_MS : HELLO_DEADLINE_MS))
		e = ERR_NOMEM;
	if (e == ERR_OK) {
		e = dispatch(l, &head, &f);
		if (e != ERR_OK && e != ERR_PROTOCOL && head.id) {
			link_reply(l, head.type, head.id, e, NULL);
			return;
		}
	}
	if (e == ERR_OK)
		return;
	log_warn("hub", "bad_message", "worker=%s where=%s what=%s",
		 l->worker ? log_quote(l->worker->name) : "-", log_quote(f.where),
		 log_quote(f.what));
	link_close(l, "protocol error");
}

static void
on_gone(struct ipc *c, enum err why, void *arg)
{
	(void)c;
	link_close(arg, err_name(why));
}

void
link_open(struct hub *h, int fd)
{
	static const struct ipc_ops ops = { .message = on_message, .gone = on_gone };
	struct link *l = calloc(1, sizeof(*l));

	if (!l) {
		close(fd);
		return;
	}
	l->hub = h;
	l->id = ++h->next_link;
	list_append(&h->links, &l->node);
	h->link_count++;
	l->ipc = ipc_open(h->loop, fd, &ops, l);
	if (!l->ipc || !arm_deadline(l, HELLO_DEADLINE_MS))
		link_close(l, "no memory");
	else if (ipc_peer_uid(l->ipc) != geteuid() && ipc_peer_uid(l->ipc) != 0)
		link_close(l, "foreign user");
}
