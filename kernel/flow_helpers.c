// SPDX-License-Identifier: GPL-2.0

#include <linux/jiffies.h>

#include "flow_helpers.h"

bool ferrite_helper_tc_can_offload(const struct net_device *dev, struct flow_cls_common_offload *common)
{
	return tc_cls_can_offload_and_chain0(dev, common);
}

struct flow_rule *ferrite_helper_matchall_rule(const struct tc_cls_matchall_offload *offload)
{
	return offload->rule;
}

void ferrite_helper_flow_stats_update(struct flow_stats *stats, u64 bytes, u64 packets, unsigned int idle_ms)
{
	flow_stats_update(stats, bytes, packets, 0, jiffies - msecs_to_jiffies(idle_ms),
			  FLOW_ACTION_HW_STATS_IMMEDIATE);
}
