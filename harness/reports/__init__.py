# SPDX-License-Identifier: GPL-2.0-only
"""Pages and tables, made from results."""
