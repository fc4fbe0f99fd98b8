// SPDX-License-Identifier: GPL-2.0

//! TX and RX queues.

use std::mem::offset_of;

use ferrite_abi::cmd::{
    EnablePort,
    PortStats,
    QueryQueue,
    QueryStats,
    QueueKind,
    RssHash,
    RssTable,
    SetMac,
    SetMtu,
    SetRss,
    MAX_RSS_TABLE,
    RSS_KEY, //
};
use ferrite_abi::desc::{
    QueueState,
    RxCompletion,
    RxDesc,
    RxFlags,
    TxDesc,
    TxFlags,
    TxStatus,
    MAX_TX_PACKET, //
};
use ferrite_abi::event::{
    QueueError,
    QueueSyndrome, //
};
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
    RxQueue,
    TxQueue,
    BUFFER, //
};
use ferrite_model::{
    Config,
    PciFn,
    Received, //
};

/// A machine whose PF has one queue of each kind, port open, event queue there.
struct Net {
    machine: Machine,
    driver: Driver,
    tx: TxQueue,
    rx: RxQueue,
}

/// With the address that the frames here are for.
fn net() -> Net {
    net_with(Config {
        mac: frame::DESTINATION,
        ..Config::default()
    })
}

/// With an address to which the frames here are foreign.
fn sender() -> Net {
    net_with(Config {
        mac: [0x02, 0, 0, 0, 0, 1],
        ..Config::default()
    })
}

fn net_with(config: Config) -> Net {
    let mut machine = Machine::new(config);
    let mut driver = Driver::start(&mut machine, PciFn::PF);
    driver.create_event_queue(&mut machine);
    let tx = driver.tx_queue(&mut machine, 0);
    let rx = driver.rx_queue(&mut machine, 0);
    driver.open(&mut machine);
    machine.host.raised.clear();
    Net {
        machine,
        driver,
        tx,
        rx,
    }
}

impl Net {
    /// Takes the address that the frames here are for, so that what was sent can come back.
    fn receive_own(&mut self) {
        let mac = SetMac {
            mac: frame::DESTINATION,
            rsvd: [0; 2],
        };
        self.driver.send(&mut self.machine, mac).unwrap();
    }

    fn stats(&mut self) -> PortStats {
        self.driver
            .fetch(&mut self.machine, QueryStats {})
            .unwrap()
            .1
    }

    /// Returns what a queue stopped for, as `QueryQueue` and the event say.
    fn syndrome(&mut self, kind: QueueKind) -> QueueSyndrome {
        let query = QueryQueue {
            kind: U16::new(kind.0),
            index: U16::new(0),
        };
        let done = self.driver.send(&mut self.machine, query).unwrap();
        let events = self.driver.events(&mut self.machine);
        let told = events
            .iter()
            .find_map(|event| event.payload::<QueueError>());
        assert_eq!(
            told.map(|told| told.syndrome.get()),
            Some(done.syndrome.get())
        );
        assert_eq!(told.map(|told| told.kind.get()), Some(kind.0));
        QueueSyndrome(done.syndrome.get())
    }
}

/// Cuts a frame into descriptors of at most `size` bytes.
fn cut(machine: &mut Machine, frame: &[u8], size: usize) -> Vec<TxDesc> {
    let mut descs: Vec<_> = frame
        .chunks(size)
        .map(|piece| TxDesc {
            flags: U16::new(0),
            ..TxQueue::place(machine, piece)
        })
        .collect();
    descs.last_mut().unwrap().flags = U16::new(TxFlags::END.0);
    descs
}

fn with_flags(mut desc: TxDesc, flags: TxFlags) -> TxDesc {
    desc.flags = U16::new(TxFlags(desc.flags.get()).with(flags).0);
    desc
}

#[test]
fn frame_leaves_as_it_was_and_is_completed() {
    let mut net = sender();
    let bytes = frame::tcp4(b"hello");
    net.tx.send(&mut net.machine, &bytes);
    assert_eq!(net.machine.host.sent, std::slice::from_ref(&bytes));
    assert_eq!(net.tx.reap(&mut net.machine), [(1, TxStatus::OK.0)]);
    assert_eq!(net.machine.host.raised, [(PciFn::PF, 1)]);
    let stats = net.stats();
    assert_eq!(
        (stats.tx_packets.get(), stats.tx_bytes.get()),
        (1, bytes.len() as u64)
    );
}

