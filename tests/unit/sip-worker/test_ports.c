/* Port pairs: parity, rest, others' ports, shortage of descriptors. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/id.h"
#include "sip-worker/media/ports.h"

#define FIRST 36400

static struct addr
local(void)
{
	struct addr a;

	assert_true(addr_parse("127.0.0.3", 0, &a));
	return a;
}

static struct ports *
make(uint16_t first, uint16_t last)
{
	struct ports *p;

	assert_true(id_init());
	p = ports_create();
	assert_non_null(p);
	assert_int_equal(ports_set(p, first, last), ERR_OK);
	return p;
}

static void
test_pairs(void **state)
{
	struct ports *p = make(FIRST + 1, FIRST + 10); /* whole pairs: +2 … +9 */
	struct addr ip = local();
	bool seen[16] = { false };
	int fd[5][2];
	uint16_t port[5];

	(void)state;
	assert_int_equal(ports_free(p), 4);
	for (int i = 0; i < 4; i++) {
		struct addr bound;
		socklen_t len = sizeof(bound);

		assert_int_equal(ports_open(p, &ip, 0, fd[i], &port[i]), ERR_OK);
		assert_int_equal(port[i] % 2, 0);
		assert_in_range(port[i], FIRST + 2, FIRST + 8);
		assert_false(seen[port[i] - FIRST]);
		seen[port[i] - FIRST] = true;
		assert_int_equal(getsockname(fd[i][1], &bound.sa, &len), 0);
		assert_int_equal(addr_port(&bound), port[i] + 1);
	}
	assert_int_equal(ports_open(p, &ip, 0, fd[4], &port[4]), ERR_BUSY);
	for (int i = 0; i < 4; i++)
		ports_close(p, fd[i], port[i], 100);
	/* They rest, then come again, the one that rested longest first. */
	assert_int_equal(ports_open(p, &ip, 101, fd[4], &port[4]), ERR_BUSY);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(ports_open(p, &ip, 100 + PORTS_REST_MS, fd[i], &port[4]), ERR_OK);
		assert_int_equal(port[4], port[i]);
	}
	for (int i = 0; i < 4; i++)
		ports_close(p, fd[i], port[i], 100);
	ports_destroy(p);
}

static void
test_taken_by_others(void **state)
{
	struct ports *p = make(FIRST, FIRST + 7);
	struct addr ip = local(), other = ip;
	int fd[3][2], thief = socket(AF_INET, SOCK_DGRAM, 0);
	uint16_t port[3];

	(void)state;
	addr_set_port(&other, FIRST + 5); /* an odd one spoils its pair */
	assert_int_equal(bind(thief, &other.sa, addr_len(&other)), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ports_open(p, &ip, 0, fd[i], &port[i]), ERR_OK);
		assert_int_not_equal(port[i], FIRST + 4);
	}
	for (int i = 0; i < 3; i++)
		ports_close(p, fd[i], port[i], 0);
	close(thief);
	assert_int_equal(ports_free(p), 4);
	ports_destroy(p);
}

static void
test_descriptors(void **state)
{
	struct ports *p = make(FIRST, FIRST + 7);
	struct addr ip = local();
	struct rlimit old, none;
	int fd[2], next = dup(0);
	uint16_t port;

	(void)state;
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	/* None at all, then one of the two. */
	for (int extra = 0; extra < 2; extra++) {
		none.rlim_cur = (rlim_t)(next + extra);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
		for (int i = 0; i < 20; i++)
			assert_int_equal(ports_open(p, &ip, 0, fd, &port), ERR_BUSY);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	}
	assert_int_equal(ports_free(p), 4);
	assert_int_equal(ports_open(p, &ip, 0, fd, &port), ERR_OK);
	assert_int_equal(fd[0], next);
	ports_close(p, fd, port, 0);
	ports_destroy(p);
}

static void
test_new_range(void **state)
{
	struct ports *p = make(FIRST, FIRST + 3);
	struct addr ip = local(), foreign;
	int a[2], b[2], c[2];
	uint16_t port_a, port_b, port_c;

	(void)state;
	assert_int_equal(ports_open(p, &ip, 0, a, &port_a), ERR_OK);
	assert_int_equal(ports_open(p, &ip, 0, b, &port_b), ERR_OK);
	assert_int_equal(ports_set(p, FIRST + 2, FIRST + 5), ERR_OK);
	assert_int_equal(ports_free(p), 2);
	/* FIRST+2 is still in use by a running call: only the other one can be had. */
	assert_int_equal(ports_open(p, &ip, 0, c, &port_c), ERR_OK);
	assert_int_equal(port_c, FIRST + 4);
	ports_close(p, a, port_a, 0);
	ports_close(p, b, port_b, 0);
	ports_close(p, c, port_c, 0);
	assert_int_equal(ports_free(p), 2);
	/* Nothing at all, and an address that is not ours. */
	assert_int_equal(ports_set(p, 0, 0), ERR_OK);
	assert_int_equal(ports_open(p, &ip, 0, a, &port_a), ERR_BUSY);
	assert_int_equal(ports_set(p, FIRST, FIRST + 1), ERR_OK);
	assert_true(addr_parse("192.0.2.1", 0, &foreign));
	assert_int_not_equal(ports_open(p, &foreign, 0, a, &port_a), ERR_OK);
	assert_int_equal(ports_free(p), 1);
	ports_destroy(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_taken_by_others),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_new_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
