/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kernel tells of itself: counters, its log, its trace events. */
#ifndef OBSERVE_H
#define OBSERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define TRACE_DIR	"/sys/kernel/tracing"

/* Whether refusals can be counted. Set by trace_open(). */
extern bool have_trace_event;

/* Returns the length of the text, which is always terminated, or -1. */
ssize_t read_text(const char *path, char *text, size_t size);

/* Returns 0, or -1 with errno set. */
int write_text(const char *path, int flags, const char *text);

/* Slots of the bounce pool in use, or -1. */
long pool_used(void);

/* The most that ever were, with swiotlb=track_hiwater, or -1. */
long pool_most(void);

/* What this process is charged for pinned memory, in KiB, or -1. */
long pins_charged(void);

/* Pages pinned by anybody, or -1. */
long pins_held(void);

/* Open the kernel log. Returns 0, or -1 with errno set. */
int kmsg_open(void);

/* Go to its end. */
void kmsg_skip(void);

/* Counts the warnings since, whoever caused them. */
int kmsg_count_warnings(void);

/* Enable the trace events that there are. Returns 0, or -1 with errno set. */
int trace_open(void);

/* Forget what has been traced so far, and trace what this process will cause. */
void trace_clear(void);

/* Copies the first line that the process caused in the kernel log, if any. */
void trace_log(char *first, size_t size);

/*
 * Whether the first list that failed to map since trace_clear() is traced as one that
 * has one entry, at @phys, and was refused.
 */
bool trace_failed_list(unsigned long long phys);

/* Counts the refusals since trace_clear() and copies the first one's reason. */
int trace_refusals(char *reason, size_t size);

#endif /* OBSERVE_H */
