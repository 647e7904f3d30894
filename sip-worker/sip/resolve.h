/* resolve.h - where a SIP host is (RFC 3263 without NAPTR): SRV, then A and AAAA, by c-ares.
 *
 * Its sockets and timer live on the loop.  What it finds is not judged here.  Loop thread only. */
#ifndef SIP_WORKER_SIP_RESOLVE_H
#define SIP_WORKER_SIP_RESOLVE_H

#include "common/addr.h"
#include "common/base.h"
#include "common/config.h"
#include "common/loop.h"

#define RESOLVE_MAX        16 /* addresses of one host; further ones are not looked at */
#define RESOLVE_TIMEOUT_MS 6000

struct resolver;
struct resolution;

struct resolve_question {
	const char *name; /* a host name, or a numeric address */
	uint16_t port;    /* 0: none given, SRV may say it */
	bool secure;      /* TLS alone */
	bool has_transport;
	enum sip_transport transport;
	int family; /* comes first: AF_INET or AF_INET6 */
};

struct resolve_target {
	enum sip_transport transport;
	struct addr addr; /* with its port */
};

/* servers: "HOST:PORT,…", NULL: those of the system.  NULL: no memory. */
struct resolver *resolver_create(struct loop *l, const char *servers);
/* Every resolution must have ended or been cancelled. */
void resolver_destroy(struct resolver *r);

/* Asks; found() comes once, never from within this call.  count 0: nowhere, or not known in time.
 * NULL: no memory. */
struct resolution *
resolve_start(struct resolver *r, const struct resolve_question *q,
	      void (*found)(void *arg, const struct resolve_target *targets, size_t count),
	      void *arg);
/* No found() comes; not for one that has. */
void resolve_cancel(struct resolution *s);

#endif
