/* http.h - the REST side: libmicrohttpd behind a route table.
 *
 * MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME without threads of its own; its epoll descriptor is
 * watched by our loop.  A request is answered at once or suspended until the store answers.
 * Loop thread only. */
#ifndef API_SERVER_HTTP_HTTP_H
#define API_SERVER_HTTP_HTTP_H

#include "api-server/hub/hub.h"
#include "api-server/store/store.h"
#include "common/base.h"
#include "common/config.h"
#include "common/loop.h"

struct http;

struct http *http_create(struct loop *l, const struct config *cfg, struct store *s, struct hub *h,
			 const struct seal *seal, struct fault *f);
/* Stops accepting; requests under way are answered (bounded), then closed. */
void http_destroy(struct http *h);
/* Keys and accounts change at once; TLS certificate too. */
MUST_USE enum err http_set_config(struct http *h, const struct config *cfg, struct fault *f);

#endif
