// SPDX-License-Identifier: GPL-2.0

//! The event queue of the device model.

use ferrite_abi::cmd::{
    CreateEventQueue,
    DestroyEventQueue, //
};
use ferrite_abi::cmd::{
    FaultKind,
    InjectFault, //
};
use ferrite_abi::event::{
    EventKind,
    LinkChange, //
};
use ferrite_abi::ring::Depth;
use ferrite_abi::wire::{
    U16,
    U64, //
};
use ferrite_core_logic::eventq::EventQueue;

use ferrite_model::testing::Machine;

use super::driver::{
    Rig, //
};

const DEPTH_LOG2: u8 = 4;

fn rig() -> (Rig, EventQueue) {
    let mut rig = Rig::new();
    let command = CreateEventQueue {
        ring_addr: U64::new(rig.board.eq),
        vector: U16::new(0),
        depth_log2: DEPTH_LOG2,
        rsvd: [0; 5],
    };
    rig.send(command).unwrap();
    (rig, EventQueue::new(Depth::from_log2(DEPTH_LOG2).unwrap()))
}

/// Plugs the cable in or out, which is an event.
fn plug(rig: &Rig, up: bool) {
    {
        let Machine { device, host, .. } = &mut *rig.board.machine();
        device.set_uplink(host, up);
    }
    rig.board.run();
}

#[test]
fn link_changes_are_events() {
    let (rig, mut events) = rig();
    plug(&rig, false);
    plug(&rig, true);
    for up in [0, 1] {
        let event = events.next(&rig.board).expect("an event");
        assert_eq!(
            event.payload::<LinkChange>().map(|change| change.up),
            Some(up)
        );
    }
    assert!(events.next(&rig.board).is_none());
    assert_eq!(events.counters().taken, 2);
}

#[test]
fn events_that_found_no_room_show_as_a_gap() {
    let (rig, mut events) = rig();
    let total = 40;
    for n in 0..total {
        plug(&rig, n % 2 != 0);
    }
    while events.next(&rig.board).is_some() {}
    assert_eq!(events.counters().taken, 16);
    events.acknowledge(&rig.board);
    plug(&rig, false);
    events.next(&rig.board).expect("an event");
    assert_eq!(events.counters().lost, total - 16);
    assert_eq!(events.counters().repeated, 0);
}

#[test]
fn event_of_unknown_kind_survives() {
    let (mut rig, mut events) = rig();
    let fault = InjectFault {
        kind: U16::new(FaultKind::WRONG_EVENT.0),
        opcode: U16::new(0xffff),
        count: 1.into(),
        param: 0xbeef.into(),
        ..InjectFault::default()
    };
    rig.send(fault).unwrap();
    plug(&rig, false);
    let event = events.next(&rig.board).expect("an event");
    assert_eq!(EventKind(event.kind.get()), EventKind(0xbeef));
    assert_eq!(events.counters().unknown_kind, 1);
}

#[test]
fn destroyed_queue_gets_no_event() {
    let (mut rig, mut events) = rig();
    rig.send(DestroyEventQueue {}).unwrap();
    plug(&rig, false);
    assert!(events.next(&rig.board).is_none());
}
