/* The modes that speak Socket.IO over WebSocket without an upgrade: ack, binary, broadcast, connect, idle. */
#define _GNU_SOURCE
#include "load.h"

#include <stdio.h>
#include <string.h>

static bool starts_with(const struct frame *frame, const char *text)
{
    size_t length = strlen(text);
    return frame->length >= length && !memcmp(frame->payload, text, length);
}

static _Noreturn void unexpected(const struct frame *frame)
{
    die("unexpected %s of %zu bytes: %.*s", frame->opcode == BINARY ? "binary message" : "message", frame->length,
        frame->opcode == BINARY ? 0 : (int)(frame->length < 200 ? frame->length : 200), frame->payload);
}

static void connected(struct client *client)
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
    } else if (client->stage == JOINED && starts_with(frame, "4")) {
        run.mode->message(client, frame);
    } else {
        unexpected(frame);
    }
}

static size_t input(struct client *client, char *data, size_t length)
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

/* Acknowledged events: 42<id>["echo","<payload>"] is answered by 43<id>["<payload>"]. */

static void send_event(struct client *client, struct slot *slot)
{
    char packet[65536 + 64], digits[10], *at = packet;
    unsigned count = 0;
    /* A slot's ids are its index plus multiples of the number in flight, so an id tells its slot. */
    uint32_t id = slot->id += run.in_flight;
    do
        digits[count++] = (char)('0' + id % 10);
    while (id /= 10);
    *at++ = '4', *at++ = '2';
    while (count)
        *at++ = digits[--count];
    memcpy(at, "[\"echo\",\"", 9);
    memcpy(at += 9, run.payload, run.payload_length);
    memcpy(at += run.payload_length, "\"]", 2);
    slot->sent = run.now;
    put_frame(&client->out, TEXT, packet, (size_t)(at + 2 - packet));
}

static void ack_begin(struct client *client)
{
    for (unsigned index = 0; index < run.in_flight; index++) {
        client->slots[index].id = index;
        send_event(client, &client->slots[index]);
    }
}

static struct slot *acknowledged(struct client *client, const struct frame *frame)
{
    const char *at = frame->payload + 2, *end = frame->payload + frame->length;
    uint32_t id = 0;
    if (!starts_with(frame, "43"))
        unexpected(frame);
    while (at < end && *at >= '0' && *at <= '9')
        id = id * 10 + (uint32_t)(*at++ - '0');
    struct slot *slot = &client->slots[id % run.in_flight];
    if (!slot->sent || slot->id != id || (size_t)(end - at) != run.payload_length + 4 || memcmp(at, "[\"", 2) ||
        memcmp(at + 2, run.payload, run.payload_length) || memcmp(end - 2, "\"]", 2))
        unexpected(frame);
    return slot;
}

static void ack_message(struct client *client, const struct frame *frame)
{
    struct slot *slot = acknowledged(client, frame);
    count(slot->sent);
    send_event(client, slot);
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

/* Broadcast: the first client's event is emitted to all. It sends the next when it has received one itself. */

#define REMEMBERED 65536u
static uint64_t cast_at[REMEMBERED], casts;

static void send_cast(struct client *client)
{
    char packet[65536 + 64] = "42[\"cast\",\"";
    memcpy(packet + 11, run.payload, run.payload_length);
    memcpy(packet + 11 + run.payload_length, "\"]", 2);
    cast_at[casts++ % REMEMBERED] = run.now;
    put_frame(&client->out, TEXT, packet, run.payload_length + 13);
}

static void broadcast_begin(struct client *client)
{
    if (client == run.client)
        for (unsigned index = 0; index < run.in_flight; index++)
            send_cast(client);
}

static void broadcast_message(struct client *client, const struct frame *frame)
{
    if (!starts_with(frame, "42[\"cast\",\"") || frame->length != run.payload_length + 13 ||
        memcmp(frame->payload + 11, run.payload, run.payload_length))
        unexpected(frame);
    uint64_t number = client->received++;
    count(casts - number < REMEMBERED ? cast_at[number % REMEMBERED] : 0);
    if (client == run.client)
        send_cast(client);
}

/* Connect: each client joins, closes, waits for the server's end of the connection, and begins again. */

static void connect_begin(struct client *client)
{
    client->stage = CLOSING;
    put_frame(&client->out, CLOSE, "\x03\xe8", 2);
}

/* Idle: nothing is sent until the user of this program asks for one acknowledged event of each client. */

static void idle_begin(struct client *client)
{
    (void)client;
}

static void idle_message(struct client *client, const struct frame *frame)
{
    struct slot *slot = acknowledged(client, frame);
    count(slot->sent);
    slot->sent = 0;
}

void idle_send(struct client *client)
{
    send_event(client, client->slots);
}

const struct mode websocket_modes[] = {
    {"ack", 1, true, connected, input, ack_begin, ack_message},
    {"binary", 1, true, connected, input, binary_begin, binary_message},
    {"broadcast", 1, true, connected, input, broadcast_begin, broadcast_message},
    {"connect", 1, false, connected, input, connect_begin, idle_message},
    {"idle", 1, true, connected, input, idle_begin, idle_message},
    {0},
};
