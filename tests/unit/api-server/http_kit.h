/* http_kit.h - api-server/http in one loop with its client, over real sockets, with a store and a
 * hub that do as they are told.  Nothing sleeps: the clock jumps.  For one .c file of a test. */
#ifndef TESTS_UNIT_API_SERVER_HTTP_KIT_H
#define TESTS_UNIT_API_SERVER_HTTP_KIT_H

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "api-server/http/http.h"
#include "common/clock.h"
#include "common/id.h"
#include "common/log.h"
#include "http_fakes.h"

#define PORT    34901
#define KEYS    "asapp-api-id: id-a\r\nasapp-api-secret: secret-a\r\n"
#define GET_ONE "GET /generativeagent/v1/call-transfers/x HTTP/1.1\r\nHost: h\r\n" KEYS "\r\n"

/* --- set-up --- */

static char name_a[] = "a", id_a[] = "id-a", secret_a[] = "secret-a", id_o[] = "ops", none[] = "";
static struct api_key keys[] = { { id_a, { secret_a, sizeof(secret_a) - 1 } } };
static struct account accounts[] = {
	{ .name = name_a,
	  .api_keys = keys,
	  .api_key_count = 1,
	  .returns = { .uri = none, .auth_realm = none, .auth_username = none } },
};
static struct operator_key operators[] = { { id_o, { secret_a, sizeof(secret_a) - 1 } } };
static struct config cfg;

/* One of its own for each process, so that tests may run side by side. */
static inline void
kit_address(struct addr *out)
{
	char host[32];

	snprintf(host, sizeof(host), "127.34.%d.%d", (getpid() >> 8) & 255, getpid() & 255);
	assert_true(addr_parse(host, PORT, out));
}

static struct loop *loop;
static struct http *http;

static inline int
kit_setup(void **state)
{
	struct fault f = { 0 };

	(void)state;
	cfg = (struct config){
		.accounts = accounts,
		.account_count = 1,
		.operators = operators,
		.operator_count = 1,
		.api = { .max_connections = 64, .request_timeout_ms = 300 },
		.transfers = { .body_limit = 1000, .expire_after_ms = 60000 },
	};
	kit_address(&cfg.api.listen);
	loop = loop_create();
	assert_non_null(loop);
	http = http_create(loop, &cfg, NULL, NULL, NULL, &f);
	if (!http)
		fail_msg("%s: %s", f.where, f.what);
	held_count = 0;
	store_full = false;
	noted = 0;
	return 0;
}

static inline int
kit_teardown(void **state)
{
	(void)state;
	http_destroy(http);
	loop_destroy(loop);
	return 0;
}

/* --- the client --- */

static inline int
dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	assert_true(connect(fd, &cfg.api.listen.sa, addr_len(&cfg.api.listen)) == 0 ||
		    errno == EINPROGRESS);
	return fd;
}

static inline void
turn(int ms)
{
	int64_t end = clock_mono_ms() + ms;

	do
		loop_step(loop, 5);
	while (clock_mono_ms() < end);
}

static inline void
say(int fd, const char *text)
{
	turn(0);
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* What has come within `ms`, or until something has and then nothing more; closed: at the end. */
static inline const char *
hear(int fd, int ms, bool *closed)
{
	static char text[65536];
	int64_t end = clock_mono_ms() + ms;
	size_t len = 0;
	bool quiet = false;

	*closed = false;
	while (clock_mono_ms() < end && !quiet) {
		ssize_t n;

		loop_step(loop, 5);
		n = read(fd, text + len, sizeof(text) - 1 - len);
		if (n == 0 || (n < 0 && errno == ECONNRESET)) {
			*closed = true;
			break;
		}
		quiet = n < 0 && len > 0;
		len += n > 0 ? (size_t)n : 0;
	}
	text[len] = '\0';
	return text;
}

static inline const char *
ask(int fd, const char *text)
{
	bool closed;

	say(fd, text);
	return hear(fd, 500, &closed);
}

static inline int
status_of(const char *answer)
{
	return strlen(answer) > 12 ? (int)strtol(answer + 9, NULL, 10) : 0;
}

static inline void
assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in: %s", part, text);
}

/* --- running --- */

#define KIT_TEST(fn) cmocka_unit_test_setup_teardown(fn, kit_setup, kit_teardown)

static inline bool
kit_init(void)
{
	log_init("test");
	log_set_level(LOG_ERR);
	return id_init();
}

#endif
