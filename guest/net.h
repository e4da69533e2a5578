/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef NET_H
#define NET_H

/*
 * Bring a network interface up, with an IPv4 address or NULL for the one it has.
 * Returns 0, or -1 with errno set.
 */
int net_up(const char *name, const char *address);

#endif /* NET_H */
