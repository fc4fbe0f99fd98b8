// SPDX-License-Identifier: GPL-2.0

//! Random steps: a VF that moves sees what one sees that stays.

use super::*;

/// What the driver of a VF, or somebody on the network, does.
#[derive(Clone, Debug)]
enum Step {
    Post(u32),
    Arrive(u8),
    Segment(u8),
    Send(u8),
    Wait(u32),
    Mtu(u16),
    Moderate(u16),
    Echo,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1u32..8).prop_map(Step::Post),
        any::<u8>().prop_map(Step::Arrive),
        any::<u8>().prop_map(Step::Segment),
        any::<u8>().prop_map(Step::Send),
        (1u32..5_000_000).prop_map(Step::Wait),
        (1400u16..1500).prop_map(Step::Mtu),
        (0u16..2000).prop_map(Step::Moderate),
        Just(Step::Echo),
    ]
}

/// What a driver received; how many completions of TX it saw, what left the device, the counters.
type Outcome = (Vec<Vec<u8>>, usize, Vec<Vec<u8>>, Vec<u64>);

/// A driver that looks only when it was interrupted, and what it saw.
struct World {
    m: Machine,
    pf: Driver,
    guest: Guest,
    vf: u16,
    received: Vec<Vec<u8>>,
    sent: usize,
}

impl World {
    fn new() -> Self {
        let (mut m, pf, mut guest) = machine(1);
        guest.rx[0].rings.arm(&mut m);
        guest.tx[0].0.arm(&mut m);
        m.host.raised.clear();
        Self {
            m,
            pf,
            guest,
            vf: 0,
            received: Vec::new(),
            sent: 0,
        }
    }

    fn look(&mut self) {
        let own = (PciFn::vf(self.vf), 1);
        while self.m.host.raised.contains(&own) {
            self.m.host.raised.retain(|raised| *raised != own);
            let packets = self.guest.rx[0].reap(&mut self.m);
            self.received
                .extend(packets.into_iter().map(|packet| packet.bytes));
            self.sent += self.guest.tx[0].reap(&mut self.m).len();
        }
    }

    fn act(&mut self, step: &Step) {
        let (m, guest) = (&mut self.m, &mut self.guest);
        match *step {
            Step::Post(count) => {
                let rings = &guest.rx[0].rings;
                let room = rings.depth.entries() - rings.tail.since(rings.cq_head);
                guest.rx[0].post(m, count.min(room));
            }
            Step::Arrive(byte) => guest.arrive(m, &[byte; 40]),
            Step::Segment(byte) => {
                m.receive(&frame::addressed(frame::tcp4(&[byte; 40]), guest.mac, PEER));
            }
            Step::Send(byte) => guest.send(m, &[byte; 40]),
            Step::Wait(ns) => m.advance(ns.into()),
            Step::Mtu(mtu) => {
                let command = SetMtu {
                    mtu: U16::new(mtu),
                    rsvd: [0; 2],
                };
                guest.driver.send(m, command).unwrap();
            }
            Step::Moderate(usecs) => {
                for kind in [QueueKind::TX, QueueKind::RX] {
                    let rx = kind == QueueKind::RX;
                    let command = ModifyQueue {
                        kind: U16::new(kind.0),
                        moderation_usecs: U16::new(usecs),
                        coalesce_usecs: U16::new(if rx { 1000 } else { 0 }),
                        flags: u8::from(rx),
                        ..ModifyQueue::default()
                    };
                    guest.driver.send(m, command).unwrap();
                }
            }
            Step::Echo => {
                let echo = guest.driver.send(m, Echo { value: 3.into() });
                assert_eq!(echo.unwrap().value.get(), 3);
            }
        }
        self.look();
    }

    fn move_over(&mut self) {
        let (from, to) = (VF[usize::from(self.vf)], VF[usize::from(1 - self.vf)]);
        self.pf.move_vf(&mut self.m, from, to);
        self.look();
        self.m
            .device
            .reset_function(&mut self.m.host, PciFn::vf(self.vf));
        self.vf = 1 - self.vf;
        self.guest.moved(self.vf);
        self.look();
    }

    fn finish(mut self) -> Outcome {
        self.act(&Step::Wait(10_000_000));
        self.act(&Step::Post(64));
        self.act(&Step::Wait(1_000_000_000));
        let (_, stats) = self.guest.driver.fetch(&mut self.m, QueryStats {}).unwrap();
        (
            self.received,
            self.sent,
            self.m.host.sent,
            stats.values().collect(),
        )
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn moving_is_as_staying(
        steps in prop::collection::vec((step(), prop::bool::weighted(0.2)), 1..40),
    ) {
        let (mut stays, mut moves) = (World::new(), World::new());
        for (step, moving) in &steps {
            if *moving {
                stays.m.advance(RESET_NS);
                stays.look();
                moves.move_over();
                moves.m.advance(RESET_NS);
                moves.look();
            }
            stays.act(step);
            moves.act(step);
        }
        let (stays, moves) = (stays.finish(), moves.finish());
        // Others overtake a segment that waits to be joined, and it waits for less time if it moves.
        for protocol in [6, 17] {
            let of = |packets: &[Vec<u8>]| {
                let same = packets.iter().filter(|packet| packet[23] == protocol);
                same.cloned().collect::<Vec<_>>()
            };
            prop_assert_eq!(of(&stays.0), of(&moves.0));
        }
        prop_assert_eq!(stays.1, moves.1);
        prop_assert_eq!(stays.2, moves.2);
        prop_assert_eq!(stays.3, moves.3);
    }
}
