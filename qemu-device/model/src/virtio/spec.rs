// SPDX-License-Identifier: GPL-2.0

//! Words of the virtio specification 1.3, by the names that it gives them.

use ferrite_abi::wire::*;

/// Bits of the device status (2.1).
pub(crate) mod status {
    /// The driver is set up.
    pub(crate) const DRIVER_OK: u8 = 4;
    /// Features are agreed on.
    pub(crate) const FEATURES_OK: u8 = 8;
    /// The device cannot go on.
    pub(crate) const NEEDS_RESET: u8 = 64;
}

/// Feature bits (5.1.3 and 6).
pub(crate) mod feature {
    pub(crate) const CSUM: u64 = 1 << 0;
    pub(crate) const GUEST_CSUM: u64 = 1 << 1;
    pub(crate) const CTRL_GUEST_OFFLOADS: u64 = 1 << 2;
    pub(crate) const MTU: u64 = 1 << 3;
    pub(crate) const MAC: u64 = 1 << 5;
    pub(crate) const GUEST_TSO4: u64 = 1 << 7;
    pub(crate) const GUEST_TSO6: u64 = 1 << 8;
    pub(crate) const HOST_TSO4: u64 = 1 << 11;
    pub(crate) const HOST_TSO6: u64 = 1 << 12;
    pub(crate) const HOST_ECN: u64 = 1 << 13;
    pub(crate) const MRG_RXBUF: u64 = 1 << 15;
    pub(crate) const STATUS: u64 = 1 << 16;
    pub(crate) const CTRL_VQ: u64 = 1 << 17;
    pub(crate) const CTRL_RX: u64 = 1 << 18;
    pub(crate) const CTRL_VLAN: u64 = 1 << 19;
    pub(crate) const CTRL_RX_EXTRA: u64 = 1 << 20;
    pub(crate) const GUEST_ANNOUNCE: u64 = 1 << 21;
    pub(crate) const MQ: u64 = 1 << 22;
    pub(crate) const CTRL_MAC_ADDR: u64 = 1 << 23;
    pub(crate) const INDIRECT_DESC: u64 = 1 << 28;
    pub(crate) const EVENT_IDX: u64 = 1 << 29;
    pub(crate) const VERSION_1: u64 = 1 << 32;
    pub(crate) const ACCESS_PLATFORM: u64 = 1 << 33;
    pub(crate) const RING_PACKED: u64 = 1 << 34;
    pub(crate) const IN_ORDER: u64 = 1 << 35;
    pub(crate) const ORDER_PLATFORM: u64 = 1 << 36;
    pub(crate) const NOTIFICATION_DATA: u64 = 1 << 38;
    pub(crate) const RING_RESET: u64 = 1 << 40;
    pub(crate) const GUEST_USO4: u64 = 1 << 54;
    pub(crate) const GUEST_USO6: u64 = 1 << 55;
    pub(crate) const HOST_USO: u64 = 1 << 56;
    pub(crate) const HASH_REPORT: u64 = 1 << 57;
    pub(crate) const RSS: u64 = 1 << 60;
    pub(crate) const SPEED_DUPLEX: u64 = 1 << 63;
}

/// Flags of a descriptor (2.7.5 and 2.8.13).
pub(crate) mod desc {
    pub(crate) const NEXT: u16 = 1 << 0;
    pub(crate) const WRITE: u16 = 1 << 1;
    pub(crate) const INDIRECT: u16 = 1 << 2;
    /// Packed: the wrap counter of the driver when it made the descriptor available.
    pub(crate) const AVAIL: u16 = 1 << 7;
    /// Packed: the wrap counter of the device when it returned the descriptor.
    pub(crate) const USED: u16 = 1 << 15;
}

/// Descriptor of a split queue (2.7.5).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct SplitDesc {
    pub(crate) addr: U64,
    pub(crate) len: U32,
    pub(crate) flags: U16,
    pub(crate) next: U16,
}

/// Entry of the used ring of a split queue (2.7.8).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct UsedElem {
    pub(crate) id: U32,
    pub(crate) len: U32,
}

/// Do not interrupt, in the flags of the available ring of a split queue (2.7.6).
pub(crate) const AVAIL_NO_INTERRUPT: u16 = 1;

/// Descriptor of a packed queue (2.8.13).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct PackedDesc {
    pub(crate) addr: U64,
    pub(crate) len: U32,
    pub(crate) id: U16,
    pub(crate) flags: U16,
}

/// Flags of the event suppression of a packed queue (2.8.14).
pub(crate) mod event {
    pub(crate) const DISABLE: u16 = 1;
    pub(crate) const DESC: u16 = 2;
}

