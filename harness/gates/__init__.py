# SPDX-License-Identifier: GPL-2.0-only
"""What has to hold of the series without a boot of it."""
