// SPDX-License-Identifier: GPL-2.0-only
/*
 * Show on real DMA what DMA_ATTR_REQUIRE_COHERENT does.
 *
 * Runs as /init of an initramfs that has nothing else but /edu_dma.ko. The
 * kernel argument demo= names the scenario:
 *
 *   plain   the device reaches the memory: with and without the attribute the
 *           process sees what the device writes
 *   force   (boot with swiotlb=force) without the attribute the device is
 *           given a bounce buffer and the process reads stale data for as long
 *           as the mapping stands; with it the mapping is refused
 *   beyond  (boot with -m 5G) the same, because the page lies above the
 *           device's 32-bit DMA mask
 *   xen     (boot as dom0 of Xen with -m 5G) the same, because the machine frame
 *           of the page does, while the kernel takes it for one below
 *   virtio  virtio.c, which needs no edu device
 *   shell   no scenario, /bin/busybox sh if there is one
 *
 * Results are KTAP on the console. Before each result a "# row:" line carries
 * what was measured, as JSON. Then the machine is reset: run QEMU with
 * -no-reboot.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "edu_dma.h"
#include "virtio.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define POOL_USED	"/sys/kernel/debug/swiotlb/io_tlb_used"
#define TRACE_DIR	"/sys/kernel/tracing"
#define TRACE_EVENT	"dma_map_refused"
#define TRACE_ENABLE	TRACE_DIR "/events/dma/" TRACE_EVENT "/enable"

#define FOUR_GIB	0x100000000ULL
#define OLD_PATTERN	0x1111111111111111ULL
#define NEW_PATTERN	0xfeedc0de00000001ULL

enum outcome { COHERENT, STALE, REFUSED };

struct test_case {
	const char *name;
	bool attribute;
	enum outcome expect;
};

struct scenario {
	const char *name;
	/* Bounds of the physical address of the page to map. */
	__u64 phys_min;
	__u64 phys_max;
	struct test_case cases[2];
};

static const struct scenario scenarios[] = {
	{
		"plain", 0, FOUR_GIB, {
			{ "without_attribute_coherent", false, COHERENT },
			{ "with_attribute_coherent", true, COHERENT },
		},
	},
	{
		"force", 0, FOUR_GIB, {
			{ "without_attribute_stale", false, STALE },
			{ "with_attribute_refused", true, REFUSED },
		},
	},
	{
		"beyond", FOUR_GIB, ~0ULL, {
			{ "without_attribute_beyond_mask_stale", false, STALE },
			{ "with_attribute_beyond_mask_refused", true, REFUSED },
		},
	},
	{
		"xen", 0, FOUR_GIB, {
			{ "without_attribute_beyond_mask_stale", false, STALE },
			{ "with_attribute_beyond_mask_refused", true, REFUSED },
		},
	},
};

/* What one case measured. Negative counters: there is nothing to read. */
struct row {
	__u64 page;
	__u64 wrote;
	__u64 sees;
	__u64 sees_after_unmap;
	long pool_before;
	/* With the mapping standing, or refused: what the row calls "after". */
	long pool_mapped;
	long pool_after;
	long pins_before;
	long pins_after;
	int map_errno;
	int warns;
	int events;
	bool mapped;
	bool bounced;
	char reason[128];
	char problem[160];
};

static long page_size;
static int edu_fd = -1;
static int kmsg_fd = -1;
static int pagemap_fd = -1;
static bool have_trace_event;

/* Does not return. */
static void leave(void)
{
	fflush(stdout);
	tcdrain(STDOUT_FILENO);
	sync();

	/*
	 * Reset first: where nothing can switch the machine off, as on x86
	 * without ACPI, the kernel turns RB_POWER_OFF into a halt that does not
	 * return, and QEMU would stay.
	 */
	reboot(RB_AUTOBOOT);
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

/* Macros, so that the compiler checks the formats. */
#define bail_out(...)						\
	do {							\
		int err_ = errno;				\
								\
		printf("# demo: cannot set up: ");		\
		printf(__VA_ARGS__);				\
		if (err_)					\
			printf(": %s", strerror(err_));		\
		printf("\nBail out!\n");			\
		leave();					\
	} while (0)

#define problem(row, ...)					\
	do {							\
		char text_[160];				\
								\
		snprintf(text_, sizeof(text_), __VA_ARGS__);	\
		note_problem(row, text_);			\
	} while (0)

/* Only the first problem counts, the later ones follow from it. */
static void note_problem(struct row *row, const char *text)
{
	if (!row->problem[0])
		snprintf(row->problem, sizeof(row->problem), "%s", text);
}

/* Returns the length of the text, which is always terminated, or -1. */
static ssize_t read_text(const char *path, char *text, size_t size)
{
	ssize_t len = 0, n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	while ((size_t)len < size - 1) {
		n = read(fd, text + len, size - 1 - len);
		if (n <= 0)
			break;
		len += n;
	}
	close(fd);
	text[len] = '\0';
	return len;
}

static int write_text(const char *path, int flags, const char *text)
{
	ssize_t len = strlen(text), n;
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags);

	if (fd < 0)
		return -1;
	n = write(fd, text, len);
	close(fd);
	return n == len ? 0 : -1;
}

