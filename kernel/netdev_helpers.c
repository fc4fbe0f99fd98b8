// SPDX-License-Identifier: GPL-2.0

#include <linux/etherdevice.h>
#include <linux/if_vlan.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <net/gro.h>
#include <net/ip6_checksum.h>
#include <net/netdev_queues.h>
#include <net/page_pool/helpers.h>
#include <net/tcp.h>

#include "netdev_helpers.h"

void *ferrite_helper_netdev_priv(struct net_device *dev)
{
	return netdev_priv(dev);
}

void ferrite_helper_netdev_set_parent(struct net_device *dev, struct device *parent)
{
	SET_NETDEV_DEV(dev, parent);
}

void ferrite_helper_netdev_set_address(struct net_device *dev, const u8 *addr)
{
	eth_hw_addr_set(dev, addr);
}

void ferrite_helper_netdev_random_address(struct net_device *dev)
{
	eth_hw_addr_random(dev);
}

void ferrite_helper_netdev_set_unicast_filter(struct net_device *dev)
{
	dev->priv_flags |= IFF_UNICAST_FLT;
}

/* Beside what it does, it marks the devices that are ours: no other has it in its table of operations. */
int ferrite_helper_validate_addr(struct net_device *dev)
{
	return eth_validate_addr(dev);
}

bool ferrite_helper_netif_running(const struct net_device *dev)
{
	return netif_running(dev);
}

bool ferrite_helper_netif_carrier_ok(const struct net_device *dev)
{
	return netif_carrier_ok(dev);
}

/* Packets whose memory is a provider's are sent as others are: ferrite_helper_skb_map() knows them. */
void ferrite_helper_netdev_restarts_queues(struct net_device *dev, const struct netdev_queue_mgmt_ops *ops)
{
	dev->queue_mgmt_ops = ops;
	dev->netmem_tx = NETMEM_TX_DMA;
}

struct netdev_queue *ferrite_helper_netdev_tx_queue(struct net_device *dev, unsigned int index)
{
	return netdev_get_tx_queue(dev, index);
}

void ferrite_helper_netif_tx_disable(struct net_device *dev)
{
	netif_tx_disable(dev);
}

void ferrite_helper_netif_tx_wake_all_queues(struct net_device *dev)
{
	netif_tx_wake_all_queues(dev);
}

void ferrite_helper_netif_tx_lock_bh(struct netdev_queue *queue)
{
	__netif_tx_lock_bh(queue);
}

void ferrite_helper_netif_tx_unlock_bh(struct netdev_queue *queue)
{
	__netif_tx_unlock_bh(queue);
}

/* With the barrier of netif_txq_try_stop(): whoever completes packets afterwards sees the stop. */
void ferrite_helper_netif_tx_stop_queue(struct netdev_queue *queue)
{
	netif_tx_stop_queue(queue);
	/* Pairs with the one in netdev_txq_completed_mb(). */
	smp_mb__after_atomic();
}

void ferrite_helper_netif_tx_start_queue(struct netdev_queue *queue)
{
	netif_tx_start_queue(queue);
}

bool ferrite_helper_netif_tx_queue_stopped(const struct netdev_queue *queue)
{
	return netif_tx_queue_stopped(queue);
}

bool ferrite_helper_netdev_tx_sent_queue(struct netdev_queue *queue, unsigned int bytes)
{
	return __netdev_tx_sent_queue(queue, bytes, netdev_xmit_more());
}

/* With the barrier of __netif_txq_completed_wake(): whoever stops the queue afterwards sees the room. */
void ferrite_helper_netdev_txq_completed(struct netdev_queue *queue, unsigned int packets, unsigned int bytes)
{
	if (bytes)
		netdev_txq_completed_mb(queue, packets, bytes);
	else
		smp_mb(); /* as netdev_txq_completed_mb() has it for its callers */
}

/* For packets that did not come through the stack. To be called with the lock of the queue held. */
void ferrite_helper_netdev_txq_trans_update(struct netdev_queue *queue)
{
	txq_trans_cond_update(queue);
}

void ferrite_helper_netdev_tx_reset_queue(struct netdev_queue *queue)
{
	netdev_tx_reset_queue(queue);
}

void ferrite_helper_netif_napi_add(struct net_device *dev, struct napi_struct *napi,
				   int (*poll)(struct napi_struct *napi, int budget), int index)
{
	netif_napi_add_config_locked(dev, napi, poll, index);
}

void ferrite_helper_netif_napi_del(struct napi_struct *napi)
{
	netif_napi_del_locked(napi);
}

void ferrite_helper_napi_schedule(struct napi_struct *napi)
{
	napi_schedule(napi);
}

