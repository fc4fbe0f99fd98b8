// SPDX-License-Identifier: GPL-2.0

//! Commands about the port of a function: its link, address, filters and counters.

use super::command;
use crate::wire::*;

/// Tells the state of the link of the function's port.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueryLink {}
command!(QueryLink = QUERY_LINK, done QueryLinkDone, none [u8; 0], any);

/// Answer to [`QueryLink`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueryLinkDone {
    /// Speed in Mbit/s, 0 when the link is down.
    pub speed: U32,
    /// 1 when the link is up, 0 when it is down.
    pub up: u8,
    /// Reserved.
    pub rsvd: [u8; 3],
}
layout!(QueryLinkDone: 8 { speed @ 0, up @ 4 });

/// Opens or closes the port to packets, both ways. A queue that is created while the port is
/// closed moves no packet.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EnablePort {
    /// 1 opens, 0 closes.
    pub enable: u8,
    /// Reserved.
    pub rsvd: [u8; 3],
}
layout!(EnablePort: 4 { enable @ 0 });
command!(EnablePort = ENABLE_PORT);

/// Turns the port around, for tests: what the driver sends comes back to the port, which receives nothing
/// else, and has a link. It lasts until the function is reset.
///
/// `NOT_SUPPORTED` without the feature `LOOPBACK`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetLoopback {
    /// 1 turns it around, 0 back.
    pub enable: u8,
    /// Reserved.
    pub rsvd: [u8; 3],
}
layout!(SetLoopback: 4 { enable @ 0 });
command!(SetLoopback = SET_LOOPBACK);

/// Sets the MAC address that the port receives for. It lasts until the function is reset.
///
/// `INVALID_FIELD` for a multicast or zero address.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetMac {
    /// The address.
    pub mac: [u8; 6],
    /// Reserved.
    pub rsvd: [u8; 2],
}
layout!(SetMac: 8 { mac @ 0 });
command!(SetMac = SET_MAC);

/// Sets the largest packet that the port takes, in bytes of layer 3.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetMtu {
    /// The MTU.
    pub mtu: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
}
layout!(SetMtu: 4 { mtu @ 0 });
command!(SetMtu = SET_MTU);

codes! {
    /// What a port receives beside unicast to its own address and broadcast.
    pub struct RxMode(u16) {
        /// Everything.
        PROMISCUOUS = 1 << 0;
        /// All multicast.
        ALL_MULTICAST = 1 << 1;
    }
}

/// Largest number of further addresses in [`RxFilter`].
pub const MAX_RX_FILTER: usize = 128;

/// Sets what the port receives, replacing what was set before.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetRxMode {
    /// [`RxMode`].
    pub mode: U16,
    /// Number of addresses in the data buffer, [`MAX_RX_FILTER`] at most.
    pub count: U16,
}
layout!(SetRxMode: 4 { mode @ 0, count @ 2 });
command!(SetRxMode = SET_RX_MODE, done (), to_device RxFilter, any);

/// Data buffer of [`SetRxMode`]: further addresses to receive for, unicast and multicast.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RxFilter {
    /// The addresses; only the first `count` have a meaning.
    pub addresses: [[u8; 6]; MAX_RX_FILTER],
}
layout!(RxFilter: 768 { addresses @ 0 });

/// Writes the counters of the port to the data buffer, as many as there is room for; at least those
/// up to `rx_bad_checksum`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueryStats {}
command!(QueryStats = QUERY_STATS, done (), from_device PortStats, any);

