// SPDX-License-Identifier: GPL-2.0

//! The event queue against entries written by hand.

use std::cell::RefCell;

use ferrite_abi::event::{
    Event,
    EventKind,
    LinkChange, //
};
use ferrite_abi::ids::FunctionId;
use ferrite_abi::regs::EventHead;
use ferrite_abi::ring::{
    Depth,
    Index, //
};
use ferrite_abi::wire::U16;
use ferrite_core_logic::eventq::EventQueue;
use ferrite_core_logic::port::EventRing;

use super::bench::Bench;

const DEPTH: Depth = match Depth::from_log2(4) {
    Some(depth) => depth,
    None => panic!(),
};

struct Ring(RefCell<Vec<Event>>);

impl Ring {
    fn new() -> Self {
        Self(RefCell::new(vec![
            Event::default();
            DEPTH.entries() as usize
        ]))
    }

    fn put(&self, index: u32, sequence: u32) {
        let event = Event::new(
            FunctionId::PF,
            LinkChange::default(),
            DEPTH,
            Index(index),
            sequence,
        );
        self.0.borrow_mut()[DEPTH.slot(Index(index))] = event;
    }
}

impl EventRing for Ring {
    fn event(&self, slot: usize) -> Event {
        self.0.borrow()[slot]
    }
}

#[test]
fn events_are_taken_once_and_acknowledged() {
    let (ring, bench) = (Ring::new(), Bench::new());
    let mut queue = EventQueue::new(DEPTH);
    assert!(queue.next(&ring).is_none());
    for index in 0..40 {
        ring.put(index, index);
        let event = queue.next(&ring).expect("an event");
        assert!(event.payload::<LinkChange>().is_some());
        assert!(queue.next(&ring).is_none());
    }
    queue.acknowledge(&bench);
    assert_eq!(bench.written::<EventHead>(), Some(40));
    let counters = queue.counters();
    assert_eq!(
        (counters.taken, counters.lost, counters.repeated),
        (40, 0, 0)
    );
}

#[test]
fn gaps_and_repetitions_in_the_sequence_are_counted() {
    // (sequence number, lost so far, repeated so far)
    let table = [
        (5, 0, 0), // any number may be the first
        (6, 0, 0),
        (9, 2, 0),
        (9, 2, 1),
        (10, 2, 1),
        (3, 2, 2),
        (11, 2, 2),
    ];
    let ring = Ring::new();
    let mut queue = EventQueue::new(DEPTH);
    for (index, (sequence, lost, repeated)) in table.into_iter().enumerate() {
        ring.put(index as u32, sequence);
        queue.next(&ring).expect("an event");
        let counters = queue.counters();
        assert_eq!(
            (counters.lost, counters.repeated),
            (lost, repeated),
            "row {index}"
        );
    }
}

#[test]
fn sequence_wraps_at_31_bits() {
    let ring = Ring::new();
    let mut queue = EventQueue::new(DEPTH);
    for (index, sequence) in [0x7fff_fffe, 0x7fff_ffff, 0, 1].into_iter().enumerate() {
        ring.put(index as u32, sequence);
        queue.next(&ring).expect("an event");
    }
    assert_eq!((queue.counters().lost, queue.counters().repeated), (0, 0));
}

#[test]
fn unknown_kind_survives() {
    let ring = Ring::new();
    let mut queue = EventQueue::new(DEPTH);
    ring.put(0, 0);
    ring.0.borrow_mut()[0].kind = U16::new(0xbeef);
    let event = queue.next(&ring).expect("an event");
    assert_eq!(EventKind(event.kind.get()), EventKind(0xbeef));
    assert!(event.payload::<LinkChange>().is_none());
    assert_eq!(queue.counters().unknown_kind, 1);
}
