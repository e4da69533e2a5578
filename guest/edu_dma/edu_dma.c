// SPDX-License-Identifier: GPL-2.0-only
/*
 * Share user memory with QEMU's edu device.
 *
 * A process maps its pages through /dev/edu_dma, commands the device to write
 * to them, and looks at its memory while the mapping stands: no unmap and no
 * dma_sync_*() comes in between. This is the model of RDMA memory regions, and
 * the pages are pinned and mapped with the calls that ib_umem makes. With
 * EDU_DMA_REQUIRE_COHERENT the mapping is requested with
 * DMA_ATTR_REQUIRE_COHERENT.
 *
 * Start QEMU with "-device edu,dma_mask=0xffffffff": the device's own default
 * is 28 bits and it silently truncates what lies above.
 */
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/iopoll.h>
#include <linux/kref.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/xarray.h>

#include "../edu.h"
#include "../edu_dma.h"

/* For a transfer of 100 ms of guest time; an emulated guest may be starved. */
#define EDU_POLL_US	2000
#define EDU_TIMEOUT_US	(10 * USEC_PER_SEC)

struct edu_dma {
	struct kref ref;
	struct pci_dev *pdev;
	struct miscdevice misc;
	void __iomem *mmio;
	void *buf;
	dma_addr_t buf_dma;
	/* Serialises the device's one DMA engine, and everything below. */
	struct mutex lock;
	struct xarray maps;
	bool gone;
	bool hung;
};

struct edu_map {
	struct file *owner;
	struct sg_table sgt;
	unsigned long attrs;
	size_t length;
	unsigned int npages;
	struct page *pages[EDU_DMA_MAX_PAGES];
};

static void edu_dma_free(struct kref *ref)
{
	struct edu_dma *edu = container_of(ref, struct edu_dma, ref);

	xa_destroy(&edu->maps);
	mutex_destroy(&edu->lock);
	kfree(edu);
}

static int edu_transfer(struct edu_dma *edu, u32 src, u32 dst, u32 count,
			u32 direction)
{
	u32 cmd;
	int ret;

	iowrite32(src, edu->mmio + EDU_DMA_SRC);
	iowrite32(dst, edu->mmio + EDU_DMA_DST);
	iowrite32(count, edu->mmio + EDU_DMA_COUNT);
	iowrite32(EDU_CMD_START | direction, edu->mmio + EDU_DMA_CMD);

	ret = readl_poll_timeout(edu->mmio + EDU_DMA_CMD, cmd,
				 !(cmd & EDU_CMD_START), EDU_POLL_US,
				 EDU_TIMEOUT_US);
	if (ret) {
		/*
		 * The transfer may still happen, after the page has been given
		 * back. Nothing but this keeps it from landing there.
		 */
		pci_clear_master(edu->pdev);
		edu->hung = true;
	}
	return ret;
}

/* Returns 0 and the device's address of a byte of the mapping. */
static int edu_map_dma_addr(struct edu_map *map, u64 offset, dma_addr_t *addr)
{
	struct scatterlist *sg;
	int i;

	for_each_sgtable_dma_sg(&map->sgt, sg, i) {
		if (offset < sg_dma_len(sg)) {
			*addr = sg_dma_address(sg) + offset;
			return 0;
		}
		offset -= sg_dma_len(sg);
	}
	return -EINVAL;
}

static void edu_map_release(struct edu_dma *edu, struct edu_map *map)
{
	dma_unmap_sgtable(&edu->pdev->dev, &map->sgt, DMA_BIDIRECTIONAL,
			  map->attrs);
	sg_free_table(&map->sgt);
	unpin_user_pages_dirty_lock(map->pages, map->npages, true);
	kfree(map);
}

