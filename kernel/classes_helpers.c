// SPDX-License-Identifier: GPL-2.0

#include <linux/if_vlan.h>
#include <linux/skbuff.h>

#include "classes_helpers.h"

/* Returns how many classes are wanted, 0 for none; -EOPNOTSUPP for more than classes. */
int ferrite_helper_mqprio_classes(const struct tc_mqprio_qopt_offload *mqprio)
{
	if (mqprio->mode == TC_MQPRIO_MODE_DCB && !mqprio->preemptible_tcs)
		return mqprio->qopt.num_tc;
	NL_SET_ERR_MSG(mqprio->extack, "only mode dcb, in which the driver chooses the queues of a class");
	return -EOPNOTSUPP;
}

struct netlink_ext_ack *ferrite_helper_mqprio_extack(const struct tc_mqprio_qopt_offload *mqprio)
{
	return mqprio->extack;
}

/* Gives each class its share of the queues in use, of which there are enough. To be called with the RTNL held. */
int ferrite_helper_mqprio_set(struct net_device *dev, struct tc_mqprio_qopt_offload *mqprio)
{
	u8 classes = mqprio->qopt.num_tc;
	u16 share;
	int err;
	u8 i;

	if (!classes) {
		netdev_reset_tc(dev);
		return 0;
	}
	share = dev->real_num_tx_queues / classes;
	if (!share)
		return -EINVAL;
	err = netdev_set_num_tc(dev, classes);
	for (i = 0; !err && i < classes; i++)
		err = netdev_set_tc_queue(dev, i, share, share * i);
	if (err)
		netdev_reset_tc(dev);
	else
		mqprio->qopt.hw = TC_MQPRIO_HW_OFFLOAD_TCS;
	return err;
}

/* A packet with a VLAN tag is of the class of the tag's priority, which is what a switch goes by. */
u16 ferrite_helper_netdev_select_queue(struct net_device *dev, struct sk_buff *skb, struct net_device *sb_dev)
{
	if (netdev_get_num_tc(dev) && !sb_dev && skb_vlan_tag_present(skb)) {
		u8 class = netdev_get_prio_tc_map(dev, skb_vlan_tag_get_prio(skb));
		struct netdev_tc_txq txq = dev->tc_to_txq[class];

		if (txq.count)
			return txq.offset + reciprocal_scale(skb_get_hash(skb), txq.count);
	}
	return netdev_pick_tx(dev, skb, sb_dev);
}
