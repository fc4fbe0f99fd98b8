// SPDX-License-Identifier: GPL-2.0

//! RX queues: what arrives is what the driver gets.

mod common;

use ferrite_abi::cmd::{
    EnablePort,
    QueueKind,
    RssHash,
    RssTable,
    SetMtu,
    SetRss,
    MAX_RSS_TABLE,
    RSS_KEY, //
};
use ferrite_abi::desc::{
    RxCompletion,
    RxDesc,
    RxFlags, //
};
use ferrite_abi::event::QueueSyndrome;
use ferrite_abi::wire::{
    U16,
    U32,
    U64, //
};
use ferrite_model::testing::{
    frame,
    Driver,
    Machine,
    Rings,
    BUFFER, //
};
use ferrite_model::{
    Config,
    PciFn,
    Received, //
};

use common::net;

#[test]
fn frame_arrives_with_verdict_on_its_checksum() {
    let mut net = net();
    net.rx.post(&mut net.machine, 8);
    let good = frame::tcp4(b"hello");
    let mut wrong = good.clone();
    wrong[40] ^= 1;
    let other = frame::plain(frame::DESTINATION, frame::SOURCE, &[0; 46]);
    for bytes in [&good, &wrong, &other] {
        net.machine.receive(bytes);
    }
    let packets = net.rx.reap(&mut net.machine);
    let verdicts: Vec<_> = packets
        .iter()
        .map(|packet| packet.has(RxFlags::CSUM_OK))
        .collect();
    assert_eq!(verdicts, [true, false, false]);
    assert_eq!(packets[1].bytes, wrong);
    let stats = net.stats();
    assert_eq!(
        (stats.rx_packets.get(), stats.rx_bad_checksum.get()),
        (3, 1)
    );
    assert_eq!(net.machine.host.raised[0], (PciFn::PF, 1));
}

#[test]
fn large_packet_takes_several_buffers() {
    let mut net = net();
    net.driver
        .send(
            &mut net.machine,
            SetMtu {
                mtu: U16::new(9000),
                rsvd: [0; 2],
            },
        )
        .unwrap();
    let bytes = frame::udp4(&vec![5; 8900]);
    net.rx.post(&mut net.machine, 8);
    net.machine.receive(&bytes);
    let packets = net.rx.reap(&mut net.machine);
    assert_eq!(packets.len(), 1);
    assert_eq!(packets[0].bytes, bytes);
    assert_eq!(packets[0].buffers, bytes.len().div_ceil(BUFFER as usize));
    assert!(packets[0].has(RxFlags::CSUM_OK));
}

#[test]
fn packets_wait_for_buffers_and_come_in_order() {
    let mut net = net();
    for n in 0..10u8 {
        net.machine.receive(&frame::udp4(&[n; 20]));
    }
    assert_eq!(net.rx.reap(&mut net.machine).len(), 0);
    // The device wants a doorbell now.
    let before = net.rx.rings.doorbells.0;
    net.rx.post(&mut net.machine, 4);
    assert_eq!(net.rx.rings.doorbells.0, before + 1);
    net.machine.receive(&frame::udp4(&[10; 20]));
    net.rx.post(&mut net.machine, 20);
    let order: Vec<_> = net
        .rx
        .reap(&mut net.machine)
        .iter()
        .map(|packet| packet.bytes[42])
        .collect();
    assert_eq!(order, (0..11).collect::<Vec<_>>());
    assert_eq!(net.stats().rx_packets.get(), 11);
    // With buffers there, posting more rings no doorbell.
    let before = net.rx.rings.doorbells;
    net.rx.post(&mut net.machine, 4);
    assert_eq!(net.rx.rings.doorbells, (before.0, before.1 + 1));
}

#[test]
fn waiting_is_bounded_and_the_rest_is_dropped() {
    let mut net = net();
    for _ in 0..300 {
        net.machine.receive(&frame::udp4(b"x"));
    }
    assert_eq!(net.stats().rx_no_buffer.get(), 300 - 256);
    for _ in 0..5 {
        net.rx.post(&mut net.machine, 64);
        net.rx.reap(&mut net.machine);
    }
    assert_eq!(net.stats().rx_packets.get(), 256);
    // 64 buffers are left. Now it is the bytes that there is no room for.
    let bytes = frame::udp4(&[0; 1400]);
    for _ in 0..1000 {
        net.machine.receive(&bytes);
    }
    let kept = 256 * 1024 / bytes.len() as u64;
    let stats = net.stats();
    assert_eq!(stats.rx_packets.get(), 256 + 64);
    assert_eq!(stats.rx_no_buffer.get(), 300 - 256 + 1000 - 64 - kept);
}