static long pool_used(void)
{
	char text[32];

	return read_text(POOL_USED, text, sizeof(text)) > 0 ? atol(text) : -1;
}

/* Pages pinned by anybody, or -1. */
static long pins_held(void)
{
	static const char acquired[] = "nr_foll_pin_acquired ";
	static const char released[] = "nr_foll_pin_released ";
	static char text[16384];
	const char *a, *r;

	/* Without this the counters lag behind by what each CPU still holds. */
	if (write_text("/proc/sys/vm/stat_refresh", 0, "1\n"))
		return -1;
	if (read_text("/proc/vmstat", text, sizeof(text)) < 0)
		return -1;
	a = strstr(text, acquired);
	r = strstr(text, released);
	if (!a || !r)
		return -1;
	return atol(a + strlen(acquired)) - atol(r + strlen(released));
}

static void kmsg_skip(void)
{
	lseek(kmsg_fd, 0, SEEK_END);
}

static int kmsg_count_warnings(void)
{
	char record[8192];
	int count = 0;
	ssize_t len;

	for (;;) {
		len = read(kmsg_fd, record, sizeof(record) - 1);
		if (len < 0 && (errno == EPIPE || errno == EINTR))
			continue;
		if (len <= 0)
			return count;
		record[len] = '\0';
		if (strstr(record, "WARNING:") || strstr(record, "swiotlb") ||
		    (strstr(record, "DMA addr") && strstr(record, "overflow")))
			count++;
	}
}

static void trace_clear(void)
{
	if (have_trace_event)
		write_text(TRACE_DIR "/trace", O_TRUNC, "");
}

/* Counts the refusals since trace_clear() and copies the first one's reason. */
static int trace_refusals(char *reason, size_t size)
{
	static char text[65536];
	char *line, *save, *field, *end, *next;
	int count = 0;

	if (!have_trace_event ||
	    read_text(TRACE_DIR "/trace", text, sizeof(text)) < 0)
		return 0;

	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		if (line[0] == '#' || !strstr(line, TRACE_EVENT ":"))
			continue;
		if (count++)
			continue;
		field = strstr(line, " reason=");
		if (!field)
			continue;
		field += strlen(" reason=");

		/* The text may have spaces: it ends where a "key=" begins. */
		end = field + strlen(field);
		for (next = strchr(field, ' '); next; next = strchr(next, ' ')) {
			size_t key;

			next++;
			key = strspn(next, "abcdefghijklmnopqrstuvwxyz_");
			if (key && next[key] == '=') {
				end = next - 1;
				break;
			}
		}
		snprintf(reason, size, "%.*s", (int)(end - field), field);
	}
	return count;
}

static __u64 phys_of(const void *addr)
{
	__u64 entry = 0;
	off_t at = (uintptr_t)addr / page_size * sizeof(entry);

	if (pread(pagemap_fd, &entry, sizeof(entry), at) != sizeof(entry) ||
	    !(entry & (1ULL << 63)))
		return 0;
	return (entry & ((1ULL << 55) - 1)) * page_size;
}

struct chunk {
	struct chunk *next;
	size_t size;
};

/*
 * Returns one locked page within the scenario's bounds, or NULL. Memory that
 * does not fit is held until one is found, or it would be handed out again.
 */
