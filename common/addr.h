/* addr.h - IP addresses and CIDR blocks, IPv4 and IPv6.  A v4-mapped IPv6 address equals and
 * matches as the IPv4 address in it. */
#ifndef COMMON_ADDR_H
#define COMMON_ADDR_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "common/base.h"
#include "common/err.h"

struct addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_storage ss;
	};
};

struct cidr {
	uint8_t ip[16]; /* IPv4 as v4-mapped */
	uint8_t bits;   /* 0..128 over the 16 bytes */
};

#define ADDR_TEXT_SIZE 64

/* Numeric host only ("127.0.0.1", "::1", "[::1]"); no name is ever resolved. */
MUST_USE bool addr_parse(const char *host, uint16_t port, struct addr *out);
/* "HOST:PORT" or "[V6]:PORT". */
MUST_USE bool addr_parse_hostport(const char *text, struct addr *out);
socklen_t addr_len(const struct addr *a);
int addr_family(const struct addr *a); /* AF_INET or AF_INET6 */
uint16_t addr_port(const struct addr *a);
void addr_set_port(struct addr *a, uint16_t port);
/* "1.2.3.4" / "2001:db8::1", and with port "1.2.3.4:5060" / "[2001:db8::1]:5060". */
const char *addr_host(const struct addr *a, char out[ADDR_TEXT_SIZE]);
const char *addr_text(const struct addr *a, char out[ADDR_TEXT_SIZE]);
bool addr_equal(const struct addr *a, const struct addr *b);      /* host and port */
bool addr_equal_host(const struct addr *a, const struct addr *b); /* host alone */
bool addr_is_any(const struct addr *a);                           /* 0.0.0.0 or :: */
bool addr_is_multicast(const struct addr *a);

/* "10.0.0.0/8", "2001:db8::/32", or an address alone. Host bits set: false. */
MUST_USE bool cidr_parse(const char *text, struct cidr *out);
bool cidr_match(const struct cidr *c, const struct addr *a);

#endif
