/* route.h - which handler a request is for: a table of methods and whole-path patterns.
 *
 * The raw target is matched first and a captured segment is decoded once, afterwards, so that
 * "%2F" in an id is no separator and nothing is decoded twice.  Pure. */
#ifndef API_SERVER_HTTP_ROUTE_H
#define API_SERVER_HTTP_ROUTE_H

#include "common/base.h"
#include "common/err.h"

#define ROUTE_PARAM_MAX 257 /* a decoded segment with NUL: the contract's ids have 256 bytes */
#define ROUTE_QUERY_MAX 512
#define ROUTE_ALLOW_MAX 64

struct request;

enum scope {
	SCOPE_PUBLIC,   /* no key */
	SCOPE_ACCOUNT,  /* an account's key */
	SCOPE_READ,     /* an account's key, or an operator's */
	SCOPE_OPERATOR, /* an operator's key */
	SCOPE_METRICS,  /* api.metrics_allow, or an operator's key as HTTP Basic */
};

struct route {
	const char *method;
	const char *pattern; /* "/a/:id": one segment captured at most */
	enum scope scope;
	bool body; /* takes a JSON body */
	void (*handle)(struct request *r);
};

struct route_match {
	const struct route *route; /* NULL: see err */
	enum err err;              /* INVALID, NOT_FOUND, METHOD (allow is filled) */
	char param[ROUTE_PARAM_MAX];
	char query[ROUTE_QUERY_MAX]; /* raw, "" without one */
	char allow[ROUTE_ALLOW_MAX];
};

/* The table ends with a row without a method.  HEAD matches GET. */
void route_find(const struct route *table, const char *method, const char *target,
		struct route_match *out);
/* Decodes %XX into out; false: broken escape, NUL, or longer than size - 1.  '+' stays. */
MUST_USE bool route_decode(const char *text, size_t len, char *out, size_t size);
/* A query parameter's decoded value.  OK and *found false when absent; INVALID: twice, broken. */
MUST_USE enum err
route_query(const char *query, const char *name, char *out, size_t size, bool *found);

#endif
