// SPDX-License-Identifier: GPL-2.0-only
/* QEMU's edu device, behind /dev/edu_dma or /dev/infiniband/uverbs0. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "device.h"
#include "edu_dma.h"
#include "pages.h"

static int edu_fd = -1;
static const char *loaded;

struct verbs verbs;

int load_module(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int ret, err;

	if (fd < 0)
		return -1;
	ret = syscall(SYS_finit_module, fd, "", 0);
	err = errno;
	close(fd);
	errno = err;
	return ret;
}

int device_unload(void)
{
	if (loaded && syscall(SYS_delete_module, loaded, O_NONBLOCK))
		return -1;
	loaded = NULL;
	return 0;
}

int device_load(enum request request)
{
	const char *name = by_verbs(request) ? "edu_rdma" : "edu_dma";
	char path[32];

	if (loaded && !strcmp(loaded, name))
		return 0;
	snprintf(path, sizeof(path), "/%s.ko", name);
	if (device_unload() || load_module(path))
		return -1;
	loaded = name;
	return 0;
}

int device_open(enum request request)
{
	if (by_verbs(request))
		return verbs_open(&verbs);
	edu_fd = open("/dev/edu_dma", O_RDWR | O_CLOEXEC);
	return edu_fd < 0 ? -1 : 0;
}

int map_page(struct mapping *m)
{
	struct edu_dma_map map = {
		.addr = (uintptr_t)m->page,
		.length = page_size,
		.attrs = m->request == ATTRIBUTE ? EDU_DMA_REQUIRE_COHERENT : 0,
	};

	if (by_verbs(m->request)) {
		if (verbs_reg_mr(&verbs, m->page, m->request == REG_ODP, &m->mr))
			return -1;
		m->phys = phys_of(m->page);
		m->dma = m->mr.lkey;
		return 0;
	}

	if (ioctl(edu_fd, EDU_DMA_MAP, &map))
		return -1;
	m->phys = map.phys_addr;
	m->dma = map.dma_addr;
	m->id = map.id;
	return 0;
}

int device_write(const struct mapping *m, __u64 pattern)
{
	struct edu_dma_write cmd = {
		.pattern = pattern,
		.length = EDU_DMA_BUF_SIZE,
		.id = m->id,
	};

	if (by_verbs(m->request)) {
		verbs_write(&verbs, &m->mr, pattern);
		return 0;
	}
	return ioctl(edu_fd, EDU_DMA_WRITE, &cmd);
}

int unmap_page(const struct mapping *m)
{
	struct edu_dma_unmap unmap = { .id = m->id };

	if (by_verbs(m->request))
		return verbs_dereg_mr(&verbs, &m->mr);
	return ioctl(edu_fd, EDU_DMA_UNMAP, &unmap);
}
