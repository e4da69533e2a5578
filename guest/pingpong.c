// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs that somebody else has written, over a device that does no DMA: those of
 * rdma-core's ibverbs-utils over soft RoCE on the loopback interface. However the
 * machine was booted, they work: the attribute of umem is about DMA mappings, and
 * this device has none. Both ends run in this guest, and check what they receive.
 *
 * So that this says something, the edu device is asked first, which does DMA: with
 * swiotlb=force its memory region is refused, otherwise it is not.
 *
 * Wants the programs and their libraries in the initramfs, and QEMU's -device edu.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <rdma/rdma_netlink.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "demo.h"
#include "device.h"
#include "net.h"
#include "observe.h"
#include "pages.h"
#include "pingpong.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define DEVICE		"rxe0"
#define GIDS		"/sys/class/infiniband/" DEVICE "/ports/1/gids/"
#define MAPPED_IPV4	"0000:0000:0000:0000:0000:ffff:"

/* The programs meet at this port: 18515, as /proc/net/tcp has it while one listens. */
#define LISTENS		":4853 00000000:0000 0A"

#define EXCHANGES	"200"
#define PATIENCE	60	/* seconds */
#define PAUSE_US	20000

/* -c: the data that arrived is compared. */
static const struct {
	const char *name;
	const char *program;
	const char *option;
} cases[] = {
	{ "rc", "/usr/bin/ibv_rc_pingpong", "-c" },
	{ "rc_on_demand_paging", "/usr/bin/ibv_rc_pingpong", "-co" },
	{ "uc", "/usr/bin/ibv_uc_pingpong", "-c" },
	{ "ud", "/usr/bin/ibv_ud_pingpong", "-c" },
	{ "srq", "/usr/bin/ibv_srq_pingpong", "-c" },
	{ "srq_on_demand_paging", "/usr/bin/ibv_srq_pingpong", "-co" },
};

static void add_attribute(struct nlmsghdr *msg, int type, const char *text)
{
	struct nlattr *attr = (void *)msg + NLMSG_ALIGN(msg->nlmsg_len);

	attr->nla_type = type;
	attr->nla_len = NLA_HDRLEN + strlen(text) + 1;
	strcpy((char *)attr + NLA_HDRLEN, text);
	msg->nlmsg_len = NLMSG_ALIGN(msg->nlmsg_len) + NLA_ALIGN(attr->nla_len);
}

/* rdma link add rxe0 type rxe netdev lo. Returns 0, or -1 with errno set. */
static int add_device(void)
{
	union {
		struct nlmsghdr head;
		char room[256];
	} msg = {
		.head = {
			.nlmsg_len = NLMSG_HDRLEN,
			.nlmsg_type = RDMA_NL_GET_TYPE(RDMA_NL_NLDEV,
						       RDMA_NLDEV_CMD_NEWLINK),
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
		},
	};
	const struct nlmsgerr *answer = NLMSG_DATA(&msg.head);
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_RDMA);
	ssize_t got = -1;

	add_attribute(&msg.head, RDMA_NLDEV_ATTR_DEV_NAME, DEVICE);
	add_attribute(&msg.head, RDMA_NLDEV_ATTR_LINK_TYPE, "rxe");
	add_attribute(&msg.head, RDMA_NLDEV_ATTR_NDEV_NAME, "lo");
	if (fd < 0)
		return -1;
	if (send(fd, &msg, msg.head.nlmsg_len, 0) >= 0)
		got = recv(fd, &msg, sizeof(msg), 0);
	close(fd);
	if (got < (ssize_t)NLMSG_LENGTH(sizeof(*answer)))
		return -1;
	errno = -answer->error;
	return answer->error ? -1 : 0;
}

/* The index of the GID that is an IPv4 address, or -1. It comes a little later. */
static int gid_index(void)
{
	char path[128], gid[64];
	int waited, i;

	for (waited = 0; waited < PATIENCE * 1000000 / PAUSE_US; waited++) {
		for (i = 0; i < 8; i++) {
			snprintf(path, sizeof(path), GIDS "%d", i);
			if (read_text(path, gid, sizeof(gid)) > 0 &&
			    !strncmp(gid, MAPPED_IPV4, strlen(MAPPED_IPV4)))
				return i;
		}
		usleep(PAUSE_US);
	}
	errno = 0;
	return -1;
}

