// SPDX-License-Identifier: GPL-2.0

//! Descriptors and completions of the network data path, and the state block of a queue.
//!
//! A TX or RX queue is three pieces of driver memory, named when the queue is created: a ring of
//! descriptors (driver to device), a ring of completions of the same depth (device to driver), and
//! a [`QueueState`]. Completions are written in the order of descriptors, each at most one
//! descriptor, so that the completion ring cannot overflow.

use crate::wire::*;

/// State block of a queue: one cache line that only the driver writes, one that only the device
/// writes. Must be aligned to 64 bytes. All indices run freely.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueueState {
    /// Driver: descriptors before this index are ready.
    pub tail: U32,
    /// Driver: an interrupt is wanted once the completion at this index is written. To have none,
    /// it is left behind. After moving it the driver looks at `cq_tail` once more.
    pub arm: U32,
    /// Driver: reserved.
    pub rsvd_driver: [u8; 56],
    /// Device: completions before this index are written.
    pub cq_tail: U32,
    /// Device: a doorbell is wanted once `tail` moves past this index. After moving it the device
    /// looks at `tail` once more.
    pub doorbell_event: U32,
    /// Device: reserved.
    pub rsvd_device: [u8; 56],
}
layout!(QueueState: 128 { tail @ 0, arm @ 4, rsvd_driver @ 8, cq_tail @ 64, doorbell_event @ 68 });

/// Bytes of a place for the headers of a packet. With `HEADERS` there are as many as the ring of completions
/// is deep, right behind it; the headers of a packet are in that of its first completion.
pub const HEADER_PLACE: u32 = 256;

/// Largest packet that segments are joined into, in bytes of layer 3.
pub const MAX_COALESCED: u32 = 0xffff;

/// Alignment of a [`QueueState`] in bytes.
pub const STATE_ALIGN: u64 = 64;
/// Alignment of each ring in bytes.
pub const RING_ALIGN: u64 = 64;

/// Largest number of descriptors of one TX packet.
pub const MAX_TX_SEGMENTS: u32 = 32;
/// Largest size of a TX packet in bytes; larger than any MTU for segmentation offload.
pub const MAX_TX_PACKET: u32 = 0x1_0000 + 256;

/// TX descriptor: one segment of a packet. What a packet asks for (`flags` other than
/// [`TxFlags::END`], and all other fields but `addr` and `len`) is taken from its first
/// descriptor.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TxDesc {
    /// Bus address of the segment.
    pub addr: U64,
    /// Length of the segment in bytes, not 0.
    pub len: U32,
    /// [`TxFlags`].
    pub flags: U16,
    /// VLAN tag control information to insert, with [`TxFlags::VLAN`].
    pub vlan: U16,
    /// Offset from the start of the packet at which the checksum starts, with [`TxFlags::CSUM`].
    pub csum_start: U16,
    /// Offset from `csum_start` at which the checksum is stored.
    pub csum_offset: U16,
    /// Payload bytes of each segment, with [`TxFlags::TSO`].
    pub mss: U16,
    /// Bytes of all headers up to the payload, with [`TxFlags::TSO`].
    pub header_len: U16,
    /// Reserved.
    pub rsvd: [u8; 8],
}
layout!(TxDesc: 32 {
    addr @ 0, len @ 8, flags @ 12, vlan @ 14, csum_start @ 16, csum_offset @ 18, mss @ 20,
    header_len @ 22, rsvd @ 24,
});

codes! {
    /// Flags of a [`TxDesc`].
    pub struct TxFlags(u16) {
        /// Last segment of its packet.
        END = 1 << 0;
        /// Insert the Internet checksum at `csum_start + csum_offset`.
        CSUM = 1 << 1;
        /// Segment the packet into pieces of `mss` payload bytes. Implies `CSUM`.
        TSO = 1 << 2;
        /// Insert a VLAN tag.
        VLAN = 1 << 3;
        /// Write a completion with a time stamp; packets after this one do not share it.
        TIMESTAMP = 1 << 4;
    }
}

