#include "api-server/hub/internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/str.h"

#define REQUEST_ID_MAX 64

/* A request under way in the store: who asked, by id, since the asker may be gone when the answer
 * comes; the body that the store borrows; and the store's request itself. */
struct cmd {
	union {
		struct store_req req;
		struct store_transfer_claim claim;
		struct store_transfer_release release;
		struct store_transfer_complete complete;
		struct store_call_report report;
		struct store_conversation_save save;
		struct store_worker_resync resync;
		struct store_worker_reap reap;
	} st;
	struct hub *hub;
	uint64_t link;
	enum msg_type type;
	char re[REQUEST_ID_MAX];
	char worker[MSG_NAME_MAX], instance[ID_TOKEN_SIZE];
	union {
		struct msg_claim claim;
		struct msg_report report;
		struct msg_hello hello;
	} body; /* owned, for the types that the store reads from */
	bool has_body;
	char *text; /* owned: output or state */
	const char **except;
};

static void
cmd_free(struct cmd *c)
{
	if (c->has_body)
		msg_finish_body(c->type, &c->body);
	free(c->text);
	free(c->except);
	free(c);
}

static struct cmd *
cmd_new(struct link *l, enum msg_type t, const char *id, enum store_op op,
	void (*done)(struct store_req *r))
{
	struct cmd *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->hub = l->hub;
	c->link = l->id;
	c->type = t;
	c->st.req.op = op;
	c->st.req.done = done;
	c->st.req.arg = c;
	if (!str_copy(c->re, sizeof(c->re), id) ||
	    !str_copy(c->worker, sizeof(c->worker), l->worker->name) ||
	    !str_copy(c->instance, sizeof(c->instance), l->worker->instance)) {
		free(c);
		return NULL;
	}
	return c;
}

/* Takes c. */
static enum err
cmd_submit(struct link *l, struct cmd *c)
{
	enum err e = store_submit(l->hub->store, &c->st.req);

	if (e != ERR_OK) {
		cmd_free(c);
		return e;
	}
	l->requests++;
	l->hub->in_store++;
	return ERR_OK;
}

/* The asker, if it is still there; books the request out. */
static struct link *
cmd_asker(struct cmd *c)
{
	struct link *l = link_find(c->hub, c->link);

	c->hub->in_store--;
	if (l)
		l->requests--;
	return l;
}

static void
done_plain(struct store_req *r)
{
	struct cmd *c = r->arg;
	struct link *l = cmd_asker(c);

	if (l)
		link_reply(l, c->type, c->re, r->err, NULL);
	cmd_free(c);
}

/* --- hello --- */

static void
done_hello(struct store_req *r)
{
	struct cmd *c = r->arg;
	struct link *l = cmd_asker(c);

	if (l && l->worker && r->err == ERR_OK) {
		struct msg_hello_reply reply = {
			.port_first = l->worker->ports.first,
			.port_last = l->worker->ports.last,
			.lost = c->st.resync.lost,
		};
		l->worker->ready = true;
		log_info("hub", "worker_up", "worker=%s pid=%d ports=%u-%u lost=%zu",
			 log_quote(c->worker), (int)l->worker->pid, l->worker->ports.first,
			 l->worker->ports.last, json_array_size(c->st.resync.lost));
		link_reply(l, MSG_HELLO, c->re, ERR_OK, &reply);
	} else if (l) {
		link_reply(l, MSG_HELLO, c->re, r->err, NULL);
	}
	json_decref(c->st.resync.lost);
	cmd_free(c);
}

enum err
cmd_hello(struct link *l, const char *id, void *body)
{
	struct msg_hello *hello = body;
	struct cmd *c;
	enum err e;

	if (l->worker)
		return ERR_PROTOCOL;
	e = worker_attach(l, hello);
	if (e != ERR_OK) {
		log_warn("hub", "hello_refused", "worker=%s why=%s", log_quote(hello->worker),
			 err_name(e));
		return e;
	}
	if (!str_eq(hello->agents_version, l->hub->cfg->agents_version))
		log_warn("hub", "agents_differ", "worker=%s ours=%s theirs=%s",
			 log_quote(hello->worker), l->hub->cfg->agents_version,
			 log_quote(hello->agents_version));
	c = cmd_new(l, MSG_HELLO, id, STORE_WORKER_RESYNC, done_hello);
	if (!c)
		return ERR_NOMEM;
	c->body.hello = *hello;
	c->has_body = true;
	memset(hello, 0, sizeof(*hello));
	c->st.resync.instance = c->instance;
	c->st.resync.calls = c->body.hello.calls;
	c->st.resync.now_ms = clock_wall_ms();
	return cmd_submit(l, c);
}

