#include "common/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/str.h"

static const char *const level_names[] = { "debug", "info", "warn", "err" };
static _Atomic int min_level = LOG_INFO;
static char program_name[96] = "-";

void
log_init(const char *program)
{
	const char *level = getenv("HANDBACK_LOG");

	(void)str_copy(program_name, sizeof(program_name), program);
	for (size_t i = 0; level && i < ARRAY_LEN(level_names); i++) {
		if (strcmp(level, level_names[i]) == 0)
			log_set_level((enum log_level)i);
	}
}

void
log_set_level(enum log_level min)
{
	atomic_store_explicit(&min_level, (int)min, memory_order_relaxed);
}

bool
log_enabled(enum log_level lvl)
{
	return (int)lvl >= atomic_load_explicit(&min_level, memory_order_relaxed);
}

/* One event is one line whatever a value holds. */
static void
flatten(char *line, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = ' ';
	}
}

static size_t
clamp(int printed, size_t room)
{
	if (printed < 0)
		return 0;
	return (size_t)printed < room ? (size_t)printed : room - 1;
}

void
log_line(enum log_level lvl, const char *module, const char *event, const char *fmt, ...)
{
	char line[LOG_LINE_MAX], when[CLOCK_TEXT_SIZE];
	size_t len, room = sizeof(line) - 1; /* the line feed always fits */
	struct pollfd err = { .fd = STDERR_FILENO, .events = POLLOUT };
	int saved = errno;
	va_list ap;

	if (!log_enabled(lvl))
		return;
	len = clamp(snprintf(line, room, "t=%s lvl=%s p=%s m=%s event=%s ",
			     clock_format_ms(clock_wall_ms(), when), level_names[lvl], program_name,
			     module, event),
		    room);
	va_start(ap, fmt);
	len += clamp(vsnprintf(line + len, room - len, fmt, ap), room - len);
	va_end(ap);
	while (len > 0 && line[len - 1] == ' ')
		len--;
	flatten(line, len);
	line[len++] = '\n';
	/* Nobody reading our log must not stop a loop: the line is lost instead. */
	if (poll(&err, 1, 0) == 1 && (err.revents & POLLOUT))
		(void)!write(err.fd, line, len);
	errno = saved;
}

#define QUOTE_MAX  200
#define QUOTE_LIVE 4

static size_t
quote_byte(char *out, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";

	if (c == '"' || c == '\\') {
		out[0] = '\\';
		out[1] = (char)c;
		return 2;
	}
	if (c < 0x20 || c == 0x7f) {
		out[0] = '\\';
		out[1] = 'x';
		out[2] = hex[c >> 4];
		out[3] = hex[c & 15];
		return 4;
	}
	out[0] = (char)c;
	return 1;
}

const char *
log_quote(const char *s)
{
	static _Thread_local char ring[QUOTE_LIVE][QUOTE_MAX + 1];
	static _Thread_local unsigned turn;
	char *out = ring[turn++ % QUOTE_LIVE];
	size_t n = 0;

	if (!s)
		s = "";
	out[n++] = '"';
	/* Room for one escaped byte, the mark of a cut and the closing quote. */
	while (*s && n + 4 + 3 + 1 <= QUOTE_MAX)
		n += quote_byte(out + n, (unsigned char)*s++);
	if (*s) {
		memcpy(out + n, "...", 3);
		n += 3;
	}
	out[n++] = '"';
	out[n] = '\0';
	return out;
}

bool
log_allowed(struct log_limit *l, unsigned per_second)
{
	int64_t now = clock_mono_ms() / 1000;

	if (now != l->second) {
		l->second = now;
		l->count = 0;
	}
	if (l->count >= per_second) {
		l->suppressed++;
		return false;
	}
	l->count++;
	return true;
}
