/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions for what C has as macros and inline functions only, which bindgen does not bind: networking.
 */
#ifndef FERRITE_KERNEL_NETDEV_HELPERS_H
#define FERRITE_KERNEL_NETDEV_HELPERS_H

#include <linux/ethtool.h>
#include <linux/ethtool_netlink.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <net/netdev_queues.h>
#include <net/netmem.h>
#include <net/page_pool/types.h>

enum ferrite_ethtool {
	FERRITE_ETHTOOL_COALESCE = ETHTOOL_COALESCE_USECS | ETHTOOL_COALESCE_MAX_FRAMES |
				   ETHTOOL_COALESCE_USE_ADAPTIVE,
	/* The link is looked at by linkwatch, the others may change features or the number of queues. */
	FERRITE_ETHTOOL_NEED_RTNL = ETHTOOL_OP_NEEDS_RTNL_SRINGPARAM | ETHTOOL_OP_NEEDS_RTNL_SCHANNELS |
				    ETHTOOL_OP_NEEDS_RTNL_GLINK,
	FERRITE_ETHTOOL_SPLIT_DISABLED = ETHTOOL_TCP_DATA_SPLIT_DISABLED,
	FERRITE_ETHTOOL_SPLIT_ENABLED = ETHTOOL_TCP_DATA_SPLIT_ENABLED,
	FERRITE_ETHTOOL_RINGS = ETHTOOL_RING_USE_TCP_DATA_SPLIT | ETHTOOL_RING_USE_HDS_THRS,
};

/* net_device */
void *ferrite_helper_netdev_priv(struct net_device *dev);
void ferrite_helper_netdev_set_parent(struct net_device *dev, struct device *parent);
void ferrite_helper_netdev_set_address(struct net_device *dev, const u8 *addr);
void ferrite_helper_netdev_random_address(struct net_device *dev);
void ferrite_helper_netdev_set_unicast_filter(struct net_device *dev);
int ferrite_helper_validate_addr(struct net_device *dev);
bool ferrite_helper_netif_running(const struct net_device *dev);
bool ferrite_helper_netif_carrier_ok(const struct net_device *dev);
void ferrite_helper_netdev_restarts_queues(struct net_device *dev, const struct netdev_queue_mgmt_ops *ops);

/* netdev_queue */
struct netdev_queue *ferrite_helper_netdev_tx_queue(struct net_device *dev, unsigned int index);
void ferrite_helper_netif_tx_disable(struct net_device *dev);
void ferrite_helper_netif_tx_wake_all_queues(struct net_device *dev);
void ferrite_helper_netif_tx_lock_bh(struct netdev_queue *queue);
void ferrite_helper_netif_tx_unlock_bh(struct netdev_queue *queue);
void ferrite_helper_netif_tx_stop_queue(struct netdev_queue *queue);
void ferrite_helper_netif_tx_start_queue(struct netdev_queue *queue);
bool ferrite_helper_netif_tx_queue_stopped(const struct netdev_queue *queue);
bool ferrite_helper_netdev_tx_sent_queue(struct netdev_queue *queue, unsigned int bytes);
void ferrite_helper_netdev_txq_completed(struct netdev_queue *queue, unsigned int packets, unsigned int bytes);
void ferrite_helper_netdev_txq_trans_update(struct netdev_queue *queue);
void ferrite_helper_netdev_tx_reset_queue(struct netdev_queue *queue);

/* napi */
void ferrite_helper_netif_napi_add(struct net_device *dev, struct napi_struct *napi,
				   int (*poll)(struct napi_struct *napi, int budget), int index);
void ferrite_helper_netif_napi_del(struct napi_struct *napi);
void ferrite_helper_napi_schedule(struct napi_struct *napi);

/* skb, on its way out */
u16 ferrite_helper_skb_queue(const struct sk_buff *skb);
int ferrite_helper_skb_map(struct device *dev, struct sk_buff *skb, dma_addr_t *addrs, u32 *lens);
void ferrite_helper_skb_unmap(struct device *dev, const struct sk_buff *skb, const dma_addr_t *addrs, const u32 *lens,
			      int count);
bool ferrite_helper_skb_checksum_wanted(const struct sk_buff *skb, u16 *start, u16 *offset);
bool ferrite_helper_skb_segmentation(const struct sk_buff *skb, u16 *mss, u16 *segments, u16 *header_len);
bool ferrite_helper_skb_vlan(const struct sk_buff *skb, u16 *tci);
void ferrite_helper_skb_tx_timestamp(struct sk_buff *skb);
bool ferrite_helper_skb_timestamp_wanted(struct sk_buff *skb);
void ferrite_helper_skb_timestamp_done(struct sk_buff *skb, u64 nanoseconds);
u16 ferrite_helper_skb_segments(const struct sk_buff *skb);
void ferrite_helper_skb_free(struct sk_buff *skb);
netdev_features_t ferrite_helper_vlan_features_check(struct sk_buff *skb, netdev_features_t features);

/* skb, on its way in */
struct sk_buff *ferrite_helper_napi_build_packet(struct napi_struct *napi, void *data, unsigned int size,
						 unsigned int headroom, unsigned int len);
struct sk_buff *ferrite_helper_napi_copy_packet(struct napi_struct *napi, const void *data, unsigned int len);
bool ferrite_helper_napi_receive(struct napi_struct *napi, struct sk_buff *skb, u16 queue);
void ferrite_helper_napi_receive_built(struct napi_struct *napi, struct sk_buff *skb);
unsigned int ferrite_helper_skb_frags(const struct sk_buff *skb);
void ferrite_helper_skb_add_frag(struct sk_buff *skb, netmem_ref netmem, unsigned int offset, unsigned int len,
				 unsigned int truesize);
void ferrite_helper_skb_set_checksum_ok(struct sk_buff *skb);
bool ferrite_helper_skb_set_joined(struct sk_buff *skb, u16 segments, u16 mss, u16 l4_offset);
void ferrite_helper_skb_set_timestamp(struct sk_buff *skb, u64 nanoseconds);
void ferrite_helper_skb_set_hash(struct sk_buff *skb, u32 hash, bool l4);
void ferrite_helper_skb_set_vlan(struct sk_buff *skb, u16 tci);
unsigned int ferrite_helper_skb_headroom(void);
unsigned int ferrite_helper_skb_tailroom(void);

/* page_pool */
struct page_pool *ferrite_helper_page_pool_create(struct device *dev, struct net_device *netdev, u16 queue,
						  unsigned int pages, bool both_ways, bool unreadable);
bool ferrite_helper_page_pool_maps_both_ways(const struct page_pool *pool, const struct device *dev);
netmem_ref ferrite_helper_page_pool_alloc(struct page_pool *pool);
void ferrite_helper_page_pool_halve(netmem_ref netmem);
void ferrite_helper_page_pool_put(struct page_pool *pool, netmem_ref netmem);
dma_addr_t ferrite_helper_page_pool_dma_addr(netmem_ref netmem);
void *ferrite_helper_page_pool_address(netmem_ref netmem);
void ferrite_helper_page_pool_sync_for_cpu(struct page_pool *pool, netmem_ref netmem, u32 offset, u32 len);
void ferrite_helper_page_pool_sync_for_device(struct page_pool *pool, netmem_ref netmem, u32 offset, u32 len);

#endif
