#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/id.h"
#include "sip-worker/sip/internal.h"
#include "tests/fakes/oom.h"

static const char text[] =
	"INVITE sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:b@h>;tag=1\r\n"
	"To: <sip:a@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nX-ASAPP-CallTransferId: t\r\n"
	"X-GA-iv-name: John\r\nX-GA-iv-other: \xe4\r\nUser-to-User: x\r\nContent-Length: 0\r\n\r\n";

static struct account account = { .name = (char[]){ "demo" } };

static bool
read_headers(void *arg)
{
	struct invite_headers h;
	bool ok = headers_read(&h, sip_object(arg), &account);

	if (!ok)
		return false;
	ok = json_object_size(h.headers) == 4 && json_object_size(h.input_variables) == 2;
	headers_finish(&h);
	return ok;
}

static void
headers_without_memory(void **state)
{
	msg_t *msg = msg_make(sip_default_mclass(), 0, text, -1);

	(void)state;
	assert_non_null(msg);
	assert_true(oom_run(read_headers, msg) > 5);
	msg_destroy(msg);
}

static bool
make_tables(void *arg)
{
	struct digest *d = digest_create("handback");
	struct rate *r = rate_create();
	bool ok = d && r;

	(void)arg;
	digest_destroy(d);
	rate_destroy(r);
	return ok;
}

static void
tables_without_memory(void **state)
{
	(void)state;
	assert_int_equal(oom_run(make_tables, NULL), 4);
}

static bool
write_offer(void *arg)
{
	static const enum codec codecs[] = { CODEC_PCMU, CODEC_PCMA };
	const struct sdp_capabilities caps = { .codecs = codecs, .codec_count = 2, .ipv4 = true };
	struct buf b;
	bool ok;

	buf_init(&b, SDP_TEXT_MAX);
	sdp_write_offer(&b, arg, &caps, NULL);
	ok = !b.failed;
	buf_finish(&b);
	return ok;
}

static void
descriptions_without_memory(void **state)
{
	struct sdp_local local = { .session = 1, .version = 1 };

	(void)state;
	assert_true(addr_parse("192.0.2.1", 4000, &local.media.rtp));
	assert_true(addr_parse("192.0.2.1", 4001, &local.media.rtcp));
	assert_true(oom_run(write_offer, &local) > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_without_memory),
		cmocka_unit_test(tables_without_memory),
		cmocka_unit_test(descriptions_without_memory),
	};

	if (!id_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
