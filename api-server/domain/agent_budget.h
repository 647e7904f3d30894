/* agent_budget.h - how much of the context budget an agent's names take before any value is known,
 * so that an operator sees beforehand what may be dropped.  Pure; any thread. */
#ifndef API_SERVER_DOMAIN_AGENT_BUDGET_H
#define API_SERVER_DOMAIN_AGENT_BUDGET_H

#include <jansson.h>

#include "common/agentdef/agentdef.h"

/* With that conversation id and return URI (NULL: none).  New object (schema ContextBudget);
 * NULL: no memory. */
json_t *agent_budget_json(const struct agentdef *a, const char *conversation, const char *uri);

#endif
