// SPDX-License-Identifier: GPL-2.0

//! Entries of the event queue: what the device says without being asked.

use crate::ids::FunctionId;
use crate::ring::{
    Depth,
    Index, //
};
use crate::wire::*;

/// An entry of the event queue. The device writes `meta` last.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Event {
    /// [`EventKind`].
    pub kind: U16,
    /// [`FunctionId`] that the event is about.
    pub function: U16,
    /// A struct of the kind's own, padded with zeros.
    pub payload: [u8; 24],
    /// Bit 0 is the phase bit, bits 31:1 count events, lost ones too.
    pub meta: U32,
}
layout!(Event: 32 { kind @ 0, function @ 2, payload @ 4, meta @ 28 });

/// Size of the payload of an [`Event`] in bytes.
pub const EVENT_PAYLOAD: usize = 24;

impl Event {
    /// Returns an event about `function`; `index` is where it is put, `sequence` its number.
    pub fn new<P: Payload>(
        function: FunctionId,
        payload: P,
        depth: Depth,
        index: Index,
        sequence: u32,
    ) -> Self {
        let mut event = Self {
            kind: U16::new(P::KIND.0),
            function: U16::new(function.0),
            payload: [0; EVENT_PAYLOAD],
            meta: U32::new(sequence << 1 | u32::from(depth.phase(index))),
        };
        event.payload[..size_of::<P>()].copy_from_slice(payload.as_bytes());
        event
    }

    /// Returns whether the entry belongs to the pass over the ring that `index` is in.
    pub fn is_new(&self, depth: Depth, index: Index) -> bool {
        (self.meta.get() & 1 == 1) == depth.phase(index)
    }

    /// Returns the number of the event, modulo 2^31.
    pub fn sequence(&self) -> u32 {
        self.meta.get() >> 1
    }

    /// Returns the payload, if the event is of the kind that `P` belongs to.
    pub fn payload<P: Payload>(&self) -> Option<P> {
        if self.kind.get() != P::KIND.0 {
            return None;
        }
        P::read_from_prefix(&self.payload)
            .ok()
            .map(|(payload, _)| payload)
    }
}

codes! {
    /// Kind of an [`Event`].
    pub struct EventKind(u16) {
        /// The link of the port changed: [`LinkChange`].
        LINK_CHANGE = 1;
        /// A function changed its state: [`FunctionChange`].
        FUNCTION_CHANGE = 2;
        /// A queue stopped after an error: [`QueueError`].
        QUEUE_ERROR = 3;
        /// The health of the device changed: [`HealthChange`].
        HEALTH_CHANGE = 4;
        /// A virtio-net device has something to tell its driver: [`VirtioChange`].
        VIRTIO_CHANGE = 5;
        /// There is something to save of a VF: [`SaveChange`].
        SAVE_CHANGE = 6;
        /// A packet that was dropped waits for the driver: [`PacketTrapped`].
        PACKET_TRAPPED = 7;
    }
}

/// Payload of one kind of event.
pub trait Payload: Wire {
    /// The kind that this payload belongs to.
    const KIND: EventKind;
}

/// The link of the function's port changed.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LinkChange {
    /// Speed in Mbit/s, 0 when the link is down.
    pub speed: U32,
    /// 1 when the link is up, 0 when it is down.
    pub up: u8,
    /// Reserved.
    pub rsvd: [u8; 3],
}
layout!(LinkChange: 8 { speed @ 0, up @ 4 });

impl Payload for LinkChange {
    const KIND: EventKind = EventKind::LINK_CHANGE;
}

/// A function changed its state.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FunctionChange {
    /// [`FunctionState`] that the function is in now.
    pub state: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
}
layout!(FunctionChange: 4 { state @ 0 });

impl Payload for FunctionChange {
    const KIND: EventKind = EventKind::FUNCTION_CHANGE;
}

codes! {
    /// State of a function in its life cycle.
    pub struct FunctionState(u16) {
        /// No such function is provisioned.
        ABSENT = 0;
        /// Provisioned and configurable, not usable.
        INACTIVE = 1;
        /// Usable; no driver has enabled it.
        ACTIVE = 2;
        /// A driver uses it.
        IN_USE = 3;
    }
}

/// A queue stopped after an error that the driver must mend by destroying it.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueueError {
    /// [`crate::cmd::QueueKind`].
    pub kind: U16,
    /// Index of the queue.
    pub index: U16,
    /// [`QueueSyndrome`].
    pub syndrome: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
}
layout!(QueueError: 8 { kind @ 0, index @ 2, syndrome @ 4 });

impl Payload for QueueError {
    const KIND: EventKind = EventKind::QUEUE_ERROR;
}

codes! {
    /// Why a queue stopped.
    pub struct QueueSyndrome(u16) {
        /// It runs.
        NONE = 0;
        /// A ring or the state block could not be read or written.
        DMA_FAULT = 1;
        /// The tail is further ahead than the ring is deep.
        BAD_TAIL = 2;
        /// A packet's descriptors exceed the ring or never end.
        BAD_CHAIN = 3;
        /// Stopped by an injected fault.
        INJECTED = 4;
    }
}

/// The health of the device changed.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct HealthChange {
    /// [`Syndrome`], [`Syndrome::NONE`] when the device is well again.
    pub syndrome: U32,
}
layout!(HealthChange: 4 { syndrome @ 0 });

impl Payload for HealthChange {
    const KIND: EventKind = EventKind::HEALTH_CHANGE;
}

codes! {
    /// What ails the device, as the `SYNDROME` register says.
    pub struct Syndrome(u32) {
        /// Nothing.
        NONE = 0;
        /// The admin rings could not be read or written.
        ADMIN_DMA_FAULT = 1;
        /// The tail of the admin queue is further ahead than the ring is deep.
        ADMIN_BAD_TAIL = 2;
        /// The firmware stopped.
        FIRMWARE_HUNG = 3;
    }
}

/// The configuration space or the status of a virtio-net device changed, other than by a command
/// about its status.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VirtioChange {
    /// Generation of the configuration space.
    pub generation: U32,
    /// Device status, by the bits of the virtio specification.
    pub status: u8,
    /// Reserved.
    pub rsvd: [u8; 3],
}
layout!(VirtioChange: 8 { generation @ 0, status @ 4, rsvd @ 5 });

impl Payload for VirtioChange {
    const KIND: EventKind = EventKind::VIRTIO_CHANGE;
}

/// There is something to save of a VF that is being saved, of which there was nothing more to save.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SaveChange {}
layout!(SaveChange: 0 {});

impl Payload for SaveChange {
    const KIND: EventKind = EventKind::SAVE_CHANGE;
}

/// A packet that was dropped waits for the driver of the PF, and none did before.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PacketTrapped {
    /// [`TrapCause`](crate::cmd::TrapCause).
    pub cause: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
}
layout!(PacketTrapped: 4 { cause @ 0, rsvd @ 2 });

impl Payload for PacketTrapped {
    const KIND: EventKind = EventKind::PACKET_TRAPPED;
}
