# SPDX-License-Identifier: GPL-2.0-only
"""The source of a kernel: fetched, as git trees, as mails."""