/* --- claim --- */

static enum err
claim_answer(struct cmd *c, struct msg_claim_reply *reply)
{
	struct hub *h = c->hub;
	const struct transfer *t = c->st.claim.transfer;
	const struct account *a = config_account(h->cfg, c->body.claim.account);
	struct transfer_auth auth = { 0 };
	enum err e = ERR_OK;

	if (!a)
		return ERR_NOT_FOUND;
	if (t->sealed_auth)
		e = seal_open_auth(h->seal, t, &auth);
	if (e == ERR_OK)
		e = transfer_claim_reply(t, a, &auth, c->st.claim.snapshot, reply);
	secret_finish(&auth.username);
	secret_finish(&auth.password);
	return e;
}

static void
done_claim(struct store_req *r)
{
	struct cmd *c = r->arg;
	struct link *l = cmd_asker(c);
	struct msg_claim_reply reply = { 0 };
	enum err e = r->err;

	/* An asker that went away resynchronises; the claim it does not list is released then. */
	if (l) {
		if (e == ERR_OK)
			e = claim_answer(c, &reply);
		link_reply(l, MSG_CLAIM, c->re, e, &reply);
		msg_finish_reply(MSG_CLAIM, &reply);
	}
	transfer_destroy(c->st.claim.transfer);
	free(c->st.claim.snapshot);
	cmd_free(c);
}

enum err
cmd_claim(struct link *l, const char *id, void *body)
{
	static const char *const none_gone[] = { NULL }; /* reaping releases what the dead held */
	struct hub *h = l->hub;
	struct cmd *c;

	if (!l->worker->ready)
		return ERR_PROTOCOL;
	c = cmd_new(l, MSG_CLAIM, id, STORE_TRANSFER_CLAIM, done_claim);
	if (!c)
		return ERR_NOMEM;
	memcpy(&c->body.claim, body, sizeof(c->body.claim));
	memset(body, 0, sizeof(c->body.claim));
	c->has_body = true;
	c->st.claim.claim = &c->body.claim;
	c->st.claim.worker = c->worker;
	c->st.claim.instance = c->instance;
	c->st.claim.now_ms = clock_wall_ms();
	c->st.claim.expires_at = c->st.claim.now_ms + h->cfg->transfers.expire_after_ms;
	c->st.claim.gone_instances = none_gone;
	if (!config_account(h->cfg, c->body.claim.account)) {
		cmd_free(c);
		return ERR_NOT_FOUND;
	}
	return cmd_submit(l, c);
}

/* --- release, complete, report, snapshot --- */

static void
done_release(struct store_req *r)
{
	struct cmd *c = r->arg;

	/* It may be ACTIVE again: the sweep looks when the next one is due. */
	if (r->err == ERR_OK)
		hub_note_expiry(c->hub, clock_wall_ms() + 1000);
	done_plain(r);
}

enum err
cmd_release(struct link *l, const char *id, void *body)
{
	const struct msg_release *m = body;
	struct cmd *c = cmd_new(l, MSG_RELEASE, id, STORE_TRANSFER_RELEASE, done_release);

	if (!c)
		return ERR_NOMEM;
	memcpy(c->st.release.call, m->call, sizeof(m->call));
	memcpy(c->st.release.token, m->token, sizeof(m->token));
	c->st.release.now_ms = clock_wall_ms();
	return cmd_submit(l, c);
}

enum err
cmd_complete(struct link *l, const char *id, void *body)
{
	const struct msg_complete *m = body;
	struct cmd *c = cmd_new(l, MSG_COMPLETE, id, STORE_TRANSFER_COMPLETE, done_plain);

	if (!c)
		return ERR_NOMEM;
	memcpy(c->st.complete.call, m->call, sizeof(m->call));
	memcpy(c->st.complete.token, m->token, sizeof(m->token));
	memcpy(c->st.complete.reason, m->reason, sizeof(m->reason));
	c->st.complete.at_ms = m->at;
	if (m->output) {
		c->text = json_text(m->output);
		if (!c->text) {
			cmd_free(c);
			return ERR_NOMEM;
		}
		c->st.complete.output = c->text;
	}
	return cmd_submit(l, c);
}

