// SPDX-License-Identifier: GPL-2.0

//! TX queues: what the driver asks for is what leaves.

mod common;

use ferrite_abi::cmd::QueueKind;
use ferrite_abi::desc::{
    RxFlags,
    TxDesc,
    TxFlags,
    TxStatus,
    MAX_TX_PACKET, //
};
use ferrite_abi::event::QueueSyndrome;
use ferrite_abi::wire::{
    U16,
    U32, //
};
use ferrite_model::testing::{
    frame,
    Machine,
    TxQueue, //
};
use ferrite_model::PciFn;

use common::{
    net,
    sender, //
};

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
            rsvd: [0, 0, 0, 0, 0, 0, 0, 1],
            ..good
        },
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
fn segmentation_into_many_frames_leaves_others_their_turn() {
    let mut net = sender();
    // 64 packets of 4000 segments each, and one of another queue.
    let bytes = frame::tcp4(&vec![1; 64_000]);
    let mut desc = TxQueue::place(&mut net.machine, &bytes);
    desc = with_flags(desc, TxFlags::TSO);
    desc.mss = U16::new(16);
    desc.header_len = U16::new(54);
    desc.csum_start = U16::new(34);
    desc.csum_offset = U16::new(16);
    let mut other = net.driver.tx_queue(&mut net.machine, 1);
    let small = TxQueue::place(&mut net.machine, &frame::udp4(b"x"));
    net.tx.0.post(&mut net.machine, &[desc; 64]);
    other.0.post(&mut net.machine, &[small]);
    let Machine { device, host, .. } = &mut net.machine;
    assert!(device.run(host, 10_000), "there is more");
    let at = host.sent.iter().position(|sent| sent.len() == 43);
    assert!(at.is_some_and(|at| at <= 2 * 4000), "{at:?}");
    net.machine.settle();
    assert_eq!(net.machine.host.sent.len(), 64 * 4000 + 1);
    assert_eq!(net.tx.reap(&mut net.machine).last(), Some(&(64, 0)));
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
