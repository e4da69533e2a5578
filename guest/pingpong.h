/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PINGPONG_H
#define PINGPONG_H

/* Runs the scenario demo=pingpong: a KTAP subtest and its result. */
void run_pingpong(void);

#endif
