/* latch.h - from whom media is heard and to whom it is sent (DESIGN.md 6, "Media address").
 *
 * The SDP's address is heard at once.  With nat, until the window closes, four packets in a row
 * of one source and SSRC from the signalling host or an allowed network win instead.  Then it is
 * locked until an update.  Pure: time is an argument. */
#ifndef SIP_WORKER_MEDIA_LATCH_H
#define SIP_WORKER_MEDIA_LATCH_H

#include "common/addr.h"
#include "common/config.h"
#include "sip-worker/media/rtp.h"

#define LATCH_PACKETS 4

struct latch {
	bool nat;
	struct addr signalling;
	const struct cidr_list *allow; /* borrowed, may be NULL */
	struct addr sdp;               /* what the SDP says; port 0: nothing yet */
	struct addr rtp;               /* where RTP goes and comes from; port 0: not known */
	struct addr rtcp;              /* likewise */
	bool locked;                   /* the window is over, or the address was won */
	bool confirmed;                /* a packet came from rtp */
	bool rtcp_learnt;
	int64_t until_ms; /* end of the window */
	struct addr candidate;
	uint32_t ssrc;
	uint16_t next_seq;
	uint8_t pt, streak;
};

enum latch_verdict {
	LATCH_HEAR,   /* take the packet */
	LATCH_WON,    /* take it; the address changed to this source */
	LATCH_WAIT,   /* may become the source: not heard yet */
	LATCH_REFUSE, /* not ours to hear */
};

/* Addresses from an SDP (start, update): the window opens again.  The same SDP as before keeps
 * what was learnt until something else wins. */
void latch_open(struct latch *l, const struct addr *rtp, const struct addr *rtcp, int64_t until_ms);
/* Will nothing from there be heard any more, whatever it is? */
bool latch_is_stranger(const struct latch *l, const struct addr *from);
/* Judges a well-formed RTP packet, with SRTP an authentic one. */
enum latch_verdict
latch_rtp(struct latch *l, const struct addr *from, const struct rtp_packet *p, int64_t now_ms);
/* May RTCP from here be heard?  Learns the port behind a NAT once RTP is settled. */
bool latch_rtcp(struct latch *l, const struct addr *from);

#endif
