/* SPDX-License-Identifier: GPL-2.0-only */
/* What each scenario prints, and how a boot ends. */
#ifndef DEMO_H
#define DEMO_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Reset the machine. */
void leave(void) __attribute__((noreturn));

/* Begin the one subtest of this boot, which has so many test cases. */
void subtest_begin(const char *name, size_t cases);

/* Print the result of the next test case, named like this. Returns @ok. */
bool result(bool ok, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* End the subtest: it is ok if all its cases were. */
void subtest_end(void);

/* A macro, so that the compiler checks the formats. */
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