enum err
cmd_report(struct link *l, const char *id, void *body)
{
	struct cmd *c = cmd_new(l, MSG_REPORT, id, STORE_CALL_REPORT, done_plain);

	if (!c)
		return ERR_NOMEM;
	memcpy(&c->body.report, body, sizeof(c->body.report));
	memset(body, 0, sizeof(c->body.report));
	c->has_body = true;
	c->st.report.worker = c->worker;
	c->st.report.instance = c->instance;
	c->st.report.events = c->body.report.events;
	return cmd_submit(l, c);
}

enum err
cmd_snapshot(struct link *l, const char *id, void *body)
{
	const struct msg_snapshot *m = body;
	struct cmd *c = cmd_new(l, MSG_SNAPSHOT, id, STORE_CONVERSATION_SAVE, done_plain);

	if (!c)
		return ERR_NOMEM;
	memcpy(c->st.save.call, m->call, sizeof(m->call));
	memcpy(c->st.save.token, m->token, sizeof(m->token));
	c->text = m->state ? json_text(m->state) : NULL;
	if (!c->text) {
		cmd_free(c);
		return m->state ? ERR_NOMEM : ERR_INVALID;
	}
	c->st.save.state = c->text;
	c->st.save.now_ms = clock_wall_ms();
	return cmd_submit(l, c);
}

/* --- reaping: asked by nobody, so a failure is tried again --- */

struct reap_again {
	struct loop_timer timer;
	struct cmd *cmd;
};

static void reap_submit(struct cmd *c);

static void
on_reap_again(struct loop_timer *t)
{
	struct reap_again *again = container_of(t, struct reap_again, timer);
	struct cmd *c = again->cmd;

	free(again);
	reap_submit(c);
}

static void
reap_later(struct cmd *c)
{
	struct reap_again *again = c->hub->closing ? NULL : calloc(1, sizeof(*again));

	/* Without it the start of the next api-server does the work. */
	if (!again) {
		cmd_free(c);
		return;
	}
	again->cmd = c;
	if (!loop_timer_set(c->hub->loop, &again->timer, RETRY_MS, on_reap_again)) {
		free(again);
		cmd_free(c);
	}
}

static void
done_reap(struct store_req *r)
{
	struct cmd *c = r->arg;

	c->hub->in_store--;
	if (r->err != ERR_OK) {
		reap_later(c);
		return;
	}
	if (c->st.reap.count)
		log_warn("hub", "calls_lost", "count=%lld why=%s", (long long)c->st.reap.count,
			 log_quote(c->text));
	hub_note_expiry(c->hub, clock_wall_ms() + 1000);
	cmd_free(c);
}

static void
reap_submit(struct cmd *c)
{
	if (store_submit(c->hub->store, &c->st.req) == ERR_OK)
		c->hub->in_store++;
	else
		reap_later(c);
}

static void
reap(struct hub *h, const char *instance, const char *reason, const char **except)
{
	struct cmd *c = calloc(1, sizeof(*c));

	if (c)
		c->text = strdup(reason);
	if (!c || !c->text || !str_copy(c->instance, sizeof(c->instance), instance)) {
		log_err("hub", "no_memory", "what=reap");
		free(except);
		free(c);
		return;
	}
	c->hub = h;
	c->except = except;
	c->st.req.op = STORE_WORKER_REAP;
	c->st.req.done = done_reap;
	c->st.req.arg = c;
	c->st.reap.instance = instance ? c->instance : NULL;
	c->st.reap.except = except;
	c->st.reap.reason = c->text;
	c->st.reap.now_ms = clock_wall_ms();
	reap_submit(c);
}

void
hub_reap(struct hub *h, const char *instance, const char *reason)
{
	reap(h, instance, reason, NULL);
}

void
hub_reap_orphans(struct hub *h)
{
	size_t count = 0;
	const char **except;

	list_each(n, &h->workers) count++;
	/* The instances' text lives in the array's own tail: workers may go before the store is
	 * done. */
	except = calloc(1, (count + 1) * sizeof(*except) + count * ID_TOKEN_SIZE);
	if (!except) {
		log_err("hub", "no_memory", "what=orphans");
		return;
	}
	char *text = (char *)(except + count + 1);
	size_t i = 0;
	list_each(n, &h->workers)
	{
		memcpy(text, container_of(n, struct worker, node)->instance, ID_TOKEN_SIZE);
		except[i++] = text;
		text += ID_TOKEN_SIZE;
	}
	reap(h, NULL, "api-server restarted and the worker did not return", except);
}
