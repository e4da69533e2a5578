/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A process's side of the verbs on QEMU's edu device: what libibverbs would do,
 * as far as the demo goes.
 *
 * Functions that return an int return 0, or -1 with errno set.
 */
#ifndef VERBS_H
#define VERBS_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

struct verbs {
	int fd;
	int async_fd;
	__u32 pd;
	/* The device's registers, and a page that it reaches at queue_addr. */
	volatile __u32 *regs;
	__u64 *queue;
	__u32 queue_addr;
};

/* A registered page. */
struct verbs_mr {
	__u64 *page;
	__u32 handle;
	__u32 lkey;
};

/*
 * Open /dev/infiniband/uverbs0: a context, a protection domain, a doorbell.
 * After pages_open().
 */
int verbs_open(struct verbs *v);

/* Give back what verbs_open() took. */
int verbs_close(struct verbs *v);

/*
 * Register a page (ibv_reg_mr): the device may write to it from now on. Pinned, or
 * for on-demand paging (IBV_ACCESS_ON_DEMAND).
 */
int verbs_reg_mr(struct verbs *v, __u64 *page, bool on_demand, struct verbs_mr *mr);

/* Undo verbs_reg_mr(). */
int verbs_dereg_mr(struct verbs *v, const struct verbs_mr *mr);

/*
 * Have the device fill EDU_BUF_SIZE bytes of the memory region with a pattern,
 * and watch the memory until the pattern is there, or the device has finished.
 * Not one system call is made.
 */
void verbs_write(struct verbs *v, const struct verbs_mr *mr, __u64 pattern);

/* Whether the device still serves the context, without any memory region. */
bool verbs_works(struct verbs *v, __u64 pattern);

#endif /* VERBS_H */
