/* The agent thread: commands in, talks by id, one loop.
 *
 * Ids count up and are never used again, so any thread can give one out before the loop has seen
 * it.  A command that finds the mailbox full is lost, and the talk's deadlines cover it; only
 * agent_stop() must arrive, so it goes to an overflow list that a tick empties. */
#include "sip-worker/agent/agent.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/str.h"
#include "sip-worker/agent/prefetch.h"
#include "sip-worker/agent/talk.h"

#define TICK_MS       500
#define BUCKETS       1024 /* ids are consecutive: as good as a perfect hash */
#define STOP_RETRY_NS 1000000

enum command_type {
	CMD_START,
	CMD_BEGIN,
	CMD_DIGIT,
	CMD_PLAYED,
	CMD_HOLD,
	CMD_HAND_BACK,
	CMD_RESUME,
	CMD_STOP,
	CMD_QUIT
};

struct command {
	struct task task;
	struct command *next; /* in overflow */
	struct agent *agent;
	agent_id id;
	enum command_type type;
	struct talk *talk; /* START: owned until the loop has it */
	media_id media;
	char digit;
	uint32_t play;
	enum media_stop_how how;
	int played_ms;
	bool held;
	char reason[64];
};

struct agent {
	struct talk_home home;
	struct mailbox *commands;
	struct mailbox *results; /* of speech: embedded tasks, so not in the same box as commands */
	struct loop_timer tick;
	_Atomic(struct command *) overflow; /* stops that found no room */
	atomic_uint_fast64_t next_id;
	atomic_size_t count;
	size_t max;
	agent_id newest;            /* started */
	struct list table[BUCKETS]; /* of struct talk */
	struct prefetch prefetch;
	pthread_t thread;
	bool started;
};

/* --- commands, on the loop --- */

static struct list *
bucket(struct agent *a, agent_id id)
{
	return &a->table[id % BUCKETS];
}

static struct talk *
find(struct agent *a, agent_id id)
{
	list_each(it, bucket(a, id))
	{
		struct talk *t = container_of(it, struct talk, link);

		if (t->id == id)
			return t;
	}
	return NULL;
}

static void
destroy(struct agent *a, struct talk *t)
{
	talk_destroy(t);
	atomic_fetch_sub(&a->count, 1);
}

static void
start(struct agent *a, struct command *c)
{
	struct talk *t = c->talk;

	c->talk = NULL;
	a->newest = c->id > a->newest ? c->id : a->newest;
	list_append(bucket(a, c->id), &t->link);
	talk_open(t, &a->home);
	prefetch_agent(&a->prefetch, a->home.speech, t->def);
}

static void
dispatch(struct agent *a, const struct command *c, struct talk *t)
{
	switch (c->type) {
	case CMD_BEGIN:
		talk_begin(t, c->media);
		break;
	case CMD_DIGIT:
		talk_digit(t, c->digit);
		break;
	case CMD_PLAYED:
		talk_played(t, c->play, c->how, c->played_ms);
		break;
	case CMD_HOLD:
		talk_hold(t, c->held);
		break;
	case CMD_HAND_BACK:
		talk_hand_back(t, c->reason);
		break;
	case CMD_RESUME:
		talk_resume(t, c->reason);
		break;
	case CMD_STOP:
		destroy(a, t);
		break;
	case CMD_START:
	case CMD_QUIT:
		break;
	}
}

static void
run_command(struct task *task)
{
	struct command *c = container_of(task, struct command, task);
	struct agent *a = c->agent;
	struct talk *t = find(a, c->id);

	if (c->type == CMD_START)
		start(a, c);
	else if (c->type == CMD_QUIT)
		loop_stop(a->home.loop);
	else if (t)
		dispatch(a, c, t);
	free(c);
}

static void
drop_command(struct task *task)
{
	struct command *c = container_of(task, struct command, task);

	talk_destroy(c->talk);
	free(c);
}