#[test]
fn what_the_port_does_not_take_is_dropped_and_counted() {
    let mut net = net();
    net.rx.post(&mut net.machine, 8);
    net.machine.receive(&frame::udp4(&[0; 1472]));
    net.machine.receive(&frame::udp4(&[0; 1473]));
    let other = frame::addressed(frame::udp4(b"x"), [2, 0, 0, 0, 0, 1], frame::SOURCE);
    net.machine.receive(&other);
    net.machine.receive(&[0; 13]);
    net.machine.receive(&[]);
    net.driver
        .send(
            &mut net.machine,
            EnablePort {
                enable: 0,
                rsvd: [0; 3],
            },
        )
        .unwrap();
    net.machine.receive(&frame::udp4(b"x"));
    assert_eq!(net.rx.reap(&mut net.machine).len(), 1);
    let stats = net.stats();
    let counted = (
        stats.rx_packets.get(),
        stats.rx_too_long.get(),
        stats.rx_closed.get(),
    );
    assert_eq!(counted, (1, 1, 1));
}

#[test]
fn buffer_that_cannot_be_written_comes_back_empty() {
    let mut net = net();
    net.rx.post(&mut net.machine, 3);
    let second = net.rx.buffer(1);
    net.machine.host.break_range(None, second..second + 16);
    for n in 0..3 {
        net.machine.receive(&frame::udp4(&[n; 8]));
    }
    let packets = net.rx.reap(&mut net.machine);
    let lengths: Vec<_> = packets.iter().map(|packet| packet.bytes.len()).collect();
    assert_eq!(lengths, [50, 0, 50]);
    assert_eq!(packets[2].bytes[42], 2);
    assert_eq!(net.stats().rx_dma_fault.get(), 1);
    // Of a packet in several buffers, all come back empty.
    net.machine.host.mend();
    net.rx.post_sized(&mut net.machine, 4, 40);
    let last = net.rx.buffer(4);
    net.machine.host.break_range(None, last..last + 1);
    net.machine.receive(&frame::udp4(&[7; 40]));
    net.machine.receive(&frame::udp4(&[8; 20]));
    let packets = net.rx.reap(&mut net.machine);
    let lengths: Vec<_> = packets.iter().map(|packet| packet.bytes.len()).collect();
    assert_eq!(lengths, [0, 0, 62]);
}

#[test]
fn buffers_that_can_never_do_stop_the_queue() {
    let mut net = net();
    net.rx.post_sized(&mut net.machine, 2, 0);
    net.machine.receive(&frame::udp4(b"x"));
    assert_eq!(net.syndrome(QueueKind::RX), QueueSyndrome::BAD_CHAIN);
    let mut net = common::net();
    net.rx.post_sized(&mut net.machine, 64, 1);
    net.machine.receive(&frame::udp4(&[0; 100]));
    assert_eq!(net.syndrome(QueueKind::RX), QueueSyndrome::BAD_CHAIN);
    assert_eq!(net.stats().rx_no_buffer.get(), 1);
}

#[test]
fn scaling_spreads_flows_and_keeps_each_in_one_queue() {
    let mut machine = Machine::new(Config::default());
    let mut driver = Driver::start(&mut machine, PciFn::PF);
    let mut queues: Vec<_> = (0..4)
        .map(|index| driver.rx_queue(&mut machine, index))
        .collect();
    driver.open(&mut machine);
    let table = RssTable {
        key: std::array::from_fn::<_, RSS_KEY, _>(|at| (at * 7 + 3) as u8),
        queues: std::array::from_fn::<_, MAX_RSS_TABLE, _>(|at| U16::new(at as u16 % 4)),
    };
    let hash = RssHash::IPV4.with(RssHash::UDP);
    let command = SetRss {
        hash: U16::new(hash.0),
        entries: U16::new(128),
        ..SetRss::default()
    };
    driver.send_with(&mut machine, command, &table).unwrap();
    for queue in &mut queues {
        queue.post(&mut machine, 64);
    }
    for port in 0..100u8 {
        let mut bytes = frame::udp4(b"x");
        bytes[35] = port;
        machine.receive(&bytes);
        machine.receive(&bytes);
    }
    // Not IP: queue 0, without hash.
    machine.receive(&frame::plain(frame::DESTINATION, frame::SOURCE, &[0; 46]));
    let mut seen = [0; 4];
    for (index, queue) in queues.iter_mut().enumerate() {
        let mut ports = Vec::new();
        for packet in queue.reap(&mut machine) {
            if packet.has(RxFlags::HASH) {
                assert!(packet.has(RxFlags::HASH_L4));
                assert_eq!(packet.about.hash.get() as usize % 4, index);
                ports.push(packet.bytes[35]);
            } else {
                assert_eq!(index, 0);
            }
        }
        assert!(ports.chunks(2).all(|pair| pair[0] == pair[1]));
        seen[index] = ports.len();
    }
    assert_eq!(seen.iter().sum::<usize>(), 200);
    assert!(seen.iter().all(|count| *count > 10), "{seen:?}");
    assert_eq!(
        machine
            .host
            .raised
            .iter()
            .filter(|raised| raised.1 == 3)
            .count(),
        1
    );
}

