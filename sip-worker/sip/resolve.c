#include "sip-worker/sip/resolve.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <stdlib.h>
#include <string.h>

#include "common/list.h"
#include "common/log.h"
#include "common/str.h"
#include "sip-worker/sip/resolve_order.h"

#define SIP_PORT    5060
#define SIPS_PORT   5061
#define SERVERS_MAX 8 /* of SRV answers, the best */
#define RECORDS_MAX 32
#define TRY_MS      1500
#define TRIES       2

/* A socket of the library. */
struct watch {
	struct list node; /* resolver.watches */
	struct resolver *r;
	struct loop_io io;
};

struct resolver {
	struct loop *loop;
	ares_channel channel;
	struct list watches; /* watch.node */
	struct list asked;   /* resolution.node */
	struct loop_timer timer;
};

struct service {
	struct resolution *s;
	enum sip_transport transport;
};

struct resolution {
	struct list node; /* resolver.asked */
	struct resolver *r;
	void (*found)(void *arg, const struct resolve_target *targets, size_t count);
	void *arg;
	struct loop_timer deadline;
	int open;  /* answers that the library still owes */
	bool over; /* found() was called, or must not be */

	char name[RESOLVE_NAME_MAX + 1];
	uint16_t port;
	bool secure;
	enum sip_transport transport; /* where nothing else says it */
	int family;

	struct service services[2];
	struct resolve_server servers[RECORDS_MAX];
	size_t server_count;
};

/* --- the library's sockets and timer --- */

static void
arm(struct resolver *r)
{
	struct timeval tv, *next = ares_timeout(r->channel, NULL, &tv);
	int64_t ms = next ? (int64_t)next->tv_sec * 1000 + next->tv_usec / 1000 + 1 : 0;

	if (!next)
		loop_timer_cancel(r->loop, &r->timer);
	else if (!loop_timer_set(r->loop, &r->timer, ms, r->timer.fire))
		log_warn("resolve", "timer", "why=\"out of memory\"");
}

static void
on_timer(struct loop_timer *t)
{
	struct resolver *r = container_of(t, struct resolver, timer);

	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	arm(r);
}

static void
on_ready(struct loop_io *io, uint32_t events)
{
	struct watch *w = container_of(io, struct watch, io);
	struct resolver *r = w->r; /* w may go meanwhile */
	int fd = io->fd;

	ares_process_fd(r->channel, events & (EPOLLIN | EPOLLERR | EPOLLHUP) ? fd : ARES_SOCKET_BAD,
			events & EPOLLOUT ? fd : ARES_SOCKET_BAD);
	arm(r);
}

static struct watch *
find_watch(struct resolver *r, int fd)
{
	list_each(it, &r->watches)
	{
		struct watch *w = container_of(it, struct watch, node);

		if (w->io.fd == fd)
			return w;
	}
	return NULL;
}

static void
unwatch(struct watch *w)
{
	loop_unwatch(w->r->loop, &w->io);
	list_remove(&w->node);
	free(w);
}

/* What cannot be watched for want of memory times out. */
static void
on_socket(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct resolver *r = arg;
	struct watch *w = find_watch(r, fd);
	uint32_t events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u);

	if (!events) {
		if (w)
			unwatch(w);
		return;
	}
	if (w) {
		ignore_err(loop_rewatch(r->loop, &w->io, events));
		return;
	}
	w = calloc(1, sizeof *w);
	if (!w)
		return;
	w->r = r;
	if (loop_watch(r->loop, &w->io, fd, events, on_ready) != ERR_OK) {
		free(w);
		return;
	}
	list_append(&r->watches, &w->node);
}

struct resolver *
resolver_create(struct loop *l, const char *servers)
{
	struct resolver *r = calloc(1, sizeof *r);
	struct ares_options o = {
		.flags = ARES_FLAG_NOSEARCH,
		.timeout = TRY_MS,
		.tries = TRIES,
		.sock_state_cb = on_socket,
		.sock_state_cb_data = r,
	};
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;

	if (!r)
		return NULL;
	r->loop = l;
	list_init(&r->watches);
	list_init(&r->asked);
	r->timer.fire = on_timer;
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		goto fail;
	if (ares_init_options(&r->channel, &o, mask) != ARES_SUCCESS)
		goto fail_library;
	if (servers && ares_set_servers_ports_csv(r->channel, servers) != ARES_SUCCESS)
		goto fail_channel;
	return r;
fail_channel:
	ares_destroy(r->channel);
fail_library:
	ares_library_cleanup();
fail:
	free(r);
	return NULL;
}

