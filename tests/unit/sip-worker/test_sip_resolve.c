#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/id.h"
#include "common/str.h"
#include "sip-worker/sip/resolve.h"
#include "tests/fakes/oom.h"

#define TYPE_A    1
#define TYPE_AAAA 28
#define TYPE_SRV  33
#define NXDOMAIN  3
#define SERVFAIL  2

/* --- a name server on the same loop --- */

struct record {
	const char *name;
	int type;
	uint16_t priority, weight, port; /* SRV */
	const char *value;               /* address or host; NULL: server failure */
};

static struct server {
	struct loop_io io;
	const struct record *records;
	bool silent, noise;
	char at[ADDR_TEXT_SIZE];
	int asked;
} server;

static struct loop *loop;
static struct resolver *resolver;

static size_t
put_name(uint8_t *out, const char *name)
{
	size_t n = 0;

	for (const char *p = name; *p;) {
		size_t len = strcspn(p, ".");

		out[n++] = (uint8_t)len;
		memcpy(out + n, p, len);
		n += len;
		p += p[len] ? len + 1 : len;
	}
	out[n++] = 0;
	return n;
}

static size_t
put_u16(uint8_t *out, unsigned v)
{
	out[0] = (uint8_t)(v >> 8);
	out[1] = (uint8_t)v;
	return 2;
}

static size_t
put_data(uint8_t *out, const struct record *r)
{
	struct addr a;
	size_t n = 0;

	if (r->type == TYPE_SRV) {
		n += put_u16(out, r->priority);
		n += put_u16(out + n, r->weight);
		n += put_u16(out + n, r->port);
		return n + put_name(out + n, r->value);
	}
	if (!addr_parse(r->value, 0, &a))
		fail_msg("%s", r->value);
	if (r->type == TYPE_A)
		memcpy(out, &a.v4.sin_addr, 4);
	else
		memcpy(out, &a.v6.sin6_addr, 16);
	return r->type == TYPE_A ? 4 : 16;
}

static size_t
put_record(uint8_t *out, const struct record *r)
{
	size_t n = 0, len;

	n += put_u16(out, 0xc00c);
	n += put_u16(out + n, (unsigned)r->type);
	n += put_u16(out + n, 1);
	memset(out + n, 0, 4);
	n += 4;
	len = put_data(out + n + 2, r);
	put_u16(out + n, (unsigned)len);
	return n + 2 + len;
}

static size_t
read_name(const uint8_t *p, char *out, size_t size)
{
	size_t n = 0, len = 0;

	while (p[n]) {
		if (!str_print(out + len, size - len, "%s%.*s", len ? "." : "", p[n],
			       (const char *)p + n + 1))
			fail();
		len = strlen(out);
		n += p[n] + 1u;
	}
	return n + 1;
}

static size_t
make_answer(uint8_t *q, size_t len)
{
	char name[256] = "";
	size_t n = 12 + read_name(q + 12, name, sizeof name);
	int type = q[n] << 8 | q[n + 1], code = NXDOMAIN;
	unsigned count = 0;

	n += 4;
	assert_true(n <= len);
	for (const struct record *r = server.records; r && r->name; r++) {
		if (strcasecmp(r->name, name) != 0)
			continue;
		code = code == NXDOMAIN ? 0 : code;
		if (r->type != type)
			continue;
		if (!r->value) {
			code = SERVFAIL;
			continue;
		}
		n += put_record(q + n, r);
		count++;
	}
	put_u16(q + 2, 0x8180u | (unsigned)code);
	put_u16(q + 6, count);
	put_u16(q + 8, 0);
	put_u16(q + 10, 0);
	return n;
}