u16 ferrite_helper_skb_queue(const struct sk_buff *skb)
{
	return skb_get_queue_mapping(skb);
}

/*
 * Maps the linear part and the fragments of a packet for the device to read, and returns how many pieces there are,
 * or -ENOMEM with nothing mapped. There is room for 1 + MAX_SKB_FRAGS of them.
 */
int ferrite_helper_skb_map(struct device *dev, struct sk_buff *skb, dma_addr_t *addrs, u32 *lens)
{
	const struct skb_shared_info *shinfo = skb_shinfo(skb);
	int count = 0, i;

	if (skb_headlen(skb)) {
		addrs[0] = dma_map_single(dev, skb->data, skb_headlen(skb), DMA_TO_DEVICE);
		if (dma_mapping_error(dev, addrs[0]))
			return -ENOMEM;
		lens[0] = skb_headlen(skb);
		count = 1;
	}
	for (i = 0; i < shinfo->nr_frags; i++) {
		const skb_frag_t *frag = &shinfo->frags[i];

		if (!skb_frag_size(frag))
			continue;
		addrs[count] = skb_frag_dma_map(dev, frag);
		if (dma_mapping_error(dev, addrs[count])) {
			ferrite_helper_skb_unmap(dev, skb, addrs, lens, count);
			return -ENOMEM;
		}
		lens[count++] = skb_frag_size(frag);
	}
	return count;
}

/* Undoes ferrite_helper_skb_map(), for the first @count pieces. Memory of a provider's is mapped by whom it is from. */
void ferrite_helper_skb_unmap(struct device *dev, const struct sk_buff *skb, const dma_addr_t *addrs, const u32 *lens,
			      int count)
{
	const struct skb_shared_info *shinfo = skb_shinfo(skb);
	int done = 0, i;

	/* dma_map_single() maps the page below and is undone by unmapping that. */
	if (skb_headlen(skb) && count)
		dma_unmap_page(dev, addrs[done++], lens[0], DMA_TO_DEVICE);
	for (i = 0; i < shinfo->nr_frags && done < count; i++) {
		const skb_frag_t *frag = &shinfo->frags[i];

		if (!skb_frag_size(frag))
			continue;
		if (!skb_frag_is_net_iov(frag))
			dma_unmap_page(dev, addrs[done], lens[done], DMA_TO_DEVICE);
		done++;
	}
}

bool ferrite_helper_skb_checksum_wanted(const struct sk_buff *skb, u16 *start, u16 *offset)
{
	if (skb->ip_summed != CHECKSUM_PARTIAL)
		return false;
	*start = skb_checksum_start_offset(skb);
	*offset = skb->csum_offset;
	return true;
}

bool ferrite_helper_skb_segmentation(const struct sk_buff *skb, u16 *mss, u16 *segments, u16 *header_len)
{
	if (!skb_is_gso(skb))
		return false;
	*mss = skb_shinfo(skb)->gso_size;
	*segments = skb_shinfo(skb)->gso_segs;
	if (skb_shinfo(skb)->gso_type & SKB_GSO_UDP_L4)
		*header_len = skb_transport_offset(skb) + sizeof(struct udphdr);
	else
		*header_len = skb_tcp_all_headers(skb);
	return true;
}

bool ferrite_helper_skb_vlan(const struct sk_buff *skb, u16 *tci)
{
	if (!skb_vlan_tag_present(skb))
		return false;
	*tci = skb_vlan_tag_get(skb);
	return true;
}

void ferrite_helper_skb_tx_timestamp(struct sk_buff *skb)
{
	skb_tx_timestamp(skb);
}

/* Returns whether a time stamp of the device is wanted, and notes that it is to come. */
bool ferrite_helper_skb_timestamp_wanted(struct sk_buff *skb)
{
	if (likely(!(skb_shinfo(skb)->tx_flags & SKBTX_HW_TSTAMP)))
		return false;
	skb_shinfo(skb)->tx_flags |= SKBTX_IN_PROGRESS;
	return true;
}

void ferrite_helper_skb_timestamp_done(struct sk_buff *skb, u64 nanoseconds)
{
	struct skb_shared_hwtstamps stamps = { .hwtstamp = ns_to_ktime(nanoseconds) };

	skb_tstamp_tx(skb, &stamps);
}

u16 ferrite_helper_skb_segments(const struct sk_buff *skb)
{
	return skb_is_gso(skb) ? skb_shinfo(skb)->gso_segs : 1;
}

void ferrite_helper_skb_free(struct sk_buff *skb)
{
	dev_kfree_skb_any(skb);
}

netdev_features_t ferrite_helper_vlan_features_check(struct sk_buff *skb, netdev_features_t features)
{
	return vlan_features_check(skb, features);
}

