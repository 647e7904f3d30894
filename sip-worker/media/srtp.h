/* srtp.h - SRTP and SRTCP (RFC 3711) of one RTP session, both directions: AES in counter mode with
 * 128 bit keys, HMAC-SHA1 tags of 80 or 32 bits.
 *
 * The transforms are written here over nettle's AES and SHA-1: Debian's libsrtp2 does its AES by
 * NSS, which allocates 14 times and takes locks for each packet.  After create nothing here
 * allocates; one thread at a time.  What fails authentication is counted and dropped, however often
 * it comes.  No packet is ever accepted twice, no key stream used twice. */
#ifndef SIP_WORKER_MEDIA_SRTP_H
#define SIP_WORKER_MEDIA_SRTP_H

#include "common/base.h"

enum srtp_suite { SRTP_SUITE_NONE, SRTP_SUITE_80, SRTP_SUITE_32 };
#define SRTP_SUITE_COUNT 3
/* As RFC 4568 writes them: AES_CM_128_HMAC_SHA1_80; NONE: "none". */
extern const char *const srtp_suite_names[SRTP_SUITE_COUNT];

#define SRTP_MATERIAL 30 /* bytes: key, then salt */
#define SRTP_MKI_MAX  4

/* The sender's key of one direction.  Plain memory: who copies it wipes it (secret_wipe()). */
struct srtp_key {
	enum srtp_suite suite; /* NONE: in clear */
	uint8_t material[SRTP_MATERIAL];
	uint8_t mki_len, mki[SRTP_MKI_MAX]; /* stands in each packet of this direction; 0: none */
};
bool srtp_key_equal(const struct srtp_key *a, const struct srtp_key *b);

#define SRTP_TRAILER 14 /* bytes that a packet may grow by */
#define SRTP_SOURCES 64 /* SSRCs that one key of the peer may be used with */
#define SRTP_WINDOW  128

enum srtp_verdict { SRTP_TAKE, SRTP_SHORT, SRTP_BAD_TAG, SRTP_REPLAYED };
#define SRTP_VERDICT_COUNT 4

struct srtp_session;
struct srtp_session *srtp_session_create(void); /* NULL: no memory */
void srtp_session_destroy(struct srtp_session *s);
/* Forgets keys and counts. */
void srtp_session_clear(struct srtp_session *s);

/* The key of what we send or hear from now on.  The same key as before changes nothing: roll-over
 * counter and replay window go on.  A new one begins at zero; what was sent under the former
 * inbound key is still heard until srtp_session_settle(). */
/* true: it is a new one. */
bool srtp_session_send_key(struct srtp_session *s, const struct srtp_key *key);
void srtp_session_hear_key(struct srtp_session *s, const struct srtp_key *key);
void srtp_session_settle(struct srtp_session *s);
bool srtp_session_sends(const struct srtp_session *s); /* … encrypted */
bool srtp_session_hears(const struct srtp_session *s);

/* Encrypts and signs in place; packet has room for SRTP_TRAILER more.  Returns the new length, 0:
 * not to be sent (malformed, or its index was used before). */
MUST_USE size_t srtp_session_seal_rtp(struct srtp_session *s, uint8_t *packet, size_t len);
MUST_USE size_t srtp_session_seal_rtcp(struct srtp_session *s, uint8_t *packet, size_t len);
/* Checks and decrypts in place, *len shrinks.  Anything but SRTP_TAKE: drop it, it is untouched. */
MUST_USE enum srtp_verdict
srtp_session_open_rtp(struct srtp_session *s, uint8_t *packet, size_t *len);
MUST_USE enum srtp_verdict
srtp_session_open_rtcp(struct srtp_session *s, uint8_t *packet, size_t *len);

/* How often each verdict was given. */
uint64_t srtp_session_count(const struct srtp_session *s, enum srtp_verdict v);

#endif
