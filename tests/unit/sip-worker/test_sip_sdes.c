/* a=crypto lines: those of RFC 4568, what is refused, and that what we write is read again. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sodium.h>
#include <string.h>

#include "sip-worker/sip/sdes.h"

#define KEY "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"

static bool
reads(const char *text, struct sdes *out)
{
	/* Of its exact size, so that a byte too many is seen. */
	size_t len = strlen(text);
	char *copy = test_malloc(len + 1);
	bool ok;

	memcpy(copy, text, len);
	ok = sdes_read(copy, len, out);
	test_free(copy);
	return ok;
}

static void
test_rfc_lines(void **state)
{
	static const uint8_t first[] = { 0x77, 0x44, 0x66, 0x76, 0x67, 0x26 };
	struct sdes s;

	(void)state;
	/* RFC 4568, 1: the example of the introduction. */
	assert_true(reads("1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^20|1:4", &s));
	assert_string_equal(s.tag, "1");
	assert_int_equal(s.key.suite, SRTP_SUITE_80);
	assert_memory_equal(s.key.material, first, sizeof(first));
	assert_int_equal(s.key.material[29], 0x23);
	assert_int_equal(s.key.mki_len, 4);
	assert_memory_equal(s.key.mki, "\0\0\0\1", 4);
	/* 6.1 */
	assert_true(reads("1 AES_CM_128_HMAC_SHA1_80 "
			  "inline:YUJDZGVmZ2hpSktMbW9QUXJzVHVWd3l6MTIzNDU2|1066:4",
			  &s));
	assert_memory_equal(s.key.mki, "\0\0\4\52", 4);
	/* 7.1.1: several keys ask for their identifiers; FEC_ORDER is not ours */
	assert_false(reads(
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^20|1:4;inline:" KEY "|2^20|2:4", &s));
	assert_false(
		reads("1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^20|1:4 FEC_ORDER=FEC_SRTP", &s));
	assert_false(reads("2 F8_128_HMAC_SHA1_80 inline:" KEY "|2^20|1:4", &s));
}

static void
test_taken(void **state)
{
	static const char *const lines[] = {
		"1 AES_CM_128_HMAC_SHA1_32 inline:" KEY,
		"1 aes_cm_128_hmac_sha1_32 INLINE:" KEY,
		"999999999 AES_CM_128_HMAC_SHA1_32 inline:" KEY "|2^48",
		"0 AES_CM_128_HMAC_SHA1_32\tinline:" KEY "|1048576",
		"01  AES_CM_128_HMAC_SHA1_32  inline:" KEY "|281474976710656 ",
		"1 AES_CM_128_HMAC_SHA1_32 inline:" KEY "|2^31|4294967295:4",
		"1 AES_CM_128_HMAC_SHA1_32 inline:" KEY "|255:1",
		"1 AES_CM_128_HMAC_SHA1_32 inline:" KEY " WSH=64",
		"1 AES_CM_128_HMAC_SHA1_32 inline:" KEY " -NEW=1 WSH=128 -x",
	};
	struct sdes s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		if (!reads(lines[i], &s))
			fail_msg("refused: %s", lines[i]);
		assert_int_equal(s.key.suite, SRTP_SUITE_32);
	}
}

static void
test_refused(void **state)
{
	static const char *const lines[] = {
		"",
		" ",
		"1",
		"1 AES_CM_128_HMAC_SHA1_80",
		"1 AES_CM_128_HMAC_SHA1_80 ",
		"x AES_CM_128_HMAC_SHA1_80 inline:" KEY,
		"-1 AES_CM_128_HMAC_SHA1_80 inline:" KEY,
		"1234567890 AES_CM_128_HMAC_SHA1_80 inline:" KEY,
		"1 AES_CM_128_HMAC_SHA1_8 inline:" KEY,
		"1 AES_CM_128_HMAC_SHA1_800 inline:" KEY,
		"1 AES_256_CM_HMAC_SHA1_80 inline:" KEY,
		"1 AEAD_AES_128_GCM inline:" KEY,
		"1 none inline:" KEY,
		"1 AES_CM_128_HMAC_SHA1_80 uri:" KEY,
		"1 AES_CM_128_HMAC_SHA1_80 inline:",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "=",
		"1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSo",
		"1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJS==",
		"1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAw_-oj",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "||1:1",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|0",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^0",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^49",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|281474976710657",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^31|",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^31|1",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^31|1:0",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^31|1:5",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^31|1:128",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^31|256:1",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^31|:4",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|1:4|2^31",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^31|1:4|1",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY " KDR=1",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY " UNENCRYPTED_SRTP",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY " UNENCRYPTED_SRTCP",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY " UNAUTHENTICATED_SRTP",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY " FEC_KEY=inline:" KEY,
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY " NEW",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY " WSH=",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY " WSH=x",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY " -",
	};
	struct sdes s, before;

	(void)state;
	memset(&s, 0x5a, sizeof(s));
	before = s;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		if (reads(lines[i], &s))
			fail_msg("taken: %s", lines[i]);
		assert_memory_equal(&s, &before, sizeof(s));
	}
}

static void
test_written_is_read(void **state)
{
	struct sdes s = { .tag = "7" }, again;
	uint8_t none[SRTP_MATERIAL] = { 0 };
	struct buf b;

	(void)state;
	buf_init(&b, 1024);
	for (int i = 0; i < 1000; i++) {
		sdes_make_key(&s.key, i % 2 ? SRTP_SUITE_80 : SRTP_SUITE_32);
		assert_memory_not_equal(s.key.material, none, sizeof(none));
		if (i % 3 == 0) {
			s.key.mki_len = (uint8_t)(1 + i % 4);
			memset(s.key.mki, 0xf0 + i % 7, s.key.mki_len);
		}
		buf_reset(&b);
		sdes_write(&b, &s);
		assert_memory_equal(b.data, "a=crypto:7 AES_CM_128_HMAC_SHA1_", 32);
		assert_memory_equal(b.data + b.len - 2, "\r\n", 2);
		assert_true(sdes_read(b.data + 9, b.len - 11, &again));
		assert_string_equal(again.tag, "7");
		assert_true(srtp_key_equal(&again.key, &s.key));
		sdes_make_key(&again.key, s.key.suite);
		assert_false(srtp_key_equal(&again.key, &s.key));
	}
	buf_finish(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc_lines),
		cmocka_unit_test(test_taken),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_written_is_read),
	};

	if (sodium_init() < 0)
		return 2;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