#[test]
fn segments_are_joined_however_the_frame_is_cut() {
    let mut net = sender();
    let bytes = frame::tcp4(&[9; 300]);
    for size in [12, 13, 64, 353, 1000] {
        let descs = cut(&mut net.machine, &bytes, size);
        net.tx.post(&mut net.machine, &descs);
        assert_eq!(net.machine.host.sent.pop().as_ref(), Some(&bytes), "{size}");
    }
    assert!(net
        .tx
        .reap(&mut net.machine)
        .iter()
        .all(|(_, status)| *status == TxStatus::OK.0));
}

#[test]
fn many_packets_share_a_completion_and_rings_wrap() {
    let mut net = sender();
    let bytes = frame::udp4(b"x");
    let desc = TxQueue::place(&mut net.machine, &bytes);
    for round in 1..=50 {
        net.tx.post(&mut net.machine, &[desc; 50]);
        let completions = net.tx.reap(&mut net.machine);
        assert!(completions.len() <= 2);
        assert_eq!(completions.last(), Some(&(50 * round, TxStatus::OK.0)));
    }
    assert_eq!(net.machine.host.sent.len(), 2500);
    assert!(net.machine.host.sent.iter().all(|sent| *sent == bytes));
}

#[test]
fn doorbell_is_wanted_only_when_the_device_sleeps() {
    let mut net = sender();
    let desc = TxQueue::place(&mut net.machine, &frame::udp4(b"x"));
    // The device did not run yet when the second is posted.
    net.tx.0.post(&mut net.machine, &[desc]);
    net.tx.0.post(&mut net.machine, &[desc]);
    assert_eq!(net.tx.0.doorbells, (1, 1));
    net.machine.settle();
    assert_eq!(net.machine.host.sent.len(), 2);
    net.tx.0.post(&mut net.machine, &[desc]);
    assert_eq!(net.tx.0.doorbells, (2, 1));
}

#[test]
fn packet_whose_rest_is_to_come_waits() {
    let mut net = sender();
    let bytes = frame::tcp4(b"hello");
    let descs = cut(&mut net.machine, &bytes, 20);
    for desc in &descs {
        assert_eq!(net.machine.host.sent.len(), 0);
        net.tx.post(&mut net.machine, &[*desc]);
    }
    assert_eq!(net.machine.host.sent, [bytes]);
}

#[test]
fn bad_packets_are_refused_counted_and_told_apart() {
    let mut net = sender();
    let m = &mut net.machine;
    let good = TxQueue::place(m, &frame::tcp4(b"hello"));
    let csum = |start, offset| {
        let mut desc = with_flags(good, TxFlags::CSUM);
        desc.csum_start = U16::new(start);
        desc.csum_offset = U16::new(offset);
        desc
    };
    let bad = [
        TxDesc {
            len: U32::new(0),
            ..good
        },
        TxDesc {
            len: U32::new(13),
            ..good
        },
        TxDesc {
            len: U32::new(MAX_TX_PACKET + 1),
            ..good
        },
        TxDesc {
            len: U32::new(9700),
            ..good
        },
        TxDesc {
            len: U32::new(u32::MAX),
            ..good
        },
        TxDesc {
            rsvd: [0, 0, 0, 1],
            ..good
        },
        with_flags(good, TxFlags::TIMESTAMP),
        with_flags(good, TxFlags(0x8000)),
        with_flags(good, TxFlags::TSO),
        csum(59, 0),
        csum(34, 24),
        csum(0xffff, 0xffff),
    ];
    for desc in bad {
        net.tx.post(m, &[good, desc, good]);
        let statuses: Vec<_> = net.tx.reap(m).iter().map(|(_, status)| *status).collect();
        assert_eq!(statuses, [0, TxStatus::BAD_DESCRIPTOR.0, 0], "{desc:?}");
    }
    assert_eq!(net.machine.host.sent.len(), 2 * bad.len());
    assert_eq!(net.stats().tx_bad_descriptor.get(), bad.len() as u64);
}

#[test]
fn direct_sending_is_not_for_this_mode() {
    let mut net = net();
    let desc = TxQueue::place(&mut net.machine, &frame::tcp4(b"hello"));
    net.tx
        .post(&mut net.machine, &[with_flags(desc, TxFlags::DIRECT)]);
    assert_eq!(
        net.tx.reap(&mut net.machine),
        [(1, TxStatus::NOT_PERMITTED.0)]
    );
    assert_eq!(net.stats().tx_not_permitted.get(), 1);
}

