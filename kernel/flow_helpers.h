/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions for what C has as macros and inline functions only, which bindgen does not bind: offload of flows.
 */
#ifndef FERRITE_KERNEL_FLOW_HELPERS_H
#define FERRITE_KERNEL_FLOW_HELPERS_H

#include <net/flow_offload.h>
#include <net/pkt_cls.h>

bool ferrite_helper_tc_can_offload(const struct net_device *dev, struct flow_cls_common_offload *common);
/* Makes the type known, which is declared in a header that is too large to be listed. */
struct flow_rule *ferrite_helper_matchall_rule(const struct tc_cls_matchall_offload *offload);
void ferrite_helper_flow_stats_update(struct flow_stats *stats, u64 bytes, u64 packets, unsigned int idle_ms);

#endif
