/* digest_client.h - answers to digest challenges (RFC 7616, 8760, and peers of RFC 2617 and 2069):
 * MD5 and SHA-256, qop=auth or none.  Pure: the caller brings cnonce and count. */
#ifndef SIP_WORKER_SIP_DIGEST_CLIENT_H
#define SIP_WORKER_SIP_DIGEST_CLIENT_H

#include "common/base.h"
#include "common/config.h"
#include "common/str.h"

#define DIGEST_ANSWER_MAX 8192 /* bytes of an answer: the room of its buffer */

/* A challenge that can be answered, quoted pairs resolved. */
struct digest_challenge {
	char realm[256], nonce[1024], opaque[1024];
	enum digest_alg algorithm;
	bool algorithm_given; /* else MD5 is meant, and the answer names none either */
	bool opaque_given;
	bool qop_auth; /* false: no qop at all (RFC 2069) */
	bool stale;    /* the credentials were right, the nonce too old */
};

/* text: what follows "Digest ".  false: malformed, over a limit, or in no algorithm or qop of
 * ours: the next challenge of the message may do. */
MUST_USE bool digest_challenge_parse(const char *text, struct digest_challenge *out);

struct digest_login {
	const char *realm; /* the only one it is for; NULL or "": any */
	const char *username, *password;
};
/* Is the login for this challenge? */
bool digest_login_fits(const struct digest_login *login, const struct digest_challenge *c);

struct digest_use {
	const char *method, *uri; /* uri: the Request-URI as it is sent */
	const char *cnonce;       /* fresh, a token */
	uint32_t nc;              /* uses of this nonce, this one counted: 1, 2, … */
};
/* Appends the value of Authorization or Proxy-Authorization, "Digest " and all. */
void digest_answer(struct buf *out, const struct digest_challenge *c,
		   const struct digest_login *login, const struct digest_use *use);

#endif
