#include "api-server/http/conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/id.h"
#include "common/log.h"
#include "common/str.h"

#define LINGER_MAX   32 /* connections */
#define LINGER_MS    2000
#define LINGER_BYTES (4u << 20)
#define SEND_FACTOR  3 /* an answer may take so many times api.request_timeout */

/* A refused connection is read on for a moment: closing with unread data makes the kernel reset
 * it, and the peer would lose the answer that says why. */
struct straggler {
	struct loop_io io;
	struct list node;
	struct conns *owner;
	int64_t deadline_ms;
	size_t bytes;
};

/* By descriptor.  Per thread, so that another thread's recv() never looks at it. */
static _Thread_local struct conn **by_fd;
static _Thread_local size_t by_fd_size;

struct conn *
conn_find(int fd)
{
	return fd >= 0 && (size_t)fd < by_fd_size ? by_fd[fd] : NULL;
}

static bool
table_set(int fd, struct conn *c)
{
	if ((size_t)fd >= by_fd_size) {
		size_t size = (size_t)fd + 256;
		struct conn **grown = realloc(by_fd, size * sizeof(struct conn *));

		if (!grown)
			return false;
		memset(grown + by_fd_size, 0, (size - by_fd_size) * sizeof(struct conn *));
		by_fd = grown;
		by_fd_size = size;
	}
	by_fd[fd] = c;
	return true;
}

/* --- lingering --- */

static void
linger_end(struct straggler *g)
{
	int fd = g->io.fd;

	loop_unwatch(g->owner->loop, &g->io);
	close(fd);
	list_remove(&g->node);
	g->owner->lingering_count--;
	free(g);
}

static void
on_linger(struct loop_io *io, uint32_t events)
{
	struct straggler *g = container_of(io, struct straggler, io);
	char waste[16384];
	ssize_t n = recvfrom(io->fd, waste, sizeof(waste), MSG_DONTWAIT, NULL, NULL);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	g->bytes += n > 0 ? (size_t)n : 0;
	if (n <= 0 || g->bytes > LINGER_BYTES)
		linger_end(g);
}

static void conns_arm(struct conns *cs);

static void
linger_start(struct conn *c)
{
	struct straggler *g;
	int fd;

	if (c->owner->lingering_count >= LINGER_MAX)
		return;
	fd = dup(c->fd);
	g = fd >= 0 ? calloc(1, sizeof(*g)) : NULL;
	if (!g || loop_watch(c->owner->loop, &g->io, fd, EPOLLIN, on_linger) != ERR_OK) {
		free(g);
		if (fd >= 0)
			close(fd);
		return;
	}
	g->owner = c->owner;
	g->deadline_ms = loop_now(c->owner->loop) + LINGER_MS;
	list_append(&c->owner->lingering, &g->node);
	c->owner->lingering_count++;
	conns_arm(c->owner);
}

/* --- deadlines --- */

static void
end_overdue(struct conns *cs, struct list *head, int64_t now)
{
	list_each(it, head)
	{
		struct conn *c = container_of(it, struct conn, node);

		if (c->deadline_ms > now)
			return;
		/* The library notices and closes; until then nothing more is timed. */
		list_remove(&c->node);
		cs->timed_out++;
		shutdown(c->fd, SHUT_RDWR);
	}
}

static void
on_timer(struct loop_timer *t)
{
	struct conns *cs = container_of(t, struct conns, timer);
	int64_t now = loop_now(cs->loop);

	end_overdue(cs, &cs->reading, now);
	end_overdue(cs, &cs->sending, now);
	list_each(it, &cs->lingering)
	{
		struct straggler *g = container_of(it, struct straggler, node);

		if (g->deadline_ms > now)
			break;
		/* It reads the end in the next turn, and is freed there. */
		list_remove(&g->node);
		g->deadline_ms = INT64_MAX;
		list_append(&cs->lingering, &g->node);
		shutdown(g->io.fd, SHUT_RDWR);
	}
	conns_arm(cs);
}

static int64_t
first_conn(const struct list *head)
{
	return list_empty(head) ? INT64_MAX
				: container_of(head->next, struct conn, node)->deadline_ms;
}

static int64_t
first_straggler(const struct list *head)
{
	if (list_empty(head))
		return INT64_MAX;
	return container_of(head->next, struct straggler, node)->deadline_ms;
}

static int64_t
sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* The timer stands at the earliest deadline, or earlier: firing for nothing is cheaper than
 * moving it with every request. */
static void
conns_arm(struct conns *cs)
{
	int64_t at, delay;

	if (cs->timer.slot)
		return;
	at = sooner(first_conn(&cs->reading), first_conn(&cs->sending));
	at = sooner(at, first_straggler(&cs->lingering));
	if (at == INT64_MAX)
		return;
	delay = at - loop_now(cs->loop);
	if (!loop_timer_set(cs->loop, &cs->timer, delay > 0 ? delay : 0, on_timer))
		log_warn("http", "no-memory", "what=timer");
}

static void
conn_time(struct conn *c, struct list *head, int64_t timeout_ms)
{
	list_remove(&c->node);
	c->deadline_ms = loop_now(c->owner->loop) + timeout_ms;
	list_append(head, &c->node);
	conns_arm(c->owner);
}

