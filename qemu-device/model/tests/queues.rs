// SPDX-License-Identifier: GPL-2.0

//! What TX and RX queues have in common: rings, state block, doorbells, errors.

mod common;

use std::mem::offset_of;

use ferrite_abi::cmd::{
    EnablePort,
    QueueKind, //
};
use ferrite_abi::desc::{
    QueueState,
    RxFlags,
    TxDesc,
    TxFlags,
    TxStatus, //
};
use ferrite_abi::event::QueueSyndrome;
use ferrite_abi::wire::{
    U16,
    U64, //
};
use ferrite_model::testing::{
    frame,
    Driver,
    Machine,
    Rings,
    TxQueue, //
};
use ferrite_model::{
    Config,
    PciFn, //
};

use common::{
    net,
    sender, //
};

fn with_flags(mut desc: TxDesc, flags: TxFlags) -> TxDesc {
    desc.flags = U16::new(TxFlags(desc.flags.get()).with(flags).0);
    desc
}

#[test]
fn tail_too_far_ahead_stops_the_queue() {
    for kind in [QueueKind::TX, QueueKind::RX] {
        let mut net = net();
        let rings = if kind == QueueKind::TX {
            &net.tx.0
        } else {
            &net.rx.rings
        };
        net.machine.host.write32(rings.state, 65);
        if kind == QueueKind::TX {
            net.machine
                .ring(PciFn::PF, ferrite_abi::bar::Doorbell::Tx(0));
            net.machine.settle();
        } else {
            net.machine.receive(&frame::tcp4(b"hello"));
        }
        assert_eq!(net.syndrome(kind), QueueSyndrome::BAD_TAIL);
        let before = net.machine.host.dma_accesses;
        net.machine.receive(&frame::tcp4(b"hello"));
        net.machine
            .ring(PciFn::PF, ferrite_abi::bar::Doorbell::Tx(0));
        net.machine.settle();
        let accesses = net.machine.host.dma_accesses - before;
        assert!(
            kind == QueueKind::TX || accesses <= 6,
            "{accesses} accesses of a stopped queue"
        );
    }
}

#[test]
fn broken_memory_stops_a_queue_or_refuses_a_packet() {
    // A packet's own memory: refused, and the queue goes on.
    let mut net = net();
    let bytes = frame::tcp4(b"hello");
    let good = TxQueue::place(&mut net.machine, &bytes);
    let bad = TxDesc {
        addr: U64::new(0x1000),
        ..good
    };
    let wraps = TxDesc {
        addr: U64::new(u64::MAX - 10),
        ..good
    };
    net.tx.post(&mut net.machine, &[bad, wraps, good]);
    let statuses: Vec<_> = net
        .tx
        .reap(&mut net.machine)
        .iter()
        .map(|(_, status)| *status)
        .collect();
    assert_eq!(statuses, [TxStatus::DMA_FAULT.0, TxStatus::DMA_FAULT.0, 0]);
    assert_eq!(net.stats().tx_dma_fault.get(), 2);
    // Rings and state block: the queue stops.
    for part in 0..3 {
        let mut net = common::net();
        let rings = &net.tx.0;
        let addr = [rings.ring, rings.cq, rings.state + 64][part];
        net.machine.host.break_range(None, addr..addr + 64);
        let good = TxQueue::place(&mut net.machine, &bytes);
        net.tx.post(&mut net.machine, &[good]);
        assert_eq!(
            net.syndrome(QueueKind::TX),
            QueueSyndrome::DMA_FAULT,
            "{part}"
        );
    }
    for part in 0..3 {
        let mut net = common::net();
        net.rx.post(&mut net.machine, 4);
        let rings = &net.rx.rings;
        let addr = [rings.ring, rings.cq, rings.state][part];
        net.machine.host.break_range(None, addr..addr + 4);
        net.machine.receive(&bytes);
        assert_eq!(
            net.syndrome(QueueKind::RX),
            QueueSyndrome::DMA_FAULT,
            "{part}"
        );
    }
}

