// SPDX-License-Identifier: GPL-2.0

//! Whatever the order of things, no packet is changed, doubled, reordered or lost uncounted.

use std::collections::VecDeque;

use ferrite_abi::cmd::{
    PortStats,
    QueryStats, //
};
use ferrite_abi::desc::{
    TxDesc,
    TxFlags,
    TxStatus, //
};
use ferrite_abi::wire::U16;
use ferrite_model::testing::{
    frame,
    Driver,
    Machine,
    RxQueue,
    TxQueue,
    BUFFER, //
};
use ferrite_model::{
    Config,
    PciFn, //
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    /// Sends a frame with this many bytes of payload, cut into segments of this size.
    Send(usize, usize),
    /// Takes the TX completions.
    Complete,
    /// A frame with this many bytes of payload comes from the uplink.
    Arrive(usize),
    /// Posts buffers of this size, as many as there is room for up to this number.
    Post(u32, u32),
    /// Takes the packets.
    Take,
    /// The device runs.
    Run,
    /// The device is saved and another loads it.
    Migrate,
    /// Time passes.
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..1400usize, 20..2000usize).prop_map(|(length, cut)| Step::Send(length, cut)),
        2 => Just(Step::Complete),
        4 => (0..1400usize).prop_map(Step::Arrive),
        3 => (1..20u32, 60..BUFFER).prop_map(|(count, size)| Step::Post(count, size)),
        2 => Just(Step::Take),
        3 => Just(Step::Run),
        1 => Just(Step::Migrate),
        1 => (0..200_000u64).prop_map(Step::Wait),
    ]
}

/// A frame whose payload begins with its number.
fn numbered(number: u32, length: usize) -> Vec<u8> {
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize(4 + length, number as u8);
    frame::plain(frame::DESTINATION, frame::SOURCE, &payload)
}

struct World {
    machine: Machine,
    driver: Driver,
    tx: TxQueue,
    rx: RxQueue,
    /// Descriptors of packets that are under way.
    under_way: VecDeque<u32>,
    sent: Vec<Vec<u8>>,
    arrived: Vec<Vec<u8>>,
    taken: Vec<Vec<u8>>,
}

impl World {
    fn new() -> Self {
        // The frames are for the VF, so that what the PF sends comes back to it as well.
        let mut machine = Machine::new(Config {
            mac: [2, 0, 0, 0, 0, 1],
            ..Config::default()
        });
        let mut driver = Driver::start(&mut machine, PciFn::PF);
        let tx = driver.tx_queue(&mut machine, 0);
        let rx = driver.rx_queue(&mut machine, 0);
        driver.open(&mut machine);
        let mac = ferrite_abi::cmd::SetRxMode {
            mode: U16::new(ferrite_abi::cmd::RxMode::PROMISCUOUS.0),
            count: U16::new(0),
        };
        driver.send(&mut machine, mac).unwrap();
        Self {
            machine,
            driver,
            tx,
            rx,
            under_way: VecDeque::new(),
            sent: Vec::new(),
            arrived: Vec::new(),
            taken: Vec::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        let m = &mut self.machine;
        match *step {
            Step::Send(length, cut) => {
                let bytes = numbered(self.sent.len() as u32, length);
                let pieces: Vec<_> = bytes.chunks(cut.max(bytes.len() / 30 + 1)).collect();
                let used: u32 = self.under_way.iter().sum();
                if used + pieces.len() as u32 > self.tx.0.depth.entries() {
                    return;
                }
                let mut descs: Vec<TxDesc> = Vec::new();
                for piece in pieces {
                    descs.push(TxDesc {
                        flags: U16::new(0),
                        ..TxQueue::place(m, piece)
                    });
                }
                descs.last_mut().unwrap().flags = U16::new(TxFlags::END.0);
                self.under_way.push_back(descs.len() as u32);
                self.tx.0.post(m, &descs);
                self.sent.push(bytes);
            }
            Step::Complete => {
                let before = self.tx.0.tail.0 - self.under_way.iter().sum::<u32>();
                let mut done = before;
                for (index, status) in self.tx.reap(m) {
                    assert_eq!(status, TxStatus::OK.0);
                    while done != index {
                        done += self.under_way.pop_front().expect("more done than sent");
                        assert!(done <= index, "completed in the middle of a packet");
                    }
                }
            }
            Step::Arrive(length) => {
                let bytes = numbered(self.arrived.len() as u32, length);
                let _ = m.device.uplink_receive(&mut m.host, &bytes);
                self.arrived.push(bytes);
            }
            Step::Post(count, size) => {
                let free =
                    self.rx.rings.depth.entries() - self.rx.rings.tail.since(self.rx.rings.cq_head);
                self.rx.post_sized(m, count.min(free), size);
            }
            Step::Take => {
                let packets = self.rx.reap(m);
                self.taken
                    .extend(packets.into_iter().map(|packet| packet.bytes));
            }
            Step::Run => m.settle(),
            Step::Migrate => m.migrate(),
            Step::Wait(ns) => m.advance(ns),
        }
    }

    fn stats(&mut self) -> PortStats {
        self.driver
            .fetch(&mut self.machine, QueryStats {})
            .unwrap()
            .1
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn packets_are_conserved(steps in proptest::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        // All that can still come, comes.
        world.step(&Step::Run);
        world.step(&Step::Complete);
        for _ in 0..40 {
            world.step(&Step::Take);
            world.step(&Step::Post(64, BUFFER));
        }
        prop_assert!(world.under_way.is_empty());
        prop_assert_eq!(&world.machine.host.sent, &world.sent);
        let stats = world.stats();
        prop_assert_eq!(stats.tx_packets.get(), world.sent.len() as u64);
        // In order and unchanged, but for those that were dropped for want of buffers.
        let mut arrived = world.arrived.iter();
        for taken in &world.taken {
            prop_assert!(arrived.any(|bytes| bytes == taken), "changed, doubled or reordered");
        }
        prop_assert_eq!(stats.rx_packets.get(), world.taken.len() as u64);
        prop_assert_eq!(
            stats.rx_packets.get() + stats.rx_no_buffer.get(),
            world.arrived.len() as u64
        );
    }
}