static __u64 *page_get(const struct scenario *s)
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

			if (phys && phys >= s->phys_min && phys < s->phys_max) {
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

/* One load from memory each time, whatever the compiler thinks it knows. */
static __u64 look(const __u64 *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static void fill(__u64 *page, __u64 pattern)
{
	size_t i;

	for (i = 0; i < page_size / sizeof(*page); i++)
		__atomic_store_n(&page[i], pattern, __ATOMIC_RELAXED);
}

static const char *errno_name(int err)
{
	static char text[16];

	switch (err) {
	case EOPNOTSUPP:
		return "EOPNOTSUPP";
	case ENOPROTOOPT:
		return "ENOPROTOOPT";
	case EIO:
		return "EIO";
	case ENOMEM:
		return "ENOMEM";
	case EINVAL:
		return "EINVAL";
	case EFAULT:
		return "EFAULT";
	case EREMOTEIO:
		return "EREMOTEIO";
	case ENODEV:
		return "ENODEV";
	case ETIMEDOUT:
		return "ETIMEDOUT";
	}
	snprintf(text, sizeof(text), "errno %d", err);
	return text;
}

static void measure(const struct test_case *c, __u64 *page, struct row *row)
{
	struct edu_dma_map map = {
		.addr = (uintptr_t)page,
		.length = page_size,
		.attrs = c->attribute ? EDU_DMA_REQUIRE_COHERENT : 0,
	};
	struct edu_dma_write cmd = { 0 };
	struct edu_dma_unmap unmap = { 0 };
	const size_t last = EDU_DMA_BUF_SIZE / sizeof(*page) - 1;
	__u64 tail;
	int ret;

	fill(page, OLD_PATTERN);
	row->page = phys_of(page);
	row->pins_before = pins_held();
	kmsg_skip();
	trace_clear();
	row->pool_before = pool_used();

	ret = ioctl(edu_fd, EDU_DMA_MAP, &map);
	row->map_errno = ret ? errno : 0;
	row->mapped = !ret;
	row->pool_mapped = pool_used();

	if (row->mapped) {
		row->bounced = map.bounced;
		if (map.phys_addr != row->page)
			problem(row, "the page moved to %#llx before it was pinned",
				map.phys_addr);

		cmd.id = map.id;
		cmd.length = EDU_DMA_BUF_SIZE;
		cmd.pattern = row->wrote;
		ret = ioctl(edu_fd, EDU_DMA_WRITE, &cmd);
		row->sees = look(&page[0]);
		tail = look(&page[last]);
		if (ret)
			problem(row, "the device did not write: %s",
				strerror(errno));
		else if (row->sees != tail)
			problem(row, "the page begins with %#llx and ends with %#llx",
				row->sees,
				tail);

		unmap.id = map.id;
		if (ioctl(edu_fd, EDU_DMA_UNMAP, &unmap))
			problem(row, "unmap failed: %s", strerror(errno));
		row->sees_after_unmap = look(&page[0]);
	}

	row->pool_after = pool_used();
	row->events = trace_refusals(row->reason, sizeof(row->reason));
	row->warns = kmsg_count_warnings();
	row->pins_after = pins_held();

	/* Whatever happened, the process still has its memory. */
	fill(page, row->wrote);
	if (look(&page[0]) != row->wrote)
		problem(row, "the page cannot be written any more");
}

static void judge(const struct test_case *c, struct row *row)
{
	enum outcome got = STALE;

	if (!row->mapped)
		got = REFUSED;
	else if (row->sees == row->wrote)
		got = COHERENT;

	if (row->map_errno == ENOPROTOOPT)
		problem(row, "this kernel does not have the attribute");

	if (got != c->expect) {
		if (got == REFUSED)
			problem(row, "not mapped: %s",
				strerror(row->map_errno));
		else if (got == COHERENT)
			problem(row, "the process sees the device's write");
		else
			problem(row, "mapped, but the process reads %s data",
				row->sees == OLD_PATTERN ? "stale" : "wrong");
	}

	switch (got) {
	case COHERENT:
		break;
	case STALE:
		if (row->sees != OLD_PATTERN)
			problem(row, "the process reads neither old nor new data");
		if (!row->bounced)
			problem(row, "stale without a bounce buffer");
		break;
	case REFUSED:
		if (row->map_errno != EOPNOTSUPP)
			problem(row, "refused with %s, not EOPNOTSUPP",
				errno_name(row->map_errno));
		if (have_trace_event && row->events != 1)
			problem(row, "%d trace events for one refusal",
				row->events);
		break;
	}

	if (row->mapped && row->sees_after_unmap != row->wrote)
		problem(row, "the device's write is lost after unmap");
	if (row->pool_after != row->pool_before ||
	    (got == REFUSED && row->pool_mapped != row->pool_before))
		problem(row, "the bounce pool is not as it was");
	if (row->pins_after != row->pins_before)
		problem(row, "%ld pages stay pinned",
			row->pins_after - row->pins_before);
	if (row->warns)
		problem(row, "%d warnings in the kernel log", row->warns);
}

static const char *verdict(const struct test_case *c, const struct row *row)
{
	if (row->problem[0])
		return row->problem;
	switch (c->expect) {
	case COHERENT:
		return "coherent: the process sees the device's write at once";
	case STALE:
		return "corrupt: the process reads old data until unmap";
	case REFUSED:
		return "refused: nothing mapped, nothing left behind";
	}
	return "";
}

static void json_string(const char *key, const char *value)
{
	printf("\"%s\": ", key);
	if (!value) {
		printf("null");
		return;
	}
	putchar('"');
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			putchar('\\');
		putchar(isprint((unsigned char)*value) ? *value : '?');
	}
	putchar('"');
}

static void json_hex(const char *key, __u64 value, bool valid)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%llx", value);
	json_string(key, valid ? text : NULL);
}

