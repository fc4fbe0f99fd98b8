// SPDX-License-Identifier: GPL-2.0

//! The event queue: what the device says without being asked.

use ferrite_abi::event::{
    Event,
    EventKind, //
};
use ferrite_abi::regs::EventHead;
use ferrite_abi::ring::{
    Depth,
    Index, //
};

use super::failure::counters;
use super::port::{
    EventRing,
    Registers, //
};

/// Sequence numbers are counted modulo this.
const SEQUENCE_MODULUS: u32 = 1 << 31;

counters! {
    /// What happened on the event queue.
    EventCounters {
        /// Events that were taken in.
        taken,
        /// Events that were lost, by the gaps in the sequence.
        lost,
        /// Events whose number was seen before: the device repeats itself.
        repeated,
        /// Events of a kind that this driver does not know; they are passed on all the same.
        unknown_kind,
    }
}

/// The driver's end of an event queue.
#[derive(Debug)]
pub struct EventQueue {
    depth: Depth,
    head: Index,
    /// Number that the next event should have; unknown before the first.
    expected: Option<u32>,
    counters: EventCounters,
}

impl EventQueue {
    /// Returns a queue of which nothing was read.
    pub const fn new(depth: Depth) -> Self {
        Self {
            depth,
            head: Index(0),
            expected: None,
            counters: EventCounters::ZERO,
        }
    }

    /// Takes in the next event, or returns [`None`] if there is none.
    ///
    /// The device is told with [`Self::acknowledge`], for as many events at a time as the caller
    /// likes.
    pub fn next(&mut self, ring: &impl EventRing) -> Option<Event> {
        let event = ring.event(self.depth.slot(self.head));
        if !event.is_new(self.depth, self.head) {
            return None;
        }
        self.head = self.head.plus(1);
        self.counters.taken += 1;
        self.count_gap(event.sequence());
        if EventKind(event.kind.get()).name().is_none() {
            self.counters.unknown_kind += 1;
        }
        Some(event)
    }

    /// Tells the device that the entries of all events taken in may be written again.
    pub fn acknowledge(&self, regs: &impl Registers) {
        regs.write(EventHead(self.head.0));
    }

    /// Returns the depth of the ring.
    pub fn depth(&self) -> Depth {
        self.depth
    }

    /// Returns the index of the next event.
    pub fn head(&self) -> Index {
        self.head
    }

    /// Returns the counters.
    pub fn counters(&self) -> &EventCounters {
        &self.counters
    }

    fn count_gap(&mut self, sequence: u32) {
        let ahead = self
            .expected
            .map_or(0, |expected| sequence.wrapping_sub(expected))
            % SEQUENCE_MODULUS;
        if ahead < SEQUENCE_MODULUS / 2 {
            self.counters.lost += u64::from(ahead);
            self.expected = Some(sequence.wrapping_add(1));
        } else {
            self.counters.repeated += 1;
        }
    }
}
