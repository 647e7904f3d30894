/* ipc.h - the control link's transport: a big-endian u32 length and one JSON object, over a Unix
 * stream socket (DESIGN.md 8).
 *
 * Frames sent within one turn of the loop leave together at its end, with one system call.
 * A connection never blocks: what the socket does not take is queued in whole frames up to
 * IPC_QUEUE_MAX, after which ipc_send() says ERR_BUSY and the caller sheds load or closes.
 * Malformed input ends this peer (ops->gone with ERR_PROTOCOL), never the process.  Loop
 * thread only. */
#ifndef COMMON_IPC_H
#define COMMON_IPC_H

#include <jansson.h>
#include <sys/types.h>

#include "common/base.h"
#include "common/err.h"
#include "common/loop.h"

#define IPC_VERSION   1
#define IPC_FRAME_MAX (4u << 20)
#define IPC_QUEUE_MAX (16u << 20)

struct ipc;

struct ipc_ops {
	/* msg is borrowed: json_incref() to keep it. */
	void (*message)(struct ipc *c, json_t *msg, void *arg);
	/* The peer is gone or broke the protocol.  Called once; ipc_close() here or later. */
	void (*gone)(struct ipc *c, enum err why, void *arg);
};

/* Takes fd, always (closed even on failure). */
struct ipc *ipc_open(struct loop *l, int fd, const struct ipc_ops *ops, void *arg);
void ipc_close(struct ipc *c); /* NULL ok; safe inside its callbacks */
/* msg is borrowed (encoded at once).  ERR_BUSY: queue full; ERR_TOO_LARGE: over IPC_FRAME_MAX;
 * ERR_INVALID: nothing the other side would take (no object, NUL in a string, over 64 levels);
 * ERR_CLOSED: the peer is gone, ops->gone follows from the loop.  Never calls back. */
MUST_USE enum err ipc_send(struct ipc *c, const json_t *msg);
size_t ipc_queued(const struct ipc *c); /* bytes */
/* Process id of the peer (SO_PEERCRED), its uid; 0/-1 unknown. */
pid_t ipc_peer_pid(const struct ipc *c);
uid_t ipc_peer_uid(const struct ipc *c);

/* Listening and connecting.  ipc_listen(): makes the folder, removes a stale socket, mode 0660,
 * non-blocking fd or -1 with f set.  The caller accepts.  ipc_connect(): a connected non-blocking
 * fd or -1 (errno). */
int ipc_listen(const char *path, struct fault *f);
int ipc_accept(int listen_fd);
int ipc_connect(const char *path);

/* Pure decoder, for the connection and the fuzzer: how many bytes of a frame start at data;
 * 0: need more; ERR_PROTOCOL through *bad if the length is 0 or over IPC_FRAME_MAX. */
size_t ipc_frame_len(const void *data, size_t len, bool *bad);

#endif
