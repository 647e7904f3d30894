/* clock.h - the only readers of clocks.  Tests replace this object file by a fake.
 * Monotonic time for deadlines, wall time for what people and the contract see. */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include "common/base.h"

int64_t clock_mono_ns(void);
int64_t clock_mono_ms(void);
int64_t clock_wall_ms(void); /* since 1970, UTC */

#define CLOCK_TEXT_SIZE 32
/* "2025-01-15T13:06:00Z" (seconds) and "2025-01-15T13:06:00.123Z". */
const char *clock_format_s(int64_t wall_ms, char out[CLOCK_TEXT_SIZE]);
const char *clock_format_ms(int64_t wall_ms, char out[CLOCK_TEXT_SIZE]);

#endif