#[test]
fn too_many_segments_are_passed_over() {
    let mut net = net();
    let m = &mut net.machine;
    let good = TxQueue::place(m, &frame::tcp4(b"hello"));
    let middle = TxDesc {
        flags: U16::new(0),
        ..good
    };
    let mut descs = vec![middle; 33];
    descs[32] = good;
    descs.push(good);
    net.tx.post(m, &descs);
    let expected = [(33, TxStatus::BAD_DESCRIPTOR.0), (34, TxStatus::OK.0)];
    assert_eq!(net.tx.reap(m), expected);
    // Exactly as many as there may be.
    let mut descs = cut(m, &frame::tcp4(&[1; 10]), 2);
    assert_eq!(descs.len(), 32);
    net.tx.post(m, &descs);
    assert_eq!(net.tx.reap(m), [(66, TxStatus::OK.0)]);
    // And over the end of what is read at a time, in two posts.
    descs = vec![middle; 50];
    net.tx.post(m, &descs);
    assert_eq!(net.tx.reap(m), []);
    net.tx.post(m, &[good, good]);
    let expected = [(117, TxStatus::BAD_DESCRIPTOR.0), (118, TxStatus::OK.0)];
    assert_eq!(net.tx.reap(m), expected);
}

#[test]
fn chain_without_end_stops_the_queue() {
    let mut net = net();
    let good = TxQueue::place(&mut net.machine, &frame::tcp4(b"hello"));
    let middle = TxDesc {
        flags: U16::new(0),
        ..good
    };
    net.tx.post(&mut net.machine, &[middle; 64]);
    net.tx.post(&mut net.machine, &[middle; 1]);
    assert_eq!(net.syndrome(QueueKind::TX), QueueSyndrome::BAD_CHAIN);
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
        let mut net = self::net();
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
        let mut net = self::net();
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
fn checksum_is_inserted_as_a_driver_asks() {
    let mut net = sender();
    for (good, start, offset) in [
        (frame::tcp4(b"odd"), 34, 16),
        (frame::tcp6(b"even"), 54, 16),
        (frame::udp4(b"x"), 34, 6),
        (frame::udp6(b""), 54, 6),
    ] {
        // The driver leaves the sum of the pseudo-header in the field.
        let mut bytes = good.clone();
        let length = (bytes.len() - start) as u16;
        let (protocol, addresses) = if start == 34 {
            (23, 26..34)
        } else {
            (20, 22..54)
        };
        let mut pseudo = bytes[addresses].to_vec();
        pseudo.extend([0, bytes[protocol]]);
        pseudo.extend(length.to_be_bytes());
        let seed = !frame::checksum(&pseudo);
        bytes[start + offset..start + offset + 2].copy_from_slice(&seed.to_be_bytes());
        let mut desc = with_flags(TxQueue::place(&mut net.machine, &bytes), TxFlags::CSUM);
        desc.csum_start = U16::new(start as u16);
        desc.csum_offset = U16::new(offset as u16);
        net.tx.post(&mut net.machine, &[desc]);
        assert_eq!(net.machine.host.sent.pop(), Some(good));
    }
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
fn segmentation_makes_right_frames_with_and_without_tag() {
    for tagged in [false, true] {
        let mut net = sender();
        let payload: Vec<u8> = (0..10_000u32).map(|n| n as u8).collect();
        let bytes = frame::tcp4(&payload);
        let mut descs = cut(&mut net.machine, &bytes, 4096);
        let first = &mut descs[0];
        let flags = if tagged {
            TxFlags::TSO.with(TxFlags::VLAN)
        } else {
            TxFlags::TSO
        };
        *first = with_flags(*first, flags);
        first.mss = U16::new(1448);
        first.header_len = U16::new(54);
        first.csum_start = U16::new(34);
        first.csum_offset = U16::new(16);
        first.vlan = U16::new(5);
        net.tx.post(&mut net.machine, &descs);
        assert_eq!(net.tx.reap(&mut net.machine), [(3, TxStatus::OK.0)]);
        let sent = std::mem::take(&mut net.machine.host.sent);
        assert_eq!(sent.len(), 7);
        assert_eq!(net.stats().tx_packets.get(), 7);
        // Back in, the device finds the checksums right, and the payload is whole.
        net.receive_own();
        net.rx.post(&mut net.machine, 16);
        for segment in &sent {
            net.machine.receive(segment);
        }
        let mut joined = Vec::new();
        for packet in net.rx.reap(&mut net.machine) {
            assert!(packet.has(RxFlags::CSUM_OK));
            assert_eq!(packet.has(RxFlags::VLAN), tagged);
            joined.extend_from_slice(&packet.bytes[54..]);
        }
        assert_eq!(joined, payload);
    }
}

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
    let mut net = self::net();
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
