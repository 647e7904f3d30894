/* resolve_order.h - the order in which the servers of SRV answers are tried (RFC 2782).  Pure but for
 * chance. */
#ifndef SIP_WORKER_SIP_RESOLVE_ORDER_H
#define SIP_WORKER_SIP_RESOLVE_ORDER_H

#include "common/addr.h"
#include "common/base.h"
#include "common/config.h"

#define RESOLVE_NAME_MAX   253
#define RESOLVE_SERVER_MAX 8 /* addresses of one server */

struct resolution;

/* One name with its port, whose addresses are asked for. */
struct resolve_server {
	struct resolution *s;
	char name[RESOLVE_NAME_MAX + 1];
	uint16_t port, priority, weight;
	enum sip_transport transport;
	struct addr addrs[RESOLVE_SERVER_MAX];
	size_t count;
};

/* Transports in our order, then priorities, then chance by weight. */
void resolve_order(struct resolve_server *servers, size_t count);

#endif
