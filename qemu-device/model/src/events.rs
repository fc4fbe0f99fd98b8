// SPDX-License-Identifier: GPL-2.0

//! The event queue of a PCI function.

use std::mem::{
    offset_of,
    size_of, //
};

use ferrite_abi::cmd::FaultKind;
use ferrite_abi::desc::RING_ALIGN;
use ferrite_abi::event::{
    Event,
    Payload, //
};
use ferrite_abi::ids::FunctionId;
use ferrite_abi::mig::EventQueueRecord;
use ferrite_abi::ring::{
    Depth,
    Index, //
};
use ferrite_abi::wire::{
    IntoBytes,
    U16,
    U32,
    U64, //
};

use crate::device::Device;
use crate::host::{
    DmaFault,
    GuestError,
    Host,
    PciFn,
    Trace, //
};
use crate::save::{
    saved,
    LoadError, //
};

/// The event queue.
#[derive(Debug)]
pub(crate) struct EventQueue {
    /// Address of the ring.
    pub(crate) addr: u64,
    /// MSI-X vector raised after events were written.
    pub(crate) vector: u16,
    /// Depth of the ring.
    pub(crate) depth: Depth,
    /// Events before this were read by the driver.
    head: Index,
    /// Next event that the device writes.
    tail: Index,
    /// Number of the next event, lost ones counted.
    sequence: u32,
}

saved!(EventQueue {
    addr,
    vector,
    depth,
    head,
    tail,
    sequence
});

impl EventQueue {
    /// Makes an empty queue, if the address can be that of a ring.
    pub(crate) fn new(addr: u64, vector: u16, depth: Depth) -> Option<Self> {
        let queue = Self {
            addr,
            vector,
            depth,
            head: Index(0),
            tail: Index(0),
            sequence: 0,
        };
        queue.has_good_address().then_some(queue)
    }

    /// Returns the queue as a record of a stream.
    pub(crate) fn record(&self) -> EventQueueRecord {
        EventQueueRecord {
            ring_addr: U64::new(self.addr),
            vector: U16::new(self.vector),
            depth_log2: self.depth.log2(),
            rsvd: 0,
            head: U32::new(self.head.0),
            tail: U32::new(self.tail.0),
            sequence: U32::new(self.sequence),
        }
    }

    /// Makes the queue that a record of a stream tells of, if its address and depth can be.
    pub(crate) fn restore(record: &EventQueueRecord) -> Option<Self> {
        let depth = Depth::from_log2(record.depth_log2)?;
        let queue = Self::new(record.ring_addr.get(), record.vector.get(), depth)?;
        Some(Self {
            head: Index(record.head.get()),
            tail: Index(record.tail.get()),
            sequence: record.sequence.get() & (u32::MAX >> 1),
            ..queue
        })
    }

    fn has_good_address(&self) -> bool {
        let size = u64::from(self.depth.entries()) * size_of::<Event>() as u64;
        self.addr != 0 && self.addr % RING_ALIGN == 0 && self.addr.checked_add(size).is_some()
    }

    /// Checks a queue that was loaded.
    pub(crate) fn check(&self, vectors: u16) -> Result<(), LoadError> {
        let stands = self.tail.since(self.head) <= self.depth.entries();
        if self.has_good_address() && self.vector < vectors && stands {
            Ok(())
        } else {
            Err(LoadError::Invalid("event queue"))
        }
    }

    /// Moves the head to where the driver says it is. Returns whether that can be.
    pub(crate) fn set_head(&mut self, head: Index) -> bool {
        let possible = self.tail.since(head) <= self.tail.since(self.head);
        if possible {
            self.head = head;
        }
        possible
    }

    /// Takes the number of the next event; and the place to put it, if there is one.
    fn next(&mut self) -> (u32, Option<Index>) {
        let sequence = self.sequence;
        // The number has 31 bits on the wire.
        self.sequence = sequence.wrapping_add(1) & (u32::MAX >> 1);
        let room = self.tail.since(self.head) < self.depth.entries();
        let place = room.then_some(self.tail);
        if room {
            self.tail = self.tail.plus(1);
        }
        (sequence, place)
    }
}

impl Device {
    /// Passes over the number of an event, so that the driver of a PCI function sees that it missed
    /// some.
    pub(crate) fn skip_event(&mut self, function: PciFn) {
        let pci = self.state.pci.get_mut(usize::from(function.0));
        if let Some(events) = pci.and_then(|pci| pci.events.as_mut()) {
            events.sequence = events.sequence.wrapping_add(1) & (u32::MAX >> 1);
        }
    }

    /// Tells the driver of a PCI function something about `about`, if it wants to know.
    pub(crate) fn post_event<P: Payload>(
        &mut self,
        host: &mut dyn Host,
        function: PciFn,
        about: FunctionId,
        payload: P,
    ) {
        if self.misses_event(function) {
            return;
        }
        let about = if about == FunctionId(function.0) {
            self.known_as(function)
        } else {
            about
        };
        let Some(pci) = self.state.pci.get(usize::from(function.0)) else {
            return;
        };
        let reaches = pci.bus_master && !self.state.vanished && self.state.hung_at.is_none();
        if !reaches || pci.events.is_none() {
            return;
        }
        let lost = self.bus(host, function).strikes(FaultKind::LOSE_EVENT);
        if lost.is_some() {
            return self.skip_event(function);
        }
        let Some(queue) = self.state.pci[usize::from(function.0)].events.as_mut() else {
            return;
        };
        let (sequence, place) = queue.next();
        let kind = P::KIND.0;
        host.trace(&Trace::Event {
            function,
            kind,
            sequence,
            written: place.is_some(),
        });
        let Some(index) = place else {
            return;
        };
        let mut event = Event::new(about, payload, queue.depth, index, sequence);
        let at = (queue.depth.slot(index) * size_of::<Event>()) as u64;
        let (addr, vector) = (queue.addr + at, queue.vector);
        let mut bus = self.bus(host, function);
        if let Some(param) = bus.strikes(FaultKind::WRONG_EVENT) {
            // CAST: the kind has 16 bits.
            event.kind = U16::new(param as u16);
        }
        let meta = offset_of!(Event, meta);
        // ORDERING: the store publishes the rest of the event to the driver.
        let written = bus
            .write(addr, &event.as_bytes()[..meta])
            .and_then(|()| bus.store(addr + meta as u64, event.meta.get()));
        match written {
            Ok(()) => bus.raise(vector),
            Err(DmaFault) => {
                self.state.pci[usize::from(function.0)].events = None;
                self.blame(host, function, GuestError::EventDma, addr);
            }
        }
    }
}
