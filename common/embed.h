/* embed.h - a file of the tree inside the program, by the assembler's .incbin, so that nothing has
 * to be installed beside it.  path is relative to the tree's top, where the compiler runs.
 *
 *   EMBED(schema_0001, "schema/sql/sqlite/0001_start.sql")
 *
 * declares schema_0001 and schema_0001_end; a NUL stands behind the last byte.  The compiler does
 * not see the file: the Makefile names it as a dependency (EMBEDDED). */
#ifndef COMMON_EMBED_H
#define COMMON_EMBED_H

/* clang-format off */
#define EMBED(name, path)                            \
	__asm__(".pushsection .rodata\n"             \
		"embed_" #name ":\n"                 \
		".incbin \"" path "\"\n"             \
		"embed_" #name "_end:\n"             \
		".byte 0\n"                          \
		".popsection\n");                    \
	extern const char name[] __asm__("embed_" #name); \
	extern const char name##_end[] __asm__("embed_" #name "_end");
/* clang-format on */

#endif
