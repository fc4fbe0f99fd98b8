// SPDX-License-Identifier: GPL-2.0

//! What TX and RX queues have in common: rings, state block, interrupt.
//!
//! The device owns the descriptors from `head` up to the `tail` that the driver publishes, and the
//! completions from `cq_tail` on. See [`ferrite_abi::desc`] for who writes what.

use core::mem::{
    offset_of,
    size_of, //
};

use ferrite_abi::cmd::{
    CreateQueue,
    FaultKind,
    ModifyQueue,
    QueueFlags,
    QueueKind, //
};
use ferrite_abi::desc::{
    QueueState,
    RxCompletion,
    RxDesc,
    TxCompletion,
    TxDesc,
    HEADER_PLACE,
    RING_ALIGN,
    STATE_ALIGN, //
};
use ferrite_abi::event::QueueSyndrome;
use ferrite_abi::mig::QueueRecord;
use ferrite_abi::ring::{
    available,
    need_event,
    Depth,
    Index, //
};
use ferrite_abi::wire::{
    FromBytes,
    Immutable,
    IntoBytes,
    U16,
    U32,
    U64, //
};

use crate::bus::Bus;
use crate::host::{
    DmaFault,
    Trace, //
};
use crate::save::{
    saved,
    LoadError,
    Reader,
    Saved,
    Writer, //
};
use crate::slot::Slot;
use crate::timers::Timer;

/// Kind of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Sends.
    Tx,
    /// Receives.
    Rx,
}

impl Kind {
    /// Returns what the code on the wire means.
    pub(crate) fn of(code: QueueKind) -> Option<Self> {
        match code {
            QueueKind::TX => Some(Self::Tx),
            QueueKind::RX => Some(Self::Rx),
            _ => None,
        }
    }

    /// Returns the code on the wire.
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::Tx => QueueKind::TX.0,
            Self::Rx => QueueKind::RX.0,
        }
    }

    /// Returns the sizes of a descriptor and of a completion.
    fn entry_sizes(self) -> (usize, usize) {
        match self {
            Self::Tx => (size_of::<TxDesc>(), size_of::<TxCompletion>()),
            Self::Rx => (size_of::<RxDesc>(), size_of::<RxCompletion>()),
        }
    }
}

impl Saved for Kind {
    fn save(&self, writer: &mut Writer) {
        self.code().save(writer);
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
        Self::of(QueueKind(u16::load(reader)?)).ok_or(LoadError::Invalid("kind of a queue"))
    }
}

/// Size of a place for headers.
const PLACE: usize = HEADER_PLACE as usize;

/// A TX or RX queue, as far as both are the same.
#[derive(Debug)]
pub(crate) struct Queue {
    /// Next descriptor that the device reads.
    pub(crate) head: Index,
    /// Next completion that the device writes.
    pub(crate) cq_tail: Index,
    /// Depth of both rings.
    pub(crate) depth: Depth,
    /// Why it stopped, if it did.
    pub(crate) syndrome: QueueSyndrome,
    /// MSI-X vector.
    vector: u16,
    /// Index of the queue.
    pub(crate) index: u16,
    pub(crate) kind: Kind,
    /// Function that owns it.
    pub(crate) slot: Slot,
    ring_addr: u64,
    cq_addr: u64,
    state_addr: u64,
    /// Least time between two interrupts in nanoseconds.
    moderation_ns: u64,
    /// Completions after which an interrupt does not wait, if not 0.
    moderation_packets: u16,
    /// What an RX queue does with packets.
    pub(crate) flags: QueueFlags,
    /// Time in nanoseconds for which segments wait to be joined.
    pub(crate) coalesce_ns: u64,
    /// Length of the longest packet that is not split.
    pub(crate) split_above: u16,
    /// `cq_tail` when it was last decided whether to interrupt.
    signalled: Index,
    /// When the last interrupt was raised.
    last_interrupt: Option<u64>,
    /// When an interrupt that had to wait is due.
    interrupt_due: Option<u64>,
}

saved!(Queue {
    head,
    cq_tail,
    depth,
    syndrome,
    vector,
    index,
    kind,
    slot,
    ring_addr,
    cq_addr,
    state_addr,
    moderation_ns,
    moderation_packets,
    flags,
    coalesce_ns,
    split_above,
    signalled,
    last_interrupt,
    interrupt_due,
});

/// Why a queue cannot be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetupError {
    /// A parameter is out of range.
    Field,
    /// The state block cannot be accessed.
    Dma,
}

impl From<DmaFault> for SetupError {
    fn from(_: DmaFault) -> Self {
        Self::Dma
    }
}

