// SPDX-License-Identifier: GPL-2.0

//! Sizes: how packets are laid out in receive buffers, and how full a transmit ring may get.

use ferrite_abi::desc::MAX_COALESCED;
use ferrite_abi::ids::{
    MAX_MTU,
    MIN_MTU, //
};
use ferrite_abi::ring::Depth;

/// Bytes of an Ethernet header and a VLAN tag, what a packet has beyond its MTU.
pub const L2_HEADER: u32 = 14 + 4;

/// Packets up to this length are copied, and their buffer is posted again at once.
pub const COPY_BREAK: u32 = 256;

/// Microseconds without another segment for which received ones wait to be joined, unless interrupts wait longer.
pub const COALESCE_USECS: u16 = 100;

/// Logarithm of the depth that receive queues start with: room for what the peer sends before the
/// receiver gets to run.
pub const RX_DEPTH_LOG2: u8 = 10;
/// Logarithm of the depth that transmit queues start with.
pub const TX_DEPTH_LOG2: u8 = 9;
/// Smallest depth of a queue: room for several packets of the largest number of segments.
pub const MIN_DEPTH: u32 = 64;

/// Largest number of segments of a packet of the network stack: linear part and page fragments.
pub const MAX_SKB_SEGMENTS: u32 = 18;

/// How many descriptors of a transmit ring must be free for the queue to go on, and to go on again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// The queue is stopped when fewer are free.
    pub stop: u32,
    /// A stopped queue is woken when as many are free.
    pub wake: u32,
}

impl Watermarks {
    /// Returns those of a ring: any packet fits while the queue runs, and a queue that was stopped
    /// is woken once a quarter is free, so that it does not stop at the next packet again.
    pub fn of(depth: Depth) -> Self {
        Self {
            stop: MAX_SKB_SEGMENTS,
            wake: (depth.entries() / 4).max(2 * MAX_SKB_SEGMENTS),
        }
    }
}

/// How receive buffers are cut: `size` bytes of which `overhead` are not for packet data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RxGeometry {
    /// Bytes of memory that a buffer takes.
    pub size: u32,
    /// Bytes at its start that stay free for headers that the network stack puts in front.
    pub headroom: u32,
    /// Bytes of packet data that it holds.
    pub data: u32,
}

impl RxGeometry {
    /// Returns how to cut pages of `page` bytes for packets of `mtu`: into halves if a packet fits
    /// into half a page, else into whole pages, over several of which a jumbo packet is scattered.
    /// `headroom` and `tailroom` are what the network stack needs around the data.
    ///
    /// [`None`] if packets of `mtu` do not fit and may not be scattered.
    pub fn of(mtu: u32, page: u32, headroom: u32, tailroom: u32, scatter: bool) -> Option<Self> {
        Self::cut(mtu, page, headroom, tailroom, scatter, true)
    }

    /// As [`Self::of`], for packets that the device joins of segments: into whole pages, of which as
    /// many as a packet may have hold the largest. [`None`] too if they do not.
    pub fn joining(mtu: u32, page: u32, headroom: u32, tailroom: u32) -> Option<Self> {
        Self::cut(mtu, page, headroom, tailroom, true, false)
            .filter(|cut| cut.data * MAX_SKB_SEGMENTS >= MAX_COALESCED + L2_HEADER)
    }

    /// As [`Self::of`], for what packets have behind their headers: nothing is to be around it.
    pub fn data(mtu: u32, page: u32, scatter: bool) -> Option<Self> {
        Self::cut(mtu, page, 0, 0, scatter, true)
    }

    fn cut(
        mtu: u32,
        page: u32,
        headroom: u32,
        tailroom: u32,
        scatter: bool,
        halves: bool,
    ) -> Option<Self> {
        let packet = mtu + L2_HEADER;
        let data = |size: u32| {
            size.checked_sub(headroom + tailroom)
                .filter(|data| *data > 0)
        };
        let half = data(page / 2).filter(|data| halves && *data >= packet);
        let (size, data) = match half {
            Some(data) => (page / 2, data),
            None => (page, data(page)?),
        };
        (data >= packet || scatter).then_some(Self {
            size,
            headroom,
            data,
        })
    }

    /// Returns whether one buffer holds any packet of `mtu`.
    pub fn holds(&self, mtu: u32) -> bool {
        self.data >= mtu + L2_HEADER
    }
}

/// Returns the depth for a ring of at least `entries` entries, with the limits that this driver
/// and the device set.
pub fn ring_depth(entries: u32, max_log2: u8) -> Option<Depth> {
    Depth::at_least(entries.max(MIN_DEPTH)).filter(|depth| depth.log2() <= max_log2)
}

/// Returns the smallest and the largest MTU to offer, given what the device says is its largest.
pub fn mtu_range(device_max: u16) -> (u32, u32) {
    let max = device_max.clamp(MIN_MTU, MAX_MTU);
    (u32::from(MIN_MTU), u32::from(max))
}
