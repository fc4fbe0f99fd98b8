# SPDX-License-Identifier: GPL-2.0
"""What `make bench` is made of: the guest's half measures, the host's half counts and reports."""
