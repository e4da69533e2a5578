# SPDX-License-Identifier: GPL-2.0-only
"""Kernels, machines, and what runs in them."""
