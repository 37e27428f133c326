/* The client's side of HTTP/1.1 and WebSocket (RFC 6455), as much as a load generator needs. */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include "net.h"

enum { TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

/* The example key of RFC 6455, section 1.3, and the answer that it must get. */
#define WEBSOCKET_KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define WEBSOCKET_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

struct frame {
    int opcode;
    const char *payload;
    size_t length;
};

struct response {
    int status;
    const char *body;
    size_t length;
};

/* Appends one final, masked frame. */
void put_frame(struct buffer *out, int opcode, const char *payload, size_t length);
/* The length of the first frame in `data` (final, unmasked), or 0 if it is not all there. */
size_t get_frame(const char *data, size_t length, struct frame *frame);

void put_upgrade(struct buffer *out);
/* The length of the 101 response, or 0 if it is not all there. Ends the program if it is anything else. */
size_t get_upgrade(const char *data, size_t length);

/* A GET if `body` is null, else a POST. `session` may be empty. */
void put_request(struct buffer *out, const char *session, const char *body, size_t length);
/* The length of the first response in `data`, or 0 if it is not all there. A chunked body is joined in place. */
size_t get_response(char *data, size_t length, struct response *response);

#endif
