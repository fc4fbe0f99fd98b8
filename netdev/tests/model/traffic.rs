// SPDX-License-Identifier: GPL-2.0

//! Packets, from one port to the other and through the uplink.

use ferrite_abi::desc::TxStatus;
use ferrite_abi::ring::Depth;
use ferrite_model::testing::frame::{
    addressed,
    tcp4, //
};
use ferrite_model::PciFn;
use ferrite_net_logic::tx::{
    Checksum,
    Offload,
    Segmentation, //
};
use proptest::prelude::*;

use crate::port::{
    frame,
    machine,
    pair,
    Port,
    Setup,
    PF_MAC,
    VF_MAC, //
};

#[test]
fn packets_cross_the_switch_both_ways() {
    let (_machine, mut pf, mut vf) = pair(Setup::default());
    let (there, back) = (
        frame(VF_MAC, PF_MAC, 100, 1),
        frame(PF_MAC, VF_MAC, 1514, 2),
    );

    pf.send(&there);
    vf.send(&back);

    assert_eq!(vf.receive().unwrap().frames(), [there]);
    assert_eq!(pf.receive().unwrap().frames(), [back]);
    pf.reap().unwrap();
    vf.reap().unwrap();
    assert_eq!(pf.sent, [(0, TxStatus::OK)]);
    assert_eq!(vf.sent, [(0, TxStatus::OK)]);
}

#[test]
fn packets_leave_and_come_by_the_uplink() {
    let machine = machine();
    let mut port = Port::new(&machine, PciFn::PF, PF_MAC, Setup::default());
    let peer = [2, 0, 0, 0, 0, 9];
    let (out, back) = (frame(peer, PF_MAC, 200, 1), frame(PF_MAC, peer, 300, 2));

    port.send(&out);
    machine.borrow_mut().receive(&back);

    assert_eq!(machine.borrow().host.sent, [out]);
    assert_eq!(port.receive().unwrap().frames(), [back]);
}

#[test]
fn rings_wrap_many_times() {
    let (_machine, mut pf, mut vf) = pair(Setup::default());
    for seed in 0..1000 {
        let packet = frame(VF_MAC, PF_MAC, 60 + seed as usize % 1000, seed);
        pf.send(&packet);
        assert_eq!(vf.receive().unwrap().frames(), [packet]);
        pf.reap().unwrap();
    }
    assert_eq!(pf.sent.len(), 1000);
    assert!(pf.sent.iter().all(|(_, status)| *status == TxStatus::OK));
}

#[test]
fn jumbo_packet_is_scattered_over_buffers() {
    let setup = Setup {
        mtu: 9000,
        ..Setup::default()
    };
    let (_machine, mut pf, mut vf) = pair(setup);
    let packet = frame(VF_MAC, PF_MAC, 9014, 3);

    pf.post(&packet, &[14, 4096, 4096], Offload::default());
    pf.kick();
    pf.settle();

    let received = vf.receive().unwrap();
    assert_eq!(received.frames(), [packet]);
    assert_eq!(received.packets[0].buffers, 9014_u32.div_ceil(1664));
}

#[test]
fn headers_come_in_their_places() {
    let setup = Setup {
        has_places: true,
        ..Setup::default()
    };
    let (_machine, mut pf, mut vf) = pair(setup);
    let frames = [
        // Bytes in the place.
        (addressed(tcp4(&[7; 300]), VF_MAC, PF_MAC), 54),
        (addressed(tcp4(b""), VF_MAC, PF_MAC), 54),
        (frame(VF_MAC, PF_MAC, 1514, 1), 256),
    ];
    // More than once around the ring.
    for _ in 0..100 {
        for (frame, _) in &frames {
            pf.send(frame);
        }
        let received = vf.receive().unwrap();
        assert_eq!(received.faults, []);
        for (packet, (frame, headers)) in received.packets.iter().zip(&frames) {
            assert_eq!((&packet.bytes, packet.headers), (frame, *headers));
        }
        assert_eq!(received.packets.len(), frames.len());
        pf.reap().unwrap();
    }
}

