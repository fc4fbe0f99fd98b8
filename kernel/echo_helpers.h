/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A packet that a network device, turned around, sends to itself. In C, as a packet of its own has no type in Rust
 * that would not be the business of this one test.
 */
#ifndef FERRITE_KERNEL_ECHO_HELPERS_H
#define FERRITE_KERNEL_ECHO_HELPERS_H

#include <linux/netdevice.h>

int ferrite_helper_netdev_echo(struct net_device *dev, u16 queue, unsigned int msecs);

#endif
