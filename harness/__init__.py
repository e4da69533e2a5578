# SPDX-License-Identifier: GPL-2.0-only
"""The modules behind ./lab; see docs/ and ``./lab --help``."""