#[test]
fn receive_queue_that_is_made_anew_goes_on() {
    let (_machine, mut pf, mut vf) = pair(Setup::default());
    for seed in 0..200 {
        let packet = frame(VF_MAC, PF_MAC, 200, seed);
        pf.send(&packet);
        assert_eq!(vf.receive().unwrap().frames(), [packet.clone()]);
        if seed % 50 == 0 {
            // What is in it goes with it.
            pf.send(&packet);
            vf.restart_rx();
            assert_eq!(vf.receive().unwrap().frames(), Vec::<Vec<u8>>::new());
        }
        pf.reap().unwrap();
    }
}

#[test]
fn checksum_is_inserted_and_found_right() {
    let (_machine, mut pf, mut vf) = pair(Setup::default());
    let right = addressed(tcp4(&[7; 300]), VF_MAC, PF_MAC);
    let (start, offset) = (14 + 20, 16);
    // What the stack leaves in the field: the sum of the pseudo header.
    let mut wanted = right.clone();
    let sum = pseudo_header_sum(&right[26..34], (right.len() - 34) as u16);
    wanted[start + offset..][..2].copy_from_slice(&sum.to_be_bytes());
    assert_ne!(wanted, right);
    let offload = Offload {
        checksum: Some(Checksum {
            start: start as u16,
            offset: offset as u16,
        }),
        ..Offload::default()
    };

    pf.post(&wanted, &[20], offload);
    pf.kick();
    pf.settle();

    let received = vf.receive().unwrap();
    assert_eq!(received.frames(), [right]);
    assert!(received.packets[0].info.checksum_ok);
}

#[test]
fn packet_with_a_wrong_checksum_is_not_called_right() {
    let (_machine, mut pf, mut vf) = pair(Setup::default());
    let mut packet = addressed(tcp4(&[7; 300]), VF_MAC, PF_MAC);
    packet[100] ^= 1;

    pf.send(&packet);

    let received = vf.receive().unwrap();
    assert_eq!(received.frames(), [packet]);
    assert!(!received.packets[0].info.checksum_ok);
}

#[test]
fn large_packet_arrives_in_segments() {
    let (_machine, mut pf, mut vf) = pair(Setup::default());
    let payload: Vec<u8> = (0..10_000_u32).map(|n| n as u8).collect();
    let packet = addressed(tcp4(&payload), VF_MAC, PF_MAC);
    let header = packet.len() - payload.len();
    let offload = Offload {
        checksum: Some(Checksum {
            start: 34,
            offset: 16,
        }),
        segmentation: Some(Segmentation {
            mss: 1448,
            header_len: header as u16,
        }),
        ..Offload::default()
    };

    pf.post(&packet, &[header, 4096], offload);
    pf.kick();
    pf.settle();

    let frames = vf.receive().unwrap().frames();
    assert_eq!(frames.len(), 10_000_usize.div_ceil(1448));
    let arrived: Vec<u8> = frames
        .iter()
        .flat_map(|frame| frame[header..].to_vec())
        .collect();
    assert_eq!(arrived, payload);
    pf.reap().unwrap();
    assert_eq!(pf.sent, [(0, TxStatus::OK)]);
}

#[test]
fn vlan_tag_goes_beside_the_packet() {
    let (_machine, mut pf, mut vf) = pair(Setup::default());
    let packet = frame(VF_MAC, PF_MAC, 100, 1);
    let offload = Offload {
        vlan: Some(0x2005),
        ..Offload::default()
    };

    pf.post(&packet, &[], offload);
    pf.kick();
    pf.settle();

    let received = vf.receive().unwrap();
    assert_eq!(received.frames(), [packet]);
    assert_eq!(received.packets[0].info.vlan, Some(0x2005));
}

