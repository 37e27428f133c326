/* A load generator for Socket.IO servers: one thread, one epoll, no client library in the way.
 *
 *     load HOST PORT MODE [-c clients] [-n in flight] [-b payload bytes] [-s seconds] [-w warm-up seconds]
 *                         [-m messages] [-r per second] [-g members of the room] [-p process id of the server]
 *
 * Modes: ack, growth, binary, connect, idle, heartbeat, broadcast, room, join, tail (WebSocket); handshake, pollecho
 * (long-polling). -r is the rate of the events in mode tail; in the others, that of the connections being opened.
 * Prints one line of JSON. Every answer is compared with what it must be; anything else ends the run with status 1.
 * Ends after the seconds or the messages, whichever comes first, and some time after that in any case. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define OPENING_AT_ONCE 64u
#define EVENTS 512
#define READ_SIZE (256u << 10)
/* An open loop waits so long for the last answers. */
#define PATIENCE 2000000000u

struct run run;

static struct {
    uint32_t address;
    uint16_t port;
    double seconds, warm_up;
    pid_t server;
} options = {.seconds = 2, .warm_up = 0.5};

static int selector;
static unsigned opened;                     /* clients whose connections were begun */
static uint64_t phase_end;                  /* of warm-up, then of counting; 0 before the work begins */
static bool commanded;                      /* mode idle: there is something on stdin */
static uint64_t started, server_cpu, generator_cpu;

static void watch(struct client *client, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = client};
    if (epoll_ctl(selector, operation, client->descriptor, &event) < 0)
        die("epoll: %s", strerror(errno));
}

void flush(struct client *client)
{
    size_t sent = 0;
    while (sent < client->out.length) {
        ssize_t count = send(client->descriptor, client->out.data + sent, client->out.length - sent, MSG_NOSIGNAL);
        if (count < 0 && (errno == EAGAIN || errno == ENOTCONN))
            break;
        if (count < 0)
            die("send: %s", strerror(errno));
        sent += (size_t)count;
    }
    buffer_drop(&client->out, sent);
    bool blocked = client->out.length > 0;
    if (blocked != client->blocked)
        watch(client, EPOLL_CTL_MOD, blocked ? EPOLLIN | EPOLLOUT : EPOLLIN);
    client->blocked = blocked;
}

