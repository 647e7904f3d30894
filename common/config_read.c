/* Maps and lists of the configuration, by the rows. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/config_rows.h"

#define ROWS_MAX   64
#define LIST_MAX   1000
#define SECRET_MAX 4096

/* How every list lies in memory. */
struct list_header {
	void *items;
	size_t count;
};

static void
value_finish(const struct crow *row, void *at)
{
	struct list_header *l = at;

	if (row->type == C_TEXT || row->type == C_PATH) {
		free(*(char **)at);
		*(char **)at = NULL;
	} else if (row->type == C_SECRET) {
		secret_finish(at);
	} else if (row->type == C_MAP) {
		crows_finish(row->rows, row->row_count, at);
	} else if (row->type == C_LIST) {
		for (size_t i = 0; i < l->count; i++)
			value_finish(row->element, (char *)l->items + i * row->element_size);
		free(l->items);
		*l = (struct list_header){ 0 };
	}
}

void
crows_finish(const struct crow *rows, size_t count, void *base)
{
	for (size_t i = 0; i < count; i++)
		value_finish(&rows[i], (char *)base + rows[i].offset);
}

static bool
read_list(struct creader *r, const struct crow *row, const struct ynode *n, struct list_header *l)
{
	if (n->kind != Y_SEQ)
		return creader_fail(r, n->line, "%s: expected a list", row->path);
	if (n->count > LIST_MAX)
		return creader_fail(r, n->line, "%s: at most %d are possible", row->path, LIST_MAX);
	/* An empty list is not an absent one: it has items, none of them. */
	l->items = calloc(n->count + 1, row->element_size);
	if (!l->items)
		return creader_fail(r, n->line, "out of memory");
	for (size_t i = 0; i < n->count; i++) {
		void *at = (char *)l->items + i * row->element_size;
		struct crow element = *row->element;

		l->count = i + 1; /* what was begun is freed too */
		if (element.type == C_MAP) {
			if (!crows_read(r, element.rows, element.row_count, n->items[i], at))
				return false;
			continue;
		}
		element.path = row->path; /* messages name the list */
		if (!cvalue_read(r, &element, n->items[i], at))
			return false;
	}
	return true;
}

static bool
read_row(struct creader *r, const struct crow *row, const struct ynode *n, void *base)
{
	void *at = (char *)base + row->offset;

	return row->type == C_LIST ? read_list(r, row, n, at) : cvalue_read(r, row, n, at);
}

/* KEY_file: the first line of the file is the secret. */
static bool
read_secret_file(struct creader *r, const struct crow *row, const struct ynode *n, void *base)
{
	struct crow path = { row->path, C_PATH, 0 };
	char *file = NULL, text[SECRET_MAX];
	ssize_t len;
	int fd;
	bool ok;

	if (!cvalue_read(r, &path, n, &file))
		return false;
	fd = open(file, O_RDONLY | O_CLOEXEC);
	len = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
	if (fd >= 0)
		close(fd);
	if (len < 0 || len == SECRET_MAX) {
		creader_fail(r, n->line, "%s_file: %s: %s", row->path, file,
			     len < 0 ? strerror(errno) : "too long");
		free(file);
		return false;
	}
	free(file);
	for (ssize_t i = 0; i < len; i++)
		if (text[i] == '\n' || text[i] == '\r')
			len = i;
	ok = secret_set((struct secret *)(void *)((char *)base + row->offset), text, (size_t)len);
	explicit_bzero(text, sizeof(text));
	return ok || creader_fail(r, n->line, "out of memory");
}

struct walk {
	struct creader *r;
	const struct crow *rows;
	size_t count;
	void *base;
	bool seen[ROWS_MAX];
};

/* The row of a key: exactly, as KEY_file, or -1; *section: it begins the path of others. */
static int
find_row(const struct walk *w, const char *path, bool *is_file, bool *section)
{
	size_t len = strlen(path);

	*is_file = *section = false;
	for (size_t i = 0; i < w->count; i++) {
		const char *p = w->rows[i].path;

		if (str_eq(p, path))
			return (int)i;
		if (w->rows[i].type == C_SECRET && str_starts(path, p) &&
		    str_eq(path + strlen(p), "_file")) {
			*is_file = true;
			return (int)i;
		}
		if (strncmp(p, path, len) == 0 && p[len] == '.')
			*section = true;
	}
	return -1;
}

