#include "common/call_event.h"

#include "common/base.h"

const char *const call_event_names[CALL_EVENT_COUNT + 1] = {
#define X(sym, wire) [CALL_EVENT_##sym] = (wire),
	CALL_EVENT_LIST(X)
#undef X
		[CALL_EVENT_COUNT] = NULL,
};
