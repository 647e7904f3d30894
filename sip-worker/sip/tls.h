/* tls.h - what the library does with OpenSSL, done right.
 *
 * Debian's sofia-sip never frees a connection's SSL object, sends no certificate chain, cannot
 * change a certificate, and lets the failed handshake of one connection break another.  It calls
 * OpenSSL by way of the dynamic symbol table, so functions of those names in the program are the
 * ones it calls (as with accept(), guard.c).  Each connection of a TLS listener gets a context of
 * ours: TLS 1.2 and 1.3, chain, client and server verification; a reload replaces the context and
 * leaves connections alone.  For everybody else in the process the functions are OpenSSL's own.
 *
 * One stack per process.  Signalling loop only, but for the functions of OpenSSL themselves. */
#ifndef SIP_WORKER_SIP_TLS_H
#define SIP_WORKER_SIP_TLS_H

#include "common/addr.h"
#include "common/config.h"
#include "common/err.h"

/* Can sip.tls of cfg be used?  True without a tls listener. */
MUST_USE bool tls_check(const struct config *cfg, struct fault *f);
/* Takes sip.tls for the connections to come; false: f says why, what was in force stays. */
MUST_USE bool tls_load(const struct config *cfg, struct fault *f);
void tls_unload(void);
/* While on, contexts that the library makes are those of our listeners. */
void tls_adopt(bool on);
/* Until tls_dialled(), connections that the library opens are to the server of this name (or
 * address): its certificate must say so where servers are verified.  Without a name none is opened
 * then.  The name is borrowed until tls_dialled(). */
void tls_dialling(const char *name);
void tls_dialled(void);

/* For --ping: one request over a connected, blocking fd with a timeout set; the answer as text.
 * Nobody's certificate is verified.  false: no answer. */
MUST_USE bool
tls_ask(const struct config *cfg, int fd, const char *request, char *answer, size_t size);

#endif
