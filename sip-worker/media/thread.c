/* thread.c - a media thread: the wheel of 5 ms ticks on absolute deadlines. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "sip-worker/media/engine.h"

#define STACK_SIZE   (256 * 1024)
#define IDLE_MS      60000
#define COUNTER_MASK 15 /* counters are published every 16 ticks */
#define NICE         (-10)

int64_t
thread_now_ntp_ns(const struct media_thread *t)
{
	return (int64_t)(t->tick * TICK_NS) + t->ntp_offset_ns;
}

uint32_t
thread_ntp_mid(const struct media_thread *t)
{
	int64_t ns = thread_now_ntp_ns(t);
	uint64_t seconds = (uint64_t)(ns / 1000000000) + NTP_1970;

	return (uint32_t)(seconds << 16 | ((uint64_t)(ns % 1000000000) << 16) / 1000000000);
}

void
thread_watch(struct media_thread *t, struct media_session *s, int which, int how)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLET };

	e.data.ptr = (void *)((uintptr_t)s | (uintptr_t)which);
	/* Fails only without kernel memory: the session is then deaf, and times out. */
	epoll_ctl(t->epoll, how, s->fd[which], &e);
}

void
thread_admit(struct media_thread *t, struct media_session *s)
{
	unsigned ahead = 1 + t->phase++ % s->period; /* phases spread evenly */

	thread_watch(t, s, 0, EPOLL_CTL_ADD);
	thread_watch(t, s, 1, EPOLL_CTL_ADD);
	list_append(&t->wheel[(t->slot + ahead) % WHEEL_SLOTS], &s->wheel);
	t->running++;
}

void
thread_dismiss(struct media_thread *t, struct media_session *s)
{
	epoll_ctl(t->epoll, EPOLL_CTL_DEL, s->fd[0], NULL);
	epoll_ctl(t->epoll, EPOLL_CTL_DEL, s->fd[1], NULL);
	list_remove(&s->wheel);
	t->running--;
}

void
thread_retry(struct media_session *s)
{
	if (!list_linked(&s->retry))
		list_append(&s->thread->retries, &s->retry);
}

static void
retry_all(struct media_thread *t)
{
	struct list todo;

	if (list_empty(&t->retries))
		return;
	/* Those that fail again come back into t->retries. */
	list_init(&todo);
	while (!list_empty(&t->retries))
		list_append(&todo, list_pop(&t->retries));
	while (!list_empty(&todo)) {
		struct media_session *s = container_of(list_pop(&todo), struct media_session,
						       retry);

		if (s->state == SESSION_CLOSING) {
			session_close_step(s);
			continue;
		}
		if (s->state == SESSION_OPEN)
			notify_flush(s);
		notify_post(s);
	}
}

static void
publish(struct media_thread *t)
{
	struct media_counters *c = &t->counters;

	atomic_fetch_add_explicit(&c->packets_sent, t->sent, memory_order_relaxed);
	atomic_fetch_add_explicit(&c->packets_received, t->received, memory_order_relaxed);
	atomic_fetch_add_explicit(&c->late_ticks, t->late, memory_order_relaxed);
	atomic_fetch_add_explicit(&c->bad_source, t->bad_source, memory_order_relaxed);
	atomic_fetch_add_explicit(&c->malformed, t->malformed, memory_order_relaxed);
	t->sent = t->received = t->late = t->bad_source = t->malformed = 0;
}

static void
tick(struct media_thread *t)
{
	struct list *due = &t->wheel[t->slot % WHEEL_SLOTS];

	/* After a stall, what came meanwhile is read before anybody is said to be silent. */
	if (t->skipped)
		receive_ready(t);
	t->skipped = false;
	/* Else sending comes first: its moment is what the far side hears. */
	while (!list_empty(due)) {
		struct media_session *s = container_of(due->next, struct media_session, wheel);

		list_remove(&s->wheel);
		list_append(&t->wheel[(t->slot + s->period) % WHEEL_SLOTS], &s->wheel);
		session_slot(s);
	}
	receive_ready(t);
	retry_all(t);
	if ((t->tick & COUNTER_MASK) == 0)
		publish(t);
}

/* The clock and the schedule start anew after a sleep. */
static void
schedule_reset(struct media_thread *t)
{
	int64_t now = clock_mono_ns();

	t->tick = (uint64_t)(now / TICK_NS);
	t->next_ns = (int64_t)(t->tick + 1) * TICK_NS;
}

