#include "api-server/hub/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/str.h"

/* --- the sweep of expired transfers: armed for the earliest, idle when there is none --- */

struct sweep {
	union {
		struct store_req req;
		struct store_transfer_expire expire;
		struct store_purge purge;
	} st;
	struct hub *hub;
};

static void on_expire(struct loop_timer *t);
static void on_purge(struct loop_timer *t);

static struct sweep *
sweep_new(struct hub *h, enum store_op op, void (*done)(struct store_req *r))
{
	struct sweep *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->hub = h;
	s->st.req.op = op;
	s->st.req.done = done;
	s->st.req.arg = s;
	return s;
}

/* false: could not; the caller tries again later. */
static bool
sweep_submit(struct sweep *s)
{
	if (!s || store_submit(s->hub->store, &s->st.req) != ERR_OK) {
		free(s);
		return false;
	}
	s->hub->in_store++;
	return true;
}

static void
arm(struct hub *h, struct loop_timer *t, int64_t delay_ms, void (*fire)(struct loop_timer *t))
{
	if (!h->closing && !loop_timer_set(h->loop, t, delay_ms < 0 ? 0 : delay_ms, fire))
		log_err("hub", "no_memory", "what=timer");
}

void
hub_note_expiry(struct hub *h, int64_t expires_at)
{
	if (h->expiring || (h->expire_at && h->expire_at <= expires_at))
		return;
	h->expire_at = expires_at;
	arm(h, &h->expire, expires_at - clock_wall_ms(), on_expire);
}

static void
done_expire(struct store_req *r)
{
	struct sweep *s = r->arg;
	struct hub *h = s->hub;
	int64_t next = r->err == ERR_OK ? s->st.expire.next_at : clock_wall_ms() + RETRY_MS;

	h->in_store--;
	h->expiring = false;
	if (r->err == ERR_OK && s->st.expire.count)
		log_info("hub", "expired", "count=%lld", (long long)s->st.expire.count);
	free(s);
	if (next)
		hub_note_expiry(h, next);
}

static void
on_expire(struct loop_timer *t)
{
	struct hub *h = container_of(t, struct hub, expire);
	struct sweep *s = sweep_new(h, STORE_TRANSFER_EXPIRE, done_expire);

	h->expire_at = 0;
	if (s)
		s->st.expire.now_ms = clock_wall_ms();
	h->expiring = sweep_submit(s);
	if (!h->expiring)
		hub_note_expiry(h, clock_wall_ms() + RETRY_MS);
}

static void
done_purge(struct store_req *r)
{
	struct sweep *s = r->arg;
	struct hub *h = s->hub;
	bool again = r->err != ERR_OK || s->st.purge.more;

	h->in_store--;
	free(s);
	arm(h, &h->purge, again ? RETRY_MS : PURGE_EVERY_MS, on_purge);
}

static void
on_purge(struct loop_timer *t)
{
	struct hub *h = container_of(t, struct hub, purge);
	struct sweep *s = sweep_new(h, STORE_PURGE, done_purge);

	if (s)
		s->st.purge.before_ms = clock_wall_ms() - h->cfg->store.retention_ms;
	if (!sweep_submit(s))
		arm(h, &h->purge, RETRY_MS, on_purge);
}

/* What the database says is held by instances which have not come back since our start. */
static void
on_orphans(struct loop_timer *t)
{
	hub_reap_orphans(container_of(t, struct hub, orphans));
}

/* --- the control socket --- */

static void
on_accept(struct loop_io *io, uint32_t events)
{
	struct hub *h = container_of(io, struct hub, listen_io);

	(void)events;
	for (int i = 0; i < 16; i++) {
		int fd = ipc_accept(h->listen_fd);

		if (fd < 0)
			return;
		if (h->link_count >= LINKS_MAX) {
			log_warn("hub", "links_full", "max=%d", LINKS_MAX);
			close(fd);
			continue;
		}
		link_open(h, fd);
	}
}

