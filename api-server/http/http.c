#include <microhttpd.h>

#include "api-server/http/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"

#define MEMORY_LIMIT   32768 /* per connection: headers, read buffer */
#define BACKLOG        1024
#define ROUNDS         16 /* of the library in a row before others have a turn */
#define FAR_MS         60000
#define CLOSE_WAIT_MS  6000 /* requests under way at the stop: above STORE_WAIT_MS */
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

/* clang-format off */
const struct route http_routes[] = {
	/* method  pattern                                   scope           body   handler */
	{ "POST", "/generativeagent/v1/call-transfers",      SCOPE_ACCOUNT,  true,  h_transfer_create },
	{ "GET",  "/generativeagent/v1/call-transfers/:id",  SCOPE_READ,     false, h_transfer_get },
	{ "GET",  "/handback/v1/calls",                      SCOPE_READ,     false, h_call_list },
	{ "GET",  "/handback/v1/calls/:id",                  SCOPE_READ,     false, h_call_get },
	{ "POST", "/handback/v1/context-budget",             SCOPE_READ,     true,  h_context_preview },
	{ "GET",  "/handback/v1/context-budget",             SCOPE_READ,     false, h_context_budget },
	{ "GET",  "/handback/v1/workers",                    SCOPE_OPERATOR, false, h_worker_list },
	{ "GET",  "/handback/v1/refusals",                   SCOPE_OPERATOR, false, h_refusal_list },
	{ "GET",  "/healthz",                                SCOPE_PUBLIC,   false, h_health },
	{ "GET",  "/readyz",                                 SCOPE_PUBLIC,   false, h_ready },
	{ "GET",  "/metrics",                                SCOPE_METRICS,  false, h_metrics },
	{ "GET",  "/openapi.json",                           SCOPE_PUBLIC,   false, h_openapi },
	{ "GET",  "/",                                       SCOPE_PUBLIC,   false, h_index },
	{ .method = NULL },
};
/* clang-format on */
static_assert(ARRAY_LEN(http_routes) <= METRICS_ROUTES, "METRICS_ROUTES is too small");

/* --- the library's callbacks --- */

PRINTF(2, 0)
static void
on_log(void *arg, const char *fmt, va_list ap)
{
	static struct log_limit limit;
	char text[256];

	/* Peers that come and go are no news, and counted by us; not getting at them is. */
	enum log_level lvl = strstr(fmt, "accept") ? LOG_WARN : LOG_DEBUG;

	(void)arg;
	if (!log_enabled(lvl) || !log_allowed(&limit, 20))
		return;
	vsnprintf(text, sizeof(text), fmt, ap);
	log_line(lvl, "http", "library", "text=%s", log_quote(text));
}

static void
on_connection(void *arg, struct MHD_Connection *m, void **slot,
	      enum MHD_ConnectionNotificationCode code)
{
	struct http *h = arg;
	const union MHD_ConnectionInfo *fd, *peer;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		conn_close(*slot);
		*slot = NULL;
		return;
	}
	fd = MHD_get_connection_info(m, MHD_CONNECTION_INFO_CONNECTION_FD);
	peer = MHD_get_connection_info(m, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	if (!fd)
		return;
	*slot = conn_open(&h->conns, fd->connect_fd, peer ? peer->client_addr : NULL,
			  h->tls != NULL);
	if (!*slot)
		shutdown(fd->connect_fd, SHUT_RDWR); /* unguarded it must not live */
}

static void *
on_target(void *arg, const char *target, struct MHD_Connection *m)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		m, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct request *r;

	if (!info || !info->socket_context)
		return NULL;
	r = request_create(arg, info->socket_context, target);
	if (r)
		r->mhd = m;
	return r;
}

/* Nothing is unescaped before it is routed. */
static size_t
on_unescape(void *arg, struct MHD_Connection *m, char *text)
{
	(void)arg, (void)m;
	return strlen(text);
}

/* Comes once with the headers, once for each piece of a body, once at the end, and again when the
 * request was resumed.  An answer given before the end would cost the connection. */
