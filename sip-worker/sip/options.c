#include <sofia-sip/sip_tag.h>

#include "sip-worker/sip/internal.h"

void
options_received(struct request *rq)
{
	struct sip *s = rq->s;
	struct verdict v = request_check(rq);

	if (v.status) {
		reply_refuse(rq, v.status, v.why, 0, v.extra);
		return;
	}
	if (s->draining) {
		reply_refuse(rq, 503, "draining", 30, NULL);
		return;
	}
	reply_send(rq, 200, "OK", SIPTAG_ALLOW(s->allow), SIPTAG_ACCEPT(s->accept),
		   SIPTAG_SUPPORTED(s->supported), TAG_END());
}
