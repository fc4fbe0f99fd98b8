// SPDX-License-Identifier: GPL-2.0

#include <linux/etherdevice.h>
#include <linux/skbuff.h>

#include "devlink_helpers.h"

struct devlink *ferrite_helper_devlink_alloc(const struct devlink_ops *ops, size_t priv_size, struct device *dev)
{
	return devlink_alloc(ops, priv_size, dev);
}

void ferrite_helper_devlink_trap_report(struct devlink *devlink, const void *frame, size_t len, void *context,
					struct devlink_port *port)
{
	struct sk_buff *skb = alloc_skb(len, GFP_KERNEL);

	if (!skb)
		return;
	skb_put_data(skb, frame, len);
	skb_reset_mac_header(skb);
	if (len >= ETH_HLEN)
		skb->protocol = eth_hdr(skb)->h_proto;
	/* The counters are of this processor. */
	local_bh_disable();
	devlink_trap_report(devlink, skb, context, port, NULL);
	local_bh_enable();
	consume_skb(skb);
}
