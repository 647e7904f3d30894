/* body.h - finds the session description in a message body: the whole of it, or the first
 * application/sdp part of a multipart one.  Nothing is copied, nothing nests. */
#ifndef SIP_WORKER_SIP_BODY_H
#define SIP_WORKER_SIP_BODY_H

#include "common/base.h"

enum body_kind {
	BODY_NONE,        /* no body at all */
	BODY_SDP,         /* *sdp, *sdp_len point into the body */
	BODY_UNSUPPORTED, /* 415 */
	BODY_MALFORMED,   /* 400: a multipart body without its boundary */
};

/* content_type: "application/sdp", "multipart/mixed;boundary=x", NULL: header absent. */
enum body_kind body_find_sdp(const char *content_type, const char *body, size_t len,
			     const char **sdp, size_t *sdp_len);

#endif
