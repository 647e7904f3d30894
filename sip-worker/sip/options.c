#include "sip-worker/sip/internal.h"

#include <sofia-sip/nta_stateless.h>
#include <sofia-sip/sip_tag.h>

void
options_received(struct request *rq)
{
	struct sip *s = rq->s;

	if (s->draining) {
		reply_refuse(rq, 503, "draining", 30, NULL);
		return;
	}
	reply_send(rq, 200, "OK", SIPTAG_ALLOW(s->allow), SIPTAG_ACCEPT(s->accept),
		   SIPTAG_SUPPORTED(s->supported), TAG_END());
}
