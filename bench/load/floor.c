/* The least that a server can do: epoll, WebSocket frames, no JSON, no limits, no sessions, no heartbeat.
 *
 * Answers what load.c sends by rewriting its frames, and nothing else; it is a yardstick, not a server.
 * Listens on a free port of 127.0.0.1 and prints it; with --version, says what compiled it. Output leaves once per turn
 * of the loop and connection. */
#define _GNU_SOURCE
#include "net.h"
#include "wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define OPEN_PACKET "0{\"sid\":\"AAAAAAAAAAAAAAAAAAAA\",\"upgrades\":[],\"pingInterval\":25000,\"pingTimeout\":20000," \
                    "\"maxPayload\":1000000}"
#define EVENTS 512
#define READ_SIZE (256u << 10)

struct peer {
    int descriptor;
    unsigned index;             /* in `peers` */
    bool upgraded, ready, blocked, closing;
    struct buffer in, out;
};

static int selector, listener;
static struct peer **peers, **ready;        /* all; those with output */
static unsigned peer_count, ready_count, capacity;

static void queue(struct peer *peer, const void *data, size_t length)
{
    buffer_append(&peer->out, data, length);
    if (!peer->ready)
        ready[ready_count++] = peer;
    peer->ready = true;
}

static void queue_frame(struct peer *peer, int opcode, const char *payload, size_t length)
{
    unsigned char head[4] = {(unsigned char)(0x80 | opcode), (unsigned char)length};
    size_t size = 2;
    if (length >= 126) {
        if (length > 65535)
            die("payloads of the floor end at 65,535 bytes");
        head[1] = 126, head[2] = (unsigned char)(length >> 8), head[3] = (unsigned char)length;
        size = 4;
    }
    queue(peer, head, size);
    queue(peer, payload, length);
}

static void drop(struct peer *peer)
{
    close(peer->descriptor);
    peers[peer->index] = peers[--peer_count];
    peers[peer->index]->index = peer->index;
    for (unsigned index = 0; peer->ready && index < ready_count; index++)
        if (ready[index] == peer)
            ready[index] = NULL;
    buffer_free(&peer->in);
    buffer_free(&peer->out);
    free(peer);
}

static void flush(struct peer *peer)
{
    ssize_t sent = send(peer->descriptor, peer->out.data, peer->out.length, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        drop(peer);
        return;
    }
    buffer_drop(&peer->out, sent < 0 ? 0 : (size_t)sent);
    if (peer->closing && !peer->out.length) {
        drop(peer);
        return;
    }
    if (peer->blocked != (peer->out.length > 0)) {
        peer->blocked = !peer->blocked;
        struct epoll_event event = {.events = EPOLLIN | (peer->blocked ? EPOLLOUT : 0), .data.ptr = peer};
        epoll_ctl(selector, EPOLL_CTL_MOD, peer->descriptor, &event);
    }
}

static void answer(struct peer *peer, int opcode, char *payload, size_t length)
{
    static const char joined[] = "40{\"sid\":\"AAAAAAAAAAAAAAAAAAAB\"}";
    if (opcode == CLOSE) {
        queue_frame(peer, CLOSE, payload, length);
        peer->closing = true;
    } else if (opcode == TEXT && length == 2) {
        queue_frame(peer, TEXT, joined, sizeof joined - 1);
    } else if (opcode == BINARY || !strncmp(payload, "451-", 4)) {
        queue_frame(peer, opcode, payload, length);
    } else if (!strncmp(payload, "42[\"cast\"", 9)) {
        for (unsigned index = 0; index < peer_count; index++)
            queue_frame(peers[index], TEXT, payload, length);
    } else {
        /* 42<id>["echo",<argument>] becomes 43<id>[<argument>]. */
        char *bracket = memchr(payload, '[', length);
        if (!bracket)
            die("unexpected packet: %.*s", (int)length, payload);
        size_t head = (size_t)(bracket + 1 - payload);
        memmove(payload + 7, payload, head);
        payload[8] = '3';
        queue_frame(peer, TEXT, payload + 7, length - 7);
    }
}