static void
idle(struct media_thread *t)
{
	struct pollfd p = { .fd = mailbox_fd(t->mailbox), .events = POLLIN };

	publish(t);
	if (mailbox_drain(t->mailbox, 0) == 0)
		poll(&p, 1, IDLE_MS);
	schedule_reset(t);
	mailbox_drain(t->mailbox, 0);
}

void
thread_schedule(struct media_thread *t, int64_t now_ns)
{
	int64_t late_ns = now_ns - t->next_ns;
	uint64_t late = late_ns > 0 ? (uint64_t)(late_ns / TICK_NS) : 0;

	if (late > 0)
		t->late++;
	t->skipped = late > LATE_TICKS;
	if (!t->skipped)
		late = 0; /* made good by ticks in a row */
	t->tick += 1 + late;
	t->next_ns += (int64_t)(1 + late) * TICK_NS;
	t->slot++;
}

static void
sleep_to_tick(struct media_thread *t)
{
	struct timespec at = { t->next_ns / 1000000000, t->next_ns % 1000000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
	thread_schedule(t, clock_mono_ns());
}

/* A packet late is heard, so where we may we come before signalling and speech.  What a tick does
 * is bounded, and so is what the kernel gives to this class. */
static void
priority_raise(void)
{
	struct sched_param lowest = { .sched_priority = 1 };

	if (sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &lowest) != 0)
		setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
}

static void *
thread_main(void *arg)
{
	struct media_thread *t = arg;

	prctl(PR_SET_NAME, "media");
	prctl(PR_SET_TIMERSLACK, 1000UL);
	priority_raise();
	schedule_reset(t);
	for (;;) {
		if (mailbox_pending(t->mailbox))
			mailbox_drain(t->mailbox, 0);
		if (t->stopping)
			return NULL;
		if (t->running == 0 && list_empty(&t->retries)) {
			idle(t);
			continue;
		}
		sleep_to_tick(t);
		tick(t);
	}
}

static void
thread_stop_run(struct task *task)
{
	container_of(task, struct media_thread, stop_task)->stopping = true;
}

static size_t
power_of_two(size_t n)
{
	size_t p = 16;

	while (p < n)
		p *= 2;
	return p;
}

static void
thread_finish(struct media_thread *t)
{
	if (t->mailbox)
		mailbox_destroy(t->mailbox, notify_nothing);
	if (t->epoll >= 0)
		close(t->epoll);
	receive_destroy(t->receive);
}

static enum err
thread_spawn(struct media_thread *t)
{
	sigset_t all, old;
	pthread_attr_t attr;
	int e;

	if (pthread_attr_init(&attr) != 0)
		return ERR_NOMEM;
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	e = pthread_create(&t->thread, &attr, thread_main, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	t->created = e == 0;
	return err_from_errno(e);
}

/* slots: how many sessions may post a kick at once. */
enum err
thread_start(struct media_thread *t, struct media *m, size_t slots)
{
	enum err e;

	t->media = m;
	t->stop_task.run = thread_stop_run;
	t->ntp_offset_ns = clock_wall_ms() * 1000000 - clock_mono_ns();
	list_init(&t->retries);
	list_init(&t->free);
	for (int i = 0; i < WHEEL_SLOTS; i++)
		list_init(&t->wheel[i]);
	for (int law = 0; law < CODEC_COUNT; law++)
		memset(t->silence[law], law_silence((enum codec)law), sizeof(t->silence[law]));
	t->epoll = epoll_create1(EPOLL_CLOEXEC);
	t->mailbox = mailbox_create(power_of_two(slots + 1));
	t->receive = receive_create();
	if (t->epoll < 0 || !t->mailbox || !t->receive)
		e = ERR_NOMEM;
	else
		e = thread_spawn(t);
	if (e != ERR_OK)
		thread_finish(t);
	return e;
}

void
thread_stop(struct media_thread *t)
{
	enum err e;

	if (!t->created)
		return;
	/* There is a place for every slot's kick and for this one. */
	e = mailbox_post(t->mailbox, &t->stop_task);
	assert(e == ERR_OK);
	ignore_err(e);
	pthread_join(t->thread, NULL);
	thread_finish(t);
	t->created = false;
}
