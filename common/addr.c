#include "common/addr.h"

#include <arpa/inet.h>
#include <string.h>

#include "common/str.h"

static bool
parse_host(const char *host, struct addr *out)
{
	struct addr a;
	char inner[ADDR_TEXT_SIZE];
	size_t len = strlen(host);

	memset(&a, 0, sizeof(a));
	if (inet_pton(AF_INET, host, &a.v4.sin_addr) == 1) {
		a.v4.sin_family = AF_INET;
		*out = a;
		return true;
	}
	if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
		if (len - 2 >= sizeof(inner))
			return false;
		memcpy(inner, host + 1, len - 2);
		inner[len - 2] = '\0';
		host = inner;
	}
	if (inet_pton(AF_INET6, host, &a.v6.sin6_addr) != 1)
		return false;
	a.v6.sin6_family = AF_INET6;
	*out = a;
	return true;
}

bool
addr_parse(const char *host, uint16_t port, struct addr *out)
{
	struct addr a;

	if (!host || !parse_host(host, &a))
		return false;
	addr_set_port(&a, port);
	*out = a;
	return true;
}

bool
addr_parse_hostport(const char *text, struct addr *out)
{
	const char *colon = text ? strrchr(text, ':') : NULL;
	char host[ADDR_TEXT_SIZE];
	size_t len;
	int64_t port;

	if (!colon || !str_to_int64(colon + 1, 0, 65535, &port) || colon[1] == '-')
		return false;
	len = (size_t)(colon - text);
	if (len == 0 || len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	/* Without brackets nobody can tell where an IPv6 address ends. */
	if (strchr(host, ':') && host[0] != '[')
		return false;
	return addr_parse(host, (uint16_t)port, out);
}

socklen_t
addr_len(const struct addr *a)
{
	return a->sa.sa_family == AF_INET6 ? sizeof(a->v6) : sizeof(a->v4);
}

int
addr_family(const struct addr *a)
{
	return a->sa.sa_family;
}

uint16_t
addr_port(const struct addr *a)
{
	return ntohs(a->sa.sa_family == AF_INET6 ? a->v6.sin6_port : a->v4.sin_port);
}

void
addr_set_port(struct addr *a, uint16_t port)
{
	if (a->sa.sa_family == AF_INET6)
		a->v6.sin6_port = htons(port);
	else
		a->v4.sin_port = htons(port);
}

const char *
addr_host(const struct addr *a, char out[ADDR_TEXT_SIZE])
{
	const void *ip = a->sa.sa_family == AF_INET6 ? (const void *)&a->v6.sin6_addr
						     : (const void *)&a->v4.sin_addr;

	if (!inet_ntop(a->sa.sa_family, ip, out, ADDR_TEXT_SIZE))
		(void)str_copy(out, ADDR_TEXT_SIZE, "?");
	return out;
}

const char *
addr_text(const struct addr *a, char out[ADDR_TEXT_SIZE])
{
	char host[ADDR_TEXT_SIZE];
	bool v6 = a->sa.sa_family == AF_INET6;

	(void)str_print(out, ADDR_TEXT_SIZE, v6 ? "[%.46s]:%u" : "%.46s:%u", addr_host(a, host),
			(unsigned)addr_port(a));
	return out;
}

static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

/* The address as 16 bytes, IPv4 as v4-mapped. */
static void
bytes_of(const struct addr *a, uint8_t out[16])
{
	if (a->sa.sa_family == AF_INET6) {
		memcpy(out, &a->v6.sin6_addr, 16);
		return;
	}
	memcpy(out, mapped_prefix, sizeof(mapped_prefix));
	memcpy(out + 12, &a->v4.sin_addr, 4);
}

static bool
is_v4(const uint8_t ip[16])
{
	return memcmp(ip, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

bool
addr_equal_host(const struct addr *a, const struct addr *b)
{
	uint8_t x[16], y[16];

	bytes_of(a, x);
	bytes_of(b, y);
	return memcmp(x, y, sizeof(x)) == 0;
}

bool
addr_equal(const struct addr *a, const struct addr *b)
{
	return addr_port(a) == addr_port(b) && addr_equal_host(a, b);
}

bool
addr_is_any(const struct addr *a)
{
	static const uint8_t zero[16];
	uint8_t ip[16];

	bytes_of(a, ip);
	return memcmp(ip + (is_v4(ip) ? 12 : 0), zero, is_v4(ip) ? 4 : 16) == 0;
}

bool
addr_is_multicast(const struct addr *a)
{
	uint8_t ip[16];

	bytes_of(a, ip);
	return is_v4(ip) ? (ip[12] & 0xf0) == 0xe0 : ip[0] == 0xff;
}

/* Bits of a prefix: do the first n of a and b agree? */
static bool
prefix_equal(const uint8_t a[16], const uint8_t b[16], unsigned n)
{
	unsigned rest = n % 8;

	if (memcmp(a, b, n / 8) != 0)
		return false;
	return rest == 0 || ((a[n / 8] ^ b[n / 8]) >> (8 - rest)) == 0;
}

static bool
host_bits_clear(const uint8_t ip[16], unsigned bits)
{
	for (unsigned i = bits; i < 128; i++) {
		if (ip[i / 8] & (0x80u >> (i % 8)))
			return false;
	}
	return true;
}

bool
cidr_parse(const char *text, struct cidr *out)
{
	const char *slash = text ? strchr(text, '/') : NULL;
	char host[ADDR_TEXT_SIZE];
	struct addr a;
	struct cidr c;
	int64_t bits = 128;
	size_t len;

	if (!text)
		return false;
	len = slash ? (size_t)(slash - text) : strlen(text);
	if (len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	if (!addr_parse(host, 0, &a))
		return false;
	if (slash && (slash[1] == '-' || !str_to_int64(slash + 1, 0, 128, &bits)))
		return false;
	if (slash && addr_family(&a) == AF_INET) {
		if (bits > 32)
			return false;
		bits += 96;
	}
	bytes_of(&a, c.ip);
	c.bits = (uint8_t)bits;
	if (!host_bits_clear(c.ip, c.bits))
		return false;
	*out = c;
	return true;
}

bool
cidr_match(const struct cidr *c, const struct addr *a)
{
	uint8_t ip[16];

	bytes_of(a, ip);
	/* "::/0" means every IPv6 address; it does not let all of IPv4 in as well. */
	if (is_v4(ip) && c->bits < 96)
		return false;
	return prefix_equal(c->ip, ip, c->bits);
}
