/* Control link, outbox and spool against a scripted api-server on a real socket: what must arrive
 * arrives, through lost replies, cut links and a restart of either side. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/ipc.h"
#include "common/log.h"
#include "common/str.h"
#include "sip-worker/outbox.h"
#include "tests/fakes/tmpdir.h"

/* --- the scripted api-server --- */

static struct loop *loop;
static int listen_fd = -1;
static struct loop_io listen_io;
static struct ipc *peer;
static char seen[8192];    /* "hello transfer.complete …" */
static char lost_call[64]; /* what hello's answer gives up */
static bool answer, busy;  /* answer requests; with UNAVAILABLE */
static bool hello_taken;

static void
peer_gone(struct ipc *c, enum err why, void *arg)
{
	(void)why, (void)arg;
	ipc_close(c);
	if (peer == c)
		peer = NULL;
}

static void
peer_message(struct ipc *c, json_t *msg, void *arg)
{
	struct msg_head head;
	struct fault f = { 0 };
	json_t *reply = NULL;

	(void)arg;
	assert_int_equal(msg_open(msg, MSG_UP, &head, &f), ERR_OK);
	if (head.type == MSG_HEARTBEAT)
		return;
	snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%s ",
		 msg_table[head.type].wire);
	if (head.type == MSG_HELLO) {
		struct msg_hello_reply r = { .port_first = 30000, .port_last = 30009 };

		r.lost = lost_call[0] ? json_pack("[s]", lost_call) : json_array();
		reply = msg_reply(MSG_HELLO, head.id, hello_taken ? ERR_CONFLICT : ERR_OK,
				  hello_taken ? NULL : &r);
		json_decref(r.lost);
	} else if (answer) {
		reply = msg_reply(head.type, head.id, busy ? ERR_UNAVAILABLE : ERR_OK, NULL);
	}
	if (reply)
		assert_int_equal(ipc_send(c, reply), ERR_OK);
	json_decref(reply);
}

static void
on_accept(struct loop_io *io, uint32_t events)
{
	static const struct ipc_ops ops = { .message = peer_message, .gone = peer_gone };
	int fd = ipc_accept(listen_fd);

	(void)io, (void)events;
	if (fd >= 0)
		peer = ipc_open(loop, fd, &ops, NULL);
}

/* --- the worker's side --- */

static struct config cfg;
static char dir[64], socket_path[96];
static struct mailbox *mailbox;
static struct spool *spool;
static struct control *control;
static struct outbox *outbox;
static char given_up[64];
static int ups, downs, done_ok, done_other;

static void
on_hello(void *app, struct msg_hello *h)
{
	(void)app;
	h->capacity = 10;
	h->addresses = json_array();
	h->calls = json_array();
	if (outbox)
		outbox_list_claims(outbox, h->calls);
}

static void
on_beat(void *app, struct msg_heartbeat *h)
{
	(void)app;
	h->counters = json_object();
}

static void
on_up(void *app, const struct msg_hello_reply *r)
{
	(void)app;
	ups++;
	assert_int_equal(r->port_first, 30000);
	if (json_array_size(r->lost))
		str_copy(given_up, sizeof(given_up), json_string_value(json_array_get(r->lost, 0)));
	outbox_link_up(outbox);
}

static void
on_down(void *app)
{
	(void)app;
	downs++;
	outbox_link_down(outbox);
}

static void
on_done(void *arg, enum err e)
{
	(void)arg;
	if (e == ERR_OK)
		done_ok++;
	else
		done_other++;
}

static const struct control_ops ops = {
	.hello = on_hello, .heartbeat = on_beat, .up = on_up, .down = on_down
};

/* Steps until the condition holds; a bound of 5 s instead of a sleep. */
#define UNTIL(cond)                                      \
	do {                                             \
		int64_t end = clock_mono_ms() + 5000;    \
		while (!(cond) && clock_mono_ms() < end) \
			loop_step(loop, 10);             \
		assert_true(cond);                       \
	} while (0)

static void
open_server(void)
{
	struct fault f = { 0 };

	listen_fd = ipc_listen(socket_path, &f);
	assert_true(listen_fd >= 0);
	assert_int_equal(loop_watch(loop, &listen_io, listen_fd, EPOLLIN, on_accept), ERR_OK);
}

static void
close_server(void)
{
	if (peer) {
		ipc_close(peer);
		peer = NULL;
	}
	if (listen_fd >= 0) {
		loop_unwatch(loop, &listen_io);
		close(listen_fd);
		unlink(socket_path);
		listen_fd = -1;
	}
}

static void
open_worker(void)
{
	struct fault f = { 0 };

	mailbox = mailbox_create(1024);
	assert_int_equal(mailbox_attach(mailbox, loop), ERR_OK);
	spool = spool_open(dir, "w1", mailbox, &f);
	if (!spool)
		fail_msg("%s", f.what);
	control = control_create(loop, &cfg, &ops, NULL);
	outbox = outbox_create(loop, control, spool);
	outbox_recover(outbox);
	control_start(control);
}

static void
close_worker(void)
{
	control_destroy(control);
	outbox_destroy(outbox);
	outbox = NULL;
	spool_close(spool);
	mailbox_detach(mailbox);
	mailbox_destroy(mailbox, NULL);
}

static int
setup(void **state)
{
	(void)state;
	tmpdir_make(dir, sizeof(dir));
	str_print(socket_path, sizeof(socket_path), "%s/control.sock", dir);
	memset(&cfg, 0, sizeof(cfg));
	cfg.control.socket = socket_path;
	cfg.control.heartbeat_ms = 50;
	cfg.worker.name = (char *)(uintptr_t) "w1";
	loop = loop_create();
	seen[0] = lost_call[0] = given_up[0] = '\0';
	answer = true;
	busy = hello_taken = false;
	ups = downs = done_ok = done_other = 0;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	close_worker();
	close_server();
	loop_destroy(loop);
	tmpdir_remove(dir);
	return 0;
}

