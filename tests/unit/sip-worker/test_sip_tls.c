/* tls.c as the library uses it: contexts that it makes, connections from them over a pair of BIOs. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/str.h"
#include "sip-worker/sip/tls.h"

static char folder[64];
static char pem[2][128], key[2][128], locked[128], missing[128];

/* --- certificates --- */

static void
add_names(X509 *cert, const char *names)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);

	assert_non_null(e);
	assert_true(X509_add_ext(cert, e, -1));
	X509_EXTENSION_free(e);
}

static X509 *
make_certificate(EVP_PKEY *pkey, const char *cn, const char *names)
{
	X509 *cert = X509_new();
	X509_NAME *name = X509_get_subject_name(cert);

	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -60);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, pkey);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(cert, name);
	add_names(cert, names);
	assert_true(X509_sign(cert, pkey, EVP_sha256()) > 0);
	return cert;
}

static FILE *
open_file(const char *path)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	return f;
}

static void
write_key(const char *path, EVP_PKEY *pkey, const char *password)
{
	FILE *f = open_file(path);

	assert_true(PEM_write_PrivateKey(f, pkey, password ? EVP_aes_128_cbc() : NULL,
					 (const unsigned char *)password,
					 password ? (int)strlen(password) : 0, NULL, NULL));
	fclose(f);
}

static int
setup(void **state)
{
	static const char *const names[] = { "DNS:one.example,DNS:*.wild.example,IP:192.0.2.1",
					     "DNS:two.example" };

	(void)state;
	str_copy(folder, sizeof folder, "/tmp/test_sip_tls.XXXXXX");
	assert_non_null(mkdtemp(folder));
	for (int i = 0; i < 2; i++) {
		EVP_PKEY *pkey = EVP_EC_gen("P-256");
		X509 *cert = make_certificate(pkey, names[i] + 4, names[i]);
		FILE *f;

		str_print(pem[i], sizeof pem[i], "%s/%d.pem", folder, i);
		str_print(key[i], sizeof key[i], "%s/%d.key", folder, i);
		f = open_file(pem[i]);
		assert_true(PEM_write_X509(f, cert));
		fclose(f);
		write_key(key[i], pkey, NULL);
		str_print(locked, sizeof locked, "%s/locked.key", folder);
		if (i == 0)
			write_key(locked, pkey, "secret");
		X509_free(cert);
		EVP_PKEY_free(pkey);
	}
	str_print(missing, sizeof missing, "%s/missing", folder);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		unlink(pem[i]);
		unlink(key[i]);
	}
	unlink(locked);
	return rmdir(folder);
}

/* --- the library's part --- */

static struct sip_listen listener = { .transport = SIP_TLS };

/* Trusts itself. */
static struct config
config_of(int i)
{
	struct config cfg = { 0 };

	cfg.sip.listen = &listener;
	cfg.sip.listen_count = 1;
	cfg.sip.tls_certificate = pem[i];
	cfg.sip.tls_key = key[i];
	cfg.sip.tls_ca = pem[i];
	cfg.sip.tls_verify_servers = true;
	return cfg;
}

static SSL_CTX *
library_context(void)
{
	SSL_CTX *ctx;

	tls_adopt(true);
	ctx = SSL_CTX_new(TLS_method());
	tls_adopt(false);
	assert_non_null(ctx);
	return ctx;
}

struct pair {
	SSL *client, *server;
	BIO *bios[2];
	SSL_CTX *ctx;
};

static void
open_pair(struct pair *p, SSL_CTX *ctx, const char *name)
{
	assert_true(BIO_new_bio_pair(&p->bios[0], 0, &p->bios[1], 0));
	p->ctx = ctx;
	tls_dialling(name);
	p->client = SSL_new(ctx);
	tls_dialled();
	p->server = SSL_new(ctx);
	assert_non_null(p->client);
	assert_non_null(p->server);
	SSL_set_bio(p->client, p->bios[0], p->bios[0]);
	SSL_set_bio(p->server, p->bios[1], p->bios[1]);
}

