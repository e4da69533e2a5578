// SPDX-License-Identifier: GPL-2.0-only
/*
 * A monitor that has Linux believe it runs in a realm of the Arm Confidential
 * Compute Architecture, on any machine and under plain emulation.
 *
 * It runs at EL2 from the flash of QEMU's virt machine and answers the RSI calls
 * that Linux makes at EL1. All of the guest's memory is there twice: at its own
 * addresses it is private, and with the highest address bit set it is shared with
 * the host. Stage 2 has each page at only one of them, whichever the guest has
 * asked for last, and the page is empty afterwards. Touching it at the other one
 * is a synchronous external abort, so a driver or kernel that gets the two mixed
 * up does not get away with it. Devices are the host's and shared.
 *
 * Nothing is protected here: the host sees everything, and devices reach private
 * memory as well. This is for what the guest's kernel does, not for secrets.
 *
 * There is no memory but that above the guest's: no variables, only addresses.
 */
#include "realm.h"

typedef unsigned long u64;

#define PAGE_SHIFT	12
#define ENTRIES		512
#define GUEST_END	((u64)GUEST_RAM + GUEST_RAM_SIZE)
#define NR_PAGES	((u64)GUEST_RAM_SIZE >> PAGE_SHIFT)

/* Each CPU has slots for the arguments of its start, below the stacks. */
#define START_ARGS	(MONITOR_RAM + 0x4000UL)

/* Normal memory as far as stage 2 is concerned, read and write, accessed. */
#define TABLE		0x3UL
#define BLOCK		0x7fdUL
#define PAGE		0x7ffUL

#define EC(esr)		((esr) >> 26)
#define EC_SMC		0x17
#define EC_FETCH_ABORT	0x20
#define EC_DATA_ABORT	0x24
#define SAME_EL		(1UL << 26)
#define IL		(1UL << 25)
#define WNR		(1UL << 6)
#define EXTERNAL_ABORT	0x10UL

#define SMCCC_VERSION	0x80000000U
#define PSCI_FEATURES	0x8400000aU
#define PSCI_CPU_ON	0xc4000003U
#define PSCI_OFF	0x84000008U
#define RSI_VERSION	0xc4000190U
#define RSI_FEATURES	0xc4000191U
#define RSI_CONFIG	0xc4000196U
#define RSI_STATE_SET	0xc4000197U
#define RSI_STATE_GET	0xc4000198U
#define NOT_SUPPORTED	(-1UL)

#define RSI_1_0		0x10000
#define ERROR_INPUT	1
#define EMPTY		0	/* what is not private */
#define RAM		1

