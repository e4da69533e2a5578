// SPDX-License-Identifier: GPL-2.0-only
/*
 * Verbs by hand: commands written to the uverbs device, a doorbell, and memory
 * that is polled.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <rdma/ib_user_ioctl_verbs.h>
#include <rdma/ib_user_verbs.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "edu.h"
#include "edu_rdma.h"
#include "pages.h"
#include "verbs.h"

#define UVERBS		"/dev/infiniband/uverbs0"

/* How often to look at memory before the device is asked whether it is done. */
#define LOOKS		10000

/* `cmd` begins with a header, which this fills in. */
static int command(const struct verbs *v, __u32 nr, void *cmd, size_t size,
		   size_t response_size)
{
	struct ib_uverbs_cmd_hdr *hdr = cmd;
	ssize_t n;

	hdr->command = nr;
	hdr->in_words = size / 4;
	hdr->out_words = response_size / 4;
	n = write(v->fd, cmd, size);
	if (n >= 0 && (size_t)n != size)
		errno = EIO;
	return n >= 0 && (size_t)n == size ? 0 : -1;
}

static int get_context(struct verbs *v)
{
	struct {
		struct ib_uverbs_get_context_resp core;
		struct edu_rdma_context_resp edu;
	} resp = { 0 };
	struct {
		struct ib_uverbs_cmd_hdr hdr;
		struct ib_uverbs_get_context core;
	} cmd = { .core.response = (uintptr_t)&resp };

	if (command(v, IB_USER_VERBS_CMD_GET_CONTEXT, &cmd, sizeof(cmd),
		    sizeof(resp)))
		return -1;
	v->async_fd = resp.core.async_fd;
	v->queue_addr = resp.edu.queue_addr;
	return 0;
}

static int alloc_pd(struct verbs *v)
{
	struct ib_uverbs_alloc_pd_resp resp = { 0 };
	struct {
		struct ib_uverbs_cmd_hdr hdr;
		struct ib_uverbs_alloc_pd core;
	} cmd = { .core.response = (uintptr_t)&resp };

	if (command(v, IB_USER_VERBS_CMD_ALLOC_PD, &cmd, sizeof(cmd),
		    sizeof(resp)))
		return -1;
	v->pd = resp.pd_handle;
	return 0;
}

static int dealloc_pd(struct verbs *v)
{
	struct {
		struct ib_uverbs_cmd_hdr hdr;
		struct ib_uverbs_dealloc_pd core;
	} cmd = { .core.pd_handle = v->pd };

	return command(v, IB_USER_VERBS_CMD_DEALLOC_PD, &cmd, sizeof(cmd), 0);
}

static void *map_page(const struct verbs *v, off_t nr)
{
	return mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd,
		    nr * page_size);
}

int verbs_open(struct verbs *v)
{
	v->fd = open(UVERBS, O_RDWR | O_CLOEXEC);
	if (v->fd < 0 || get_context(v) || alloc_pd(v))
		return -1;
	v->regs = map_page(v, EDU_RDMA_MMAP_REGS);
	v->queue = map_page(v, EDU_RDMA_MMAP_QUEUE);
	return v->regs == MAP_FAILED || v->queue == MAP_FAILED ? -1 : 0;
}

int verbs_close(struct verbs *v)
{
	return munmap((void *)v->regs, page_size) | munmap(v->queue, page_size) |
	       dealloc_pd(v) | close(v->async_fd) | close(v->fd);
}

int verbs_reg_mr(struct verbs *v, __u64 *page, bool on_demand, struct verbs_mr *mr)
{
	struct ib_uverbs_reg_mr_resp resp = { 0 };
	struct {
		struct ib_uverbs_cmd_hdr hdr;
		struct ib_uverbs_reg_mr core;
	} cmd = {
		.core = {
			.response = (uintptr_t)&resp,
			.start = (uintptr_t)page,
			.length = page_size,
			.hca_va = (uintptr_t)page,
			.pd_handle = v->pd,
			.access_flags = IB_UVERBS_ACCESS_LOCAL_WRITE |
				(on_demand ? IB_UVERBS_ACCESS_ON_DEMAND : 0),
		},
	};

	if (command(v, IB_USER_VERBS_CMD_REG_MR, &cmd, sizeof(cmd),
		    sizeof(resp)))
		return -1;
	mr->page = page;
	mr->handle = resp.mr_handle;
	mr->lkey = resp.lkey;
	return 0;
}

int verbs_dereg_mr(struct verbs *v, const struct verbs_mr *mr)
{
	struct {
		struct ib_uverbs_cmd_hdr hdr;
		struct ib_uverbs_dereg_mr core;
	} cmd = { .core.mr_handle = mr->handle };

	return command(v, IB_USER_VERBS_CMD_DEREG_MR, &cmd, sizeof(cmd), 0);
}

static bool busy(const struct verbs *v)
{
	bool is = v->regs[EDU_DMA_CMD / 4] & EDU_CMD_START;

	/* What the device wrote before it was done is seen after. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return is;
}

static void ring(struct verbs *v, __u32 src, __u32 dst, __u32 direction)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	v->regs[EDU_DMA_SRC / 4] = src;
	v->regs[EDU_DMA_DST / 4] = dst;
	v->regs[EDU_DMA_COUNT / 4] = EDU_CHUNK;
	v->regs[EDU_DMA_CMD / 4] = EDU_CMD_START | direction;
}

static void load(struct verbs *v, __u64 pattern)
{
	size_t i;

	for (i = 0; i < EDU_CHUNK / sizeof(*v->queue); i++)
		v->queue[i] = pattern;
	ring(v, v->queue_addr, EDU_BUF_ADDR, 0);
	while (busy(v))
		;
}

static void store(struct verbs *v, __u32 addr, __u64 pattern, const __u64 *at)
{
	int i;

	ring(v, EDU_BUF_ADDR, addr, EDU_CMD_TO_RAM);
	do {
		for (i = 0; i < LOOKS && look(at) != pattern; i++)
			;
	} while (busy(v));
}

void verbs_write(struct verbs *v, const struct verbs_mr *mr, __u64 pattern)
{
	__u32 done;

	load(v, pattern);
	for (done = 0; done < EDU_BUF_SIZE; done += EDU_CHUNK)
		store(v, mr->lkey + done, pattern, mr->page + done / sizeof(*mr->page));
}

bool verbs_works(struct verbs *v, __u64 pattern)
{
	const __u64 *at = v->queue + EDU_CHUNK / sizeof(*v->queue);

	load(v, pattern);
	store(v, v->queue_addr + EDU_CHUNK, pattern, at);
	return look(at) == pattern;
}
