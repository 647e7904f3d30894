/* server.h - api-server as a whole: who owns what, and in which order it comes and goes.
 *
 * server ─┬─ loop, signalfd
 *         ├─ config (SIGHUP replaces it)
 *         ├─ seal    key of stored credentials
 *         ├─ store   database, its threads
 *         ├─ hub     control socket, workers
 *         └─ http    REST */
#ifndef API_SERVER_SERVER_H
#define API_SERVER_SERVER_H

#include "common/base.h"
#include "common/config.h"

struct server;

/* Takes cfg, always.  cli is kept for SIGHUP and must outlive the server.  NULL with f set: where
 * names the key, what says what is wrong. */
struct server *server_create(struct config *cfg, const struct cli *cli, struct fault *f);
/* Until SIGTERM or SIGINT. */
void server_run(struct server *s);
void server_destroy(struct server *s); /* NULL ok */

#endif
