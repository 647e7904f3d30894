/* internal.h - what the hub's files share.  A `link` is one connection; a `worker` is one process
 * (an instance), which outlives its connections by a lease.  Loop thread only.
 *
 *   hub.c       the control socket, the sweeps, what others ask
 *   link.c      a connection: hello, heartbeats, dispatch by table
 *   worker.c    instances, leases, death
 *   commands.c  requests that become requests to the store
 *   ports.c     slices of RTP ports */
#ifndef API_SERVER_HUB_INTERNAL_H
#define API_SERVER_HUB_INTERNAL_H

#include "api-server/hub/hub.h"
#include "common/ipc.h"
#include "common/list.h"
#include "common/msg.h"

#define LINKS_MAX         256
#define HELLO_DEADLINE_MS 5000  /* a connection that does not say hello */
#define SILENCE_MS        3000  /* a worker that sends no heartbeat */
#define LEASE_MS          4000  /* after its link closed */
#define LEASE_AT_START_MS 10000 /* for instances that only the database knows */
#define REQUESTS_MAX      4096  /* of one link under way in the store */
#define PURGE_EVERY_MS    (60 * 60 * 1000)
#define RETRY_MS          1000 /* a sweep that the store could not do */

struct worker;

struct link {
	struct list node; /* hub.links */
	struct hub *hub;
	struct ipc *ipc;
	uint64_t id;
	struct worker *worker;      /* NULL before hello */
	struct loop_timer deadline; /* of hello, then of the next heartbeat */
	bool suspected; /* the deadline passed once; sockets are drained before it is judged */
	unsigned requests;
};

struct port_slice {
	uint16_t first, last; /* 0, 0: none */
};

struct worker {
	struct list node; /* hub.workers */
	struct hub *hub;
	char name[MSG_NAME_MAX];
	char instance[ID_TOKEN_SIZE];
	pid_t pid;
	int pidfd;
	struct loop_io exit; /* pidfd: readable when the process is gone */
	struct link *link;   /* NULL: the lease runs */
	struct loop_timer lease;
	struct port_slice ports;
	bool ready;                /* hello was answered */
	struct msg_heartbeat beat; /* the last one; counters owned */
	int64_t since_ms;
};

struct hub {
	struct loop *loop;
	const struct config *cfg;
	struct store *store;
	const struct seal *seal;
	int listen_fd, lock_fd;
	struct loop_io listen_io;
	struct list links;   /* struct link::node */
	struct list workers; /* struct worker::node */
	size_t link_count;
	uint64_t next_link;
	unsigned in_store; /* requests under way whose done() names the hub */
	bool closing;

	struct loop_timer expire, purge, orphans;
	int64_t expire_at; /* wall ms the timer is armed for, 0: not armed */
	bool expiring;
};

/* link.c */
void link_open(struct hub *h, int fd);
void link_close(struct link *l, const char *why);
struct link *link_find(struct hub *h, uint64_t id); /* NULL: gone meanwhile */
void link_reply(struct link *l, enum msg_type t, const char *re, enum err e, const void *reply);

/* worker.c */
struct worker *worker_find(struct hub *h, const char *name);
/* Checks the name and makes or renews the instance; CONFLICT: the name lives. */
enum err worker_attach(struct link *l, const struct msg_hello *hello);
void worker_detach(struct worker *w);                /* its link closed: the lease starts */
void worker_dead(struct worker *w, const char *why); /* reaped and freed */
void worker_free(struct worker *w);

/* commands.c */
enum err cmd_hello(struct link *l, const char *id, void *body);
enum err cmd_claim(struct link *l, const char *id, void *body);
enum err cmd_release(struct link *l, const char *id, void *body);
enum err cmd_complete(struct link *l, const char *id, void *body);
enum err cmd_report(struct link *l, const char *id, void *body);
enum err cmd_snapshot(struct link *l, const char *id, void *body);
/* Gives up every claim of an instance; except: the only ones to be kept when instance is NULL. */
void hub_reap(struct hub *h, const char *instance, const char *reason);
void hub_reap_orphans(struct hub *h);

/* ports.c: a free slice for `calls` calls out of the configured range. */
struct port_slice ports_lease(struct hub *h, int64_t calls);

#endif
