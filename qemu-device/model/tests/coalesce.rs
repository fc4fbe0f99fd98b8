// SPDX-License-Identifier: GPL-2.0

//! Joining of TCP segments, time stamps, and what can be changed of a queue that works.

mod common;

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    ModifyQueue,
    QueryClock,
    QueueFlags,
    QueueKind, //
};
use ferrite_abi::desc::{
    RxFlags,
    TxCompletion,
    TxDesc,
    TxDone,
    TxFlags, //
};
use ferrite_abi::wire::U16;
use ferrite_model::testing::{
    frame,
    RxPacket,
    TxQueue, //
};

use common::{
    net,
    Net, //
};

const ACK: u8 = 0x10;
const PSH: u8 = 0x08;
const HOLD_USECS: u16 = 100;

fn modify(kind: QueueKind) -> ModifyQueue {
    ModifyQueue {
        kind: U16::new(kind.0),
        ..ModifyQueue::default()
    }
}

/// A machine whose RX queue joins segments, with buffers.
fn joining() -> Net {
    let mut net = net();
    let command = ModifyQueue {
        coalesce_usecs: U16::new(HOLD_USECS),
        flags: QueueFlags::COALESCE.0,
        ..modify(QueueKind::RX)
    };
    net.driver.send(&mut net.machine, command).unwrap();
    net.rx.post(&mut net.machine, 60);
    net
}

