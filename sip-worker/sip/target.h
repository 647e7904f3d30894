/* target.h - what a return URI asks for, and whether an address may be dialled for it.
 *
 * A URI comes from a client, so it is read strictly: what two parsers could read differently is
 * refused.  The answer of a name server is judged address by address, right before one is sent to.
 * Pure. */
#ifndef SIP_WORKER_SIP_TARGET_H
#define SIP_WORKER_SIP_TARGET_H

#include "common/addr.h"
#include "common/base.h"
#include "common/config.h"
#include "common/err.h"
#include "common/str.h"

#define TARGET_URI_MAX     1024 /* and as much again for URI headers: what the REST side takes */
#define TARGET_TEXT_MAX    2048
#define TARGET_HOST_MAX    253
#define TARGET_HEADERS_MAX 64

/* A sip: or sips: URI, taken apart.  Texts are NUL-terminated pieces of text[] as they were written:
 * put together again they are the URI without its headers. */
struct target {
	char text[TARGET_TEXT_MAX + 8];
	const char *user, *host, *port_text,
		*params;                         /* host with its brackets; others NULL: none */
	const char *headers[TARGET_HEADERS_MAX]; /* "NAME\0VALUE", escapes decoded */
	size_t header_count;
	char name[TARGET_HOST_MAX + 1]; /* host without brackets and trailing dot */
	bool secure;                    /* sips: */
	bool has_transport;
	enum sip_transport transport; /* has_transport */
	bool is_address;
	struct addr address; /* is_address; port 0: none given */
	uint16_t port;       /* 0: none given */
};

/* INVALID: *why (static text) says what is wrong with it.  out is large: not for a deep stack. */
MUST_USE enum err target_parse(const char *uri, struct target *out, const char **why);
/* The value of a header in target.headers. */
const char *target_header_value(const char *header);
/* May a header of this name be set from above: X-* and User-to-User, but our loop marker. */
bool target_header_allowed(const char *name);

struct target_policy {
	const struct account *account;
	const struct addr *source;    /* where the inbound call came from, NULL: nowhere */
	const struct addr *listeners; /* our own, never dialled */
	size_t listener_count;
};
/* May a be dialled for host (target.name; "" or the address itself: nothing but the address vouches
 * for it)?  *why (static text) when not. */
bool target_allowed(const struct target_policy *p, const char *host, const struct addr *a,
		    const char **why);

#endif
