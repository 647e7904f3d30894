#include "sip-worker/speech/text.h"

#include <string.h>

/* U+00C0..U+00FF and U+0100..U+017F without their accents. */
static const char *const latin1[64] = {
	"A", "A", "A", "A", "A", "A", "AE", "C", "E", "E", "E", "E", "I", "I", "I", "I",
	"D", "N", "O", "O", "O", "O", "O",  " ", "O", "U", "U", "U", "U", "Y", "T", "ss",
	"a", "a", "a", "a", "a", "a", "ae", "c", "e", "e", "e", "e", "i", "i", "i", "i",
	"d", "n", "o", "o", "o", "o", "o",  " ", "o", "u", "u", "u", "u", "y", "t", "y",
};
static const char latin_a[] = "AaAaAaCcCcCcCcDdDdEeEeEeEeEeGgGgGgGgHhHhIiIiIiIi"
			      "IiIiJjKkkLlLlLlLlLlNnNnNnnNnOoOoOoOoRrRrRrSsSsSs"
			      "SsTtTtTtUuUuUuUuUuUuWwYyYZzZzZzs";

/* clang-format off */
static const struct { uint32_t code; const char *text; } words[] = {
	{ 0x00a3, " pounds " }, { 0x00a5, " yen " }, { 0x00b0, " degrees " }, { 0x20ac, " euros " },
	{ 0x2010, "-" }, { 0x2011, "-" }, { 0x2012, "-" }, { 0x2013, ", " }, { 0x2014, ", " },
	{ 0x2018, "'" }, { 0x2019, "'" }, { 0x2026, ". " }, { 0x2122, " " },
};
/* clang-format on */

static const char plain[] = " .,;:?!'-$%&@/+=";

/* One code point; malformed bytes count as U+FFFD, one at a time. */
static size_t
decode(const unsigned char *s, uint32_t *out)
{
	size_t more = s[0] < 0x80 ? 0 : s[0] >= 0xf0 ? 3 : s[0] >= 0xe0 ? 2 : 1;
	uint32_t c = more == 0 ? s[0] : more == 3 ? s[0] & 7u : more == 2 ? s[0] & 15u : s[0] & 31u;

	*out = 0xfffd;
	if (s[0] >= 0x80 && (s[0] < 0xc2 || s[0] > 0xf4))
		return 1;
	for (size_t i = 1; i <= more; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 1;
		c = c << 6 | (s[i] & 0x3fu);
	}
	*out = c;
	return more + 1;
}

static const char *
spoken(uint32_t c, char one[2])
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	    (c != 0 && c < 0x80 && strchr(plain, (int)c))) {
		one[0] = (char)c;
		return one;
	}
	if (c >= 0xc0 && c <= 0xff)
		return latin1[c - 0xc0];
	if (c >= 0x100 && c < 0x180) {
		one[0] = latin_a[c - 0x100];
		return one;
	}
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (words[i].code == c)
			return words[i].text;
	}
	return " ";
}

struct sink {
	char *out;
	size_t size, len, word;
	bool speakable;
	char repeat; /* punctuation just written: "!!!!" is one "!" */
};

static void
put(struct sink *k, char c)
{
	bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

	if (k->len + 2 >= k->size || (!alnum && c == k->repeat))
		return;
	if (c == ' ' && k->len == 0)
		return;
	if (c != ' ' && ++k->word > SPEECH_WORD_MAX) {
		k->out[k->len++] = ' ';
		k->word = 1;
	}
	if (c == ' ')
		k->word = 0;
	k->out[k->len++] = c;
	k->repeat = alnum ? 0 : c;
	k->speakable |= alnum || c == '$' || c == '%' || c == '&' || c == '@' || c == '+';
}

size_t
speech_text_clean(const char *in, char *out, size_t size)
{
	struct sink k = { .out = out, .size = size };

	assert(size > 0);
	for (const unsigned char *s = (const unsigned char *)in; *s && k.len + 2 < size;) {
		char one[2] = { 0 };
		uint32_t c;

		s += decode(s, &c);
		for (const char *t = spoken(c, one); *t; t++)
			put(&k, *t);
	}
	while (k.len > 0 && out[k.len - 1] == ' ')
		k.len--;
	if (!k.speakable)
		k.len = 0;
	out[k.len] = 0;
	return k.len;
}

size_t
speech_text_sentence(const char *text, size_t *skip)
{
	size_t space = 0, i;

	for (i = 0; i < SPEECH_SENTENCE_MAX && text[i]; i++) {
		bool end = text[i] == '.' || text[i] == '?' || text[i] == '!';

		if (end && (text[i + 1] == ' ' || text[i + 1] == 0) && i >= 20)
			break;
		if (text[i] == ' ')
			space = i;
	}
	if (i < SPEECH_SENTENCE_MAX && text[i])
		i++; /* with its full stop */
	else if (text[i] && space > 0)
		i = space;
	*skip = i;
	while (text[*skip] == ' ')
		(*skip)++;
	return i;
}
