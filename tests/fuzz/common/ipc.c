/* Bytes from a peer on a real socket pair, in pieces the input chooses: frames are delivered or
 * the peer ends once; every delivered message can be sent back. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/ipc.h"
#include "common/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int ends;

static void
on_message(struct ipc *c, json_t *msg, void *arg)
{
	enum err e = ipc_send(c, msg);

	(void)arg;
	assert(ends == 0 && json_is_object(msg));
	assert(e == ERR_OK || e == ERR_BUSY || e == ERR_CLOSED || e == ERR_TOO_LARGE);
}

static void
on_gone(struct ipc *c, enum err why, void *arg)
{
	(void)c;
	(void)arg;
	assert(why == ERR_PROTOCOL || why == ERR_CLOSED);
	ends++;
}

static const struct ipc_ops ops = { on_message, on_gone };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct loop *l = loop_create();
	struct ipc *c;
	int p[2];
	size_t piece = size > 0 ? data[0] + 1u : 1;

	ends = 0;
	log_set_level(LOG_ERR);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p) != 0)
		abort();
	c = ipc_open(l, p[0], &ops, NULL);
	for (size_t at = 1; at < size && ends == 0; at += piece) {
		size_t len = size - at < piece ? size - at : piece;

		if (send(p[1], data + at, len, MSG_NOSIGNAL) < 0)
			break;
		loop_step(l, 0);
	}
	close(p[1]);
	for (int i = 0; i < 3; i++)
		loop_step(l, 0);
	assert(ends == 1);
	ipc_close(c);
	loop_destroy(l);
	return 0;
}
