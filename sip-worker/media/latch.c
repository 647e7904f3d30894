#include "sip-worker/media/latch.h"

void
latch_open(struct latch *l, const struct addr *rtp, const struct addr *rtcp, int64_t until_ms)
{
	l->locked = false;
	l->streak = 0;
	l->until_ms = until_ms;
	if (addr_port(&l->sdp) != 0 && addr_equal(rtp, &l->sdp))
		return;
	l->sdp = l->rtp = *rtp;
	l->rtcp = *rtcp;
	l->confirmed = l->rtcp_learnt = false;
}

static bool
latch_may_learn(const struct latch *l, const struct addr *from)
{
	if (addr_port(from) == 0 || addr_is_multicast(from) || addr_is_any(from))
		return false;
	if (addr_equal_host(from, &l->signalling) || addr_equal(from, &l->sdp))
		return true;
	if (!l->allow)
		return false;
	for (size_t i = 0; i < l->allow->count; i++)
		if (cidr_match(&l->allow->items[i], from))
			return true;
	return false;
}

/* One more of the candidate's packets in a row, or a new candidate. */
static bool
latch_probation(struct latch *l, const struct addr *from, const struct rtp_packet *p)
{
	bool follows = l->streak > 0 && p->ssrc == l->ssrc && p->pt == l->pt &&
		       p->seq == l->next_seq && addr_equal(from, &l->candidate);

	l->candidate = *from;
	l->ssrc = p->ssrc;
	l->pt = p->pt;
	l->next_seq = (uint16_t)(p->seq + 1);
	l->streak = follows ? (uint8_t)(l->streak + 1) : 1;
	return l->streak >= LATCH_PACKETS;
}

static bool
latch_window(struct latch *l, int64_t now_ms)
{
	if (!l->locked && (!l->nat || now_ms >= l->until_ms))
		l->locked = true;
	return !l->locked;
}

bool
latch_is_stranger(const struct latch *l, const struct addr *from)
{
	return l->locked && !(addr_port(&l->rtp) != 0 && addr_equal(from, &l->rtp));
}

enum latch_verdict
latch_rtp(struct latch *l, const struct addr *from, const struct rtp_packet *p, int64_t now_ms)
{
	bool is_known = addr_port(&l->rtp) != 0 && addr_equal(from, &l->rtp);
	bool open = latch_window(l, now_ms);

	if (is_known) {
		l->confirmed = true;
		if (open && latch_probation(l, from, p))
			l->locked = true;
		return LATCH_HEAR;
	}
	if (!open || !latch_may_learn(l, from))
		return LATCH_REFUSE;
	if (!latch_probation(l, from, p))
		return LATCH_WAIT;
	l->rtp = *from;
	/* Until its RTCP is heard, the usual neighbour is the best guess. */
	l->rtcp = *from;
	addr_set_port(&l->rtcp, (uint16_t)(addr_port(from) + 1));
	l->rtcp_learnt = false;
	l->locked = l->confirmed = true;
	return LATCH_WON;
}

bool
latch_rtcp(struct latch *l, const struct addr *from)
{
	if (addr_port(&l->rtcp) != 0 && addr_equal(from, &l->rtcp))
		return true;
	if (addr_port(&l->rtp) != 0 && addr_equal(from, &l->rtp))
		return true;
	if (!l->nat || !l->confirmed || l->rtcp_learnt || !addr_equal_host(from, &l->rtp))
		return false;
	l->rtcp = *from;
	l->rtcp_learnt = true;
	return true;
}