static void
push_overflow(struct agent *a, struct command *c)
{
	struct command *head = atomic_load(&a->overflow);

	do
		c->next = head;
	while (!atomic_compare_exchange_weak(&a->overflow, &head, c));
}

static void
on_tick(struct loop_timer *timer)
{
	struct agent *a = container_of(timer, struct agent, tick);
	struct command *c = atomic_exchange(&a->overflow, NULL), *next;

	for (; c; c = next) {
		next = c->next;
		if (c->id > a->newest)
			push_overflow(a, c); /* its start is still in the mailbox */
		else
			run_command(&c->task);
	}
	if (!loop_timer_set(a->home.loop, &a->tick, TICK_MS, on_tick))
		log_err("agent", "tick", "text=\"out of memory\"");
}

static void *
thread_main(void *arg)
{
	struct agent *a = arg;

	pthread_setname_np(pthread_self(), "agent");
	loop_run(a->home.loop);
	return NULL;
}

/* --- commands, from any thread --- */

static struct command *
command(struct agent *a, agent_id id, enum command_type type)
{
	struct command *c = calloc(1, sizeof(*c));

	if (!c) {
		log_err("agent", "command", "talk=%llu text=\"out of memory: a command is lost\"",
			(unsigned long long)id);
		return NULL;
	}
	c->task.run = run_command;
	c->agent = a;
	c->id = id;
	c->type = type;
	return c;
}

static void
send_command(struct command *c)
{
	static _Atomic int64_t said; /* second in which the last line was written */
	struct agent *a = c->agent;
	int64_t now = clock_mono_ms() / 1000;

	if (mailbox_post(a->commands, &c->task) == ERR_OK)
		return;
	if (atomic_exchange(&said, now) != now)
		log_warn("agent", "overload", "text=\"the agent's mailbox is full\"");
	if (c->type == CMD_STOP)
		push_overflow(a, c);
	else
		drop_command(&c->task);
}

enum err
agent_start(struct agent *a, const struct agent_start *s, agent_id *out)
{
	struct command *c;
	enum err e = ERR_BUSY;

	if (atomic_fetch_add(&a->count, 1) >= a->max)
		goto fail_count;
	e = ERR_NOMEM;
	c = command(a, atomic_fetch_add(&a->next_id, 1), CMD_START);
	if (!c)
		goto fail_count;
	c->talk = talk_create(s);
	if (!c->talk)
		goto fail_command;
	c->talk->id = c->id;
	*out = c->id;
	e = mailbox_post(a->commands, &c->task);
	if (e != ERR_OK)
		goto fail_command;
	return ERR_OK;
fail_command:
	drop_command(&c->task);
fail_count:
	atomic_fetch_sub(&a->count, 1);
	return e;
}

void
agent_begin(struct agent *a, agent_id id, media_id media)
{
	struct command *c = command(a, id, CMD_BEGIN);

	if (!c)
		return;
	c->media = media;
	send_command(c);
}

void
agent_digit(struct agent *a, agent_id id, char digit)
{
	struct command *c = command(a, id, CMD_DIGIT);

	if (!c)
		return;
	c->digit = digit;
	send_command(c);
}

void
agent_played(struct agent *a, agent_id id, uint32_t play, enum media_stop_how how, int played_ms)
{
	struct command *c = command(a, id, CMD_PLAYED);

	if (!c)
		return;
	c->play = play;
	c->how = how;
	c->played_ms = played_ms;
	send_command(c);
}

void
agent_hold(struct agent *a, agent_id id, bool held)
{
	struct command *c = command(a, id, CMD_HOLD);

	if (!c)
		return;
	c->held = held;
	send_command(c);
}

static void
send_reason(struct agent *a, agent_id id, enum command_type type, const char *reason)
{
	struct command *c = command(a, id, type);

	if (!c)
		return;
	str_copy(c->reason, sizeof(c->reason), reason);
	send_command(c);
}

void
agent_hand_back(struct agent *a, agent_id id, const char *reason)
{
	send_reason(a, id, CMD_HAND_BACK, reason);
}

