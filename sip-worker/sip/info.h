/* info.h - the digit in the body of an INFO. */
#ifndef SIP_WORKER_SIP_INFO_H
#define SIP_WORKER_SIP_INFO_H

#include "common/base.h"

/* "Signal=5\r\nDuration=160" (application/dtmf-relay), or "5" (application/dtmf).
 * false: there is no digit in it. */
bool info_parse(const char *body, size_t len, char *digit, int *duration_ms);

#endif
