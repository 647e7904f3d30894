#include "common/ipc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/jfield.h"
#include "common/log.h"
#include "common/str.h"

#define HEAD_LEN   4u
#define READ_CHUNK (64u << 10)
#define READ_TURN  (256u << 10) /* bytes from one peer before the others get their turn */
#define KEEP_MAX   (256u << 10) /* an idle connection gives back larger buffers */
#define GATHER_MAX (16u << 10)  /* bytes that wait for the end of the turn */
#define DEPTH_MAX  64           /* what is in a body was at most JSON_DEPTH_MAX deep by itself */

struct ipc {
	struct loop *loop;
	struct loop_io io;
	struct loop_end end; /* of the turn: flush */
	const struct ipc_ops *ops;
	void *arg;
	struct ucred peer;
	struct buf in;
	struct buf out; /* whole frames, the first `sent` bytes of it are gone */
	size_t sent;
	bool want_write; /* EPOLLOUT is asked for */
	bool dead;       /* gone was told, or a write failed: nothing is sent any more */
	bool told;       /* gone was told */
	bool busy;       /* inside on_ready: ipc_close() leaves the freeing to it */
	bool closed;
};

size_t
ipc_frame_len(const void *data, size_t len, bool *bad)
{
	uint32_t n;

	*bad = false;
	if (len < HEAD_LEN)
		return 0;
	memcpy(&n, data, HEAD_LEN);
	n = ntohl(n);
	if (n == 0 || n > IPC_FRAME_MAX) {
		*bad = true;
		return 0;
	}
	return len - HEAD_LEN >= n ? HEAD_LEN + n : 0;
}

static void
hang_up(struct ipc *c)
{
	int fd = c->io.fd;

	loop_end_cancel(&c->end);
	loop_unwatch(c->loop, &c->io);
	if (fd >= 0)
		close(fd);
	c->dead = true;
}

static void
tell_gone(struct ipc *c, enum err why)
{
	assert(!c->told && !c->closed);
	hang_up(c);
	c->told = true;
	c->ops->gone(c, why, c->arg);
}

/* --- receiving --- */

static void
deliver(struct ipc *c, const char *text, size_t len)
{
	struct fault f;
	json_t *msg;
	enum err e = json_parse_depth(text, len, DEPTH_MAX, &msg, &f);

	if (e == ERR_OK && !json_is_object(msg)) {
		json_decref(msg);
		fault_set(&f, "1:1", "expected an object");
		e = ERR_INVALID;
	}
	if (e != ERR_OK) {
		log_warn("ipc", "bad_frame", "peer=%d bytes=%zu at=%s what=%s", (int)c->peer.pid,
			 len, f.where, log_quote(f.what));
		tell_gone(c, e == ERR_NOMEM ? ERR_NOMEM : ERR_PROTOCOL);
		return;
	}
	c->ops->message(c, msg, c->arg);
	json_decref(msg);
}

static void
drop_front(struct buf *b, size_t n)
{
	memmove(b->data, b->data + n, b->len - n);
	b->len -= n;
	b->data[b->len] = '\0';
}

static void
deliver_frames(struct ipc *c)
{
	size_t done = 0, n;
	bool bad = false;

	while (!c->told && !c->closed &&
	       (n = ipc_frame_len(c->in.data + done, c->in.len - done, &bad)) > 0) {
		deliver(c, c->in.data + done + HEAD_LEN, n - HEAD_LEN);
		done += n;
	}
	if (bad) {
		log_warn("ipc", "bad_length", "peer=%d", (int)c->peer.pid);
		tell_gone(c, ERR_PROTOCOL);
	}
	if (done > 0)
		drop_front(&c->in, done);
}

static void
receive(struct ipc *c)
{
	static _Thread_local char chunk[READ_CHUNK];

	for (size_t got = 0; got < READ_TURN && !c->told && !c->closed;) {
		ssize_t n = recv(c->io.fd, chunk, sizeof(chunk), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n <= 0) {
			tell_gone(c, n == 0 ? ERR_CLOSED : err_from_errno(errno));
			return;
		}
		got += (size_t)n;
		buf_add(&c->in, chunk, (size_t)n);
		if (c->in.failed) {
			tell_gone(c, ERR_NOMEM);
			return;
		}
		deliver_frames(c);
		if ((size_t)n < sizeof(chunk))
			break; /* the socket is empty, or tells so by staying readable */
	}
	if (c->in.len == 0 && c->in.cap > KEEP_MAX)
		buf_finish(&c->in);
}

/* --- sending --- */

size_t
ipc_queued(const struct ipc *c)
{
	return c->out.len - c->sent;
}

/* Nothing can be sent any more.  The loop will find the end of the stream and tell from there,
 * after what the peer said last: nobody expects `gone` inside ipc_send(). */
static void
break_off(struct ipc *c)
{
	c->dead = true;
	(void)shutdown(c->io.fd, SHUT_RDWR);
}

static void
ask_for_write(struct ipc *c, bool want)
{
	if (want == c->want_write || c->dead)
		return;
	if (loop_rewatch(c->loop, &c->io, want ? EPOLLIN | EPOLLOUT : EPOLLIN) == ERR_OK)
		c->want_write = want;
	else
		break_off(c);
}

