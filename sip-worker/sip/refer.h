/* refer.h - handing a call back by REFER within its dialog (RFC 3515, 3892, 4488).
 *
 * The outcome comes in steps through sip_ops.refer(); after a final one (ANSWERED, FAILED, UNKNOWN)
 * no more follow.  How long to wait for each is the owner's decision.  Signalling loop only. */
#ifndef SIP_WORKER_SIP_REFER_H
#define SIP_WORKER_SIP_REFER_H

#include "sip-worker/sip/sip.h"

enum sip_refer_state {
	SIP_REFER_ACCEPTED, /* 2xx to the REFER */
	SIP_REFER_TRYING,   /* NOTIFY 100, or one without a body */
	SIP_REFER_RINGING,  /* NOTIFY 18x */
	SIP_REFER_ANSWERED, /* NOTIFY 2xx: final */
	SIP_REFER_FAILED, /* refused, or NOTIFY 3xx-6xx, or no answer to the REFER at all (408): final */
	SIP_REFER_UNKNOWN, /* the subscription ended without saying how: final */
};
extern const char *const sip_refer_state_names[]; /* "accepted", … NULL */

struct sip_refer {
	enum sip_refer_state state;
	int status;         /* of the response or sipfrag; 0: none */
	const char *reason; /* its phrase, borrowed; "" */
};

/* refer_to goes out byte for byte and brings its own <>; referred_by NULL: none.  A challenge (401,
 * 407) is answered once with the account's returns.authentication, its realm pinned.  One at a time. */
void sip_leg_refer(struct sip_leg *leg, const char *refer_to, const char *referred_by);

#endif
