/* tls.h - the certificate of api.tls, and the guard on decrypted bytes.
 *
 * libmicrohttpd cannot change a running daemon's certificate, so GnuTLS asks us for it at every
 * handshake.  A replaced one is kept until no handshake can still use it.  Loop thread only. */
#ifndef API_SERVER_HTTP_TLS_H
#define API_SERVER_HTTP_TLS_H

#include "common/base.h"
#include "common/config.h"
#include "common/err.h"

struct tls;

/* NULL with f set: a file cannot be read, is no PEM, key and certificate do not match. */
struct tls *tls_load(const char *certificate, const char *key, struct fault *f);
void tls_destroy(struct tls *t); /* NULL ok */
/* The one in force from now on (NULL: none); t stays the caller's. */
void tls_use(struct tls *t);
/* gnutls_certificate_retrieve_function2 *, for MHD_OPTION_HTTPS_CERT_CALLBACK. */
void *tls_callback(void);

#endif