/* Makes a packet of a buffer of a page pool. Only if it succeeds does the buffer belong to the packet. */
struct sk_buff *ferrite_helper_napi_build_packet(struct napi_struct *napi, void *data, unsigned int size,
						 unsigned int headroom, unsigned int len)
{
	struct sk_buff *skb = napi_build_skb(data, size);

	if (!skb)
		return NULL;
	skb_mark_for_recycle(skb);
	skb_reserve(skb, headroom);
	skb_put(skb, len);
	skb->dev = napi->dev;
	return skb;
}

struct sk_buff *ferrite_helper_napi_copy_packet(struct napi_struct *napi, const void *data, unsigned int len)
{
	struct sk_buff *skb = napi_alloc_skb(napi, len);

	if (skb)
		skb_put_data(skb, data, len);
	return skb;
}

/* Hands a packet to the stack; returns whether it was long enough to be one. */
bool ferrite_helper_napi_receive(struct napi_struct *napi, struct sk_buff *skb, u16 queue)
{
	if (unlikely(!pskb_may_pull(skb, ETH_HLEN))) {
		dev_kfree_skb_any(skb);
		return false;
	}
	skb_record_rx_queue(skb, queue);
	skb->protocol = eth_type_trans(skb, napi->dev);
	napi_gro_receive(napi, skb);
	return true;
}

/* As ferrite_helper_napi_receive(), for a packet of which protocol and queue are known. */
void ferrite_helper_napi_receive_built(struct napi_struct *napi, struct sk_buff *skb)
{
	napi_gro_receive(napi, skb);
}

unsigned int ferrite_helper_skb_frags(const struct sk_buff *skb)
{
	return skb_shinfo(skb)->nr_frags;
}

void ferrite_helper_skb_add_frag(struct sk_buff *skb, netmem_ref netmem, unsigned int offset, unsigned int len,
				 unsigned int truesize)
{
	skb_mark_for_recycle(skb);
	skb_add_rx_frag_netmem(skb, skb_shinfo(skb)->nr_frags, netmem, offset, len, truesize);
}

void ferrite_helper_skb_set_checksum_ok(struct sk_buff *skb)
{
	skb->ip_summed = CHECKSUM_UNNECESSARY;
}

/*
 * Finds the IP header that the TCP header at @l4_offset follows: that at *@offset, of Ethernet type @proto, or, if that
 * is a tunnel's, the one behind. Moves *@offset there. Returns its type, 0 if there is none.
 */
static __be16 innermost_ip(const struct sk_buff *skb, __be16 proto, int *offset, u16 l4_offset)
{
	bool may_be_tunnel = true;

	for (;;) {
		int length = proto == htons(ETH_P_IP) ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
		const void *header = skb->data + *offset;
		u8 next;

		if ((proto != htons(ETH_P_IP) && proto != htons(ETH_P_IPV6)) || *offset + length > l4_offset)
			return 0;
		next = proto == htons(ETH_P_IP) ? ((const struct iphdr *)header)->protocol :
						  ((const struct ipv6hdr *)header)->nexthdr;
		if (!may_be_tunnel || (next != IPPROTO_IPIP && next != IPPROTO_IPV6))
			return proto;
		may_be_tunnel = false;
		proto = next == IPPROTO_IPIP ? htons(ETH_P_IP) : htons(ETH_P_IPV6);
		*offset += length;
	}
}

/*
 * Makes of a packet that the device joined what the stack's GRO would have made of its segments. Returns false if it
 * is not such a packet.
 */
bool ferrite_helper_skb_set_joined(struct sk_buff *skb, u16 segments, u16 mss, u16 l4_offset)
{
	const struct ethhdr *eth = (const struct ethhdr *)skb->data;
	int outer = ETH_HLEN, inner;
	__be16 proto, inner_proto;
	struct tcphdr *th;
	u32 len;

	if (segments < 2 || !mss || skb_headlen(skb) < l4_offset + sizeof(*th))
		return false;
	th = (struct tcphdr *)(skb->data + l4_offset);
	len = skb->len - l4_offset;
	proto = eth->h_proto;
	if (proto == htons(ETH_P_8021Q)) {
		proto = ((const struct vlan_ethhdr *)eth)->h_vlan_encapsulated_proto;
		outer += VLAN_HLEN;
	}
	inner = outer;
	inner_proto = innermost_ip(skb, proto, &inner, l4_offset);
	if (inner_proto == htons(ETH_P_IP)) {
		const struct iphdr *iph = (const struct iphdr *)(skb->data + inner);

		th->check = ~tcp_v4_check(len, iph->saddr, iph->daddr, 0);
		skb_shinfo(skb)->gso_type = SKB_GSO_TCPV4;
	} else if (inner_proto == htons(ETH_P_IPV6)) {
		const struct ipv6hdr *iph = (const struct ipv6hdr *)(skb->data + inner);

		th->check = ~csum_ipv6_magic(&iph->saddr, &iph->daddr, len, IPPROTO_TCP, 0);
		skb_shinfo(skb)->gso_type = SKB_GSO_TCPV6;
	} else {
		return false;
	}
	if (inner != outer) {
		skb_shinfo(skb)->gso_type |= proto == htons(ETH_P_IP) ? SKB_GSO_IPXIP4 : SKB_GSO_IPXIP6;
		skb->encapsulation = 1;
		skb_set_inner_protocol(skb, inner_proto);
		skb_set_inner_network_header(skb, inner);
	}
	skb_set_network_header(skb, outer);
	skb_set_transport_header(skb, l4_offset);
	skb_shinfo(skb)->gso_size = mss;
	NAPI_GRO_CB(skb)->count = segments;
	tcp_gro_complete(skb);
	return true;
}