#[test]
fn refused_packet_is_told_from_the_good_ones() {
    let (_machine, mut pf, mut vf) = pair(Setup::default());
    // A VF may not send from another's address.
    let forged = frame(PF_MAC, [2, 0, 0, 0, 0, 9], 100, 1);
    let good = frame(PF_MAC, VF_MAC, 100, 2);

    for packet in [&good, &forged, &good] {
        vf.post(packet, &[], Offload::default());
    }
    vf.kick();
    vf.settle();

    vf.reap().unwrap();
    let statuses: Vec<_> = vf.sent.iter().map(|(_, status)| *status).collect();
    assert_eq!(
        statuses,
        [TxStatus::OK, TxStatus::NOT_PERMITTED, TxStatus::OK]
    );
    assert_eq!(pf.receive().unwrap().frames().len(), 2);
}

#[test]
fn ring_is_full_until_it_is_reaped() {
    let (_machine, mut pf, _vf) = pair(Setup::default());
    let packet = frame(VF_MAC, PF_MAC, 60, 0);
    for _ in 0..128 {
        pf.post(&packet, &[], Offload::default());
    }
    assert_eq!(pf.free(), 0);
    pf.kick();
    pf.settle();
    assert_eq!(pf.free(), 0);

    pf.reap().unwrap();

    assert_eq!(pf.free(), 128);
}

/// Returns the sum of the pseudo header of TCP over IPv4, not inverted.
fn pseudo_header_sum(addresses: &[u8], len: u16) -> u16 {
    let words = addresses
        .chunks(2)
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let mut sum = words.sum::<u32>() + 6 + u32::from(len);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Something that a driver does.
#[derive(Clone, Debug)]
enum Act {
    Post { len: usize, cuts: Vec<usize> },
    Kick,
    Settle,
    Reap,
    Receive { budget: u32 },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (14..1514_usize, prop::collection::vec(1..700_usize, 0..4))
            .prop_map(|(len, cuts)| Act::Post { len, cuts }),
        2 => Just(Act::Kick),
        2 => Just(Act::Settle),
        1 => Just(Act::Reap),
        2 => (1..20_u32).prop_map(|budget| Act::Receive { budget }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever the order in which things happen, packets arrive whole, once and in order.
    #[test]
    fn packets_arrive_in_order(
        acts in prop::collection::vec(act(), 1..200),
        size in prop_oneof![Just(100_u32), Just(700), Just(1664), Just(4096)],
    ) {
        let depth = Depth::from_log2(8).unwrap();
        let setup = Setup { buffer_size: size, depth, ..Setup::default() };
        let (_machine, mut pf, mut vf) = pair(setup);
        let (mut posted, mut arrived) = (Vec::new(), Vec::new());
        // No more are under way than the receiver has buffers for, so that none is dropped.
        let most = 256 / 1514_usize.div_ceil(size as usize);
        for (seed, act) in acts.into_iter().enumerate() {
            match act {
                Act::Post { len, cuts } => {
                    if posted.len() - arrived.len() < most && pf.free() >= 5 {
                        let packet = frame(VF_MAC, PF_MAC, len, seed as u32);
                        pf.post(&packet, &cuts, Offload::default());
                        posted.push(packet);
                    }
                }
                Act::Kick => {
                    pf.kick();
                }
                Act::Settle => pf.settle(),
                Act::Reap => pf.reap().unwrap(),
                Act::Receive { budget } => {
                    let received = vf.receive_some(budget).unwrap();
                    prop_assert!(received.faults.is_empty());
                    arrived.extend(received.frames());
                }
            }
        }
        pf.kick();
        pf.settle();
        arrived.extend(vf.receive().unwrap().frames());
        pf.reap().unwrap();

        prop_assert_eq!(arrived, posted);
        let numbers: Vec<u64> = pf.sent.iter().map(|(number, _)| *number).collect();
        let expected: Vec<u64> = (0..numbers.len() as u64).collect();
        prop_assert_eq!(numbers, expected);
        prop_assert_eq!(pf.free(), 256);
        // No buffer is lost or there twice.
        let outstanding = vf.ring.outstanding() as usize;
        prop_assert_eq!(outstanding + vf.spare.len(), 256);
    }
}
