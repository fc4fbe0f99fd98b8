// SPDX-License-Identifier: GPL-2.0

//! Counters of frames: each counts once, in the direction, the class and the kind that it is of.

mod common;

use ferrite_abi::cmd::{
    FrameCounters,
    FrameStats,
    QueryFrames, //
};
use ferrite_model::testing::{
    frame,
    Machine, //
};
use ferrite_model::Config;

use common::{
    net,
    sender,
    Net, //
};

/// Length of an Ethernet header.
const HEADER: usize = 14;
const BROADCAST: [u8; 6] = [0xff; 6];
const GROUP: [u8; 6] = [1, 0, 0x5e, 0, 0, 1];

fn frames(net: &mut Net) -> FrameStats {
    net.driver
        .fetch(&mut net.machine, QueryFrames {})
        .unwrap()
        .1
}

/// A frame of `length` bytes without checksum.
fn long(destination: [u8; 6], length: usize) -> Vec<u8> {
    frame::plain(destination, frame::SOURCE, &vec![7; length - HEADER])
}

fn classes(counters: &FrameCounters) -> Vec<u64> {
    counters.classes.iter().map(|class| class.get()).collect()
}

#[test]
fn sent_frames_count_in_the_class_of_their_length_on_the_wire() {
    let mut net = sender();
    // Without checksum; the first is padded.
    for length in [20, 60, 61, 1514] {
        net.tx
            .send(&mut net.machine, &long(frame::DESTINATION, length));
    }
    let stats = frames(&mut net);
    assert_eq!(classes(&stats.tx), [2, 1, 0, 0, 0, 1, 0]);
    assert_eq!(stats.tx.frames.get(), 4);
    assert_eq!(stats.tx.octets.get(), 64 + 64 + 65 + 1518);
    assert_eq!(stats.rx.frames.get(), 0);
}

#[test]
fn kinds_are_told_apart() {
    let mut net = net();
    net.rx.post(&mut net.machine, 8);
    let mut control = long(BROADCAST, 60);
    control[12..14].copy_from_slice(&[0x88, 0x08]);
    for bytes in [
        long(frame::DESTINATION, 60),
        long(BROADCAST, 60),
        control.clone(),
    ] {
        net.machine.receive(&bytes);
    }
    net.tx.send(&mut net.machine, &long(GROUP, 60));
    net.tx.send(&mut net.machine, &control);
    let FrameStats { tx, rx } = frames(&mut net);
    let kinds = |counters: &FrameCounters| {
        [
            counters.frames.get(),
            counters.multicast.get(),
            counters.broadcast.get(),
            counters.control.get(),
        ]
    };
    assert_eq!(kinds(&rx), [3, 0, 2, 1]);
    assert_eq!(kinds(&tx), [2, 1, 1, 1]);
}

#[test]
fn frame_without_buffer_came_all_the_same() {
    let mut net = net();
    // More than can wait for buffers.
    let mut lost = 0;
    for sent in 1.. {
        net.machine.receive(&long(frame::DESTINATION, 1000));
        lost = net.stats().rx_no_buffer.get();
        if lost > 0 {
            assert_eq!(frames(&mut net).rx.frames.get(), sent);
            break;
        }
        assert!(sent < 100_000, "no frame was ever lost");
    }
    assert_eq!(lost, 1);
}

#[test]
fn counters_outlive_save_and_load() {
    let mut net = sender();
    net.tx
        .send(&mut net.machine, &long(frame::DESTINATION, 700));
    let bytes = net.machine.device.save();
    let mut machine = Machine::new(Config {
        mac: [0x02, 0, 0, 0, 0, 1],
        ..Config::default()
    });
    machine.device.load(&bytes).unwrap();
    assert_eq!(machine.device.save(), bytes);
    let before = frames(&mut net);
    net.machine.device.load(&bytes).unwrap();
    assert_eq!(frames(&mut net).tx.octets.get(), before.tx.octets.get());
}
