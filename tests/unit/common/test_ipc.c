#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/ipc.h"
#include "common/jfield.h"
#include "common/log.h"
#include "common/str.h"

static struct loop *loop;
static struct ipc *conn; /* ours */
static int peer;         /* the other end, raw */
static char story[1024];
static bool close_on_message, close_on_gone, send_on_message;
static size_t messages;

static void
tell(const char *what)
{
	size_t len = strlen(story);

	(void)str_print(story + len, sizeof(story) - len, "%s; ", what);
}

static void
on_message(struct ipc *c, json_t *msg, void *arg)
{
	char *text = json_text(msg);

	assert_string_equal(arg, "arg");
	messages++;
	if (strlen(text) < 100)
		tell(text);
	free(text);
	if (send_on_message)
		tell(err_name(ipc_send(c, msg)));
	if (close_on_message) {
		ipc_close(c);
		conn = NULL;
	}
}

static void
on_gone(struct ipc *c, enum err why, void *arg)
{
	char text[40];
	json_t *j = json_object();

	(void)arg;
	(void)str_print(text, sizeof(text), "gone %s", err_name(why));
	tell(text);
	assert_int_equal(ipc_send(c, j), ERR_CLOSED);
	json_decref(j);
	if (close_on_gone) {
		ipc_close(c);
		conn = NULL;
	}
}

static const struct ipc_ops ops = { on_message, on_gone };

static void
open_pair(void)
{
	int p[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p), 0);
	peer = p[1];
	conn = ipc_open(loop, p[0], &ops, (void *)(uintptr_t) "arg");
	assert_non_null(conn);
}

static int
set_up(void **state)
{
	(void)state;
	story[0] = '\0';
	messages = 0;
	close_on_message = close_on_gone = send_on_message = false;
	log_set_level(LOG_ERR);
	loop = loop_create();
	open_pair();
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	ipc_close(conn);
	conn = NULL;
	if (peer >= 0)
		close(peer);
	loop_destroy(loop);
	return 0;
}

static void
put(const void *data, size_t len)
{
	assert_int_equal(write(peer, data, len), (ssize_t)len);
}

static size_t
frame(char *out, const char *text)
{
	uint32_t n = htonl((uint32_t)strlen(text));

	memcpy(out, &n, 4);
	memcpy(out + 4, text, strlen(text));
	return 4 + strlen(text);
}

static void
turn(void)
{
	for (int i = 0; i < 4; i++)
		loop_step(loop, 0);
}

static void
frames_arrive_however_they_are_cut(void **state)
{
	char out[64];
	size_t len = frame(out, "{\"a\":1}");

	(void)state;
	len += frame(out + len, "{\"b\":2}");
	for (size_t i = 0; i < len; i++) {
		put(out + i, 1);
		turn();
	}
	assert_string_equal(story, "{\"a\":1}; {\"b\":2}; ");
	story[0] = '\0';
	put(out, len);
	put(out, 6);
	turn();
	assert_string_equal(story, "{\"a\":1}; {\"b\":2}; ");
	put(out + 6, len - 6);
	turn();
	assert_string_equal(story, "{\"a\":1}; {\"b\":2}; {\"a\":1}; {\"b\":2}; ");
}

static void
what_is_sent_is_framed(void **state)
{
	json_t *j = json_pack("{s:s}", "k", "v");
	char in[64];

	(void)state;
	assert_int_equal(ipc_send(conn, j), ERR_OK);
	assert_int_equal(read(peer, in, sizeof(in)), 13);
	assert_memory_equal(in, "\0\0\0\x09{\"k\":\"v\"}", 13);
	assert_int_equal(ipc_queued(conn), 0);
	assert_int_equal(ipc_peer_pid(conn), getpid());
	assert_int_equal(ipc_peer_uid(conn), getuid());
	json_decref(j);
}

