// SPDX-License-Identifier: GPL-2.0

#include <linux/bpf_trace.h>
#include <linux/filter.h>
#include <net/page_pool/helpers.h>

#include "netdev_helpers.h"
#include "xdp_helpers.h"

static const struct ferrite_xdp_buff *buff_of(const struct xdp_md *ctx)
{
	return (const void *)ctx;
}

static int rx_timestamp(const struct xdp_md *ctx, u64 *timestamp)
{
	if (!(buff_of(ctx)->hints & FERRITE_XDP_TIMESTAMP))
		return -ENODATA;
	*timestamp = buff_of(ctx)->timestamp;
	return 0;
}

static int rx_hash(const struct xdp_md *ctx, u32 *hash, enum xdp_rss_hash_type *type)
{
	if (!(buff_of(ctx)->hints & FERRITE_XDP_HASH))
		return -ENODATA;
	*hash = buff_of(ctx)->hash;
	*type = buff_of(ctx)->hints & FERRITE_XDP_HASH_L4 ? XDP_RSS_TYPE_L4_ANY : XDP_RSS_TYPE_L2;
	return 0;
}

static int rx_vlan_tag(const struct xdp_md *ctx, __be16 *proto, u16 *tci)
{
	if (!(buff_of(ctx)->hints & FERRITE_XDP_VLAN))
		return -ENODATA;
	*proto = htons(ETH_P_8021Q);
	*tci = buff_of(ctx)->vlan;
	return 0;
}

static const struct xdp_metadata_ops metadata_ops = {
	.xmo_rx_timestamp = rx_timestamp,
	.xmo_rx_hash = rx_hash,
	.xmo_rx_vlan_tag = rx_vlan_tag,
};

void ferrite_helper_xdp_offer(struct net_device *dev)
{
	dev->xdp_metadata_ops = &metadata_ops;
	xdp_set_features_flag(dev, NETDEV_XDP_ACT_BASIC | NETDEV_XDP_ACT_REDIRECT | NETDEV_XDP_ACT_NDO_XMIT |
					   NETDEV_XDP_ACT_RX_SG | NETDEV_XDP_ACT_NDO_XMIT_SG);
}

void ferrite_helper_netdev_update_features(struct net_device *dev)
{
	netdev_update_features(dev);
}

bool ferrite_helper_xdp_takes_fragments(const struct bpf_prog *prog)
{
	return prog->aux->xdp_has_frags;
}

void ferrite_helper_xdp_get(struct bpf_prog *prog)
{
	bpf_prog_inc(prog);
}

void ferrite_helper_xdp_put(struct bpf_prog *prog)
{
	bpf_prog_put(prog);
}

int ferrite_helper_xdp_rxq_reg(struct xdp_rxq_info *info, struct net_device *dev, struct napi_struct *napi, u32 queue,
			       u32 frag_size, struct page_pool *pool)
{
	int err = __xdp_rxq_info_reg(info, dev, queue, napi->napi_id, frag_size);

	if (err)
		return err;
	err = xdp_rxq_info_reg_mem_model(info, MEM_TYPE_PAGE_POOL, pool);
	if (err)
		xdp_rxq_info_unreg(info);
	return err;
}

void ferrite_helper_xdp_buff_init(struct ferrite_xdp_buff *buff, void *data, u32 size, u32 headroom, u32 len)
{
	xdp_init_buff(&buff->xdp, size, NULL);
	xdp_prepare_buff(&buff->xdp, data, headroom, len, true);
}

/* Adjacent fragments stay two, since joining them needs the queue. */
bool ferrite_helper_xdp_buff_append(struct ferrite_xdp_buff *buff, netmem_ref netmem, u32 offset, u32 len,
				    u32 truesize)
{
	if (!__xdp_buff_add_frag(&buff->xdp, netmem, offset, len, truesize, false))
		return false;
	if (unlikely(netmem_is_pfmemalloc(netmem)))
		xdp_buff_set_frag_pfmemalloc(&buff->xdp);
	return true;
}

u32 ferrite_helper_xdp_buff_len(const struct ferrite_xdp_buff *buff)
{
	return xdp_get_buff_len(&buff->xdp);
}

