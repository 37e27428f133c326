/* Socket.IO over WebSocket without an upgrade, and the modes in which each client is on its own: ack, growth, binary,
 * connect, idle, heartbeat. */
#define _GNU_SOURCE
#include "websocket.h"

#include <stdlib.h>
#include <string.h>

bool starts_with(const struct frame *frame, const char *text)
{
    size_t length = strlen(text);
    return frame->length >= length && !memcmp(frame->payload, text, length);
}

_Noreturn void unexpected(const struct frame *frame)
{
    die("unexpected %s of %zu bytes: %.*s", frame->opcode == BINARY ? "binary message" : "message", frame->length,
        frame->opcode == BINARY ? 0 : (int)(frame->length < 200 ? frame->length : 200), frame->payload);
}

void websocket_connected(struct client *client)
{
    client->stage = UPGRADING;
    put_upgrade(&client->out);
}

static void text(struct client *client, const struct frame *frame)
{
    if (client->stage == OPENING && starts_with(frame, "0{")) {
        client->stage = JOINING;
        put_frame(&client->out, TEXT, "40", 2);
    } else if (client->stage == JOINING && starts_with(frame, "40")) {
        client->stage = JOINED;
        joined(client);
    } else if (starts_with(frame, "2")) {
        put_frame(&client->out, TEXT, "3", 1);
        if (run.mode->counts_heartbeats)
            count(0);
    } else if (client->stage == JOINED && starts_with(frame, "4")) {
        run.mode->message(client, frame);
    } else {
        unexpected(frame);
    }
}

size_t websocket_input(struct client *client, char *data, size_t length)
{
    size_t at = 0, taken;
    struct frame frame;
    if (client->stage == UPGRADING) {
        at = get_upgrade(data, length);
        if (!at)
            return 0;
        client->stage = OPENING;
    }
    for (; (taken = get_frame(data + at, length - at, &frame)); at += taken) {
        if (frame.opcode == PING)
            put_frame(&client->out, PONG, frame.payload, frame.length);
        else if (client->stage == CLOSING)
            continue;
        else if (frame.opcode == TEXT)
            text(client, &frame);
        else if (frame.opcode == BINARY && client->expects_binary)
            run.mode->message(client, &frame);
        else
            unexpected(&frame);
    }
    return at;
}

void put_event(struct buffer *out, uint32_t id, const char *event, const char *text, size_t length)
{
    char packet[65536 + 64], digits[10], *at = packet;
    unsigned count = 0;
    do
        digits[count++] = (char)('0' + id % 10);
    while (id /= 10);
    *at++ = '4', *at++ = '2';
    while (count)
        *at++ = digits[--count];
    *at++ = '[', *at++ = '"';
    at = stpcpy(at, event);
    memcpy(at, "\",\"", 3);
    memcpy(at += 3, text, length);
    memcpy(at += length, "\"]", 2);
    put_frame(out, TEXT, packet, (size_t)(at + 2 - packet));
}

uint32_t get_acknowledgement(const struct frame *frame, const char *text, size_t length)
{
    const char *at = frame->payload + 2, *end = frame->payload + frame->length;
    uint32_t id = 0;
    if (!starts_with(frame, "43"))
        unexpected(frame);
    while (at < end && *at >= '0' && *at <= '9')
        id = id * 10 + (uint32_t)(*at++ - '0');
    if ((size_t)(end - at) != length + 4 || memcmp(at, "[\"", 2) || memcmp(at + 2, text, length) ||
        memcmp(end - 2, "\"]", 2))
        unexpected(frame);
    return id;
}

/* Acknowledged events: 42<id>["echo","<payload>"] is answered by 43<id>["<payload>"]. */

static void send_echo(struct client *client, struct slot *slot)
{
    /* A slot's ids are its index plus multiples of the number in flight, so an id tells its slot. */
    slot->id += run.in_flight;
    slot->sent = run.now;
    put_event(&client->out, slot->id, "echo", run.payload, run.payload_length);
}

static void ack_begin(struct client *client)
{
    for (unsigned index = 0; index < run.in_flight; index++) {
        client->slots[index].id = index;
        send_echo(client, &client->slots[index]);
    }
}

