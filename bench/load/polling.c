/* The modes that speak Engine.IO over HTTP long-polling: handshake and pollecho. */
#define _GNU_SOURCE
#include "load.h"

#include <stdio.h>
#include <string.h>

static _Noreturn void unexpected(const struct response *response)
{
    die("unexpected response %d: %.*s", response->status,
        (int)(response->length < 200 ? response->length : 200), response->body);
}

/* Reads the sid out of an OPEN packet. */
static void open_session(struct client *client, const struct response *response)
{
    const char *end = response->body + response->length;
    const char *start = memmem(response->body, response->length, "\"sid\":\"", 7);
    const char *quote = start ? memchr(start + 7, '"', (size_t)(end - start - 7)) : NULL;
    if (response->status != 200 || response->body[0] != '0' || !quote ||
        (size_t)(quote - start - 7) >= sizeof client->session)
        unexpected(response);
    memcpy(client->session, start + 7, (size_t)(quote - start - 7));
    client->session[quote - start - 7] = 0;
}

/* Handshakes: GET after GET on one connection, each of which opens a session. */

static void ask_session(struct client *client)
{
    client->stage = JOINED;
    client->slots[0].sent = run.now;
    put_request(&client->out, "", NULL, 0);
}

static size_t handshake_input(struct client *client, char *data, size_t length)
{
    struct response response;
    size_t taken = get_response(data, length, &response);
    if (taken) {
        open_session(client, &response);
        count(client->slots[0].sent);
        ask_session(client);
    }
    return taken;
}

/* Echo: a client is two connections, one whose GETs bring the server's packets and one whose POSTs carry ours. As soon
 * as a GET is answered the next is sent, so one is always parked; an acknowledged event follows the other. */

static bool is_receiver(const struct client *client)
{
    return (client - run.client) % 2 == 0;
}

static void post(struct client *sender, const char *packet, size_t length)
{
    put_request(&sender->out, sender->partner->session, packet, length);
    flush(sender);
}

static void poll_echo(struct client *receiver)
{
    char packet[65536 + 64];
    /* A heartbeat's answer travels with the next event: a second POST at a time would close the session. */
    int length = snprintf(packet, sizeof packet, "%s42%u[\"echo\",\"%s\"]", receiver->pinged ? "3\x1e" : "",
                          ++receiver->slots[0].id, run.payload);
    receiver->pinged = false;
    receiver->slots[0].sent = run.now;
    receiver->due = 2;
    post(receiver->partner, packet, (size_t)length);
}

static void poll_connected(struct client *client)
{
    client->partner = is_receiver(client) ? client + 1 : client - 1;
    if (is_receiver(client))
        put_request(&client->out, "", NULL, 0);
}

/* The POST was answered, or what it asked for came. */
static void answered(struct client *receiver)
{
    if (--receiver->due)
        return;
    if (receiver->stage == JOINING) {
        receiver->stage = JOINED;
        joined(receiver);
    } else {
        count(receiver->slots[0].sent);
        poll_echo(receiver);
    }
}

static void poll_packet(struct client *receiver, const char *packet, size_t length)
{
    struct response whole = {200, packet, length};
    char start[32] = "40{";
    size_t prefix = 3, exact = length;
    if (length == 1 && packet[0] == '2') {
        receiver->pinged = true;
        return;
    }
    if (receiver->stage == JOINED) {
        prefix = (size_t)snprintf(start, sizeof start, "43%u[\"", receiver->slots[0].id);
        exact = prefix + run.payload_length + 2;
    }
    if (length != exact || length < prefix || memcmp(packet, start, prefix) ||
        (receiver->stage == JOINED && memcmp(packet + prefix, run.payload, run.payload_length)))
        unexpected(&whole);
    answered(receiver);
}

static size_t poll_input(struct client *client, char *data, size_t length)
{
    struct response response;
    size_t taken = get_response(data, length, &response);
    if (!taken)
        return 0;
    if (response.status != 200)
        unexpected(&response);
    if (!is_receiver(client)) {
        answered(client->partner);
    } else if (client->stage == UPGRADING) {
        open_session(client, &response);
        client->stage = JOINING;
        client->due = 2;
        put_request(&client->out, client->session, NULL, 0);
        post(client->partner, "40", 2);
    } else {
        put_request(&client->out, client->session, NULL, 0);
        const char *at = response.body, *end = at + response.length;
        for (const char *next; at < end; at = next + 1) {
            next = memchr(at, '\x1e', (size_t)(end - at));
            next = next ? next : end;
            poll_packet(client, at, (size_t)(next - at));
        }
    }
    return taken;
}

const struct mode polling_modes[] = {
    {"handshake", 1, false, ask_session, handshake_input, .begin = ask_session},
    {"pollecho", 2, true, poll_connected, poll_input, .begin = poll_echo},
    {0},
};