void
conns_init(struct conns *cs, struct loop *l, int64_t timeout_ms, uint64_t body_limit)
{
	*cs = (struct conns){ .loop = l, .timeout_ms = timeout_ms, .body_limit = body_limit };
	list_init(&cs->reading);
	list_init(&cs->sending);
	list_init(&cs->lingering);
}

void
conns_finish(struct conns *cs)
{
	list_each(it, &cs->lingering) linger_end(container_of(it, struct straggler, node));
	loop_timer_cancel(cs->loop, &cs->timer);
	free(by_fd);
	by_fd = NULL;
	by_fd_size = 0;
}

/* --- one connection --- */

struct conn *
conn_open(struct conns *cs, int fd, const struct sockaddr *peer, bool tls)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c || !table_set(fd, c)) {
		free(c);
		return NULL;
	}
	c->owner = cs;
	c->fd = fd;
	c->tls = tls;
	if (peer && peer->sa_family == AF_INET)
		memcpy(&c->peer, peer, sizeof(struct sockaddr_in));
	else if (peer && peer->sa_family == AF_INET6)
		memcpy(&c->peer, peer, sizeof(struct sockaddr_in6));
	guard_init(&c->guard, cs->body_limit);
	cs->opened++;
	cs->open++;
	conn_time(c, &cs->reading, cs->timeout_ms);
	return c;
}

void
conn_close(struct conn *c)
{
	if (!c)
		return;
	list_remove(&c->node);
	by_fd[c->fd] = NULL;
	c->owner->open--;
	free(c);
}

void
conn_sending(struct conn *c)
{
	conn_time(c, &c->owner->sending, c->owner->timeout_ms * SEND_FACTOR);
}

void
conn_answered(struct conn *c)
{
	c->answered++;
	if (c->received > c->answered)
		list_remove(&c->node); /* pipelined: the next one is here already */
	else
		conn_time(c, &c->owner->reading, c->owner->timeout_ms);
}

/* --- the guard --- */

/* What the library would say in HTML is said in the contract's form. */
static size_t
refusal_text(const struct guard_refusal *why, char *out, size_t size)
{
	char id[ID_UUID_SIZE], body[256];

	id_uuid(id);
	if (!str_print(body, sizeof(body),
		       "{\"error\":{\"requestId\":\"%s\",\"code\":\"%s\",\"message\":\"%s\"}}", id,
		       why->code, why->message) ||
	    !str_print(out, size,
		       "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
		       "Connection: close\r\nX-Request-Id: %s\r\n\r\n%s",
		       why->status, why->status == 400 ? "Bad Request" : why->message, strlen(body),
		       id, body))
		return 0;
	return strlen(out);
}

static ssize_t
refuse(struct conn *c, void (*send_fn)(struct conn *, void *, const char *, size_t), void *arg)
{
	static struct log_limit limit;
	char text[768], host[ADDR_TEXT_SIZE];
	size_t len = refusal_text(c->refusal, text, sizeof(text));

	c->owner->refused++;
	if (log_allowed(&limit, 5))
		log_info("http", "refused", "from=%s status=%d why=%s suppressed=%u",
			 addr_host(&c->peer, host), c->refusal->status,
			 log_quote(c->refusal->message), limit.suppressed);
	list_remove(&c->node);
	send_fn(c, arg, text, len);
	linger_start(c);
	return 0;
}

ssize_t
conn_received(struct conn *c, char *data, ssize_t n,
	      void (*send_fn)(struct conn *, void *, const char *, size_t), void *arg)
{
	size_t whole = 0, at = 0, used;

	if (c->refusal)
		return refuse(c, send_fn, arg);
	if (n <= 0)
		return n;
	while (at < (size_t)n) {
		bool begins = guard_idle(&c->guard);
		enum guard_result r = guard_feed(&c->guard, data + at, (size_t)n - at, &used);

		at += used;
		if (r == GUARD_BAD) {
			c->refusal = c->guard.refusal;
			/* Requests before it in the same data are answered first. */
			return whole ? (ssize_t)whole : refuse(c, send_fn, arg);
		}
		if (r == GUARD_DONE) {
			whole = at;
			c->received++;
			list_remove(&c->node);
		} else if (begins) {
			conn_time(c, &c->owner->reading, c->owner->timeout_ms);
		}
	}
	return n;
}

static void
send_plain(struct conn *c, void *arg, const char *text, size_t len)
{
	(void)arg;
	if (send(c->fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_debug("http", "refusal-lost", "errno=%d", errno);
}

/* In place of the C library's, for the whole program: see conn.h. */
ssize_t
recv(int fd, void *buf, size_t len, int flags)
{
	struct conn *c = conn_find(fd);
	ssize_t n;

	if (c && !c->tls && c->refusal)
		return conn_received(c, buf, 0, send_plain, NULL);
	n = recvfrom(fd, buf, len, flags, NULL, NULL);
	return c && !c->tls ? conn_received(c, buf, n, send_plain, NULL) : n;
}
