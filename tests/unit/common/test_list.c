#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/list.h"

struct item {
	struct list node;
	int number;
};

static int
sum_in_order(struct list *head)
{
	int digits = 0;

	list_each(it, head) digits = digits * 10 + container_of(it, struct item, node)->number;
	return digits;
}

static void
appends_inserts_and_removes(void **state)
{
	struct item i[4] = { { .number = 1 }, { .number = 2 }, { .number = 3 }, { .number = 4 } };
	struct list head;

	(void)state;
	list_init(&head);
	assert_true(list_empty(&head));
	assert_null(list_pop(&head));
	for (int k = 0; k < 3; k++)
		list_append(&head, &i[k].node);
	list_insert_before(&i[1].node, &i[3].node);
	assert_int_equal(sum_in_order(&head), 1423);
	assert_true(list_linked(&i[3].node));
	list_remove(&i[3].node);
	list_remove(&i[3].node);
	assert_false(list_linked(&i[3].node));
	assert_int_equal(sum_in_order(&head), 123);
	assert_ptr_equal(list_pop(&head), &i[0].node);
	assert_int_equal(sum_in_order(&head), 23);
	list_append(&head, &i[0].node);
	assert_int_equal(sum_in_order(&head), 231);
}

static void
the_body_may_remove_its_own(void **state)
{
	struct item i[3] = { { .number = 1 }, { .number = 2 }, { .number = 3 } };
	struct list head;
	int seen = 0;

	(void)state;
	list_init(&head);
	for (int k = 0; k < 3; k++)
		list_append(&head, &i[k].node);
	list_each(it, &head)
	{
		list_remove(it);
		seen++;
	}
	assert_int_equal(seen, 3);
	assert_true(list_empty(&head));
}

static void
zeroed_is_in_no_list(void **state)
{
	struct item zero = { 0 };

	(void)state;
	assert_false(list_linked(&zero.node));
	list_remove(&zero.node);
	assert_true(list_empty(&zero.node));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends_inserts_and_removes),
		cmocka_unit_test(the_body_may_remove_its_own),
		cmocka_unit_test(zeroed_is_in_no_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
