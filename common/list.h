/* list.h - intrusive doubly linked list.  A head says in a comment what it holds.
 * A zeroed node is "in no list"; list_remove() of it is fine. */
#ifndef COMMON_LIST_H
#define COMMON_LIST_H

#include "common/base.h"

struct list {
	struct list *prev, *next;
};

static inline void
list_init(struct list *head)
{
	head->prev = head->next = head;
}

static inline bool
list_empty(const struct list *head)
{
	return head->next == head || !head->next;
}

static inline bool
list_linked(const struct list *node)
{
	return node->next != NULL;
}

static inline void
list_insert_before(struct list *at, struct list *node)
{
	node->prev = at->prev;
	node->next = at;
	at->prev->next = node;
	at->prev = node;
}

/* Appends; head must be initialised, node in no list. */
static inline void
list_append(struct list *head, struct list *node)
{
	list_insert_before(head, node);
}

static inline void
list_remove(struct list *node)
{
	if (!node->next)
		return;
	node->prev->next = node->next;
	node->next->prev = node->prev;
	node->prev = node->next = NULL;
}

static inline struct list *
list_pop(struct list *head)
{
	struct list *node = head->next;

	if (list_empty(head))
		return NULL;
	list_remove(node);
	return node;
}

/* `next` is saved, so the body may remove `it`. */
#define list_each(it, head)                                                       \
	for (struct list *it = (head)->next, *it##_next = it->next; it != (head); \
	     it = it##_next, it##_next = it->next)

#endif
