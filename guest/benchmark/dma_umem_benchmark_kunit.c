// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit benchmark of ib_umem_get_va() and ib_umem_release().
 *
 * Registers user memory of a few sizes with a device that reaches all of it, and
 * with one that reaches none of it, and prints how long that takes. With QEMU's
 * "-accel tcg -icount shift=0" on one CPU the figures are numbers of instructions
 * of this task, and of the timer interrupts that came in between. Where it has to
 * wait for another task, that is not counted.
 */
#include <kunit/device.h>
#include <kunit/test.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/huge_mm.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/sched/cputime.h>
#include <rdma/ib_umem.h>
#include <rdma/ib_verbs.h>

#define ROUNDS	6
/* In each round, so that the clock's granularity, 16 ns on arm64, does not matter. */
#define REPEATS(size)	clamp(SZ_1M / (size), 1UL, 256UL)

/* Memory that no device of ours reaches begins here. */
#define REACH	SZ_1M

struct umem_param {
	unsigned long size;
	bool huge;
};

/* Huge pages first, while memory has them. */
static const struct umem_param params[] = {
	{ SZ_1G, true }, { SZ_64M, true },
	{ SZ_1G, false }, { SZ_64M, false }, { SZ_1M, false }, { SZ_4K, false },
};

static void umem_desc(const struct umem_param *param, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%lu bytes of %s pages",
		 param->size, param->huge ? "huge" : "small");
}

KUNIT_ARRAY_PARAM(umem, params, umem_desc);

struct umem_ibdev {
	struct ib_device ibdev;
};

static const struct ib_device_ops umem_ops = {
	.owner = THIS_MODULE,
	.driver_id = RDMA_DRIVER_UNKNOWN,
};

static void dealloc_ibdev(void *ibdev)
{
	ib_dealloc_device(ibdev);
}

static struct ib_device *make_device(struct kunit *test)
{
	const struct umem_param *param = test->param_value;
	static struct device_dma_parameters dma_parms;
	struct umem_ibdev *umem_ibdev;
	struct device *dev;

	dev = kunit_device_register(test, "umem-benchmark");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dev);
	dev->dma_parms = &dma_parms;
	dev_assign_dma_coherent(dev, true);
	KUNIT_ASSERT_EQ(test, 0, dma_set_mask(dev, DMA_BIT_MASK(64)));
	/* Pages that happen to lie in a row must not make a difference. */
	dma_set_max_seg_size(dev, param->huge ? PMD_SIZE : PAGE_SIZE);

	umem_ibdev = ib_alloc_device(umem_ibdev, ibdev);
	KUNIT_ASSERT_NOT_NULL(test, umem_ibdev);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, dealloc_ibdev,
							   &umem_ibdev->ibdev));
	ib_set_device_ops(&umem_ibdev->ibdev, &umem_ops);
	umem_ibdev->ibdev.dma_device = dev;
	return &umem_ibdev->ibdev;
}

/* Return the address of memory of the kind that @param wants, all of it there. */
static unsigned long map_user_memory(struct kunit *test,
				     const struct umem_param *param)
{
	unsigned long size = max(param->size, PMD_SIZE) + PMD_SIZE;
	unsigned long addr, i;
	struct page *page;

	addr = kunit_vm_mmap(test, NULL, 0, size, PROT_READ | PROT_WRITE,
			     MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_NE(test, addr, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(addr));
	addr = ALIGN(addr, PMD_SIZE);
	KUNIT_ASSERT_EQ(test, 0, do_madvise(current->mm, addr, size - PMD_SIZE,
					    param->huge ? MADV_HUGEPAGE :
							  MADV_NOHUGEPAGE));
	for (i = 0; i < param->size; i += PAGE_SIZE) {
		KUNIT_ASSERT_EQ(test, 1,
				pin_user_pages_fast(addr + i, 1,
						    FOLL_WRITE | FOLL_LONGTERM,
						    &page));
		KUNIT_ASSERT_EQ(test, param->huge,
				folio_size(page_folio(page)) >= PMD_SIZE);
		unpin_user_pages(&page, 1);
		if (!(i % SZ_64M))
			cond_resched();
	}
	return addr;
}

/*
 * Lower the bests to the instructions that it takes to get and to release, if one
 * round took fewer; to be refused if @best_release is NULL.
 */
static void measure(struct kunit *test, struct ib_device *ibdev,
		    unsigned long addr, u64 *best_get, u64 *best_release)
{
	const struct umem_param *param = test->param_value;
	unsigned long i, repeats = REPEATS(param->size);
	u64 start, got = 0, released = 0;
	struct ib_umem *umem;

	for (i = 0; i < repeats; i++) {
		start = task_sched_runtime(current);
		umem = ib_umem_get_va(ibdev, addr, param->size,
				      IB_ACCESS_LOCAL_WRITE);
		got += task_sched_runtime(current) - start;
		KUNIT_ASSERT_EQ(test, !best_release, IS_ERR(umem));
		if (!best_release)
			continue;
		start = task_sched_runtime(current);
		ib_umem_release(umem);
		released += task_sched_runtime(current) - start;
	}
	*best_get = min(*best_get, div_u64(got, repeats));
	if (best_release)
		*best_release = min(*best_release, div_u64(released, repeats));
}

static bool refuses(struct kunit *test, struct ib_device *ibdev,
		    unsigned long addr)
{
	struct ib_umem *umem;
	bool requires;

	umem = ib_umem_get_va(ibdev, addr, PAGE_SIZE, IB_ACCESS_LOCAL_WRITE);
	KUNIT_ASSERT_FALSE(test, IS_ERR(umem));
	requires = umem->dma_attrs & DMA_ATTR_REQUIRE_COHERENT;
	ib_umem_release(umem);
	return requires;
}

static void print(struct kunit *test, const char *answer, u64 get, u64 release)
{
	const struct umem_param *param = test->param_value;

	kunit_info(test, "%lu bytes of %s pages, %s: %llu ns, %llu ns",
		   param->size, param->huge ? "huge" : "small", answer, get,
		   release);
}

/* In turns, so that what is going on in the background hits both. */
static void umem_get_and_release(struct kunit *test)
{
	const struct umem_param *param = test->param_value;
	struct ib_device *ibdev = make_device(test);
	unsigned long addr = map_user_memory(test, param);
	u64 best_get = U64_MAX, best_release = U64_MAX, best_refused = U64_MAX;
	bool refused = refuses(test, ibdev, addr);
	unsigned int i;

	kunit_warning_suppress(test) {
		for (i = 0; i < ROUNDS; i++) {
			measure(test, ibdev, addr, &best_get, &best_release);
			if (!refused)
				continue;
			ibdev->dma_device->bus_dma_limit = REACH - 1;
			measure(test, ibdev, addr, &best_refused, NULL);
			ibdev->dma_device->bus_dma_limit = 0;
		}
	}
	print(test, "granted", best_get, best_release);
	if (refused)
		print(test, "refused", best_refused, 0);
}

static struct kunit_case umem_benchmark_cases[] = {
	KUNIT_CASE_PARAM_ATTR(umem_get_and_release, umem_gen_params,
			      { .speed = KUNIT_SPEED_SLOW }),
	{}
};

static struct kunit_suite umem_benchmark_suite = {
	.name = "dma_umem_benchmark",
	.test_cases = umem_benchmark_cases,
};

kunit_test_suite(umem_benchmark_suite);

MODULE_DESCRIPTION("KUnit benchmark of user memory registered with RDMA devices");
MODULE_LICENSE("GPL");
