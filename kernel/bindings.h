/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads for kernel_ext. Only what these headers declare themselves is bound, and the types that it
 * refers to: list the header that declares a thing, not one that includes it. What kernel::bindings has is not
 * wanted a second time.
 */

#include <linux/anon_inodes.h>
#include <linux/dim.h>
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/net.h>
#include <linux/netdev_features.h>
#include <linux/net_tstamp.h>
#include <linux/netdevice.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/skbuff.h>
#include <linux/vdpa.h>
#include <linux/vhost_iotlb.h>
#include <net/devlink.h>
#include <net/flow_dissector.h>
#include <net/flow_offload.h>
#include <net/netdev_queues.h>
#include <net/netlink.h>
#include <net/page_pool/types.h>
#include <net/xdp.h>
#include <uapi/linux/bpf.h>
#include <uapi/linux/devlink.h>
#include <uapi/linux/ethtool.h>
#include <uapi/linux/if.h>
#include <uapi/linux/if_ether.h>
#include <uapi/linux/if_link.h>
#include <uapi/linux/net_tstamp.h>
#include <uapi/linux/netdev.h>
#include <uapi/linux/vdpa.h>

#include "classes_helpers.h"
#include "devlink_helpers.h"
#include "dim_helpers.h"
#include "echo_helpers.h"
#include "flow_helpers.h"
#include "netdev_helpers.h"
#include "pci_helpers.h"
#include "ptp_helpers.h"
#include "registry_helpers.h"
#include "xdp_helpers.h"
