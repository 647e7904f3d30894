/* digest.h - digest authentication of requests (RFC 7616, 8760): MD5 and SHA-256, qop=auth.
 *
 * A nonce carries its time, a serial number and a keyed hash over them, the source address and
 * the realm, so a challenge leaves nothing behind.  What is remembered is the highest nonce count
 * of nonces that authenticated, in a table of fixed size.  Pure but for randomness at start; the
 * caller passes the time. */
#ifndef SIP_WORKER_SIP_DIGEST_H
#define SIP_WORKER_SIP_DIGEST_H

#include "common/addr.h"
#include "common/base.h"
#include "common/config.h"

#define DIGEST_NONCE_TTL_S 60
#define DIGEST_NONCE_SIZE  57 /* with NUL */
#define DIGEST_FIELD_MAX   256

/* One parsed Authorization value, quoted pairs resolved. */
struct digest_response {
	char username[DIGEST_FIELD_MAX], realm[DIGEST_FIELD_MAX], uri[1024];
	char nonce[DIGEST_NONCE_SIZE + 8], cnonce[DIGEST_FIELD_MAX];
	char response[65], nc[9], qop[16];
	enum digest_alg algorithm;
};

/* text: what follows "Digest ".  false: malformed, incomplete, over a limit, a parameter twice. */
MUST_USE bool digest_parse(const char *text, struct digest_response *out);

/* Reads the token or quoted string at p, quoted pairs resolved; where it ends, NULL: malformed or
 * too long. */
const char *digest_read_value(const char *p, char *out, size_t size);

struct digest;

enum digest_verdict {
	DIGEST_OK,
	DIGEST_STALE, /* credentials right, nonce too old or count seen: challenge with stale=true
		       */
	DIGEST_WRONG,
};

struct digest *digest_create(const char *realm); /* NULL: no memory */
void digest_destroy(struct digest *d);
/* Writes a fresh nonce for this source. */
void digest_nonce(struct digest *d, const struct addr *source, int64_t now_s,
		  char out[DIGEST_NONCE_SIZE]);
/* user NULL: unknown; costs the same and is DIGEST_WRONG.  Remembers the count on DIGEST_OK only.
 */
enum digest_verdict
digest_check(struct digest *d, const struct digest_response *r, const struct sip_user *user,
	     const char *method, const struct addr *source, int64_t now_s);

/* The algorithm's name on the wire: "MD5", "SHA-256". */
const char *digest_alg_name(enum digest_alg alg);
/* response= of RFC 7616 3.4.1 in lower-case hex (65 bytes of room). For us and for tests. */
void digest_compute(const struct digest_response *r, const char *password, size_t password_len,
		    const char *method, char out[65]);

#endif
