/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef BUSY_H
#define BUSY_H

/* Runs the scenario demo=busy: a KTAP subtest and its result. */
void run_busy(void);

#endif
