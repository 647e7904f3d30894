#include "api-server/server.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "api-server/domain/parent_dir.h"
#include "api-server/domain/seal.h"
#include "api-server/http/http.h"
#include "api-server/hub/hub.h"
#include "api-server/store/store.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/str.h"

struct server {
	struct config *cfg;
	const struct cli *cli;
	struct loop *loop;
	struct loop_io signals;
	struct seal *seal;
	struct store *store;
	struct hub *hub;
	struct http *http;
};

/* --- SIGHUP --- */

static void
say_fixed(const char *key, bool same)
{
	if (!same)
		log_warn("server", "reload-ignored",
			 "key=%s why=\"takes effect at the next start\"", key);
}

/* Accounts, agents and certificates change at once; of the rest, what people are likeliest to
 * expect is named. */
static void
warn_fixed(const struct config *old, const struct config *new)
{
	say_fixed("api.listen", addr_equal(&old->api.listen, &new->api.listen));
	say_fixed("control.socket", str_eq(old->control.socket, new->control.socket));
	say_fixed("store.url", str_eq(old->store.url, new->store.url));
	say_fixed("secrets.key_file", str_eq(old->secrets.key_file, new->secrets.key_file));
	say_fixed("store.retention", old->store.retention_ms == new->store.retention_ms);
	say_fixed("media.ports", old->media.port_first == new->media.port_first &&
					 old->media.port_last == new->media.port_last);
	say_fixed("transfers.body_limit", old->transfers.body_limit == new->transfers.body_limit);
	say_fixed("api.max_connections", old->api.max_connections == new->api.max_connections);
	say_fixed("api.request_timeout",
		  old->api.request_timeout_ms == new->api.request_timeout_ms);
}

static void
swap(void *a, void *b, size_t size)
{
	char kept[256];

	assert(size <= sizeof(kept));
	memcpy(kept, a, size);
	memcpy(a, b, size);
	memcpy(b, kept, size);
}

/* What is in use (sockets, files, leased ports) stays what it was; nobody may find another path or
 * range in the new configuration. */
static void
keep_fixed(struct config *old, struct config *new)
{
	swap(&old->api.listen, &new->api.listen, sizeof(old->api.listen));
	swap(&old->api.max_connections, &new->api.max_connections,
	     sizeof(old->api.max_connections));
	swap(&old->api.request_timeout_ms, &new->api.request_timeout_ms,
	     sizeof(old->api.request_timeout_ms));
	swap(&old->transfers.body_limit, &new->transfers.body_limit,
	     sizeof(old->transfers.body_limit));
	swap(&old->control, &new->control, sizeof(old->control));
	swap(&old->store, &new->store, sizeof(old->store));
	swap(&old->secrets, &new->secrets, sizeof(old->secrets));
	swap(&old->media, &new->media, sizeof(old->media));
}

static void
reload(struct server *s)
{
	struct fault f = { 0 };
	struct config *new = config_load(s->cli->config_file, &f);

	if (!new || http_set_config(s->http, new, &f) != ERR_OK) {
		log_err("server", "reload-failed", "where=%s why=%s", log_quote(f.where),
			log_quote(f.what));
		config_destroy(new);
		return;
	}
	warn_fixed(s->cfg, new);
	keep_fixed(s->cfg, new);
	hub_set_config(s->hub, new);
	config_destroy(s->cfg);
	s->cfg = new;
	log_info("server", "reloaded", "accounts=%zu agents=%s", new->account_count,
		 new->agents_version);
}

static void
on_signal(struct loop_io *io, uint32_t events)
{
	struct server *s = container_of(io, struct server, signals);
	struct signalfd_siginfo info;

	(void)events;
	while (read(io->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGHUP) {
			reload(s);
			continue;
		}
		log_info("server", "stopping", "signal=%u", info.ssi_signo);
		loop_stop(s->loop);
	}
}

static bool
watch_signals(struct server *s, struct fault *f)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	/* Before any thread starts: they inherit the mask. */
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return false;
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd >= 0 && loop_watch(s->loop, &s->signals, fd, EPOLLIN, on_signal) == ERR_OK)
		return true;
	fault_set(f, "signals", "%s", strerror(errno));
	if (fd >= 0)
		close(fd);
	return false;
}

/* --- life --- */

static bool
start_parts(struct server *s, struct fault *f)
{
	if (!watch_signals(s, f))
		return false;
	s->seal = seal_open(s->cfg->secrets.key_file, f);
	if (!s->seal)
		return false;
	s->store = store_open(s->cfg, s->loop, f);
	if (!s->store)
		return false;
	if (!parent_dir_make(s->cfg->control.socket, f))
		return false;
	s->hub = hub_create(s->loop, s->cfg, s->store, s->seal, f);
	if (!s->hub)
		return false;
	s->http = http_create(s->loop, s->cfg, s->store, s->hub, s->seal, f);
	return s->http != NULL;
}

struct server *
server_create(struct config *cfg, const struct cli *cli, struct fault *f)
{
	struct server *s = calloc(1, sizeof(*s));

	if (!s) {
		fault_set(f, "", "out of memory");
		config_destroy(cfg);
		return NULL;
	}
	s->cfg = cfg;
	s->cli = cli;
	s->signals.fd = -1;
	s->loop = loop_create();
	if (!s->loop)
		fault_set(f, "", "no event loop: %s", strerror(errno));
	else if (start_parts(s, f))
		return s;
	server_destroy(s);
	return NULL;
}

void
server_run(struct server *s)
{
	loop_run(s->loop);
}

/* http first: its requests get their answers from the store.  The store before the hub: what the
 * hub has submitted is finished, and done() runs in it. */
void
server_destroy(struct server *s)
{
	int fd;

	if (!s)
		return;
	http_destroy(s->http);
	store_close(s->store);
	hub_destroy(s->hub);
	seal_close(s->seal);
	fd = s->signals.fd;
	if (fd >= 0) {
		loop_unwatch(s->loop, &s->signals);
		close(fd);
	}
	if (s->loop)
		loop_destroy(s->loop);
	config_destroy(s->cfg);
	free(s);
}
