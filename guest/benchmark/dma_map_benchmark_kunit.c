// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit benchmark of the calls that map memory for DMA.
 *
 * Each case makes and undoes the same mapping many times, with interrupts off,
 * and prints how long a call pair takes. A device without an IOMMU is always
 * there; for one behind an IOMMU, give QEMU's edu device to the machine, such
 * as with "-M q35 -device intel-iommu,intremap=off -device edu". Boot with
 * iommu.strict=1, or unmap leaves work for later that is not in the figures.
 *
 * With QEMU's "-accel tcg -icount shift=0" on one CPU the clock advances by 1 ns
 * for each instruction, and the figures are numbers of instructions.
 */
#include <kunit/device.h>
#include <kunit/test.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/iommu.h>
#include <linux/iommu-dma.h>
#include <linux/ktime.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>

#define SEGMENTS	16
#define WARM_UP		2000
#define ROUNDS		8
#define CALLS		1000

static struct pci_dev *edu;

static int edu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	if (edu)
		return -EBUSY;
	edu = pdev;
	return 0;
}

static void edu_remove(struct pci_dev *pdev)
{
	edu = NULL;
}

static const struct pci_device_id edu_ids[] = {
	{ PCI_DEVICE(0x1234, 0x11e8) },
	{}
};

static struct pci_driver edu_driver = {
	.name = "dma_map_benchmark_kunit",
	.id_table = edu_ids,
	.probe = edu_probe,
	.remove = edu_remove,
};

/**
 * struct map_benchmark - A device and memory to map for it
 * @dev: the device
 * @attrs: attributes to map with
 * @pages: %SEGMENTS pages, none of which follows another in memory
 * @sgt: the same pages as a list
 * @mmio: the address of a device register
 * @state: IOVA space for all the pages, if @dev is behind an IOMMU
 */
struct map_benchmark {
	struct device *dev;
	unsigned long attrs;
	phys_addr_t pages[SEGMENTS];
	struct sg_table sgt;
	phys_addr_t mmio;
	struct dma_iova_state state;
};

static bool map_phys(struct map_benchmark *b, unsigned int calls)
{
	dma_addr_t addr;

	while (calls--) {
		addr = dma_map_phys(b->dev, b->pages[0], PAGE_SIZE,
				    DMA_BIDIRECTIONAL, b->attrs);
		if (dma_mapping_error(b->dev, addr))
			return false;
		dma_unmap_phys(b->dev, addr, PAGE_SIZE, DMA_BIDIRECTIONAL,
			       b->attrs);
	}
	return true;
}

static bool map_page(struct map_benchmark *b, unsigned int calls)
{
	struct page *page = phys_to_page(b->pages[0]);
	dma_addr_t addr;

	while (calls--) {
		addr = dma_map_page_attrs(b->dev, page, 0, PAGE_SIZE,
					  DMA_BIDIRECTIONAL, b->attrs);
		if (dma_mapping_error(b->dev, addr))
			return false;
		dma_unmap_page_attrs(b->dev, addr, PAGE_SIZE, DMA_BIDIRECTIONAL,
				     b->attrs);
	}
	return true;
}

static bool map_sg(struct map_benchmark *b, unsigned int calls, int nents)
{
	struct scatterlist *sgl = b->sgt.sgl;

	while (calls--) {
		if (!dma_map_sg_attrs(b->dev, sgl, nents, DMA_BIDIRECTIONAL,
				      b->attrs))
			return false;
		dma_unmap_sg_attrs(b->dev, sgl, nents, DMA_BIDIRECTIONAL,
				   b->attrs);
	}
	return true;
}

static bool map_sg_1(struct map_benchmark *b, unsigned int calls)
{
	return map_sg(b, calls, 1);
}

static bool map_sg_all(struct map_benchmark *b, unsigned int calls)
{
	return map_sg(b, calls, SEGMENTS);
}

static bool map_sgtable(struct map_benchmark *b, unsigned int calls)
{
	while (calls--) {
		if (dma_map_sgtable(b->dev, &b->sgt, DMA_BIDIRECTIONAL,
				    b->attrs))
			return false;
		dma_unmap_sgtable(b->dev, &b->sgt, DMA_BIDIRECTIONAL, b->attrs);
	}
	return true;
}

