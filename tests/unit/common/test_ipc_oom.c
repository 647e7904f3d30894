#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <sys/socket.h>

#include "common/ipc.h"
#include "common/log.h"
#include "tests/fakes/oom.h"

static size_t messages;

static void
on_quiet(struct ipc *c, json_t *msg, void *arg)
{
	(void)c;
	(void)msg;
	(void)arg;
	messages++;
}

static void
on_quietly_gone(struct ipc *c, enum err why, void *arg)
{
	(void)c;
	(void)why;
	(void)arg;
}

static const struct ipc_ops quiet = { on_quiet, on_quietly_gone };

static bool
exchange(void *arg)
{
	int p[2];
	struct loop *l = loop_create();
	struct ipc *a = NULL, *b = NULL;
	bool ok = false;

	if (!l)
		return false;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p) != 0)
		abort();
	messages = 0;
	a = ipc_open(l, p[0], &quiet, NULL);
	b = ipc_open(l, p[1], &quiet, NULL);
	if (a && b && ipc_send(a, arg) == ERR_OK && ipc_send(a, arg) == ERR_OK) {
		for (int i = 0; i < 20; i++)
			loop_step(l, 0);
		ok = messages == 2;
	}
	ipc_close(a);
	ipc_close(b);
	loop_destroy(l);
	return ok;
}

static void
survives_lack_of_memory(void **state)
{
	json_t *j = json_pack("{s:[s,s,s],s:i}", "list", "one", "two", "three", "n", 7);

	(void)state;
	log_set_level(LOG_ERR);
	assert_true(oom_run(exchange, j) > 20);
	json_decref(j);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(survives_lack_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
