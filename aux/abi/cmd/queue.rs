// SPDX-License-Identifier: GPL-2.0

//! Commands about the queues of the network data path.

use super::command;
use crate::wire::*;

codes! {
    /// Kind of a queue.
    pub struct QueueKind(u16) {
        /// [`TxDesc`](crate::desc::TxDesc) and [`TxCompletion`](crate::desc::TxCompletion).
        TX = 0;
        /// [`RxDesc`](crate::desc::RxDesc) and [`RxCompletion`](crate::desc::RxCompletion).
        RX = 1;
        /// A virtqueue, which [`EnableVirtqueue`](super::EnableVirtqueue) makes ready; in events only.
        VIRTIO = 2;
    }
}

codes! {
    /// What an RX queue does to packets beyond putting them in buffers. TX queues have none of these.
    pub struct QueueFlags(u8) {
        /// Joins TCP segments; needs the feature `COALESCE`.
        COALESCE = 1 << 0;
        /// Tells of every packet when it came; needs the feature `TIMESTAMP`.
        TIMESTAMP = 1 << 1;
        /// Puts the data of TCP segments behind their headers into buffers of its own; needs the
        /// feature `HEADER_SPLIT`. Does not go with `COALESCE`.
        SPLIT = 1 << 2;
        /// With `SPLIT`: puts headers in the [places](crate::desc::HEADER_PLACE) behind the ring of
        /// completions and not in buffers. `ModifyQueue` cannot change it.
        HEADERS = 1 << 3;
    }
}

/// Creates a TX or RX queue. All indices start at zero; the memory must be zeroed.
///
/// `IN_USE` if the index is taken, `INVALID_FIELD` if an address is misaligned or null or a number
/// out of range, `DMA_FAULT` if the state block cannot be read and written.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CreateQueue {
    /// Bus address of the ring of descriptors, aligned to 64 bytes.
    pub ring_addr: U64,
    /// Bus address of the ring of completions, aligned to 64 bytes.
    pub cq_addr: U64,
    /// Bus address of the [`QueueState`](crate::desc::QueueState), aligned to 64 bytes.
    pub state_addr: U64,
    /// [`QueueKind`].
    pub kind: U16,
    /// Index of the queue, from 0.
    pub index: U16,
    /// MSI-X vector of its completions.
    pub vector: U16,
    /// Least time between two interrupts in microseconds.
    pub moderation_usecs: U16,
    /// Logarithm of the number of entries of each ring.
    pub depth_log2: u8,
    /// [`QueueFlags`].
    pub flags: u8,
    /// Completions after which the interrupt does not wait any longer, 0 for any number.
    pub moderation_packets: U16,
    /// Time in microseconds for which no segment comes after which those that wait to be joined with
    /// others are handed over.
    pub coalesce_usecs: U16,
    /// Length of the longest packet that `SPLIT` leaves whole, counted as for `PortStats::rx_bytes`.
    pub split_above: U16,
}
layout!(CreateQueue: 40 {
    ring_addr @ 0, cq_addr @ 8, state_addr @ 16, kind @ 24, index @ 26, vector @ 28,
    moderation_usecs @ 30, depth_log2 @ 32, flags @ 33, moderation_packets @ 34, coalesce_usecs @ 36,
    split_above @ 38,
});
command!(CreateQueue = CREATE_QUEUE);

/// Destroys a queue. The device touches none of its memory after the completion. Packets that wait
/// in it are dropped.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DestroyQueue {
    /// [`QueueKind`].
    pub kind: U16,
    /// Index of the queue.
    pub index: U16,
}
layout!(DestroyQueue: 4 { kind @ 0, index @ 2 });
command!(DestroyQueue = DESTROY_QUEUE);

/// Changes what may change of a queue while it works. An interrupt that waits is looked at anew.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ModifyQueue {
    /// [`QueueKind`].
    pub kind: U16,
    /// Index of the queue.
    pub index: U16,
    /// As for [`CreateQueue`].
    pub moderation_usecs: U16,
    /// As for [`CreateQueue`].
    pub moderation_packets: U16,
    /// As for [`CreateQueue`].
    pub coalesce_usecs: U16,
    /// [`QueueFlags`].
    pub flags: u8,
    /// Reserved.
    pub rsvd: [u8; 5],
}
layout!(ModifyQueue: 16 {
    kind @ 0, index @ 2, moderation_usecs @ 4, moderation_packets @ 6, coalesce_usecs @ 8, flags @ 10,
    rsvd @ 11,
});
command!(ModifyQueue = MODIFY_QUEUE);

/// Tells where a queue stands.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueryQueue {
    /// [`QueueKind`].
    pub kind: U16,
    /// Index of the queue.
    pub index: U16,
}
layout!(QueryQueue: 4 { kind @ 0, index @ 2 });
command!(QueryQueue = QUERY_QUEUE, done QueryQueueDone, none [u8; 0], any);

/// Answer to [`QueryQueue`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueryQueueDone {
    /// Free-running index of the next descriptor that the device reads.
    pub head: U32,
    /// Free-running index of the next completion that the device writes.
    pub cq_tail: U32,
    /// [`QueueSyndrome`](crate::event::QueueSyndrome).
    pub syndrome: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
}
layout!(QueryQueueDone: 12 { head @ 0, cq_tail @ 4, syndrome @ 8 });
