/* dial.h - handing a call back by an INVITE of our own: an outbound leg (RFC 3261 13, 17, 22).
 *
 * The target is resolved here (c-ares: SRV, A, AAAA), every address is checked against the account's
 * allowed targets when it is sent to, and tried in order.  A challenge is answered once per nonce with
 * the credentials given: same Call-ID, CSeq + 1.  3xx is a failure.  Signalling loop only.
 *
 * An outbound leg is a sip_leg: sip_leg_bye() and sip_leg_destroy() work as on an inbound one
 * (before the answer: CANCEL), changed(), digit(), ended() and hung_up() come to its owner. */
#ifndef SIP_WORKER_SIP_DIAL_H
#define SIP_WORKER_SIP_DIAL_H

#include "sip-worker/sip/sip.h"

struct sip_header_line {
	const char *name, *value; /* value without control characters */
};

struct sip_dial {
	const struct account *account;
	const struct sip_leg
		*inbound;         /* Max-Forwards one less than its, our loop marker, its caller */
	const char *uri;          /* the return URI; its URI headers become headers of the INVITE */
	enum caller_id caller_id; /* From: the original caller's, or ours */
	const struct sip_header_line *headers;
	size_t header_count;
	const char *realm, *username, *password; /* "" or NULL: none */
	struct media_local local;                /* for our offer */
	enum codec codecs[CODEC_COUNT]; /* offered, the inbound leg's first: no transcoding */
	size_t codec_count;
};

/* To the leg's owner, once each but progress. */
struct sip_dial_ops {
	/* 18x; remote: early media, NULL: none. */
	void (*progress)(void *owner, int status, const struct media_remote *remote);
	void (*answered)(void *owner, const struct media_remote *remote);
	/* Busy, refused, unreachable (503), timed out (408), not allowed (403); the leg is dead. */
	void (*failed)(void *owner, int status, const char *reason);
};

/* INVALID: the URI cannot be dialled; FORBIDDEN: its host is not an allowed target; NOMEM.  Other
 * failures come through ops->failed. */
MUST_USE enum err sip_dial(struct sip *s, const struct sip_dial *d, const struct sip_dial_ops *ops,
			   void *owner, struct sip_leg **out);

#endif
