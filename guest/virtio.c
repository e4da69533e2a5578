// SPDX-License-Identifier: GPL-2.0-only
/*
 * Buffers of virtio event queues share cache lines, and dma-debug is content.
 *
 * The drivers put all buffers of an event queue into one structure and map each
 * by itself when they bind. Each has to have done so, or the boot tests nothing:
 * the mappings are read from dma-debug. Then dma-debug must not have found fault
 * with any of them. Wants debugfs and sysfs mounted, and
 *
 *   - a kernel with CONFIG_DMA_API_DEBUG for an architecture with devices that
 *     are not coherent, booted with swiotlb=noforce: others report no overlap
 *   - devices with iommu_platform=on: others do without the DMA API
 *
 * Overlaps are reported one by one: without the attribute each buffer beyond the
 * first of its cache line is an error.
 *
 * harness/boot/events.py sends events meanwhile, which take buffers off the queues, and
 * the drivers put them back. A vsock device has its only event after a migration.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <unistd.h>

#include "demo.h"
#include "virtio.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define DRIVERS		"/sys/bus/virtio/drivers"
#define DMA_DEBUG	"/sys/kernel/debug/dma-api"
#define INTERRUPTS	"/proc/interrupts"
#define POOL_SLABS	"/sys/kernel/debug/swiotlb/io_tlb_nslabs"

#define SYSLOG_ACTION_CONSOLE_LEVEL	8

/* More than a SCSI host has buffers, and how long to wait for them. */
#define EVENTS		10
#define PATIENCE	60	/* seconds */

/* What to find out about each device of a driver. */
typedef bool (*check)(const char *driver, const char *virtio, const char *parent);

/* Count, but do not print. */
static bool quiet;

/* What dma-debug knows of one device's mappings that the device may write. */
struct mappings {
	unsigned int buffers;
	unsigned int lines;
};

/* Copies the first line; false if there is none. */
static bool read_line(const char *path, char *text, size_t size)
{
	FILE *file = fopen(path, "re");
	bool ok;

	if (!file)
		return false;
	ok = fgets(text, size, file);
	fclose(file);
	if (ok)
		text[strcspn(text, "\n")] = '\0';
	return ok;
}

static bool count_mappings(const char *device, struct mappings *found)
{
	unsigned long long seen[1024], line;
	char text[512], name[64], *at;
	FILE *dump = fopen(DMA_DEBUG "/dump", "re");
	unsigned int i;

	memset(found, 0, sizeof(*found));
	if (!dump)
		return false;
	while (fgets(text, sizeof(text), dump)) {
		if (sscanf(text, "%*s %63s", name) != 1 || strcmp(name, device))
			continue;
		at = strstr(text, " cln=");
		if (!at || !strstr(at, " DMA_FROM_DEVICE "))
			continue;
		line = strtoull(at + strlen(" cln="), NULL, 0);
		found->buffers++;
		for (i = 0; i < found->lines; i++)
			if (seen[i] == line)
				break;
		if (i == found->lines && i < ARRAY_SIZE(seen))
			seen[found->lines++] = line;
	}
	fclose(dump);
	return true;
}

static bool buffers_share(const char *driver, const char *virtio, const char *parent)
{
	struct mappings found;

	if (!count_mappings(parent, &found)) {
		printf("  # no " DMA_DEBUG "/dump\n");
		return false;
	}
	printf("  # %s %s: %u buffers in %u cache lines\n", driver, virtio,
	       found.buffers, found.lines);
	return found.buffers > found.lines;
}

/* How often the event queue of a device has raised its interrupt. */
static unsigned long events(const char *virtio)
{
	FILE *file = fopen(INTERRUPTS, "re");
	unsigned long count = 0;
	char text[512], queue[64];

	snprintf(queue, sizeof(queue), " %s-event", virtio);
	while (file && fgets(text, sizeof(text), file))
		if (strstr(text, queue))
			sscanf(text, "%*s %lu", &count);
	if (file)
		fclose(file);
	return count;
}

