/* SPDX-License-Identifier: GPL-2.0-only */
/* Entry, exceptions and registers of EL2. */
#include "realm.h"

#define HCR_VM		(1 << 0)
#define HCR_TSC		(1 << 19)
#define HCR_RW		(1 << 31)

	.section .text.start, "ax"
	.globl _start
_start:
	ldr	x9, =MONITOR_RAM + MONITOR_RAM_SIZE
	mov	sp, x9
	bl	tables_init
	ldr	x9, =MONITOR_RAM + MONITOR_RAM_SIZE
	ldr	x10, =KERNEL
	ldr	x11, =DEVICE_TREE
	b	enter

/* A CPU that the guest has started. x0: { where it enters, what for, which it is } */
	.globl secondary
secondary:
	ldr	x9, =MONITOR_RAM + MONITOR_RAM_SIZE
	ldp	x10, x11, [x0]
	ldr	x12, [x0, #16]
	sub	x9, x9, x12, lsl #STACK_SHIFT

/* Enter the guest at x10 with x11 as its argument; x9: the stack of this CPU. */
enter:
	mov	sp, x9
	adr	x0, vectors
	msr	vbar_el2, x0
	ldr	x0, =HCR_VM | HCR_TSC | HCR_RW
	msr	hcr_el2, x0
	mov	x0, #3				/* the timers are the guest's */
	msr	cnthctl_el2, x0
	msr	cntvoff_el2, xzr
	mov	x0, #0x33ff			/* and so are the FP registers */
	msr	cptr_el2, x0
	msr	hstr_el2, xzr
	mrs	x0, midr_el1
	msr	vpidr_el2, x0
	mrs	x0, mpidr_el1
	msr	vmpidr_el2, x0
	mov	x0, #0xf			/* and the GIC: ICC_SRE_EL2 */
	msr	S3_4_C12_C9_5, x0
	isb
	msr	S3_4_C12_C11_0, xzr		/* ICH_HCR_EL2 */
	ldr	x0, =0x30d00800
	msr	sctlr_el1, x0
	/* Stage 2: 40 bits, granules of 4 KiB, two tables of level 1 in a row. */
	ldr	x0, =(64 - IPA_BITS) | 1 << 6 | 1 << 8 | 1 << 10 | 3 << 12 | 2 << 16 | 1 << 31
	msr	vtcr_el2, x0
	ldr	x0, =MONITOR_RAM
	msr	vttbr_el2, x0
	dsb	ish
	tlbi	alle1is
	dsb	ish
	isb
	mov	x0, #0x3c5			/* EL1h, everything masked */
	msr	spsr_el2, x0
	msr	elr_el2, x10
	mov	x0, x11
	mov	x1, xzr
	mov	x2, xzr
	mov	x3, xzr
	eret

	.ltorg
	.balign 2048
vectors:
	.rept 16
	.balign 128
	b	exception
	.endr

/* Store or load what a function in C does not keep: struct regs. */
	.macro	regs op
	\op	x0, x1, [sp]
	\op	x2, x3, [sp, #16]
	\op	x4, x5, [sp, #32]
	\op	x6, x7, [sp, #48]
	\op	x8, x9, [sp, #64]
	\op	x10, x11, [sp, #80]
	\op	x12, x13, [sp, #96]
	\op	x14, x15, [sp, #112]
	\op	x16, x17, [sp, #128]
	\op	x18, x19, [sp, #144]
	\op	x29, x30, [sp, #160]
	.endm

exception:
	sub	sp, sp, #256
	regs	stp
	mov	x0, sp
	bl	handle
	regs	ldp
	add	sp, sp, #256
	eret
