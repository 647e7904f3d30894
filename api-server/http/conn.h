/* conn.h - what we know about a connection beside libmicrohttpd: its guard, its deadline.
 *
 * The library reads sockets by recv(2) and gnutls_record_recv(3); conn.c and tls.c define both for
 * the program, so that every byte passes the guard first.  What the guard refuses is answered here
 * and the library is told that the peer has closed.  Loop thread only; on other threads and for
 * other descriptors recv() is what it always was. */
#ifndef API_SERVER_HTTP_CONN_H
#define API_SERVER_HTTP_CONN_H

#include <sys/types.h>

#include "api-server/http/guard.h"
#include "common/addr.h"
#include "common/base.h"
#include "common/list.h"
#include "common/loop.h"

struct conn {
	struct conns *owner;
	struct list node; /* in conns.reading or conns.sending; in neither while a handler works */
	int64_t deadline_ms;
	int fd;
	bool tls;
	struct addr peer;
	struct guard guard;
	const struct guard_refusal *refusal; /* to be answered at the next read */
	uint64_t received, answered;         /* whole requests */
};

/* All connections of one listener. */
struct conns {
	struct loop *loop;
	struct loop_timer timer;
	int64_t timeout_ms;    /* from a request's first byte to its last */
	uint64_t body_limit;   /* bytes */
	struct list reading;   /* struct conn by node, earliest deadline first */
	struct list sending;   /* likewise */
	struct list lingering; /* struct straggler: refused, but the peer may still be sending */
	size_t lingering_count;
	uint64_t opened, refused, timed_out;
	size_t open;
};

void conns_init(struct conns *cs, struct loop *l, int64_t timeout_ms, uint64_t body_limit);
/* Every connection must be gone. */
void conns_finish(struct conns *cs);

/* NULL: no memory; the caller must not let the connection live. */
struct conn *conn_open(struct conns *cs, int fd, const struct sockaddr *peer, bool tls);
void conn_close(struct conn *c); /* before the descriptor is closed; NULL ok */
/* The answer to the oldest request is on its way; it has been sent. */
void conn_sending(struct conn *c);
void conn_answered(struct conn *c);

/* The guard over n bytes that came in (n <= 0: as it is).  Returns what the library shall see.
 * send() writes a refusal. */
ssize_t
conn_received(struct conn *c, char *data, ssize_t n,
	      void (*send)(struct conn *c, void *arg, const char *text, size_t len), void *arg);
/* This thread's connection with the descriptor, NULL: not ours. */
struct conn *conn_find(int fd);

#endif
