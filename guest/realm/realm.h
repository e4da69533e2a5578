/* SPDX-License-Identifier: GPL-2.0-only */
/* Where things are in the machine that the monitor divides. */
#ifndef REALM_H
#define REALM_H

/* QEMU's virt machine: the device tree, then what the lab puts there for Linux. */
#define DEVICE_TREE	0x40000000
#define KERNEL		0x40200000
#define INITRD		0x48000000

/*
 * What the guest has, which mem= has to tell it. The monitor has what lies above:
 * its translation tables and a stack for each CPU.
 */
#define GUEST_RAM	0x40000000
#define GUEST_RAM_SIZE	0x40000000
#define MONITOR_RAM	0x80000000
#define MONITOR_RAM_SIZE 0x800000
#define STACK_SHIFT	12

/* The highest bit of an address says that the host sees the memory too. */
#define IPA_BITS	40

#endif /* REALM_H */