/* One api-server to a socket: the lock is the kernel's, so it cannot be left behind. */
static int
lock_socket(const char *path, struct fault *f)
{
	char lock[4096];
	int fd;

	if (!str_print(lock, sizeof(lock), "%s.lock", path)) {
		fault_set(f, "control.socket", "path is too long");
		return -1;
	}
	fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0660);
	if (fd < 0) {
		fault_set(f, "control.socket", "%s: %s", lock, strerror(errno));
		return -1;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		fault_set(f, "control.socket", "%s is in use by another api-server", path);
		close(fd);
		return -1;
	}
	return fd;
}

struct hub *
hub_create(struct loop *l, const struct config *cfg, struct store *s, const struct seal *seal,
	   struct fault *f)
{
	struct hub *h = calloc(1, sizeof(*h));

	if (!h) {
		fault_set(f, "", "out of memory");
		return NULL;
	}
	*h = (struct hub){ .loop = l, .cfg = cfg, .store = s, .seal = seal, .listen_fd = -1 };
	h->listen_io.fd = -1;
	list_init(&h->links);
	list_init(&h->workers);
	h->lock_fd = lock_socket(cfg->control.socket, f);
	if (h->lock_fd < 0)
		goto fail;
	h->listen_fd = ipc_listen(cfg->control.socket, f);
	if (h->listen_fd < 0)
		goto fail;
	if (loop_watch(l, &h->listen_io, h->listen_fd, EPOLLIN, on_accept) != ERR_OK) {
		fault_set(f, "control.socket", "cannot be watched");
		goto fail;
	}
	hub_note_expiry(h, clock_wall_ms());
	arm(h, &h->purge, RETRY_MS, on_purge);
	arm(h, &h->orphans, LEASE_AT_START_MS, on_orphans);
	return h;
fail:
	hub_destroy(h);
	return NULL;
}

static void
say_bye(struct link *l)
{
	struct msg_bye bye = { .reason = "api-server stops" };
	json_t *msg = msg_event(MSG_BYE, &bye);

	if (msg)
		ignore_err(ipc_send(l->ipc, msg));
	json_decref(msg);
}

void
hub_destroy(struct hub *h)
{
	if (!h)
		return;
	h->closing = true;
	list_each(n, &h->links) say_bye(container_of(n, struct link, node));
	list_each(n, &h->links) link_close(container_of(n, struct link, node), "api-server stops");
	list_each(n, &h->workers) worker_free(container_of(n, struct worker, node));
	loop_timer_cancel(h->loop, &h->expire);
	loop_timer_cancel(h->loop, &h->purge);
	loop_timer_cancel(h->loop, &h->orphans);
	if (h->listen_fd >= 0) {
		loop_unwatch(h->loop, &h->listen_io);
		close(h->listen_fd);
		unlink(h->cfg->control.socket);
	}
	if (h->lock_fd >= 0)
		close(h->lock_fd);
	free(h);
}

void
hub_set_config(struct hub *h, const struct config *cfg)
{
	h->cfg = cfg;
}

size_t
hub_ready_workers(const struct hub *h)
{
	size_t n = 0;

	list_each(it, &h->workers)
	{
		const struct worker *w = container_of(it, struct worker, node);

		n += w->ready && w->link && !w->beat.draining;
	}
	return n;
}

json_t *
hub_workers_json(const struct hub *h)
{
	json_t *all = json_array();
	char since[CLOCK_TEXT_SIZE];

	list_each(it, &h->workers)
	{
		const struct worker *w = container_of(it, struct worker, node);
		json_t *one = json_pack(
			"{s:s, s:s, s:i, s:b, s:b, s:I, s:I, s:i, s:i, s:s, s:o}", "worker",
			w->name, "instance", w->instance, "pid", (int)w->pid, "linked",
			w->link && w->ready, "draining", w->beat.draining, "calls",
			(json_int_t)w->beat.calls, "maxCalls", (json_int_t)w->beat.max_calls,
			"portFirst", (int)w->ports.first, "portLast", (int)w->ports.last, "since",
			clock_format_s(w->since_ms, since), "counters",
			w->beat.counters ? json_incref(w->beat.counters) : json_object());

		ignore_err(one && json_array_append_new(all, one) == 0 ? ERR_OK : ERR_NOMEM);
	}
	return all;
}
