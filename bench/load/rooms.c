/* The modes in which events go to rooms: broadcast (to everybody), room (to a few of many), join (in and out). */
#define _GNU_SOURCE
#include "websocket.h"

#include <string.h>

#define ROOM "room"

/* The members are spread over the clients, and the first of all is one. */
static bool is_member(const struct client *client)
{
    unsigned apart = run.clients / run.members, index = (unsigned)(client - run.client);
    return index % apart == 0 && index / apart < run.members;
}

static void check_members(void)
{
    if (run.members > run.clients)
        die("a room of %u members needs as many clients, not %u", run.members, run.clients);
}

/* Says "join" and "leave" in turn, with ids 1, 2, 3, … */
static void join_or_leave(struct client *client)
{
    uint32_t id = ++client->slots[0].id;
    put_event(&client->out, id, id % 2 ? "join" : "leave", ROOM, strlen(ROOM));
}

static void expect_answer(struct client *client, const struct frame *frame)
{
    if (get_acknowledgement(frame, ROOM, strlen(ROOM)) != client->slots[0].id || !is_member(client))
        unexpected(frame);
}

/* Broadcast: the first client's event is emitted to all. It sends the next when it has received one itself. */

#define REMEMBERED 65536u
static uint64_t cast_at[REMEMBERED], casts;

static void send_cast(struct client *client, const char *start)
{
    char packet[65536 + 64];
    size_t length = strlen(start);
    memcpy(packet, start, length);
    memcpy(packet + length, run.payload, run.payload_length);
    memcpy(packet + length + run.payload_length, "\"]", 2);
    cast_at[casts++ % REMEMBERED] = run.now;
    put_frame(&client->out, TEXT, packet, length + run.payload_length + 2);
}

static void get_cast(struct client *client, const struct frame *frame, const char *start)
{
    size_t length = strlen(start);
    if (!starts_with(frame, start) || frame->length != length + run.payload_length + 2 ||
        memcmp(frame->payload + length, run.payload, run.payload_length) ||
        memcmp(frame->payload + length + run.payload_length, "\"]", 2))
        unexpected(frame);
    uint64_t number = client->received++;
    count(casts - number < REMEMBERED ? cast_at[number % REMEMBERED] : 0);
}

static void broadcast_begin(struct client *client)
{
    if (client == run.client)
        for (unsigned index = 0; index < run.in_flight; index++)
            send_cast(client, "42[\"cast\",\"");
}

static void broadcast_message(struct client *client, const struct frame *frame)
{
    get_cast(client, frame, "42[\"cast\",\"");
    if (client == run.client)
        send_cast(client, "42[\"cast\",\"");
}

/* Room: the same, but only the members of one room get it; the first client begins when all of them are in. */

static unsigned members_in;

static void send_to_room(void)
{
    send_cast(run.client, "42[\"room\",\"" ROOM "\",\"");
}

static void room_begin(struct client *client)
{
    check_members();
    if (is_member(client))
        join_or_leave(client);
}

static void room_message(struct client *client, const struct frame *frame)
{
    if (members_in < run.members) {
        expect_answer(client, frame);
        if (++members_in == run.members) {
            for (unsigned index = 0; index < run.in_flight; index++)
                send_to_room();
            flush(run.client);
        }
        return;
    }
    if (!is_member(client))
        unexpected(frame);
    get_cast(client, frame, "42[\"room\",\"");
    if (client == run.client)
        send_to_room();
}

/* Join: each member joins and leaves again, over and over; both together are one message. */

static void join_begin(struct client *client)
{
    check_members();
    if (is_member(client)) {
        client->slots[0].sent = run.now;
        join_or_leave(client);
    }
}

static void join_message(struct client *client, const struct frame *frame)
{
    expect_answer(client, frame);
    if (client->slots[0].id % 2 == 0) {
        count(client->slots[0].sent);
        client->slots[0].sent = run.now;
    }
    join_or_leave(client);
}

const struct mode room_modes[] = {
    {"broadcast", 1, true, websocket_connected, websocket_input, broadcast_begin, .message = broadcast_message},
    {"room", 1, true, websocket_connected, websocket_input, room_begin, .message = room_message},
    {"join", 1, true, websocket_connected, websocket_input, join_begin, .message = join_message},
    {0},
};
