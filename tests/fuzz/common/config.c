/* Any bytes as the configuration: refused with a place, or read; what is read prints as a file that
 * is read again and prints the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct config *
parse(const char *text, size_t len, struct fault *f)
{
	return config_parse(text, len, "fuzz.yaml", "/nonexistent", f);
}

static void
print_again(const struct config *c, const struct buf *first)
{
	struct fault f = { 0 };
	struct config *again = parse(first->data, first->len, &f);
	struct buf second;

	if (!again) {
		fprintf(stderr, "%s: %s\n%s", f.where, f.what, first->data);
		abort();
	}
	buf_init(&second, 16u << 20);
	config_print(again, &second);
	if (c->account_count != again->account_count || strcmp(first->data, second.data) != 0)
		abort();
	buf_finish(&second);
	config_destroy(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fault f = { 0 };
	struct config *c;
	struct buf text;

	/* The configuration may name any file; the fuzzer must not read this machine's devices. */
	if (memmem(data, size, "/dev", 4) || memmem(data, size, "/proc", 5))
		return 0;
	c = parse((const char *)data, size, &f);
	if (!c) {
		if (!f.what[0])
			abort();
		return 0;
	}
	buf_init(&text, 16u << 20);
	config_print(c, &text);
	print_again(c, &text);
	buf_finish(&text);
	config_destroy(c);
	return 0;
}
