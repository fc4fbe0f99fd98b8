// SPDX-License-Identifier: GPL-2.0

//! RX queues that put headers and data of TCP segments into buffers of their own.

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    CreateQueue,
    DestroyQueue,
    ModifyQueue,
    QueueFlags,
    QueueKind, //
};
use ferrite_abi::desc::RxCompletion;
use ferrite_abi::wire::U16;
use ferrite_model::testing::{
    frame,
    Driver,
    Machine,
    Rings,
    RxQueue, //
};
use ferrite_model::{
    Config,
    PciFn, //
};

/// Headers of TCP over IPv4.
const HEADERS: usize = 54;

struct Net {
    machine: Machine,
    driver: Driver,
    rx: RxQueue,
}

/// A PF whose RX queue splits what is longer than `split_above`.
fn net(split_above: u16) -> Net {
    net_with(QueueFlags::SPLIT, split_above)
}

fn net_with(flags: QueueFlags, split_above: u16) -> Net {
    let mut machine = Machine::new(Config {
        mac: frame::DESTINATION,
        ..Config::default()
    });
    let mut driver = Driver::start(&mut machine, PciFn::PF);
    // Made anew in the same memory, of which nothing was used yet.
    let rx = driver.rx_queue(&mut machine, 0);
    let destroy = DestroyQueue {
        kind: U16::new(QueueKind::RX.0),
        index: U16::new(0),
    };
    driver.send(&mut machine, destroy).unwrap();
    let command = CreateQueue {
        flags: flags.0,
        split_above: U16::new(split_above),
        ..rx.rings.command(QueueKind::RX, 0)
    };
    driver.send(&mut machine, command).unwrap();
    driver.open(&mut machine);
    Net {
        machine,
        driver,
        rx,
    }
}

/// Lets frames come, and returns bytes and number of buffers of each packet, whose bytes must be those of the
/// frame.
fn buffers(net: &mut Net, frames: &[Vec<u8>]) -> Vec<usize> {
    for frame in frames {
        net.machine.receive(frame);
    }
    let packets = net.rx.reap(&mut net.machine);
    assert_eq!(packets.len(), frames.len());
    for (packet, frame) in packets.iter().zip(frames) {
        assert_eq!(&packet.bytes, frame);
    }
    packets.iter().map(|packet| packet.buffers).collect()
}

#[test]
fn data_begins_with_a_buffer_of_its_own() {
    let mut net = net(0);
    net.rx.post(&mut net.machine, 8);
    let frames = [frame::tcp4(&[7; 100]), frame::tcp6(&[8; 10])];
    assert_eq!(buffers(&mut net, &frames), [2, 2]);
}

#[test]
fn headers_alone_are_in_the_first_buffer() {
    let mut net = net(0);
    net.rx.post(&mut net.machine, 8);
    net.machine.receive(&frame::tcp4(&[7; 100]));
    let lengths: Vec<_> = net
        .rx
        .rings
        .reap::<RxCompletion>(&mut net.machine)
        .iter()
        .map(|completion| completion.len.get() as usize)
        .collect();
    assert_eq!(lengths, [HEADERS, 100]);
}

#[test]
fn what_is_short_or_no_tcp_stays_whole() {
    let longest = HEADERS as u16 + 100;
    let mut net = net(longest);
    net.rx.post(&mut net.machine, 8);
    let frames = [
        frame::tcp4(&[7; 100]),
        frame::tcp4(&[7; 101]),
        frame::udp4(&[7; 500]),
        frame::tcp4(b""),
    ];
    assert_eq!(buffers(&mut net, &frames), [1, 2, 1, 1]);
}

