// SPDX-License-Identifier: GPL-2.0

//! What the network stack and drivers tell each other: features, counters, addresses.

use crate::bindings;
use core::marker::PhantomData;

/// Features of a network device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(pub(crate) u64);

macro_rules! features {
    ($( $(#[doc = $doc:literal])* $name:ident = $bit:ident; )*) => {
        impl Features {
            $( $(#[doc = $doc])* pub const $name: Self = Self(1 << bindings::$bit); )*
        }
    };
}

features! {
    /// Packets of several segments can be sent.
    SG = NETIF_F_SG_BIT;
    /// Any Internet checksum can be inserted.
    HW_CSUM = NETIF_F_HW_CSUM_BIT;
    /// Memory at any address can be read.
    HIGHDMA = NETIF_F_HIGHDMA_BIT;
    /// TCP over IPv4 can be segmented.
    TSO = NETIF_F_TSO_BIT;
    /// TCP over IPv4 with ECN can be segmented.
    TSO_ECN = NETIF_F_TSO_ECN_BIT;
    /// TCP over IPv6 can be segmented.
    TSO6 = NETIF_F_TSO6_BIT;
    /// UDP can be segmented.
    GSO_UDP_L4 = NETIF_F_GSO_UDP_L4_BIT;
    /// Checksums of received packets are verified.
    RXCSUM = NETIF_F_RXCSUM_BIT;
    /// Received packets are hashed.
    RXHASH = NETIF_F_RXHASH_BIT;
    /// Received packets can be filtered.
    NTUPLE = NETIF_F_NTUPLE_BIT;
    /// Received TCP segments are joined.
    GRO_HW = NETIF_F_GRO_HW_BIT;
    /// Packets that are sent come back.
    LOOPBACK = NETIF_F_LOOPBACK_BIT;
    /// Rules for packets are carried out.
    HW_TC = NETIF_F_HW_TC_BIT;
    /// VLAN tags are inserted.
    VLAN_TX = NETIF_F_HW_VLAN_CTAG_TX_BIT;
    /// VLAN tags are stripped.
    VLAN_RX = NETIF_F_HW_VLAN_CTAG_RX_BIT;
}

impl Features {
    /// No feature.
    pub const NONE: Self = Self(0);

    /// All features that segment packets.
    pub const SEGMENTATION: Self = Self::TSO
        .with(Self::TSO_ECN)
        .with(Self::TSO6)
        .with(Self::GSO_UDP_L4);

    /// Returns the features of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the features that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns whether all of `other` are there.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

macro_rules! counters {
    ($(#[$meta:meta])* $name:ident($raw:ty) { $( $(#[doc = $doc:literal])* $field:ident; )* }) => {
        $(#[$meta])*
        #[repr(transparent)]
        pub struct $name($raw);

        impl $name {
            /// # Safety
            ///
            /// `stats` is valid, and nobody else's, for `'a`.
            pub(crate) unsafe fn from_raw<'a>(stats: *mut $raw) -> &'a mut Self {
                // SAFETY: `Self` is a transparent wrapper; the rest is the caller's promise.
                unsafe { &mut *stats.cast() }
            }

            $(
                $(#[doc = $doc])*
                pub fn $field(&mut self, value: u64) -> &mut Self {
                    self.0.$field = value;
                    self
                }
            )*
        }
    };
}

counters! {
    /// The counters of a network device. A method sets the counter of its name.
    Stats(bindings::rtnl_link_stats64) {
        /// Packets received.
        rx_packets;
        /// Packets sent.
        tx_packets;
        /// Bytes received.
        rx_bytes;
        /// Bytes sent.
        tx_bytes;
        /// Packets that came but could not be used.
        rx_errors;
        /// Packets that could not be sent.
        tx_errors;
        /// Packets that came but were dropped.
        rx_dropped;
        /// Packets that were not sent.
        tx_dropped;
        /// Multicast packets received.
        multicast;
        /// Packets that the device had no buffer for.
        rx_missed_errors;
        /// Packets with a wrong length.
        rx_length_errors;
    }
}

/// The counters of a queue pair, for netlink.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueueStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Buffers that could not be allocated.
    pub rx_alloc_fail: u64,
    /// Packets whose checksum the device verified.
    pub rx_csum_unnecessary: u64,
    /// Packets whose checksum it did not verify.
    pub rx_csum_none: u64,
    /// Packets that the device joined of several.
    pub rx_hw_gro_packets: u64,
    /// Packets that it joined them of.
    pub rx_hw_gro_wire_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets that the device inserted a checksum into.
    pub tx_needs_csum: u64,
    /// Packets that it did not.
    pub tx_csum_none: u64,
    /// Packets that it cut into segments.
    pub tx_hw_gso_packets: u64,
    /// Packets that these became.
    pub tx_hw_gso_wire_packets: u64,
    /// How often the queue was stopped.
    pub tx_stop: u64,
    /// How often it was woken.
    pub tx_wake: u64,
}

impl QueueStats {
    /// Returns the sums of both.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            rx_packets: self.rx_packets + other.rx_packets,
            rx_bytes: self.rx_bytes + other.rx_bytes,
            rx_alloc_fail: self.rx_alloc_fail + other.rx_alloc_fail,
            rx_csum_unnecessary: self.rx_csum_unnecessary + other.rx_csum_unnecessary,
            rx_csum_none: self.rx_csum_none + other.rx_csum_none,
            rx_hw_gro_packets: self.rx_hw_gro_packets + other.rx_hw_gro_packets,
            rx_hw_gro_wire_packets: self.rx_hw_gro_wire_packets + other.rx_hw_gro_wire_packets,
            tx_packets: self.tx_packets + other.tx_packets,
            tx_bytes: self.tx_bytes + other.tx_bytes,
            tx_needs_csum: self.tx_needs_csum + other.tx_needs_csum,
            tx_csum_none: self.tx_csum_none + other.tx_csum_none,
            tx_hw_gso_packets: self.tx_hw_gso_packets + other.tx_hw_gso_packets,
            tx_hw_gso_wire_packets: self.tx_hw_gso_wire_packets + other.tx_hw_gso_wire_packets,
            tx_stop: self.tx_stop + other.tx_stop,
            tx_wake: self.tx_wake + other.tx_wake,
        }
    }

    pub(crate) fn fill_rx(&self, rx: &mut bindings::netdev_queue_stats_rx) {
        rx.packets = self.rx_packets;
        rx.bytes = self.rx_bytes;
        rx.alloc_fail = self.rx_alloc_fail;
        rx.csum_unnecessary = self.rx_csum_unnecessary;
        rx.csum_none = self.rx_csum_none;
        rx.hw_gro_packets = self.rx_hw_gro_packets;
        rx.hw_gro_wire_packets = self.rx_hw_gro_wire_packets;
    }

    pub(crate) fn fill_tx(&self, tx: &mut bindings::netdev_queue_stats_tx) {
        tx.packets = self.tx_packets;
        tx.bytes = self.tx_bytes;
        tx.needs_csum = self.tx_needs_csum;
        tx.csum_none = self.tx_csum_none;
        tx.hw_gso_packets = self.tx_hw_gso_packets;
        tx.hw_gso_wire_packets = self.tx_hw_gso_wire_packets;
        tx.stop = self.tx_stop;
        tx.wake = self.tx_wake;
    }
}

/// Which packets the device tells the time of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamps {
    /// All that are received.
    pub rx: bool,
    /// Those sent for which it is asked.
    pub tx: bool,
}

/// What a network device is to receive, at the time that a change of it was asked for.
pub struct AddressLists<'a> {
    /// Everything is to be received.
    pub promiscuous: bool,
    /// All multicast is to be received.
    pub all_multicast: bool,
    /// Further unicast addresses.
    pub unicast: AddressList<'a>,
    /// Multicast addresses.
    pub multicast: AddressList<'a>,
}

/// A list of MAC addresses.
///
/// # Invariants
///
/// The pointer is to a list that is valid and does not change for `'a`.
#[derive(Clone, Copy)]
pub struct AddressList<'a>(*const bindings::netdev_hw_addr_list, PhantomData<&'a ()>);

impl<'a> AddressList<'a> {
    /// # Safety
    ///
    /// `list` is valid and does not change for `'a`.
    pub(crate) unsafe fn from_raw(list: *const bindings::netdev_hw_addr_list) -> Self {
        // INVARIANT: by the requirements of this function.
        Self(list, PhantomData)
    }

    /// Returns the number of addresses.
    pub fn len(&self) -> usize {
        // SAFETY: the list is valid. CAST: the count is not negative.
        unsafe { (*self.0).count as usize }
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the addresses.
    pub fn iter(&self) -> impl Iterator<Item = [u8; 6]> + 'a {
        // SAFETY: the list is valid.
        let head = unsafe { &raw const (*self.0).list };
        // SAFETY: the head of the list is valid.
        let mut next: *const bindings::list_head = unsafe { (*head).next };
        core::iter::from_fn(move || {
            if core::ptr::eq(next, head) {
                return None;
            }
            // SAFETY: an entry of the list that is not its head is in a `netdev_hw_addr`; the list
            // does not change.
            unsafe {
                let entry = kernel::container_of!(next, bindings::netdev_hw_addr, list);
                next = (*next).next;
                let mut address = [0; 6];
                address.copy_from_slice(&(*entry).addr[..6]);
                Some(address)
            }
        })
    }
}