static enum MHD_Result
on_access(void *arg, struct MHD_Connection *m, const char *url, const char *method,
	  const char *version, const char *data, size_t *len, void **slot)
{
	struct request *r = *slot;

	(void)arg, (void)url, (void)version;
	if (!r)
		return MHD_NO;
	if (!r->begun) {
		request_begin(r, method);
		return MHD_YES;
	}
	if (*len) {
		request_body(r, data, *len);
		*len = 0;
		return MHD_YES;
	}
	if (!r->answered && !r->dispatched)
		request_dispatch(r);
	if (r->answered)
		return reply_send(r) ? MHD_YES : MHD_NO;
	r->suspended = true;
	MHD_suspend_connection(m);
	return MHD_YES;
}

static void
on_completed(void *arg, struct MHD_Connection *m, void **slot, enum MHD_RequestTerminationCode code)
{
	struct request *r = *slot;

	(void)arg, (void)m, (void)code;
	*slot = NULL;
	if (!r)
		return;
	conn_answered(r->conn);
	request_gone(r);
}

const char *
request_header(const struct request *r, const char *name)
{
	return MHD_lookup_connection_value(r->mhd, MHD_HEADER_KIND, name);
}

/* --- the daemon in our loop --- */

static void on_again(struct loop_timer *t);

/* Asks for a run before the loop waits again; many askers make one.  The timer is always armed, if
 * far away, so that moving it needs no memory: a resumed request must not hang for want of it. */
static void
run_soon(struct http *h)
{
	if (h->run_asked)
		return;
	h->run_asked = true;
	ignore_err(loop_timer_set(h->loop, &h->again, 0, on_again) ? ERR_OK : ERR_NOMEM);
}

static void
http_run(struct http *h)
{
	MHD_UNSIGNED_LONG_LONG wait_ms = 0;
	int rounds = 0;

	do
		MHD_run(h->daemon);
	while (++rounds < ROUNDS && MHD_get_timeout(h->daemon, &wait_ms) == MHD_YES && !wait_ms);
	if (rounds == ROUNDS)
		run_soon(h);
}

static bool
arm_far(struct http *h)
{
	return loop_timer_set(h->loop, &h->again, FAR_MS, on_again);
}

static void
on_again(struct loop_timer *t)
{
	struct http *h = container_of(t, struct http, again);

	h->run_asked = false;
	if (!arm_far(h))
		log_warn("http", "no-memory", "what=timer");
	http_run(h);
}

/* Without a thread of its own the library does not wake itself. */
void
http_resume(struct request *r)
{
	r->suspended = false;
	MHD_resume_connection(r->mhd);
	run_soon(r->http);
}

static void
on_ready(struct loop_io *io, uint32_t events)
{
	(void)events;
	http_run(container_of(io, struct http, io));
}