#[test]
fn doorbells_of_what_does_not_exist_do_nothing() {
    let mut net = net();
    let before = net.machine.host.dma_accesses;
    // A queue that was not created, one above the maximum, a VF that is off, and one that the
    // device does not have.
    for (function, queue) in [
        (PciFn::PF, 5),
        (PciFn::PF, 63),
        (PciFn(1), 0),
        (PciFn(60), 0),
    ] {
        net.machine
            .ring(function, ferrite_abi::bar::Doorbell::Tx(queue));
        net.machine
            .ring(function, ferrite_abi::bar::Doorbell::Rx(queue));
        net.machine.settle();
    }
    assert_eq!(net.machine.host.dma_accesses, before);
}
#[test]
fn tail_that_moves_while_the_device_goes_to_sleep_is_seen() {
    // No doorbell: the driver read `doorbell_event` before the device stored it.
    let mut net = sender();
    let desc = TxQueue::place(&mut net.machine, &frame::udp4(b"x"));
    let state = net.tx.0.state;
    let event = state + offset_of!(QueueState, doorbell_event) as u64;
    net.tx.0.post(&mut net.machine, &[desc, desc]);
    net.machine.host.write32(state, 1);
    net.machine.host.race(event, state, 2);
    net.machine.settle();
    assert_eq!(net.machine.host.sent.len(), 2);

    // The same for buffers.
    let mut net = common::net();
    let state = net.rx.rings.state;
    let event = state + offset_of!(QueueState, doorbell_event) as u64;
    net.rx.post(&mut net.machine, 4);
    net.machine.host.write32(state, 0);
    net.machine.host.race(event, state, 4);
    net.machine.receive(&frame::udp4(b"x"));
    assert_eq!(net.rx.reap(&mut net.machine).len(), 1);
}

#[test]
fn rx_tail_that_moves_back_stops_the_queue() {
    let mut net = net();
    let state = net.rx.rings.state;
    let event = state + offset_of!(QueueState, doorbell_event) as u64;
    net.rx.post_sized(&mut net.machine, 2, 60);
    net.machine.host.race(event, state, 1);
    net.machine.receive(&frame::udp4(&[0; 200]));
    assert_eq!(net.syndrome(QueueKind::RX), QueueSyndrome::BAD_TAIL);
}

#[test]
fn moderated_interrupt_that_nobody_waits_for_is_dropped() {
    let mut machine = Machine::new(Config::default());
    let mut driver = Driver::start(&mut machine, PciFn::PF);
    let mut tx = Rings::unborn(PciFn::PF, &mut machine, QueueKind::TX, 0, 6);
    let mut command = tx.command(QueueKind::TX, 0);
    command.moderation_usecs = U16::new(100);
    driver.send(&mut machine, command).unwrap();
    driver.open(&mut machine);
    let desc = TxQueue::place(&mut machine, &frame::udp4(b"x"));
    machine.host.raised.clear();
    for _ in 0..2 {
        tx.post(&mut machine, &[desc]);
        machine.settle();
        let _: Vec<ferrite_abi::desc::TxCompletion> = tx.reap(&mut machine);
    }
    assert_eq!(machine.host.raised.len(), 1);
    assert!(machine.host.timer.is_some());
    machine.advance(1_000_000);
    assert_eq!(machine.host.raised.len(), 1, "the driver has seen it all");
}

#[test]
fn moderated_interrupt_is_not_stuck_after_bus_mastering_was_off() {
    let mut machine = Machine::new(Config::default());
    let mut driver = Driver::start(&mut machine, PciFn::PF);
    let mut tx = Rings::unborn(PciFn::PF, &mut machine, QueueKind::TX, 0, 6);
    let mut command = tx.command(QueueKind::TX, 0);
    command.moderation_usecs = U16::new(100);
    driver.send(&mut machine, command).unwrap();
    driver.open(&mut machine);
    let desc = TxQueue::place(&mut machine, &frame::udp4(b"x"));
    for _ in 0..2 {
        let _: Vec<ferrite_abi::desc::TxCompletion> = tx.reap(&mut machine);
        tx.post(&mut machine, &[desc]);
        machine.settle();
    }
    machine
        .device
        .set_bus_master(&mut machine.host, PciFn::PF, false);
    machine.host.raised.clear();
    machine.advance(1_000_000);
    assert_eq!(machine.host.raised, []);
    machine
        .device
        .set_bus_master(&mut machine.host, PciFn::PF, true);
    tx.post(&mut machine, &[desc]);
    machine.settle();
    assert_eq!(machine.host.raised, [(PciFn::PF, 1)]);
    // And a reset takes the timer away.
    let _: Vec<ferrite_abi::desc::TxCompletion> = tx.reap(&mut machine);
    tx.post(&mut machine, &[desc]);
    machine.settle();
    assert!(machine.host.timer.is_some());
    machine.device.reset_function(&mut machine.host, PciFn::PF);
    assert_eq!(machine.host.timer, None);
}

