/* side.h - one thread of the store: it takes all requests that wait in its mailbox, runs them as
 * one transaction on its own connection, and posts them back, answered, when that stands.
 *
 * A failed transaction answers the whole group with ERR_UNAVAILABLE; where the connection cannot
 * be trusted any more it is opened anew for the next group.  Started and stopped by the loop. */
#ifndef API_SERVER_STORE_SIDE_H
#define API_SERVER_STORE_SIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "api-server/store/internal.h"

#define QUEUE_MAX 8192 /* requests under way on one side; a power of two */

struct side {
	const char *path; /* borrowed from the store */
	enum db_role role;
	struct mailbox *box, *results; /* results: borrowed */
	struct db *db;                 /* NULL: to be opened again */
	pthread_t thread;
	bool started, stopping;
	bool troubled;    /* the last group failed: said once */
	int64_t wal_seen; /* bytes at the last checkpoint */
	struct task stop;
	struct list group; /* struct store_req::node */
	size_t under_way;  /* the loop's own: submitted and not answered */
	_Atomic int64_t groups, requests, failures, wal_bytes;
};

MUST_USE bool side_start(struct side *s, const char *path, enum db_role role,
			 struct mailbox *results, struct fault *f);
/* Everything submitted before is run and posted; the thread is gone afterwards. */
void side_stop(struct side *s);
/* Loop thread. BUSY: QUEUE_MAX are under way. */
MUST_USE enum err side_submit(struct side *s, struct store_req *r);

#endif
