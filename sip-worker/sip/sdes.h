/* sdes.h - keys for SRTP in session descriptions (RFC 4568): one a=crypto line.  Pure.
 *
 * A line is taken only if all of it is understood: one inline key of a suite of ours, lifetime,
 * MKI of up to SRTP_MKI_MAX bytes, no session parameter that would change how packets look.  What
 * holds a struct sdes is wiped with secret_wipe() in the end. */
#ifndef SIP_WORKER_SIP_SDES_H
#define SIP_WORKER_SIP_SDES_H

#include "common/str.h"
#include "sip-worker/media/srtp.h"

#define SDES_TAG_SIZE 10 /* nine digits and NUL */

struct sdes {
	char tag[SDES_TAG_SIZE];
	struct srtp_key key; /* suite NONE: no line */
};

/* text: what follows "a=crypto:".  false: not for us. */
MUST_USE bool sdes_read(const char *text, size_t len, struct sdes *out);
/* The whole line with its end. */
void sdes_write(struct buf *out, const struct sdes *s);
/* A fresh key. */
void sdes_make_key(struct srtp_key *key, enum srtp_suite suite);

#endif