#define read_sysreg(name) ({						\
	u64 value_;							\
									\
	asm volatile("mrs %0, " #name : "=r" (value_));			\
	value_;								\
})
#define write_sysreg(name, value)					\
	asm volatile("msr " #name ", %0" : : "r" ((u64)(value)))

/* What an exception saves: x0 to x19, x29 and x30. C keeps the others by itself. */
struct regs {
	u64 x[22];
};

void secondary(void);

/* Level 1: both halves of the address space, 1 GiB an entry. */
static u64 *const level1 = (u64 *)MONITOR_RAM;

/* Level 2 and 3 of the guest's memory, private and shared. */
static u64 *level2(int shared)
{
	return (u64 *)(MONITOR_RAM + 0x2000UL + 0x1000 * shared);
}

static u64 *level3(int shared)
{
	return (u64 *)(MONITOR_RAM + 0x200000UL + 0x200000 * shared);
}

static void set_page(u64 page, int shared)
{
	u64 entry = GUEST_RAM + (page << PAGE_SHIFT) + PAGE;

	level3(shared)[page] = entry;
	level3(!shared)[page] = 0;
}

static int is_shared(u64 page)
{
	return level3(1)[page] != 0;
}

/* All memory is private to begin with; devices are below it, and shared. */
void tables_init(void)
{
	u64 shared_half = 1UL << (IPA_BITS - 1 - 30);
	u64 i;

	for (i = 0; i < 2 * shared_half; i++)
		level1[i] = 0;
	level1[shared_half] = BLOCK;
	level1[GUEST_RAM >> 30] = (u64)level2(0) | TABLE;
	level1[shared_half + (GUEST_RAM >> 30)] = (u64)level2(1) | TABLE;
	for (i = 0; i < ENTRIES; i++) {
		level2(0)[i] = (u64)(level3(0) + i * ENTRIES) | TABLE;
		level2(1)[i] = (u64)(level3(1) + i * ENTRIES) | TABLE;
	}
	for (i = 0; i < NR_PAGES; i++)
		set_page(i, 0);
}

static u64 smc(u64 function, u64 a, u64 b, u64 c)
{
	register u64 x0 asm("x0") = function;
	register u64 x1 asm("x1") = a;
	register u64 x2 asm("x2") = b;
	register u64 x3 asm("x3") = c;

	asm volatile("smc #0" : "+r" (x0), "+r" (x1), "+r" (x2), "+r" (x3)
		     : : "memory", "x4", "x5", "x6", "x7");
	return x0;
}

/* Linux starts a CPU: it has to come by here first. */
static u64 start_cpu(u64 mpidr, u64 entry, u64 context)
{
	u64 cpu = mpidr & 0xff;
	u64 *args = (u64 *)START_ARGS + 4 * cpu;

	args[0] = entry;
	args[1] = context;
	args[2] = cpu;
	return smc(PSCI_CPU_ON, mpidr, (u64)secondary, (u64)args);
}

/* The state of a page changes together with where it is, and what was in it goes. */
static void state_set(struct regs *r)
{
	u64 base = r->x[1], top = r->x[2], ripas = r->x[3], page, i;

	if ((base | top) & 0xfff || base < GUEST_RAM || base >= top ||
	    top > GUEST_END || ripas > RAM) {
		r->x[0] = ERROR_INPUT;
		return;
	}
	for (; base < top; base += 1 << PAGE_SHIFT) {
		page = (base - GUEST_RAM) >> PAGE_SHIFT;
		if (is_shared(page) == (ripas == EMPTY))
			continue;
		set_page(page, ripas == EMPTY);
		for (i = 0; i < ENTRIES; i++)
			((volatile u64 *)base)[i] = 0;
	}
	asm volatile("dsb ish; tlbi alle1is; dsb ish; isb" : : : "memory");
	r->x[0] = 0;
	r->x[1] = top;
	r->x[2] = 0;		/* the host agrees */
}

/* The state at the beginning of a range, and how far it goes. */
static void state_get(struct regs *r)
{
	u64 base = r->x[1], end = r->x[2], top = base;
	int private = 0, now;

	if ((base | end) & 0xfff || base >= end) {
		r->x[0] = ERROR_INPUT;
		return;
	}
	do {
		now = top >= GUEST_RAM && top < GUEST_END &&
		      !is_shared((top - GUEST_RAM) >> PAGE_SHIFT);
		if (top == base)
			private = now;
		else if (now != private)
			break;
		top += 1 << PAGE_SHIFT;
	} while (top < end);
	r->x[0] = 0;
	r->x[1] = top;
	r->x[2] = private ? RAM : EMPTY;
}

static void config(struct regs *r)
{
	u64 *where = (u64 *)r->x[1], i;

	if (r->x[1] & 0xfff || r->x[1] < GUEST_RAM || r->x[1] >= GUEST_END) {
		r->x[0] = ERROR_INPUT;
		return;
	}
	for (i = 0; i < ENTRIES; i++)
		where[i] = 0;
	where[0] = IPA_BITS;
	r->x[0] = 0;
}

static void call(struct regs *r)
{
	unsigned int function = r->x[0];

	switch (function) {
	case RSI_VERSION:
		r->x[0] = 0;
		r->x[1] = RSI_1_0;
		r->x[2] = RSI_1_0;
		return;
	case RSI_FEATURES:
		r->x[0] = 0;
		r->x[1] = 0;
		return;
	case RSI_CONFIG:
		return config(r);
	case RSI_STATE_SET:
		return state_set(r);
	case RSI_STATE_GET:
		return state_get(r);
	case SMCCC_VERSION:
		r->x[0] = 0x10001;
		return;
	case PSCI_FEATURES:
		if ((unsigned int)r->x[1] == SMCCC_VERSION) {
			r->x[0] = 0;
			return;
		}
		break;
	case PSCI_CPU_ON:
		r->x[0] = start_cpu(r->x[1], r->x[2], r->x[3]);
		return;
	}
	if ((function & ~0x4000001fU) == 0x84000000U)	/* the rest of PSCI */
		r->x[0] = smc(function, r->x[1], r->x[2], r->x[3]);
	else
		r->x[0] = NOT_SUPPORTED;
}

/* There is no such memory: what the bus would say, told to EL1. */
static void abort_guest(u64 esr)
{
	u64 spsr = read_sysreg(spsr_el2);
	int from_el1 = (spsr & 0xf) != 0;

	write_sysreg(esr_el1, (esr & ~(IL - 1)) | (from_el1 ? SAME_EL : 0) | IL |
		     (esr & WNR) | EXTERNAL_ABORT);
	write_sysreg(far_el1, read_sysreg(far_el2));
	write_sysreg(elr_el1, read_sysreg(elr_el2));
	write_sysreg(spsr_el1, spsr);
	write_sysreg(elr_el2, read_sysreg(vbar_el1) + (from_el1 ? 0x200 : 0x400));
	write_sysreg(spsr_el2, 0x3c5);
}

static void say(const char *text)
{
	while (*text)
		*(volatile unsigned int *)0x09000000 = *text++;
}

static void say_hex(const char *name, u64 value)
{
	int shift;

	say(name);
	for (shift = 60; shift >= 0; shift -= 4)
		*(volatile unsigned int *)0x09000000 =
			"0123456789abcdef"[value >> shift & 0xf];
}

void handle(struct regs *r)
{
	u64 esr = read_sysreg(esr_el2);

	switch (EC(esr)) {
	case EC_SMC:
		write_sysreg(elr_el2, read_sysreg(elr_el2) + 4);
		call(r);
		return;
	case EC_FETCH_ABORT:
	case EC_DATA_ABORT:
		abort_guest(esr);
		return;
	}
	say_hex("\r\nrealm: unexpected exception, esr ", esr);
	say_hex(" elr ", read_sysreg(elr_el2));
	say_hex(" far ", read_sysreg(far_el2));
	say("\r\n");
	smc(PSCI_OFF, 0, 0, 0);
}
