/* The least that calls cost on this machine: the system calls of a controller's audio, and no work.

   floor CALLS SECONDS MESSAGE_MS MESSAGE_BYTES APPEND_BYTES FRAME_BYTES DELTA_MS DELTA_BYTES

   Two processes. The peer is switch and model: it sends each call's caller a message every
   MESSAGE_MS and its reply a delta every DELTA_MS, evenly spread over the calls, and reads what
   comes. The other one is what is measured. For each message it sends an append to the model, all
   messages and deltas it reads, and every 20 ms it sends a frame to each lane. Streams and the
   model are TCP connections, lanes UDP sockets, all on 127.0.0.1 and watched by one epoll, as the
   controller has them.

   Prints one line of JSON: CPU in milliseconds a call and second, of it in the kernel, and what was
   counted. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

enum { FRAME_MS = 20, STEP_MS = 1, MOST = 1 << 16, WARM_UP_MS = 500 };
enum kind { STREAM, MODEL, LANE, KINDS };

static char buffer[MOST];
static int calls, *sockets[2][KINDS]; /* by side (0: the measured one), kind and call */

static void need(int right, const char *what) {
    if (!right) {
        perror(what);
        exit(1);
    }
}

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

/* Two connected sockets on 127.0.0.1. */
static void connect_pair(int type, int *ours, int *theirs) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int there = socket(AF_INET, type, 0), one = 1;
    *ours = socket(AF_INET, type, 0);
    need(there >= 0 && *ours >= 0, "socket");
    need(!bind(there, (struct sockaddr *)&at, size), "bind");
    need(!getsockname(there, (struct sockaddr *)&at, &size), "getsockname");
    if (type == SOCK_STREAM)
        need(!listen(there, 1), "listen");
    need(!connect(*ours, (struct sockaddr *)&at, size), "connect");
    *theirs = there;
    if (type == SOCK_STREAM) {
        *theirs = accept(there, NULL, NULL);
        need(*theirs >= 0, "accept");
        close(there);
        setsockopt(*ours, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(*theirs, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
}

/* An epoll of one side's sockets and of a timer, whose data are -1. */
static int watch(int side, int period_ms, int *timer) {
    int poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    struct itimerspec each = {{0, period_ms * 1000000L}, {0, period_ms * 1000000L}};
    for (int kind = 0; kind < KINDS; kind++)
        for (int call = 0; call < calls; call++) {
            event.data.u64 = (uint64_t)kind << 32 | call;
            need(!epoll_ctl(poll, EPOLL_CTL_ADD, sockets[side][kind][call], &event), "epoll_ctl");
        }
    *timer = timerfd_create(CLOCK_MONOTONIC, 0);
    timerfd_settime(*timer, 0, &each, NULL);
    event.data.u64 = UINT64_MAX;
    need(!epoll_ctl(poll, EPOLL_CTL_ADD, *timer, &event), "epoll_ctl");
    return poll;
}

/* Send to the calls whose turn it is, when each has one every `period` ms. */
static void spread(int kind, long ms, int period, size_t size) {
    for (int call = ms % period; call < calls; call += period)
        send(sockets[1][kind][call], buffer, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void be_the_peer(int message_ms, size_t message, int delta_ms, size_t delta) {
    struct epoll_event events[256];
    int timer, poll = watch(1, STEP_MS, &timer);
    uint64_t passed;
    for (long ms = 0;;) {
        int count = epoll_wait(poll, events, 256, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.u64 != UINT64_MAX) {
                int kind = events[i].data.u64 >> 32, call = (int)events[i].data.u64;
                if (recv(sockets[1][kind][call], buffer, MOST, MSG_DONTWAIT) == 0)
                    exit(0);
            } else if (read(timer, &passed, sizeof passed) == sizeof passed)
                for (; passed; passed--, ms++) {
                    spread(STREAM, ms, message_ms, message);
                    spread(MODEL, ms, delta_ms, delta);
                }
        }
    }
}

static double cpu_ms(struct rusage *used) {
    getrusage(RUSAGE_SELF, used);
    return used->ru_utime.tv_sec * 1e3 + used->ru_utime.tv_usec / 1e3;
}

static double kernel_ms(const struct rusage *used) {
    return used->ru_stime.tv_sec * 1e3 + used->ru_stime.tv_usec / 1e3;
}

int main(int argc, char **argv) {
    need(argc == 9 || (errno = EINVAL, 0), "floor: eight numbers");
    calls = atoi(argv[1]);
    double seconds = atof(argv[2]);
    size_t append = atol(argv[5]), frame = atol(argv[6]);
    need((calls > 0 && seconds > 0) || (errno = EINVAL, 0), "floor: CALLS and SECONDS");
    for (int side = 0; side < 2; side++)
        for (int kind = 0; kind < KINDS; kind++)
            sockets[side][kind] = calloc(calls, sizeof(int));
    for (int kind = 0; kind < KINDS; kind++)
        for (int call = 0; call < calls; call++)
            connect_pair(kind == LANE ? SOCK_DGRAM : SOCK_STREAM, &sockets[0][kind][call],
                         &sockets[1][kind][call]);
    pid_t peer = fork();
    need(peer >= 0, "fork");
    if (peer == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        be_the_peer(atoi(argv[3]), atol(argv[4]), atoi(argv[7]), atol(argv[8]));
    }

    struct epoll_event events[256];
    struct rusage used, before = {0};
    int timer, poll = watch(0, FRAME_MS, &timer), measuring = 0;
    long messages = 0, deltas = 0, frames = 0;
    double began = now_ms(), user = 0, late = 0, due = began + FRAME_MS;
    for (;;) {
        int count = epoll_wait(poll, events, 256, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.u64 == UINT64_MAX) {
                uint64_t passed = 0;
                double behind = now_ms() - due;
                need(read(timer, &passed, sizeof passed) == sizeof passed, "timer");
                due += FRAME_MS * (double)passed;
                if (measuring && behind > late)
                    late = behind;
                for (; passed; passed--)
                    for (int call = 0; call < calls; call++, frames++)
                        send(sockets[0][LANE][call], buffer, frame, MSG_DONTWAIT);
                continue;
            }
            int kind = events[i].data.u64 >> 32, call = (int)events[i].data.u64;
            recv(sockets[0][kind][call], buffer, MOST, MSG_DONTWAIT);
            if (kind == STREAM) {
                send(sockets[0][MODEL][call], buffer, append, MSG_DONTWAIT | MSG_NOSIGNAL);
                messages++;
            } else
                deltas++;
        }
        double at = now_ms();
        if (!measuring && at - began >= WARM_UP_MS) {
            measuring = 1, began = at, messages = deltas = frames = 0;
            user = cpu_ms(&before);
        } else if (measuring && at - began >= seconds * 1000)
            break;
    }
    double work = calls * (now_ms() - began) / 1000;
    double spent = cpu_ms(&used) - user, kernel = kernel_ms(&used) - kernel_ms(&before);
    kill(peer, SIGKILL);
    waitpid(peer, NULL, 0);
    printf("{\"calls\": %d, \"cpu_ms\": %.4f, \"kernel_ms\": %.4f, \"messages\": %.2f, \"deltas\":"
           " %.2f, \"frames\": %.2f, \"worst_late_ms\": %.2f}\n",
           calls, (spent + kernel) / work, kernel / work, messages / work, deltas / work,
           frames / work, late);
    return 0;
}
