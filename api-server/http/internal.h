/* internal.h - what the files of this folder share: the server, a request, how it is answered.
 * microhttpd.h is known to http.c and reply.c alone.  Loop thread only. */
#ifndef API_SERVER_HTTP_INTERNAL_H
#define API_SERVER_HTTP_INTERNAL_H

#include <jansson.h>

#include "api-server/http/auth.h"
#include "api-server/http/conn.h"
#include "api-server/http/http.h"
#include "api-server/http/metrics.h"
#include "api-server/http/rate.h"
#include "api-server/http/route.h"
#include "api-server/http/tls.h"
#include "common/id.h"
#include "common/list.h"
#include "common/str.h"

struct MHD_Connection;
struct MHD_Daemon;

#define STORE_WAIT_MS 5000 /* then 503; the store's answer is dropped */
#define FAILURE_RATE  20   /* failed authentications per second and source */

struct http {
	struct loop *loop;
	const struct config *cfg;
	struct store *store;
	struct hub *hub;
	const struct seal *seal;
	struct MHD_Daemon *daemon;
	struct loop_io io;         /* the daemon's epoll descriptor */
	struct loop_timer again;   /* the daemon has work left over */
	bool run_asked;            /* again stands at now */
	struct loop_timer overdue; /* store answers */
	struct list waiting;       /* struct request by node: the store has it, oldest first */
	size_t pending;            /* requests the store has */
	bool closing;
	struct conns conns;
	struct auth *auth;
	struct sources *sources;
	struct tls *tls, *tls_before; /* in force; replaced, may be in use by a handshake */
	struct metrics metrics;
	char *openapi; /* JSON text */
};

struct answer {
	enum err err;
	char *text; /* owned if `owned` */
	size_t len;
	bool owned;
	const char *type; /* media type, static */
	bool ask_basic;   /* WWW-Authenticate: Basic */
};

/* One request: from its first line until it is answered and the store has let go of it. */
struct request {
	struct http *http;
	struct conn *conn;
	struct MHD_Connection *mhd; /* NULL: gone */
	char id[ID_UUID_SIZE];
	int64_t began_ns;
	struct route_match match;
	char account[MSG_NAME_MAX]; /* "": an operator's, or none needed */
	bool is_operator;
	bool begun, dispatched, suspended, answered;
	bool pending; /* the store has it */
	struct buf body;
	json_t *json;
	struct answer answer;
	struct list node;
	int64_t deadline_ms;
	void (*after)(struct request *r);
	struct transfer *transfer; /* owned */
	union {
		struct store_req req;
		struct store_transfer_create create;
		struct store_transfer_get get;
		struct store_call_list calls;
		struct store_call_get call;
		struct store_check check;
	} store;
	char target[]; /* raw */
};

/* --- request.c --- */
struct request *request_create(struct http *h, struct conn *c, const char *target);
/* The library is done with it. */
void request_gone(struct request *r);
/* The headers are here: route, key, limits.  May answer. */
void request_begin(struct request *r, const char *method);
void request_body(struct request *r, const char *data, size_t len);
/* All is here. */
void request_dispatch(struct request *r);
/* Hands r->store to the store; after(r) runs when it is done, with r->store.req.err, and answers.
 * It runs also when nobody waits any more, to free what came. */
void request_wait(struct request *r, enum store_op op, void (*after)(struct request *r));
/* Every request that still waits is answered with 503. */
void requests_give_up(struct http *h);
/* The account of the key in the configuration in force; NULL: gone meanwhile (answered). */
const struct account *request_account(struct request *r);

/* --- http.c --- */
const char *request_header(const struct request *r, const char *name); /* NULL: none */
void http_resume(struct request *r);
extern const struct route http_routes[];

/* --- reply.c: each answers r, once; a later answer is dropped. --- */
void reply_json(struct request *r, json_t *body);                 /* steals */
void reply_text(struct request *r, const char *type, char *text); /* steals; NULL: no memory */
void reply_static(struct request *r, const char *type, const char *text, size_t len);
/* f NULL: the code's own text. */
void reply_error(struct request *r, enum err e, const struct fault *f);
void reply_free(struct answer *a);
/* Gives the answer to the library. */
bool reply_send(struct request *r);

/* --- h_*.c --- */
/* ?account=NAME of an operator's request into r->account; false: answered. */
bool query_account(struct request *r);
bool time_read(const char *text, int64_t *out_ms);
/* schema/openapi.yaml as JSON text, malloced; NULL with f set. */
char *openapi_json(struct fault *f);
void h_transfer_create(struct request *r);
void h_transfer_get(struct request *r);
void h_call_list(struct request *r);
void h_call_get(struct request *r);
void h_context_preview(struct request *r);
void h_context_budget(struct request *r);
void h_refusal_list(struct request *r);
void h_worker_list(struct request *r);
void h_health(struct request *r);
void h_ready(struct request *r);
void h_metrics(struct request *r);
void h_openapi(struct request *r);
void h_index(struct request *r);

#endif
