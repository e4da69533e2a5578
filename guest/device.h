/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * QEMU's edu device, and the ways in which a process has a page mapped for it.
 *
 * Functions that return an int return 0, or -1 with errno set.
 */
#ifndef DEVICE_H
#define DEVICE_H

#include <linux/types.h>

#include "verbs.h"

/* How a process asks for a mapping. */
enum request { PLAIN, ATTRIBUTE, REG_MR, REG_ODP };

/* A page that is mapped for the device, one way or the other. */
struct mapping {
	enum request request;
	__u64 *page;
	/* Where the page was, and where the device finds it. */
	__u64 phys;
	__u64 dma;
	__u32 id;
	struct verbs_mr mr;
};

/* The context of those that go by verbs. */
extern struct verbs verbs;

static inline bool by_verbs(enum request request)
{
	return request == REG_MR || request == REG_ODP;
}

int load_module(const char *path);

/*
 * There is one device, and a driver for each way to ask. Loads that of @request,
 * and unloads the other before. With a driver go its mappings: dma-debug complains
 * of those that are left.
 */
int device_load(enum request request);
int device_unload(void);

/* For the process that asks. After pages_open(). */
int device_open(enum request request);

int map_page(struct mapping *m);
int device_write(const struct mapping *m, __u64 pattern);
int unmap_page(const struct mapping *m);

#endif /* DEVICE_H */