static struct edu_map *edu_map_create(struct edu_dma *edu, struct file *file,
				      const struct edu_dma_map *req)
{
	struct edu_map *map;
	int pinned, ret;

	if (!req->length || !PAGE_ALIGNED(req->addr | req->length) ||
	    req->length > EDU_DMA_MAX_PAGES * PAGE_SIZE ||
	    req->attrs & ~EDU_DMA_REQUIRE_COHERENT || req->reserved)
		return ERR_PTR(-EINVAL);

	map = kzalloc_obj(*map);
	if (!map)
		return ERR_PTR(-ENOMEM);
	map->owner = file;
	map->length = req->length;
	map->npages = req->length >> PAGE_SHIFT;

	if (req->attrs & EDU_DMA_REQUIRE_COHERENT) {
#ifdef DMA_ATTR_REQUIRE_COHERENT
		map->attrs |= DMA_ATTR_REQUIRE_COHERENT;
#else
		ret = -ENOPROTOOPT;
		goto err_free;
#endif
	}

	/* The memory stays with the device for as long as the process likes. */
	pinned = pin_user_pages_fast(req->addr, map->npages,
				     FOLL_WRITE | FOLL_LONGTERM, map->pages);
	if (pinned < 0) {
		ret = pinned;
		goto err_free;
	}
	if (pinned != map->npages) {
		ret = -EFAULT;
		goto err_unpin;
	}

	ret = sg_alloc_table_from_pages(&map->sgt, map->pages, map->npages, 0,
					map->length, GFP_KERNEL);
	if (ret)
		goto err_unpin;

	ret = dma_map_sgtable(&edu->pdev->dev, &map->sgt, DMA_BIDIRECTIONAL,
			      map->attrs);
	if (ret)
		goto err_free_table;

	return map;

err_free_table:
	sg_free_table(&map->sgt);
err_unpin:
	unpin_user_pages(map->pages, pinned);
err_free:
	kfree(map);
	return ERR_PTR(ret);
}

static long edu_ioctl_map(struct edu_dma *edu, struct file *file,
			  void __user *arg)
{
	struct edu_dma_map req;
	struct edu_map *map;
	int ret;

	if (copy_from_user(&req, arg, sizeof(req)))
		return -EFAULT;

	map = edu_map_create(edu, file, &req);
	if (IS_ERR(map))
		return PTR_ERR(map);

	ret = xa_alloc(&edu->maps, &req.id, map, xa_limit_31b, GFP_KERNEL);
	if (ret)
		goto err_release;

	req.dma_addr = sg_dma_address(map->sgt.sgl);
	req.phys_addr = page_to_phys(map->pages[0]);
	req.bounced = req.dma_addr != req.phys_addr;
	if (copy_to_user(arg, &req, sizeof(req))) {
		ret = -EFAULT;
		goto err_erase;
	}
	return 0;

err_erase:
	xa_erase(&edu->maps, req.id);
err_release:
	edu_map_release(edu, map);
	return ret;
}

/* Another file's mapping does not exist as far as this one can tell. */
static struct edu_map *edu_map_find(struct edu_dma *edu, struct file *file,
				    u32 id)
{
	struct edu_map *map = xa_load(&edu->maps, id);

	return map && map->owner == file ? map : NULL;
}

static long edu_ioctl_write(struct edu_dma *edu, struct file *file,
			    void __user *arg)
{
	struct edu_dma_write req;
	struct edu_map *map;
	dma_addr_t addr;
	u32 done, count;
	int ret;

	if (copy_from_user(&req, arg, sizeof(req)))
		return -EFAULT;

	map = edu_map_find(edu, file, req.id);
	if (!map)
		return -ENOENT;

	/* In this order no sum can wrap around. */
	if (!req.length || req.length > EDU_DMA_BUF_SIZE ||
	    req.offset >= map->length ||
	    offset_in_page(req.offset) + req.length > PAGE_SIZE)
		return -EINVAL;

	ret = edu_map_dma_addr(map, req.offset, &addr);
	if (ret)
		return ret;

	if (edu->hung)
		return -EIO;

	count = min_t(u32, req.length, EDU_CHUNK);
	memset64(edu->buf, req.pattern, EDU_CHUNK / sizeof(u64));
	ret = edu_transfer(edu, edu->buf_dma, EDU_BUF_ADDR, count, 0);
	for (done = 0; !ret && done < req.length; done += count) {
		count = min_t(u32, req.length - done, EDU_CHUNK);
		ret = edu_transfer(edu, EDU_BUF_ADDR, addr + done, count,
				   EDU_CMD_TO_RAM);
	}
	return ret;
}

static long edu_ioctl_unmap(struct edu_dma *edu, struct file *file,
			    void __user *arg)
{
	struct edu_dma_unmap req;
	struct edu_map *map;

	if (copy_from_user(&req, arg, sizeof(req)))
		return -EFAULT;
	if (req.reserved)
		return -EINVAL;

	map = edu_map_find(edu, file, req.id);
	if (!map)
		return -ENOENT;

	xa_erase(&edu->maps, req.id);
	edu_map_release(edu, map);
	return 0;
}

