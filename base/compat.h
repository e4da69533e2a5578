/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the suites of the series need in a tree without the series: base does not
 * have the attribute, and neither base nor stock says why it refuses, or that it
 * always would.
 */
#ifndef _BASE_COMPAT_H
#define _BASE_COMPAT_H

#include <linux/dma-mapping.h>

#ifndef DMA_ATTR_DEBUGGING_IGNORE_CACHELINES
#define DMA_ATTR_DEBUGGING_IGNORE_CACHELINES	DMA_ATTR_CPU_CACHE_CLEAN
#endif

#ifndef DMA_ATTR_REQUIRE_COHERENT
#define DMA_ATTR_REQUIRE_COHERENT		(1UL << 12)
#endif

enum dma_refusal {
	DMA_REFUSED_NONCOHERENT,
	DMA_REFUSED_FORCED_BOUNCE,
	DMA_REFUSED_UNREACHABLE,
	DMA_REFUSED_ENCRYPTED,
	DMA_REFUSED_UNTRUSTED,
	DMA_REFUSED_BOUNCE,
};

/* No such event, and so no type that a probe of it has to have. */
static inline void check_trace_callback_type_dma_map_refused(const void *probe)
{
}

/* kernel/dma/debug.h, of the series only */
extern u32 dma_debug_error_count;
extern u32 num_free_entries;

/* Neither can be asked, so a driver has to hope. */
static inline bool dma_can_map_coherent(struct device *dev)
{
	return true;
}

#endif
