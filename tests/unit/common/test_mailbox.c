#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/loop.h"
#include "common/mailbox.h"
#include "tests/fakes/oom.h"

struct numbered {
	struct task task;
	int poster, number;
};

static int ran, dropped, last;

static void
on_task(struct task *t)
{
	struct numbered *n = container_of(t, struct numbered, task);

	assert_int_equal(n->number, last + 1);
	last = n->number;
	ran++;
}

static void
on_drop(struct task *t)
{
	(void)t;
	dropped++;
}

static int
reset(void **state)
{
	(void)state;
	ran = dropped = last = 0;
	return 0;
}

static bool
readable(const struct mailbox *m)
{
	struct pollfd p = { .fd = mailbox_fd(m), .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void
number(struct numbered *t, int count)
{
	for (int i = 0; i < count; i++)
		t[i] = (struct numbered){ .task.run = on_task, .number = i + 1 };
}

static void
full_is_said_and_order_kept(void **state)
{
	struct mailbox *m = mailbox_create(4);
	struct numbered t[9];

	(void)state;
	number(t, 9);
	assert_false(mailbox_pending(m));
	for (int i = 0; i < 4; i++)
		assert_int_equal(mailbox_post(m, &t[i].task), ERR_OK);
	assert_int_equal(mailbox_post(m, &t[4].task), ERR_BUSY);
	assert_true(mailbox_pending(m));
	assert_int_equal(mailbox_drain(m, 1), 1);
	assert_int_equal(mailbox_post(m, &t[4].task), ERR_OK);
	assert_int_equal(mailbox_post(m, &t[5].task), ERR_BUSY);
	assert_int_equal(mailbox_drain(m, 0), 4);
	assert_int_equal(last, 5);
	assert_int_equal(mailbox_drain(m, 0), 0);
	for (int i = 5; i < 9; i++)
		assert_int_equal(mailbox_post(m, &t[i].task), ERR_OK);
	mailbox_destroy(m, on_drop);
	assert_int_equal(dropped, 4);
	mailbox_destroy(NULL, NULL);
}

static void
leftovers_are_freed(void **state)
{
	struct mailbox *m = mailbox_create(2);
	struct task *t = calloc(1, sizeof(*t));

	(void)state;
	assert_int_equal(mailbox_post(m, t), ERR_OK);
	mailbox_destroy(m, NULL); /* the address sanitizer would tell */
}

static void
the_descriptor_is_readable_only_when_it_must(void **state)
{
	struct mailbox *m = mailbox_create(8);
	struct numbered t[5];
	uint64_t count;

	(void)state;
	number(t, 5);
	assert_false(readable(m));
	assert_int_equal(mailbox_post(m, &t[0].task), ERR_OK);
	assert_true(readable(m));
	/* The receiver is awake now: the next post writes nothing. */
	assert_int_equal(read(mailbox_fd(m), &count, sizeof(count)), 8);
	assert_int_equal(mailbox_post(m, &t[1].task), ERR_OK);
	assert_false(readable(m));
	assert_int_equal(mailbox_drain(m, 0), 2);
	assert_false(readable(m));
	assert_int_equal(mailbox_post(m, &t[2].task), ERR_OK);
	assert_int_equal(mailbox_post(m, &t[3].task), ERR_OK);
	assert_true(readable(m));
	/* What a limited drain leaves keeps the descriptor readable. */
	assert_int_equal(mailbox_drain(m, 1), 1);
	assert_true(readable(m));
	assert_int_equal(mailbox_drain(m, 1), 1);
	assert_false(readable(m));
	assert_int_equal(mailbox_post(m, &t[4].task), ERR_OK);
	assert_true(readable(m));
	assert_int_equal(mailbox_drain(m, 0), 1);
	assert_false(readable(m));
	mailbox_destroy(m, NULL);
}

static void
quiet_posts_wake_once(void **state)
{
	struct mailbox *m = mailbox_create(4);
	struct numbered t[2];

	(void)state;
	number(t, 2);
	assert_int_equal(mailbox_post_quietly(m, &t[0].task), ERR_OK);
	assert_int_equal(mailbox_post_quietly(m, &t[1].task), ERR_OK);
	assert_true(mailbox_pending(m));
	assert_false(readable(m));
	mailbox_wake(m);
	assert_true(readable(m));
	assert_int_equal(mailbox_drain(m, 0), 2);
	assert_false(readable(m));
	mailbox_destroy(m, NULL);
}

static struct mailbox *again_box;
static struct numbered again_task;

static void
on_again(struct task *t)
{
	ran++;
	if (ran < 3)
		assert_int_equal(mailbox_post(again_box, t), ERR_OK);
}

static void
a_task_posts_itself_for_later(void **state)
{
	(void)state;
	again_box = mailbox_create(2);
	again_task.task.run = on_again;
	assert_int_equal(mailbox_post(again_box, &again_task.task), ERR_OK);
	assert_int_equal(mailbox_drain(again_box, 0), 1);
	assert_true(readable(again_box));
	assert_int_equal(mailbox_drain(again_box, 0), 1);
	assert_int_equal(mailbox_drain(again_box, 0), 1);
	assert_false(readable(again_box));
	mailbox_destroy(again_box, NULL);
}

static void
a_loop_drains_it(void **state)
{
	struct loop *l = loop_create();
	struct mailbox *m = mailbox_create(8);
	struct numbered t[3];

	(void)state;
	number(t, 3);
	assert_int_equal(mailbox_post(m, &t[0].task), ERR_OK); /* before anybody listens */
	assert_int_equal(mailbox_attach(m, l), ERR_OK);
	loop_step(l, 0);
	assert_int_equal(ran, 1);
	assert_int_equal(mailbox_post(m, &t[1].task), ERR_OK);
	loop_step(l, 0);
	assert_int_equal(ran, 2);
	mailbox_detach(m);
	mailbox_detach(m);
	assert_int_equal(mailbox_post(m, &t[2].task), ERR_OK);
	loop_step(l, 0);
	assert_int_equal(ran, 2);
	mailbox_destroy(m, on_drop);
	assert_int_equal(dropped, 1);
	loop_destroy(l);
}

/* --- several threads --- */

#define POSTERS 4
#define EACH    5000

struct poster {
	pthread_t thread;
	struct mailbox *m;
	struct numbered *tasks;
	int busy;
};

static int expected[POSTERS];

static void
on_threaded(struct task *t)
{
	struct numbered *n = container_of(t, struct numbered, task);

	/* Order per poster is kept. */
	assert_int_equal(n->number, expected[n->poster]);
	expected[n->poster]++;
	ran++;
}

static void *
post_all(void *arg)
{
	struct poster *p = arg;

	for (int i = 0; i < EACH; i++) {
		while (mailbox_post(p->m, &p->tasks[i].task) == ERR_BUSY) {
			p->busy++;
			sched_yield();
		}
		if (i % 97 == 0)
			usleep(50); /* lets the receiver fall asleep: wake-ups are tested too */
	}
	return NULL;
}

static void
from_threads(size_t slots, bool by_loop)
{
	struct mailbox *m = mailbox_create(slots);
	struct loop *l = loop_create();
	struct poster p[POSTERS] = { 0 };

	memset(expected, 0, sizeof(expected));
	if (by_loop)
		assert_int_equal(mailbox_attach(m, l), ERR_OK);
	for (int i = 0; i < POSTERS; i++) {
		p[i].m = m;
		p[i].tasks = calloc(EACH, sizeof(*p[i].tasks));
		for (int k = 0; k < EACH; k++)
			p[i].tasks[k] = (struct numbered){ { on_threaded }, i, k };
		assert_int_equal(pthread_create(&p[i].thread, NULL, post_all, &p[i]), 0);
	}
	while (ran < POSTERS * EACH) {
		int before = ran;
		struct pollfd fd = { .fd = mailbox_fd(m), .events = POLLIN };

		if (by_loop)
			loop_step(l, 10000);
		else if (poll(&fd, 1, 10000) == 1)
			(void)mailbox_drain(m, 100);
		else
			assert_int_equal(ran, before + 1); /* slept though something came */
	}
	for (int i = 0; i < POSTERS; i++) {
		pthread_join(p[i].thread, NULL);
		free(p[i].tasks);
	}
	assert_false(mailbox_pending(m));
	mailbox_destroy(m, on_drop);
	assert_int_equal(dropped, 0);
	loop_destroy(l);
}

static void
threads_post_to_a_loop(void **state)
{
	(void)state;
	from_threads(1024, true);
}

static void
threads_post_to_a_small_box(void **state)
{
	(void)state;
	from_threads(2, true);
}

static void
threads_post_to_a_limited_receiver(void **state)
{
	(void)state;
	from_threads(64, false);
}

static bool
make_one(void *arg)
{
	struct mailbox *m = mailbox_create(8);

	(void)arg;
	mailbox_destroy(m, NULL);
	return m != NULL;
}

static void
survives_lack_of_memory(void **state)
{
	(void)state;
	assert_true(oom_run(make_one, NULL) >= 4);
}

static void
survives_lack_of_descriptors(void **state)
{
	struct rlimit old, tight;
	int first = dup(STDERR_FILENO); /* the lowest that is free */
	struct loop *l;
	struct mailbox *m;

	(void)state;
	close(first);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	/* A loop needs two, a mailbox one; what was opened on the way is closed again. */
	for (rlim_t extra = 0; extra <= 3; extra++) {
		tight = (struct rlimit){ (rlim_t)first + extra, old.rlim_max };
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
		l = loop_create();
		m = mailbox_create(2);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		assert_int_equal(l != NULL, extra >= 2);
		assert_int_equal(m != NULL, extra == 1 || extra >= 3);
		mailbox_destroy(m, NULL);
		loop_destroy(l);
		assert_int_equal(dup(STDERR_FILENO), first);
		close(first);
	}
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup(name, reset)
	const struct CMUnitTest tests[] = {
		T(full_is_said_and_order_kept),
		T(leftovers_are_freed),
		T(the_descriptor_is_readable_only_when_it_must),
		T(quiet_posts_wake_once),
		T(a_task_posts_itself_for_later),
		T(a_loop_drains_it),
		T(threads_post_to_a_loop),
		T(threads_post_to_a_small_box),
		T(threads_post_to_a_limited_receiver),
		T(survives_lack_of_memory),
		T(survives_lack_of_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