static struct slot *echoed(struct client *client, const struct frame *frame)
{
    uint32_t id = get_acknowledgement(frame, run.payload, run.payload_length);
    struct slot *slot = &client->slots[id % run.in_flight];
    if (!slot->sent || slot->id != id)
        unexpected(frame);
    return slot;
}

static void ack_message(struct client *client, const struct frame *frame)
{
    struct slot *slot = echoed(client, frame);
    count(slot->sent);
    send_echo(client, slot);
}

/* Growth: the same events, but so many in flight over all clients together, and each active one has its turn. */

static struct client **turns;     /* all clients, shuffled */

static void shuffle_turns(void)
{
    uint64_t seed = 1;
    turns = malloc(run.clients * sizeof *turns);
    if (!turns)
        die("out of memory");
    for (unsigned index = 0; index < run.clients; index++) {
        unsigned other = (unsigned)(next_random(&seed) % (index + 1));
        turns[index] = turns[other];
        turns[other] = &run.client[index];
    }
}

static void send_to_next(void)
{
    static unsigned turn;
    struct client *client;
    /* One at a time for each client: two that leave in one write would cost less where clients are few. */
    do
        client = turns[turn++ % run.active];
    while (client->slots[0].sent);
    send_echo(client, client->slots);
    flush(client);
}

static void growth_begin(struct client *client)
{
    if (client != run.client)
        return;
    if (run.in_flight > run.active)
        die("mode growth has at most one message in flight for each active client");
    shuffle_turns();
    for (unsigned index = 0; index < run.in_flight; index++)
        send_to_next();
}

static void growth_message(struct client *client, const struct frame *frame)
{
    struct slot *slot = echoed(client, frame);
    count(slot->sent);
    slot->sent = 0;
    send_to_next();
}

/* Binary echo: an event with one attachment, answered by an event with that attachment. */

static void send_binary(struct client *client, struct slot *slot)
{
    static const char header[] = "451-[\"bin\",{\"_placeholder\":true,\"num\":0}]";
    put_frame(&client->out, TEXT, header, sizeof header - 1);
    put_frame(&client->out, BINARY, run.payload, run.payload_length);
    slot->sent = run.now;
}

static void binary_begin(struct client *client)
{
    for (unsigned index = 0; index < run.in_flight; index++)
        send_binary(client, &client->slots[index]);
}

static void binary_message(struct client *client, const struct frame *frame)
{
    bool is_header = frame->opcode == TEXT;
    if (is_header == client->expects_binary || (is_header && !starts_with(frame, "451-[\"bin\",{")))
        unexpected(frame);
    client->expects_binary = is_header;
    if (is_header)
        return;
    if (frame->length != run.payload_length || memcmp(frame->payload, run.payload, run.payload_length))
        unexpected(frame);
    /* Answers have no id, and come in the order of the questions. */
    struct slot *slot = &client->slots[client->received++ % run.in_flight];
    count(slot->sent);
    send_binary(client, slot);
}

/* Connect: each client joins, closes, waits for the server's end of the connection, and begins again. */

static void connect_begin(struct client *client)
{
    client->stage = CLOSING;
    put_frame(&client->out, CLOSE, "\x03\xe8", 2);
}

/* Idle: nothing is sent until the user of this program asks for one acknowledged event of each client.
 * Heartbeat: nothing at all is sent; the server's heartbeats are answered, and are the messages. */

static void silent_begin(struct client *client)
{
    (void)client;
}

static void silent_message(struct client *client, const struct frame *frame)
{
    struct slot *slot = echoed(client, frame);
    count(slot->sent);
    slot->sent = 0;
}

void idle_send(struct client *client)
{
    send_echo(client, client->slots);
}

const struct mode websocket_modes[] = {
    {"ack", 1, true, websocket_connected, websocket_input, ack_begin, .message = ack_message},
    {"growth", 1, true, websocket_connected, websocket_input, growth_begin, .message = growth_message},
    {"binary", 1, true, websocket_connected, websocket_input, binary_begin, .message = binary_message},
    {"connect", 1, false, websocket_connected, websocket_input, connect_begin, .message = silent_message},
    {"idle", 1, true, websocket_connected, websocket_input, silent_begin, .message = silent_message, .holds = true},
    {"heartbeat", 1, true, websocket_connected, websocket_input, silent_begin, .message = silent_message,
     .counts_heartbeats = true},
    {0},
};