static void
on_question(struct loop_io *io, uint32_t events)
{
	uint8_t q[8192];
	struct addr from;
	socklen_t from_len = sizeof from;
	ssize_t len = recvfrom(io->fd, q, sizeof q, 0, &from.sa, &from_len);
	size_t n;

	(void)events;
	if (len < 17)
		return;
	server.asked++;
	if (server.silent)
		return;
	n = make_answer(q, (size_t)len);
	if (server.noise) {
		id_random(q + 12, n - 12);
	}
	assert_int_equal(sendto(io->fd, q, n, 0, &from.sa, from_len), n);
}

/* --- a question --- */

static struct {
	bool done;
	struct resolve_target targets[RESOLVE_MAX];
	size_t count;
} answer;

static void
found(void *arg, const struct resolve_target *targets, size_t count)
{
	(void)arg;
	assert_false(answer.done);
	assert_true(count <= RESOLVE_MAX);
	answer.done = true;
	answer.count = count;
	memcpy(answer.targets, targets, count * sizeof *targets);
}

static void
run(int64_t limit_ms)
{
	int64_t end;

	loop_step(loop, 0);
	end = loop_now(loop) + limit_ms;
	while (!answer.done && loop_now(loop) < end)
		loop_step(loop, 20);
}

static struct resolve_question
about(const char *name, uint16_t port)
{
	return (struct resolve_question){ .name = name, .port = port, .family = AF_INET };
}

static const char *
ask(struct resolve_question q, const struct record *records)
{
	static const char *const transports[] = { "udp", "tcp", "tls" };
	static char text[1024];
	char host[ADDR_TEXT_SIZE];

	memset(&answer, 0, sizeof answer);
	server.records = records;
	assert_non_null(resolve_start(resolver, &q, found, NULL));
	assert_false(answer.done);
	run(RESOLVE_TIMEOUT_MS + 2000);
	assert_true(answer.done);
	text[0] = '\0';
	for (size_t i = 0; i < answer.count; i++)
		assert_true(str_print(text + strlen(text), sizeof text - strlen(text), "%s%s/%s",
				      i ? " " : "", addr_text(&answer.targets[i].addr, host),
				      transports[answer.targets[i].transport]));
	return text;
}

static int
set_up(void **state)
{
	struct addr a;
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	(void)state;
	memset(&server, 0, sizeof server);
	assert_true(id_init() && addr_parse("127.0.43.1", 0, &a));
	assert_int_equal(bind(fd, &a.sa, addr_len(&a)), 0);
	assert_int_equal(getsockname(fd, &a.sa, &len), 0);
	loop = loop_create();
	assert_int_equal(loop_watch(loop, &server.io, fd, EPOLLIN, on_question), ERR_OK);
	resolver = resolver_create(loop, addr_text(&a, server.at));
	assert_non_null(resolver);
	return 0;
}

static int
tear_down(void **state)
{
	int fd = server.io.fd;

	(void)state;
	resolver_destroy(resolver);
	loop_unwatch(loop, &server.io);
	close(fd);
	loop_destroy(loop);
	return 0;
}

/* --- tests --- */

static void
numeric(void **state)
{
	struct resolve_question q = about("10.0.0.1", 0);

	(void)state;
	assert_string_equal(ask(q, NULL), "10.0.0.1:5060/udp");
	q.port = 5070;
	q.has_transport = true;
	q.transport = SIP_TCP;
	assert_string_equal(ask(q, NULL), "10.0.0.1:5070/tcp");
	q = about("2001:db8::1", 0);
	q.secure = true;
	assert_string_equal(ask(q, NULL), "[2001:db8::1]:5061/tls");
	assert_int_equal(server.asked, 0);
}

static const struct record hosts[] = {
	{ "far.example", TYPE_A, 0, 0, 0, "10.0.0.1" },
	{ "far.example", TYPE_A, 0, 0, 0, "10.0.0.2" },
	{ "far.example", TYPE_AAAA, 0, 0, 0, "2001:db8::1" },
	{ NULL, 0, 0, 0, 0, NULL },
};