/// Header of a packet (5.1.6).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct NetHdr {
    pub(crate) flags: u8,
    pub(crate) gso_type: u8,
    pub(crate) hdr_len: U16,
    pub(crate) gso_size: U16,
    pub(crate) csum_start: U16,
    pub(crate) csum_offset: U16,
    pub(crate) num_buffers: U16,
}

/// Header of a packet with [`feature::HASH_REPORT`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct HashHdr {
    pub(crate) plain: NetHdr,
    pub(crate) value: U32,
    /// One of [`hash::report`], or 0.
    pub(crate) report: U16,
    pub(crate) rsvd: U16,
}

/// Returns the length of the header of a packet with these features.
pub(crate) const fn header(features: u64) -> usize {
    if features & feature::HASH_REPORT != 0 {
        size_of::<HashHdr>()
    } else {
        size_of::<NetHdr>()
    }
}

/// The checksum is to be inserted, in [`NetHdr::flags`].
pub(crate) const HDR_NEEDS_CSUM: u8 = 1;
/// The checksum was found right, in [`NetHdr::flags`].
pub(crate) const HDR_DATA_VALID: u8 = 2;

/// Values of [`NetHdr::gso_type`].
pub(crate) mod gso {
    pub(crate) const NONE: u8 = 0;
    pub(crate) const TCPV4: u8 = 1;
    pub(crate) const TCPV6: u8 = 4;
    pub(crate) const UDP_L4: u8 = 5;
    pub(crate) const ECN: u8 = 0x80;
}

/// Configuration space of a network device (5.1.4).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct NetConfig {
    pub(crate) mac: [u8; 6],
    pub(crate) status: U16,
    pub(crate) max_virtqueue_pairs: U16,
    pub(crate) mtu: U16,
    pub(crate) speed: U32,
    pub(crate) duplex: u8,
    pub(crate) rss_max_key_size: u8,
    pub(crate) rss_max_indirection_table_length: U16,
    pub(crate) supported_hash_types: U32,
}

/// The link is up, in [`NetConfig::status`].
pub(crate) const S_LINK_UP: u16 = 1;
/// The driver is to announce itself, in [`NetConfig::status`].
pub(crate) const S_ANNOUNCE: u16 = 2;
/// Full duplex, in [`NetConfig::duplex`].
pub(crate) const DUPLEX_FULL: u8 = 1;

/// Hash types (5.1.6.4.3.1).
pub(crate) mod hash {
    pub(crate) const IPV4: u32 = 1 << 0;
    pub(crate) const TCPV4: u32 = 1 << 1;
    pub(crate) const UDPV4: u32 = 1 << 2;
    pub(crate) const IPV6: u32 = 1 << 3;
    pub(crate) const TCPV6: u32 = 1 << 4;
    pub(crate) const UDPV6: u32 = 1 << 5;
    /// All of them.
    pub(crate) const ALL: u32 = IPV4 | TCPV4 | UDPV4 | IPV6 | TCPV6 | UDPV6;

    /// Values of [`HashHdr::report`](super::HashHdr::report) for IPv4.
    pub(crate) mod report {
        pub(crate) const IP: u16 = 1;
        pub(crate) const TCP: u16 = 2;
        pub(crate) const UDP: u16 = 3;
        /// What is added for IPv6.
        pub(crate) const V6: u16 = 3;
    }
}

/// Classes and commands of the control queue (5.1.6.5).
pub(crate) mod ctrl {
    pub(crate) const OK: u8 = 0;
    pub(crate) const ERR: u8 = 1;

    pub(crate) const RX: u8 = 0;
    pub(crate) const RX_PROMISC: u8 = 0;
    pub(crate) const RX_ALLMULTI: u8 = 1;
    pub(crate) const RX_ALLUNI: u8 = 2;
    pub(crate) const RX_NOMULTI: u8 = 3;
    pub(crate) const RX_NOUNI: u8 = 4;
    pub(crate) const RX_NOBCAST: u8 = 5;

    pub(crate) const MAC: u8 = 1;
    pub(crate) const MAC_TABLE_SET: u8 = 0;
    pub(crate) const MAC_ADDR_SET: u8 = 1;

    pub(crate) const VLAN: u8 = 2;
    pub(crate) const VLAN_ADD: u8 = 0;
    pub(crate) const VLAN_DEL: u8 = 1;

    pub(crate) const ANNOUNCE: u8 = 3;
    pub(crate) const ANNOUNCE_ACK: u8 = 0;

    pub(crate) const MQ: u8 = 4;
    pub(crate) const MQ_VQ_PAIRS_SET: u8 = 0;
    pub(crate) const MQ_RSS_CONFIG: u8 = 1;
    pub(crate) const MQ_HASH_CONFIG: u8 = 2;

    pub(crate) const GUEST_OFFLOADS: u8 = 5;
    pub(crate) const GUEST_OFFLOADS_SET: u8 = 0;
}