/// TX completion: all descriptors before `index` are done. One completion may stand for many
/// packets.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TxCompletion {
    /// Descriptors before this free-running index are done.
    pub index: U32,
    /// [`TxStatus`] of the packet that ends at `index`. Good and bad packets do not share a
    /// completion.
    pub status: U16,
    /// [`TxDone`].
    pub flags: U16,
    /// Time of sending in nanoseconds of the device clock, with [`TxDone::TIMESTAMP`].
    pub timestamp: U64,
}
layout!(TxCompletion: 16 { index @ 0, status @ 4, flags @ 6, timestamp @ 8 });

codes! {
    /// Flags of a [`TxCompletion`].
    pub struct TxDone(u16) {
        /// `timestamp` is valid, and that of the packet which ends at `index`.
        TIMESTAMP = 1 << 0;
    }
}

codes! {
    /// How the transmission of a packet ended.
    pub struct TxStatus(u16) {
        /// Sent, or dropped by the switch's rules.
        OK = 0;
        /// The descriptors make no packet: too many, too long, empty, or flags that do not fit.
        BAD_DESCRIPTOR = 1;
        /// A segment could not be read from memory.
        DMA_FAULT = 2;
        /// Not permitted: a forged source address.
        NOT_PERMITTED = 3;
    }
}

/// RX descriptor: one buffer.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RxDesc {
    /// Bus address of the buffer.
    pub addr: U64,
    /// Size of the buffer in bytes, not 0.
    pub len: U32,
    /// Returned in the completion; the device gives it no meaning.
    pub cookie: U32,
}
layout!(RxDesc: 16 { addr @ 0, len @ 8, cookie @ 12 });

/// RX completion: one buffer was filled. A packet larger than a buffer takes several, in order;
/// what is said of the packet (all but `cookie`, `len` and [`RxFlags::END`]) is in its first.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RxCompletion {
    /// Cookie of the buffer's descriptor.
    pub cookie: U32,
    /// Bytes written to the buffer.
    pub len: U32,
    /// RSS hash (Toeplitz), with [`RxFlags::HASH`].
    pub hash: U32,
    /// [`RxFlags`].
    pub flags: U16,
    /// VLAN tag control information that was stripped, with [`RxFlags::VLAN`].
    pub vlan: U16,
    /// Payload bytes of each of the segments but the last, with [`RxFlags::COALESCED`].
    pub mss: U16,
    /// TCP segments that were joined into this packet, with [`RxFlags::COALESCED`].
    pub segments: U16,
    /// Offset of the TCP header, with [`RxFlags::COALESCED`].
    pub l4_offset: U16,
    /// Bytes of the packet in the place for headers, before those in buffers.
    pub header_len: U16,
    /// Time of arrival in nanoseconds of the device clock.
    pub timestamp: U64,
}
layout!(RxCompletion: 32 {
    cookie @ 0, len @ 4, hash @ 8, flags @ 12, vlan @ 14, mss @ 16, segments @ 18, l4_offset @ 20,
    header_len @ 22, timestamp @ 24,
});

codes! {
    /// Flags of an [`RxCompletion`].
    pub struct RxFlags(u16) {
        /// Last buffer of its packet.
        END = 1 << 0;
        /// The IPv4 header checksum, if there is one, and the TCP or UDP checksum are right.
        CSUM_OK = 1 << 1;
        /// `hash` is valid.
        HASH = 1 << 2;
        /// `hash` was computed over ports as well as addresses.
        HASH_L4 = 1 << 3;
        /// `vlan` is valid.
        VLAN = 1 << 4;
        /// `mss`, `segments` and `l4_offset` are valid.
        COALESCED = 1 << 5;
        /// `timestamp` is valid.
        TIMESTAMP = 1 << 6;
    }
}
