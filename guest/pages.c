// SPDX-License-Identifier: GPL-2.0-only
/* Pages of a process: where they are and what is in them. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "pages.h"

long page_size;

static int pagemap_fd = -1;

__u64 phys_of(const void *addr)
{
	__u64 entry = 0;
	off_t at = (uintptr_t)addr / page_size * sizeof(entry);

	if (pread(pagemap_fd, &entry, sizeof(entry), at) != sizeof(entry) ||
	    !(entry & (1ULL << 63)))
		return 0;
	return (entry & ((1ULL << 55) - 1)) * page_size;
}

int pages_open(void)
{
	page_size = sysconf(_SC_PAGESIZE);
	pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (pagemap_fd < 0)
		return -1;
	if (!phys_of(__builtin_frame_address(0))) {
		errno = EPERM;
		return -1;
	}
	return 0;
}

struct chunk {
	struct chunk *next;
	size_t size;
};

/* Memory that does not fit is held, or it would be handed out again. */
__u64 *page_get(__u64 phys_min, __u64 phys_max)
{
	const size_t size = 1 << 20;
	struct chunk *held = NULL, *chunk;
	__u64 *page = NULL;
	struct sysinfo info;
	size_t at;

	/* PID 1 must not meet the OOM killer: leave it some memory. */
	while (!page && !sysinfo(&info) &&
	       (__u64)info.freeram * info.mem_unit > (128ULL << 20)) {
		chunk = mmap(NULL, size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (chunk == MAP_FAILED)
			break;
		if (mlock(chunk, size)) {
			munmap(chunk, size);
			break;
		}
		memset(chunk, 1, size);
		chunk->next = held;
		chunk->size = size;
		held = chunk;

		/* The first page of a chunk has the list in it. */
		for (at = page_size; at < size; at += page_size) {
			__u64 phys = phys_of((char *)chunk + at);

			if (phys && phys >= phys_min && phys < phys_max) {
				page = (__u64 *)((char *)chunk + at);
				break;
			}
		}
	}

	while (held) {
		char *start = (char *)held, *stop = start + held->size;

		held = held->next;
		if ((char *)page > start && (char *)page < stop) {
			munmap(start, (char *)page - start);
			start = (char *)page + page_size;
		}
		if (start < stop)
			munmap(start, stop - start);
	}
	return page;
}

__u64 look(const __u64 *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

void fill(__u64 *page, __u64 pattern)
{
	size_t i;

	for (i = 0; i < page_size / sizeof(*page); i++)
		__atomic_store_n(&page[i], pattern, __ATOMIC_RELAXED);
}
