/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions for what C has as macros and inline functions only, which bindgen does not bind: classes of traffic.
 */
#ifndef FERRITE_KERNEL_CLASSES_HELPERS_H
#define FERRITE_KERNEL_CLASSES_HELPERS_H

#include <linux/netdevice.h>
#include <net/pkt_sched.h>

int ferrite_helper_mqprio_classes(const struct tc_mqprio_qopt_offload *mqprio);
struct netlink_ext_ack *ferrite_helper_mqprio_extack(const struct tc_mqprio_qopt_offload *mqprio);
int ferrite_helper_mqprio_set(struct net_device *dev, struct tc_mqprio_qopt_offload *mqprio);
u16 ferrite_helper_netdev_select_queue(struct net_device *dev, struct sk_buff *skb, struct net_device *sb_dev);

#endif
