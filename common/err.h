/* err.h - one list of everything that can go wrong, with the HTTP status and the
 * contract's code that tell a client so.  Foreign codes (errno, SQLite, MHD, SIP)
 * become one of these at the one file that may see the library. */
#ifndef COMMON_ERR_H
#define COMMON_ERR_H

#include "common/base.h"

/* clang-format off */
#define ERR_LIST(X)                                                                    \
	/* name           HTTP  code       text */                                     \
	X(OK,              200, "",        "ok")                                       \
	X(INVALID,         400, "400-01",  "Bad request")                              \
	X(UNAUTHORIZED,    401, "401-01",  "Unauthorized")                             \
	X(FORBIDDEN,       403, "403-01",  "Forbidden")                                \
	X(NOT_FOUND,       404, "404-01",  "Not Found")                                \
	X(METHOD,          405, "405-01",  "Method Not Allowed")                       \
	X(CONFLICT,        409, "409-01",  "Conflict")                                 \
	X(GONE,            410, "410-01",  "Gone")                                     \
	X(TOO_LARGE,       413, "413-01",  "Request Entity Too Large")                 \
	X(UNSUPPORTED,     415, "415-01",  "Unsupported Media Type")                   \
	X(UNPROCESSABLE,   422, "422-01",  "Unprocessable Entity")                     \
	X(RATE,            429, "429-01",  "Too Many Requests")                        \
	X(INTERNAL,        500, "500-01",  "Internal server error")                    \
	X(UNAVAILABLE,     503, "503-01",  "Service Unavailable")                      \
	X(NOMEM,           503, "503-01",  "out of memory")                            \
	X(BUSY,            503, "503-01",  "busy")            /* queue full, claimed elsewhere */ \
	X(RETRY,           503, "503-01",  "not known yet")   /* ask again in a moment */ \
	X(TIMEOUT,         503, "503-01",  "timed out")                                \
	X(CLOSED,          503, "503-01",  "peer is gone")                             \
	X(IO,              503, "503-01",  "input/output error")                       \
	X(PROTOCOL,        400, "400-01",  "protocol error")
/* clang-format on */

enum err {
#define X(name, http, code, text) ERR_##name,
	ERR_LIST(X)
#undef X
		ERR_COUNT
};

const char *err_name(enum err e); /* "NOT_FOUND": the wire name on the control link */
const char *err_code(enum err e); /* "404-01" */
const char *err_text(enum err e);
int err_http(enum err e);
/* The wire name back; false if it is none. */
bool err_from_name(const char *name, enum err *out);
/* errno at a gatekeeper. */
enum err err_from_errno(int errnum);

/* A failure told to a person: what is wrong and where.  Caller's memory; pass NULL to not care.
 * where: JSON path ("/sip/returnUri"), "file:line", or "". */
struct fault {
	char where[160];
	char what[320];
};
PRINTF(3, 4) void fault_set(struct fault *f, const char *where, const char *fmt, ...);

/* A deliberate ignore, greppable. */
static inline void
ignore_err(enum err e)
{
	(void)e;
}

#endif