static void
hosts_alone(void **state)
{
	struct resolve_question q = about("far.example", 5070);

	(void)state;
	assert_string_equal(ask(q, hosts),
			    "10.0.0.1:5070/udp 10.0.0.2:5070/udp [2001:db8::1]:5070/udp");
	assert_int_equal(server.asked, 2);
	q.family = AF_INET6;
	assert_string_equal(ask(q, hosts),
			    "[2001:db8::1]:5070/udp 10.0.0.1:5070/udp 10.0.0.2:5070/udp");
	/* Without SRV records it is the default port. */
	assert_string_equal(ask(about("FAR.example", 0), hosts),
			    "10.0.0.1:5060/udp 10.0.0.2:5060/udp [2001:db8::1]:5060/udp");
	assert_string_equal(ask(about("no.example", 0), hosts), "");
}

static const struct record services[] = {
	{ "_sip._udp.far.example", TYPE_SRV, 20, 0, 5082, "b.example" },
	{ "_sip._udp.far.example", TYPE_SRV, 10, 5, 5081, "a.example" },
	{ "_sip._udp.far.example", TYPE_SRV, 30, 5, 5083, "gone.example" },
	{ "_sip._udp.far.example", TYPE_SRV, 30, 5, 0, "a.example" },
	{ "_sip._tcp.far.example", TYPE_SRV, 1, 5, 5084, "a.example" },
	{ "_sips._tcp.far.example", TYPE_SRV, 1, 5, 5085, "b.example" },
	{ "a.example", TYPE_A, 0, 0, 0, "10.0.0.1" },
	{ "b.example", TYPE_A, 0, 0, 0, "10.0.0.2" },
	{ "far.example", TYPE_A, 0, 0, 0, "10.0.0.9" },
	{ NULL, 0, 0, 0, 0, NULL },
};

static void
services_in_order(void **state)
{
	struct resolve_question q = about("far.example", 0);

	(void)state;
	assert_string_equal(ask(q, services),
			    "10.0.0.1:5081/udp 10.0.0.2:5082/udp 10.0.0.1:5084/tcp");
	q.has_transport = true;
	q.transport = SIP_TCP;
	assert_string_equal(ask(q, services), "10.0.0.1:5084/tcp");
	q.secure = true;
	assert_string_equal(ask(q, services), "10.0.0.2:5085/tls");
	q = about("far.example", 5060);
	assert_string_equal(ask(q, services), "10.0.0.9:5060/udp");
}

static void
weights(void **state)
{
	static const struct record records[] = {
		{ "_sip._udp.w.example", TYPE_SRV, 1, 90, 5081, "a.example" },
		{ "_sip._udp.w.example", TYPE_SRV, 1, 10, 5082, "a.example" },
		{ "_sip._udp.w.example", TYPE_SRV, 1, 0, 5083, "a.example" },
		{ "a.example", TYPE_A, 0, 0, 0, "10.0.0.1" },
		{ NULL, 0, 0, 0, 0, NULL },
	};
	int first[3] = { 0 };

	(void)state;
	for (int i = 0; i < 300; i++) {
		ask(about("w.example", 0), records);
		assert_int_equal(answer.count, 3);
		first[addr_port(&answer.targets[0].addr) - 5081]++;
	}
	/* 270, 27 and 3 are to be expected. */
	assert_true(first[0] > 230 && first[1] > 8 && first[1] < 70 && first[2] < 20);
}

static void
failing_servers(void **state)
{
	static const struct record records[] = {
		{ "_sip._udp.far.example", TYPE_SRV, 0, 0, 0, NULL },
		{ "far.example", TYPE_A, 0, 0, 0, "10.0.0.1" },
		{ "far.example", TYPE_AAAA, 0, 0, 0, NULL },
		{ "lost.example", TYPE_A, 0, 0, 0, NULL },
		{ "_sip._udp.none.example", TYPE_SRV, 0, 0, 5060, "." },
		{ "_sip._udp.loop.example", TYPE_SRV, 0, 0, 5060, "loop.example" },
		{ NULL, 0, 0, 0, 0, NULL },
	};

	(void)state;
	assert_string_equal(ask(about("far.example", 0), records), "10.0.0.1:5060/udp");
	assert_string_equal(ask(about("lost.example", 0), records), "");
	assert_string_equal(ask(about("none.example", 0), records), "");
	assert_string_equal(ask(about("loop.example", 0), records), "");
	server.noise = true;
	assert_string_equal(ask(about("far.example", 5060), hosts), "");
}

