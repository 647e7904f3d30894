/* hub.h - the workers: hello, heartbeats, leases, claims, completions, reports.
 *
 * One entry per worker connection; leases outlive connections (DESIGN.md 5).  It owns the control
 * socket.  A worker is not trusted: malformed input closes that peer, and it touches only calls
 * that its own instance claimed.  Loop thread only. */
#ifndef API_SERVER_HUB_HUB_H
#define API_SERVER_HUB_HUB_H

#include <jansson.h>

#include "api-server/domain/seal.h"
#include "api-server/store/store.h"
#include "common/base.h"
#include "common/config.h"
#include "common/loop.h"

struct hub;

struct hub *hub_create(struct loop *l, const struct config *cfg, struct store *s,
		       const struct seal *seal, struct fault *f);
/* Says bye to the workers; calls in progress go on without us.  store_close() comes first: it
 * runs what the hub still has there. */
void hub_destroy(struct hub *h);
/* After SIGHUP; cfg must outlive the hub or the next call. */
void hub_set_config(struct hub *h, const struct config *cfg);
/* A transfer was created that expires then: the sweep is armed for it. */
void hub_note_expiry(struct hub *h, int64_t expires_at);
/* How many workers are linked and not draining (readyz). */
size_t hub_ready_workers(const struct hub *h);
/* For operators and /metrics: [{"worker","pid","calls","max_calls","draining","linked",…}]. */
json_t *hub_workers_json(const struct hub *h);

#endif