/* In any context that may free pages, unlike xdp_return_buff(). */
void ferrite_helper_xdp_buff_free(struct ferrite_xdp_buff *buff, struct page_pool *pool)
{
	if (xdp_buff_has_frags(&buff->xdp)) {
		const struct skb_shared_info *shinfo = xdp_get_shared_info_from_buff(&buff->xdp);
		int i;

		for (i = 0; i < shinfo->nr_frags; i++)
			page_pool_put_full_page(pool, skb_frag_page(&shinfo->frags[i]), false);
	}
	page_pool_put_full_page(pool, virt_to_page(buff->xdp.data_hard_start), false);
}

/* The buffer stays with the caller if it is to pass, to be dropped, or if the program failed. */
enum ferrite_xdp_verdict ferrite_helper_xdp_run(struct ferrite_xdp_buff *buff, struct net_device *dev,
						struct bpf_prog *prog, struct xdp_frame **frame)
{
	u32 act = XDP_ABORTED;

	if (likely(!xdp_buff_has_frags(&buff->xdp) || prog->aux->xdp_has_frags))
		act = bpf_prog_run_xdp(prog, &buff->xdp);
	switch (act) {
	case XDP_PASS:
		return FERRITE_XDP_PASS;
	case XDP_DROP:
		return FERRITE_XDP_DROP;
	case XDP_TX:
		*frame = xdp_convert_buff_to_frame(&buff->xdp);
		if (likely(*frame))
			return FERRITE_XDP_TX;
		break;
	case XDP_REDIRECT:
		if (likely(!xdp_do_redirect(dev, &buff->xdp, prog)))
			return FERRITE_XDP_REDIRECT;
		break;
	case XDP_ABORTED:
		break;
	default:
		bpf_warn_invalid_xdp_action(dev, prog, act);
	}
	trace_xdp_exception(dev, prog, act);
	return FERRITE_XDP_ABORTED;
}

void ferrite_helper_xdp_flush(void)
{
	xdp_do_flush();
}

u32 ferrite_helper_xdp_frame_len(const struct xdp_frame *frame)
{
	return xdp_get_frame_len(frame);
}

void ferrite_helper_xdp_frame_free(struct xdp_frame *frame)
{
	xdp_return_frame(frame);
}

void ferrite_helper_xdp_frame_unmap(struct device *dev, const dma_addr_t *addrs, const u32 *lens, int count)
{
	int i;

	for (i = 0; i < count; i++)
		dma_unmap_page(dev, addrs[i], lens[i], DMA_TO_DEVICE);
}

static int frame_piece(struct device *dev, struct page *page, u32 offset, u32 len, bool from_pool, dma_addr_t *addr)
{
	if (from_pool) {
		*addr = page_pool_get_dma_addr(page) + offset;
		dma_sync_single_for_device(dev, *addr, len, DMA_BIDIRECTIONAL);
		return 0;
	}
	*addr = dma_map_page(dev, page, offset, len, DMA_TO_DEVICE);
	return dma_mapping_error(dev, *addr);
}

/*
 * As ferrite_helper_skb_map(), for a frame. What comes from a page pool of this device, that maps both ways, is
 * mapped already and stays so.
 */
int ferrite_helper_xdp_frame_map(struct device *dev, struct xdp_frame *frame, bool from_pool, dma_addr_t *addrs,
				 u32 *lens)
{
	const struct skb_shared_info *shinfo = xdp_get_shared_info_from_frame(frame);
	int i, count = 1;

	lens[0] = frame->len;
	if (frame_piece(dev, virt_to_page(frame->data), offset_in_page(frame->data), frame->len, from_pool, &addrs[0]))
		return -ENOMEM;
	if (!xdp_frame_has_frags(frame))
		return count;
	for (i = 0; i < shinfo->nr_frags; i++) {
		const skb_frag_t *frag = &shinfo->frags[i];

		lens[count] = skb_frag_size(frag);
		if (frame_piece(dev, skb_frag_page(frag), skb_frag_off(frag), lens[count], from_pool, &addrs[count])) {
			if (!from_pool)
				ferrite_helper_xdp_frame_unmap(dev, addrs, lens, count);
			return -ENOMEM;
		}
		count++;
	}
	return count;
}