macro_rules! port_stats {
    ($( $(#[doc = $doc:literal])* $name:ident @ $offset:literal; )*) => {
        /// What [`QueryStats`] writes: counters since the function was made, 64 bits each, which a
        /// reset of the function does not clear. TX is what the driver sent, RX what it was given.
        #[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C)]
        pub struct PortStats {
            $( $(#[doc = $doc])* pub $name: U64, )*
        }
        layout!(PortStats: 144 { $( $name @ $offset, )* });

        impl PortStats {
            /// Names of the counters in their order, as `ethtool -S` shows them.
            pub const NAMES: &'static [&'static str] = &[$( stringify!($name) ),*];

            /// Returns the counters in their order.
            pub fn values(&self) -> impl Iterator<Item = u64> {
                [$( self.$name.get() ),*].into_iter()
            }
        }
    };
}

port_stats! {
    /// Packets sent.
    tx_packets @ 0;
    /// Bytes sent, from the destination address up to the end of the payload.
    tx_bytes @ 8;
    /// Packets sent to a multicast address other than broadcast.
    tx_multicast @ 16;
    /// Packets sent to the broadcast address.
    tx_broadcast @ 24;
    /// Packets refused because their descriptors were wrong.
    tx_bad_descriptor @ 32;
    /// Packets refused because they could not be read from memory.
    tx_dma_fault @ 40;
    /// Packets refused for want of permission.
    tx_not_permitted @ 48;
    /// Packets that no port took.
    tx_dropped @ 56;
    /// Packets received.
    rx_packets @ 64;
    /// Bytes received, counted as for `tx_bytes`.
    rx_bytes @ 72;
    /// Packets received for a multicast address other than broadcast.
    rx_multicast @ 80;
    /// Packets received for the broadcast address.
    rx_broadcast @ 88;
    /// Packets dropped because there was no buffer.
    rx_no_buffer @ 96;
    /// Packets dropped because they were longer than the MTU allows.
    rx_too_long @ 104;
    /// Packets dropped because a buffer could not be written.
    rx_dma_fault @ 112;
    /// Packets dropped because the port was closed.
    rx_closed @ 120;
    /// Packets whose checksum was found wrong; they are received all the same.
    rx_bad_checksum @ 128;
    /// Packets dropped by a filter.
    rx_filtered @ 136;
}

/// Writes the counters of frames of the port to the data buffer.
///
/// `NOT_SUPPORTED` without the feature `FRAME_COUNTERS`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueryFrames {}
command!(QueryFrames = QUERY_FRAMES, done (), from_device FrameStats, any);

/// Number of classes that frames are counted in by their length.
pub const FRAME_CLASSES: usize = 7;

/// Longest frame of each class but the last, which ends with the longest that a port can take.
pub const FRAME_CLASS_ENDS: [u16; FRAME_CLASSES - 1] = [64, 127, 255, 511, 1023, 1518];

/// Length of the shortest frame on a wire, with its checksum.
pub const MIN_FRAME: u16 = 64;

/// Length of the checksum of a frame.
pub const FRAME_CHECKSUM: u16 = 4;

/// What [`QueryFrames`] writes: counters since the function was made, 64 bits each, which a reset of
/// the function does not clear. Lengths are those on a wire: with checksum, and padded to
/// [`MIN_FRAME`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FrameStats {
    /// Frames that the driver sent.
    pub tx: FrameCounters,
    /// Frames that the switch brought to the open port, whether or not there was a buffer for them.
    pub rx: FrameCounters,
}
layout!(FrameStats: 192 { tx @ 0, rx @ 96 });

/// Counters of the frames of one direction, in [`FrameStats`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FrameCounters {
    /// All frames.
    pub frames: U64,
    /// Their bytes.
    pub octets: U64,
    /// Those for a multicast address other than broadcast.
    pub multicast: U64,
    /// Those for the broadcast address.
    pub broadcast: U64,
    /// Those of MAC control: of the EtherType 0x8808.
    pub control: U64,
    /// Frames of each class of lengths.
    pub classes: [U64; FRAME_CLASSES],
}
layout!(FrameCounters: 96 {
    frames @ 0, octets @ 8, multicast @ 16, broadcast @ 24, control @ 32, classes @ 40,
});

/// Returns the class of a frame, by its length on the wire.
pub fn frame_class(length: u64) -> usize {
    FRAME_CLASS_ENDS
        .iter()
        .position(|end| length <= u64::from(*end))
        .unwrap_or(FRAME_CLASSES - 1)
}
