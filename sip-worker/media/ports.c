#include "sip-worker/media/ports.h"

#include <errno.h>
#include <netinet/ip.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/id.h"

#define TRIES 64 /* ports of others skipped in one ports_open() */

struct pair {
	int64_t rest_until_ms;
	bool queued;
};

struct ports {
	uint16_t first;
	size_t pairs; /* in the range */
	struct pair *pair;
	uint16_t *queue; /* ring of pair numbers, `pairs` long */
	size_t head, count;
};

struct ports *
ports_create(void)
{
	return calloc(1, sizeof(struct ports));
}

void
ports_destroy(struct ports *p)
{
	if (!p)
		return;
	free(p->pair);
	free(p->queue);
	free(p);
}

static void
shuffle(uint16_t *items, size_t count)
{
	for (size_t i = count; i > 1; i--) {
		uint32_t r;
		size_t k;
		uint16_t t;

		id_random(&r, sizeof(r));
		k = r % i;
		t = items[i - 1];
		items[i - 1] = items[k];
		items[k] = t;
	}
}

enum err
ports_set(struct ports *p, uint16_t first, uint16_t last)
{
	uint32_t even = (uint32_t)first + (first & 1);
	size_t pairs = even + 1 <= last ? (last - even + 1) / 2 : 0;
	struct pair *pair = calloc(pairs ? pairs : 1, sizeof(*pair));
	uint16_t *queue = calloc(pairs ? pairs : 1, sizeof(*queue));

	if (!pair || !queue) {
		free(pair);
		free(queue);
		return ERR_NOMEM;
	}
	free(p->pair);
	free(p->queue);
	for (size_t i = 0; i < pairs; i++) {
		queue[i] = (uint16_t)i;
		pair[i].queued = true;
	}
	shuffle(queue, pairs);
	*p = (struct ports){ .first = (uint16_t)even,
			     .pairs = pairs,
			     .pair = pair,
			     .queue = queue,
			     .count = pairs };
	return ERR_OK;
}

static void
queue_put(struct ports *p, size_t i, int64_t rest_until_ms)
{
	p->pair[i].rest_until_ms = rest_until_ms;
	p->pair[i].queued = true;
	p->queue[(p->head + p->count++) % p->pairs] = (uint16_t)i;
}

/* The pair that rested longest. */
static bool
queue_take(struct ports *p, int64_t now_ms, size_t *out)
{
	size_t i;

	if (p->count == 0)
		return false;
	i = p->queue[p->head];
	if (p->pair[i].rest_until_ms > now_ms)
		return false;
	p->head = (p->head + 1) % p->pairs;
	p->count--;
	p->pair[i].queued = false;
	*out = i;
	return true;
}

static int
socket_bind(const struct addr *ip, uint16_t port)
{
	struct addr a = *ip;
	int family = addr_family(ip);
	int expedited = 0xb8; /* DSCP EF; where it may not be set, the default does */
	int one = 1;
	int saved;
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	addr_set_port(&a, port);
	if (family == AF_INET6) {
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
		setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &expedited, sizeof(expedited));
	} else {
		setsockopt(fd, IPPROTO_IP, IP_TOS, &expedited, sizeof(expedited));
	}
	if (bind(fd, &a.sa, addr_len(&a)) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static bool
pair_bind(const struct addr *ip, uint16_t port, int fd[2])
{
	int saved;

	fd[0] = socket_bind(ip, port);
	if (fd[0] < 0)
		return false;
	fd[1] = socket_bind(ip, (uint16_t)(port + 1));
	if (fd[1] >= 0)
		return true;
	saved = errno;
	close(fd[0]);
	errno = saved;
	return false;
}

enum err
ports_open(struct ports *p, const struct addr *ip, int64_t now_ms, int fd[2], uint16_t *port)
{
	for (int tries = 0; tries < TRIES; tries++) {
		size_t i;
		uint16_t rtp;

		if (!queue_take(p, now_ms, &i))
			return ERR_BUSY;
		rtp = (uint16_t)(p->first + 2 * i);
		if (pair_bind(ip, rtp, fd)) {
			*port = rtp;
			return ERR_OK;
		}
		if (errno == EADDRINUSE ||
		    errno == EACCES) { /* somebody else's: look again later */
			queue_put(p, i, now_ms + PORTS_REST_MS);
			continue;
		}
		queue_put(p, i, 0);
		/* Out of descriptors or memory: passes by itself.  Else it is our address. */
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			return ERR_BUSY;
		return err_from_errno(errno);
	}
	return ERR_BUSY;
}

void
ports_close(struct ports *p, const int fd[2], uint16_t port, int64_t now_ms)
{
	size_t i = ((size_t)port - p->first) / 2;

	close(fd[0]);
	close(fd[1]);
	/* A pair of an earlier range, or one that the new range already offers. */
	if (port < p->first || i >= p->pairs || p->pair[i].queued)
		return;
	queue_put(p, i, now_ms + PORTS_REST_MS);
}

size_t
ports_free(const struct ports *p)
{
	return p->count;
}