impl Queue {
    /// Makes a queue as `command` asks for; index and vector were checked.
    pub(crate) fn new(slot: Slot, kind: Kind, command: &CreateQueue) -> Result<Self, SetupError> {
        let queue = Self {
            head: Index(0),
            cq_tail: Index(0),
            depth: Depth::from_log2(command.depth_log2).ok_or(SetupError::Field)?,
            syndrome: QueueSyndrome::NONE,
            vector: command.vector.get(),
            index: command.index.get(),
            kind,
            slot,
            ring_addr: command.ring_addr.get(),
            cq_addr: command.cq_addr.get(),
            state_addr: command.state_addr.get(),
            moderation_ns: u64::from(command.moderation_usecs.get()) * 1000,
            moderation_packets: command.moderation_packets.get(),
            flags: QueueFlags(command.flags),
            coalesce_ns: u64::from(command.coalesce_usecs.get()) * 1000,
            split_above: command.split_above.get(),
            signalled: Index(0),
            last_interrupt: None,
            interrupt_due: None,
        };
        if queue.has_good_addresses() {
            Ok(queue)
        } else {
            Err(SetupError::Field)
        }
    }

    /// Returns the command that would make this queue.
    pub(crate) fn command(&self) -> CreateQueue {
        // CAST: both times came as microseconds in 16 bits.
        let usecs = |ns: u64| U16::new((ns / 1000) as u16);
        CreateQueue {
            ring_addr: U64::new(self.ring_addr),
            cq_addr: U64::new(self.cq_addr),
            state_addr: U64::new(self.state_addr),
            kind: U16::new(self.kind.code()),
            index: U16::new(self.index),
            vector: U16::new(self.vector),
            moderation_usecs: usecs(self.moderation_ns),
            depth_log2: self.depth.log2(),
            flags: self.flags.0,
            moderation_packets: U16::new(self.moderation_packets),
            coalesce_usecs: usecs(self.coalesce_ns),
            split_above: U16::new(self.split_above),
        }
    }

    /// Returns where the queue stands, as a record of a stream.
    pub(crate) fn record(&self, now: u64) -> QueueRecord {
        let since = self.last_interrupt.map(|last| now.saturating_sub(last));
        QueueRecord {
            head: U32::new(self.head.0),
            cq_tail: U32::new(self.cq_tail.0),
            signalled: U32::new(self.signalled.0),
            skipped: U32::new(0),
            since_interrupt: U64::new(since.unwrap_or(u64::MAX)),
            syndrome: U16::new(self.syndrome.0),
            marks: 0,
            rsvd: [0; 5],
        }
    }

    /// Makes the queue that two records of a stream tell of, if there can be such a queue.
    pub(crate) fn restore(
        slot: Slot,
        kind: Kind,
        command: &CreateQueue,
        record: &QueueRecord,
        now: u64,
    ) -> Option<Self> {
        let syndrome = QueueSyndrome(record.syndrome.get());
        let queue = Self::new(slot, kind, command).ok()?;
        let flags = QueueFlags(command.flags);
        let same_kind = Kind::of(QueueKind(command.kind.get())) == Some(kind);
        let possible = same_kind && can_have(kind, flags) && syndrome.name().is_some();
        // The clock is another; an interrupt before its zero is as good as none.
        let last_interrupt = now.checked_sub(record.since_interrupt.get());
        possible.then_some(Self {
            head: Index(record.head.get()),
            cq_tail: Index(record.cq_tail.get()),
            signalled: Index(record.signalled.get()),
            syndrome,
            last_interrupt,
            ..queue
        })
    }

    /// Returns the MSI-X vector.
    pub(crate) fn vector(&self) -> u16 {
        self.vector
    }

    /// Changes what `command` asks for; its flags were checked.
    pub(crate) fn modify(&mut self, command: &ModifyQueue) {
        self.moderation_ns = u64::from(command.moderation_usecs.get()) * 1000;
        self.moderation_packets = command.moderation_packets.get();
        self.coalesce_ns = u64::from(command.coalesce_usecs.get()) * 1000;
        self.flags = QueueFlags(command.flags);
    }

    /// Checks that the state block can be read and written, leaving it as it is.
    pub(crate) fn probe(&self, bus: &mut Bus<'_>) -> Result<(), SetupError> {
        let mut state = [0; size_of::<QueueState>()];
        bus.read(self.state_addr, &mut state)?;
        let device = offset_of!(QueueState, cq_tail);
        Ok(bus.write(self.state_addr + device as u64, &state[device..])?)
    }

    /// Returns whether all addresses are aligned, not null, and the rings do not pass the end of
    /// the address space.
    fn has_good_addresses(&self) -> bool {
        let good = |addr: u64, align: u64, size: usize| {
            addr != 0 && addr % align == 0 && addr.checked_add(size as u64).is_some()
        };
        let entries = self.depth.entries() as usize;
        let (desc, completion) = self.kind.entry_sizes();
        let places = if self.flags.contains(QueueFlags::HEADERS) {
            entries * PLACE
        } else {
            0
        };
        good(self.ring_addr, RING_ALIGN, entries * desc)
            && good(self.cq_addr, RING_ALIGN, entries * completion + places)
            && good(self.state_addr, STATE_ALIGN, size_of::<QueueState>())
    }

