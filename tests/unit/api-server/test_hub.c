/* The hub with a real store behind it and scripted workers on real sockets in front. */
#include "tests/unit/api-server/hub_kit.h"

static void
test_claim_answer_complete(void **state)
{
	struct peer p = { 0 };

	(void)state;
	create_transfer("t1", "c1");
	peer_open(&p, "w1");
	assert_string_equal(hello(&p, NULL, NULL), "OK");
	assert_int_equal(json_integer_value(reply_field(&p, "port_first")), 20000);
	assert_int_equal(hub_ready_workers(hub), 1);
	assert_string_equal(ask_claim(&p, "nope", "s1"), "NOT_FOUND");
	assert_string_equal(ask_claim(&p, "t1", "s1"), "OK");
	assert_string_equal(json_string_value(reply_field(&p, "conversation")), "c1");
	assert_string_equal(status_of("t1"), "ONGOING");
	struct msg_claim mine = claim;
	assert_string_equal(ask_claim(&p, "t1", "s2"), "BUSY");
	assert_string_equal(ask_complete(&p, &mine, "SYSTEM"), "OK");
	assert_string_equal(status_of("t1"), "COMPLETED {\"transferType\":\"SYSTEM\"}");
	assert_string_equal(ask_complete(&p, &mine, "SYSTEM"), "OK");
	assert_string_equal(ask_claim(&p, "t1", "s3"), "GONE");
	peer_close(&p);
}

static void
test_release_makes_it_active_again(void **state)
{
	struct peer p = { 0 };
	struct msg_release m = { .reason = "cancelled" };

	(void)state;
	create_transfer("t1", "c1");
	peer_open(&p, "w1");
	hello(&p, NULL, NULL);
	assert_string_equal(ask_claim(&p, "t1", "s1"), "OK");
	memcpy(m.call, claim.call, sizeof(m.call));
	memcpy(m.token, claim.token, sizeof(m.token));
	assert_string_equal(ask(&p, MSG_RELEASE, &m), "OK");
	assert_string_equal(status_of("t1"), "ACTIVE");
	assert_string_equal(ask_claim(&p, "t1", "s2"), "OK");
	peer_close(&p);
}

/* The sweep: nobody asks, and the row changes all the same. */
static void
test_expiry_sweep(void **state)
{
	struct peer p = { 0 };

	(void)state;
	cfg.transfers.expire_after_ms = 100;
	create_transfer("t1", "c1");
	UNTIL(str_eq(status_of("t1"), "EXPIRED"));
	peer_open(&p, "w1");
	hello(&p, NULL, NULL);
	assert_string_equal(ask_claim(&p, "t1", "s1"), "GONE");
	peer_close(&p);
}

/* A link that closes starts a lease; the same instance comes back and keeps its call. */
static void
test_lease_and_return(void **state)
{
	struct peer p = { 0 }, other = { 0 };

	(void)state;
	create_transfer("t1", "c1");
	peer_open(&p, "w1");
	hello(&p, NULL, NULL);
	assert_string_equal(ask_claim(&p, "t1", "s1"), "OK");
	struct msg_claim mine = claim;
	peer_close(&p);
	UNTIL(hub_ready_workers(hub) == 0);
	/* The name lives: another process may not have it yet. */
	peer_open(&other, "w1");
	assert_string_equal(hello(&other, NULL, NULL), "CONFLICT");
	peer_open(&p, "w1");
	assert_string_equal(hello(&p, mine.call, mine.token), "OK");
	assert_int_equal(json_array_size(reply_field(&p, "lost")), 0);
	assert_string_equal(status_of("t1"), "ONGOING");
	assert_string_equal(ask_complete(&p, &mine, "AGENT"), "OK");
	peer_close(&other);
	peer_close(&p);
}

/* It does not come back: COMPLETED without outputContext; then it does, learns so, and what it
 * knows still fills in, once. */
static void
test_lease_runs_out(void **state)
{
	struct peer p = { 0 };

	(void)state;
	create_transfer("t1", "c1");
	peer_open(&p, "w1");
	hello(&p, NULL, NULL);
	assert_string_equal(ask_claim(&p, "t1", "s1"), "OK");
	struct msg_claim mine = claim;
	json_t *events = json_pack("[{s:s,s:i,s:I,s:s,s:{}},{s:s,s:i,s:I,s:s,s:{}}]", "call",
				   mine.call, "seq", 1, "at", (json_int_t)clock_wall_ms(), "type",
				   "invite", "info", "call", mine.call, "seq", 2, "at",
				   (json_int_t)clock_wall_ms(), "type", "answered", "info");
	struct msg_report report = { .events = events };
	assert_string_equal(ask(&p, MSG_REPORT, &report), "OK");
	json_decref(events);
	peer_close(&p);
	UNTIL(str_eq(status_of("t1"), "COMPLETED"));
	peer_open(&p, "w1");
	assert_string_equal(hello(&p, mine.call, mine.token), "OK");
	assert_string_equal(json_string_value(json_array_get(reply_field(&p, "lost"), 0)),
			    mine.call);
	assert_string_equal(ask_complete(&p, &mine, "SYSTEM"), "OK");
	assert_string_equal(status_of("t1"), "COMPLETED {\"transferType\":\"SYSTEM\"}");
	peer_close(&p);
}