static bool events_arrived(const char *driver, const char *virtio, const char *parent)
{
	unsigned long count = events(virtio);

	(void)parent;
	if (!quiet)
		printf("  # %s %s: %lu event interrupts\n", driver, virtio, count);
	return count >= EVENTS;
}

/* True if @driver has devices and @ok holds for all of them. */
static bool all_devices(const char *driver, check ok)
{
	char path[512], target[512], *parent, *end;
	unsigned int devices = 0, good = 0;
	struct dirent *entry;
	ssize_t len;
	DIR *dir;

	snprintf(path, sizeof(path), DRIVERS "/%s", driver);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, "virtio", strlen("virtio")))
			continue;
		snprintf(path, sizeof(path), DRIVERS "/%s/%s", driver,
			 entry->d_name);
		len = readlink(path, target, sizeof(target) - 1);
		if (len < 0)
			continue;
		target[len] = '\0';

		/* It is the parent that does DMA: .../0000:00:01.0/virtio0 */
		end = strrchr(target, '/');
		if (!end)
			continue;
		*end = '\0';
		parent = strrchr(target, '/');
		devices++;
		if (ok(driver, entry->d_name, parent ? parent + 1 : target))
			good++;
	}
	if (dir)
		closedir(dir);
	if (!devices && !quiet)
		printf("  # %s: no device\n", driver);
	return devices && good == devices;
}

/* True if an overlap would have been reported. */
static bool dma_debug_is_on(void)
{
	char disabled[16], slabs[32];

	if (!read_line(DMA_DEBUG "/disabled", disabled, sizeof(disabled)) ||
	    strcmp(disabled, "N")) {
		printf("  # dma-debug is disabled\n");
		return false;
	}
	if (read_line(POOL_SLABS, slabs, sizeof(slabs)) && atol(slabs)) {
		printf("  # a bounce pool of %s slots keeps dma-debug quiet\n",
		       slabs);
		return false;
	}
	return true;
}

static bool no_errors(void)
{
	char errors[32];

	if (!read_line(DMA_DEBUG "/error_count", errors, sizeof(errors))) {
		printf("  # no " DMA_DEBUG "/error_count\n");
		return false;
	}
	printf("  # dma-debug: %s errors\n", errors);
	return !atol(errors);
}

static void wait_for_events(void)
{
	unsigned int waited;

	quiet = true;
	for (waited = 0; waited < PATIENCE * 10; waited++) {
		if (all_devices("virtio_input", events_arrived) &&
		    all_devices("virtio_scsi", events_arrived))
			break;
		usleep(100000);
	}
	quiet = false;
}

/* The drivers are the users of virtqueue_add_inbuf_cache_clean(). */
static const struct {
	const char *test;
	const char *driver;
	check check;
} cases[] = {
	{ "input_events_arrive", "virtio_input", events_arrived },
	{ "scsi_events_arrive", "virtio_scsi", events_arrived },
	{ "input_buffers_share_cache_lines", "virtio_input", buffers_share },
	{ "scsi_buffers_share_cache_lines", "virtio_scsi", buffers_share },
	{ "vsock_buffers_share_cache_lines", "vmw_vsock_virtio_transport", buffers_share },
};

void run_virtio(void)
{
	size_t i;

	wait_for_events();
	/* Drivers that report on later events must not cut into the results. */
	klogctl(SYSLOG_ACTION_CONSOLE_LEVEL, NULL, 1);

	subtest_begin("virtio_event_queues", ARRAY_SIZE(cases) + 2);
	for (i = 0; i < ARRAY_SIZE(cases); i++)
		result(all_devices(cases[i].driver, cases[i].check), "%s",
		       cases[i].test);
	result(dma_debug_is_on(), "dma_debug_reports_overlaps");
	result(no_errors(), "dma_debug_found_no_errors");
	subtest_end();
}
