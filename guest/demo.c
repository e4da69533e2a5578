// SPDX-License-Identifier: GPL-2.0-only
/*
 * Show on real DMA what DMA_ATTR_REQUIRE_COHERENT does.
 *
 * Runs as /init of an initramfs that has nothing else but /edu_dma.ko and
 * /edu_rdma.ko. A process maps a page of its own for the device: without the
 * attribute and with it, by the one module, and as a memory region of verbs,
 * which always have it, pinned or paged on demand, by the other. The kernel
 * argument demo= names the scenario:
 *
 *   plain   the device reaches the memory: with and without the attribute the
 *           process sees what the device writes
 *   force   (boot with swiotlb=force) without the attribute the device is
 *           given a bounce buffer and the process reads stale data for as long
 *           as the mapping stands; with it the mapping is refused
 *   beyond  (boot with memory above 4 GiB) the same, because the page lies above
 *           the device's 32-bit DMA mask
 *   xen     (boot as dom0 of Xen with -m 5G) the same, because the machine
 *           frame of the page does, while the kernel takes it for one below
 *   realm   (boot in a realm, see realm/) the same, because the page is private
 *   virtio, pingpong, busy
 *           virtio.c, pingpong.c, busy.c
 *   shell   no scenario, /bin/busybox sh if there is one; lab_command="..." runs that
 *
 * Results are KTAP on the console. Before each result a "# row:" line carries
 * what was measured, as JSON. Then the machine is reset: run QEMU with
 * -no-reboot.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
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
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "busy.h"
#include "demo.h"
#include "device.h"
#include "edu_dma.h"
#include "judge.h"
#include "observe.h"
#include "pages.h"
#include "pingpong.h"
#include "verbs.h"
#include "virtio.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define FOUR_GIB	0x100000000ULL
#define NEW_PATTERN	0xfeedc0de00000001ULL

/* For a case of half a second in a guest that may be emulated and starved. */
#define CASE_SECONDS	90

static const char *const request_names[] = {
	[PLAIN] = "plain",
	[ATTRIBUTE] = "REQUIRE_COHERENT",
	[REG_MR] = "ibv_reg_mr",
	[REG_ODP] = "ibv_reg_mr ODP",
};

struct scenario {
	const char *name;
	/* Bounds of the physical address of the page to map. */
	__u64 phys_min;
	__u64 phys_max;
	struct test_case cases[4];
};

static const struct scenario scenarios[] = {
	{
		"plain", 0, FOUR_GIB, {
			{ "without_attribute_coherent", PLAIN, COHERENT },
			{ "with_attribute_coherent", ATTRIBUTE, COHERENT },
			{ "verbs_coherent", REG_MR, COHERENT },
			{ "verbs_on_demand_coherent", REG_ODP, COHERENT },
		},
	},
	{
		"force", 0, FOUR_GIB, {
			{ "without_attribute_stale", PLAIN, STALE },
			{ "with_attribute_refused", ATTRIBUTE, REFUSED },
			{ "verbs_refused", REG_MR, REFUSED },
			{ "verbs_on_demand_refused", REG_ODP, REFUSED },
		},
	},
	{
		"beyond", FOUR_GIB, ~0ULL, {
			{ "without_attribute_beyond_mask_stale", PLAIN, STALE },
			{ "with_attribute_beyond_mask_refused", ATTRIBUTE, REFUSED },
			{ "verbs_beyond_mask_refused", REG_MR, REFUSED },
			{ "verbs_on_demand_refused", REG_ODP, REFUSED },
		},
	},
	{
		"xen", 0, FOUR_GIB, {
			{ "without_attribute_beyond_mask_stale", PLAIN, STALE },
			{ "with_attribute_beyond_mask_refused", ATTRIBUTE, REFUSED },
			{ "verbs_beyond_mask_refused", REG_MR, REFUSED },
			{ "verbs_on_demand_beyond_mask_refused", REG_ODP, REFUSED },
		},
	},
	{
		"realm", 0, FOUR_GIB, {
			{ "without_attribute_private_stale", PLAIN, STALE },
			{ "with_attribute_private_refused", ATTRIBUTE, REFUSED },
			{ "verbs_private_refused", REG_MR, REFUSED },
			{ "verbs_on_demand_private_refused", REG_ODP, REFUSED },
		},
	},
};