static void open_connection(struct client *client)
{
    client->descriptor = connect_to(options.address, options.port);
    client->stage = UPGRADING;
    client->blocked = true;
    client->in.length = client->out.length = 0;
    watch(client, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
    run.mode->connected(client);
}

static void open_clients(void)
{
    static uint64_t began;
    unsigned each = run.mode->connections, allowed = run.clients;
    if (run.per_second && !run.mode->pace) {
        run.now = now_ns();
        began = began ? began : run.now;
        double due = 1 + (double)(run.now - began) / 1e9 * run.per_second;
        allowed = due < allowed ? (unsigned)due : allowed;
    }
    for (; opened < allowed && (!run.mode->joins || opened - run.joined < OPENING_AT_ONCE); opened++)
        for (unsigned index = 0; index < each; index++)
            open_connection(&run.client[opened * each + index]);
}

static void begin_work(void)
{
    phase_end = run.now + (uint64_t)(options.warm_up * 1e9);
    if (run.mode->joins)
        for (unsigned index = 0; index < run.clients; index++) {
            struct client *client = &run.client[index * run.mode->connections];
            run.mode->begin(client);
            flush(client);
        }
}

void joined(struct client *client)
{
    if (!run.mode->joins) {
        run.mode->begin(client);
    } else if (++run.joined == run.clients) {
        begin_work();
    } else {
        open_clients();
    }
}

static void lost(struct client *client)
{
    if (client->stage != CLOSING)
        die("the server closed a connection");
    close(client->descriptor);
    count(client->slots[0].sent);
    client->slots[0].sent = run.now;
    open_connection(client);
}

static void readable(struct client *client)
{
    static char chunk[READ_SIZE];
    run.now = now_ns();
    ssize_t got = recv(client->descriptor, chunk, sizeof chunk, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got < 0 && client->stage != CLOSING)
        die("recv: %s", strerror(errno));
    if (got <= 0) {
        lost(client);
        return;
    }
    /* Most reads end with a whole frame, so most never touch the connection's own buffer. */
    if (client->in.length) {
        buffer_append(&client->in, chunk, (size_t)got);
        buffer_drop(&client->in, run.mode->input(client, client->in.data, client->in.length));
        if (!client->in.length)
            buffer_free(&client->in);
    } else {
        size_t taken = run.mode->input(client, chunk, (size_t)got);
        buffer_append(&client->in, chunk + taken, (size_t)got - taken);
    }
    flush(client);
}

static void start_counting(void)
{
    run.counting = true;
    server_cpu = options.server ? cpu_ns(options.server) : 0;
    generator_cpu = cpu_ns(0);
    started = run.now = now_ns();
    phase_end = started + (uint64_t)(options.seconds * 1e9);
}

static void put_times(const char *name, const struct histogram *histogram)
{
    printf(",\"%s\":{\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}", name,
           (double)histogram_quantile(histogram, 0.5) / 1e3, (double)histogram_quantile(histogram, 0.99) / 1e3,
           (double)histogram_quantile(histogram, 0.999) / 1e3, (double)histogram->largest / 1e3);
}

static void report(void)
{
    double seconds = (double)(now_ns() - started) / 1e9;
    printf("{\"mode\":\"%s\",\"clients\":%u,\"in_flight\":%u,\"payload\":%zu,\"messages\":%llu,\"seconds\":%.6f,"
           "\"rate\":%.1f,\"generator_cpu\":%.6f",
           run.mode->name, run.clients, run.in_flight, run.payload_length, (unsigned long long)run.messages, seconds,
           (double)run.messages / seconds, (double)(cpu_ns(0) - generator_cpu) / 1e9);
    put_times("latency_us", &run.latency);
    if (run.mode->pace) {
        put_times("delay_us", &run.delay);
        printf(",\"unanswered\":%llu", (unsigned long long)run.unanswered);
    }
    if (options.server)
        printf(",\"server_cpu\":%.6f", (double)(cpu_ns(options.server) - server_cpu) / 1e9);
    puts("}");
}

static void turn(int timeout)
{
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(selector, events, EVENTS, timeout);
    if (ready < 0 && errno != EINTR)
        die("epoll: %s", strerror(errno));
    for (int index = 0; index < ready; index++) {
        struct client *client = events[index].data.ptr;
        if (!client) {
            commanded = true;
            continue;
        }
        if (events[index].events & EPOLLOUT)
            flush(client);
        if (events[index].events & ~(uint32_t)EPOLLOUT)
            readable(client);
    }
    run.now = now_ns();
}

/* Opens the clients, until all have joined. */
static void open_all(void)
{
    open_clients();
    run.now = now_ns();
    if (!run.mode->joins)
        begin_work();
    while (!phase_end) {
        turn(run.per_second ? 1 : 1000);
        open_clients();
    }
}

/* One turn, which ends at `deadline` at the latest. */
static void work_until(uint64_t deadline)
{
    uint64_t next = run.mode->pace ? run.mode->pace() : UINT64_MAX;
    uint64_t until = next < deadline ? next : deadline, left = until > run.now ? (until - run.now) / 1000000 : 0;
    /* An open loop must not oversleep, so it waits awake for what comes within a millisecond. */
    turn((int)left + (run.mode->pace ? 0 : 1));
}

static void work(void)
{
    open_all();
    while (run.now < phase_end)
        work_until(phase_end);
    start_counting();
    if (run.mode->pace) {
        while (run.now < phase_end && run.messages + run.unanswered < run.wanted)
            work_until(phase_end);
        for (uint64_t end = run.now + PATIENCE; run.now < end && run.unanswered;)
            turn(1);
        run.mode->give_up();
    } else {
        while (run.now < phase_end && run.messages < run.wanted)
            work_until(phase_end);
    }
    report();
}

/* Opens all, says "ready"; for each "m" on stdin sends one event per client, says "answered"; ends at anything else. */
static void hold(void)
{
    struct epoll_event event = {.events = EPOLLIN};
    char command;
    open_all();
    if (epoll_ctl(selector, EPOLL_CTL_ADD, 0, &event) < 0)
        die("mode idle needs a pipe or a terminal as its input");
    start_counting();
    puts("ready");
    for (;;) {
        fflush(stdout);
        for (commanded = false; !commanded;)
            turn(1000);
        if (read(0, &command, 1) < 1 || command != 'm')
            break;
        for (unsigned index = 0; index < run.clients; index++) {
            idle_send(&run.client[index]);
            flush(&run.client[index]);
        }
        for (uint64_t due = run.messages + run.clients; run.messages < due;)
            turn(1000);
        puts("answered");
    }
    report();
}

static void timed_out(int signal)
{
    static const char message[] = "the run did not end in time\n";
    (void)signal;
    if (write(2, message, sizeof message - 1) < 0) {}
    _exit(1);
}

static double number(const char *name, const char *text, double least, double most)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= least && value <= most))
        die("%s must be from %g to %g, not %s", name, least, most, text);
    return value;
}

