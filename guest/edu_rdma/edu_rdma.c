// SPDX-License-Identifier: GPL-2.0-only
/*
 * The least verbs provider: QEMU's edu device behind /dev/infiniband/uverbs0.
 *
 * A process registers memory (ibv_reg_mr) and has the device write to it by
 * mapped registers, as it rings the doorbell of an HCA: the kernel hears of
 * the registration and of nothing else. There are no queue pairs and no
 * completions, so the process polls its memory.
 *
 * Memory may be registered for on-demand paging, which the device cannot do: the
 * driver has it fault on all of the region at once, and once more never.
 *
 * The device checks no keys and writes wherever it is told to. This is for
 * tests, and CAP_SYS_RAWIO is needed to open a context.
 */
#include <linux/capability.h>
#include <linux/dma-mapping.h>
#include <linux/hmm.h>
#include <linux/iopoll.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/slab.h>
#include <rdma/ib_umem.h>
#include <rdma/ib_umem_odp.h>
#include <rdma/ib_verbs.h>
#include <rdma/uverbs_ioctl.h>

#include "../edu.h"
#include "../edu_rdma.h"

/* For a transfer of 100 ms of guest time; an emulated guest may be starved. */
#define EDU_POLL_US	2000
#define EDU_TIMEOUT_US	(10 * USEC_PER_SEC)

struct edu_rdma {
	struct ib_device ibdev;
	struct pci_dev *pdev;
	void __iomem *mmio;
};

struct edu_context {
	struct ib_ucontext ibuc;
	void *queue;
	dma_addr_t queue_dma;
};

struct edu_mr {
	struct ib_mr ibmr;
	struct ib_umem *umem;
};

static struct edu_rdma *to_edu(struct ib_device *ibdev)
{
	return container_of(ibdev, struct edu_rdma, ibdev);
}

static struct edu_context *to_context(struct ib_ucontext *ibuc)
{
	return container_of(ibuc, struct edu_context, ibuc);
}

/* Memory may be taken from the device only when it is not writing. */
static void edu_wait_idle(struct edu_rdma *edu)
{
	u32 cmd;

	if (readl_poll_timeout(edu->mmio + EDU_DMA_CMD, cmd,
			       !(cmd & EDU_CMD_START), EDU_POLL_US,
			       EDU_TIMEOUT_US))
		pci_clear_master(edu->pdev);
}

static int edu_query_device(struct ib_device *ibdev,
			    struct ib_device_attr *attr, struct ib_udata *udata)
{
	attr->vendor_id = EDU_VENDOR_ID;
	attr->vendor_part_id = EDU_DEVICE_ID;
	attr->page_size_cap = PAGE_SIZE;
	attr->max_mr_size = U32_MAX;
	attr->max_mr = INT_MAX;
	attr->max_pd = INT_MAX;
	attr->kernel_cap_flags = IBK_ON_DEMAND_PAGING;
	return 0;
}

static int edu_query_port(struct ib_device *ibdev, u32 port,
			  struct ib_port_attr *attr)
{
	attr->state = IB_PORT_DOWN;
	attr->phys_state = IB_PORT_PHYS_STATE_DISABLED;
	return 0;
}

static int edu_get_port_immutable(struct ib_device *ibdev, u32 port,
				  struct ib_port_immutable *immutable)
{
	return 0;
}

static int edu_alloc_ucontext(struct ib_ucontext *ibuc, struct ib_udata *udata)
{
	struct edu_rdma *edu = to_edu(ibuc->device);
	struct edu_context *ctx = to_context(ibuc);
	struct edu_rdma_context_resp resp = {};
	int ret;

	if (!capable(CAP_SYS_RAWIO))
		return -EPERM;

	ctx->queue = dma_alloc_coherent(&edu->pdev->dev, PAGE_SIZE,
					&ctx->queue_dma, GFP_KERNEL);
	if (!ctx->queue)
		return -ENOMEM;

	resp.queue_addr = ctx->queue_dma;
	ret = ib_respond_udata(udata, resp);
	if (ret)
		dma_free_coherent(&edu->pdev->dev, PAGE_SIZE, ctx->queue,
				  ctx->queue_dma);
	return ret;
}

