// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nobody else notices: a disk and a network card whose DMA is bounced do their work
 * while a process asks again and again for mappings that are refused.
 *
 * Each way to ask, edu_dma's with the attribute and ibv_reg_mr, is tried for as long
 * as it takes to write a disk and read it back, and to have a stream of data echoed
 * over the network. The data have to be right, each request refused with its reason,
 * and in the end, with the two drivers gone, no slot of the bounce pool may be in use.
 *
 * Wants swiotlb=force, the edu device, and of virtio, with iommu_platform=on, a disk
 * and a network card, with somebody who echoes what comes to ECHO_ADDRESS.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "busy.h"
#include "demo.h"
#include "device.h"
#include "net.h"
#include "observe.h"
#include "pages.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define DISK		"/dev/vda"
#define CARD		"eth0"
#define ADDRESS		"10.0.2.15"
#define ECHO_ADDRESS	"10.0.2.100"
#define ECHO_PORT	7
#define DRIVERS		"/sys/bus/virtio/drivers/"
#define REASON		"FORCED_BOUNCE"

#define DISK_CHUNK	(256 << 10)
#define DISK_SIZE	(16 << 20)
#define ECHO_CHUNK	(16 << 10)
#define ECHO_SIZE	(2 << 20)
#define ROUNDS		2
/* Requests between two looks at the trace, which take long. */
#define BATCH		64
/* Fewer refusals meanwhile show nothing. */
#define REFUSALS	(4 * BATCH)
#define PATIENCE	90	/* seconds */

/* What the processes tell each other. */
struct shared {
	volatile bool stop;
	volatile unsigned long refused;
	volatile bool wrong;
};

/* One process: returns whether all was well, and prints why not. */
typedef bool (*work)(struct shared *s, enum request request);