void ferrite_helper_skb_set_timestamp(struct sk_buff *skb, u64 nanoseconds)
{
	skb_hwtstamps(skb)->hwtstamp = ns_to_ktime(nanoseconds);
}

void ferrite_helper_skb_set_hash(struct sk_buff *skb, u32 hash, bool l4)
{
	skb_set_hash(skb, hash, l4 ? PKT_HASH_TYPE_L4 : PKT_HASH_TYPE_L3);
}

void ferrite_helper_skb_set_vlan(struct sk_buff *skb, u16 tci)
{
	__vlan_hwaccel_put_tag(skb, htons(ETH_P_8021Q), tci);
}

unsigned int ferrite_helper_skb_headroom(void)
{
	return NET_SKB_PAD + NET_IP_ALIGN;
}

unsigned int ferrite_helper_skb_tailroom(void)
{
	return SKB_DATA_ALIGN(sizeof(struct skb_shared_info));
}

/*
 * Without @unreadable, all memory of the pool is pages that the kernel has mapped. The pool is for @queue of @netdev, whose
 * memory provider is asked with it. Its buffers go past its cache until it is given to a NAPI instance.
 */
struct page_pool *ferrite_helper_page_pool_create(struct device *dev, struct net_device *netdev, u16 queue,
						  unsigned int pages, bool both_ways, bool unreadable)
{
	struct page_pool_params params = {
		.flags = PP_FLAG_DMA_MAP | PP_FLAG_DMA_SYNC_DEV,
		.pool_size = pages,
		.nid = NUMA_NO_NODE,
		.dev = dev,
		.netdev = netdev,
		.queue_idx = queue,
		.dma_dir = both_ways ? DMA_BIDIRECTIONAL : DMA_FROM_DEVICE,
		.max_len = PAGE_SIZE,
	};

	if (unreadable)
		params.flags |= PP_FLAG_ALLOW_UNREADABLE_NETMEM;
	return page_pool_create(&params);
}

bool ferrite_helper_page_pool_maps_both_ways(const struct page_pool *pool, const struct device *dev)
{
	return pool->p.dev == dev && pool->p.dma_dir == DMA_BIDIRECTIONAL;
}

netmem_ref ferrite_helper_page_pool_alloc(struct page_pool *pool)
{
	return page_pool_alloc_netmems(pool, GFP_ATOMIC | __GFP_NOWARN);
}

void ferrite_helper_page_pool_halve(netmem_ref netmem)
{
	page_pool_fragment_netmem(netmem, 2);
}

void ferrite_helper_page_pool_put(struct page_pool *pool, netmem_ref netmem)
{
	page_pool_put_full_netmem(pool, netmem, false);
}

dma_addr_t ferrite_helper_page_pool_dma_addr(netmem_ref netmem)
{
	return page_pool_get_dma_addr_netmem(netmem);
}

/* NULL if the kernel has not mapped it. */
void *ferrite_helper_page_pool_address(netmem_ref netmem)
{
	return netmem_address(netmem);
}

void ferrite_helper_page_pool_sync_for_cpu(struct page_pool *pool, netmem_ref netmem, u32 offset, u32 len)
{
	page_pool_dma_sync_netmem_for_cpu(pool, netmem, offset, len);
}

void ferrite_helper_page_pool_sync_for_device(struct page_pool *pool, netmem_ref netmem, u32 offset, u32 len)
{
	if (!netmem_is_net_iov(netmem))
		dma_sync_single_range_for_device(pool->p.dev, page_pool_get_dma_addr_netmem(netmem), offset, len,
						 page_pool_get_dma_dir(pool));
}
