/* The line test: the caller hears himself.  Ends by hang-up or max_duration. */
#include "sip-worker/agent/brain.h"

static enum err
echo_open(struct talk *t, void **state)
{
	*state = t;
	talk_ready(t);
	return ERR_OK;
}

static void
echo_begin(void *state)
{
	talk_loopback(state, true);
}

static void
echo_close(void *state)
{
	(void)state; /* the talk itself */
}

const struct brain_ops brain_echo = {
	.name = "echo",
	.open = echo_open,
	.begin = echo_begin,
	.close = echo_close,
};