    /// Checks a queue that was loaded.
    pub(crate) fn check(
        &self,
        slot: Slot,
        kind: Kind,
        index: usize,
        vectors: u16,
    ) -> Result<(), LoadError> {
        let placed = self.slot == slot && self.kind == kind && usize::from(self.index) == index;
        if !placed {
            return Err(LoadError::Invalid("place of a queue"));
        }
        if !self.has_good_addresses() {
            return Err(LoadError::Invalid("address of a queue"));
        }
        let longest = u64::from(u16::MAX) * 1000;
        if self.vector >= vectors
            || self.moderation_ns > longest
            || self.coalesce_ns > longest
            || !can_have(kind, self.flags)
        {
            return Err(LoadError::Invalid("interrupt of a queue"));
        }
        Ok(())
    }

    /// Takes an opportunity for an injected fault to stop the queue.
    pub(crate) fn may_stop(&self, bus: &mut Bus<'_>) -> Result<(), QueueSyndrome> {
        bus.stops(self.slot.id(), QueueKind(self.kind.code()), self.index)
    }

    /// Returns whether the queue works.
    pub(crate) fn runs(&self) -> bool {
        self.syndrome == QueueSyndrome::NONE
    }

    /// Reads the driver's tail; returns it and how many descriptors are ready from `head` on.
    pub(crate) fn ready(&self, bus: &mut Bus<'_>) -> Result<(Index, u32), QueueSyndrome> {
        let tail = Index(self.load(bus, offset_of!(QueueState, tail))?);
        let count = available(self.depth, self.head, tail).ok_or(QueueSyndrome::BAD_TAIL)?;
        Ok((tail, count))
    }

    /// Reads descriptors from `head` on, as many as `descs` has room for.
    pub(crate) fn fetch<D: FromBytes + IntoBytes>(
        &self,
        bus: &mut Bus<'_>,
        descs: &mut [D],
    ) -> Result<(), QueueSyndrome> {
        let start = self.depth.slot(self.head);
        let until_wrap = descs.len().min(self.depth.entries() as usize - start);
        let (first, second) = descs.split_at_mut(until_wrap);
        for (descs, slot) in [(first, start), (second, 0)] {
            if !descs.is_empty() {
                bus.read(
                    self.ring_addr + (slot * size_of::<D>()) as u64,
                    descs.as_mut_bytes(),
                )
                .map_err(fault)?;
            }
        }
        Ok(())
    }

    /// Asks for a doorbell once the tail moves past `tail`. Returns whether it has not moved yet,
    /// so that a doorbell will come.
    pub(crate) fn park(&self, bus: &mut Bus<'_>, tail: Index) -> Result<bool, QueueSyndrome> {
        // ORDERING: the store is followed by a full fence, so that either the device sees the new
        // tail here or the driver sees the new event.
        bus.store(
            self.state_addr + offset_of!(QueueState, doorbell_event) as u64,
            tail.0,
        )
        .map_err(fault)?;
        Ok(self.load(bus, offset_of!(QueueState, tail))? == tail.0)
    }

    /// Writes completions, publishes them, and interrupts if the driver waits for one of them.
    pub(crate) fn publish<C: IntoBytes + Immutable>(
        &mut self,
        bus: &mut Bus<'_>,
        completions: &[C],
    ) -> Result<(), QueueSyndrome> {
        let entries = self.depth.entries() as usize;
        // No more than the ring holds are pending, by the one completion for each descriptor.
        debug_assert!(completions.len() <= entries);
        if completions.is_empty() {
            return Ok(());
        }
        let start = self.depth.slot(self.cq_tail);
        let (first, second) = completions.split_at(completions.len().min(entries - start));
        for (completions, slot) in [(first, start), (second, 0)] {
            if !completions.is_empty() {
                bus.write(
                    self.cq_addr + (slot * size_of::<C>()) as u64,
                    completions.as_bytes(),
                )
                .map_err(fault)?;
            }
        }
        // CAST: bounded by the ring.
        self.cq_tail = self.cq_tail.plus(completions.len() as u32);
        let told = self
            .cq_tail
            .plus(bus.strikes(FaultKind::WRONG_CQ_TAIL).unwrap_or(0));
        // ORDERING: publishes the completions; the full fence that follows pairs with the driver's
        // between its write of `arm` and its read of `cq_tail`.
        bus.store(
            self.state_addr + offset_of!(QueueState, cq_tail) as u64,
            told.0,
        )
        .map_err(fault)?;
        bus.host.trace(&Trace::Completions {
            function: self.slot.id().0,
            kind: self.kind.code(),
            index: self.index,
            cq_tail: self.cq_tail.0,
        });
        self.signal(bus)
    }

