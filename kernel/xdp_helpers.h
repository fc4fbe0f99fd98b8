/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions for what C has as macros and inline functions only, which bindgen does not bind: XDP.
 */
#ifndef FERRITE_KERNEL_XDP_HELPERS_H
#define FERRITE_KERNEL_XDP_HELPERS_H

#include <linux/bpf.h>
#include <linux/netdevice.h>
#include <net/netmem.h>
#include <net/page_pool/types.h>
#include <net/xdp.h>

/* What a driver told of a packet, for programs that ask. */
struct ferrite_xdp_buff {
	struct xdp_buff xdp; /* first: programs are given a pointer to it */
	u64 timestamp;
	u32 hash;
	u16 vlan;
	u16 hints;
};

enum ferrite_xdp_hint {
	FERRITE_XDP_HASH = 1 << 0,
	FERRITE_XDP_HASH_L4 = 1 << 1,
	FERRITE_XDP_VLAN = 1 << 2,
	FERRITE_XDP_TIMESTAMP = 1 << 3,
};

enum ferrite_xdp_verdict {
	FERRITE_XDP_PASS,
	FERRITE_XDP_DROP,
	FERRITE_XDP_TX,
	FERRITE_XDP_REDIRECT,
	FERRITE_XDP_ABORTED,
};

/* net_device */
void ferrite_helper_xdp_offer(struct net_device *dev);
void ferrite_helper_netdev_update_features(struct net_device *dev);

/* bpf_prog */
bool ferrite_helper_xdp_takes_fragments(const struct bpf_prog *prog);
void ferrite_helper_xdp_get(struct bpf_prog *prog);
void ferrite_helper_xdp_put(struct bpf_prog *prog);

/* xdp_rxq_info */
int ferrite_helper_xdp_rxq_reg(struct xdp_rxq_info *info, struct net_device *dev, struct napi_struct *napi, u32 queue,
			       u32 frag_size, struct page_pool *pool);

/* xdp_buff */
void ferrite_helper_xdp_buff_init(struct ferrite_xdp_buff *buff, void *data, u32 size, u32 headroom, u32 len);
bool ferrite_helper_xdp_buff_append(struct ferrite_xdp_buff *buff, netmem_ref netmem, u32 offset, u32 len,
				    u32 truesize);
u32 ferrite_helper_xdp_buff_len(const struct ferrite_xdp_buff *buff);
void ferrite_helper_xdp_buff_free(struct ferrite_xdp_buff *buff, struct page_pool *pool);
enum ferrite_xdp_verdict ferrite_helper_xdp_run(struct ferrite_xdp_buff *buff, struct net_device *dev,
						struct bpf_prog *prog, struct xdp_frame **frame);
void ferrite_helper_xdp_flush(void);

/* xdp_frame */
u32 ferrite_helper_xdp_frame_len(const struct xdp_frame *frame);
void ferrite_helper_xdp_frame_free(struct xdp_frame *frame);
void ferrite_helper_xdp_frame_unmap(struct device *dev, const dma_addr_t *addrs, const u32 *lens, int count);
int ferrite_helper_xdp_frame_map(struct device *dev, struct xdp_frame *frame, bool from_pool, dma_addr_t *addrs,
				 u32 *lens);

#endif
