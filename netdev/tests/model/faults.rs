// SPDX-License-Identifier: GPL-2.0

//! A device that lies: the packet is dropped, or the queue given up, and nothing else happens.

use ferrite_abi::cmd::FaultKind;
use ferrite_abi::ring::Index;
use ferrite_net_logic::rx::RxFault;
use ferrite_net_logic::tx::{
    Offload,
    TxFault, //
};

use crate::port::{
    fault,
    frame,
    pair,
    Port,
    Setup,
    PF_MAC,
    VF_MAC, //
};

fn send(port: &mut Port, seed: u32) {
    port.send(&frame(VF_MAC, PF_MAC, 100, seed));
}

#[test]
fn wrong_cookie_costs_one_packet() {
    let (_machine, mut pf, mut vf) = pair(Setup::default());
    pf.inject(fault(FaultKind::RX_WRONG_COOKIE, 77, 1));

    for seed in 0..3 {
        send(&mut pf, seed);
    }

    let received = vf.receive().unwrap();
    assert_eq!(
        received.faults,
        [RxFault::WrongCookie {
            cookie: 77,
            expected: 0
        }]
    );
    assert_eq!(
        received.frames(),
        [1, 2].map(|seed| frame(VF_MAC, PF_MAC, 100, seed))
    );
}

#[test]
fn length_beyond_the_buffer_costs_one_packet() {
    for len in [1665, u32::MAX] {
        let (_machine, mut pf, mut vf) = pair(Setup::default());
        pf.inject(fault(FaultKind::RX_WRONG_LENGTH, len, 1));

        send(&mut pf, 0);
        send(&mut pf, 1);

        let received = vf.receive().unwrap();
        assert_eq!(received.faults, [RxFault::WrongLength { len, size: 1664 }]);
        assert_eq!(received.frames(), [frame(VF_MAC, PF_MAC, 100, 1)]);
    }
}

#[test]
fn empty_buffer_counts_as_not_written() {
    let (_machine, mut pf, mut vf) = pair(Setup::default());
    pf.inject(fault(FaultKind::RX_WRONG_LENGTH, 0, 1));

    send(&mut pf, 0);

    let received = vf.receive().unwrap();
    assert_eq!(received.faults, [RxFault::Unwritten]);
    assert!(received.packets.is_empty());
}

#[test]
fn wrong_cookie_within_a_jumbo_packet_drops_all_of_it() {
    let setup = Setup {
        mtu: 9000,
        ..Setup::default()
    };
    let (_machine, mut pf, mut vf) = pair(setup);
    let mut wrong = fault(FaultKind::RX_WRONG_COOKIE, 99, 1);
    wrong.skip = 2.into();
    pf.inject(wrong);
    let (lost, kept) = (
        frame(VF_MAC, PF_MAC, 9000, 1),
        frame(VF_MAC, PF_MAC, 5000, 2),
    );

    pf.send(&lost);
    pf.send(&kept);

    let received = vf.receive().unwrap();
    assert_eq!(
        received.faults,
        [RxFault::WrongCookie {
            cookie: 99,
            expected: 2
        }]
    );
    assert_eq!(received.frames(), [kept]);
    assert_eq!(vf.ring.outstanding() as usize + vf.spare.len(), 128);
}

#[test]
fn packet_of_more_buffers_than_a_packet_can_have_is_dropped() {
    let setup = Setup {
        buffer_size: 64,
        ..Setup::default()
    };
    let (_machine, mut pf, mut vf) = pair(setup);
    let (long, short) = (
        frame(VF_MAC, PF_MAC, 19 * 64, 1),
        frame(VF_MAC, PF_MAC, 18 * 64, 2),
    );

    pf.send(&long);
    pf.send(&short);

    let received = vf.receive().unwrap();
    assert_eq!(received.faults, [RxFault::ChainTooLong]);
    assert_eq!(received.frames(), [short]);
}

#[test]
fn index_beyond_what_was_posted_breaks_the_queue() {
    let (_machine, mut pf, _vf) = pair(Setup::default());
    pf.inject(fault(FaultKind::TX_WRONG_INDEX, 5, 1));

    send(&mut pf, 0);

    assert_eq!(
        pf.reap(),
        Err(TxFault::BadIndex {
            index: Index(6),
            head: Index(0),
            tail: Index(1)
        })
    );
    assert!(pf.sent.is_empty());
}

#[test]
fn index_behind_what_was_done_breaks_the_queue() {
    let (_machine, mut pf, _vf) = pair(Setup::default());
    send(&mut pf, 0);
    send(&mut pf, 1);
    pf.reap().unwrap();
    pf.inject(fault(FaultKind::TX_WRONG_INDEX, 1_u32.wrapping_neg(), 1));

    send(&mut pf, 2);

    assert!(matches!(pf.reap(), Err(TxFault::BadIndex { .. })));
    assert_eq!(pf.sent.len(), 2);
}

#[test]
fn index_within_a_packet_breaks_the_queue() {
    let (_machine, mut pf, _vf) = pair(Setup::default());
    pf.inject(fault(FaultKind::TX_WRONG_INDEX, 1_u32.wrapping_neg(), 1));

    pf.post(
        &frame(VF_MAC, PF_MAC, 100, 0),
        &[20, 20],
        Offload::default(),
    );
    pf.kick();
    pf.settle();

    assert_eq!(pf.reap(), Err(TxFault::SplitPacket { index: Index(2) }));
    assert!(pf.sent.is_empty());
}

#[test]
fn tail_beyond_what_was_posted_breaks_the_queue() {
    let (_machine, mut pf, mut vf) = pair(Setup::default());
    pf.inject(fault(FaultKind::WRONG_CQ_TAIL, 1000, 2));

    send(&mut pf, 0);

    let tx = pf.reap();
    assert!(matches!(tx, Err(TxFault::BadTail(tail)) if tail.cq_tail == Index(1001)));
    let rx = vf.receive().unwrap_err();
    assert_eq!((rx.cq_tail, rx.cq_head), (Index(1001), Index(0)));
}

#[test]
fn tail_that_claims_one_too_many_is_found_out() {
    let (_machine, mut pf, mut vf) = pair(Setup::default());
    // The first to strike is the receiver's, then the sender's.
    pf.inject(fault(FaultKind::WRONG_CQ_TAIL, 1, 2));

    send(&mut pf, 0);

    // What was really sent is one descriptor: a completion more cannot be.
    assert!(matches!(pf.reap(), Err(TxFault::BadTail(_))));
    // The receiver reads a completion that was never written: it is all zeros.
    let received = vf.receive().unwrap();
    assert_eq!(received.frames(), [frame(VF_MAC, PF_MAC, 100, 0)]);
    assert_eq!(
        received.faults,
        [RxFault::WrongCookie {
            cookie: 0,
            expected: 1
        }]
    );
    // The next tail, which is right, is behind what was read.
    send(&mut pf, 1);
    assert!(vf.receive().unwrap().packets.is_empty());
}
