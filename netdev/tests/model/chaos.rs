// SPDX-License-Identifier: GPL-2.0

//! Memory full of anything at all, in place of a device: nothing panics, no packet is done twice, no
//! buffer is lost or there twice.

use std::cell::{
    Cell,
    RefCell, //
};
use std::collections::BTreeSet;
use std::rc::Rc;

use ferrite_abi::desc::{
    RxCompletion,
    RxDesc,
    TxCompletion,
    TxDesc, //
};
use ferrite_abi::ring::{
    Depth,
    Index, //
};
use ferrite_abi::wire::{
    U16,
    U32, //
};
use ferrite_net_logic::memory::{
    rearm,
    Progress,
    QueueMemory, //
};
use ferrite_net_logic::rx::{
    RxBuffer,
    RxRing,
    Step, //
};
use ferrite_net_logic::tx::{
    InFlight,
    Offload,
    Segment,
    TxPoster,
    TxReaper, //
};
use proptest::prelude::*;

const DEPTH: u32 = 32;

/// Memory that a test writes as it likes.
struct Memory<D, C> {
    progress: Progress,
    descs: RefCell<Vec<Option<D>>>,
    completions: RefCell<Vec<C>>,
    cq_tail: Cell<u32>,
    event: Cell<u32>,
}

impl<D: Clone, C: Copy + Default> Memory<D, C> {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            progress: Progress::new(),
            descs: RefCell::new(vec![None; DEPTH as usize]),
            completions: RefCell::new(vec![C::default(); DEPTH as usize]),
            cq_tail: Cell::new(0),
            event: Cell::new(0),
        })
    }
}

impl<D: Clone, C: Copy> QueueMemory for Memory<D, C> {
    type Desc = D;
    type Completion = C;

    fn progress(&self) -> &Progress {
        &self.progress
    }

    fn write(&self, slot: usize, desc: &D) {
        self.descs.borrow_mut()[slot] = Some(desc.clone());
    }

    fn publish_tail(&self, _tail: Index) {}

    fn doorbell_event(&self) -> Index {
        Index(self.event.get())
    }

    fn ring(&self) {}

    fn cq_tail(&self) -> Index {
        Index(self.cq_tail.get())
    }

    fn read(&self, slot: usize) -> C {
        self.completions.borrow()[slot]
    }

    fn publish_arm(&self, _index: Index) {}
}

#[derive(Debug)]
struct Buffer(u32);

impl RxBuffer for Buffer {
    fn addr(&self) -> u64 {
        u64::from(self.0)
    }

    fn size(&self) -> u32 {
        100
    }
}

#[derive(Default)]
struct UnderWay(std::collections::VecDeque<(Index, u64)>);

impl InFlight for UnderWay {
    type Packet = u64;

    fn front_end(&self) -> Option<Index> {
        self.0.front().map(|(end, _)| *end)
    }

    fn pop(&mut self) -> Option<u64> {
        self.0.pop_front().map(|(_, number)| number)
    }
}

/// A number near what would be right, or anything.
fn near(range: u32) -> impl Strategy<Value = u32> {
    prop_oneof![6 => 0..range, 1 => any::<u32>(), 1 => (0..range).prop_map(|n| n.wrapping_neg())]
}

fn rx_completion() -> impl Strategy<Value = (Option<u32>, u32, u16, u16)> {
    (
        prop_oneof![4 => Just(None), 1 => any::<u32>().prop_map(Some)],
        near(120),
        any::<u16>(),
        prop_oneof![2 => Just(0), 2 => 1..=256_u16, 1 => any::<u16>()],
    )
}

