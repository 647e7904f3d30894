/* context.h - what a returned call carries in header mode (DESIGN.md 6): conversation id, type of
 * the transfer and variables, as headers of the return URI and as header lines.
 *
 * Both forms carry the same within one budget, which counts the URI form: everything after its
 * '?', encoded.  The two fixed parameters always go; then transfer variables, then reference
 * variables, each in its order.  The first that does not fit ends the list; no value is ever cut.
 * A control character becomes a space in a value and '_' in a name.  Pure; any thread. */
#ifndef COMMON_CONTEXT_H
#define COMMON_CONTEXT_H

#include <jansson.h>

#include "common/base.h"
#include "common/err.h"

#define CONTEXT_BUDGET 1024 /* bytes */
/* The two fixed ones, and variables of one letter without a value: "&X-GA-tv-a=". */
#define CONTEXT_HEADERS_MAX (2 + CONTEXT_BUDGET / 11)

enum context_class { CONTEXT_TRANSFER, CONTEXT_REFERENCE, CONTEXT_CLASS_COUNT };

struct context_input {
	const char *conversation;  /* X-GA-extConId */
	const char *transfer_type; /* X-GA-transfer: "AGENT", "SYSTEM" */
	/* Objects, or NULL.  Values that are not strings go as JSON text; null drops its key. */
	const json_t *transfer_variables, *reference_variables;
	const char *uri; /* return URI; NULL (BYE): header lines only */
};

/* One header line.  The name is a token: what a token cannot hold is '_' in it.  The value has no
 * control character; beyond ASCII it is as it came, UTF-8. */
struct context_header {
	char *name, *value;
};

struct context {
	char *refer_to; /* "<URI?…>", the URI byte for byte; "<URI>" for tel; NULL without a URI */
	struct context_header headers[CONTEXT_HEADERS_MAX];
	size_t header_count;
	size_t used; /* of CONTEXT_BUDGET; more only when the fixed part alone is larger */
	size_t dropped_count;
	/* For the timeline and REST: { budget, used, kept: [{name, class, bytes}], droppedCount,
	 * dropped: [{name, class, bytes, reason}], changed: [{name, class, what}], warning? }.
	 * bytes is what a variable costs with its '&'; dropped lists the first CONTEXT_LISTED. */
	json_t *report;
};

#define CONTEXT_LISTED 100

/* Fills *out (context_finish() it).  INVALID, with f set: a URI that is none or could not stand
 * within <>; NOMEM.  On error *out is empty. */
MUST_USE enum err
context_make(const struct context_input *in, struct context *out, struct fault *f);
void context_finish(struct context *c); /* zeroed is fine */

/* API mode: "<URI>", nothing added.  malloced; NULL: no memory. uri: uri_is_clean(). */
char *context_bare(const char *uri);

/* What the fixed part takes of the budget, headers of the URI included. */
size_t context_fixed_cost(const struct context_input *in);
/* What a variable takes beside its encoded value: "&X-GA-tv-NAME=". */
size_t context_name_cost(enum context_class class, const char *name);

#endif
