/* config_rows.h - the configuration as tables: one row a key, read by the reader, the printer and
 * the destroyer alike.  Private to config*.c. */
#ifndef COMMON_CONFIG_ROWS_H
#define COMMON_CONFIG_ROWS_H

#include "common/config.h"
#include "common/yaml.h"

enum ctype {
	C_TEXT,     /* char * */
	C_PATH,     /* char *, relative to the file's folder */
	C_INT,      /* int64_t */
	C_INT32,    /* int */
	C_BOOL,     /* bool */
	C_DURATION, /* int64_t ms */
	C_SECONDS,  /* int64_t s, written as a duration */
	C_SIZE,     /* int64_t bytes */
	C_ENUM,     /* an enum, index into names */
	C_CHOICE,   /* bool, index into two names */
	C_ENUMS,    /* enum[as many as names], its size_t count at count_offset */
	C_SECRET,   /* struct secret; KEY_file: reads it from a file */
	C_HOST,     /* struct addr, port 0 */
	C_HOSTPORT, /* struct addr */
	C_CIDR,     /* struct cidr */
	C_PORTS,    /* uint16_t first, last: "20000-29999" */
	C_LISTEN,   /* struct sip_listen: "udp:HOST:PORT" */
	C_LIST,     /* T *items; size_t count: elements by `element` */
	C_MAP,      /* a struct with rows of its own (element of a list) */
};

struct crow {
	const char *path; /* dotted, within its table */
	enum ctype type;
	size_t offset;
	const char *def;  /* as it would stand in the file; NULL: absent; "!": must be given */
	int64_t min, max; /* numbers, in the unit of the type; 0, 0: any */
	const char *const *names;
	const struct crow *element; /* C_LIST: how an element is read */
	size_t element_size;
	size_t count_offset;     /* C_ENUMS: of the count, as offset is of the array */
	const struct crow *rows; /* C_MAP: its table … */
	size_t row_count;        /* … of so many */
};

extern const struct crow config_rows[];
extern const size_t config_row_count;
extern const struct crow account_rows[];
extern const size_t account_row_count;

struct creader {
	const char *name; /* of the file, for messages */
	const char *dir;  /* of relative paths */
	struct fault *f;
};

/* Reads the map `node` (NULL: empty) into the zeroed struct at base by the rows; what is absent
 * gets its default.  false: f is set; what was taken is freed by crows_finish(). */
MUST_USE bool crows_read(struct creader *r, const struct crow *rows, size_t count,
			 const struct ynode *node, void *base);
void crows_finish(const struct crow *rows, size_t count, void *base);
/* YAML, each line behind `indent` blanks; secrets masked. */
void
crows_print(const struct crow *rows, size_t count, const void *base, int indent, struct buf *out);

/* One scalar (config_value.c). */
MUST_USE bool
cvalue_read(struct creader *r, const struct crow *row, const struct ynode *node, void *at);
void cvalue_print(const struct crow *row, const void *at, struct buf *out);

PRINTF(3, 4)
bool creader_fail(struct creader *r, int line, const char *fmt, ...); /* always false */

#endif