proptest! {
    #[test]
    fn receiver_keeps_its_buffers_whatever_comes(
        has_places in any::<bool>(),
        rounds in prop::collection::vec(
            (near(40), prop::collection::vec(rx_completion(), 0..40), any::<u32>()),
            1..40,
        ),
    ) {
        let memory = Memory::<RxDesc, RxCompletion>::new();
        let slots: Vec<Option<Buffer>> = (0..DEPTH).map(|_| None).collect();
        let depth = Depth::from_log2(5).unwrap();
        let ring = RxRing::new(memory.clone(), depth, slots, 18).unwrap();
        let mut ring = ring.with_places(has_places);
        let mut spare: Vec<Buffer> = (0..DEPTH).map(Buffer).collect();
        let mut index = 0_u32;
        let mut open = false;
        for (advance, completions, event) in rounds {
            memory.event.set(event);
            ring.refill(|| spare.pop());
            for (offset, (cookie, len, flags, headers)) in completions.into_iter().enumerate() {
                let at = index.wrapping_add(offset as u32);
                memory.completions.borrow_mut()[(at % DEPTH) as usize] = RxCompletion {
                    cookie: U32::new(cookie.unwrap_or(at)),
                    len: U32::new(len),
                    flags: U16::new(flags),
                    header_len: U16::new(headers),
                    ..RxCompletion::default()
                };
            }
            memory.cq_tail.set(index.wrapping_add(advance));
            let Ok(ready) = ring.ready() else { continue };
            prop_assert!(ready <= ring.outstanding());
            for _ in 0..ready {
                let Some(step) = ring.step() else { break };
                index = index.wrapping_add(1);
                let buffer = match step {
                    Step::Start { buffer, len, headers, end, .. } => {
                        prop_assert_eq!(headers.is_some(), has_places);
                        let placed = headers.map_or(0, |headers| headers.len);
                        prop_assert!(placed <= 256);
                        let least = u32::from(placed == 0 || !end);
                        prop_assert!(!open && (least..=100).contains(&len));
                        open = !end;
                        buffer
                    }
                    Step::More { buffer, len, end } => {
                        prop_assert!(open && (1..=100).contains(&len));
                        open = !end;
                        buffer
                    }
                    Step::Drop { buffer, .. } => {
                        open = false;
                        buffer
                    }
                };
                spare.push(buffer);
            }
            let ids: BTreeSet<u32> = spare.iter().map(|buffer| buffer.0).collect();
            prop_assert_eq!(ids.len(), spare.len());
            prop_assert_eq!(spare.len() as u32 + ring.outstanding(), DEPTH);
            rearm(&*memory);
        }
    }

    #[test]
    fn sender_gets_each_packet_back_once_whatever_comes(
        rounds in prop::collection::vec(
            (1..6_usize, near(8), prop::collection::vec(near(12), 0..8)),
            1..60,
        ),
    ) {
        let memory = Memory::<TxDesc, TxCompletion>::new();
        let depth = Depth::from_log2(5).unwrap();
        let mut poster = TxPoster::new(memory.clone(), depth);
        let mut reaper = TxReaper::new(memory.clone(), depth);
        let mut under_way = UnderWay::default();
        let (mut number, mut done) = (0_u64, Vec::new());
        let (mut cq, mut head) = (0_u32, 0_u32);
        for (segments, advance, indices) in rounds {
            if poster.free() as usize >= segments {
                let pieces = (0..segments).map(|_| Segment { addr: 1, len: 1 });
                let end = poster.post(&Offload::default(), pieces);
                under_way.0.push_back((end, number));
                number += 1;
            }
            poster.kick();
            for (offset, index) in indices.iter().enumerate() {
                let at = cq.wrapping_add(offset as u32);
                memory.completions.borrow_mut()[(at % DEPTH) as usize] = TxCompletion {
                    index: U32::new(head.wrapping_add(*index)),
                    ..TxCompletion::default()
                };
            }
            memory.cq_tail.set(cq.wrapping_add(advance));
            let result = reaper.reap(&mut under_way, |packet, _, _| done.push(packet));
            head = memory.progress().head().0;
            cq = memory.progress().cq_head().0;
            if result.is_err() {
                // The queue is destroyed: what is under way is freed then.
                break;
            }
        }
        let expected: Vec<u64> = (0..done.len() as u64).collect();
        prop_assert_eq!(&done, &expected);
        prop_assert_eq!(done.len() + under_way.0.len(), number as usize);
        prop_assert!(poster.free() <= DEPTH);
    }
}