static struct {
	const char *name;
	unsigned int cases;
	bool ok;
} subtest;

void subtest_begin(const char *name, size_t cases)
{
	subtest.name = name;
	subtest.ok = true;
	printf("  KTAP version 1\n");
	printf("  # Subtest: %s\n", name);
	printf("  1..%zu\n", cases);
}

bool result(bool ok, const char *format, ...)
{
	va_list args;

	printf("  %s %u ", ok ? "ok" : "not ok", ++subtest.cases);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	/* What the kernel says of the next case must not cut into this line. */
	tcdrain(STDOUT_FILENO);
	subtest.ok &= ok;
	return ok;
}

void subtest_end(void)
{
	printf("%s 1 %s\n", subtest.ok ? "ok" : "not ok", subtest.name);
}

void leave(void)
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

/*
 * After a memory region has been refused, the context goes on: the device still
 * serves it, and another page that is pinned, if there is one that the device
 * reaches.
 */
static void go_on(const struct scenario *s, struct row *row)
{
	struct verbs_mr mr;
	__u64 *page;

	if (!verbs_works(&verbs, row->wrote))
		problem(row, "after the refusal the device does not serve the context");

	if (s->phys_min < FOUR_GIB)
		return;
	page = page_get(0, FOUR_GIB);
	if (!page) {
		problem(row, "no free page that the device reaches");
		return;
	}
	fill(page, OLD_PATTERN);
	if (verbs_reg_mr(&verbs, page, false, &mr)) {
		problem(row, "after the refusal no page is registered: %s",
			strerror(errno));
	} else {
		verbs_write(&verbs, &mr, row->wrote);
		if (look(&page[0]) != row->wrote)
			problem(row, "after the refusal no page is coherent");
		if (verbs_dereg_mr(&verbs, &mr))
			problem(row, "dereg_mr failed: %s", strerror(errno));
	}
	munmap(page, page_size);
}

