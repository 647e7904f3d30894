#include "api-server/http/tls.h"

#include <dlfcn.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>
#include <string.h>

#include "api-server/http/conn.h"

#define CHAIN_MAX 8 /* certificates */

struct tls {
	gnutls_pcert_st chain[CHAIN_MAX];
	unsigned chain_len;
	gnutls_privkey_t key;
};

/* GnuTLS's callback has no argument of ours. */
static struct tls *in_force;

static bool
load_chain(struct tls *t, const char *file, struct fault *f)
{
	gnutls_datum_t text;
	unsigned len = CHAIN_MAX;
	int rc = gnutls_load_file(file, &text);

	if (rc < 0) {
		fault_set(f, "api.tls.certificate", "%s: cannot be read", file);
		return false;
	}
	rc = gnutls_pcert_list_import_x509_raw(t->chain, &len, &text, GNUTLS_X509_FMT_PEM, 0);
	gnutls_free(text.data);
	if (rc < 0) {
		fault_set(f, "api.tls.certificate", "%s: %s", file, gnutls_strerror(rc));
		return false;
	}
	t->chain_len = len;
	return true;
}

static bool
load_key(struct tls *t, const char *file, struct fault *f)
{
	gnutls_datum_t text;
	int rc = gnutls_load_file(file, &text);

	if (rc < 0) {
		fault_set(f, "api.tls.key", "%s: cannot be read", file);
		return false;
	}
	rc = gnutls_privkey_init(&t->key);
	if (rc >= 0)
		rc = gnutls_privkey_import_x509_raw(t->key, &text, GNUTLS_X509_FMT_PEM, NULL, 0);
	gnutls_memset(text.data, 0, text.size);
	gnutls_free(text.data);
	if (rc < 0)
		fault_set(f, "api.tls.key", "%s: %s", file, gnutls_strerror(rc));
	return rc >= 0;
}

static bool
key_fits(const struct tls *t)
{
	unsigned char of_chain[64], of_key[64];
	size_t chain_len = sizeof(of_chain), key_len = sizeof(of_key);
	gnutls_pubkey_t pub;
	bool fits;

	if (gnutls_pubkey_init(&pub) < 0)
		return false;
	fits = gnutls_pubkey_import_privkey(pub, t->key, 0, 0) >= 0 &&
	       gnutls_pubkey_get_key_id(pub, GNUTLS_KEYID_USE_SHA256, of_key, &key_len) >= 0 &&
	       gnutls_pubkey_get_key_id(t->chain[0].pubkey, GNUTLS_KEYID_USE_SHA256, of_chain,
					&chain_len) >= 0 &&
	       key_len == chain_len && !memcmp(of_key, of_chain, key_len);
	gnutls_pubkey_deinit(pub);
	return fits;
}

struct tls *
tls_load(const char *certificate, const char *key, struct fault *f)
{
	struct tls *t = calloc(1, sizeof(*t));

	if (!t) {
		fault_set(f, "api.tls", "out of memory");
		return NULL;
	}
	if (load_chain(t, certificate, f) && load_key(t, key, f)) {
		if (key_fits(t))
			return t;
		fault_set(f, "api.tls.key", "%s: is not the key of %s", key, certificate);
	}
	tls_destroy(t);
	return NULL;
}

void
tls_destroy(struct tls *t)
{
	if (!t)
		return;
	if (in_force == t)
		in_force = NULL;
	for (unsigned i = 0; i < t->chain_len; i++)
		gnutls_pcert_deinit(&t->chain[i]);
	if (t->key)
		gnutls_privkey_deinit(t->key);
	free(t);
}

void
tls_use(struct tls *t)
{
	in_force = t;
}

static int
on_certificate(gnutls_session_t session, const gnutls_datum_t *cas, int ca_count,
	       const gnutls_pk_algorithm_t *algos, int algo_count, gnutls_pcert_st **chain,
	       unsigned *chain_len, gnutls_privkey_t *key)
{
	(void)session, (void)cas, (void)ca_count, (void)algos, (void)algo_count;
	if (!in_force)
		return -1;
	*chain = in_force->chain;
	*chain_len = in_force->chain_len;
	*key = in_force->key;
	return 0;
}

void *
tls_callback(void)
{
	/* ISO C has no conversion from function to object pointer; POSIX and the library do. */
	union {
		gnutls_certificate_retrieve_function2 *fn;
		void *ptr;
	} u = { .fn = on_certificate };

	return u.ptr;
}

static void
send_tls(struct conn *c, void *session, const char *text, size_t len)
{
	(void)c;
	gnutls_record_send(session, text, len);
}

static ssize_t
library_recv(gnutls_session_t session, void *data, size_t len)
{
	static union {
		void *ptr;
		ssize_t (*fn)(gnutls_session_t, void *, size_t);
	} real;

	if (!real.ptr)
		real.ptr = dlsym(RTLD_NEXT, "gnutls_record_recv");
	return real.ptr ? real.fn(session, data, len) : GNUTLS_E_PULL_ERROR;
}

/* In place of the library's, for the whole program: see conn.h. */
ssize_t
gnutls_record_recv(gnutls_session_t session, void *data, size_t len)
{
	struct conn *c = conn_find(gnutls_transport_get_int(session));
	ssize_t n;

	if (c && c->refusal)
		return conn_received(c, data, 0, send_tls, session);
	n = library_recv(session, data, len);
	return c ? conn_received(c, data, n, send_tls, session) : n;
}
