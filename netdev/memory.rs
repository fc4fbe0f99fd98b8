// SPDX-License-Identifier: GPL-2.0

//! Memory of a queue, shared with the device.

use crate::logic::{
    memory::{
        Progress,
        QueueMemory, //
    },
    rx::Headers, //
};
use core::mem::offset_of;
use ferrite_abi::{
    bar::Doorbell,
    cmd::{
        CreateQueue,
        ModifyQueue,
        QueueFlags,
        QueueKind, //
    },
    desc::{
        QueueState,
        RxCompletion,
        RxDesc,
        TxCompletion,
        TxDesc,
        HEADER_PLACE, //
    },
    ring::{
        Depth,
        Index, //
    },
    wire::{
        U16,
        U64, //
    },
};
use ferrite_aux::Function;
use kernel::prelude::*;
use kernel_ext::dma::{
    full_fence,
    Bytes,
    Entry,
    Ring, //
};

/// Memory of a TX queue.
pub(crate) type TxMemory = Memory<TxDesc, TxCompletion>;
/// Memory of an RX queue.
pub(crate) type RxMemory = Memory<RxDesc, RxCompletion>;

/// How the interrupts of a queue are moderated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moderation {
    /// Least time between two in microseconds.
    pub(crate) usecs: u16,
    /// Packets after which one does not wait any longer, 0 for any number.
    pub(crate) packets: u16,
}

/// What can be changed of a queue while it works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tuning {
    /// Its interrupts, to begin with.
    pub(crate) moderation: Moderation,
    /// They follow its traffic.
    pub(crate) adaptive: bool,
    /// What an RX queue does with packets.
    pub(crate) flags: QueueFlags,
    /// Microseconds that segments wait for others.
    pub(crate) coalesce_usecs: u16,
    /// Longest packet that is not split, for a new queue.
    pub(crate) split_above: u16,
}

/// Rings and state block of a queue, and its doorbell.
pub(crate) struct Memory<D: Entry, C: Entry> {
    descs: Ring<D>,
    completions: Ring<C>,
    state: Ring<QueueState>,
    progress: Progress,
    depth: Depth,
    function: Function,
    doorbell: Doorbell,
}

impl<D: Entry, C: Entry> Memory<D, C> {
    /// Allocates the memory of a queue; it is zeroed.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENODEV` if the device is gone.
    pub(crate) fn new(function: &Function, depth: Depth, doorbell: Doorbell) -> Result<Self> {
        Self::with_places(function, depth, doorbell, 0)
    }

    /// As [`Self::new`], with a place of `place` bytes for each completion, behind all of these.
    fn with_places(
        function: &Function,
        depth: Depth,
        doorbell: Doorbell,
        place: u32,
    ) -> Result<Self> {
        let device = function.dma_device()?;
        let entries = depth.entries();
        let room = entries as usize * place as usize;
        Ok(Self {
            descs: Ring::new(&device, entries)?,
            completions: Ring::with_room(&device, entries, room)?,
            state: Ring::new(&device, 1)?,
            progress: Progress::new(),
            depth,
            function: function.clone(),
            doorbell,
        })
    }

    /// Makes it memory that was just allocated. No queue uses it.
    pub(crate) fn reset(&self) {
        self.descs.clear();
        self.completions.clear();
        self.state.clear();
        self.progress.reset();
    }

    /// Returns the depth of both rings.
    pub(crate) fn depth(&self) -> Depth {
        self.depth
    }

    /// Returns the entries of the rings at two indices, whatever they are.
    pub(crate) fn entries(&self, desc: Index, completion: Index) -> (D, C) {
        // CAST: a ring has fewer than 2^32 slots.
        let slot = |index| self.depth.slot(index) as u32;
        (
            self.descs.read(slot(desc)),
            self.completions.read(slot(completion)),
        )
    }

    /// Returns kind and index of the queue.
    fn name(&self) -> (QueueKind, u16) {
        match self.doorbell {
            Doorbell::Rx(index) => (QueueKind::RX, index),
            Doorbell::Tx(index) | Doorbell::Virtio(index) => (QueueKind::TX, index),
        }
    }

    /// Returns the command that makes the queue, which raises `vector`.
    pub(crate) fn create(&self, vector: u16, tuning: &Tuning) -> CreateQueue {
        let (kind, index) = self.name();
        CreateQueue {
            ring_addr: U64::new(self.descs.dma_address()),
            cq_addr: U64::new(self.completions.dma_address()),
            state_addr: U64::new(self.state.dma_address()),
            kind: U16::new(kind.0),
            index: U16::new(index),
            vector: U16::new(vector),
            moderation_usecs: U16::new(tuning.moderation.usecs),
            depth_log2: self.depth.log2(),
            flags: tuning.flags.0,
            moderation_packets: U16::new(tuning.moderation.packets),
            coalesce_usecs: U16::new(tuning.coalesce_usecs),
            split_above: U16::new(tuning.split_above),
        }
    }

    /// Returns the command that tunes the queue while it works.
    pub(crate) fn modify(&self, tuning: &Tuning) -> ModifyQueue {
        let (kind, index) = self.name();
        ModifyQueue {
            kind: U16::new(kind.0),
            index: U16::new(index),
            moderation_usecs: U16::new(tuning.moderation.usecs),
            moderation_packets: U16::new(tuning.moderation.packets),
            coalesce_usecs: U16::new(tuning.coalesce_usecs),
            flags: tuning.flags.0,
            rsvd: [0; 5],
        }
    }
}

impl RxMemory {
    /// Allocates the memory of receive queue `index`; it is zeroed. With places, there is one for the headers of each
    /// packet.
    ///
    /// # Errors
    ///
    /// As [`Memory::new`].
    pub(crate) fn of_rx(
        function: &Function,
        depth: Depth,
        index: u16,
        has_places: bool,
    ) -> Result<Self> {
        let place = if has_places { HEADER_PLACE } else { 0 };
        Self::with_places(function, depth, Doorbell::Rx(index), place)
    }

    /// Returns the headers of a packet; [`None`] if there can be none such.
    #[inline]
    pub(crate) fn headers(&self, headers: Headers) -> Option<Bytes<'_>> {
        let offset = headers.slot * HEADER_PLACE as usize;
        self.completions.room(offset, headers.len.into()).ok()
    }
}

impl<D: Entry, C: Entry> QueueMemory for Memory<D, C> {
    type Desc = D;
    type Completion = C;

    #[inline]
    fn progress(&self) -> &Progress {
        &self.progress
    }

    #[inline]
    fn write(&self, slot: usize, desc: &D) {
        // CAST: a ring has fewer than 2^32 slots.
        self.descs.write(slot as u32, desc);
    }

    #[inline]
    fn publish_tail(&self, tail: Index) {
        self.state
            .store32::<{ offset_of!(QueueState, tail) }>(0, tail.0);
    }

    #[inline]
    fn doorbell_event(&self) -> Index {
        full_fence();
        Index(
            self.state
                .load32::<{ offset_of!(QueueState, doorbell_event) }>(0),
        )
    }

    #[inline]
    fn ring(&self) {
        self.function.ring(self.doorbell);
    }

    #[inline]
    fn cq_tail(&self) -> Index {
        Index(self.state.load32::<{ offset_of!(QueueState, cq_tail) }>(0))
    }

    #[inline]
    fn read(&self, slot: usize) -> C {
        // CAST: a ring has fewer than 2^32 slots.
        self.completions.read(slot as u32)
    }

    #[inline]
    fn publish_arm(&self, index: Index) {
        self.state
            .store32::<{ offset_of!(QueueState, arm) }>(0, index.0);
        full_fence();
    }
}
