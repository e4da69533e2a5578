// SPDX-License-Identifier: GPL-2.0-only
/* Network interfaces. */
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"

int net_up(const char *name, const char *address)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct ifreq req = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int ret = 0;

	if (fd < 0)
		return -1;
	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
	if (address) {
		inet_pton(AF_INET, address, &in.sin_addr);
		memcpy(&req.ifr_addr, &in, sizeof(in));
		ret = ioctl(fd, SIOCSIFADDR, &req);
	}
	req.ifr_flags = IFF_UP | IFF_RUNNING;
	if (!ret)
		ret = ioctl(fd, SIOCSIFFLAGS, &req);
	close(fd);
	return ret;
}
