/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the edu_rdma module and the program that uses it agree on, beside
 * <rdma/ib_user_verbs.h>.
 *
 * A process commands the device itself, through the registers of edu.h that it
 * maps from the uverbs device. The device knows no keys: the lkey of a memory
 * region is the bus address of its first byte.
 */
#ifndef EDU_RDMA_H
#define EDU_RDMA_H

#include <linux/types.h>

/* What mmap() of the uverbs device gives, one page each: offsets in pages. */
#define EDU_RDMA_MMAP_REGS	0
#define EDU_RDMA_MMAP_QUEUE	1

/**
 * struct edu_rdma_context_resp - follows struct ib_uverbs_get_context_resp
 * @queue_addr: where the device finds the context's own page of coherent
 *	memory, EDU_RDMA_MMAP_QUEUE
 * @reserved: 0
 */
struct edu_rdma_context_resp {
	__u32 queue_addr;
	__u32 reserved;
};

#endif /* EDU_RDMA_H */
