/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The DMA engine of QEMU's edu device: registers, for the kernel and for a
 * process that has them mapped.
 *
 * One transfer at a time, between RAM and a buffer in the device. It takes
 * 100 ms of guest time, and EDU_CMD_START reads as set until it is over.
 * Registers are 64 bits wide; a 32-bit store clears the upper half.
 */
#ifndef EDU_H
#define EDU_H

#define EDU_VENDOR_ID	0x1234
#define EDU_DEVICE_ID	0x11e8

#define EDU_DMA_SRC	0x80
#define EDU_DMA_DST	0x88
#define EDU_DMA_COUNT	0x90
#define EDU_DMA_CMD	0x98
#define  EDU_CMD_START	0x1
#define  EDU_CMD_TO_RAM	0x2

/* The internal buffer, in the device's own address space. */
#define EDU_BUF_ADDR	0x40000
#define EDU_BUF_SIZE	4096

/*
 * QEMU 7.2 aborts on a transfer that ends with the last byte of the internal
 * buffer, so no transfer may fill it.
 */
#define EDU_CHUNK	(EDU_BUF_SIZE / 2)

#ifdef __KERNEL__
#include <linux/cc_platform.h>
#include <linux/dma-mapping.h>

/*
 * Of an address the device is told the lower 32 bits. In a realm, shared memory
 * has addresses with one more bit on top, which only the guest sees: to QEMU's
 * devices it is where it would be without.
 */
static inline int edu_set_dma_mask(struct device *dev)
{
	bool realm = cc_platform_has(CC_ATTR_GUEST_MEM_ENCRYPT);

	return dma_set_mask_and_coherent(dev, DMA_BIT_MASK(realm ? 40 : 32));
}
#endif

#endif /* EDU_H */
