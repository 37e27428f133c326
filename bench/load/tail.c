/* The open loop: acknowledged events that leave when their time has come, whether or not the server keeps up.
 *
 * No answer moves those times: their distances are exponential, drawn from a fixed seed, as is the client of each. An
 * answer's time counts from the moment at which its event was to leave. So while the server (or this program) stalls,
 * all that falls due meanwhile waits, and the waiting is counted. To leave it out is called coordinated omission. */
#define _GNU_SOURCE
#include "websocket.h"

#include <math.h>
#include <stdlib.h>

#define AT_ONCE 64u

struct event {
    uint64_t due;             /* 0: answered */
    struct client *client;
    bool counted;
};

static struct event *events;  /* by id */
static uint32_t sent, capacity;
static uint64_t due, seed = 1;
static uint64_t counted;      /* those that were sent in the counting phase */

/* A number above 0, up to 1. */
static double random_share(void)
{
    return (double)((next_random(&seed) >> 11) + 1) * 0x1p-53;
}

static void draw_next(void)
{
    due += (uint64_t)(-log(random_share()) / run.per_second * 1e9);
}

static void tail_begin(struct client *client)
{
    if (client != run.client)
        return;
    if (!run.per_second)
        die("mode tail needs -r, the events per second");
    due = run.now;
    draw_next();
}

static void send_due(void)
{
    if (sent == capacity) {
        capacity = capacity ? capacity * 2 : 65536;
        events = realloc(events, capacity * sizeof *events);
        if (!events)
            die("out of memory");
    }
    struct client *client = &run.client[next_random(&seed) % run.clients];
    events[sent] = (struct event){due, client, run.counting};
    put_event(&client->out, sent++, "echo", run.payload, run.payload_length);
    flush(client);
    if (run.counting) {
        counted++;
        run.unanswered++;
        histogram_add(&run.delay, run.now - due);
    }
}

static uint64_t tail_pace(void)
{
    /* Not all at once, or a rate that is too high for this program would leave it no time to read. */
    for (unsigned left = AT_ONCE; left && due <= run.now && counted < run.wanted; left--) {
        send_due();
        draw_next();
        run.now = now_ns();
    }
    return due;
}

static void tail_message(struct client *client, const struct frame *frame)
{
    uint32_t id = get_acknowledgement(frame, run.payload, run.payload_length);
    struct event *event = id < sent ? &events[id] : NULL;
    if (!event || !event->due || event->client != client)
        unexpected(frame);
    if (event->counted) {
        count(event->due);
        run.unanswered--;
    }
    event->due = 0;
}

static void tail_give_up(void)
{
    for (uint32_t id = 0; id < sent; id++)
        if (events[id].due && events[id].counted)
            histogram_add(&run.latency, run.now - events[id].due);
}

const struct mode tail_modes[] = {
    {"tail", 1, true, websocket_connected, websocket_input, tail_begin, .message = tail_message, .pace = tail_pace,
     .give_up = tail_give_up},
    {0},
};
