/* ports.h - pairs of UDP ports (RTP even, RTCP odd) of one address family.
 *
 * First in, first out from a random order: a port given back rests as long as the others last, and
 * never less than PORTS_REST_MS (late packets of the old call are then gone).  Control thread. */
#ifndef SIP_WORKER_MEDIA_PORTS_H
#define SIP_WORKER_MEDIA_PORTS_H

#include "common/addr.h"
#include "common/base.h"
#include "common/err.h"

#define PORTS_REST_MS 1000

struct ports;

struct ports *ports_create(void); /* NULL: no memory */
void ports_destroy(struct ports *p);
/* Replaces the range; odd first is rounded up, the last pair must be whole. Pairs in use stay
 * with their users and come back only if they are in the new range. */
MUST_USE enum err ports_set(struct ports *p, uint16_t first, uint16_t last);
/* Binds a pair on ip: non-blocking sockets in fd[0] (RTP), fd[1] (RTCP); *port is RTP's.
 * BUSY: none free, or no descriptor. */
MUST_USE enum err
ports_open(struct ports *p, const struct addr *ip, int64_t now_ms, int fd[2], uint16_t *port);
/* Closes both and gives the pair back. */
void ports_close(struct ports *p, const int fd[2], uint16_t port, int64_t now_ms);
size_t ports_free(const struct ports *p);

#endif
