/* log.h - one event per line on stderr, logfmt:
 *   t=2026-01-15T13:06:00.123Z lvl=info p=sip-worker/w1 m=call event=state call=c-7 from=… to=…
 *
 * `module` and `event` are tokens; `fmt` prints the remaining key=value pairs.  Strings that a
 * peer chose go through log_quote().  No allocation, any thread, errno preserved; a line is one
 * write(2) and is cut at LOG_LINE_MAX.  Secrets never reach here. */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include "common/base.h"

#define LOG_LINE_MAX 2048

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERR };

/* program: "api-server" or "sip-worker/NAME".  Level: $HANDBACK_LOG (debug|info|warn|err). */
void log_init(const char *program);
void log_set_level(enum log_level min);
bool log_enabled(enum log_level lvl);

PRINTF(4, 5)
void log_line(enum log_level lvl, const char *module, const char *event, const char *fmt, ...);

#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_err(...)   log_line(LOG_ERR, __VA_ARGS__)

/* A peer's string, quoted and escaped for one logfmt value.  Up to 4 results live at once per
 * thread; each is cut at 200 bytes. */
const char *log_quote(const char *s);

/* For what a peer can trigger: true at most `per_second` times a second for this site; the next
 * allowed line may report `suppressed`.  Static storage, one thread each. */
struct log_limit {
	int64_t second;
	unsigned count;
	unsigned suppressed;
};
bool log_allowed(struct log_limit *l, unsigned per_second);

#endif