void
resolver_destroy(struct resolver *r)
{
	if (!r)
		return;
	ares_destroy(r->channel);
	loop_timer_cancel(r->loop, &r->timer);
	assert(list_empty(&r->asked) && list_empty(&r->watches));
	ares_library_cleanup();
	free(r);
}

/* --- the outcome --- */

static void
free_if_done(struct resolution *s)
{
	if (!s->over || s->open > 0)
		return;
	loop_timer_cancel(s->r->loop, &s->deadline);
	list_remove(&s->node);
	free(s);
}

static void
add_targets(const struct resolution *s, const struct resolve_server *v, int family,
	    struct resolve_target *out, size_t *count)
{
	for (size_t i = 0; i < v->count && *count < RESOLVE_MAX; i++)
		if ((addr_family(&v->addrs[i]) == s->family) == (family == s->family))
			out[(*count)++] = (struct resolve_target){ v->transport, v->addrs[i] };
}

static void
tell(struct resolution *s)
{
	struct resolve_target targets[RESOLVE_MAX];
	size_t count = 0;

	for (size_t i = 0; i < s->server_count; i++) {
		add_targets(s, &s->servers[i], s->family, targets, &count);
		add_targets(s, &s->servers[i], -1, targets, &count);
	}
	s->over = true;
	s->found(s->arg, targets, count);
	free_if_done(s);
}

static void
on_deadline(struct loop_timer *t)
{
	struct resolution *s = container_of(t, struct resolution, deadline);

	if (!s->over)
		tell(s);
}

/* Told from the loop: the library calls back from within a question, too.  The timer is armed
 * already, which takes no memory. */
static void
done(struct resolution *s)
{
	if (!loop_timer_set(s->r->loop, &s->deadline, 0, on_deadline))
		log_warn("resolve", "timer", "why=\"out of memory\"");
}

/* --- addresses --- */

static void
take_addresses(struct resolve_server *v, const struct ares_addrinfo_node *n)
{
	for (; n && v->count < RESOLVE_SERVER_MAX; n = n->ai_next) {
		struct addr *a = &v->addrs[v->count];

		if ((n->ai_family != AF_INET && n->ai_family != AF_INET6) ||
		    n->ai_addrlen > sizeof *a)
			continue;
		*a = (struct addr){ 0 };
		memcpy(a, n->ai_addr, n->ai_addrlen);
		addr_set_port(a, v->port);
		v->count++;
	}
}

static void
on_addresses(void *arg, int status, int timeouts, struct ares_addrinfo *res)
{
	struct resolve_server *v = arg;
	struct resolution *s = v->s;

	(void)timeouts;
	s->open--;
	if (status == ARES_SUCCESS && !s->over)
		take_addresses(v, res->nodes);
	if (res)
		ares_freeaddrinfo(res);
	if (s->over)
		free_if_done(s);
	else if (s->open == 0)
		done(s);
}

static void
ask_addresses(struct resolution *s)
{
	const struct ares_addrinfo_hints hints = {
		.ai_flags = ARES_AI_NOSORT,
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_DGRAM,
	};
	size_t count = s->server_count < SERVERS_MAX ? s->server_count : SERVERS_MAX;

	s->server_count = count;
	/* One more, so that answers given at once do not end it in the middle. */
	s->open++;
	for (size_t i = 0; i < count; i++) {
		s->open++;
		ares_getaddrinfo(s->r->channel, s->servers[i].name, NULL, &hints, on_addresses,
				 &s->servers[i]);
	}
	if (--s->open == 0)
		done(s);
}

static bool
add_server(struct resolution *s, const char *name, uint16_t port, enum sip_transport transport)
{
	struct resolve_server *v = &s->servers[s->server_count];

	if (s->server_count == RECORDS_MAX || !str_copy(v->name, sizeof v->name, name))
		return false;
	v->s = s;
	v->port = port;
	v->transport = transport;
	s->server_count++;
	return true;
}

