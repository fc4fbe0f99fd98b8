// SPDX-License-Identifier: GPL-2.0

#include <linux/completion.h>
#include <linux/etherdevice.h>
#include <linux/random.h>

#include "echo_helpers.h"

/* Bytes behind the Ethernet header. */
#define ECHO_BYTES 512

struct echo_payload {
	u64 cookie;
	u8 pattern[ECHO_BYTES - sizeof(u64)];
};

struct echo {
	struct packet_type type;
	struct completion done;
	struct echo_payload sent;
	struct echo_payload came;
	int err;
};

/* One context at a time: the device's queue that packets without IP come in. */
static int echo_receive(struct sk_buff *skb, struct net_device *dev, struct packet_type *type,
			struct net_device *orig_dev)
{
	struct echo *echo = container_of(type, struct echo, type);

	if (skb->protocol == htons(ETH_P_802_EX1) && !completion_done(&echo->done) &&
	    !skb_copy_bits(skb, 0, &echo->came, sizeof(echo->came)) && echo->came.cookie == echo->sent.cookie) {
		if (memcmp(&echo->came, &echo->sent, sizeof(echo->sent)))
			echo->err = -EBADMSG;
		complete(&echo->done);
	}
	kfree_skb(skb);
	return NET_RX_SUCCESS;
}

static struct sk_buff *echo_packet(struct net_device *dev, const struct echo_payload *payload)
{
	struct sk_buff *skb = netdev_alloc_skb(dev, ETH_HLEN + sizeof(*payload));
	struct ethhdr *eth;

	if (!skb)
		return NULL;
	skb_reset_mac_header(skb);
	eth = skb_put(skb, ETH_HLEN);
	ether_addr_copy(eth->h_dest, dev->dev_addr);
	ether_addr_copy(eth->h_source, dev->dev_addr);
	eth->h_proto = htons(ETH_P_802_EX1);
	skb_set_network_header(skb, ETH_HLEN);
	skb_put_data(skb, payload, sizeof(*payload));
	skb->protocol = eth->h_proto;
	return skb;
}

/*
 * Sends a packet of the device to itself through a transmit queue and waits for it. To be called with its lock held,
 * for a device that is up. Returns -ENETDOWN if it cannot be sent, -ETIMEDOUT if it does not come, -EBADMSG if it was
 * changed on the way, -ENOMEM.
 */
int ferrite_helper_netdev_echo(struct net_device *dev, u16 queue, unsigned int msecs)
{
	struct echo *echo = kzalloc_obj(*echo);
	struct sk_buff *skb;
	int err = -ENOMEM;

	if (!echo)
		return err;
	init_completion(&echo->done);
	get_random_bytes(&echo->sent, sizeof(echo->sent));
	/* Of all protocols: taps come before a bridge, which would take the packet. */
	echo->type.type = htons(ETH_P_ALL);
	echo->type.dev = dev;
	echo->type.func = echo_receive;
	echo->type.ignore_outgoing = true;
	skb = echo_packet(dev, &echo->sent);
	if (skb) {
		dev_add_pack(&echo->type);
		if (dev_direct_xmit(skb, queue) != NETDEV_TX_OK)
			err = -ENETDOWN;
		else if (!wait_for_completion_timeout(&echo->done, msecs_to_jiffies(msecs)))
			err = -ETIMEDOUT;
		else
			err = echo->err;
		/* Waits until nobody receives for it any more. */
		dev_remove_pack(&echo->type);
	}
	kfree(echo);
	return err;
}