#[test]
fn packets_that_wait_while_the_port_closes_are_dropped() {
    let mut net = net();
    for _ in 0..3 {
        net.machine.receive(&frame::udp4(b"x"));
    }
    let close = EnablePort {
        enable: 0,
        rsvd: [0; 3],
    };
    net.driver.send(&mut net.machine, close).unwrap();
    net.driver.open(&mut net.machine);
    net.rx.post(&mut net.machine, 8);
    assert_eq!(net.rx.reap(&mut net.machine).len(), 0);
    assert_eq!(net.stats().rx_closed.get(), 3);
}

#[test]
fn budget_bounds_a_run() {
    let mut net = sender();
    let desc = TxQueue::place(&mut net.machine, &frame::udp4(b"x"));
    net.tx.0.post(&mut net.machine, &[desc; 64]);
    let mut second = net.driver.tx_queue(&mut net.machine, 1);
    net.machine.host.sent.clear();
    net.tx.0.post(&mut net.machine, &[desc; 1]);
    second.0.post(&mut net.machine, &[desc; 64]);
    let Machine { device, host, .. } = &mut net.machine;
    assert!(device.run(host, 0), "there is more");
    assert_eq!(host.sent.len(), 0);
    assert!(!device.run(host, 1000));
    assert_eq!(host.sent.len(), 65);
}

#[test]
fn state_block_shows_how_far_the_device_is() {
    let mut net = net();
    net.tx.send(&mut net.machine, &frame::udp4(b"x"));
    let word = |offset| net.tx.0.word(&net.machine, offset);
    assert_eq!(word(offset_of!(QueueState, cq_tail)), 1);
    assert_eq!(word(offset_of!(QueueState, doorbell_event)), 1);
}

#[test]
fn tag_is_inserted_and_stripped() {
    let mut net = sender();
    let bytes = frame::tcp4(b"hello");
    let mut desc = with_flags(TxQueue::place(&mut net.machine, &bytes), TxFlags::VLAN);
    desc.vlan = U16::new(0x6123);
    net.tx.post(&mut net.machine, &[desc]);
    let sent = net.machine.host.sent.pop().unwrap();
    assert_eq!(sent[12..16], [0x81, 0x00, 0x61, 0x23]);
    assert_eq!([&sent[..12], &sent[16..]].concat(), bytes);
    net.receive_own();
    net.rx.post(&mut net.machine, 4);
    net.machine.receive(&sent);
    let packet = net.rx.reap(&mut net.machine).remove(0);
    assert_eq!(packet.bytes, bytes);
    assert_eq!(packet.about.vlan.get(), 0x6123);
    assert!(packet.has(RxFlags::VLAN) && packet.has(RxFlags::CSUM_OK));
    assert_eq!(net.stats().rx_bytes.get(), sent.len() as u64);
}

#[test]
fn closed_port_sends_nothing_until_it_opens() {
    let mut net = sender();
    net.driver
        .send(
            &mut net.machine,
            EnablePort {
                enable: 0,
                rsvd: [0; 3],
            },
        )
        .unwrap();
    net.tx.send(&mut net.machine, &frame::udp4(b"x"));
    assert_eq!(net.machine.host.sent.len(), 0);
    net.driver.open(&mut net.machine);
    assert_eq!(net.machine.host.sent.len(), 1);
}