static void
put_complete(int n)
{
	struct msg_complete m = { .at = 1 };

	str_print(m.call, sizeof(m.call), "call%d", n);
	str_print(m.token, sizeof(m.token), "token%d", n);
	str_copy(m.reason, sizeof(m.reason), "function");
	assert_int_equal(outbox_put(outbox, MSG_COMPLETE, &m, on_done, &cfg), ERR_OK);
}

static int
spooled_files(void)
{
	char name[128];
	int n = 0;

	for (int i = 0; i < 20; i++) {
		str_print(name, sizeof(name), "%s/w1/%d.json", dir, i);
		n += access(name, F_OK) == 0;
	}
	return n;
}

static void
test_delivers(void **state)
{
	(void)state;
	open_server();
	open_worker();
	UNTIL(ups == 1);
	put_complete(1);
	UNTIL(done_ok == 1);
	assert_string_equal(seen, "hello transfer.complete ");
	assert_int_equal(outbox_count(outbox), 0);
	assert_int_equal(spooled_files(), 0);
}

/* No api-server at all, then our own death: the next process delivers from the disk. */
static void
test_spool_survives(void **state)
{
	(void)state;
	open_worker();
	put_complete(1);
	put_complete(2);
	UNTIL(spooled_files() == 2);
	close_worker();
	open_server();
	open_worker();
	assert_int_equal(outbox_count(outbox), 2);
	UNTIL(outbox_count(outbox) == 0);
	assert_string_equal(seen, "hello transfer.complete transfer.complete ");
	UNTIL(spooled_files() == 0);
}

/* The reply is lost with the link: asked again, and its token is in hello so that it is not reaped.
 */
static void
test_resends_after_cut(void **state)
{
	(void)state;
	open_server();
	open_worker();
	UNTIL(ups == 1);
	answer = false;
	put_complete(1);
	UNTIL(strstr(seen, "transfer.complete"));
	assert_int_equal(done_ok, 0);
	answer = true;
	ipc_close(peer);
	peer = NULL;
	UNTIL(done_ok == 1);
	assert_int_equal(downs, 1);
	assert_int_equal(ups, 2);
	assert_string_equal(seen, "hello transfer.complete hello transfer.complete ");
	UNTIL(spooled_files() == 0);
}

/* A store that cannot just now is asked again; nothing is thrown away. */
static void
test_unavailable_is_retried(void **state)
{
	(void)state;
	open_server();
	open_worker();
	UNTIL(ups == 1);
	busy = true;
	put_complete(1);
	UNTIL(strstr(seen, "transfer.complete transfer.complete"));
	busy = false;
	UNTIL(done_ok == 1);
	assert_int_equal(done_other, 0);
}

static void
test_hello_refused_then_taken(void **state)
{
	(void)state;
	hello_taken = true;
	open_server();
	open_worker();
	UNTIL(strstr(seen, "hello hello"));
	assert_int_equal(ups, 0);
	hello_taken = false;
	str_copy(lost_call, sizeof(lost_call), "gone-call");
	UNTIL(ups == 1);
	assert_string_equal(given_up, "gone-call");
}

/* Reports are many and may go; outcomes may not. */
static void
test_limit_spares_the_vital(void **state)
{
	struct msg_report m = { .events = json_array() };

	(void)state;
	open_worker();
	put_complete(1);
	for (int i = 0; i < OUTBOX_MAX + 50; i++)
		assert_int_equal(outbox_put(outbox, MSG_REPORT, &m, NULL, NULL), ERR_OK);
	json_decref(m.events);
	assert_int_equal(outbox_count(outbox), OUTBOX_MAX + 1);
	assert_int_equal(outbox_dropped(outbox), 50);
	open_server();
	UNTIL(done_ok == 1);
	UNTIL(outbox_count(outbox) == 0);
}

static void
test_spool_now(void **state)
{
	(void)state;
	open_server();
	open_worker();
	UNTIL(ups == 1);
	answer = false;
	put_complete(1);
	assert_false(outbox_spool_now(outbox, &loop, NULL, NULL)); /* nobody's */
	assert_true(outbox_spool_now(outbox, &cfg, NULL, NULL));
	UNTIL(spooled_files() == 1);
	assert_false(outbox_spool_now(outbox, &cfg, NULL, NULL)); /* there already */
}

/* A folder belongs to one process. */
static void
test_spool_is_locked(void **state)
{
	struct fault f = { 0 };

	(void)state;
	open_worker();
	assert_null(spool_open(dir, "w1", mailbox, &f));
	assert_non_null(strstr(f.what, "in use"));
}

/* Rubbish in the folder is passed over, not delivered and not fatal. */
static void
test_bad_spool_files(void **state)
{
	char path[128];
	int fd;

	(void)state;
	open_worker();
	close_worker();
	str_print(path, sizeof(path), "%s/w1/3.json", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, "{\"v\":1,\"t\":\"hello\"", 18), 18);
	close(fd);
	open_server();
	open_worker();
	assert_int_equal(outbox_count(outbox), 0);
	UNTIL(ups == 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_delivers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_spool_survives, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resends_after_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unavailable_is_retried, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hello_refused_then_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limit_spares_the_vital, setup, teardown),
		cmocka_unit_test_setup_teardown(test_spool_now, setup, teardown),
		cmocka_unit_test_setup_teardown(test_spool_is_locked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_spool_files, setup, teardown),
	};

	log_init("test");
	log_set_level(LOG_ERR + 1);
	assert(id_init());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
