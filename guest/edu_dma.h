/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the edu_dma module and the program that uses it agree on.
 *
 * /dev/edu_dma lets a process share its own memory with QEMU's edu device and
 * command the device to write there, the way RDMA verbs share registered
 * memory with an HCA.
 */
#ifndef EDU_DMA_H
#define EDU_DMA_H

#include <linux/ioctl.h>
#include <linux/types.h>

#include "edu.h"

#define EDU_DMA_MAX_PAGES	16

/* The most one EDU_DMA_WRITE can move. */
#define EDU_DMA_BUF_SIZE	EDU_BUF_SIZE

/* edu_dma_map.attrs: map with DMA_ATTR_REQUIRE_COHERENT. */
#define EDU_DMA_REQUIRE_COHERENT	0x1

/**
 * struct edu_dma_map - pin user memory and map it for the device
 * @addr: in: page-aligned user address
 * @length: in: bytes, a multiple of the page size, 1..EDU_DMA_MAX_PAGES pages
 * @attrs: in: 0 or EDU_DMA_REQUIRE_COHERENT
 * @id: out: the mapping's name for the other two requests
 * @dma_addr: out: where the device finds the first page
 * @phys_addr: out: where the first page is
 * @bounced: out: 1 when these two differ, which without an IOMMU means that
 *	the device was given other memory than the process has
 * @reserved: must be 0
 *
 * A mapping that cannot be made fails with the errno of dma_map_sgtable(), or
 * with ENOPROTOOPT when the kernel the module was built for does not know the
 * attribute. The output is valid on success only.
 */
struct edu_dma_map {
	__u64 addr;
	__u64 length;
	__u32 attrs;
	__u32 id;
	__u64 dma_addr;
	__u64 phys_addr;
	__u32 bounced;
	__u32 reserved;
};

/**
 * struct edu_dma_write - have the device write a pattern into mapped memory
 * @pattern: 64-bit pattern, repeated over the whole length
 * @offset: where in the mapping to begin
 * @length: bytes, 1..EDU_DMA_BUF_SIZE, not across a page boundary
 * @id: from struct edu_dma_map
 */
struct edu_dma_write {
	__u64 pattern;
	__u64 offset;
	__u32 length;
	__u32 id;
};

/**
 * struct edu_dma_unmap - undo one EDU_DMA_MAP
 * @id: from struct edu_dma_map
 * @reserved: must be 0
 */
struct edu_dma_unmap {
	__u32 id;
	__u32 reserved;
};

#define EDU_DMA_MAP	_IOWR('E', 0xd0, struct edu_dma_map)
#define EDU_DMA_WRITE	_IOW('E', 0xd1, struct edu_dma_write)
#define EDU_DMA_UNMAP	_IOW('E', 0xd2, struct edu_dma_unmap)

#endif /* EDU_DMA_H */