static bool __attribute__((format(printf, 1, 2))) wrong(const char *format, ...)
{
	va_list args;

	printf("  # ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	return false;
}

/* No two places have the same data, no place has them twice. */
static void make(__u64 *data, size_t size, __u64 seed)
{
	size_t i;

	for (i = 0; i < size / sizeof(*data); i++)
		data[i] = (seed << 32 | i) * 0x9e3779b97f4a7c15ULL;
}

static bool disk_chunk(int fd, __u64 *data, __u64 *back, off_t at, bool writing,
		       unsigned int round)
{
	ssize_t n;

	make(data, DISK_CHUNK, (round + 1) * DISK_SIZE + at);
	if (writing) {
		n = pwrite(fd, data, DISK_CHUNK, at);
	} else {
		memset(back, 0, DISK_CHUNK);
		n = pread(fd, back, DISK_CHUNK, at);
	}
	if (n != DISK_CHUNK)
		return wrong("disk: %zd bytes at %#lx: %s", n, (long)at, strerror(errno));
	if (!writing && memcmp(data, back, DISK_CHUNK))
		return wrong("disk: wrong data at %#lx", (long)at);
	return true;
}

static bool use_disk(struct shared *s, enum request request)
{
	__u64 *data = mmap(NULL, 2 * DISK_CHUNK, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open(DISK, O_RDWR | O_DIRECT | O_CLOEXEC);
	unsigned int pass;
	bool ok = true;
	off_t at;

	(void)s;
	if (fd < 0 || data == MAP_FAILED)
		return wrong(DISK ": %s", strerror(errno));
	for (pass = 0; pass < 2 * ROUNDS; pass++)
		for (at = 0; ok && at < DISK_SIZE; at += DISK_CHUNK)
			ok = disk_chunk(fd, data, data + DISK_CHUNK / sizeof(*data), at,
					pass % 2 == 0, request * ROUNDS + pass / 2);
	return ok;
}

static bool transfer(int fd, char *data, bool sending)
{
	ssize_t done, n;

	for (done = 0; done < ECHO_CHUNK; done += n) {
		n = sending ? write(fd, data + done, ECHO_CHUNK - done) :
			      read(fd, data + done, ECHO_CHUNK - done);
		if (n <= 0)
			return wrong("net: %zd bytes %s: %s", done,
				     sending ? "sent" : "received", strerror(errno));
	}
	return true;
}

static bool use_net(struct shared *s, enum request request)
{
	static __u64 data[ECHO_CHUNK / sizeof(__u64)], back[ECHO_CHUNK / sizeof(__u64)];
	struct sockaddr_in peer = {
		.sin_family = AF_INET,
		.sin_port = htons(ECHO_PORT),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = true;
	size_t at;

	(void)s;
	inet_pton(AF_INET, ECHO_ADDRESS, &peer.sin_addr);
	if (connect(fd, (struct sockaddr *)&peer, sizeof(peer)))
		return wrong("net: " ECHO_ADDRESS ": %s", strerror(errno));
	for (at = 0; ok && at < ECHO_SIZE; at += ECHO_CHUNK) {
		make(data, sizeof(data), request * ECHO_SIZE + at);
		ok = transfer(fd, (char *)data, true) && transfer(fd, (char *)back, false);
		if (ok && memcmp(data, back, sizeof(data)))
			ok = wrong("net: wrong data after %zu bytes", at);
	}
	return ok;
}

/* Whether each request is refused as it has to be. */
static bool are_refused(struct shared *s, struct mapping *m)
{
	char reason[64] = "", line[96] = "";
	int i, events;

	trace_clear();
	for (i = 0; i < BATCH; i++) {
		if (!map_page(m)) {
			unmap_page(m);
			return wrong("mapped");
		}
		if (errno != EOPNOTSUPP)
			return wrong("refused: %s", strerror(errno));
		s->refused++;
	}
	events = trace_refusals(reason, sizeof(reason));
	trace_log(line, sizeof(line));
	if (have_trace_event && (events != BATCH || strcmp(reason, REASON)))
		return wrong("%d of %d traced, for the reason %s", events, BATCH, reason);
	return line[0] ? wrong("the kernel log has: %s", line) : true;
}

static bool ask(struct shared *s, enum request request)
{
	struct mapping m = { .request = request };

	if (pages_open() || device_open(request))
		return wrong("the edu device: %s", strerror(errno));
	m.page = page_get(0, 1ULL << 32);
	if (!m.page)
		return wrong("no free page");
	while (!s->stop)
		if (!are_refused(s, &m))
			return false;
	return pins_charged() ? wrong("charged for pinned memory") : true;
}

static pid_t start(work work, struct shared *s, enum request request)
{
	pid_t child = fork();
	bool ok;

	if (child < 0)
		bail_out("fork");
	if (child)
		return child;
	alarm(PATIENCE);
	ok = work(s, request);
	if (!ok)
		s->wrong = true;
	fflush(stdout);
	_exit(!ok);
}

static bool ended_well(pid_t child)
{
	int status = -1;

	waitpid(child, &status, 0);
	if (WIFSIGNALED(status))
		return wrong("killed by signal %d", WTERMSIG(status));
	return !status;
}

static void ask_while_busy(struct shared *s, enum request request, const char *what)
{
	pid_t asking, disk, net;
	unsigned long before;
	long pins = pins_held();
	bool ok;

	if (device_load(request))
		bail_out("loading a driver of the edu device");
	memset(s, 0, sizeof(*s));
	asking = start(ask, s, request);
	while (!s->refused && !s->wrong && !waitpid(asking, NULL, WNOHANG))
		usleep(1000);
	before = s->refused;
	disk = start(use_disk, s, request);
	net = start(use_net, s, request);
	result(ended_well(disk), "disk_while_%s", what);
	result(ended_well(net), "net_while_%s", what);
	before = s->refused - before;
	s->stop = true;
	ok = ended_well(asking);
	printf("  # %lu requests refused meanwhile\n", before);
	if (pins_held() != pins)
		ok = wrong("%ld pages stay pinned", pins_held() - pins);
	result(ok && before >= REFUSALS, "each_of_%s", what);
}

static void unbind(const char *driver)
{
	char path[300];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), DRIVERS "%s", driver);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, "virtio", strlen("virtio")))
			continue;
		snprintf(path, sizeof(path), DRIVERS "%s/unbind", driver);
		write_text(path, 0, entry->d_name);
	}
	if (dir)
		closedir(dir);
}

/* A card that is up has buffers for what may come, and those are in the pool. */
static void count_slots(void)
{
	long used = pool_used(), most = pool_most(), left;

	unbind("virtio_blk");
	unbind("virtio_net");
	left = pool_used();
	printf("  # slots of the pool: %ld at most, %ld with the drivers, %ld without\n",
	       most, used, left);
	result(used > 0 && most > used, "disk_and_net_bounced");
	result(!left, "no_slot_left");
}

void run_busy(void)
{
	struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int warnings;

	if (s == MAP_FAILED)
		bail_out("mmap");
	if (access(DISK, R_OK | W_OK))
		bail_out(DISK);
	if (net_up(CARD, ADDRESS))
		bail_out(CARD);
	kmsg_skip();
	subtest_begin("busy", 9);
	ask_while_busy(s, ATTRIBUTE, "dma_maps_refused");
	ask_while_busy(s, REG_MR, "reg_mrs_refused");
	if (device_unload())
		bail_out("unloading the driver of the edu device");
	count_slots();
	warnings = kmsg_count_warnings();
	printf("  # %d warnings in the kernel log\n", warnings);
	result(!warnings, "no_warnings");
	subtest_end();
}
