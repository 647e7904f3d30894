/* What the control link asks of us and tells us. */
#include "sip-worker/worker_internal.h"

#include "common/log.h"
#include "common/str.h"

/* --- from the control link --- */

static void
on_hello(void *app, struct msg_hello *h)
{
	struct worker *w = app;

	h->capacity = w->cfg->worker.max_calls;
	h->addresses = json_array();
	h->calls = json_array();
	for (size_t i = 0; i < w->cfg->sip.listen_count; i++) {
		static const char *const schemes[] = { "udp", "tcp", "tls" };
		const struct sip_listen *s = &w->cfg->sip.listen[i];
		char text[ADDR_TEXT_SIZE];

		json_array_append_new(h->addresses, json_sprintf("%s:%s", schemes[s->transport],
								 addr_text(&s->addr, text)));
	}
	list_each(n, &w->calls)
	{
		const struct call *c = container_of(n, struct call, node);

		if (c->claimed)
			json_array_append_new(h->calls, json_pack("{s:s, s:s}", "call", c->id,
								  "token", c->token));
	}
	outbox_list_claims(w->outbox, h->calls);
}

static void
on_beat(void *app, struct msg_heartbeat *h)
{
	worker_heartbeat(app, h);
}

static void
give_up(struct worker *w, const char *id)
{
	list_each(n, &w->calls)
	{
		struct call *c = container_of(n, struct call, node);

		if (c->claimed && str_eq(c->id, id)) {
			call_feed(c, EV_GIVEN_UP, NULL);
			return;
		}
	}
}

static void
on_up(void *app, const struct msg_hello_reply *r)
{
	struct worker *w = app;
	size_t i;
	json_t *id;

	if (r->port_first)
		media_set_ports(w->media, (uint16_t)r->port_first, (uint16_t)r->port_last);
	else
		log_warn("worker", "no_ports",
			 "what=\"no RTP ports are left in media.ports: calls will be refused\"");
	json_array_foreach(r->lost, i, id) give_up(w, json_string_value(id));
	outbox_link_up(w->outbox);
	if (!w->said_ready)
		log_info("worker", "ready", "name=%s calls=%lld", log_quote(w->cfg->worker.name),
			 (long long)w->cfg->worker.max_calls);
	w->said_ready = true;
}

static void
on_down(void *app)
{
	outbox_link_down(((struct worker *)app)->outbox);
}

const struct control_ops worker_control_ops = {
	.hello = on_hello,
	.heartbeat = on_beat,
	.up = on_up,
	.down = on_down,
};
