/* The generator: its clients, its phases, and what a mode of work must provide. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "net.h"
#include "wire.h"

/* Where a client stands. Each mode uses those that it needs, in this order. */
enum stage { UPGRADING, OPENING, JOINING, JOINED, CLOSING };

/* One acknowledgement (or echo) that is waited for. */
struct slot {
    uint64_t sent;
    uint32_t id;
};

struct client {
    int descriptor;
    enum stage stage;
    bool blocked;             /* the socket took less than all; the rest waits for EPOLLOUT */
    struct buffer in, out;
    struct slot *slots;       /* one per message in flight */
    uint64_t received;        /* messages, since the start */
    bool expects_binary;      /* the header of a binary packet came */
    struct client *partner;   /* polling: the connection for the other direction */
    char session[64];         /* polling: the sid */
    unsigned due;             /* polling: how many answers must come before the next message is sent */
    bool pinged;              /* polling: a heartbeat is to be answered */
};

struct mode {
    const char *name;
    unsigned connections;     /* per client */
    bool joins;               /* the work begins when every client has joined */
    void (*connected)(struct client *client);
    /* Consumes whole responses or frames from the front of `data`; returns how many bytes. */
    size_t (*input)(struct client *client, char *data, size_t length);
    /* A client sends its first messages; called for each when all have joined. */
    void (*begin)(struct client *client);
    /* WebSocket only: a data frame that is neither handshake nor heartbeat. */
    void (*message)(struct client *client, const struct frame *frame);
    bool holds;               /* the work is what stdin asks for */
    bool counts_heartbeats;
    /* Open loop only: sends what is due by now, and returns when the next will be. */
    uint64_t (*pace)(void);
    /* Open loop only: what was not answered in time gets the time that it has waited so far. */
    void (*give_up)(void);
};

struct run {
    const struct mode *mode;
    unsigned clients, in_flight;
    unsigned members;         /* room, join: clients that are in the room */
    unsigned active;          /* growth: clients that have turns */
    double per_second;        /* tail: events; other modes: connections that are opened (0: as fast as they are taken) */
    size_t payload_length;
    char *payload;            /* digits */
    struct client *client;    /* `clients * mode->connections` of them; partners follow each other */
    unsigned joined;
    uint64_t now;             /* of the read that is being handled */
    bool counting;
    uint64_t messages;        /* counted ones */
    uint64_t wanted;          /* that many are enough */
    struct histogram latency; /* of the counted ones, in ns */
    struct histogram delay;   /* tail: how much later than planned the counted ones left, in ns */
    uint64_t unanswered;      /* tail: counted ones that were sent and not answered yet */
};

extern struct run run;
/* Each list ends with a mode that has no name. */
extern const struct mode websocket_modes[], room_modes[], tail_modes[], polling_modes[];

/* Has a message arrived that was sent at `sent` (0: unknown)? Counts it, in the counting phase. */
static inline void count(uint64_t sent)
{
    if (run.counting) {
        run.messages++;
        if (sent)
            histogram_add(&run.latency, run.now - sent);
    }
}

/* To be called once by a client that has joined: begins its work, or everybody's if it was the last. */
void joined(struct client *client);
/* Sends what `out` holds, as far as the socket takes it. */
void flush(struct client *client);
/* Mode idle: one acknowledged event. */
void idle_send(struct client *client);

#endif
