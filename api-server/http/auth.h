/* auth.h - API keys: who is asking.
 *
 * Secrets live here as hashes under a random key of this process, are compared in constant time,
 * and an unknown id costs what a known one does.  Several secrets may stand under one id while
 * they are rotated.  Built from a config and independent of it afterwards. */
#ifndef API_SERVER_HTTP_AUTH_H
#define API_SERVER_HTTP_AUTH_H

#include "api-server/http/rate.h"
#include "common/base.h"
#include "common/config.h"
#include "common/msg.h"

#define AUTH_HASH_SIZE 32

struct auth;

/* One id and secret. */
struct auth_key {
	char account[MSG_NAME_MAX]; /* "": an operator's */
	bool operator_key;
	struct bucket bucket;
	uint8_t hash[AUTH_HASH_SIZE];
	struct auth_key *next;      /* same id */
	struct auth_key *bucket_of; /* the id's first entry: the rate is per id */
};

struct auth *auth_create(const struct config *cfg); /* NULL: no memory */
void auth_destroy(struct auth *a);
/* NULL: no such id, or another secret. id and secret may be NULL. */
struct auth_key *auth_check(struct auth *a, const char *id, const char *secret);
/* "Basic base64(id:secret)". */
struct auth_key *auth_check_basic(struct auth *a, const char *header);

#endif
