// SPDX-License-Identifier: GPL-2.0-only
/*
 * Run the kernel's own benchmark, tools/dma/dma_map_benchmark, on QEMU's edu device.
 *
 * Runs as /init of an initramfs that has /dma_map_benchmark besides. KUnit's
 * benchmark has run by then. What the tool prints is on the console, then the
 * machine is reset: run QEMU with -no-reboot.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TOOL	"/dma_map_benchmark"
#define DRIVER	"dma_map_benchmark"
#define EDU	"0x11e8"

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	ssize_t done;

	if (fd < 0)
		return -1;
	done = write(fd, text, strlen(text));
	close(fd);
	return done == (ssize_t)strlen(text) ? 0 : -1;
}

/* Give the first edu device to the driver of the benchmark. */
static int bind_edu(void)
{
	char path[256], id[16], *name;
	glob_t devices;
	FILE *file;
	size_t i;

	if (glob("/sys/bus/pci/devices/*", 0, NULL, &devices))
		return -1;
	for (i = 0; i < devices.gl_pathc; i++) {
		name = strrchr(devices.gl_pathv[i], '/') + 1;
		snprintf(path, sizeof(path), "%s/device", devices.gl_pathv[i]);
		file = fopen(path, "r");
		if (!file)
			continue;
		if (!fgets(id, sizeof(id), file))
			id[0] = '\0';
		fclose(file);
		if (strncmp(id, EDU, strlen(EDU)))
			continue;
		snprintf(path, sizeof(path), "%s/driver_override",
			 devices.gl_pathv[i]);
		if (write_file(path, DRIVER))
			return -1;
		return write_file("/sys/bus/pci/drivers_probe", name);
	}
	errno = ENODEV;
	return -1;
}

static void run(char *const argv[])
{
	pid_t child = fork();

	if (!child) {
		execv(TOOL, argv);
		_exit(127);
	}
	if (child > 0)
		waitpid(child, NULL, 0);
}

int main(void)
{
	char *single[] = { TOOL, "-s", "1", "-m", "0", NULL };
	char *list[] = { TOOL, "-s", "1", "-m", "1", "-g", "16", NULL };

	mkdir("/dev", 0755);
	mkdir("/sys", 0755);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	if (!freopen("/dev/console", "w", stdout) ||
	    !freopen("/dev/console", "w", stderr))
		return 1;
	if (getpid() != 1) {
		printf("bench: this is an init, not a program to start\n");
		return 2;
	}
	if (mount("sysfs", "/sys", "sysfs", 0, NULL) ||
	    mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL) ||
	    bind_edu()) {
		printf("bench: no benchmark of the edu device: %s\n",
		       strerror(errno));
	} else {
		run(single);
		run(list);
	}
	fflush(NULL);
	sync();
	reboot(RB_AUTOBOOT);
	return 1;
}