static void
ask_host(struct resolution *s)
{
	uint16_t port = s->port ? s->port : s->secure ? SIPS_PORT : SIP_PORT;

	if (add_server(s, s->name, port, s->transport))
		ask_addresses(s);
	else
		done(s);
}

/* --- SRV --- */

static void
take_records(struct service *service, const unsigned char *answer, int len)
{
	struct resolution *s = service->s;
	struct ares_srv_reply *all;

	if (ares_parse_srv_reply(answer, len, &all) != ARES_SUCCESS)
		return;
	for (const struct ares_srv_reply *r = all; r; r = r->next) {
		/* A lone dot: the service is not there. */
		if (!r->host[0] || strcmp(r->host, ".") == 0 || r->port == 0 ||
		    !add_server(s, r->host, r->port, service->transport))
			continue;
		s->servers[s->server_count - 1].priority = r->priority;
		s->servers[s->server_count - 1].weight = r->weight;
	}
	ares_free_data(all);
}

static void
services_known(struct resolution *s)
{
	if (s->server_count == 0) {
		ask_host(s);
		return;
	}
	resolve_order(s->servers, s->server_count);
	ask_addresses(s);
}

static void
on_records(void *arg, int status, int timeouts, unsigned char *answer, int len)
{
	struct service *service = arg;
	struct resolution *s = service->s;

	(void)timeouts;
	s->open--;
	if (status == ARES_SUCCESS && !s->over)
		take_records(service, answer, len);
	if (s->over)
		free_if_done(s);
	else if (s->open == 0)
		services_known(s);
}

static void
ask_service(struct resolution *s, size_t i, enum sip_transport transport)
{
	static const char *const prefixes[] = {
		[SIP_UDP] = "_sip._udp",
		[SIP_TCP] = "_sip._tcp",
		[SIP_TLS] = "_sips._tcp",
	};
	char name[RESOLVE_NAME_MAX + 16];

	s->services[i] = (struct service){ s, transport };
	str_print(name, sizeof name, "%s.%s", prefixes[transport], s->name);
	s->open++;
	ares_query(s->r->channel, name, ns_c_in, ns_t_srv, on_records, &s->services[i]);
}

static void
ask_services(struct resolution *s, const struct resolve_question *q)
{
	if (s->secure || q->has_transport) {
		ask_service(s, 0, s->transport);
		return;
	}
	/* As in ask_addresses(): not before both were asked. */
	s->open++;
	ask_service(s, 0, SIP_UDP);
	ask_service(s, 1, SIP_TCP);
	if (--s->open == 0)
		services_known(s);
}

/* --- the question --- */

static void
ask(struct resolution *s, const struct resolve_question *q)
{
	struct addr a;

	if (addr_parse(q->name, 0, &a)) {
		addr_set_port(&a, s->port ? s->port : s->secure ? SIPS_PORT : SIP_PORT);
		if (add_server(s, s->name, s->port, s->transport)) {
			s->servers[0].addrs[0] = a;
			s->servers[0].count = 1;
		}
		done(s);
	} else if (s->port) {
		ask_host(s);
	} else {
		ask_services(s, q);
	}
	arm(s->r);
}

struct resolution *
resolve_start(struct resolver *r, const struct resolve_question *q,
	      void (*found)(void *arg, const struct resolve_target *targets, size_t count),
	      void *arg)
{
	struct resolution *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->r = r;
	s->found = found;
	s->arg = arg;
	s->port = q->port;
	s->secure = q->secure || (q->has_transport && q->transport == SIP_TLS);
	s->transport = s->secure ? SIP_TLS : q->has_transport ? q->transport : SIP_UDP;
	s->family = q->family;
	if (!str_copy(s->name, sizeof s->name, q->name) ||
	    !loop_timer_set(r->loop, &s->deadline, RESOLVE_TIMEOUT_MS, on_deadline)) {
		free(s);
		return NULL;
	}
	list_append(&r->asked, &s->node);
	ask(s, q);
	return s;
}

void
resolve_cancel(struct resolution *s)
{
	if (!s)
		return;
	s->over = true;
	loop_timer_cancel(s->r->loop, &s->deadline);
	free_if_done(s);
}