/* One end, whose output goes into a file. The other end's address, or NULL. */
static pid_t start(unsigned int nr, const char *gid, const char *peer, const char *output)
{
	pid_t child = fork();
	int fd;

	if (child)
		return child;
	fd = open(output, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	alarm(PATIENCE);
	execl(cases[nr].program, cases[nr].program, "-d", DEVICE, "-g", gid, "-n",
	      EXCHANGES, cases[nr].option, peer, NULL);
	perror(cases[nr].program);
	_exit(127);
}

/* False if the server ends without having listened. */
static bool wait_for_listener(pid_t server)
{
	static char sockets[65536];
	siginfo_t ended = { 0 };

	while (!waitid(P_PID, server, &ended, WEXITED | WNOHANG | WNOWAIT) &&
	       !ended.si_pid) {
		if (read_text("/proc/net/tcp", sockets, sizeof(sockets)) > 0 &&
		    strstr(sockets, LISTENS))
			return true;
		usleep(PAUSE_US);
	}
	return false;
}

static bool ended_well(pid_t child, const char *end, const char *output)
{
	char text[4096], *line, *save;
	int status;

	if (child < 0 || waitpid(child, &status, 0) != child) {
		printf("  # %s: not started\n", end);
		return false;
	}
	if (!status)
		return true;
	printf("  # %s: wait status %#x\n", end, status);
	if (read_text(output, text, sizeof(text)) < 0)
		return false;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		printf("  # %s: %s\n", end, line);
	return false;
}

static bool pingpong(unsigned int nr, const char *gid)
{
	pid_t server = start(nr, gid, NULL, "/server"), client = -1;
	bool ok;

	if (wait_for_listener(server))
		client = start(nr, gid, "127.0.0.1", "/client");
	ok = ended_well(server, "server", "/server");
	return ended_well(client, "client", "/client") && ok;
}

/* The exit status is the errno of a registration with the edu device. */
static void ask_device(void)
{
	struct mapping m = { .request = REG_MR };

	if (pages_open() || device_open(REG_MR))
		_exit(ENODEV);
	m.page = page_get(0, 1ULL << 32);
	if (!m.page)
		_exit(ENOMEM);
	_exit(map_page(&m) ? errno : 0);
}

static bool device_is_as_booted(void)
{
	char cmdline[4096];
	int status, expect = 0;
	pid_t child;

	if (read_text("/proc/cmdline", cmdline, sizeof(cmdline)) > 0 &&
	    strstr(cmdline, "swiotlb=force"))
		expect = EOPNOTSUPP;
	if (device_load(REG_MR))
		bail_out("edu_rdma");
	child = fork();
	if (!child)
		ask_device();
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return false;
	if (device_unload())
		bail_out("unloading edu_rdma");
	printf("  # the edu device registers memory: %s\n",
	       WEXITSTATUS(status) ? strerror(WEXITSTATUS(status)) : "yes");
	return WEXITSTATUS(status) == expect;
}

static bool nothing_refused(void)
{
	char reason[64];
	int refused = trace_refusals(reason, sizeof(reason));
	int warnings = kmsg_count_warnings();

	printf("  # %d refused mappings, %d warnings\n", refused, warnings);
	return !refused && !warnings;
}

void run_pingpong(void)
{
	unsigned int i;
	char gid[16];

	subtest_begin("pingpong", ARRAY_SIZE(cases) + 2);
	result(device_is_as_booted(), "device_with_dma");

	if (net_up("lo", NULL) || add_device())
		bail_out(DEVICE);
	snprintf(gid, sizeof(gid), "%d", gid_index());
	if (gid[0] == '-')
		bail_out("no address of " DEVICE);
	kmsg_skip();
	trace_clear();
	for (i = 0; i < ARRAY_SIZE(cases); i++)
		result(pingpong(i, gid), "%s", cases[i].name);
	result(nothing_refused(), "nothing_refused");
	subtest_end();
}