static const struct mode *find_mode(const char *name)
{
    const struct mode *lists[] = {websocket_modes, room_modes, tail_modes, polling_modes};
    for (unsigned list = 0; list < sizeof lists / sizeof *lists; list++)
        for (const struct mode *mode = lists[list]; mode->name; mode++)
            if (!strcmp(mode->name, name))
                return mode;
    die("unknown mode %s", name);
}

static void read_options(int count, char **arguments)
{
    if (count < 4)
        die("usage: load HOST PORT MODE [-c clients] [-n in flight] [-b payload bytes] [-s seconds]\n"
            "            [-w warm-up seconds] [-m messages] [-r per second] [-g members of the room]\n"
            "            [-a active clients] [-p process id of the server]");
    options.address = loopback_address(arguments[1]);
    options.port = (uint16_t)number("PORT", arguments[2], 1, 65535);
    run.mode = find_mode(arguments[3]);
    run.clients = run.in_flight = 1;
    run.members = 10;
    run.wanted = UINT64_MAX;
    run.payload_length = 64;
    optind = 4;
    for (int option; (option = getopt(count, arguments, "c:n:b:s:w:m:r:g:a:p:")) != -1;) {
        switch (option) {
        case 'c': run.clients = (unsigned)number("clients", optarg, 1, 20000); break;
        case 'n': run.in_flight = (unsigned)number("in flight", optarg, 1, 1024); break;
        case 'b': run.payload_length = (size_t)number("payload bytes", optarg, 1, 65536); break;
        case 's': options.seconds = number("seconds", optarg, 0.1, 60); break;
        case 'w': options.warm_up = number("warm-up seconds", optarg, 0, 60); break;
        case 'm': run.wanted = (uint64_t)number("messages", optarg, 1, 1e9); break;
        case 'r': run.per_second = number("per second", optarg, 1, 1e7); break;
        case 'g': run.members = (unsigned)number("members of the room", optarg, 1, 20000); break;
        case 'a': run.active = (unsigned)number("active clients", optarg, 1, 20000); break;
        case 'p': options.server = (pid_t)number("process id", optarg, 1, 1 << 22); break;
        default: exit(2);
        }
    }
    if (optind < count)
        die("what is %s?", arguments[optind]);
    if (!run.active || run.active > run.clients)
        run.active = run.clients;
}

static void make_clients(void)
{
    unsigned connections = run.clients * run.mode->connections;
    struct slot *slots = calloc((size_t)connections * run.in_flight, sizeof *slots);
    run.client = calloc(connections, sizeof *run.client);
    run.payload = malloc(run.payload_length + 1);
    if (!slots || !run.client || !run.payload)
        die("out of memory");
    for (unsigned index = 0; index < connections; index++)
        run.client[index].slots = slots + (size_t)index * run.in_flight;
    for (size_t index = 0; index < run.payload_length; index++)
        run.payload[index] = (char)('0' + index % 10);
    run.payload[run.payload_length] = 0;
}

/* In seconds. A slow server on a busy machine takes 100 connections per second. */
static unsigned time_limit(void)
{
    double opening = run.clients / 100.0 + (run.per_second && !run.mode->pace ? run.clients / run.per_second : 0);
    return (unsigned)(opening + (run.mode->holds ? 300 : options.seconds + options.warm_up + 30));
}

int main(int count, char **arguments)
{
    read_options(count, arguments);
    make_clients();
    raise_descriptor_limit();
    selector = epoll_create1(EPOLL_CLOEXEC);
    signal(SIGALRM, timed_out);
    alarm(time_limit());
    if (run.mode->holds)
        hold();
    else
        work();
    return 0;
}