    /// Interrupts if the driver waits for a completion that was published, now or when the
    /// moderation lets it.
    fn signal(&mut self, bus: &mut Bus<'_>) -> Result<(), QueueSyndrome> {
        let waiting = self.cq_tail.since(self.signalled);
        let enough = self.moderation_packets != 0 && waiting >= self.moderation_packets.into();
        if self.interrupt_due.is_some() && !enough {
            return Ok(());
        }
        let arm = Index(self.load(bus, offset_of!(QueueState, arm))?);
        if !need_event(arm, self.cq_tail, self.signalled) {
            self.signalled = self.cq_tail;
            return Ok(());
        }
        let due = self
            .last_interrupt
            .map_or(0, |last| last.saturating_add(self.moderation_ns));
        if bus.now < due && !enough {
            self.interrupt_due = Some(due);
            bus.timers.add(due, self.timer());
        } else {
            if let Some((due, timer)) = self.pending_timer() {
                bus.timers.remove(due, timer);
                self.interrupt_due = None;
            }
            self.signalled = self.cq_tail;
            self.last_interrupt = Some(bus.now);
            bus.raise(self.vector);
        }
        Ok(())
    }

    /// Decides anew on an interrupt that has to wait, as the moderation changed.
    pub(crate) fn reconsider(&mut self, bus: &mut Bus<'_>) -> Result<(), QueueSyndrome> {
        let Some((due, timer)) = self.pending_timer() else {
            return Ok(());
        };
        bus.timers.remove(due, timer);
        self.interrupt_is_due(bus)
    }

    /// Raises an interrupt that had to wait, unless the driver no longer waits for it.
    pub(crate) fn interrupt_is_due(&mut self, bus: &mut Bus<'_>) -> Result<(), QueueSyndrome> {
        self.interrupt_due = None;
        self.signal(bus)
    }

    /// Raises an interrupt that has to wait before its time, unless the driver no longer waits for
    /// it.
    pub(crate) fn interrupt_now(&mut self, bus: &mut Bus<'_>) -> Result<(), QueueSyndrome> {
        let Some((due, timer)) = self.pending_timer() else {
            return Ok(());
        };
        bus.timers.remove(due, timer);
        self.last_interrupt = None;
        self.interrupt_is_due(bus)
    }

    /// Raises no interrupt for what is due, since none can be raised now. The next completion
    /// decides anew.
    pub(crate) fn forget_interrupt(&mut self) {
        self.interrupt_due = None;
    }

    /// Returns the timer of a moderated interrupt, if there is one.
    pub(crate) fn pending_timer(&self) -> Option<(u64, Timer)> {
        self.interrupt_due.map(|due| (due, self.timer()))
    }

    fn timer(&self) -> Timer {
        Timer::Interrupt(self.slot, self.kind, self.index)
    }

    /// Writes the headers of the packet whose first completion is the next but `pending`.
    pub(crate) fn write_headers(
        &self,
        bus: &mut Bus<'_>,
        pending: usize,
        headers: &[u8],
    ) -> Result<(), DmaFault> {
        // CAST: bounded by the ring.
        let slot = self.depth.slot(self.cq_tail.plus(pending as u32));
        bus.write(self.header_places() + (slot * PLACE) as u64, headers)
    }

    /// Returns where the places for headers begin.
    fn header_places(&self) -> u64 {
        let (_, completion) = self.kind.entry_sizes();
        self.cq_addr + (self.depth.entries() as usize * completion) as u64
    }

    /// Reads a word of the state block.
    fn load(&self, bus: &mut Bus<'_>, offset: usize) -> Result<u32, QueueSyndrome> {
        bus.load(self.state_addr + offset as u64).map_err(fault)
    }
}

/// Returns whether a queue can have these flags.
pub(crate) fn can_have(kind: Kind, flags: QueueFlags) -> bool {
    known_flags(kind).contains(flags)
        && !flags.contains(QueueFlags::COALESCE.with(QueueFlags::SPLIT))
        && (flags.contains(QueueFlags::SPLIT) || !flags.contains(QueueFlags::HEADERS))
}

/// Returns the flags that a queue may have.
fn known_flags(kind: Kind) -> QueueFlags {
    match kind {
        Kind::Tx => QueueFlags(0),
        Kind::Rx => QueueFlags::COALESCE
            .with(QueueFlags::TIMESTAMP)
            .with(QueueFlags::SPLIT)
            .with(QueueFlags::HEADERS),
    }
}

/// What becomes of a queue whose memory cannot be accessed.
fn fault(_: DmaFault) -> QueueSyndrome {
    QueueSyndrome::DMA_FAULT
}
