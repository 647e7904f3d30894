/* The REST side over real sockets: slow, large, many, late, gone, stopping. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>

#include "http_kit.h"

static void
test_throttled(void **state)
{
	int fd = dial(), limited = 0;

	(void)state;
	for (int i = 0; i < 40; i++)
		limited += status_of(
				   ask(fd, "GET /handback/v1/calls HTTP/1.1\r\nHost: h\r\n\r\n")) ==
			   429;
	assert_true(limited > 0);
	/* nor is the right key looked at then */
	while (status_of(ask(fd, "GET /handback/v1/calls HTTP/1.1\r\nHost: h\r\n\r\n")) != 429)
		;
	assert_int_equal(status_of(ask(fd, GET_ONE)), 429);
	turn(200);
	say(fd, GET_ONE);
	turn(20);
	assert_int_equal(held_count, 1);
	store_answer(ERR_NOT_FOUND);
	close(fd);
	turn(20);
}

/* The client leaves while the store works: its answer is dropped, once, and freed. */
static void
test_client_gone(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, GET_ONE);
	turn(20);
	assert_int_equal(held_count, 1);
	close(fd);
	turn(20);
	store_answer(ERR_OK);
	turn(20);
	fd = dial();
	assert_int_equal(status_of(ask(fd, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")), 200);
	close(fd);
	turn(20);
}

/* The store answers after the deadline: the client has its 503, the late answer goes nowhere. */
static void
test_store_late(void **state)
{
	bool closed;
	int fd = dial();

	(void)state;
	say(fd, GET_ONE);
	turn(20);
	jumped_ns += 5100000000;
	assert_int_equal(status_of(hear(fd, 1000, &closed)), 503);
	assert_int_equal(held_count, 1);
	assert_int_equal(status_of(ask(fd, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")), 200);
	store_answer(ERR_OK);
	turn(20);
	close(fd);
	turn(20);
}

static void
test_pipelined(void **state)
{
	bool closed;
	int fd = dial();
	const char *answer;

	(void)state;
	say(fd,
	    GET_ONE "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost : h\r\n\r\n");
	turn(20);
	store_answer(ERR_OK);
	answer = hear(fd, 100, &closed);
	assert_has(answer, "\"id\":\"x\"");
	assert_has(answer, "\"status\":\"ok\"");
	while (!closed && !strstr(answer, "400 Bad Request"))
		answer = hear(fd, 1000, &closed);
	assert_has(answer, "HTTP/1.1 400 Bad Request");
	assert_has(answer, "\"code\":\"400-01\"");
	close(fd);
	turn(20);
}

static void
test_slow(void **state)
{
	bool closed = false;
	int fd = dial(), idle = dial();
	int64_t began = clock_mono_ms();

	(void)state;
	/* A byte now and then does not buy time. */
	for (const char *p = GET_ONE; *p && !closed; p++) {
		char c[2] = { *p, '\0' };

		if (send(fd, c, 1, MSG_NOSIGNAL) < 0)
			break;
		hear(fd, 20, &closed);
	}
	assert_true(clock_mono_ms() - began < 600);
	hear(idle, 400, &closed);
	assert_true(closed);
	close(fd);
	close(idle);
	turn(20);
}

static int
count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void
test_too_large(void **state)
{
	char text[4096];
	bool closed;
	int fd = dial(), fds;
	const char *answer;

	(void)state;
	answer = ask(fd, "POST /generativeagent/v1/call-transfers HTTP/1.1\r\nHost: h\r\n" KEYS
			 "Content-Type: application/json\r\nContent-Length: 1001\r\n\r\n");
	assert_int_equal(status_of(answer), 413);
	assert_has(answer, "\"code\":\"413-01\"");
	assert_has(answer, "Connection: close");
	close(fd);
	turn(20);
	fds = count_fds();
	/* The peer keeps sending, and has its answer all the same. */
	fd = dial();
	say(fd, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
	memset(text, 'x', sizeof(text));
	for (int i = 0; i < 10; i++)
		if (send(fd, text, sizeof(text), MSG_NOSIGNAL) < 0)
			break;
	assert_int_equal(status_of(hear(fd, 500, &closed)), 413);
	/* It stays: ours does not. */
	assert_int_equal(count_fds(), fds + 2);
	jumped_ns += 2100000000;
	turn(20);
	assert_int_equal(count_fds(), fds + 1);
	close(fd);
	turn(20);
}

static void
test_rate(void **state)
{
	int fd = dial(), limited = 0;

	(void)state;
	cfg.api.rate_limit = 5;
	store_full = true;
	for (int i = 0; i < 10; i++)
		limited += status_of(ask(fd, GET_ONE)) == 429;
	assert_in_range(limited, 3, 5);
	close(fd);
	turn(20);
}

static void
test_per_address(void **state)
{
	static const char get[] = "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n";
	int fds[20], served = 0;
	bool closed;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = dial();
	turn(50);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		send(fds[i], get, sizeof(get) - 1, MSG_NOSIGNAL);
		served += status_of(hear(fds[i], 50, &closed)) == 200;
	}
	assert_int_equal(served, 16); /* a quarter of 64 */
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	turn(20);
}

/* Stopping with requests that the store never answered in time, and answers afterwards. */
static void
test_stop(void **state)
{
	bool closed;
	int fd = dial();

	(void)state;
	say(fd, GET_ONE);
	turn(20);
	assert_int_equal(held_count, 1);
	look_ns = 50000000;
	http_destroy(http); /* waits for the store, in vain */
	look_ns = 0;
	assert_int_equal(status_of(hear(fd, 100, &closed)), 503);
	store_answer(ERR_OK);
	close(fd);
	loop_destroy(loop);
	kit_setup(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		KIT_TEST(test_throttled), KIT_TEST(test_client_gone), KIT_TEST(test_store_late),
		KIT_TEST(test_pipelined), KIT_TEST(test_slow),        KIT_TEST(test_too_large),
		KIT_TEST(test_rate),      KIT_TEST(test_per_address), KIT_TEST(test_stop),
	};

	return kit_init() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