/* As tls_free() of the library: it forgets the SSL, and drops a reference to its context. */
static void
close_pair(struct pair *p)
{
	SSL_shutdown(p->client);
	SSL_CTX_free(p->ctx);
	BIO_free(p->bios[0]);
	SSL_shutdown(p->server);
	SSL_CTX_free(p->ctx);
	BIO_free(p->bios[1]);
}

static bool
is_waiting(SSL *ssl, int ret)
{
	return ret <= 0 && SSL_get_error(ssl, ret) == SSL_ERROR_WANT_READ;
}

static bool
shake(struct pair *p)
{
	int c = 0, s = 0;

	for (int i = 0; i < 10 && (c <= 0 || s <= 0); i++) {
		if (c <= 0) {
			c = SSL_connect(p->client);
			if (c <= 0 && !is_waiting(p->client, c))
				return false;
		}
		if (s <= 0) {
			s = SSL_accept(p->server);
			if (s <= 0 && !is_waiting(p->server, s))
				return false;
		}
	}
	return c > 0 && s > 0;
}

static bool
connects(SSL_CTX *ctx, const char *name)
{
	struct pair p;
	bool ok;

	open_pair(&p, ctx, name);
	ok = shake(&p);
	close_pair(&p);
	return ok;
}

/* --- tests --- */

static void
test_names(void **state)
{
	/* clang-format off */
	static const struct { const char *name; bool good; } cases[] = {
		{ "one.example", true },
		{ "ONE.example", true },
		{ "192.0.2.1", true },
		{ "a.wild.example", true },
		{ "a.b.wild.example", false },
		{ "two.example", false },
		{ "192.0.2.2", false },
		{ "2001:db8::1", false },
		{ "[2001:db8::1]", false },
		{ "one.example.evil.example", false },
		{ "evil.example", false },
		{ NULL, false }, /* the library dials by itself */
	};
	/* clang-format on */
	struct config cfg = config_of(0);
	struct fault f;
	SSL_CTX *ctx;

	(void)state;
	assert_true(tls_load(&cfg, &f));
	ctx = library_context();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (connects(ctx, cases[i].name) != cases[i].good)
			fail_msg("%s", cases[i].name ? cases[i].name : "no name");
	cfg.sip.tls_verify_servers = false;
	assert_true(tls_load(&cfg, &f));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_true(connects(ctx, cases[i].name));
	SSL_CTX_free(ctx);
	tls_unload();
}

static void
test_clients_are_verified(void **state)
{
	struct config cfg = config_of(0);
	struct fault f;
	SSL_CTX *ctx, *other = SSL_CTX_new(TLS_client_method());

	(void)state;
	cfg.sip.tls_verify_clients = true;
	assert_true(tls_load(&cfg, &f));
	ctx = library_context();
	assert_true(connects(ctx, "one.example"));
	/* A client of others: without a certificate, and with one of nobody's. */
	for (int i = 0; i < 2; i++) {
		struct pair p;

		open_pair(&p, ctx, "one.example");
		SSL_shutdown(p.client);
		SSL_CTX_free(ctx);
		if (i == 1) {
			assert_true(SSL_CTX_use_certificate_file(other, pem[1], SSL_FILETYPE_PEM));
			assert_true(SSL_CTX_use_PrivateKey_file(other, key[1], SSL_FILETYPE_PEM));
		}
		p.client = SSL_new(other);
		BIO_up_ref(p.bios[0]);
		SSL_set_bio(p.client, p.bios[0], p.bios[0]);
		assert_false(shake(&p));
		SSL_free(p.client);
		BIO_free(p.bios[0]);
		SSL_shutdown(p.server);
		SSL_CTX_free(ctx);
		BIO_free(p.bios[1]);
	}
	SSL_CTX_free(other);
	SSL_CTX_free(ctx);
	tls_unload();
}

