#include "common/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/str.h"

static const struct err_row {
	const char *name;
	int http;
	const char *code;
	const char *text;
} rows[] = {
#define X(name, http, code, text) [ERR_##name] = { #name, http, code, text },
	ERR_LIST(X)
#undef X
};

static const struct err_row *
row(enum err e)
{
	return &rows[(unsigned)e < ERR_COUNT ? e : ERR_INTERNAL];
}

const char *
err_name(enum err e)
{
	return row(e)->name;
}

const char *
err_code(enum err e)
{
	return row(e)->code;
}

const char *
err_text(enum err e)
{
	return row(e)->text;
}

int
err_http(enum err e)
{
	return row(e)->http;
}

bool
err_from_name(const char *name, enum err *out)
{
	if (!name)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (strcmp(rows[i].name, name) == 0) {
			*out = (enum err)i;
			return true;
		}
	}
	return false;
}

enum err
err_from_errno(int errnum)
{
	switch (errnum) {
	case 0:
		return ERR_OK;
	case ENOMEM:
		return ERR_NOMEM;
	case EAGAIN:
	case EBUSY:
	case ENOBUFS:
	case EMFILE:
	case ENFILE:
		return ERR_BUSY;
	case EINTR:
		return ERR_RETRY;
	case ETIMEDOUT:
		return ERR_TIMEOUT;
	case EPIPE:
	case ECONNRESET:
	case ECONNREFUSED:
	case ECONNABORTED:
	case ENOTCONN:
	case ESHUTDOWN:
		return ERR_CLOSED;
	case ENOENT:
		return ERR_NOT_FOUND;
	case EACCES:
	case EPERM:
		return ERR_FORBIDDEN;
	case EEXIST:
	case EADDRINUSE:
		return ERR_CONFLICT;
	case EMSGSIZE:
	case EFBIG:
		return ERR_TOO_LARGE;
	case EINVAL:
	case ENAMETOOLONG:
		return ERR_INVALID;
	default:
		return ERR_IO;
	}
}

void
fault_set(struct fault *f, const char *where, const char *fmt, ...)
{
	va_list ap;

	if (!f)
		return;
	(void)str_copy(f->where, sizeof(f->where), where);
	va_start(ap, fmt);
	(void)vsnprintf(f->what, sizeof(f->what), fmt, ap);
	va_end(ap);
}