/* A worker that is linked and says nothing. */
static void
test_silent_worker(void **state)
{
	struct peer p = { 0 };

	(void)state;
	peer_open(&p, "w1");
	hello(&p, NULL, NULL);
	UNTIL(p.gone);
	assert_int_equal(hub_ready_workers(hub), 0);
	peer_close(&p);
}

/* The process dies: known at once through its pidfd, not after the lease. */
static void
test_process_gone(void **state)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int64_t began;
	pid_t pid;

	(void)state;
	str_copy(sa.sun_path, sizeof(sa.sun_path), socket_path);
	pid = fork();
	if (pid == 0) {
		struct msg_hello h = { .worker = "w9",
				       .instance = "00112233445566778899aabbccddeeff",
				       .capacity = 1 };
		char *text, frame[4096];
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);

		h.addresses = json_array();
		h.calls = json_array();
		text = json_text(msg_request(MSG_HELLO, "q", &h));
		uint32_t n = __builtin_bswap32((uint32_t)strlen(text));
		memcpy(frame, &n, 4);
		memcpy(frame + 4, text, strlen(text));
		if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 &&
		    write(fd, frame, 4 + strlen(text)) > 0)
			pause();
		_exit(0);
	}
	UNTIL(hub_ready_workers(hub) == 1);
	began = clock_mono_ms();
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	json_t *all = NULL;
	UNTIL((json_decref(all), all = hub_workers_json(hub), json_array_size(all) == 0));
	json_decref(all);
	assert_true(clock_mono_ms() - began < 3000); /* the lease is 4 s */
}

/* Rubbish ends the peer, never the hub; another worker's calls are out of reach. */
static void
test_hostile_peers(void **state)
{
	static const char *const frames[] = {
		"\x00\x00\x00\x02[]",        "\x00\x00\x00\x05{\"v\":",
		"\x00\x00\x00\x00",          "\xff\xff\xff\xff",
		"\x00\x00\x00\x07{\"v\":2}", "\x00\x00\x00\x1b{\"v\":1,\"t\":\"x\",\"body\":{}}  ",
	};
	static const size_t lens[] = { 6, 9, 4, 4, 11, 31 };
	struct peer p = { 0 }, good = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
		struct sockaddr_un sa = { .sun_family = AF_UNIX };
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		char c;

		str_copy(sa.sun_path, sizeof(sa.sun_path), socket_path);
		assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
		assert_int_equal(write(fd, frames[i], lens[i]), lens[i]);
		if (i == 1)
			shutdown(fd, SHUT_WR);
		UNTIL(read(fd, &c, 1) == 0);
		close(fd);
	}
	create_transfer("t1", "c1");
	peer_open(&good, "w1");
	hello(&good, NULL, NULL);
	assert_string_equal(ask_claim(&good, "t1", "s1"), "OK");
	struct msg_claim stolen = claim;
	peer_open(&p, "w2");
	assert_string_equal(ask(&p, MSG_CLAIM, &stolen), "gone"); /* no hello */
	peer_open(&p, "w2");
	hello(&p, NULL, NULL);
	memset(stolen.token, '0', sizeof(stolen.token) - 1);
	assert_string_equal(ask_complete(&p, &stolen, "SYSTEM"), "NOT_FOUND");
	assert_string_equal(status_of("t1"), "ONGOING");
	peer_close(&p);
	peer_close(&good);
}

/* Slices of ports do not overlap, and come back when their worker is gone. */
static void
test_port_slices(void **state)
{
	struct peer a = { 0 }, b = { 0 }, c = { 0 };
	int64_t a_last, b_first;

	(void)state;
	cfg.media.port_last = 20037; /* 26 for ten calls, half of that for the next, nothing more */
	peer_open(&a, "a");
	hello(&a, NULL, NULL);
	a_last = json_integer_value(reply_field(&a, "port_last"));
	peer_open(&b, "b");
	hello(&b, NULL, NULL);
	b_first = json_integer_value(reply_field(&b, "port_first"));
	assert_true(b_first > a_last);
	peer_open(&c, "c");
	assert_string_equal(hello(&c, NULL, NULL), "OK");
	assert_int_equal(json_integer_value(reply_field(&c, "port_first")),
			 0); /* none left, said so */
	peer_close(&a);
	peer_close(&b);
	peer_close(&c);
}

static void
test_one_hub_to_a_socket(void **state)
{
	struct fault f = { 0 };

	(void)state;
	assert_null(hub_create(loop, &cfg, store, seal, &f));
	assert_non_null(strstr(f.what, "in use by another"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_claim_answer_complete, setup, teardown),
		cmocka_unit_test_setup_teardown(test_release_makes_it_active_again, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_expiry_sweep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lease_and_return, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lease_runs_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_silent_worker, setup, teardown),
		cmocka_unit_test_setup_teardown(test_process_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_peers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_port_slices, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_hub_to_a_socket, setup, teardown),
	};

	log_init("test");
	log_set_level(getenv("HANDBACK_LOG") ? LOG_DEBUG : LOG_ERR + 1);
	assert(id_init());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
