#define _GNU_SOURCE
#include "wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TARGET "/socket.io/?EIO=4&transport="
/* What a browser or Node.js sends at the least; the port is left out, as no server looks at it. */
#define COMMON "Host: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: */*\r\n"

void put_frame(struct buffer *out, int opcode, const char *payload, size_t length)
{
    static uint32_t key = 0x9e3779b9;
    unsigned char *at = (unsigned char *)buffer_reserve(out, length + 14), *start = at;
    *at++ = (unsigned char)(0x80 | opcode);
    if (length < 126) {
        *at++ = (unsigned char)(0x80 | length);
    } else if (length < 65536) {
        *at++ = 0x80 | 126;
        *at++ = (unsigned char)(length >> 8);
        *at++ = (unsigned char)length;
    } else {
        *at++ = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8)
            *at++ = (unsigned char)((uint64_t)length >> shift);
    }
    key ^= key << 13, key ^= key >> 17, key ^= key << 5;
    unsigned char mask[4];
    memcpy(mask, &key, 4);
    memcpy(at, mask, 4);
    at += 4;
    for (size_t index = 0; index < length; index++)
        at[index] = (unsigned char)payload[index] ^ mask[index & 3];
    out->length += (size_t)(at - start) + length;
}

size_t get_frame(const char *data, size_t length, struct frame *frame)
{
    const unsigned char *at = (const unsigned char *)data;
    if (length < 2)
        return 0;
    size_t head = 2, size = at[1];
    if (!(at[0] & 0x80) || (at[0] & 0x70) || (at[1] & 0x80))
        die("the server sent a frame that is fragmented, extended or masked");
    if (size >= 126) {
        size_t wide = size == 126 ? 2 : 8;
        head += wide;
        if (length < head)
            return 0;
        size = 0;
        for (size_t index = 0; index < wide; index++)
            size = size << 8 | at[2 + index];
        if (size > 1 << 24)
            die("the server sent a frame of %zu bytes", size);
    }
    if (length < head + size)
        return 0;
    *frame = (struct frame){at[0] & 15, data + head, size};
    return head + size;
}

void put_upgrade(struct buffer *out)
{
    static const char request[] = "GET " TARGET "websocket HTTP/1.1\r\n" COMMON
                                  "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: " WEBSOCKET_KEY "\r\n\r\n";
    buffer_append(out, request, sizeof request - 1);
}

static size_t head_length(const char *data, size_t length)
{
    const char *end = memmem(data, length, "\r\n\r\n", 4);
    if (!end && length > 16384)
        die("the head of a response is longer than 16 KiB");
    return end ? (size_t)(end - data) + 4 : 0;
}

size_t get_upgrade(const char *data, size_t length)
{
    size_t head = head_length(data, length);
    if (head && (strncmp(data, "HTTP/1.1 101 ", 13) || !memmem(data, head, WEBSOCKET_ACCEPT, 28)))
        die("the upgrade was refused: %.*s", (int)head, data);
    return head;
}

void put_request(struct buffer *out, const char *session, const char *body, size_t length)
{
    char *at = buffer_reserve(out, 512 + length);
    int written = snprintf(at, 512, "%s " TARGET "polling%s%s HTTP/1.1\r\n" COMMON "Connection: keep-alive\r\n",
                           body ? "POST" : "GET", *session ? "&sid=" : "", session);
    if (body)
        written += snprintf(at + written, 512 - (size_t)written,
                            "Content-Type: text/plain;charset=UTF-8\r\nContent-Length: %zu\r\n", length);
    memcpy(at + written, "\r\n", 2);
    if (body)
        memcpy(at + written + 2, body, length);
    out->length += (size_t)written + 2 + length;
}

/* The value of a header, up to the end of its line, or NULL. */
static const char *header(const char *data, size_t head, const char *name)
{
    size_t length = strlen(name);
    const char *end = data + head, *line = data;
    while ((line = memmem(line, (size_t)(end - line), "\r\n", 2)) && (line += 2) + length < end)
        if (!strncasecmp(line, name, length) && line[length] == ':')
            return line + length + 1 + strspn(line + length + 1, " ");
    return NULL;
}

static size_t get_chunked(char *data, size_t length, size_t head, struct response *response)
{
    /* Twice over the chunks: nothing is moved before the whole body is there. */
    for (int join = 0; join < 2; join++) {
        size_t at = head, joined = head;
        for (;;) {
            char *line_end = memmem(data + at, length - at, "\r\n", 2);
            if (!line_end)
                return 0;
            size_t size = strtoul(data + at, NULL, 16), start = (size_t)(line_end - data) + 2;
            if (size > 1 << 24)
                die("the server sent a chunk of %zu bytes", size);
            if (length < start + size + 2)
                return 0;
            if (join)
                memmove(data + joined, data + start, size);
            joined += size;
            at = start + size + 2;
            if (size == 0)
                break;
        }
        if (join) {
            response->body = data + head;
            response->length = joined - head;
            return at;
        }
    }
    return 0;
}

size_t get_response(char *data, size_t length, struct response *response)
{
    size_t head = head_length(data, length);
    if (!head)
        return 0;
    response->status = atoi(data + 9);
    const char *value = header(data, head, "content-length");
    if (!value) {
        if (!header(data, head, "transfer-encoding"))
            die("a response has no length: %.*s", (int)head, data);
        return get_chunked(data, length, head, response);
    }
    response->body = data + head;
    response->length = strtoul(value, NULL, 10);
    if (response->length > 1 << 24)
        die("the server sent a body of %zu bytes", response->length);
    return length < head + response->length ? 0 : head + response->length;
}