static void json_count(const char *key, long value)
{
	if (value < 0)
		printf("\"%s\": null", key);
	else
		printf("\"%s\": %ld", key, value);
}

static void print_row(const struct scenario *s, const struct test_case *c,
		      const struct row *row)
{
	printf("  # row: {");
	json_string("boot", s->name);
	printf(", \"attribute\": %s, ", c->attribute ? "true" : "false");
	json_hex("page", row->page, row->page);
	printf(", ");
	json_count("pool_used_before", row->pool_before);
	printf(", ");
	json_count("pool_used_after", row->pool_mapped);
	printf(", ");
	if (row->map_errno)
		json_string("map", errno_name(row->map_errno));
	else
		json_count("map", 0);
	printf(", ");
	json_hex("wrote", row->wrote, row->mapped);
	printf(", ");
	json_hex("sees", row->sees, row->mapped);
	printf(", ");
	json_hex("sees_after_unmap", row->sees_after_unmap, row->mapped);
	printf(", ");
	json_count("warns", row->warns);
	printf(", ");
	json_string("reason", row->reason[0] ? row->reason : NULL);
	printf(", ");
	json_string("verdict", verdict(c, row));
	printf("}\n");
}

static bool run_case(const struct scenario *s, unsigned int nr)
{
	const struct test_case *c = &s->cases[nr];
	struct row row = { .wrote = NEW_PATTERN + nr };
	__u64 *page = page_get(s);

	if (!page) {
		errno = 0;
		bail_out("no free page from %#llx up to %#llx", s->phys_min,
			 s->phys_max);
	}
	measure(c, page, &row);
	munmap(page, page_size);

	judge(c, &row);
	print_row(s, c, &row);
	printf("  %s %u %s\n", row.problem[0] ? "not ok" : "ok", nr + 1,
	       c->name);
	/* The next case's kernel messages must not cut into these lines. */
	tcdrain(STDOUT_FILENO);
	return !row.problem[0];
}

static void run_scenario(const struct scenario *s)
{
	bool ok = true;
	unsigned int nr;

	printf("  KTAP version 1\n");
	printf("  # Subtest: demo_%s\n", s->name);
	printf("  1..%zu\n", ARRAY_SIZE(s->cases));
	for (nr = 0; nr < ARRAY_SIZE(s->cases); nr++)
		ok &= run_case(s, nr);
	printf("%s 1 demo_%s\n", ok ? "ok" : "not ok", s->name);
}

static int mount_at(const char *type, const char *dir)
{
	mkdir(dir, 0755);
	return mount(type, dir, type, 0, NULL) && errno != EBUSY ? -1 : 0;
}

/* The initramfs need not have /dev/console, and then nothing is open. */
static void open_console(void)
{
	static char buffer[4096];
	int fd = open("/dev/console", O_RDWR);
	int i;

	if (fd < 0)
		leave();
	for (i = 0; i < 3; i++)
		dup2(fd, i);
	if (fd > 2)
		close(fd);
	/* A line a write, so that kernel messages come between lines. */
	setvbuf(stdout, buffer, _IOLBF, sizeof(buffer));
}