static void edu_dealloc_ucontext(struct ib_ucontext *ibuc)
{
	struct edu_rdma *edu = to_edu(ibuc->device);
	struct edu_context *ctx = to_context(ibuc);

	edu_wait_idle(edu);
	dma_free_coherent(&edu->pdev->dev, PAGE_SIZE, ctx->queue,
			  ctx->queue_dma);
}

static int edu_mmap(struct ib_ucontext *ibuc, struct vm_area_struct *vma)
{
	struct edu_rdma *edu = to_edu(ibuc->device);
	struct edu_context *ctx = to_context(ibuc);

	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;

	switch (vma->vm_pgoff) {
	case EDU_RDMA_MMAP_REGS:
		return rdma_user_mmap_io(ibuc, vma,
					 PHYS_PFN(pci_resource_start(edu->pdev, 0)),
					 PAGE_SIZE,
					 pgprot_noncached(vma->vm_page_prot),
					 NULL);
	case EDU_RDMA_MMAP_QUEUE:
		/* From here on it is an offset into the queue. */
		vma->vm_pgoff = 0;
		return dma_mmap_coherent(&edu->pdev->dev, vma, ctx->queue,
					 ctx->queue_dma, PAGE_SIZE);
	default:
		return -EINVAL;
	}
}

static int edu_alloc_pd(struct ib_pd *pd, struct ib_udata *udata)
{
	return 0;
}

static int edu_dealloc_pd(struct ib_pd *pd, struct ib_udata *udata)
{
	return 0;
}

static bool edu_invalidate(struct mmu_interval_notifier *mni,
			   const struct mmu_notifier_range *range,
			   unsigned long cur_seq)
{
	struct ib_umem_odp *odp = container_of(mni, struct ib_umem_odp,
					       notifier);

	if (!mmu_notifier_range_blockable(range))
		return false;

	edu_wait_idle(to_edu(odp->umem.ibdev));
	mutex_lock(&odp->umem_mutex);
	mmu_interval_set_seq(mni, cur_seq);
	ib_umem_odp_unmap_dma_pages(odp, range->start, range->end);
	mutex_unlock(&odp->umem_mutex);
	return true;
}

static const struct mmu_interval_notifier_ops edu_odp_ops = {
	.invalidate = edu_invalidate,
};

/* What an HCA does page by page as it comes to them. */
static int edu_fault(struct edu_mr *mr, struct ib_umem_odp *odp)
{
	struct pci_p2pdma_map_state p2pdma_state = {};
	struct device *dev = odp->umem.ibdev->dma_device;
	dma_addr_t addr;
	int ret;

	ret = ib_umem_odp_map_dma_and_lock(odp, odp->umem.address, PAGE_SIZE,
					   HMM_PFN_WRITE, true);
	if (ret < 0)
		return ret;
	addr = hmm_dma_map_pfn(dev, &odp->map, 0, &p2pdma_state);
	ret = dma_mapping_error(dev, addr) ? -EOPNOTSUPP : 0;
	if (!ret) {
		odp->npages++;
		mr->ibmr.lkey = addr;
	}
	mutex_unlock(&odp->umem_mutex);
	return ret;
}

static int edu_reg_odp(struct edu_mr *mr, struct ib_device *ibdev, u64 start,
		       u64 length, int access)
{
	struct ib_umem_odp *odp;
	int ret;

	if (length != PAGE_SIZE)
		return -EINVAL;
	odp = ib_umem_odp_get(ibdev, start, length, access, &edu_odp_ops);
	if (IS_ERR(odp))
		return PTR_ERR(odp);
	mr->umem = &odp->umem;
	ret = edu_fault(mr, odp);
	if (ret)
		ib_umem_odp_release(odp);
	return ret;
}

static int edu_reg_pinned(struct edu_mr *mr, struct ib_device *ibdev, u64 start,
			  u64 length, int access)
{
	mr->umem = ib_umem_get_va(ibdev, start, length, access);
	if (IS_ERR(mr->umem))
		return PTR_ERR(mr->umem);

	/* An address for a key does not cover more than one stretch. */
	if (mr->umem->sgt_append.sgt.nents != 1) {
		ib_umem_release(mr->umem);
		return -EINVAL;
	}
	mr->ibmr.lkey = ib_umem_start_dma_addr(mr->umem);
	return 0;
}

