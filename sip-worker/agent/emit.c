/* What the app is told: tasks posted to its mailbox.  When that is full they wait here, in order;
 * beyond TALK_EVENTS_MAX timeline entries and snapshots are dropped, what a call depends on never.
 */
#include "sip-worker/agent/talk.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/str.h"

#define RETRY_MS 5

/* Carries all it needs: the talk may be gone when it is read. */
struct talk_message {
	struct task task;
	struct list link;
	const struct agent_ops *ops;
	void *app;
	uint64_t owner;
	enum call_event type;
	json_t *json;
	struct outcome outcome;
	char why[160];
};

static void
message_destroy(struct talk_message *m)
{
	json_decref(m->json);
	outcome_finish(&m->outcome);
	free(m);
}

static void
run_ready(struct task *task)
{
	struct talk_message *m = container_of(task, struct talk_message, task);

	m->ops->ready(m->app, m->owner);
	message_destroy(m);
}

static void
run_failed(struct task *task)
{
	struct talk_message *m = container_of(task, struct talk_message, task);

	m->ops->failed(m->app, m->owner, m->why);
	message_destroy(m);
}

static void
run_event(struct task *task)
{
	struct talk_message *m = container_of(task, struct talk_message, task);
	json_t *info = m->json;

	m->json = NULL;
	m->ops->event(m->app, m->owner, m->type, info);
	message_destroy(m);
}

static void
run_snapshot(struct task *task)
{
	struct talk_message *m = container_of(task, struct talk_message, task);
	json_t *state = m->json;

	m->json = NULL;
	m->ops->snapshot(m->app, m->owner, state);
	message_destroy(m);
}

static void
run_ended(struct task *task)
{
	struct talk_message *m = container_of(task, struct talk_message, task);
	struct outcome out = m->outcome;

	m->outcome = (struct outcome){ 0 };
	m->ops->ended(m->app, m->owner, &out);
	message_destroy(m);
}

static void
on_turn_end(struct loop_end *e)
{
	mailbox_wake(container_of(e, struct talk_home, wake)->events);
}

static enum err
hand_over(struct talk_home *h, struct task *task)
{
	if (loop_at_end(h->loop, &h->wake, on_turn_end))
		return mailbox_post_quietly(h->events, task);
	return mailbox_post(h->events, task);
}

/* false: still no room. */
static bool
flush(struct talk *t)
{
	while (!list_empty(&t->events)) {
		struct talk_message *m = container_of(t->events.next, struct talk_message, link);

		list_remove(&m->link); /* the reader may free it at once */
		if (hand_over(t->home, &m->task) != ERR_OK) {
			list_insert_before(t->events.next, &m->link);
			return false;
		}
		t->event_count--;
	}
	list_remove(&t->backlog_link);
	return true;
}

static void
on_retry(struct loop_timer *timer)
{
	struct talk_home *h = container_of(timer, struct talk_home, retry);

	list_each(it, &h->backlog)
	{
		if (!flush(container_of(it, struct talk, backlog_link)))
			break;
	}
	if (!list_empty(&h->backlog) && !loop_timer_set(h->loop, &h->retry, RETRY_MS, on_retry))
		log_err("agent", "retry", "text=\"out of memory: events wait for the next one\"");
}

static void
post(struct talk *t, struct talk_message *m, void (*run)(struct task *task))
{
	struct talk_home *h = t->home;

	m->task.run = run;
	m->ops = h->ops;
	m->app = h->app;
	m->owner = t->owner;
	list_append(&t->events, &m->link);
	t->event_count++;
	if (list_linked(&t->backlog_link) || flush(t))
		return;
	list_append(&h->backlog, &t->backlog_link);
	if (!loop_timer_set(h->loop, &h->retry, RETRY_MS, on_retry))
		log_err("agent", "retry", "text=\"out of memory: events wait for the next one\"");
}

/* What a call depends on: memory for it was put aside when the talk was made. */
static struct talk_message *
take_vital(struct talk *t)
{
	struct talk_message *m = calloc(1, sizeof(*m));

	for (size_t i = 0; !m && i < ARRAY_LEN(t->reserve); i++) {
		m = t->reserve[i];
		t->reserve[i] = NULL;
	}
	if (!m)
		log_err("agent", "emit", "talk=%llu text=\"out of memory: the call is not told\"",
			(unsigned long long)t->id);
	return m;
}

bool
emit_reserve(struct talk *t)
{
	bool all = true;

	for (size_t i = 0; i < ARRAY_LEN(t->reserve); i++) {
		if (!t->reserve[i])
			t->reserve[i] = calloc(1, sizeof(*t->reserve[i]));
		all = all && t->reserve[i];
	}
	return all;
}

void
emit_ready(struct talk *t)
{
	struct talk_message *m = take_vital(t);

	if (m)
		post(t, m, run_ready);
}

void
emit_failed(struct talk *t, const char *why)
{
	struct talk_message *m = take_vital(t);

	if (!m)
		return;
	str_copy(m->why, sizeof(m->why), why);
	post(t, m, run_failed);
}

static void
post_json(struct talk *t, json_t *json, enum call_event type, void (*run)(struct task *task))
{
	static struct log_limit limit;
	struct talk_message *m = NULL;

	if (t->event_count < TALK_EVENTS_MAX)
		m = json ? calloc(1, sizeof(*m)) : NULL;
	else if (log_allowed(&limit, 1))
		log_warn("agent", "emit", "talk=%llu text=\"timeline entries dropped\"",
			 (unsigned long long)t->id);
	if (!m) {
		json_decref(json);
		return;
	}
	m->json = json;
	m->type = type;
	post(t, m, run);
}

json_t *
emit_text(const char *text, size_t max)
{
	size_t len = strnlen(text, max);
	json_t *j = json_stringn(text, len);

	for (int cut = 0; !j && cut < 4 && len > 0; cut++) /* a character lost its end */
		j = json_stringn(text, --len);
	return j ? j : json_string("");
}

void
emit_event(struct talk *t, enum call_event type, json_t *info)
{
	post_json(t, info, type, run_event);
}

void
emit_agent(struct talk *t, const char *state, const char *error)
{
	json_t *info = json_pack("{s:s,s:s,s:s}", "state", state, "agent", t->def->name, "task",
				 t->task ? t->task->name : "");

	if (info && error)
		json_object_set_new(info, "error", emit_text(error, 512));
	emit_event(t, CALL_EVENT_AGENT, info);
}

void
emit_snapshot(struct talk *t)
{
	post_json(t, snapshot_take(t), CALL_EVENT_NOTE, run_snapshot);
}

void
emit_ended(struct talk *t)
{
	struct talk_message *m = take_vital(t);

	if (!m)
		return;
	m->outcome = t->outcome;
	m->outcome.reference_vars = json_incref(t->outcome.reference_vars);
	m->outcome.transfer_vars = json_incref(t->outcome.transfer_vars);
	post(t, m, run_ended);
}

void
emit_drop_all(struct talk *t)
{
	for (struct list *it; (it = list_pop(&t->events));)
		message_destroy(container_of(it, struct talk_message, link));
	list_remove(&t->backlog_link);
	for (size_t i = 0; i < ARRAY_LEN(t->reserve); i++)
		free(t->reserve[i]);
}