static bool
walk(struct walk *w, const struct ynode *map, const char *prefix)
{
	if (map->kind != Y_MAP)
		return creader_fail(w->r, map->line, "%s%sexpected keys and values", prefix,
				    prefix[0] ? ": " : "");
	for (size_t i = 0; i < map->count; i++) {
		char path[256];
		bool is_file, section, ok;
		int at;

		if (!str_print(path, sizeof(path), "%s%s%s", prefix, prefix[0] ? "." : "",
			       map->keys[i]->text))
			return creader_fail(w->r, map->keys[i]->line, "unknown key");
		at = find_row(w, path, &is_file, &section);
		if (at < 0 && section)
			ok = walk(w, map->items[i], path);
		else if (at < 0)
			ok = creader_fail(w->r, map->keys[i]->line, "unknown key \"%s\"", path);
		else if (w->seen[at])
			ok = creader_fail(w->r, map->keys[i]->line,
					  "%s and %s_file: only one of them", w->rows[at].path,
					  w->rows[at].path);
		else if (is_file)
			ok = read_secret_file(w->r, &w->rows[at], map->items[i], w->base);
		else
			ok = read_row(w->r, &w->rows[at], map->items[i], w->base);
		if (!ok)
			return false;
		if (at >= 0)
			w->seen[at] = true;
	}
	return true;
}

static bool
read_default(struct walk *w, const struct crow *row, int line)
{
	struct ynode *n;
	bool ok;

	if (!row->def)
		return true;
	if (str_eq(row->def, "!"))
		return creader_fail(w->r, line, "\"%s\" is missing", row->path);
	n = yaml_parse(row->def, strlen(row->def), "default", false, w->r->f);
	ok = n && read_row(w->r, row, n, w->base);
	yaml_destroy(n);
	return ok;
}

bool
crows_read(struct creader *r, const struct crow *rows, size_t count, const struct ynode *node,
	   void *base)
{
	struct walk w = { .r = r, .rows = rows, .count = count, .base = base };

	assert(count <= ROWS_MAX);
	if (node && !walk(&w, node, ""))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!w.seen[i] && !read_default(&w, &rows[i], node ? node->line : 1))
			return false;
	return true;
}

/* --- printing --- */

/* How many leading sections a path shares with the one before, and their names where they differ.
 */
static const char *
print_sections(const char *path, const char *before, int indent, struct buf *out)
{
	const char *leaf = strrchr(path, '.') ? strrchr(path, '.') + 1 : path;

	for (const char *p = path; p < leaf;) {
		const char *dot = strchr(p, '.');
		size_t upto = (size_t)(dot - path) + 1;

		if (strncmp(path, before, upto) != 0)
			buf_printf(out, "%*s%.*s:\n", indent, "", (int)(dot - p), p);
		indent += 2;
		p = dot + 1;
	}
	return leaf;
}

static int
depth_of(const char *path)
{
	int n = 0;

	for (; *path; path++)
		n += *path == '.';
	return n;
}

static void
print_list(const struct crow *row, const struct list_header *l, int indent, struct buf *out)
{
	if (l->count == 0) {
		buf_add_str(out, " []\n");
		return;
	}
	buf_add_str(out, "\n");
	for (size_t i = 0; i < l->count; i++) {
		const void *at = (const char *)l->items + i * row->element_size;

		if (row->element->type == C_MAP) {
			buf_printf(out, "%*s-\n", indent + 2, "");
			crows_print(row->element->rows, row->element->row_count, at, indent + 4,
				    out);
		} else {
			buf_printf(out, "%*s- ", indent + 2, "");
			cvalue_print(row->element, at, out);
			buf_add_str(out, "\n");
		}
	}
}

static bool
is_absent(const struct crow *row, const void *at)
{
	if (row->type == C_LIST)
		return !((const struct list_header *)at)->items;
	return (row->type == C_TEXT || row->type == C_PATH) && !*(char *const *)at;
}

void
crows_print(const struct crow *rows, size_t count, const void *base, int indent, struct buf *out)
{
	const char *before = "";

	for (size_t i = 0; i < count; i++) {
		const void *at = (const char *)base + rows[i].offset;
		int deep = indent + 2 * depth_of(rows[i].path);
		const char *leaf;

		if (is_absent(&rows[i], at))
			continue;
		leaf = print_sections(rows[i].path, before, indent, out);
		before = rows[i].path;
		buf_printf(out, "%*s%s:", deep, "", leaf);
		if (rows[i].type == C_LIST) {
			print_list(&rows[i], at, deep, out);
			continue;
		}
		buf_add_str(out, " ");
		cvalue_print(&rows[i], at, out);
		buf_add_str(out, "\n");
	}
}