void
agent_resume(struct agent *a, agent_id id, const char *why)
{
	send_reason(a, id, CMD_RESUME, why);
}

void
agent_stop(struct agent *a, agent_id id)
{
	struct command *c = command(a, id, CMD_STOP);

	if (c)
		send_command(c);
}

/* --- life --- */

static size_t
mailbox_slots(size_t talks)
{
	size_t slots = 1024;

	while (slots < talks * 4 && slots < 65536)
		slots *= 2;
	return slots;
}

static bool
open_loop(struct agent *a)
{
	a->home.loop = loop_create();
	a->commands = mailbox_create(mailbox_slots(a->max));
	a->results = mailbox_create(64);
	if (!a->home.loop || !a->commands || !a->results)
		return false;
	if (mailbox_attach(a->commands, a->home.loop) != ERR_OK ||
	    mailbox_attach(a->results, a->home.loop) != ERR_OK)
		return false;
	return loop_timer_set(a->home.loop, &a->tick, TICK_MS, on_tick);
}

struct agent *
agent_create(const struct config *cfg, struct media *m, struct speech *sp, struct mailbox *events,
	     const struct agent_ops *ops, void *app, struct fault *f)
{
	struct agent *a = calloc(1, sizeof(*a));

	if (!a) {
		fault_set(f, "agent", "out of memory");
		return NULL;
	}
	a->home = (struct talk_home){
		.media = m, .speech = sp, .events = events, .ops = ops, .app = app
	};
	list_init(&a->home.backlog);
	for (size_t i = 0; i < BUCKETS; i++)
		list_init(&a->table[i]);
	atomic_init(&a->next_id, 1);
	a->max = (size_t)cfg->worker.max_calls + (size_t)cfg->worker.max_calls / 4 + 16;
	if (!open_loop(a)) {
		fault_set(f, "agent", "no loop: out of memory or file descriptors");
		agent_destroy(a);
		return NULL;
	}
	speech_attach(sp, a->results);
	for (size_t i = 0; i < cfg->agent_count; i++)
		prefetch_agent(&a->prefetch, sp, cfg->agents[i]);
	a->started = pthread_create(&a->thread, NULL, thread_main, a) == 0;
	if (!a->started) {
		fault_set(f, "agent", "the agent's thread cannot be started");
		agent_destroy(a);
		return NULL;
	}
	return a;
}

static void
stop_thread(struct agent *a)
{
	const struct timespec pause = { .tv_nsec = STOP_RETRY_NS };
	struct command quit = { .task.run = run_command, .agent = a, .type = CMD_QUIT };
	struct command *c = malloc(sizeof(*c));

	if (!c)
		abort(); /* no thread can be stopped without; the process is ending */
	*c = quit;
	while (mailbox_post(a->commands, &c->task) != ERR_OK)
		nanosleep(&pause, NULL); /* the loop drains it */
	pthread_join(a->thread, NULL);
}

static void
keep(struct task *task)
{
	(void)task; /* speech's own */
}

void
agent_destroy(struct agent *a)
{
	struct command *c, *next;

	if (!a)
		return;
	if (a->started) {
		stop_thread(a);
		speech_halt(a->home.speech);
	}
	for (size_t i = 0; i < BUCKETS; i++) {
		list_each(it, &a->table[i]) destroy(a, container_of(it, struct talk, link));
	}
	for (c = atomic_load(&a->overflow); c; c = next) {
		next = c->next;
		free(c);
	}
	if (a->home.loop) {
		loop_timer_cancel(a->home.loop, &a->tick);
		loop_timer_cancel(a->home.loop, &a->home.retry);
	}
	if (a->commands)
		mailbox_detach(a->commands);
	if (a->results)
		mailbox_detach(a->results);
	mailbox_destroy(a->commands, drop_command);
	mailbox_destroy(a->results, keep);
	loop_destroy(a->home.loop);
	free(a);
}