static long edu_dma_ioctl(struct file *file, unsigned int cmd,
			  unsigned long arg)
{
	struct edu_dma *edu = file->private_data;
	void __user *uarg = (void __user *)arg;

	guard(mutex)(&edu->lock);

	if (edu->gone)
		return -ENODEV;

	switch (cmd) {
	case EDU_DMA_MAP:
		return edu_ioctl_map(edu, file, uarg);
	case EDU_DMA_WRITE:
		return edu_ioctl_write(edu, file, uarg);
	case EDU_DMA_UNMAP:
		return edu_ioctl_unmap(edu, file, uarg);
	default:
		return -ENOTTY;
	}
}

/* Releases the mappings of one file, or with NULL those of all. */
static void edu_release_maps(struct edu_dma *edu, struct file *file)
{
	struct edu_map *map;
	unsigned long id;

	xa_for_each(&edu->maps, id, map) {
		if (file && map->owner != file)
			continue;
		xa_erase(&edu->maps, id);
		edu_map_release(edu, map);
	}
}

static int edu_dma_open(struct inode *inode, struct file *file)
{
	struct edu_dma *edu = container_of(file->private_data, struct edu_dma,
					   misc);

	kref_get(&edu->ref);
	file->private_data = edu;
	return 0;
}

static int edu_dma_release(struct inode *inode, struct file *file)
{
	struct edu_dma *edu = file->private_data;

	scoped_guard(mutex, &edu->lock)
		edu_release_maps(edu, file);

	kref_put(&edu->ref, edu_dma_free);
	return 0;
}

static const struct file_operations edu_dma_fops = {
	.owner = THIS_MODULE,
	.open = edu_dma_open,
	.release = edu_dma_release,
	.unlocked_ioctl = edu_dma_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static int edu_dma_setup(struct edu_dma *edu, struct pci_dev *pdev)
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

	edu->buf = dmam_alloc_coherent(&pdev->dev, EDU_DMA_BUF_SIZE,
				       &edu->buf_dma, GFP_KERNEL);
	if (!edu->buf)
		return -ENOMEM;

	pci_set_master(pdev);
	pci_set_drvdata(pdev, edu);

	edu->misc.minor = MISC_DYNAMIC_MINOR;
	edu->misc.name = "edu_dma";
	edu->misc.fops = &edu_dma_fops;
	edu->misc.parent = &pdev->dev;
	return misc_register(&edu->misc);
}

static int edu_dma_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct edu_dma *edu;
	int ret;

	/* Not devm: an open file may outlive the binding. */
	edu = kzalloc_obj(*edu);
	if (!edu)
		return -ENOMEM;

	kref_init(&edu->ref);
	edu->pdev = pdev;
	mutex_init(&edu->lock);
	xa_init_flags(&edu->maps, XA_FLAGS_ALLOC);

	ret = edu_dma_setup(edu, pdev);
	if (ret)
		kref_put(&edu->ref, edu_dma_free);
	return ret;
}

static void edu_dma_remove(struct pci_dev *pdev)
{
	struct edu_dma *edu = pci_get_drvdata(pdev);

	misc_deregister(&edu->misc);

	/* No mapping may outlive the binding, whoever still has a file open. */
	scoped_guard(mutex, &edu->lock) {
		edu->gone = true;
		edu_release_maps(edu, NULL);
	}

	pci_clear_master(pdev);
	kref_put(&edu->ref, edu_dma_free);
}

static const struct pci_device_id edu_dma_ids[] = {
	{ PCI_DEVICE(EDU_VENDOR_ID, EDU_DEVICE_ID) },
	{ }
};
MODULE_DEVICE_TABLE(pci, edu_dma_ids);

static struct pci_driver edu_dma_driver = {
	.name = KBUILD_MODNAME,
	.id_table = edu_dma_ids,
	.probe = edu_dma_probe,
	.remove = edu_dma_remove,
};
module_pci_driver(edu_dma_driver);

MODULE_DESCRIPTION("Share user memory with QEMU's edu device");
MODULE_LICENSE("GPL");