static void
test_a_reload_is_for_what_comes(void **state)
{
	struct config one = config_of(0), two = config_of(1), bad = config_of(1);
	struct fault f;
	struct pair p;
	SSL_CTX *ctx;
	char byte;

	(void)state;
	assert_true(tls_load(&one, &f));
	ctx = library_context();
	open_pair(&p, ctx, "one.example");
	assert_true(shake(&p));
	assert_true(tls_load(&two, &f));
	assert_false(connects(ctx, "one.example"));
	assert_true(connects(ctx, "two.example"));
	bad.sip.tls_key = key[0];
	assert_false(tls_load(&bad, &f));
	assert_true(connects(ctx, "two.example"));
	/* what was open stays */
	assert_int_equal(SSL_write(p.client, "x", 1), 1);
	assert_int_equal(SSL_read(p.server, &byte, 1), 1);
	close_pair(&p);
	SSL_CTX_free(ctx);
	tls_unload();
}

static void
test_errors_of_others(void **state)
{
	struct config cfg = config_of(0);
	struct fault f;
	struct pair p;
	SSL_CTX *ctx;
	char byte;

	(void)state;
	assert_true(tls_load(&cfg, &f));
	ctx = library_context();
	open_pair(&p, ctx, "one.example");
	assert_true(shake(&p));
	ERR_put_error(ERR_LIB_SSL, 0, SSL_R_HTTP_REQUEST, __FILE__, __LINE__);
	assert_true(is_waiting(p.server, SSL_read(p.server, &byte, 1)));
	ERR_put_error(ERR_LIB_SSL, 0, SSL_R_HTTP_REQUEST, __FILE__, __LINE__);
	assert_int_equal(SSL_write(p.server, "x", 1), 1);
	/* and the library is told of no certificate, whose names it would leak */
	assert_null(SSL_get1_peer_certificate(p.client));
	close_pair(&p);
	SSL_CTX_free(ctx);
	tls_unload();
}

static void
test_mistakes(void **state)
{
	/* clang-format off */
	static const struct { const char *certificate, *key, *ca, *where; } cases[] = {
		{ missing, key[0], NULL, "sip.tls.certificate" },
		{ key[0], key[0], NULL, "sip.tls.certificate" },
		{ pem[0], missing, NULL, "sip.tls.key" },
		{ pem[0], pem[0], NULL, "sip.tls.key" },
		{ pem[0], key[1], NULL, "sip.tls.key" },
		{ pem[0], locked, NULL, "sip.tls.key" }, /* nobody is asked for a password */
		{ pem[0], key[0], missing, "sip.tls.ca" },
		{ pem[0], key[0], key[0], "sip.tls.ca" },
		{ NULL, NULL, NULL, "sip.tls" },
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct config cfg = config_of(0);
		struct fault f = { 0 };

		cfg.sip.tls_certificate = (char *)(uintptr_t)cases[i].certificate;
		cfg.sip.tls_key = (char *)(uintptr_t)cases[i].key;
		cfg.sip.tls_ca = (char *)(uintptr_t)cases[i].ca;
		assert_false(tls_check(&cfg, &f));
		assert_string_equal(f.where, cases[i].where);
		assert_true(f.what[0] != '\0');
		assert_int_equal(ERR_peek_error(), 0);
		listener.transport = SIP_UDP;
		assert_true(tls_check(&cfg, &f));
		listener.transport = SIP_TLS;
	}
}

/* Connections of anybody else in the process are none of our business. */
static void
test_others(void **state)
{
	struct config cfg = config_of(0);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	struct fault f;
	SSL *ssl;

	(void)state;
	assert_true(tls_load(&cfg, &f));
	tls_dialling("one.example");
	ssl = SSL_new(ctx);
	tls_dialled();
	assert_ptr_equal(SSL_get_SSL_CTX(ssl), ctx);
	assert_null(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
	SSL_shutdown(ssl);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	tls_unload();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_clients_are_verified),
		cmocka_unit_test(test_a_reload_is_for_what_comes),
		cmocka_unit_test(test_errors_of_others),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_others),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