#[test]
fn packet_that_waited_is_split_as_well() {
    let mut net = net(0);
    // One buffer does not do for both pieces.
    net.rx.post(&mut net.machine, 1);
    let bytes = frame::tcp4(&[7; 100]);
    net.machine.receive(&bytes);
    assert!(net.rx.reap(&mut net.machine).is_empty());
    net.rx.post(&mut net.machine, 1);
    let packets = net.rx.reap(&mut net.machine);
    assert_eq!(packets.len(), 1);
    assert_eq!((packets[0].buffers, &packets[0].bytes), (2, &bytes));
}

#[test]
fn segments_are_not_joined_and_split() {
    let mut net = net(0);
    let both = QueueFlags::SPLIT.with(QueueFlags::COALESCE);
    let modify = ModifyQueue {
        kind: U16::new(QueueKind::RX.0),
        flags: both.0,
        ..ModifyQueue::default()
    };
    assert_eq!(
        net.driver.send(&mut net.machine, modify),
        Err(Status::INVALID_FIELD)
    );
    let rings = Rings::unborn(PciFn::PF, &mut net.machine, QueueKind::RX, 1, 4);
    let create = CreateQueue {
        flags: both.0,
        ..rings.command(QueueKind::RX, 1)
    };
    assert_eq!(
        net.driver.send(&mut net.machine, create),
        Err(Status::INVALID_FIELD)
    );
}

/// With places for headers.
const PLACES: QueueFlags = QueueFlags::SPLIT.with(QueueFlags::HEADERS);

#[test]
fn headers_are_in_their_place() {
    let mut net = net_with(PLACES, 0);
    let udp = frame::udp4(&[9; 500]);
    let frames = [
        // Bytes in the place, and in buffers.
        (frame::tcp4(&[7; 100]), HEADERS, 100),
        (frame::tcp6(&[8; 10]), HEADERS + 20, 10),
        (frame::tcp4(b""), frame::tcp4(b"").len(), 0),
        (udp.clone(), 256, udp.len() - 256),
    ];
    // More than once around the ring.
    for _ in 0..20 {
        net.rx.post(&mut net.machine, 4);
        for (frame, ..) in &frames {
            net.machine.receive(frame);
        }
        let packets = net.rx.reap(&mut net.machine);
        assert_eq!(packets.len(), frames.len());
        for (packet, (frame, in_place, in_buffers)) in packets.iter().zip(&frames) {
            assert_eq!(&packet.bytes, frame);
            assert_eq!(usize::from(packet.about.header_len.get()), *in_place);
            assert_eq!(packet.about.len.get() as usize, *in_buffers);
            assert_eq!(packet.buffers, 1);
        }
    }
}

#[test]
fn headers_wait_with_their_packet() {
    let mut net = net_with(PLACES, 0);
    let bytes = frame::tcp4(&[7; 100]);
    net.machine.receive(&bytes);
    net.rx.post(&mut net.machine, 1);
    let packets = net.rx.reap(&mut net.machine);
    assert_eq!((packets[0].buffers, &packets[0].bytes), (1, &bytes));
}

#[test]
fn places_are_there_from_the_beginning_or_never() {
    for (flags, wanted) in [(PLACES, QueueFlags::SPLIT), (QueueFlags::SPLIT, PLACES)] {
        let mut net = net_with(flags, 0);
        let modify = |flags: QueueFlags| ModifyQueue {
            kind: U16::new(QueueKind::RX.0),
            flags: flags.0,
            ..ModifyQueue::default()
        };
        let done = net.driver.send(&mut net.machine, modify(wanted));
        assert_eq!(done, Err(Status::INVALID_FIELD));
        net.driver.send(&mut net.machine, modify(flags)).unwrap();
    }
    let mut net = net(0);
    let rings = Rings::unborn(PciFn::PF, &mut net.machine, QueueKind::RX, 1, 4);
    let create = CreateQueue {
        flags: QueueFlags::HEADERS.0,
        ..rings.command(QueueKind::RX, 1)
    };
    let done = net.driver.send(&mut net.machine, create);
    assert_eq!(done, Err(Status::INVALID_FIELD));
}