static int
listen_on(const struct addr *at, struct fault *f)
{
	char text[ADDR_TEXT_SIZE];
	int one = 1, fd = socket(addr_family(at), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
	    bind(fd, &at->sa, addr_len(at)) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	fault_set(f, "api.listen", "%s: %s", addr_text(at, text), strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

static struct MHD_Daemon *
start_daemon(struct http *h, int fd)
{
	const struct config *cfg = h->cfg;
	unsigned limit = (unsigned)cfg->api.max_connections;
	unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
	struct MHD_OptionItem tls[] = {
		{ MHD_OPTION_HTTPS_CERT_CALLBACK, (intptr_t)tls_callback(), NULL },
		{ MHD_OPTION_HTTPS_PRIORITIES, 0, NULL },
		{ MHD_OPTION_END, 0, NULL },
	};
	static char priorities[] = TLS_PRIORITIES;

	tls[0] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_CERT_CALLBACK, 0, tls_callback() };
	tls[1].ptr_value = priorities;
	if (h->tls)
		flags |= MHD_USE_TLS;
	else
		tls[0].option = MHD_OPTION_END;
	if (addr_family(&cfg->api.listen) == AF_INET6)
		flags |= MHD_USE_IPv6;
	return MHD_start_daemon(
		flags, 0, NULL, NULL, on_access, h, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, limit,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, limit >= 4 ? limit / 4 : 1,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_LIMIT,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, h, MHD_OPTION_NOTIFY_CONNECTION,
		on_connection, h, MHD_OPTION_URI_LOG_CALLBACK, on_target, h,
		MHD_OPTION_UNESCAPE_CALLBACK, on_unescape, NULL, MHD_OPTION_STRICT_FOR_CLIENT, 1,
		MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
}

/* --- life --- */

static bool
http_listen(struct http *h, struct fault *f)
{
	const union MHD_DaemonInfo *info;
	int fd = listen_on(&h->cfg->api.listen, f);

	if (fd < 0)
		return false;
	h->daemon = start_daemon(h, fd);
	if (!h->daemon) {
		fault_set(f, "api", "libmicrohttpd does not start");
		close(fd);
		return false;
	}
	info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (info && arm_far(h) &&
	    loop_watch(h->loop, &h->io, info->epoll_fd, EPOLLIN, on_ready) == ERR_OK)
		return true;
	fault_set(f, "api", "out of memory");
	loop_timer_cancel(h->loop, &h->again);
	MHD_stop_daemon(h->daemon);
	h->daemon = NULL;
	return false;
}

static bool
load_tls(const struct config *cfg, struct tls **out, struct fault *f)
{
	*out = NULL;
	if (!cfg->api.tls_certificate)
		return true;
	*out = tls_load(cfg->api.tls_certificate, cfg->api.tls_key, f);
	return *out != NULL;
}

static void
http_free_parts(struct http *h)
{
	tls_destroy(h->tls);
	tls_destroy(h->tls_before);
	auth_destroy(h->auth);
	sources_destroy(h->sources);
	free(h->openapi);
}

struct http *
http_create(struct loop *l, const struct config *cfg, struct store *s, struct hub *hub,
	    const struct seal *seal, struct fault *f)
{
	struct http *h = calloc(1, sizeof(*h));

	if (!h) {
		fault_set(f, "api", "out of memory");
		return NULL;
	}
	h->loop = l;
	h->cfg = cfg;
	h->store = s;
	h->hub = hub;
	h->seal = seal;
	h->io.fd = -1;
	list_init(&h->waiting);
	conns_init(&h->conns, l, cfg->api.request_timeout_ms, (uint64_t)cfg->transfers.body_limit);
	h->auth = auth_create(cfg);
	h->sources = sources_create();
	h->openapi = openapi_json(f);
	if (!h->auth || !h->sources)
		fault_set(f, "api", "out of memory");
	else if (h->openapi && load_tls(cfg, &h->tls, f)) {
		tls_use(h->tls);
		if (http_listen(h, f))
			return h;
	}
	http_free_parts(h);
	free(h);
	return NULL;
}

/* What is under way gets its answer, for a bounded time. */
static void
http_drain(struct http *h)
{
	int64_t end;
	int listen_fd = MHD_quiesce_daemon(h->daemon);

	if (listen_fd >= 0)
		close(listen_fd);
	loop_step(h->loop, 0);
	end = loop_now(h->loop) + CLOSE_WAIT_MS;
	while (!list_empty(&h->waiting) && loop_now(h->loop) < end)
		loop_step(h->loop, 50);
	requests_give_up(h);
	/* Resumed connections send their answers; what does not fit the sockets at once is lost. */
	for (int i = 0; i < ROUNDS; i++)
		MHD_run(h->daemon);
}

void
http_destroy(struct http *h)
{
	struct MHD_Daemon *d;

	if (!h)
		return;
	h->closing = true;
	http_drain(h);
	loop_unwatch(h->loop, &h->io);
	loop_timer_cancel(h->loop, &h->again);
	loop_timer_cancel(h->loop, &h->overdue);
	d = h->daemon;
	MHD_stop_daemon(d);
	h->daemon = NULL;
	conns_finish(&h->conns);
	http_free_parts(h);
	if (!h->pending)
		free(h);
}

enum err
http_set_config(struct http *h, const struct config *cfg, struct fault *f)
{
	struct auth *auth = auth_create(cfg);
	struct tls *tls = NULL;

	if (!auth) {
		fault_set(f, "api", "out of memory");
		return ERR_NOMEM;
	}
	if (h->tls && (!load_tls(cfg, &tls, f) || !tls)) {
		if (!cfg->api.tls_certificate)
			fault_set(f, "api.tls", "cannot be taken away while running");
		auth_destroy(auth);
		return ERR_INVALID;
	}
	if (tls) {
		tls_destroy(h->tls_before);
		h->tls_before = h->tls;
		h->tls = tls;
		tls_use(tls);
	}
	auth_destroy(h->auth);
	h->auth = auth;
	h->cfg = cfg;
	return ERR_OK;
}
