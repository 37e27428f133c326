/* What both programs of this folder need: buffers, clocks, loopback sockets, a histogram. Linux only. */
#ifndef BENCH_NET_H
#define BENCH_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A byte queue: append behind, drop in front. Empty ones own no memory after buffer_free(). */
struct buffer {
    char *data;
    size_t length, capacity;
};

/* Room for `extra` bytes behind the contents; the caller adds what it wrote to `length`. */
char *buffer_reserve(struct buffer *buffer, size_t extra);
void buffer_append(struct buffer *buffer, const void *data, size_t length);
void buffer_drop(struct buffer *buffer, size_t length);
void buffer_free(struct buffer *buffer);

/* Prints one line to stderr and ends the program with status 1. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

uint64_t now_ns(void);
/* CPU time (user and system, all threads) of a process, in ns. Process 0 is this one. Another one's is as old as the
 * last tick of its core (up to 10 ms). */
uint64_t cpu_ns(pid_t process);

/* The next of a fixed sequence; any seed is as good as another. */
uint64_t next_random(uint64_t *seed);

/* An IPv4 loopback address; any other host is refused. */
uint32_t loopback_address(const char *host);
/* Begins to connect, from one of 16 loopback addresses in turn, so that ports in TIME_WAIT never run out. */
int connect_to(uint32_t address, uint16_t port);
/* Listens on a free port of 127.0.0.1; stores the port. */
int listen_on_loopback(uint16_t *port);
void raise_descriptor_limit(void);

/* Log-linear: 32 steps per power of two, so a value is known to 3 %. */
struct histogram {
    uint64_t total, largest;
    uint32_t counts[64 * 64];
};

void histogram_add(struct histogram *histogram, uint64_t value);
/* The value below which `share` (0 to 1) of all values lie. */
uint64_t histogram_quantile(const struct histogram *histogram, double share);

#endif
