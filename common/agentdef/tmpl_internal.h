/* tmpl_internal.h - templates as parts of something larger: one evaluation, one budget. */
#ifndef COMMON_AGENTDEF_TMPL_INTERNAL_H
#define COMMON_AGENTDEF_TMPL_INTERNAL_H

#include "common/agentdef/expr_internal.h"

/* malloced; NULL: e says why. */
char *tmpl_render_in(const struct tmpl *t, struct eval *e);
/* Is it a single {{ }}?  Then this is its value, of whatever type; new reference. */
bool tmpl_is_value(const struct tmpl *t);
json_t *tmpl_value_in(const struct tmpl *t, struct eval *e);

#endif
