// SPDX-License-Identifier: GPL-2.0

//! Doorbells and interrupts: as few as possible, and never one too few.

use ferrite_abi::desc::TxStatus;
use ferrite_model::PciFn;
use ferrite_net_logic::memory::{
    rearm,
    Stall, //
};
use ferrite_net_logic::tx::Offload;

use crate::port::{
    frame,
    pair,
    Port,
    Setup,
    Shared,
    PF_MAC,
    VF_MAC, //
};

/// Returns how many interrupts a function's queues raised since this was asked last.
fn interrupts(machine: &Shared, function: PciFn) -> usize {
    let raised = &mut machine.borrow_mut().host.raised;
    let count = raised
        .iter()
        .filter(|(who, vector)| *who == function && *vector == 1)
        .count();
    raised.clear();
    count
}

fn post(port: &mut Port, count: u32) {
    for seed in 0..count {
        let packet = frame(VF_MAC, PF_MAC, 60, seed);
        port.post(&packet, &[], Offload::default());
    }
}

#[test]
fn one_doorbell_for_all_packets_that_are_posted_at_once() {
    let (_machine, mut pf, mut vf) = pair(Setup::default());

    post(&mut pf, 20);
    assert!(pf.kick());
    pf.settle();

    assert_eq!(pf.tx.rung.get(), 1);
    assert_eq!(vf.receive().unwrap().packets.len(), 20);
}

#[test]
fn no_doorbell_while_the_device_has_not_come_to_the_end() {
    let (_machine, mut pf, mut vf) = pair(Setup::default());

    for _ in 0..5 {
        post(&mut pf, 4);
        pf.kick();
    }
    pf.settle();

    assert_eq!(pf.tx.rung.get(), 1);
    assert_eq!(vf.receive().unwrap().packets.len(), 20);
}

#[test]
fn doorbell_after_the_device_fell_asleep() {
    let (_machine, mut pf, mut vf) = pair(Setup::default());

    for round in 1..=10 {
        post(&mut pf, 1);
        assert!(pf.kick(), "round {round}");
        pf.settle();
        assert_eq!(vf.receive().unwrap().packets.len(), 1);
    }
}

#[test]
fn nothing_posted_is_nothing_to_tell() {
    let (_machine, mut pf, _vf) = pair(Setup::default());
    post(&mut pf, 1);
    pf.kick();
    assert!(!pf.kick());
    assert_eq!(pf.tx.rung.get(), 1);
}

#[test]
fn buffers_cost_no_doorbell_while_there_are_others() {
    let (_machine, mut pf, mut vf) = pair(Setup::default());
    let at_start = vf.rx.rung.get();

    for _ in 0..20 {
        post(&mut pf, 30);
        pf.kick();
        pf.settle();
        pf.reap().unwrap();
        assert_eq!(vf.receive().unwrap().packets.len(), 30);
    }

    assert_eq!(vf.rx.rung.get(), at_start);
}

#[test]
fn starving_receiver_rings_and_gets_what_waits() {
    let setup = Setup::default();
    let (_machine, mut pf, mut vf) = pair(setup);
    let at_start = vf.rx.rung.get();
    // More packets than buffers: the rest waits in the device.
    for _ in 0..2 {
        post(&mut pf, 100);
        pf.kick();
        pf.settle();
        pf.reap().unwrap();
    }

    let first = vf.receive().unwrap().packets.len();
    vf.settle();
    let second = vf.receive().unwrap().packets.len();

    assert_eq!((first, first + second), (128, 200));
    assert_eq!(vf.rx.rung.get(), at_start + 1);
}

#[test]
fn armed_queue_interrupts_once() {
    let (machine, mut pf, mut vf) = pair(Setup::default());
    assert!(!rearm(&*vf.rx));
    interrupts(&machine, PciFn::vf(0));

    for _ in 0..5 {
        post(&mut pf, 3);
        pf.kick();
        pf.settle();
    }

    assert_eq!(interrupts(&machine, PciFn::vf(0)), 1);
    assert_eq!(vf.receive().unwrap().packets.len(), 15);
}

#[test]
fn polling_queue_does_not_interrupt() {
    let (machine, mut pf, mut vf) = pair(Setup::default());
    post(&mut pf, 1);
    pf.kick();
    pf.settle();
    assert_eq!(interrupts(&machine, PciFn::vf(0)), 1);

    for _ in 0..5 {
        vf.receive().unwrap();
        post(&mut pf, 3);
        pf.kick();
        pf.settle();
    }

    assert_eq!(interrupts(&machine, PciFn::vf(0)), 0);
}

#[test]
fn rearming_finds_what_came_before_it() {
    let (machine, mut pf, mut vf) = pair(Setup::default());
    post(&mut pf, 1);
    pf.kick();
    pf.settle();
    assert_eq!(vf.receive().unwrap().packets.len(), 1);
    // One more comes between the last look and the arming: no interrupt tells of it.
    post(&mut pf, 1);
    pf.kick();
    pf.settle();
    interrupts(&machine, PciFn::vf(0));

    assert!(rearm(&*vf.rx));

    assert_eq!(interrupts(&machine, PciFn::vf(0)), 0);
    assert_eq!(vf.receive().unwrap().packets.len(), 1);
    assert!(!rearm(&*vf.rx));
    post(&mut pf, 1);
    pf.kick();
    pf.settle();
    assert_eq!(interrupts(&machine, PciFn::vf(0)), 1);
}

#[test]
fn sender_is_interrupted_for_what_was_sent() {
    let (machine, mut pf, _vf) = pair(Setup::default());
    assert!(!rearm(&*pf.tx));
    interrupts(&machine, PciFn::PF);

    post(&mut pf, 3);
    pf.kick();
    pf.settle();

    assert_eq!(interrupts(&machine, PciFn::PF), 1);
    pf.reap().unwrap();
    assert_eq!(pf.sent.len(), 3);
    assert!(pf.sent.iter().all(|(_, status)| *status == TxStatus::OK));
}

#[test]
fn queue_that_nobody_reads_is_found_at_the_second_look() {
    let (_machine, mut pf, mut vf) = pair(Setup::default());
    let mut stall = Stall::default();
    assert!(!stall.look(&*vf.rx));
    post(&mut pf, 2);
    pf.kick();
    pf.settle();

    assert!(!stall.look(&*vf.rx));
    assert!(stall.look(&*vf.rx));

    vf.receive().unwrap();
    assert!(!stall.look(&*vf.rx));
}

#[test]
fn queue_that_is_read_now_and_then_does_not_stand_still() {
    let (_machine, mut pf, mut vf) = pair(Setup::default());
    let mut stall = Stall::default();

    for _ in 0..5 {
        post(&mut pf, 2);
        pf.kick();
        pf.settle();
        assert!(!stall.look(&*vf.rx));
        // One is left behind each time.
        assert_eq!(vf.receive_some(1).unwrap().packets.len(), 1);
    }
}