/* Copies the value of demo= from the kernel command line. */
static void demo_argument(char *value, size_t size)
{
	static char text[4096];
	char *arg, *save;

	value[0] = '\0';
	if (read_text("/proc/cmdline", text, sizeof(text)) < 0)
		return;
	text[strcspn(text, "\n")] = '\0';
	for (arg = strtok_r(text, " ", &save); arg;
	     arg = strtok_r(NULL, " ", &save))
		if (!strncmp(arg, "demo=", 5))
			snprintf(value, size, "%s", arg + 5);
}

static int load_module(const char *path)
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

/* Neither has to be there: what they would tell is then reported as null. */
static void open_observers(void)
{
	if (mount_at("debugfs", "/sys/kernel/debug"))
		printf("# demo: no debugfs, pool use is not known\n");
	if (mount_at("tracefs", TRACE_DIR))
		printf("# demo: no tracefs, reasons are not known\n");
}

static void set_up(void)
{
	if (load_module("/edu_dma.ko"))
		bail_out("loading /edu_dma.ko");
	edu_fd = open("/dev/edu_dma", O_RDWR | O_CLOEXEC);
	if (edu_fd < 0)
		bail_out("/dev/edu_dma, which needs QEMU's -device edu");
	kmsg_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg_fd < 0)
		bail_out("/dev/kmsg");
	pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (pagemap_fd < 0)
		bail_out("/proc/self/pagemap");
	errno = 0;
	if (!phys_of(__builtin_frame_address(0)))
		bail_out("/proc/self/pagemap has no physical addresses");
	if (!access(TRACE_ENABLE, F_OK)) {
		if (write_text(TRACE_ENABLE, 0, "1"))
			bail_out("enabling " TRACE_ENABLE);
		have_trace_event = true;
	}
}

/* /dev/console cannot be a controlling terminal, what stands behind it can. */
static void take_terminal(void)
{
	char names[128], path[160], *name;
	int fd, i;

	setsid();
	if (read_text("/sys/class/tty/console/active", names, sizeof(names)) < 0)
		return;
	names[strcspn(names, "\n")] = '\0';
	name = strrchr(names, ' ');
	snprintf(path, sizeof(path), "/dev/%s", name ? name + 1 : names);
	fd = open(path, O_RDWR);
	if (fd < 0)
		return;
	ioctl(fd, TIOCSCTTY, 0);
	for (i = 0; i < 3; i++)
		dup2(fd, i);
	if (fd > 2)
		close(fd);
}

static void run_shell(void)
{
	static const char busybox[] = "/bin/busybox";
	pid_t child, pid;

	if (load_module("/edu_dma.ko"))
		printf("demo: /edu_dma.ko: %s\n", strerror(errno));
	if (access(busybox, X_OK)) {
		printf("demo: no %s in this initramfs\n", busybox);
		return;
	}
	setenv("PATH", "/bin:/sbin:/usr/bin:/usr/sbin", 1);

	/* A child, because the kernel panics when PID 1 exits. */
	child = fork();
	if (!child) {
		take_terminal();
		execl(busybox, "sh", NULL);
		_exit(127);
	}
	do {
		pid = wait(NULL);
	} while (pid != child && (pid > 0 || errno == EINTR));
}

int main(void)
{
	char wanted[32];
	size_t i;

	page_size = sysconf(_SC_PAGESIZE);

	mount_at("devtmpfs", "/dev");
	open_console();
	if (getpid() != 1) {
		printf("demo: this is an init, not a program to start\n");
		return 2;
	}

	if (mount_at("proc", "/proc"))
		bail_out("mounting /proc");
	demo_argument(wanted, sizeof(wanted));
	if (!strcmp(wanted, "shell")) {
		mount_at("sysfs", "/sys");
		open_observers();
		run_shell();
		leave();
	}

	printf("KTAP version 1\n1..1\n");
	if (mount_at("sysfs", "/sys"))
		bail_out("mounting /sys");
	open_observers();

	if (!strcmp(wanted, "virtio")) {
		run_virtio();
		leave();
	}
	for (i = 0; i < ARRAY_SIZE(scenarios); i++)
		if (!strcmp(wanted, scenarios[i].name))
			break;
	errno = 0;
	if (i == ARRAY_SIZE(scenarios))
		bail_out("no scenario demo=%s", wanted);

	set_up();
	run_scenario(&scenarios[i]);
	leave();
}