static void measure(const struct scenario *s, const struct test_case *c,
		    __u64 *page, struct row *row)
{
	const size_t last = EDU_DMA_BUF_SIZE / sizeof(*page) - 1;
	struct mapping m = { .request = c->request, .page = page };
	long charged = pins_charged();
	__u64 tail;
	int ret;

	fill(page, OLD_PATTERN);
	row->page = phys_of(page);
	row->pins_before = pins_held();
	kmsg_skip();
	trace_clear();
	row->pool_before = pool_used();

	ret = map_page(&m);
	row->map_errno = ret ? errno : 0;
	row->mapped = !ret;
	row->pool_mapped = pool_used();

	if (row->mapped) {
		row->bounced = m.dma != m.phys;
		if (m.phys != row->page)
			problem(row, "the page moved to %#llx before it was pinned",
				m.phys);

		ret = device_write(&m, row->wrote);
		row->sees = look(&page[0]);
		tail = look(&page[last]);
		if (ret)
			problem(row, "the device did not write: %s",
				strerror(errno));
		else if (row->sees != tail)
			problem(row, "the page begins with %#llx and ends with %#llx",
				row->sees,
				tail);

		if (unmap_page(&m))
			problem(row, "unmap failed: %s", strerror(errno));
		row->sees_after_unmap = look(&page[0]);
	} else if (by_verbs(c->request)) {
		go_on(s, row);
	}

	if (pins_charged() != charged)
		problem(row, "the process stays charged for pinned memory");

	/* Whatever happened, the process still has its memory. */
	fill(page, row->wrote);
	if (look(&page[0]) != row->wrote)
		problem(row, "the page cannot be written any more");
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
	printf(", ");
	json_string("request", request_names[c->request]);
	printf(", ");
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

/* All of a process's life: it has to come to its end, whatever was refused. */
static void case_process(const struct scenario *s, const struct test_case *c,
			 struct row *row)
{
	__u64 *page;

	if (pages_open())
		bail_out("/proc/self/pagemap has no physical addresses");
	if (device_open(c->request))
		bail_out("%s, which needs QEMU's -device edu",
			 by_verbs(c->request) ? "/dev/infiniband/uverbs0" :
						"/dev/edu_dma");
	page = page_get(s->phys_min, s->phys_max);
	if (!page) {
		errno = 0;
		bail_out("no free page from %#llx up to %#llx", s->phys_min,
			 s->phys_max);
	}
	measure(s, c, page, row);
	munmap(page, page_size);
	if (by_verbs(c->request) && verbs_close(&verbs))
		problem(row, "closing the context failed: %s", strerror(errno));
	row->done = true;
}

static void run_process(const struct scenario *s, const struct test_case *c,
			struct row *row)
{
	pid_t child = fork(), pid;
	int status;

	if (child < 0)
		bail_out("fork");
	if (!child) {
		alarm(CASE_SECONDS);
		case_process(s, c, row);
		_exit(0);
	}
	do {
		pid = waitpid(child, &status, 0);
	} while (pid < 0 && errno == EINTR);

	if (WIFSIGNALED(status))
		problem(row, "the process was killed by signal %d",
			WTERMSIG(status));
	row->pool_after = pool_used();
	row->events = trace_refusals(row->reason, sizeof(row->reason));
	row->listed = trace_failed_list(row->page);
	row->warns = kmsg_count_warnings();
	trace_log(row->log, sizeof(row->log));
	row->pins_after = pins_held();
}

static void run_case(const struct scenario *s, unsigned int nr)
{
	const struct test_case *c = &s->cases[nr];
	struct row *row = mmap(NULL, sizeof(*row), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (row == MAP_FAILED)
		bail_out("mmap");
	row->wrote = NEW_PATTERN + nr;

	if (device_load(c->request))
		bail_out("loading a driver of the edu device");
	run_process(s, c, row);

	judge(c, row);
	print_row(s, c, row);
	result(!row->problem[0], "%s", c->name);
	munmap(row, sizeof(*row));
}

static void run_scenario(const struct scenario *s)
{
	char name[32];
	unsigned int nr;

	snprintf(name, sizeof(name), "demo_%s", s->name);
	subtest_begin(name, ARRAY_SIZE(s->cases));
	for (nr = 0; nr < ARRAY_SIZE(s->cases); nr++)
		run_case(s, nr);
	if (device_unload())
		bail_out("unloading the driver of the edu device");
	subtest_end();
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

/* Neither has to be there: what they would tell is then reported as null. */
static void open_observers(void)
{
	if (mount_at("debugfs", "/sys/kernel/debug"))
		printf("# demo: no debugfs, pool use is not known\n");
	if (mount_at("tracefs", TRACE_DIR))
		printf("# demo: no tracefs, reasons are not known\n");
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
	const char *command = getenv("lab_command");
	pid_t child, pid;
	int status = 0;

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
		execl(busybox, "sh", command ? "-c" : NULL, command, NULL);
		_exit(127);
	}
	do {
		pid = wait(&status);
	} while (pid != child && (pid > 0 || errno == EINTR));
	if (command)
		printf("lab: the command ends with %d\n",
		       WIFEXITED(status) ? WEXITSTATUS(status) : 126);
}

/* Those that have a file of their own. */
static const struct {
	const char *name;
	void (*run)(void);
} programs[] = {
	{ "virtio", run_virtio },
	{ "pingpong", run_pingpong },
	{ "busy", run_busy },
};

int main(void)
{
	char wanted[32];
	size_t i;

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

	if (kmsg_open())
		bail_out("/dev/kmsg");
	if (trace_open())
		bail_out("enabling the trace event");

	for (i = 0; i < ARRAY_SIZE(programs); i++) {
		if (strcmp(wanted, programs[i].name))
			continue;
		programs[i].run();
		leave();
	}
	for (i = 0; i < ARRAY_SIZE(scenarios); i++)
		if (!strcmp(wanted, scenarios[i].name))
			break;
	errno = 0;
	if (i == ARRAY_SIZE(scenarios))
		bail_out("no scenario demo=%s", wanted);
	run_scenario(&scenarios[i]);
	leave();
}
