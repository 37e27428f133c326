#define _GNU_SOURCE
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* No peer of a bench run has reason to let this much pile up; above it something is broken. */
#define MAX_BUFFER (64u << 20)

_Noreturn void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

char *buffer_reserve(struct buffer *buffer, size_t extra)
{
    size_t need = buffer->length + extra;
    if (need > buffer->capacity) {
        size_t capacity = buffer->capacity ? buffer->capacity : 256;
        while (capacity < need)
            capacity *= 2;
        if (capacity > MAX_BUFFER)
            die("a buffer grew above %u bytes", MAX_BUFFER);
        buffer->data = realloc(buffer->data, capacity);
        if (!buffer->data)
            die("out of memory");
        buffer->capacity = capacity;
    }
    return buffer->data + buffer->length;
}

void buffer_append(struct buffer *buffer, const void *data, size_t length)
{
    if (length) {
        memcpy(buffer_reserve(buffer, length), data, length);
        buffer->length += length;
    }
}

void buffer_drop(struct buffer *buffer, size_t length)
{
    buffer->length -= length;
    if (length && buffer->length)
        memmove(buffer->data, buffer->data + length, buffer->length);
}

void buffer_free(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){0};
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec at;
    if (clock_gettime(clock, &at) < 0)
        die("clock: %s", strerror(errno));
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

uint64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t cpu_ns(pid_t process)
{
    clockid_t clock;
    int error = clock_getcpuclockid(process, &clock);
    if (error)
        die("CPU clock of process %d: %s", (int)process, strerror(error));
    return clock_ns(clock);
}

uint64_t next_random(uint64_t *seed)
{
    /* A Weyl sequence, mixed: SplitMix64. */
    uint64_t value = *seed += 0x9e3779b97f4a7c15;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 27) * 0x94d049bb133111eb;
    return value ^ value >> 31;
}

uint32_t loopback_address(const char *host)
{
    struct in_addr address;
    if (inet_pton(AF_INET, strcmp(host, "localhost") ? host : "127.0.0.1", &address) != 1 ||
        ntohl(address.s_addr) >> 24 != 127)
        die("%s is refused: only IPv4 loopback addresses are measured", host);
    return address.s_addr;
}

int connect_to(uint32_t address, uint16_t port)
{
    static unsigned turn;
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    if (descriptor < 0)
        die("socket: %s", strerror(errno));
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(descriptor, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001 + turn++ % 16)};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = address};
    if (bind(descriptor, (struct sockaddr *)&from, sizeof from) < 0)
        die("bind: %s", strerror(errno));
    if (connect(descriptor, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)
        die("connect: %s", strerror(errno));
    return descriptor;
}

int listen_on_loopback(uint16_t *port)
{
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    if (descriptor < 0 || bind(descriptor, (struct sockaddr *)&at, sizeof at) < 0 || listen(descriptor, 4096) < 0 ||
        getsockname(descriptor, (struct sockaddr *)&at, &length) < 0)
        die("listen: %s", strerror(errno));
    *port = ntohs(at.sin_port);
    return descriptor;
}

void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    unsigned shift = value < 64 ? 0 : 58 - (unsigned)__builtin_clzll(value);
    histogram->counts[shift * 64 + (value >> shift)]++;
    histogram->total++;
    if (value > histogram->largest)
        histogram->largest = value;
}

uint64_t histogram_quantile(const struct histogram *histogram, double share)
{
    uint64_t rank = (uint64_t)(share * (double)histogram->total), seen = 0;
    for (unsigned index = 0; index < 64 * 64; index++) {
        seen += histogram->counts[index];
        if (histogram->counts[index] && seen > rank) {
            /* The first 64 indexes count the values themselves; above, an index is shift * 64 + (32 to 63). */
            unsigned shift = index < 64 ? 0 : index / 64;
            uint64_t value = (uint64_t)(index - shift * 64) << shift;
            return value < histogram->largest ? value : histogram->largest;
        }
    }
    return histogram->largest;
}
