/* agentdef_read.h - reading an agent's file by tables: one row a key.  Private to agentdef*.c. */
#ifndef COMMON_AGENTDEF_AGENTDEF_READ_H
#define COMMON_AGENTDEF_AGENTDEF_READ_H

#include "common/agentdef/agentdef.h"
#include "common/str.h"
#include "common/yaml.h"

#define LIST_MAX 1000 /* items of one list */

struct areader {
	const char *name; /* of the file, for messages */
	struct fault *f;
	struct agentdef *def;
	const struct agent_task *task; /* being read: its functions are known */
};

struct akey {
	const char *name;
	/* The value into the place at `offset` of the struct; false: f is set. */
	bool (*read)(struct areader *r, const struct akey *k, const struct ynode *n, void *at);
	size_t offset;
	bool required;
	const char *const *names; /* read_choice: what may stand there */
};

/* Always false: "KEY: what" at the node's line. */
PRINTF(4, 5)
bool areader_fail(struct areader *r, const struct ynode *n, const char *key, const char *fmt, ...);

/* The map n into base: rows in their order, then unknown keys, then missing ones.
 * what: "a task", for messages. */
MUST_USE bool read_map(struct areader *r, const struct ynode *n, const char *what,
		       const struct akey *keys, size_t count, void *base);
/* The items of the list n, one struct of `size` each: allocated, zeroed, then read. */
struct alist {
	void *items;
	size_t count;
};
MUST_USE bool
read_list(struct areader *r, const struct akey *k, const struct ynode *n, size_t size,
	  bool (*read)(struct areader *r, const struct ynode *n, void *item), struct alist *out);

bool read_text(struct areader *r, const struct akey *k, const struct ynode *n, void *at);
bool read_name(struct areader *r, const struct akey *k, const struct ynode *n, void *at);
bool read_token(struct areader *r, const struct akey *k, const struct ynode *n, void *at);
bool read_choice(struct areader *r, const struct akey *k, const struct ynode *n, void *at);
bool read_word(struct areader *r, const struct akey *k, const struct ynode *n, void *at);
bool read_bool(struct areader *r, const struct akey *k, const struct ynode *n, void *at);
bool read_times(struct areader *r, const struct akey *k, const struct ynode *n, void *at);
bool read_duration(struct areader *r, const struct akey *k, const struct ynode *n, void *at);
bool read_template(struct areader *r, const struct akey *k, const struct ynode *n, void *at);
bool read_expression(struct areader *r, const struct akey *k, const struct ynode *n, void *at);
bool read_json(struct areader *r, const struct akey *k, const struct ynode *n, void *at);
bool read_schema(struct areader *r, const struct akey *k, const struct ynode *n, void *at);
bool read_dtmf(struct areader *r, const struct akey *k, const struct ynode *n, void *at);
bool read_keypath(struct areader *r, const struct akey *k, const struct ynode *n, void *at);

/* Functions (agentdef_function.c) and tasks (agentdef_task.c). */
bool read_functions(struct areader *r, const struct akey *k, const struct ynode *n, void *at);
bool read_tasks(struct areader *r, const struct akey *k, const struct ynode *n, void *at);
void function_finish(struct agent_function *fn);
void task_finish(struct agent_task *t);

/* Is the schema one that agentdef_check_args() understands?  what: 160 bytes for the reason. */
bool schema_is_good(const json_t *schema, char *what, size_t size);
/* `with` as far as it is known before a call: arguments that hold {{ or {% are taken for good. */
MUST_USE enum err
check_static_args(const struct agent_function *fn, const json_t *with, struct fault *f);

#endif
