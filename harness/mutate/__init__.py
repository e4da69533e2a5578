# SPDX-License-Identifier: GPL-2.0-only
"""./lab mutate: the series with one decision wrong, or one hunk undone, and who notices."""