/// Puts the checksums of a frame right.
fn sum(mut bytes: Vec<u8>) -> Vec<u8> {
    let v6 = bytes[12..14] == [0x86, 0xdd];
    let (l4, addresses) = if v6 { (54, 22..54) } else { (34, 26..34) };
    if !v6 {
        bytes[24..26].fill(0);
        let sum = frame::checksum(&bytes[14..34]);
        bytes[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    bytes[l4 + 16..l4 + 18].fill(0);
    let mut summed = bytes[addresses].to_vec();
    summed.extend(((bytes.len() - l4) as u32).to_be_bytes());
    summed.extend([0, 0, 0, 6]);
    summed.extend(&bytes[l4..]);
    let sum = frame::checksum(&summed);
    bytes[l4 + 16..l4 + 18].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// A segment of the connection that all frames here are of: `offset` bytes after the first, the
/// `nth` IP packet.
fn segment(offset: u32, nth: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = frame::tcp4(payload);
    bytes[18..20].copy_from_slice(&(7 + nth).to_be_bytes());
    let sequence = 0x1000_0000 + offset;
    bytes[38..42].copy_from_slice(&sequence.to_be_bytes());
    bytes[47] = flags;
    sum(bytes)
}

fn segment6(offset: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = frame::tcp6(payload);
    let sequence = 0x1000_0000 + offset;
    bytes[58..62].copy_from_slice(&sequence.to_be_bytes());
    bytes[67] = flags;
    sum(bytes)
}

fn joined(packet: &RxPacket) -> (u16, u16, u16) {
    assert!(packet.has(RxFlags::COALESCED));
    assert!(packet.has(RxFlags::CSUM_OK));
    let about = &packet.about;
    (about.segments.get(), about.mss.get(), about.l4_offset.get())
}

#[test]
fn segments_become_one_packet_up_to_the_push() {
    let mut net = joining();
    for (n, flags) in [ACK, ACK, ACK | PSH].into_iter().enumerate() {
        let n = n as u16;
        let payload = vec![n as u8; 100];
        net.machine
            .receive(&segment(100 * u32::from(n), n, flags, &payload));
    }
    let packets = net.rx.reap(&mut net.machine);
    assert_eq!(packets.len(), 1);
    assert_eq!(joined(&packets[0]), (3, 100, 34));
    let payload = [[0; 100], [1; 100], [2; 100]].concat();
    assert_eq!(packets[0].bytes, segment(0, 0, ACK | PSH, &payload));
    // Counted as they came.
    let stats = net.stats();
    assert_eq!((stats.rx_packets.get(), stats.rx_bytes.get()), (3, 3 * 154));
}

#[test]
fn segments_over_ipv6_are_joined_and_a_short_one_is_the_last() {
    let mut net = joining();
    for (offset, payload) in [(0, &[1; 300][..]), (300, &[2; 300]), (600, &[3; 10])] {
        net.machine.receive(&segment6(offset, ACK, payload));
    }
    let packets = net.rx.reap(&mut net.machine);
    assert_eq!(packets.len(), 1);
    assert_eq!(joined(&packets[0]), (3, 300, 54));
    let payload = [&[1; 300][..], &[2; 300], &[3; 10]].concat();
    assert_eq!(packets[0].bytes, segment6(0, ACK, &payload));
}

#[test]
fn what_waits_comes_when_its_time_is_over() {
    let mut net = joining();
    let bytes = segment(0, 0, ACK, &[1; 50]);
    net.machine.receive(&bytes);
    assert_eq!(net.rx.reap(&mut net.machine).len(), 0);
    net.machine.advance(u64::from(HOLD_USECS) * 1000 - 1);
    assert_eq!(net.rx.reap(&mut net.machine).len(), 0);
    net.machine.advance(1);
    let packets = net.rx.reap(&mut net.machine);
    assert_eq!(packets.len(), 1);
    assert_eq!(packets[0].bytes, bytes, "nothing was joined to it");
    assert!(!packets[0].has(RxFlags::COALESCED));
    assert_eq!(net.stats().rx_packets.get(), 1);
}

#[test]
fn segments_that_differ_are_not_joined_and_keep_their_order() {
    let second = segment(100, 1, ACK, &[2; 100]);
    let change = |at: usize, to: u8| {
        let mut bytes = second.clone();
        bytes[at] = to;
        sum(bytes)
    };
    let mut wrong = second.clone();
    wrong[80] ^= 1;
    for (what, other) in [
        ("wrong checksum", wrong),
        ("type of service", change(15, 4)),
        ("time to live", change(22, 63)),
        ("don't fragment", change(20, 0)),
        ("acknowledgement", change(45, 9)),
        ("window", change(48, 1)),
        ("urgent", change(47, ACK | 0x20)),
        ("reset", change(47, ACK | 0x04)),
        ("synchronize", change(47, ACK | 0x02)),
        ("finish", change(47, ACK | 0x01)),
        ("window reduced", change(47, ACK | 0x80)),
        ("echo", change(47, ACK | 0x40)),
        ("source address of Ethernet", change(11, 0x98)),
        ("gap", segment(101, 1, ACK, &[2; 100])),
        ("larger", segment(100, 1, ACK, &[2; 101])),
        ("no data", segment(100, 1, ACK, &[])),
        ("identification", segment(100, 2, ACK, &[2; 100])),
    ] {
        let mut net = joining();
        let first = segment(0, 0, ACK, &[1; 100]);
        net.machine.receive(&first);
        net.machine.receive(&other);
        net.machine.advance(1_000_000);
        let packets = net.rx.reap(&mut net.machine);
        let bytes: Vec<_> = packets.iter().map(|packet| &packet.bytes).collect();
        assert_eq!(bytes, [&first, &other], "{what}");
        assert!(!packets[0].has(RxFlags::COALESCED), "{what}");
    }
}

#[test]
fn identification_goes_on_as_it_began() {
    let without_df = |bytes: Vec<u8>| {
        let mut bytes = bytes;
        bytes[20] = 0;
        sum(bytes)
    };
    for (ids, df, lengths) in [
        ([0, 1, 2], true, vec![300]),
        ([0, 0, 0], true, vec![300]),
        ([0, 1, 1], true, vec![200, 100]),
        ([0, 0, 1], true, vec![200, 100]),
        ([0, 1, 2], false, vec![300]),
        ([0, 0, 0], false, vec![300]),
        ([0, 0, 1], false, vec![200, 100]),
        ([0, 2, 4], false, vec![100, 100, 100]),
    ] {
        let mut net = joining();
        for (n, id) in ids.into_iter().enumerate() {
            let bytes = segment(100 * n as u32, id, ACK, &[n as u8; 100]);
            let bytes = if df { bytes } else { without_df(bytes) };
            net.machine.receive(&bytes);
        }
        net.machine.advance(1_000_000);
        let packets = net.rx.reap(&mut net.machine);
        let found: Vec<_> = packets
            .iter()
            .map(|packet| packet.bytes.len() - 54)
            .collect();
        assert_eq!(found, lengths, "{ids:?} {df}");
    }
}

#[test]
fn a_packet_is_no_larger_than_ip_allows() {
    let mut net = joining();
    let size = 1400;
    for n in 0..48 {
        net.machine
            .receive(&segment(n * size, n as u16, ACK, &vec![n as u8; 1400]));
    }
    net.machine.advance(1_000_000);
    // 46 segments and headers are at most 65535 bytes, 47 are not.
    let packets = net.rx.reap(&mut net.machine);
    let segments: Vec<_> = packets.iter().map(|packet| joined(packet).0).collect();
    assert_eq!(segments, [46, 2]);
}

#[test]
fn connections_are_kept_apart_and_no_data_overtakes() {
    let mut net = joining();
    let other = |bytes: Vec<u8>| {
        let mut bytes = bytes;
        bytes[35] ^= 1;
        sum(bytes)
    };
    net.machine.receive(&segment(0, 0, ACK, &[1; 100]));
    net.machine.receive(&other(segment(0, 0, ACK, &[3; 100])));
    net.machine.receive(&segment(100, 1, ACK | PSH, &[2; 100]));
    let packets = net.rx.reap(&mut net.machine);
    assert_eq!(packets.len(), 1);
    assert_eq!(packets[0].bytes.len(), 254);
    // A segment of a third one that waits for nothing.
    let mut third = segment(0, 0, ACK | PSH, &[4; 10]);
    third[34] ^= 1;
    net.machine.receive(&sum(third));
    let firsts: Vec<_> = net
        .rx
        .reap(&mut net.machine)
        .iter()
        .map(|packet| packet.bytes[54])
        .collect();
    assert_eq!(firsts, [3, 4]);
}

#[test]
fn fragments_and_tunnels_do_not_overtake() {
    let first = segment(0, 0, ACK, &[1; 100]);
    let mut fragment = segment(100, 1, ACK, &[2; 100]);
    fragment[20] |= 0x20;
    let fragment = sum(fragment);
    // Of what is in it nothing is known.
    let mut tunnel = frame::in_ipv4(&first);
    tunnel[34] = 0;
    for other in [fragment, tunnel] {
        let mut net = joining();
        net.machine.receive(&first);
        net.machine.receive(&other);
        let packets = net.rx.reap(&mut net.machine);
        let bytes: Vec<_> = packets.iter().map(|packet| &packet.bytes).collect();
        assert_eq!(bytes, [&first, &other]);
    }
}

#[test]
fn segments_of_another_vlan_are_not_joined() {
    let tagged = |bytes: Vec<u8>, vlan: u8| {
        let mut bytes = bytes;
        bytes.splice(12..12, [0x81, 0x00, 0x00, vlan]);
        bytes
    };
    let first = segment(0, 0, ACK, &[1; 100]);
    let second = segment(100, 1, ACK, &[2; 100]);
    for (one, other, lengths) in [
        (
            tagged(first.clone(), 5),
            tagged(second.clone(), 5),
            vec![200],
        ),
        (
            tagged(first.clone(), 5),
            tagged(second.clone(), 6),
            vec![100, 100],
        ),
        (first.clone(), tagged(second.clone(), 5), vec![100, 100]),
        (tagged(first, 5), second, vec![100, 100]),
    ] {
        let mut net = joining();
        net.machine.receive(&one);
        net.machine.receive(&other);
        net.machine.advance(1_000_000);
        let packets = net.rx.reap(&mut net.machine);
        let found: Vec<_> = packets
            .iter()
            .map(|packet| packet.bytes.len() - 54)
            .collect();
        assert_eq!(found, lengths);
    }
}

#[test]
fn segments_that_tell_of_congestion_alike_are_joined() {
    let mut net = joining();
    let told = ACK | 0xc0;
    for (n, flags) in [ACK, told, told, ACK, ACK].into_iter().enumerate() {
        let n = n as u16;
        net.machine
            .receive(&segment(100 * u32::from(n), n, flags, &[0; 100]));
    }
    net.machine.advance(1_000_000);
    let packets = net.rx.reap(&mut net.machine);
    let found: Vec<_> = packets
        .iter()
        .map(|packet| (packet.bytes[47], packet.bytes.len() - 54))
        .collect();
    assert_eq!(found, [(ACK, 100), (told, 200), (ACK, 200)]);
}

#[test]
fn segments_in_tunnels_are_joined() {
    type Tunnel = fn(&[u8]) -> Vec<u8>;
    type Inner<'a> = &'a dyn Fn(u32, &[u8]) -> Vec<u8>;
    let v4 = |n: u32, payload: &[u8]| segment(100 * n, n as u16, ACK, payload);
    let v6 = |n: u32, payload: &[u8]| segment6(100 * n, ACK, payload);
    let cases: [(Tunnel, Inner<'_>, u16); 4] = [
        (frame::in_ipv4, &v4, 54),
        (frame::in_ipv4, &v6, 74),
        (frame::in_ipv6, &v4, 74),
        (frame::in_ipv6, &v6, 94),
    ];
    for (tunnel, inner, l4) in cases {
        let mut net = joining();
        for n in 0..3 {
            net.machine.receive(&tunnel(&inner(n, &[n as u8; 100])));
        }
        net.machine.advance(1_000_000);
        let packets = net.rx.reap(&mut net.machine);
        assert_eq!(packets.len(), 1);
        assert_eq!(joined(&packets[0]), (3, 100, l4));
        let payload = [[0; 100], [1; 100], [2; 100]].concat();
        assert_eq!(packets[0].bytes, tunnel(&inner(0, &payload)));
    }
}

#[test]
fn segments_in_tunnels_that_differ_are_not_joined() {
    let first = frame::in_ipv4(&segment(0, 0, ACK, &[1; 100]));
    let good = frame::in_ipv4(&segment(100, 1, ACK, &[2; 100]));
    let header = |change: fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        bytes[24..26].fill(0);
        let sum = frame::checksum(&bytes[14..34]);
        bytes[24..26].copy_from_slice(&sum.to_be_bytes());
        bytes
    };
    let mut wrong_header = good.clone();
    wrong_header[24] ^= 1;
    let mut wrong_segment = good.clone();
    wrong_segment[100] ^= 1;
    for (what, other) in [
        ("checksum of the tunnel", wrong_header),
        ("checksum of the segment", wrong_segment),
        ("type of service", header(|bytes| bytes[15] = 4)),
        ("time to live", header(|bytes| bytes[22] = 63)),
        ("end of the tunnel", header(|bytes| bytes[29] = 77)),
        ("no tunnel", segment(100, 1, ACK, &[2; 100])),
    ] {
        let mut net = joining();
        net.machine.receive(&first);
        net.machine.receive(&other);
        net.machine.advance(1_000_000);
        let packets = net.rx.reap(&mut net.machine);
        let bytes: Vec<_> = packets.iter().map(|packet| &packet.bytes).collect();
        assert_eq!(bytes, [&first, &other], "{what}");
    }
}

/// A segment of the `n`th of many connections.
fn of_connection(n: u16, offset: u32, flags: u8) -> Vec<u8> {
    let mut bytes = segment(offset, 0, flags, &[n as u8; 100]);
    bytes[34..36].copy_from_slice(&(1000 + n).to_be_bytes());
    sum(bytes)
}

#[test]
fn each_segment_prolongs_the_wait() {
    let mut net = joining();
    for n in 0..3 {
        net.machine
            .receive(&segment(100 * n, n as u16, ACK, &[0; 100]));
        net.machine.advance(u64::from(HOLD_USECS) * 1000 - 1);
    }
    assert_eq!(net.rx.reap(&mut net.machine).len(), 0);
    net.machine.advance(1);
    let packets = net.rx.reap(&mut net.machine);
    assert_eq!(packets.len(), 1);
    assert_eq!(joined(&packets[0]).0, 3);
}

#[test]
fn a_busy_queue_does_not_keep_what_waits() {
    let mut net = joining();
    net.machine.receive(&of_connection(0, 0, ACK));
    // Another connection never pauses.
    let mut waited = 0;
    for n in 1.. {
        net.machine.advance(50_000);
        waited += 50;
        net.machine.receive(&of_connection(1, 100 * n, ACK));
        if !net.rx.reap(&mut net.machine).is_empty() {
            break;
        }
    }
    assert_eq!(waited, 16 * u64::from(HOLD_USECS));
}

#[test]
fn many_connections_are_joined_in_their_order() {
    const MANY: u16 = 512;
    let mut net = joining();
    let mut heads = Vec::new();
    for (offset, flags) in [(0, ACK), (100, ACK | PSH)] {
        for n in 0..MANY {
            net.machine.receive(&of_connection(n, offset, flags));
            net.machine.advance(1000);
            for packet in net.rx.reap(&mut net.machine) {
                assert_eq!(joined(&packet), (2, 100, 34));
                heads.push(packet.bytes[34..36].to_vec());
                net.rx.post(&mut net.machine, 1);
            }
        }
    }
    assert!(heads.is_sorted());
    assert_eq!(heads.len(), usize::from(MANY));
}

#[test]
fn turning_it_off_hands_over_what_waits() {
    let mut net = joining();
    net.machine.receive(&segment(0, 0, ACK, &[1; 100]));
    net.driver
        .send(&mut net.machine, modify(QueueKind::RX))
        .unwrap();
    assert_eq!(net.rx.reap(&mut net.machine).len(), 1);
    net.machine.receive(&segment(100, 1, ACK, &[1; 100]));
    assert_eq!(net.rx.reap(&mut net.machine).len(), 1);
}

#[test]
fn what_waits_migrates() {
    let mut net = joining();
    net.machine.receive(&segment(0, 0, ACK, &[1; 100]));
    net.machine.migrate();
    net.machine.settle();
    net.machine.receive(&segment(100, 1, ACK, &[1; 100]));
    net.machine.advance(1_000_000);
    let packets = net.rx.reap(&mut net.machine);
    assert_eq!(packets.len(), 1);
    assert_eq!(joined(&packets[0]).0, 2);
}

#[test]
fn packets_tell_when_they_came() {
    let mut net = net();
    net.rx.post(&mut net.machine, 8);
    net.machine.receive(&frame::udp4(b"x"));
    let command = ModifyQueue {
        flags: QueueFlags::TIMESTAMP.0,
        ..modify(QueueKind::RX)
    };
    net.driver.send(&mut net.machine, command).unwrap();
    net.machine.advance(5_000);
    let before = net.driver.send(&mut net.machine, QueryClock {}).unwrap();
    net.machine.advance(5_000);
    net.machine.receive(&frame::udp4(b"x"));
    let packets = net.rx.reap(&mut net.machine);
    assert!(!packets[0].has(RxFlags::TIMESTAMP));
    assert!(packets[1].has(RxFlags::TIMESTAMP));
    assert_eq!(packets[1].about.timestamp.get() - before.time.get(), 5_000);
}

#[test]
fn packet_that_asks_gets_a_completion_with_its_time() {
    let mut net = net();
    let plain = TxQueue::place(&mut net.machine, &frame::udp4(b"x"));
    let asks = TxDesc {
        flags: U16::new(TxFlags(plain.flags.get()).with(TxFlags::TIMESTAMP).0),
        ..plain
    };
    net.machine.advance(777);
    let now = net.driver.send(&mut net.machine, QueryClock {}).unwrap();
    net.tx
        .post(&mut net.machine, &[plain, asks, plain, plain, asks, plain]);
    let done: Vec<TxCompletion> = net.tx.0.reap(&mut net.machine);
    let told: Vec<_> = done
        .iter()
        .map(|done| (done.index.get(), done.flags.get()))
        .collect();
    let stamped = TxDone::TIMESTAMP.0;
    assert_eq!(told, [(2, stamped), (5, stamped), (6, 0)]);
    assert_eq!(done[0].timestamp.get(), now.time.get());
}

/// How often the queues' vector was raised.
fn raised(net: &Net) -> usize {
    let all = &net.machine.host.raised;
    all.iter().filter(|raised| raised.1 == 1).count()
}

#[test]
fn moderation_changes_while_the_queue_works() {
    let mut net = net();
    let slow = ModifyQueue {
        moderation_usecs: U16::new(1000),
        moderation_packets: U16::new(3),
        ..modify(QueueKind::TX)
    };
    net.driver.send(&mut net.machine, slow).unwrap();
    let desc = TxQueue::place(&mut net.machine, &frame::udp4(b"x"));
    let send = |net: &mut Net| {
        let _: Vec<TxCompletion> = net.tx.0.take(&net.machine);
        net.tx.0.arm(&mut net.machine);
        net.tx.post(&mut net.machine, &[desc]);
        net.machine.settle();
        raised(net)
    };
    assert_eq!(send(&mut net), 1);
    // The second has to wait.
    assert_eq!(send(&mut net), 1);
    net.machine.advance(1_000_000);
    assert_eq!(raised(&net), 2);
    // It stops waiting with the third in a row.
    assert_eq!(send(&mut net), 2);
    net.tx.post(&mut net.machine, &[desc]);
    assert_eq!(raised(&net), 2);
    net.tx.post(&mut net.machine, &[desc]);
    assert_eq!(raised(&net), 3);
    // One that waits goes at once when there is no moderation any more.
    assert_eq!(send(&mut net), 3);
    net.driver
        .send(&mut net.machine, modify(QueueKind::TX))
        .unwrap();
    assert_eq!(raised(&net), 4);
}

#[test]
fn flags_that_do_not_fit_are_refused() {
    let mut net = net();
    let mut status = |command| net.driver.send(&mut net.machine, command).unwrap_err();
    let bad = [
        ModifyQueue {
            flags: 8,
            ..modify(QueueKind::RX)
        },
        ModifyQueue {
            flags: QueueFlags::COALESCE.0,
            ..modify(QueueKind::TX)
        },
        ModifyQueue {
            rsvd: [0, 0, 0, 0, 1],
            ..modify(QueueKind::RX)
        },
        modify(QueueKind(2)),
    ];
    for command in bad {
        assert_eq!(status(command), Status::INVALID_FIELD);
    }
    let absent = ModifyQueue {
        index: U16::new(1),
        ..modify(QueueKind::RX)
    };
    assert_eq!(status(absent), Status::BAD_STATE);
}
