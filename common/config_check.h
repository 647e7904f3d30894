/* config_check.h - what rows cannot say: rules between values.  Private to config*.c. */
#ifndef COMMON_CONFIG_CHECK_H
#define COMMON_CONFIG_CHECK_H

#include "common/config_rows.h"

/* Also resolves what depends on several keys (agents of accounts, the path of the database).
 * root gives the lines.  false: r->f is set. */
MUST_USE bool config_check(struct creader *r, struct config *c, const struct ynode *root);

#endif
