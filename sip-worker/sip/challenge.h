/* challenge.h - 401 and 407 to requests of ours: from the reply to the header of the next request.
 * Who is answered, with which credentials and how often is decided by the caller. */
#ifndef SIP_WORKER_SIP_CHALLENGE_H
#define SIP_WORKER_SIP_CHALLENGE_H

#include "sip-worker/sip/digest_client.h"
#include "sip-worker/sip/internal.h"

/* The first challenge of a 401 or 407 that the login is for (RFC 8760: the topmost we can); false:
 * none. */
MUST_USE bool
challenge_find(const sip_t *reply, const struct digest_login *login, struct digest_challenge *out);
/* Adds Authorization (status 401) or Proxy-Authorization (407) to a complete request.  nc: uses of
 * the nonce, this one counted.  false: no memory. */
MUST_USE bool challenge_answer(msg_t *request, int status, const struct digest_challenge *c,
			       const struct digest_login *login, uint32_t nc);

#endif
