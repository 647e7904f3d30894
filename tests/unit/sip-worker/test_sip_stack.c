#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "common/id.h"
#include "sip-worker/sip/sip.h"

#define FIRST_PORT 35900
#define PORTS      40
#define POLL_MS    5

static struct cidr network;
static struct account account = {
	.name = (char[]){ "demo" },
	.sip = { .domain = (char[]){ "" }, .allow = { &network, 1 }, .headers_mode = true }
};
static struct sip_listen listen_on[2];
static struct addr media;
static struct config config = {
	.accounts = &account,
	.account_count = 1,
	.sip = { .listen = listen_on,
		 .listen_count = 1,
		 .realm = (char[]){ "handback" },
		 .challenge = 401,
		 .unknown_drop = true,
		 .session_expires_s = 1800,
		 .min_se_s = 90,
		 .max_message = 65536 },
	.media = { .address = { &media, 1 }, .codecs = { CODEC_PCMU }, .codec_count = 1 },
};

static int
gate(void *app, const struct account *a, const char **why)
{
	(void)app;
	(void)a;
	*why = "full";
	return 503;
}

static void
refused(void *app, const struct sip_refusal *r)
{
	(void)app;
	(void)r;
}

static const struct sip_ops ops = { .gate = gate, .refused = refused };

struct running {
	struct loop *loop;
	struct sip *sip;
	struct loop_timer poll;
	atomic_bool stop, draining, alone;
	int pings[3];
};

static struct running running;

static void
look(struct loop_timer *t)
{
	static struct config empty;

	sip_set_draining(running.sip, running.draining);
	if (running.alone) {
		empty = config;
		empty.account_count = 0;
		sip_set_config(running.sip, &empty);
	}
	if (running.stop)
		sip_stop(running.sip);
	else
		assert_true(loop_timer_set(running.loop, t, POLL_MS, look));
}

static struct sip *
create(struct loop *l, struct fault *f)
{
	struct sip *s = NULL;

	for (uint16_t port = FIRST_PORT; !s && port < FIRST_PORT + PORTS; port++) {
		addr_set_port(&listen_on[0].addr, port);
		s = sip_create(l, &config, &ops, NULL, f);
	}
	return s;
}

static void
start(enum sip_transport transport, const char *host)
{
	struct fault f;

	listen_on[0].transport = transport;
	assert_true(addr_parse(host, 0, &listen_on[0].addr));
	memset(&running, 0, sizeof running);
	running.loop = loop_create();
	running.sip = create(running.loop, &f);
	assert_non_null(running.sip);
	assert_true(loop_timer_set(running.loop, &running.poll, POLL_MS, look));
}

static void
settle(void)
{
	struct timespec t = { .tv_nsec = 20 * POLL_MS * 1000000 };

	nanosleep(&t, NULL);
}

/* A stack stays on the thread that created it; who asks is another one. */
static void *
ask(void *arg)
{
	(void)arg;
	running.pings[0] = sip_ping(&config);
	running.draining = true;
	settle();
	running.pings[1] = sip_ping(&config);
	running.draining = false;
	/* Without any account a worker still answers itself. */
	running.alone = true;
	settle();
	running.pings[2] = sip_ping(&config);
	running.stop = true;
	return NULL;
}

static void
ping(void **state)
{
	static const struct {
		enum sip_transport transport;
		const char *host;
	} cases[] = {
		{ SIP_UDP, "127.0.0.1" },
		{ SIP_TCP, "127.0.0.1" },
		{ SIP_UDP, "0.0.0.0" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		pthread_t thread;

		start(cases[i].transport, cases[i].host);
		assert_int_equal(pthread_create(&thread, NULL, ask, NULL), 0);
		sip_run(running.sip);
		pthread_join(thread, NULL);
		sip_destroy(running.sip);
		loop_destroy(running.loop);
		assert_int_equal(running.pings[0], 0);
		assert_int_equal(running.pings[1], 1);
		assert_int_equal(running.pings[2], 0);
		assert_int_equal(sip_ping(&config), 1);
	}
}

static void
says_what_it_cannot_bind(void **state)
{
	struct loop *l = loop_create();
	struct fault f;
	struct sip *s;

	(void)state;
	listen_on[0].transport = SIP_UDP;
	assert_true(addr_parse("127.0.0.1", 0, &listen_on[0].addr));
	s = create(l, &f);
	assert_non_null(s);
	sip_destroy(s);

	listen_on[1] = (struct sip_listen){ .transport = SIP_UDP };
	assert_true(addr_parse("192.0.2.77", 5060, &listen_on[1].addr));
	config.sip.listen_count = 2;
	assert_null(sip_create(l, &config, &ops, NULL, &f));
	assert_string_equal(f.where, "sip.listen");
	assert_non_null(strstr(f.what, "udp:192.0.2.77:5060"));

	/* What had been bound is free again. */
	config.sip.listen_count = 1;
	s = sip_create(l, &config, &ops, NULL, &f);
	assert_non_null(s);
	sip_destroy(s);

	listen_on[0].transport = SIP_TLS;
	assert_null(sip_create(l, &config, &ops, NULL, &f));
	assert_non_null(strstr(f.where, "sip.tls"));
	loop_destroy(l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ping),
		cmocka_unit_test(says_what_it_cannot_bind),
	};

	if (!id_init() || !cidr_parse("192.0.2.0/24", &network) ||
	    !addr_parse("127.0.0.1", 0, &media))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