#[test]
fn interrupt_comes_once_and_again_when_armed() {
    let mut net = net();
    let bytes = frame::udp4(b"x");
    net.rx.post(&mut net.machine, 64);
    for _ in 0..5 {
        net.machine.receive(&bytes);
    }
    assert_eq!(net.machine.host.raised.len(), 1);
    let _: Vec<RxCompletion> = net.rx.rings.take(&net.machine);
    net.machine.receive(&bytes);
    assert_eq!(net.machine.host.raised.len(), 1, "not armed");
    net.rx.reap(&mut net.machine);
    net.machine.receive(&bytes);
    assert_eq!(net.machine.host.raised.len(), 2, "armed");
}

#[test]
fn moderated_interrupts_are_apart_and_not_lost() {
    let mut machine = Machine::new(Config::default());
    let mut driver = Driver::start(&mut machine, PciFn::PF);
    let mut rings = Rings::unborn(PciFn::PF, &mut machine, QueueKind::RX, 0, 6);
    let mut command = rings.command(QueueKind::RX, 0);
    command.moderation_usecs = U16::new(100);
    driver.send(&mut machine, command).unwrap();
    driver.open(&mut machine);
    let addr = machine.host.alloc(2048);
    let desc = RxDesc {
        addr: U64::new(addr),
        len: U32::new(2048),
        cookie: U32::new(0),
    };
    rings.post(&mut machine, &[desc; 60]);
    machine.host.raised.clear();
    let start = machine.host.now;
    let mut times = Vec::new();
    for _ in 0..50 {
        machine.receive(&frame::udp4(b"x"));
        machine.advance(10_000);
        if !machine.host.raised.is_empty() {
            machine.host.raised.clear();
            times.push(machine.host.now - start);
            let _: Vec<RxCompletion> = rings.reap(&mut machine);
        }
    }
    // 500 us of traffic: at once (and seen with the next step), and then every 100 us.
    assert_eq!(times, [10_000, 100_000, 200_000, 300_000, 400_000, 500_000]);
    machine.receive(&frame::udp4(b"x"));
    assert_eq!(machine.host.raised.len(), 0, "too early");
    machine.advance(1_000_000);
    assert_eq!(machine.host.raised.len(), 1, "the last packet is told of");
    // Nothing is left to tell: the timer is off.
    let _: Vec<RxCompletion> = rings.reap(&mut machine);
    machine.advance(1_000_000);
    assert_eq!(machine.host.timer, None);
}

#[test]
fn destroyed_queue_is_left_alone() {
    let mut net = net();
    net.rx.post(&mut net.machine, 8);
    let destroy = ferrite_abi::cmd::DestroyQueue {
        kind: U16::new(1),
        index: U16::new(0),
    };
    net.driver.send(&mut net.machine, destroy).unwrap();
    let before = net.machine.host.dma_accesses;
    net.machine.receive(&frame::udp4(b"x"));
    assert_eq!(net.machine.host.dma_accesses, before);
    assert_eq!(net.stats().rx_no_buffer.get(), 1);
}

#[test]
fn uplink_is_asked_to_wait_after_a_burst() {
    let mut net = net();
    let bytes = frame::udp4(b"x");
    let Machine { device, host, .. } = &mut net.machine;
    let mut taken = 0;
    while device.uplink_receive(host, &bytes) == Received::Taken {
        taken += 1;
        assert!(taken < 100_000);
    }
    assert!(!device.uplink_can_receive());
    assert_eq!(host.uplink_ready, 0);
    net.machine.settle();
    assert_eq!(net.machine.host.uplink_ready, 1);
    assert!(net.machine.device.uplink_can_receive());
}
