/* What the modes over WebSocket share: joining a namespace, events and acknowledgements. */
#ifndef BENCH_WEBSOCKET_H
#define BENCH_WEBSOCKET_H

#include "load.h"

/* For `struct mode`: the upgrade, the namespace and the heartbeats; all else goes to the mode's message(). */
void websocket_connected(struct client *client);
size_t websocket_input(struct client *client, char *data, size_t length);

bool starts_with(const struct frame *frame, const char *text);
_Noreturn void unexpected(const struct frame *frame);

/* Appends 42<id>["<event>","<text>"]. */
void put_event(struct buffer *out, uint32_t id, const char *event, const char *text, size_t length);
/* The id of the acknowledgement 43<id>["<text>"]. Ends the program if the frame is anything else. */
uint32_t get_acknowledgement(const struct frame *frame, const char *text, size_t length);

#endif
