/* digits.h - key presses to entries: the longest match among what is asked for now (DESIGN.md 7).
 *
 * An entry ends by '#', by being matched when nothing longer could match, or, where something
 * longer could, by DIGITS_GAP_MS without a key.  Where keys run past every candidate, the longest
 * one that they begin with is taken and the rest is kept: a caller may type ahead.  Pure. */
#ifndef SIP_WORKER_AGENT_DIGITS_H
#define SIP_WORKER_AGENT_DIGITS_H

#include "common/base.h"

#define DIGITS_MAX    32
#define DIGITS_GAP_MS 2000

struct digits {
	char keys[DIGITS_MAX + 1];
	size_t len;
	bool ended; /* by '#' */
};

enum digits_result {
	DIGITS_NONE,     /* nothing was entered */
	DIGITS_WAIT,     /* more could come: wait DIGITS_GAP_MS, then digits_take(…, true) */
	DIGITS_MATCH,    /* *index says which candidate */
	DIGITS_NO_MATCH, /* what was entered is none */
};

/* Keys beyond DIGITS_MAX are ignored; so is what is no key (0-9, *, #, A-D). */
void digits_add(struct digits *d, char key, const char *const *candidates, size_t count);
/* Takes one entry off the front; call until NONE or WAIT.  late: the gap has passed.
 * entered receives what was taken (DIGITS_MAX + 1 bytes). */
enum digits_result digits_take(struct digits *d, const char *const *candidates, size_t count,
			       bool late, size_t *index, char *entered);
void digits_clear(struct digits *d);

#endif