static struct ib_mr *edu_reg_user_mr(struct ib_pd *pd, u64 start, u64 length,
				     u64 virt_addr, int access,
				     struct ib_dmah *dmah,
				     struct ib_udata *udata)
{
	struct edu_mr *mr;
	int ret;

	if (dmah)
		return ERR_PTR(-EOPNOTSUPP);

	mr = kzalloc_obj(*mr);
	if (!mr)
		return ERR_PTR(-ENOMEM);

	if (access & IB_ACCESS_ON_DEMAND)
		ret = edu_reg_odp(mr, pd->device, start, length, access);
	else
		ret = edu_reg_pinned(mr, pd->device, start, length, access);
	if (ret) {
		kfree(mr);
		return ERR_PTR(ret);
	}
	mr->ibmr.rkey = mr->ibmr.lkey;
	return &mr->ibmr;
}

static int edu_dereg_mr(struct ib_mr *ibmr, struct ib_udata *udata)
{
	struct edu_mr *mr = container_of(ibmr, struct edu_mr, ibmr);

	edu_wait_idle(to_edu(ibmr->device));
	ib_umem_release(mr->umem);
	kfree(mr);
	return 0;
}

static const struct ib_device_ops edu_ops = {
	.owner = THIS_MODULE,
	.driver_id = RDMA_DRIVER_UNKNOWN,

	.alloc_pd = edu_alloc_pd,
	.alloc_ucontext = edu_alloc_ucontext,
	.dealloc_pd = edu_dealloc_pd,
	.dealloc_ucontext = edu_dealloc_ucontext,
	.dereg_mr = edu_dereg_mr,
	.get_port_immutable = edu_get_port_immutable,
	.mmap = edu_mmap,
	.query_device = edu_query_device,
	.query_port = edu_query_port,
	.reg_user_mr = edu_reg_user_mr,

	.size_ib_pd = sizeof(struct ib_pd),
	INIT_RDMA_OBJ_SIZE(ib_ucontext, edu_context, ibuc),
};

static int edu_rdma_setup(struct edu_rdma *edu, struct pci_dev *pdev)
{
	int ret;

	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;

	edu->mmio = pcim_iomap_region(pdev, 0, KBUILD_MODNAME);
	if (IS_ERR(edu->mmio))
		return PTR_ERR(edu->mmio);

	ret = edu_set_dma_mask(&pdev->dev);
	if (ret)
		return ret;

	pci_set_master(pdev);
	pci_set_drvdata(pdev, edu);

	edu->ibdev.node_type = RDMA_NODE_UNSPECIFIED;
	edu->ibdev.phys_port_cnt = 1;
	edu->ibdev.num_comp_vectors = 1;
	edu->ibdev.dev.parent = &pdev->dev;
	ib_set_device_ops(&edu->ibdev, &edu_ops);
	return ib_register_device(&edu->ibdev, "edu_%d", &pdev->dev);
}

static int edu_rdma_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct edu_rdma *edu;
	int ret;

	edu = ib_alloc_device(edu_rdma, ibdev);
	if (!edu)
		return -ENOMEM;
	edu->pdev = pdev;

	ret = edu_rdma_setup(edu, pdev);
	if (ret)
		ib_dealloc_device(&edu->ibdev);
	return ret;
}

/* Waits until no process has the device open. */
static void edu_rdma_remove(struct pci_dev *pdev)
{
	struct edu_rdma *edu = pci_get_drvdata(pdev);

	ib_unregister_device(&edu->ibdev);
	pci_clear_master(pdev);
	ib_dealloc_device(&edu->ibdev);
}

static const struct pci_device_id edu_rdma_ids[] = {
	{ PCI_DEVICE(EDU_VENDOR_ID, EDU_DEVICE_ID) },
	{ }
};
MODULE_DEVICE_TABLE(pci, edu_rdma_ids);

static struct pci_driver edu_rdma_driver = {
	.name = KBUILD_MODNAME,
	.id_table = edu_rdma_ids,
	.probe = edu_rdma_probe,
	.remove = edu_rdma_remove,
};
module_pci_driver(edu_rdma_driver);

MODULE_DESCRIPTION("Verbs on QEMU's edu device");
MODULE_LICENSE("GPL");
