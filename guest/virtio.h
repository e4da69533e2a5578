/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef GUEST_VIRTIO_H
#define GUEST_VIRTIO_H

/* Runs the scenario demo=virtio: a KTAP subtest and its result. */
void run_virtio(void);

#endif
