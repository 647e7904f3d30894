#include "api-server/hub/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/str.h"

struct worker *
worker_find(struct hub *h, const char *name)
{
	list_each(n, &h->workers)
	{
		struct worker *w = container_of(n, struct worker, node);

		if (str_eq(w->name, name))
			return w;
	}
	return NULL;
}

void
worker_free(struct worker *w)
{
	struct hub *h = w->hub;

	loop_timer_cancel(h->loop, &w->lease);
	if (w->pidfd >= 0) {
		loop_unwatch(h->loop, &w->exit);
		close(w->pidfd);
	}
	json_decref(w->beat.counters);
	list_remove(&w->node);
	free(w);
}

void
worker_dead(struct worker *w, const char *why)
{
	struct hub *h = w->hub;
	struct link *l = w->link;

	log_warn("hub", "worker_dead", "worker=%s pid=%d why=%s calls=%lld", log_quote(w->name),
		 (int)w->pid, why, (long long)w->beat.calls);
	w->link = NULL;
	if (l) {
		l->worker = NULL;
		link_close(l, why);
	}
	hub_reap(h, w->instance, why);
	worker_free(w);
}

static void
on_lease_over(struct loop_timer *t)
{
	worker_dead(container_of(t, struct worker, lease), "link lost");
}

static void
on_exit_of(struct loop_io *io, uint32_t events)
{
	(void)events;
	worker_dead(container_of(io, struct worker, exit), "process gone");
}

void
worker_detach(struct worker *w)
{
	w->link = NULL;
	w->ready = false;
	if (!loop_timer_set(w->hub->loop, &w->lease, LEASE_MS, on_lease_over))
		worker_dead(w, "no memory");
}

/* Without a pidfd (the process is gone already, or an old kernel) the lease alone decides. */
static void
watch_process(struct worker *w, pid_t pid)
{
	w->pid = pid;
	w->pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	if (w->pidfd < 0)
		return;
	if (loop_watch(w->hub->loop, &w->exit, w->pidfd, EPOLLIN, on_exit_of) != ERR_OK) {
		close(w->pidfd);
		w->pidfd = -1;
	}
}

static struct worker *
worker_new(struct link *l, const struct msg_hello *hello)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->hub = l->hub;
	w->exit.fd = -1;
	w->since_ms = clock_wall_ms();
	ignore_err(str_copy(w->name, sizeof(w->name), hello->worker) ? ERR_OK : ERR_INVALID);
	ignore_err(str_copy(w->instance, sizeof(w->instance), hello->instance) ? ERR_OK
									       : ERR_INVALID);
	watch_process(w, ipc_peer_pid(l->ipc));
	list_append(&l->hub->workers, &w->node);
	return w;
}

enum err
worker_attach(struct link *l, const struct msg_hello *hello)
{
	struct worker *w = worker_find(l->hub, hello->worker);

	if (w && (w->link || !str_eq(w->instance, hello->instance)))
		return ERR_CONFLICT;
	if (!w)
		w = worker_new(l, hello);
	if (!w)
		return ERR_NOMEM;
	loop_timer_cancel(l->hub->loop, &w->lease);
	w->link = l;
	l->worker = w;
	w->beat.max_calls = hello->capacity;
	if (!w->ports.first)
		w->ports = ports_lease(l->hub, hello->capacity);
	return ERR_OK;
}
