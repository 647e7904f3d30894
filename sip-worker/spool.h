/* spool.h - what must not be lost while api-server is away: one file per message, written and
 * synced by a thread of its own, so that the signalling loop never waits for a disk.
 *
 * The folder is <worker.spool>/<worker name> and locked: it belongs to one process.  Files left by
 * an earlier one are handed out by spool_load() at start. */
#ifndef SIP_WORKER_SPOOL_H
#define SIP_WORKER_SPOOL_H

#include <jansson.h>

#include "common/base.h"
#include "common/err.h"
#include "common/mailbox.h"

struct spool;

/* results: where done() of spool_write() runs.  NULL with f set. */
struct spool *
spool_open(const char *dir, const char *name, struct mailbox *results, struct fault *f);
void spool_close(struct spool *s); /* writes what was asked for, then stops; NULL ok */

/* Writes msg (borrowed; encoded at once) under the number; done(arg, ok) when it is on disk. */
typedef void spool_done_h(void *arg, bool ok);
MUST_USE enum err
spool_write(struct spool *s, uint64_t number, const json_t *msg, spool_done_h *done, void *arg);
/* It was delivered. */
void spool_remove(struct spool *s, uint64_t number);
/* At start, calling thread: each file of an earlier process; numbers handed out are not used again.
 */
void spool_load(struct spool *s, void (*fn)(void *arg, uint64_t number, json_t *msg), void *arg);
uint64_t spool_next_number(struct spool *s);

#endif
