// SPDX-License-Identifier: GPL-2.0

//! Commands about the device and its functions as a whole.

use super::command;
use crate::wire::*;

/// Answers with what it was sent: a sign of life.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Echo {
    /// Any value.
    pub value: U64,
}
layout!(Echo: 8 { value @ 0 });
command!(Echo = ECHO, done EchoDone, none [u8; 0], any);

/// Answer to [`Echo`].
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EchoDone {
    /// The value that was sent.
    pub value: U64,
}
layout!(EchoDone: 8 { value @ 0 });

/// Describes the device in the data buffer.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Identify {}
command!(Identify = IDENTIFY, done (), from_device Identity, any);

/// What [`Identify`] writes. Strings are ASCII, padded with zeros.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Identity {
    /// Serial number of the board.
    pub serial: [u8; 32],
    /// Name of the ASIC.
    pub asic: [u8; 16],
    /// Version of the running firmware.
    pub fw_running: [u8; 32],
    /// Version of the firmware that the next activation runs.
    pub fw_stored: [u8; 32],
    /// Revision of the ASIC.
    pub asic_revision: U16,
    /// Largest number of VFs.
    pub max_vfs: U16,
    /// Largest number of SFs.
    pub max_sfs: U16,
    /// Number of firmware slots.
    pub firmware_slots: U16,
    /// Identity of this very device, kept through migration: an RFC 4122 UUID in network order.
    pub uuid: [u8; 16],
    /// MSI-X vectors that all VFs have together, 0 if their number cannot be changed.
    pub total_vf_vectors: U32,
    /// Largest number of MSI-X vectors of one VF.
    pub max_vf_vectors: U16,
    /// Reserved.
    pub rsvd: [u8; 114],
}
layout!(Identity: 256 {
    serial @ 0, asic @ 32, fw_running @ 48, fw_stored @ 80, asic_revision @ 112, max_vfs @ 114,
    max_sfs @ 116, firmware_slots @ 118, uuid @ 120, total_vf_vectors @ 136,
    max_vf_vectors @ 140, rsvd @ 142,
});

/// Describes a function.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueryFunction {}
command!(QueryFunction = QUERY_FUNCTION, done QueryFunctionDone, none [u8; 0], any);

/// Answer to [`QueryFunction`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueryFunctionDone {
    /// MAC address in use.
    pub mac: [u8; 6],
    /// MTU in use.
    pub mtu: U16,
    /// Largest MTU that can be set.
    pub max_mtu: U16,
    /// Largest number of TX queues, and of RX queues.
    pub max_queues: U16,
    /// [`FunctionState`](crate::event::FunctionState).
    pub state: U16,
    /// Doorbell page in [`BAR_DOORBELLS`](crate::bar::BAR_DOORBELLS).
    pub doorbell_page: U16,
    /// Entries of the RSS indirection table, a power of two.
    pub rss_table: U16,
    /// Largest logarithm of the depth of a queue.
    pub max_depth_log2: u8,
    /// Reserved.
    pub rsvd: u8,
}
layout!(QueryFunctionDone: 20 {
    mac @ 0, mtu @ 6, max_mtu @ 8, max_queues @ 10, state @ 12, doorbell_page @ 14,
    rss_table @ 16, max_depth_log2 @ 18,
});

/// Creates the event queue of the PCI function that sends this.
///
/// Refused with `IN_USE` if there is one.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CreateEventQueue {
    /// Bus address of the ring of [`Event`](crate::event::Event), aligned to 64 bytes.
    pub ring_addr: U64,
    /// MSI-X vector raised after events were written.
    pub vector: U16,
    /// Logarithm of the number of entries.
    pub depth_log2: u8,
    /// Reserved.
    pub rsvd: [u8; 5],
}
layout!(CreateEventQueue: 16 { ring_addr @ 0, vector @ 8, depth_log2 @ 10 });
command!(CreateEventQueue = CREATE_EVENT_QUEUE);

/// Destroys the event queue. No event is written after the completion.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DestroyEventQueue {}
command!(DestroyEventQueue = DESTROY_EVENT_QUEUE);

/// Tells the time of the device clock, by which packets are stamped.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueryClock {}
command!(QueryClock = QUERY_CLOCK, done QueryClockDone, none [u8; 0], any);

/// Answer to [`QueryClock`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueryClockDone {
    /// Nanoseconds since some moment before the device was powered on. It never goes back.
    pub time: U64,
}
layout!(QueryClockDone: 8 { time @ 0 });

/// Largest number of bytes that one [`CopyMemory`] copies.
pub const MAX_COPY: u32 = 0x4_0000;

/// Copies memory, by DMA of the PCI function that sends this: a test of the way to memory and back, through
/// the IOMMU, that needs no packets.
///
/// All is read before anything is written, so that source and destination may overlap. `INVALID_FIELD` if
/// `length` is 0, larger than [`MAX_COPY`], or passes the end of the address space; `DMA_FAULT` if the
/// source could not be read, and then nothing was written, or the destination not be written, and then
/// part of it may have been.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CopyMemory {
    /// Bus address that is copied from.
    pub source: U64,
    /// Bus address that is copied to.
    pub destination: U64,
    /// Bytes that are copied.
    pub length: U32,
    /// Reserved.
    pub rsvd: [u8; 4],
}
layout!(CopyMemory: 24 { source @ 0, destination @ 8, length @ 16, rsvd @ 20 });
command!(CopyMemory = COPY_MEMORY);