static void
malformed_input_ends_the_peer(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = {
		{ "\0\0\0\0", 4 },
		{ "\x00\x40\x00\x01", 4 },
		{ "\xff\xff\xff\xff", 4 },
		{ "\0\0\0\2[]", 6 },
		{ "\0\0\0\2{]", 6 },
		{ "\0\0\0\1x", 5 },
		{ "\0\0\0\2\0\0", 6 },
		{ "\0\0\0\x0d{\"a\":1,\"a\":1}", 17 },
		{ "{\"v\":1}", 7 }, /* a length of two thousand million */
		{ "\0\0\0\x0e{\"a\":\"\\u0000\"}", 18 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		put(cases[i].bytes, cases[i].len);
		turn();
		assert_string_equal(story, "gone PROTOCOL; ");
		ipc_close(conn);
		close(peer);
		story[0] = '\0';
		open_pair();
	}
}

static void
good_frames_before_a_bad_one_count(void **state)
{
	char out[64];
	size_t len = frame(out, "{\"a\":1}");

	(void)state;
	memset(out + len, 0, 4);
	len += 4;
	len += frame(out + len, "{\"b\":1}");
	put(out, len);
	turn();
	assert_string_equal(story, "{\"a\":1}; gone PROTOCOL; ");
	turn();
	assert_string_equal(story, "{\"a\":1}; gone PROTOCOL; ");
}

static void
the_end_of_the_peer_is_told_once(void **state)
{
	char out[64];

	(void)state;
	put(out, frame(out, "{\"last\":1}"));
	put("\0\0", 2);
	close(peer);
	peer = -1;
	turn();
	assert_string_equal(story, "{\"last\":1}; gone CLOSED; ");
	turn();
	assert_string_equal(story, "{\"last\":1}; gone CLOSED; ");
}

static void
closing_inside_callbacks_is_fine(void **state)
{
	char out[64];
	size_t len = frame(out, "{\"a\":1}");

	(void)state;
	close_on_message = true;
	len += frame(out + len, "{\"b\":1}");
	put(out, len);
	turn();
	assert_string_equal(story, "{\"a\":1}; ");
	assert_null(conn);
	close(peer);
	open_pair();
	close_on_gone = true;
	close(peer);
	peer = -1;
	turn();
	assert_string_equal(story, "{\"a\":1}; gone CLOSED; ");
	assert_null(conn);
}

static void
sending_to_a_dead_peer_inside_a_callback(void **state)
{
	char out[64];
	size_t len = frame(out, "{\"a\":1}");

	(void)state;
	send_on_message = true;
	len += frame(out + len, "{\"b\":1}");
	put(out, len);
	close(peer);
	peer = -1;
	turn();
	/* It is sent at the end of the turn; what the peer said arrives, and gone comes last. */
	assert_string_equal(story, "{\"a\":1}; OK; {\"b\":1}; OK; gone CLOSED; ");
}

static void
assert_received(const char *first, const char *second)
{
	char expected[64], is[64];
	size_t len = frame(expected, first);

	if (second)
		len += frame(expected + len, second);
	assert_int_equal(recv(peer, is, sizeof(is), MSG_DONTWAIT), (ssize_t)len);
	assert_memory_equal(is, expected, len);
}

static void
frames_of_a_turn_leave_together(void **state)
{
	char out[64];
	size_t len = frame(out, "{\"a\":1}");

	(void)state;
	send_on_message = true;
	len += frame(out + len, "{\"b\":1}");
	put(out, len);
	turn();
	assert_received("{\"a\":1}", "{\"b\":1}");
	/* A last word leaves before the connection is closed. */
	close_on_message = true;
	put(out, len);
	turn();
	assert_null(conn);
	assert_received("{\"a\":1}", NULL);
}

static void
a_peer_that_only_stops_reading_is_gone_too(void **state)
{
	json_t *j = json_object();

	(void)state;
	assert_int_equal(shutdown(peer, SHUT_RD), 0);
	assert_int_equal(ipc_send(conn, j), ERR_CLOSED);
	assert_string_equal(story, ""); /* never from inside ipc_send() */
	turn();
	assert_string_equal(story, "gone CLOSED; ");
	json_decref(j);
}

static json_t *
big(size_t len)
{
	char *text = malloc(len);
	json_t *j;

	memset(text, 'x', len);
	j = json_pack("{s:s#}", "k", text, (int)len);
	free(text);
	assert_non_null(j);
	return j;
}

/* Reads whole frames off the raw end until it has `want` bytes; counts frames. */
static size_t
read_frames(size_t want)
{
	char *in = malloc(want);
	size_t got = 0, frames = 0, at = 0, n;
	bool bad = false;

	for (int i = 0; got < want && i < 100000; i++) {
		ssize_t r = read(peer, in + got, want - got);

		if (r > 0)
			got += (size_t)r;
		else
			loop_step(loop, 0);
	}
	assert_int_equal(got, want);
	while ((n = ipc_frame_len(in + at, got - at, &bad)) > 0) {
		json_t *j;

		assert_int_equal(json_parse(in + at + 4, n - 4, &j, NULL), ERR_OK);
		json_decref(j);
		at += n;
		frames++;
	}
	assert_false(bad);
	assert_int_equal(at, want);
	free(in);
	return frames;
}

static void
a_full_queue_is_said_and_drains_later(void **state)
{
	json_t *j = big(1 << 20);
	size_t sent = 0, frame_len = (1 << 20) + 8 + 4;
	enum err e;

	(void)state;
	while ((e = ipc_send(conn, j)) == ERR_OK)
		sent++;
	assert_int_equal(e, ERR_BUSY);
	assert_in_range(sent, 15, 18);
	assert_in_range(ipc_queued(conn), IPC_QUEUE_MAX - 2 * frame_len, IPC_QUEUE_MAX);
	assert_int_equal(ipc_send(conn, j), ERR_BUSY);
	/* Some leave, then one more fits. */
	assert_int_equal(read_frames(2 * frame_len), 2);
	turn();
	assert_int_equal(ipc_send(conn, j), ERR_OK);
	assert_int_equal(read_frames((sent - 1) * frame_len), sent - 1);
	assert_int_equal(ipc_queued(conn), 0);
	assert_int_equal(ipc_send(conn, j), ERR_OK);
	assert_int_equal(read_frames(frame_len), 1);
	json_decref(j);
}

static void
small_frames_keep_order_through_the_queue(void **state)
{
	json_t *j = big(20000);
	size_t total = 0, frame_len = 20000 + 8 + 4;

	(void)state;
	/* It never empties, and three times what the buffer may hold goes through it. */
	for (int round = 0; round < 200; round++) {
		for (int i = 0; i < 30; i++) {
			assert_int_equal(ipc_send(conn, j), ERR_OK);
			total++;
		}
		assert_int_equal(read_frames((round ? 30 : 10) * frame_len), round ? 30 : 10);
		total -= round ? 30 : 10;
	}
	assert_int_equal(read_frames(total * frame_len), total);
	json_decref(j);
}

static void
what_the_other_side_would_refuse_is_not_sent(void **state)
{
	json_t *deep = json_object(), *too_long = big(IPC_FRAME_MAX), *nul = json_object();
	json_t *array = json_array(), *most = big(IPC_FRAME_MAX - 8);

	(void)state;
	for (int i = 0; i < 64; i++)
		deep = json_pack("{s:o}", "d", deep);
	json_object_set_new(nul, "n", json_stringn("a\0b", 3));
	assert_int_equal(ipc_send(conn, deep), ERR_INVALID);
	assert_int_equal(ipc_send(conn, nul), ERR_INVALID);
	assert_int_equal(ipc_send(conn, array), ERR_INVALID);
	assert_int_equal(ipc_send(conn, too_long), ERR_TOO_LARGE);
	assert_int_equal(ipc_queued(conn), 0);
	assert_int_equal(ipc_send(conn, most), ERR_OK);
	assert_int_equal(read_frames(IPC_FRAME_MAX + 4), 1);
	json_decref(deep);
	json_decref(too_long);
	json_decref(nul);
	json_decref(array);
	json_decref(most);
}

static void
two_ends_of_ours_understand_each_other(void **state)
{
	json_t *deep = json_object(), *large = big(3 << 20);
	struct ipc *other = ipc_open(loop, peer, &ops, (void *)(uintptr_t) "arg");

	(void)state;
	peer = -1;
	for (int i = 0; i < 63; i++)
		deep = json_pack("{s:o}", "d", deep);
	assert_int_equal(ipc_send(other, deep), ERR_OK);
	assert_int_equal(ipc_send(other, large), ERR_OK);
	assert_int_equal(ipc_send(other, deep), ERR_OK);
	for (int i = 0; i < 1000 && messages < 3; i++)
		loop_step(loop, 0);
	assert_int_equal(messages, 3);
	json_decref(deep);
	json_decref(large);
	ipc_close(other);
	turn();
	assert_string_equal(story, "gone CLOSED; ");
}

static void
frame_lengths(void **state)
{
	bool bad;

	(void)state;
	assert_int_equal(ipc_frame_len("\0\0\0", 3, &bad), 0);
	assert_false(bad);
	assert_int_equal(ipc_frame_len("\0\0\0\1", 4, &bad), 0);
	assert_false(bad);
	assert_int_equal(ipc_frame_len("\0\0\0\1x", 5, &bad), 5);
	assert_int_equal(ipc_frame_len("\0\0\0\1xyz", 7, &bad), 5);
	assert_int_equal(ipc_frame_len("\0\x40\0\0", 4, &bad), 0);
	assert_false(bad);
	assert_int_equal(ipc_frame_len("\0\x40\0\1", 4, &bad), 0);
	assert_true(bad);
	assert_int_equal(ipc_frame_len("\0\0\0\0", 4, &bad), 0);
	assert_true(bad);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(frames_arrive_however_they_are_cut),
		T(what_is_sent_is_framed),
		T(malformed_input_ends_the_peer),
		T(good_frames_before_a_bad_one_count),
		T(the_end_of_the_peer_is_told_once),
		T(closing_inside_callbacks_is_fine),
		T(sending_to_a_dead_peer_inside_a_callback),
		T(frames_of_a_turn_leave_together),
		T(a_peer_that_only_stops_reading_is_gone_too),
		T(a_full_queue_is_said_and_drains_later),
		T(small_frames_keep_order_through_the_queue),
		T(what_the_other_side_would_refuse_is_not_sent),
		T(two_ends_of_ours_understand_each_other),
		cmocka_unit_test(frame_lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
