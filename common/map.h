/* map.h - hash table from strings to pointers; keys are copied, values are borrowed.
 * SipHash with a random key per process, so that a peer cannot choose collisions.  One thread. */
#ifndef COMMON_MAP_H
#define COMMON_MAP_H

#include "common/base.h"

struct map;

struct map *map_create(void); /* NULL: no memory */
void map_destroy(struct map *m);
size_t map_count(const struct map *m);
void *map_find(const struct map *m, const char *key);
/* Inserts or replaces; false: no memory (nothing changed). value must not be NULL. */
MUST_USE bool map_put(struct map *m, const char *key, void *value);
/* Returns the removed value, NULL if there was none. */
void *map_remove(struct map *m, const char *key);
/* Calls fn for each; fn may remove the current key only.  fn returns false to stop. */
void map_each(struct map *m, bool (*fn)(const char *key, void *value, void *arg), void *arg);

#endif
