/* jfield.h - one table per JSON object, used for reading, writing and freeing its struct.
 * Unknown fields are ignored on reading (the other side may be newer); missing, mistyped and
 * out-of-range ones are refused by JSON path. */
#ifndef COMMON_JFIELD_H
#define COMMON_JFIELD_H

#include <jansson.h>

#include "common/base.h"
#include "common/err.h"

enum jtype {
	J_STR,  /* char[size]: longer is refused */
	J_TEXT, /* char *, malloced; up to `max` bytes (0: 64 KiB); NULL: absent; freed wiped */
	J_INT,  /* int64_t, min..max (both 0: any) */
	J_BOOL, /* bool */
	J_ENUM, /* int, index into names[] (NULL-terminated) */
	J_JSON, /* json_t *, owned reference; NULL: absent. Object or array unless J_ANY */
	J_ANY,  /* json_t *, any value */
};

struct jfield {
	const char *name;
	enum jtype type;
	bool required;
	size_t offset;
	size_t size;
	int64_t min, max;
	const char *const *names;
};

/* JF(struct s, member, J_STR, true) - the JSON name is the member's.  Ends with JF_END. */
/* clang-format off */
#define JF_AT(s, m, t, req) .name = #m, .type = (t), .required = (req), \
	.offset = offsetof(s, m), .size = sizeof(((s *)0)->m)
#define JF(s, m, t, req)          { JF_AT(s, m, t, req) }
#define JF_INT(s, m, req, lo, hi) { JF_AT(s, m, J_INT, req), .min = (lo), .max = (hi) }
#define JF_ENUM(s, m, req, tbl)   { JF_AT(s, m, J_ENUM, req), .names = (tbl) }
#define JF_END                    { .name = NULL }
/* clang-format on */

/* Fills the zeroed struct at out; on error everything taken is freed and f names the path
 * ("/body/transfer"; base is put in front).  json is borrowed; J_JSON members take a reference. */
MUST_USE enum err jfield_read(const struct jfield *fields, const json_t *json, const char *base,
			      void *out, struct fault *f);
/* New object, absent J_TEXT/J_JSON left out; NULL: no memory.  Bytes that are not UTF-8 (a peer's
 * header) are written as '?'. */
json_t *jfield_write(const struct jfield *fields, const void *in);
/* Frees J_TEXT and J_JSON members and zeroes them. */
void jfield_finish(const struct jfield *fields, void *obj);

/* Text to JSON: duplicate keys refused, depth at most 32, NUL refused, `len` bytes whole.
 * On error *out is untouched and f says what and where (line:column). */
#define JSON_DEPTH_MAX 32
MUST_USE enum err json_parse(const char *text, size_t len, json_t **out, struct fault *f);
/* The same with another depth: the control link wraps what came from outside in its own levels. */
MUST_USE enum err
json_parse_depth(const char *text, size_t len, unsigned depth, json_t **out, struct fault *f);
/* Would json_parse_depth() take this text for its depth and for NUL in strings?  One pass, for
 * a sender that must not send what the other side refuses.  Whether text is JSON at all it does not
 * say. */
bool json_shallow(const char *text, size_t len, unsigned depth);
/* Compact text, malloced; NULL: no memory. */
char *json_text(const json_t *j);

#endif
