// SPDX-License-Identifier: GPL-2.0-only
/*
 * Load and unload the KUnit suites of a kernel that has them as modules.
 *
 * Runs as /init of an initramfs that has /kunit.ko and the suites as
 * /NAME_kunit.ko. A suite runs when it is loaded. In each of two rounds all of
 * them are loaded and unloaded one after the other, and KUnit is around them;
 * kernel arguments such as kunit.filter_glob= are handed to the module they name.
 *
 * What the kernel says are reports in KTAP; one of this program's own, which the
 * first line announces, says last which modules came and went. Then the machine
 * is reset: run QEMU with -no-reboot.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#define ROUNDS	2

static char cmdline[4096];

/* "a=1 b" for the arguments NAME.a=1 and NAME.b of the kernel. */
static void arguments(const char *name, char *args, size_t size)
{
	const size_t length = strlen(name);
	char copy[sizeof(cmdline)], *arg, *save;

	args[0] = '\0';
	strcpy(copy, cmdline);
	for (arg = strtok_r(copy, " \n", &save); arg;
	     arg = strtok_r(NULL, " \n", &save))
		if (!strncmp(arg, name, length) && arg[length] == '.')
			snprintf(args + strlen(args), size - strlen(args), "%s ",
				 arg + length + 1);
}

/* Both return whether it worked, and otherwise say why. */
static bool load(const char *name)
{
	char path[64], args[sizeof(cmdline)];
	bool done;
	int fd;

	arguments(name, args, sizeof(args));
	snprintf(path, sizeof(path), "/%s.ko", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	done = fd >= 0 && !syscall(SYS_finit_module, fd, args, 0);
	if (!done)
		printf("# modules: loading %s: %s\n", name, strerror(errno));
	if (fd >= 0)
		close(fd);
	return done;
}

static bool unload(const char *name)
{
	if (!syscall(SYS_delete_module, name, O_NONBLOCK))
		return true;
	printf("# modules: unloading %s: %s\n", name, strerror(errno));
	return false;
}

static void report(const char *name, unsigned int nr, bool ok)
{
	printf("    %s %u %s\n", ok ? "ok" : "not ok", nr, name);
}

int main(void)
{
	bool good[64], kunit = true, all = true;
	glob_t suites;
	FILE *file;
	size_t i;
	int round;

	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	mount("proc", "/proc", "proc", 0, NULL);
	if (getpid() != 1 || !freopen("/dev/console", "w", stdout))
		return 2;
	setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
	printf("KTAP version 1\n1..1\n");

	file = fopen("/proc/cmdline", "r");
	if (!file || !fgets(cmdline, sizeof(cmdline), file) ||
	    glob("/*_kunit.ko", 0, NULL, &suites) ||
	    suites.gl_pathc > sizeof(good) / sizeof(good[0])) {
		printf("Bail out! no arguments, no suites or too many\n");
		suites.gl_pathc = 0;
	}
	for (i = 0; i < suites.gl_pathc; i++) {
		suites.gl_pathv[i][strlen(suites.gl_pathv[i]) - strlen(".ko")] = '\0';
		good[i] = true;
	}

	for (round = 0; round < ROUNDS; round++) {
		kunit &= load("kunit");
		for (i = 0; i < suites.gl_pathc; i++)
			good[i] &= load(suites.gl_pathv[i] + 1) &&
				   unload(suites.gl_pathv[i] + 1);
		kunit &= unload("kunit");
	}

	printf("    KTAP version 1\n    # Subtest: modules\n    1..%zu\n",
	       suites.gl_pathc + 1);
	report("kunit", 1, kunit);
	for (i = 0; i < suites.gl_pathc; i++) {
		report(suites.gl_pathv[i] + 1, i + 2, good[i]);
		all &= good[i];
	}
	printf("%s 1 modules\n", kunit && all ? "ok" : "not ok");

	tcdrain(STDOUT_FILENO);
	reboot(RB_AUTOBOOT);
	return 1;
}