static bool map_resource(struct map_benchmark *b, unsigned int calls)
{
	dma_addr_t addr;

	while (calls--) {
		addr = dma_map_resource(b->dev, b->mmio, PAGE_SIZE,
					DMA_BIDIRECTIONAL, b->attrs);
		if (dma_mapping_error(b->dev, addr))
			return false;
		dma_unmap_resource(b->dev, addr, PAGE_SIZE, DMA_BIDIRECTIONAL,
				   b->attrs);
	}
	return true;
}

static bool map_domain(struct map_benchmark *b, unsigned int calls)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(b->dev);

	while (calls--) {
		if (iommu_map(domain, b->state.addr, b->pages[0], PAGE_SIZE,
			      IOMMU_READ | IOMMU_WRITE, GFP_ATOMIC))
			return false;
		iommu_unmap(domain, b->state.addr, PAGE_SIZE);
	}
	return true;
}

static bool link_iova(struct map_benchmark *b, unsigned int calls, size_t nr)
{
	size_t i;

	while (calls--) {
		for (i = 0; i < nr; i++)
			if (dma_iova_link(b->dev, &b->state, b->pages[i],
					  i * PAGE_SIZE, PAGE_SIZE,
					  DMA_BIDIRECTIONAL, b->attrs))
				return false;
		if (dma_iova_sync(b->dev, &b->state, 0, nr * PAGE_SIZE))
			return false;
		dma_iova_unlink(b->dev, &b->state, 0, nr * PAGE_SIZE,
				DMA_BIDIRECTIONAL, b->attrs);
	}
	return true;
}

static bool link_iova_1(struct map_benchmark *b, unsigned int calls)
{
	return link_iova(b, calls, 1);
}

static bool link_iova_all(struct map_benchmark *b, unsigned int calls)
{
	return link_iova(b, calls, SEGMENTS);
}

static const struct map_pair {
	const char *name;
	bool (*run)(struct map_benchmark *b, unsigned int calls);
	bool no_attrs;
	bool iommu_only;
} map_pairs[] = {
	{ "dma_map_phys", map_phys },
	{ "dma_map_page", map_page },
	{ "dma_map_sg of 1", map_sg_1 },
	{ "dma_map_sg of 16", map_sg_all },
	{ "dma_map_sgtable of 16", map_sgtable },
	{ "dma_map_resource", map_resource },
	{ "iommu_map", map_domain, .no_attrs = true, .iommu_only = true },
	{ "dma_iova_link of 1", link_iova_1, .iommu_only = true },
	{ "dma_iova_link of 16", link_iova_all, .iommu_only = true },
};

static const struct map_attrs {
	unsigned long attrs;
	const char *name;
} map_attrs[] = {
	{ 0, "0" },
	{ DMA_ATTR_SKIP_CPU_SYNC, "DMA_ATTR_SKIP_CPU_SYNC" },
	{ DMA_ATTR_REQUIRE_COHERENT, "DMA_ATTR_REQUIRE_COHERENT" },
};

struct map_benchmark_param {
	const struct map_pair *pair;
	const struct map_attrs *attrs;
	bool iommu;
};

/* Every pair of calls, for both devices, with each of the attributes. */
static const void *benchmark_gen_params(struct kunit *test, const void *prev,
					char *desc)
{
	const unsigned int per_device = ARRAY_SIZE(map_attrs) *
					ARRAY_SIZE(map_pairs);
	static struct map_benchmark_param param;
	static unsigned int n;

	if (!prev)
		n = 0;
	for (; n < 2 * per_device; n++) {
		param.iommu = n / per_device;
		param.attrs = &map_attrs[n % per_device / ARRAY_SIZE(map_pairs)];
		param.pair = &map_pairs[n % ARRAY_SIZE(map_pairs)];
		if ((param.pair->no_attrs && param.attrs->attrs) ||
		    (param.pair->iommu_only && !param.iommu))
			continue;
		n++;
		snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s, %s, %s",
			 param.iommu ? "IOMMU" : "direct", param.pair->name,
			 param.attrs->name);
		return &param;
	}
	return NULL;
}

static int benchmark_suite_init(struct kunit_suite *suite)
{
	return pci_register_driver(&edu_driver);
}

static void benchmark_suite_exit(struct kunit_suite *suite)
{
	pci_unregister_driver(&edu_driver);
}

static int benchmark_init(struct kunit *test)
{
	struct map_benchmark *b;

	b = kunit_kzalloc(test, sizeof(*b), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, b);
	test->priv = b;
	return 0;
}

static void free_benchmark_pages(void *pages)
{
	free_pages_exact(pages, 2 * SEGMENTS * PAGE_SIZE);
}

