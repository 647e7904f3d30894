/* sipfrag.h - the status line in the body of a NOTIFY for a REFER (RFC 3420, 3515). Pure. */
#ifndef SIP_WORKER_SIP_SIPFRAG_H
#define SIP_WORKER_SIP_SIPFRAG_H

#include "common/base.h"

/* body: not terminated.  *status is 100 to 699; phrase gets what follows it, cut to size, as
 * it came but for NULs.  false: no status line at its beginning. */
MUST_USE bool sipfrag_parse(const char *body, size_t len, int *status, char *phrase, size_t size);

#endif
