/* SPDX-License-Identifier: GPL-2.0-only */
/* How a boot ends. */
#ifndef DEMO_H
#define DEMO_H

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Reset the machine. */
void leave(void) __attribute__((noreturn));

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

#endif /* DEMO_H */
