/* SPDX-License-Identifier: GPL-2.0-only */
/* What a case of a scenario has measured, and what that means. */
#ifndef JUDGE_H
#define JUDGE_H

#include <linux/types.h>
#include <stdbool.h>
#include <stdio.h>

#include "device.h"

#define OLD_PATTERN	0x1111111111111111ULL

enum outcome { COHERENT, STALE, REFUSED };

struct test_case {
	const char *name;
	enum request request;
	enum outcome expect;
};

/* What one case measured. Negative counters: there is nothing to read. */
struct row {
	__u64 page;
	__u64 wrote;
	__u64 sees;
	__u64 sees_after_unmap;
	long pool_before;
	/* With the mapping standing, or refused: what the row calls "after". */
	long pool_mapped;
	long pool_after;
	long pins_before;
	long pins_after;
	int map_errno;
	int warns;
	int events;
	/* The list that failed to map was traced, with the page. */
	bool listed;
	bool done;
	bool mapped;
	bool bounced;
	char reason[128];
	/* The first line in the kernel log that the process caused. */
	char log[96];
	char problem[160];
};

/* A macro, so that the compiler checks the formats. */
#define problem(row, ...)					\
	do {							\
		char text_[160];				\
								\
		snprintf(text_, sizeof(text_), __VA_ARGS__);	\
		note_problem(row, text_);			\
	} while (0)

/* Only the first problem of a row counts, the later ones follow from it. */
void note_problem(struct row *row, const char *text);

/* Returns the name of an errno, until the next call. */
const char *errno_name(int err);

/* Note what is wrong with a row that is complete, if anything is. */
void judge(const struct test_case *c, struct row *row);

/* Returns what has happened, in words. */
const char *verdict(const struct test_case *c, const struct row *row);

#endif /* JUDGE_H */
