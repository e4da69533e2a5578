/* SPDX-License-Identifier: GPL-2.0-only */
/* Pages of a process: where they are and what is in them. */
#ifndef PAGES_H
#define PAGES_H

#include <linux/types.h>

/* In bytes. Set by pages_open(). */
extern long page_size;

/*
 * Look into this process's page tables, which a child has to do for itself.
 * Returns 0, or -1 with errno set.
 */
int pages_open(void);

/* The physical address of what is at `addr`, or 0. */
__u64 phys_of(const void *addr);

/* A locked page with phys_min <= physical address < phys_max, or NULL. */
__u64 *page_get(__u64 phys_min, __u64 phys_max);

/* One load from memory each time, whatever the compiler thinks it knows. */
__u64 look(const __u64 *p);

/* Fill a page with a pattern. */
void fill(__u64 *page, __u64 pattern);

#endif /* PAGES_H */
