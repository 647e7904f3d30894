/* yaml.h - YAML text to a tree that remembers lines (libyaml behind it; the only user of yaml.h).
 * Anchors, tags, merge keys and multiple documents are refused; duplicate keys are refused;
 * depth and node count are limited.  ${NAME} and ${NAME:-default} in plain and quoted scalars are
 * replaced from the environment when `env` is true ($$ is $). */
#ifndef COMMON_YAML_H
#define COMMON_YAML_H

#include <jansson.h>

#include "common/base.h"
#include "common/err.h"

enum ynode_kind { Y_SCALAR, Y_SEQ, Y_MAP };

struct ynode {
	enum ynode_kind kind;
	int line;             /* 1-based */
	char *text;           /* scalar */
	bool quoted;          /* scalar was quoted or a block: always a string */
	struct ynode **items; /* seq: values; map: values */
	struct ynode **keys;  /* map: scalar keys, same index */
	size_t count;
};

struct ynode *yaml_parse(const char *text, size_t len, const char *name, bool env, struct fault *f);
void yaml_destroy(struct ynode *n);
struct ynode *yaml_get(const struct ynode *map, const char *key); /* NULL: absent */
/* Core-schema typing of plain scalars (null, true/false, integers, reals), the rest strings. */
json_t *yaml_to_json(const struct ynode *n);

#endif