static void
many_answers(void **state)
{
	static struct record records[200];
	static char names[100][16], addresses[100][16];

	(void)state;
	for (size_t i = 0; i < 12; i++) {
		str_print(names[i], sizeof names[i], "h%zu.example", i);
		str_print(addresses[i], sizeof addresses[i], "10.0.1.%zu", i);
		records[2 * i] = (struct record){
			"_sip._udp.m.example", TYPE_SRV, (uint16_t)i, 0, 5060, names[i]
		};
		records[2 * i + 1] = (struct record){ names[i], TYPE_A, 0, 0, 0, addresses[i] };
	}
	ask(about("m.example", 0), records);
	assert_int_equal(answer.count, 8);
	for (size_t i = 0; i < 24; i++)
		records[i] = (struct record){ "m.example", TYPE_A, 0, 0, 0, addresses[i % 12] };
	memset(&records[24], 0, sizeof records[0]);
	ask(about("m.example", 5060), records);
	assert_int_equal(answer.count, 8);
}

static void
silence(void **state)
{
	int64_t begun;

	(void)state;
	server.silent = true;
	loop_step(loop, 0);
	begun = loop_now(loop);
	assert_string_equal(ask(about("far.example", 0), hosts), "");
	assert_true(loop_now(loop) - begun <= RESOLVE_TIMEOUT_MS + 500);
}

static void
cancelled(void **state)
{
	const struct resolve_question questions[] = { about("10.0.0.1", 0), about("far.example", 0),
						      about("far.example", 5060) };

	(void)state;
	memset(&answer, 0, sizeof answer);
	server.records = hosts;
	for (int steps = 0; steps < 4; steps++)
		for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
			struct resolution *s = resolve_start(resolver, &questions[i], found, NULL);

			assert_non_null(s);
			for (int k = 0; k < steps && !answer.done; k++)
				loop_step(loop, 5);
			if (!answer.done)
				resolve_cancel(s);
			answer.done = false;
		}
	answer.done = false;
	for (int k = 0; k < 20; k++)
		loop_step(loop, 5);
	assert_false(answer.done);
	resolve_cancel(NULL);
}

/* A question that got lost for want of memory ends at its deadline; here it is not waited for. */
static bool
without_memory(void *arg)
{
	const struct resolve_question q = about("far.example", 0);
	struct resolution *asked;
	struct resolver *r = resolver_create(loop, arg);

	if (!r)
		return false;
	memset(&answer, 0, sizeof answer);
	asked = resolve_start(r, &q, found, NULL);
	/* All of it is in this thread: what is not there after three turns does not come. */
	for (int idle = 0, before = -1; asked && !answer.done && idle < 3; before = server.asked) {
		loop_step(loop, 3);
		idle = server.asked == before ? idle + 1 : 0;
	}
	if (asked && !answer.done)
		resolve_cancel(asked);
	resolver_destroy(r);
	return answer.done && answer.count == 3;
}

static void
oom(void **state)
{
	(void)state;
	server.records = services;
	assert_true(oom_run(without_memory, server.at) > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(numeric, set_up, tear_down),
		cmocka_unit_test_setup_teardown(hosts_alone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(services_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(weights, set_up, tear_down),
		cmocka_unit_test_setup_teardown(failing_servers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(many_answers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(silence, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cancelled, set_up, tear_down),
		cmocka_unit_test_setup_teardown(oom, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
