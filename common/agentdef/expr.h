/* expr.h - the small Jinja subset of the contract (2.3): expressions and templates, one
 * implementation.  Values are JSON.  Total: compile limits size and nesting, evaluation is bounded
 * by EXPR_STEPS_MAX and output by TMPL_OUT_MAX; no loops, no calls but .get(), filters from a
 * table.
 *
 * Context: an object whose members are the root names (vars, input_vars, function_responses,
 * params, val, current_datetime, channel_type, resumed, call).  An unknown name or key is none,
 * which renders as "".  A .get() path may be dotted ("customer.plan").
 * Thread: compiled objects are const and may be shared. */
#ifndef COMMON_AGENTDEF_EXPR_H
#define COMMON_AGENTDEF_EXPR_H

#include <jansson.h>

#include "common/base.h"
#include "common/err.h"

#define EXPR_TEXT_MAX  4096
#define EXPR_DEPTH_MAX 32
#define EXPR_STEPS_MAX 10000
#define TMPL_OUT_MAX   (64u * 1024)

struct expr;      /* "not vars.get('x') and params.n|length > 2" */
struct tmpl;      /* text with {{ }}, {% if/elif/else/endif %}, {%- -%}, {# #} */
struct tmpl_json; /* a JSON value whose strings are templates; one that is a single {{ }} keeps its
		     type */

/* f->what says column and problem; f->where is left alone. NULL on error. */
struct expr *expr_compile(const char *text, struct fault *f);
void expr_destroy(struct expr *e);
/* New reference in *out (json null for none); ERR_INVALID with f set on a type error. */
MUST_USE enum err
expr_eval(const struct expr *e, const json_t *context, json_t **out, struct fault *f);
/* Jinja truth of a value. */
bool expr_truth(const json_t *v);

struct tmpl *tmpl_compile(const char *text, struct fault *f);
void tmpl_destroy(struct tmpl *t);
/* malloced text, or NULL with f set. */
char *tmpl_render(const struct tmpl *t, const json_t *context, struct fault *f);

struct tmpl_json *tmpl_json_compile(const json_t *value, struct fault *f);
void tmpl_json_destroy(struct tmpl_json *t);
MUST_USE enum err
tmpl_json_render(const struct tmpl_json *t, const json_t *context, json_t **out, struct fault *f);

/* A value as the contract writes it into a string map: string as it is, others as JSON text;
 * NULL for none (the key is dropped). malloced. */
char *expr_value_text(const json_t *v);

#endif
