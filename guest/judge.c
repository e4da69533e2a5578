// SPDX-License-Identifier: GPL-2.0-only
/* What a case of a scenario has measured, and what that means. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "judge.h"
#include "observe.h"

/* What the kernel says once, in a confidential guest. */
#define FIRST_BOUNCE	"system is using DMA bounce buffers"

void note_problem(struct row *row, const char *text)
{
	if (!row->problem[0])
		snprintf(row->problem, sizeof(row->problem), "%s", text);
}

const char *errno_name(int err)
{
	static char text[16];

	switch (err) {
	case EOPNOTSUPP:
		return "EOPNOTSUPP";
	case ENOPROTOOPT:
		return "ENOPROTOOPT";
	case EIO:
		return "EIO";
	case ENOMEM:
		return "ENOMEM";
	case EINVAL:
		return "EINVAL";
	case EFAULT:
		return "EFAULT";
	case EREMOTEIO:
		return "EREMOTEIO";
	case ENODEV:
		return "ENODEV";
	case ETIMEDOUT:
		return "ETIMEDOUT";
	}
	snprintf(text, sizeof(text), "errno %d", err);
	return text;
}

void judge(const struct test_case *c, struct row *row)
{
	enum outcome got = STALE;

	if (!row->mapped)
		got = REFUSED;
	else if (row->sees == row->wrote)
		got = COHERENT;

	if (!row->done) {
		problem(row, "the process did not come to its end");
		return;
	}
	if (row->map_errno == ENOPROTOOPT)
		problem(row, "this kernel does not have the attribute");

	if (got != c->expect) {
		if (!row->mapped)
			problem(row, "not mapped: %s",
				strerror(row->map_errno));
		else if (got == COHERENT)
			problem(row, "the process sees the device's write");
		else
			problem(row, "mapped, but the process reads %s data",
				row->sees == OLD_PATTERN ? "stale" : "wrong");
	}

	switch (got) {
	case COHERENT:
		break;
	case STALE:
		if (row->sees != OLD_PATTERN)
			problem(row, "the process reads neither old nor new data");
		if (!row->bounced)
			problem(row, "stale without a bounce buffer");
		break;
	case REFUSED:
		if (row->map_errno != EOPNOTSUPP)
			problem(row, "refused with %s, not EOPNOTSUPP",
				errno_name(row->map_errno));
		if (have_trace_event && row->events != 1)
			problem(row, "%d trace events for one refusal",
				row->events);
		/* Private memory is refused before there is a list of it. */
		if (have_trace_event && c->request == REG_MR && !row->listed &&
		    strcmp(row->reason, "ENCRYPTED"))
			problem(row, "no trace event has the list that was refused");
		break;
	}

	if (row->mapped && row->sees_after_unmap != row->wrote)
		problem(row, "the device's write is lost after unmap");
	if (row->pool_after != row->pool_before ||
	    (!row->mapped && row->pool_mapped != row->pool_before))
		problem(row, "the bounce pool is not as it was");
	if (row->pins_after != row->pins_before)
		problem(row, "%ld pages stay pinned",
			row->pins_after - row->pins_before);
	if (row->log[0] && !(row->bounced && strstr(row->log, FIRST_BOUNCE)))
		problem(row, "the kernel log has: %s", row->log);
	if (row->warns)
		problem(row, "%d warnings in the kernel log", row->warns);
}

const char *verdict(const struct test_case *c, const struct row *row)
{
	bool verbs = by_verbs(c->request);

	if (row->problem[0])
		return row->problem;
	switch (c->expect) {
	case COHERENT:
		return verbs ?
			"coherent: the process polls and sees the device's write" :
			"coherent: the process sees the device's write at once";
	case STALE:
		return "corrupt: the process reads old data until unmap";
	case REFUSED:
		return verbs ?
			"refused: nothing left behind, the process goes on" :
			"refused: nothing mapped, nothing left behind";
	}
	return "";
}