/* Handles the first complete frame; returns its length, or 0. */
static size_t frame(struct peer *peer, unsigned char *data, size_t length)
{
    size_t head = 6, size = length < 2 ? 0 : data[1] & 127;
    if (size == 126) {
        head = 8;
        size = length < 4 ? 0 : (size_t)data[2] << 8 | data[3];
    }
    if (length < head || length < head + size)
        return 0;
    unsigned char *payload = data + head, *mask = payload - 4;
    uint32_t word;
    size_t index = 0;
    for (uint32_t key = (memcpy(&word, mask, 4), word); index + 4 <= size; index += 4) {
        memcpy(&word, payload + index, 4);
        word ^= key;
        memcpy(payload + index, &word, 4);
    }
    for (; index < size; index++)
        payload[index] ^= mask[index & 3];
    answer(peer, data[0] & 15, (char *)payload, size);
    return head + size;
}

static size_t request(struct peer *peer, const char *data, size_t length)
{
    static const char upgrade[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                  "Sec-WebSocket-Accept: " WEBSOCKET_ACCEPT "\r\n\r\n";
    char polling[256];
    const char *end = memmem(data, length, "\r\n\r\n", 4);
    if (!end)
        return 0;
    if (memmem(data, (size_t)(end - data), "transport=websocket", 19)) {
        peer->upgraded = true;
        queue(peer, upgrade, sizeof upgrade - 1);
        queue_frame(peer, TEXT, OPEN_PACKET, sizeof OPEN_PACKET - 1);
    } else {
        int size = snprintf(polling, sizeof polling, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
                            sizeof OPEN_PACKET - 1, OPEN_PACKET);
        queue(peer, polling, (size_t)size);
    }
    return (size_t)(end - data) + 4;
}

static void readable(struct peer *peer)
{
    static char chunk[READ_SIZE];
    ssize_t got = recv(peer->descriptor, chunk, sizeof chunk, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        drop(peer);
        return;
    }
    char *data = chunk;
    size_t length = (size_t)got, at = 0, taken;
    if (peer->in.length) {
        buffer_append(&peer->in, chunk, length);
        data = peer->in.data;
        length = peer->in.length;
    }
    while (at < length && (taken = peer->upgraded ? frame(peer, (unsigned char *)data + at, length - at)
                                                  : request(peer, data + at, length - at)))
        at += taken;
    if (data == chunk)
        buffer_append(&peer->in, chunk + at, length - at);
    else
        buffer_drop(&peer->in, at);
    if (!peer->in.length)
        buffer_free(&peer->in);
}

static void accept_all(void)
{
    for (int descriptor, on = 1; (descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct peer *peer = calloc(1, sizeof *peer);
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (peer_count == capacity) {
            capacity = capacity ? capacity * 2 : 64;
            peers = realloc(peers, capacity * sizeof(struct peer *));
            ready = realloc(ready, capacity * sizeof(struct peer *));
        }
        if (!peer || !peers || !ready)
            die("out of memory");
        *peer = (struct peer){.descriptor = descriptor, .index = peer_count};
        peers[peer_count++] = peer;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
        epoll_ctl(selector, EPOLL_CTL_ADD, descriptor, &event);
    }
}

int main(int count, char **arguments)
{
    if (count > 1) {
        printf("C, compiler %s\n", __VERSION__);
        return strcmp(arguments[1], "--version") ? 2 : 0;
    }
    uint16_t port;
    struct epoll_event events[EVENTS], event = {.events = EPOLLIN};
    raise_descriptor_limit();
    listener = listen_on_loopback(&port);
    selector = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(selector, EPOLL_CTL_ADD, listener, &event);
    printf("listening %u\n", port);
    fflush(stdout);
    for (;;) {
        int happened = epoll_wait(selector, events, EVENTS, -1);
        for (int index = 0; index < happened; index++) {
            struct peer *peer = events[index].data.ptr;
            if (!peer)
                accept_all();
            else if (events[index].events & EPOLLOUT && !peer->ready)
                queue(peer, NULL, 0);
            if (peer && events[index].events & ~(uint32_t)EPOLLOUT)
                readable(peer);
        }
        for (unsigned index = 0; index < ready_count; index++)
            if (ready[index]) {
                ready[index]->ready = false;
                flush(ready[index]);
            }
        ready_count = 0;
    }
}
