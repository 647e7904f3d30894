/* report.h - timelines on their way: entries of all calls are gathered for a moment and go to the
 * outbox as one message.  Signalling loop only. */
#ifndef SIP_WORKER_REPORT_H
#define SIP_WORKER_REPORT_H

#include <jansson.h>

#include "common/call_event.h"
#include "common/loop.h"
#include "sip-worker/outbox.h"

#define REPORT_BATCH   256 /* entries of one message */
#define REPORT_MS      200 /* that an entry waits at most … */
#define REPORT_SOON_MS 20  /* … and one that says the call was answered */

struct report;

struct report *report_create(struct loop *l, struct outbox *o);
void report_destroy(struct report *r);
/* Takes info (NULL: {}), always. */
void
report_add(struct report *r, const char *call, int64_t seq, enum call_event type, json_t *info);
/* Now, so that what is put into the outbox next comes after it. */
void report_flush(struct report *r);

#endif