static void
flush(struct ipc *c)
{
	while (!c->dead && ipc_queued(c) > 0) {
		ssize_t n = send(c->io.fd, c->out.data + c->sent, ipc_queued(c), MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n < 0) {
			break_off(c);
			break;
		}
		c->sent += (size_t)n;
	}
	if (ipc_queued(c) == 0 || c->dead) {
		buf_reset(&c->out);
		c->sent = 0;
		if (c->out.cap > KEEP_MAX)
			buf_finish(&c->out);
	}
	ask_for_write(c, ipc_queued(c) > 0);
}

struct encoding {
	struct buf *to;
	size_t end; /* no frame goes beyond */
	enum err e;
};

static int
append(const char *data, size_t len, void *arg)
{
	struct encoding *enc = arg;

	if (len > enc->end - enc->to->len)
		enc->e = ERR_TOO_LARGE;
	else
		buf_add(enc->to, data, len);
	if (enc->to->failed)
		enc->e = ERR_NOMEM;
	return enc->e == ERR_OK ? 0 : -1;
}

/* Appends one frame to the queue, or nothing at all. */
static enum err
encode(struct ipc *c, const json_t *msg)
{
	const char head[HEAD_LEN] = { 0 };
	size_t start = c->out.len, body;
	struct encoding enc = { .to = &c->out, .end = start + HEAD_LEN + IPC_FRAME_MAX };
	enum err e;
	uint32_t n;

	(void)append(head, sizeof(head), &enc);
	if (enc.e == ERR_OK && json_dump_callback(msg, append, &enc, JSON_COMPACT) != 0 &&
	    enc.e == ERR_OK)
		enc.e = ERR_INVALID;
	e = enc.e;
	if (e != ERR_OK)
		goto fail;
	body = c->out.len - start - HEAD_LEN;
	/* What the other side would refuse must not leave: it would cost the link. */
	e = ERR_INVALID;
	if (!json_is_object(msg) || !json_shallow(c->out.data + start + HEAD_LEN, body, DEPTH_MAX))
		goto fail;
	e = ERR_BUSY;
	if (ipc_queued(c) > IPC_QUEUE_MAX)
		goto fail;
	n = htonl((uint32_t)body);
	memcpy(c->out.data + start, &n, HEAD_LEN);
	return ERR_OK;
fail:
	c->out.len = start;
	c->out.failed = false;
	if (c->out.cap > 0)
		c->out.data[start] = '\0';
	return e;
}

static void
on_end(struct loop_end *e)
{
	flush(container_of(e, struct ipc, end));
}

enum err
ipc_send(struct ipc *c, const json_t *msg)
{
	enum err e;

	if (c->dead || c->closed)
		return ERR_CLOSED;
	if (c->sent > 0 && c->sent >= c->out.len / 2) {
		drop_front(&c->out, c->sent);
		c->sent = 0;
	}
	e = encode(c, msg);
	if (e != ERR_OK || c->want_write)
		return e;
	if (ipc_queued(c) < GATHER_MAX && loop_at_end(c->loop, &c->end, on_end))
		return ERR_OK;
	flush(c);
	return c->dead ? ERR_CLOSED : ERR_OK;
}

/* --- life --- */

static void
release(struct ipc *c)
{
	buf_finish(&c->in);
	buf_finish(&c->out);
	free(c);
}

static void
on_ready(struct loop_io *io, uint32_t events)
{
	struct ipc *c = container_of(io, struct ipc, io);

	c->busy = true;
	if (events & EPOLLOUT)
		flush(c);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP))
		receive(c);
	c->busy = false;
	if (c->closed)
		release(c);
}

struct ipc *
ipc_open(struct loop *l, int fd, const struct ipc_ops *ops, void *arg)
{
	struct ipc *c = calloc(1, sizeof(*c));
	socklen_t len = sizeof(c->peer);

	if (!c) {
		close(fd);
		return NULL;
	}
	*c = (struct ipc){ .loop = l, .io.fd = -1, .ops = ops, .arg = arg };
	buf_init(&c->in, HEAD_LEN + IPC_FRAME_MAX + READ_CHUNK);
	/* Above the queue's limit: sent bytes not yet moved away, and one frame to be measured. */
	buf_init(&c->out, 2 * IPC_QUEUE_MAX + 2 * IPC_FRAME_MAX);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c->peer, &len) != 0)
		c->peer = (struct ucred){ .uid = (uid_t)-1, .gid = (gid_t)-1 };
	if (loop_watch(l, &c->io, fd, EPOLLIN, on_ready) != ERR_OK) {
		close(fd);
		free(c);
		return NULL;
	}
	return c;
}

void
ipc_close(struct ipc *c)
{
	if (!c || c->closed)
		return;
	if (list_linked(&c->end.node))
		flush(c); /* a last word of this turn */
	hang_up(c);
	c->closed = true;
	if (!c->busy)
		release(c);
}

pid_t
ipc_peer_pid(const struct ipc *c)
{
	return c->peer.pid;
}

uid_t
ipc_peer_uid(const struct ipc *c)
{
	return c->peer.uid;
}
