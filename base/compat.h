/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the suites of the series need in a tree without the series: base does not
 * have the attribute, and neither base nor stock says why it refuses, or that it
 * always would.  A tree with some patches has some of it: the lab defines HAVE_*
 * where the file that is named beside it has the text that follows.
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

#ifndef HAVE_REASONS	/* include/linux/dma-map-ops.h: enum dma_refusal { */
enum dma_refusal {
	DMA_REFUSED_NONCOHERENT,
	DMA_REFUSED_FORCED_BOUNCE,
	DMA_REFUSED_UNREACHABLE,
	DMA_REFUSED_ENCRYPTED,
	DMA_REFUSED_UNTRUSTED,
	DMA_REFUSED_BOUNCE,
};
#endif

#ifndef HAVE_EVENT	/* include/trace/events/dma.h: TRACE_EVENT(dma_map_refused, */
/* No such event, and so no type that a probe of it has to have. */
static inline void check_trace_callback_type_dma_map_refused(const void *probe)
{
}
#endif

#ifndef HAVE_COUNTS	/* kernel/dma/debug.h: extern u32 dma_debug_error_count; */
extern u32 dma_debug_error_count;
extern u32 num_free_entries;
#endif

#ifndef HAVE_ANSWER	/* include/linux/dma-mapping.h: bool dma_can_map_coherent( */
/* Neither can be asked, so a driver has to hope. */
static inline bool dma_can_map_coherent(struct device *dev)
{
	return true;
}
#endif

#endif
