/* store_kit.h - a store in a folder of its own, and requests that are waited for.
 * The account is "demo"; the asker's cmocka assertions fail where something cannot be. */
#ifndef TESTS_FAKES_STORE_KIT_H
#define TESTS_FAKES_STORE_KIT_H

#include "api-server/store/store.h"

extern char kit_dir[64], kit_path[128];
extern struct loop *kit_loop;
extern struct store *kit_store;
extern struct config kit_cfg;
extern int kit_done; /* answers since it was set to 0 */

/* Fixture of a test: folder, loop and open store. */
int kit_setup(void **state);
int kit_teardown(void **state);
void kit_open(void);
void kit_close(void);

/* done() of a request: counts. */
void kit_on_done(struct store_req *r);
/* Steps the loop until n answers came since kit_done was 0. */
void kit_wait(int n);
/* Submits and waits; the answer, or why it was not taken. */
enum err kit_run(struct store_req *r, enum store_op op);

/* ACTIVE, created at 1000, expires at 61000; the caller's to destroy. */
struct transfer *kit_transfer(const char *id, const char *conversation);
enum err kit_create(const char *id, const char *conversation);
/* The caller's to destroy; NULL: not found. */
struct transfer *kit_get(const char *id);
/* status "none": there is no such transfer. */
void kit_assert_status(const char *id, const char *status);

/* What a claim is made of; tag and conversation may be NULL. */
struct kit_claim {
	const char *id; /* NULL: header mode */
	const char *call, *token, *sip_call, *tag, *instance, *conversation;
	const char *const *gone;
	int64_t now;
};

enum err kit_claim_full(const struct kit_claim *k, struct store_transfer_claim *out);
enum err kit_claim(const struct kit_claim *k);
enum err kit_release(const char *call, const char *token, int64_t now);
enum err kit_complete(const char *call, const char *token, const char *output, int64_t at);
/* Entries as JSON text. */
enum err kit_report(const char *instance, const char *events);
/* Reports that a call came and was answered. */
enum err kit_answered(const char *call, const char *instance, int64_t at);
/* The file from outside: whole, and every reference leads somewhere. */
void kit_assert_sound(void);
/* How many claims were given up; reason "killed", at 5000. */
int64_t kit_reap(const char *instance, const char *const *except);

#endif