static void free_benchmark_table(void *sgt)
{
	sg_free_table(sgt);
}

static void alloc_memory(struct kunit *test)
{
	struct map_benchmark *b = test->priv;
	struct scatterlist *sg;
	unsigned int i;
	void *pages;

	pages = alloc_pages_exact(2 * SEGMENTS * PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pages);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, free_benchmark_pages,
						  pages));
	KUNIT_ASSERT_EQ(test, 0, sg_alloc_table(&b->sgt, SEGMENTS, GFP_KERNEL));
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, free_benchmark_table,
						  &b->sgt));
	for_each_sgtable_sg(&b->sgt, sg, i) {
		sg_set_buf(sg, pages + 2 * i * PAGE_SIZE, PAGE_SIZE);
		b->pages[i] = sg_phys(sg);
	}
}

static void free_iova(void *priv)
{
	struct map_benchmark *b = priv;

	dma_iova_free(b->dev, &b->state);
}

static void find_device(struct kunit *test, bool iommu)
{
	struct map_benchmark *b = test->priv;

	if (iommu) {
		if (!edu || !use_dma_iommu(&edu->dev))
			kunit_skip(test, "needs an edu device behind an IOMMU");
		b->dev = &edu->dev;
	} else {
		b->dev = kunit_device_register(test, "dma-map-benchmark");
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, b->dev);
		if (get_dma_ops(b->dev))
			kunit_skip(test, "the device has dma_map_ops");
		dev_assign_dma_coherent(b->dev, true);
	}
	KUNIT_ASSERT_EQ(test, 0, dma_set_mask(b->dev, DMA_BIT_MASK(64)));
	if (!dev_is_dma_coherent(b->dev))
		kunit_skip(test, "the device is not coherent");
	if (!iommu)
		return;

	KUNIT_ASSERT_TRUE(test, dma_iova_try_alloc(b->dev, &b->state,
						   b->pages[0],
						   SEGMENTS * PAGE_SIZE));
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, free_iova, b));
}

/*
 * What memset() and its like have to do for a variable of an IOMMU driver
 * depends on how the stack is aligned, and with it on frames that have nothing
 * to do with the driver. Hence each round has the stack elsewhere.
 */
static noinline bool run_round(const struct map_pair *pair,
			       struct map_benchmark *b, unsigned int round)
{
	void *stack = __builtin_alloca(16 * round);

	barrier_data(stack);
	return pair->run(b, CALLS);
}

static void dma_map_and_unmap(struct kunit *test)
{
	const struct map_benchmark_param *param = test->param_value;
	struct map_benchmark *b = test->priv;
	u64 t, best = U64_MAX, worst = 0;
	unsigned long flags;
	unsigned int i;
	bool good;

	alloc_memory(test);
	find_device(test, param->iommu);
	b->attrs = param->attrs->attrs;
	if (param->pair->run == map_resource) {
		if (!edu)
			kunit_skip(test, "needs the registers of an edu device");
		b->mmio = pci_resource_start(edu, 0);
	}

	KUNIT_ASSERT_TRUE(test, param->pair->run(b, WARM_UP));
	for (i = 0; i < ROUNDS; i++) {
		local_irq_save(flags);
		t = ktime_get_ns();
		good = run_round(param->pair, b, i);
		t = ktime_get_ns() - t;
		local_irq_restore(flags);
		KUNIT_ASSERT_TRUE(test, good);
		best = min(best, t);
		worst = max(worst, t);
	}
	kunit_info(test, "%s, %s, %s: %llu ns, at most %llu ns for %u pairs",
		   param->iommu ? "IOMMU" : "direct", param->pair->name,
		   param->attrs->name, best, worst, CALLS);
}

static struct kunit_case benchmark_cases[] = {
	KUNIT_CASE_PARAM_ATTR(dma_map_and_unmap, benchmark_gen_params,
			      { .speed = KUNIT_SPEED_SLOW }),
	{}
};

static struct kunit_suite dma_map_benchmark_suite = {
	.name = "dma_map_benchmark",
	.suite_init = benchmark_suite_init,
	.suite_exit = benchmark_suite_exit,
	.init = benchmark_init,
	.test_cases = benchmark_cases,
};

kunit_test_suite(dma_map_benchmark_suite);

MODULE_DESCRIPTION("KUnit benchmark of the calls that map memory for DMA");
MODULE_LICENSE("GPL");
