// SPDX-License-Identifier: GPL-2.0-only
/* What the kernel tells of itself: counters, its log, its trace events. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "observe.h"

#define POOL		"/sys/kernel/debug/swiotlb/"
#define TRACE_EVENT	"dma_map_refused"
#define TRACE_ENABLE	TRACE_DIR "/events/dma/" TRACE_EVENT "/enable"

/* What each scatterlist that fails to map causes, refused ones among them. */
#define LIST_EVENT	"dma_map_sg_err"
#define LIST_ENABLE	TRACE_DIR "/events/dma/" LIST_EVENT "/enable"

/* What a process causes to be printed, unlike what others do meanwhile. */
#define LOG_EVENT	"console"
#define LOG_ENABLE	TRACE_DIR "/events/printk/" LOG_EVENT "/enable"
#define LOG_FILTER	TRACE_DIR "/events/printk/" LOG_EVENT "/filter"

static int kmsg_fd = -1;

bool have_trace_event;

ssize_t read_text(const char *path, char *text, size_t size)
{
	ssize_t len = 0, n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	while ((size_t)len < size - 1) {
		n = read(fd, text + len, size - 1 - len);
		if (n <= 0)
			break;
		len += n;
	}
	close(fd);
	text[len] = '\0';
	return len;
}

int write_text(const char *path, int flags, const char *text)
{
	ssize_t len = strlen(text), n;
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags);

	if (fd < 0)
		return -1;
	n = write(fd, text, len);
	close(fd);
	return n == len ? 0 : -1;
}

static long count(const char *path)
{
	char text[32];

	return read_text(path, text, sizeof(text)) > 0 ? atol(text) : -1;
}

long pool_used(void)
{
	return count(POOL "io_tlb_used");
}

long pool_most(void)
{
	return count(POOL "io_tlb_used_hiwater");
}

long pins_charged(void)
{
	static const char key[] = "\nVmPin:";
	char text[4096], *at;

	if (read_text("/proc/self/status", text, sizeof(text)) < 0)
		return -1;
	at = strstr(text, key);
	return at ? atol(at + strlen(key)) : -1;
}

long pins_held(void)
{
	static const char acquired[] = "nr_foll_pin_acquired ";
	static const char released[] = "nr_foll_pin_released ";
	static char text[16384];
	const char *a, *r;

	/* Without this the counters lag behind by what each CPU still holds. */
	if (write_text("/proc/sys/vm/stat_refresh", 0, "1\n"))
		return -1;
	if (read_text("/proc/vmstat", text, sizeof(text)) < 0)
		return -1;
	a = strstr(text, acquired);
	r = strstr(text, released);
	if (!a || !r)
		return -1;
	return atol(a + strlen(acquired)) - atol(r + strlen(released));
}

int kmsg_open(void)
{
	kmsg_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return kmsg_fd < 0 ? -1 : 0;
}

void kmsg_skip(void)
{
	lseek(kmsg_fd, 0, SEEK_END);
}

int kmsg_count_warnings(void)
{
	char record[8192];
	int count = 0;
	ssize_t len;

	for (;;) {
		len = read(kmsg_fd, record, sizeof(record) - 1);
		if (len < 0 && (errno == EPIPE || errno == EINTR))
			continue;
		if (len <= 0)
			return count;
		record[len] = '\0';
		if (strstr(record, "WARNING:") || strstr(record, "swiotlb") ||
		    (strstr(record, "DMA addr") && strstr(record, "overflow")))
			count++;
	}
}

int trace_open(void)
{
	if (!access(LOG_ENABLE, F_OK) && write_text(LOG_ENABLE, 0, "1"))
		return -1;
	have_trace_event = !access(TRACE_ENABLE, F_OK);
	if (!have_trace_event)
		return 0;
	if (write_text(LIST_ENABLE, 0, "1"))
		return -1;
	return write_text(TRACE_ENABLE, 0, "1");
}

void trace_clear(void)
{
	char filter[32];

	snprintf(filter, sizeof(filter), "common_pid == %d", getpid());
	write_text(LOG_FILTER, 0, filter);
	write_text(TRACE_DIR "/trace", O_TRUNC, "");
}

/* Returns what the first event of that name says, until the next call, or NULL. */
static const char *trace_first(const char *event)
{
	static char text[65536];
	char name[64], *line;

	if (read_text(TRACE_DIR "/trace", text, sizeof(text)) < 0)
		return NULL;
	snprintf(name, sizeof(name), ": %s: ", event);
	line = strstr(text, name);
	if (!line)
		return NULL;
	line += strlen(name);
	line[strcspn(line, "\n")] = '\0';
	return line;
}

void trace_log(char *first, size_t size)
{
	const char *line = trace_first(LOG_EVENT);

	if (line)
		snprintf(first, size, "%s", line);
}

bool trace_failed_list(unsigned long long phys)
{
	const char *line = trace_first(LIST_EVENT);
	char entries[80];

	snprintf(entries, sizeof(entries), " nents=1 phys_addrs={%#llx} err=%d ",
		 phys, -EOPNOTSUPP);
	return line && strstr(line, entries);
}

int trace_refusals(char *reason, size_t size)
{
	static char text[65536];
	char *line, *save, *field, *end, *next;
	int count = 0;

	if (!have_trace_event ||
	    read_text(TRACE_DIR "/trace", text, sizeof(text)) < 0)
		return 0;

	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		if (line[0] == '#' || !strstr(line, TRACE_EVENT ":"))
			continue;
		if (count++)
			continue;
		field = strstr(line, " reason=");
		if (!field)
			continue;
		field += strlen(" reason=");

		/* The text may have spaces: it ends where a "key=" begins. */
		end = field + strlen(field);
		for (next = strchr(field, ' '); next; next = strchr(next, ' ')) {
			size_t key;

			next++;
			key = strspn(next, "abcdefghijklmnopqrstuvwxyz_");
			if (key && next[key] == '=') {
				end = next - 1;
				break;
			}
		}
		snprintf(reason, size, "%.*s", (int)(end - field), field);
	}
	return count;
}
