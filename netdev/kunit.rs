// SPDX-License-Identifier: GPL-2.0

//! KUnit suites: the logic as the kernel's compiler builds it. What it must do in detail is tested
//! on the host, against the device model.

use crate::logic::{
    geometry::{
        ring_depth,
        RxGeometry, //
    },
    memory::{
        rearm,
        Progress,
        QueueMemory,
        Stall, //
    },
    reset::{
        Resets,
        LIMIT, //
    },
    rss::{
        entries,
        spread, //
    },
    rx::{
        Refill,
        RxBuffer,
        RxFault,
        RxRing,
        Step, //
    },
    tx::{
        InFlight,
        Offload,
        Segment,
        TxFault,
        TxPoster,
        TxReaper, //
    },
};
use core::cell::{
    Cell,
    RefCell, //
};
use ferrite_abi::{
    desc::{
        RxCompletion,
        RxDesc,
        RxFlags,
        TxCompletion,
        TxDesc,
        TxFlags,
        TxStatus, //
    },
    ring::{
        Depth,
        Index, //
    },
    wire::{
        U16,
        U32, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

const DEPTH: usize = 16;

/// Memory of a queue, with the device played by the test.
struct Memory<D, C> {
    progress: Progress,
    descs: RefCell<[Option<D>; DEPTH]>,
    completions: RefCell<[C; DEPTH]>,
    tail: Cell<u32>,
    event: Cell<u32>,
    cq_tail: Cell<u32>,
    arm: Cell<u32>,
    rung: Cell<u32>,
}

impl<D: Copy, C: Copy + Default> Memory<D, C> {
    fn new() -> Result<Arc<Self>> {
        let memory = Self {
            progress: Progress::new(),
            descs: RefCell::new([None; DEPTH]),
            completions: RefCell::new([C::default(); DEPTH]),
            tail: Cell::new(0),
            event: Cell::new(0),
            cq_tail: Cell::new(0),
            arm: Cell::new(0),
            rung: Cell::new(0),
        };
        Ok(Arc::new(memory, GFP_KERNEL)?)
    }

    fn depth() -> Result<Depth> {
        Depth::at_least(DEPTH as u32).ok_or(EINVAL)
    }

    fn desc(&self, slot: usize) -> Result<D> {
        self.descs.borrow()[slot].ok_or(ENOENT)
    }

    /// Completes as the device does.
    fn complete(&self, completion: C) {
        let index = self.cq_tail.get();
        self.completions.borrow_mut()[index as usize % DEPTH] = completion;
        self.cq_tail.set(index.wrapping_add(1));
    }
}

impl<D: Copy, C: Copy> QueueMemory for Memory<D, C> {
    type Desc = D;
    type Completion = C;

    fn progress(&self) -> &Progress {
        &self.progress
    }

    fn write(&self, slot: usize, desc: &D) {
        self.descs.borrow_mut()[slot] = Some(*desc);
    }

    fn publish_tail(&self, tail: Index) {
        self.tail.set(tail.0);
    }

    fn doorbell_event(&self) -> Index {
        Index(self.event.get())
    }

    fn ring(&self) {
        self.rung.set(self.rung.get() + 1);
    }

    fn cq_tail(&self) -> Index {
        Index(self.cq_tail.get())
    }

    fn read(&self, slot: usize) -> C {
        self.completions.borrow()[slot]
    }

    fn publish_arm(&self, index: Index) {
        self.arm.set(index.0);
    }
}

/// The packets under way, none of which is more than an end and a number.
struct UnderWay(KVec<(Index, u32)>);

impl InFlight for UnderWay {
    type Packet = u32;

    fn front_end(&self) -> Option<Index> {
        self.0.first().map(|(end, _)| *end)
    }

    fn pop(&mut self) -> Option<u32> {
        self.0.remove(0).ok().map(|(_, number)| number)
    }
}

#[kunit_tests(ferrite_net_tx)]
mod tx {
    use super::*;

    fn post(poster: &mut TxPoster<Arc<Memory<TxDesc, TxCompletion>>>, segments: u32) -> Index {
        let segments = (0..segments).map(|n| Segment {
            addr: u64::from(n) + 1,
            len: 10 + n,
        });
        poster.post(&Offload::default(), segments)
    }

    fn done(index: u32) -> TxCompletion {
        TxCompletion {
            index: U32::new(index),
            ..TxCompletion::default()
        }
    }

    #[test]
    fn packet_is_a_chain_with_one_end() -> Result {
        let memory = Memory::<TxDesc, TxCompletion>::new()?;
        let mut poster = TxPoster::new(memory.clone(), Memory::<TxDesc, TxCompletion>::depth()?);
        assert_eq!(post(&mut poster, 3), Index(3));
        assert!(poster.kick());
        assert_eq!(memory.tail.get(), 3);
        assert_eq!(memory.rung.get(), 1);
        for slot in 0..3 {
            let desc = memory.desc(slot)?;
            let is_end = TxFlags(desc.flags.get()).contains(TxFlags::END);
            assert_eq!(desc.len.get(), 10 + slot as u32);
            assert_eq!(is_end, slot == 2);
        }
        // The device is awake and wants no doorbell.
        post(&mut poster, 1);
        assert!(!poster.kick());
        assert_eq!(memory.rung.get(), 1);
        Ok(())
    }

    #[test]
    fn completion_ends_all_packets_before_it() -> Result {
        let memory = Memory::<TxDesc, TxCompletion>::new()?;
        let depth = Memory::<TxDesc, TxCompletion>::depth()?;
        let mut poster = TxPoster::new(memory.clone(), depth);
        let mut reaper = TxReaper::new(memory.clone(), depth);
        let mut under_way = UnderWay(KVec::new());
        for number in 0..3 {
            let end = post(&mut poster, 2);
            under_way.0.push((end, number), GFP_KERNEL)?;
        }
        poster.kick();
        memory.complete(done(4));
        let (mut sum, mut count) = (0, 0);
        let result = reaper.reap(&mut under_way, |number, status, _| {
            sum += number;
            count += u32::from(status == TxStatus::OK);
        });
        assert!(result.is_ok());
        assert_eq!((sum, count), (1, 2));
        assert_eq!(poster.free(), DEPTH as u32 - 2);
        assert!(!rearm(&*memory));
        assert_eq!(memory.arm.get(), 1);
        Ok(())
    }

    #[test]
    fn nonsense_breaks_the_queue() -> Result {
        for (index, is_split) in [(1, true), (3, false), (0, false), (u32::MAX, false)] {
            let memory = Memory::<TxDesc, TxCompletion>::new()?;
            let depth = Memory::<TxDesc, TxCompletion>::depth()?;
            let mut poster = TxPoster::new(memory.clone(), depth);
            let mut reaper = TxReaper::new(memory.clone(), depth);
            let mut under_way = UnderWay(KVec::new());
            let end = post(&mut poster, 2);
            under_way.0.push((end, 0), GFP_KERNEL)?;
            poster.kick();
            memory.complete(done(index));
            let mut count = 0;
            let result = reaper.reap(&mut under_way, |_, _, _| count += 1);
            assert_eq!(matches!(result, Err(TxFault::SplitPacket { .. })), is_split);
            assert_eq!(matches!(result, Err(TxFault::BadIndex { .. })), !is_split);
            assert_eq!(count, 0);
        }
        Ok(())
    }
}

/// A receive buffer of 100 bytes.
struct Buffer(u64);

impl RxBuffer for Buffer {
    fn addr(&self) -> u64 {
        self.0
    }

    fn size(&self) -> u32 {
        100
    }
}

#[kunit_tests(ferrite_net_rx)]
mod rx {
    use super::*;

    type Shared = Arc<Memory<RxDesc, RxCompletion>>;
    type Slots = KVec<Option<Buffer>>;

    fn ring(memory: &Shared) -> Result<RxRing<Shared, Slots>> {
        let mut slots = KVec::with_capacity(DEPTH, GFP_KERNEL)?;
        for _ in 0..DEPTH {
            slots.push(None, GFP_KERNEL)?;
        }
        let depth = Memory::<RxDesc, RxCompletion>::depth()?;
        let mut ring = RxRing::new(memory.clone(), depth, slots, 3).ok_or(EINVAL)?;
        let mut next = 0;
        let refill = ring.refill(|| {
            next += 1;
            Some(Buffer(next))
        });
        assert_eq!(refill, Refill::Done);
        assert_eq!(ring.outstanding(), DEPTH as u32);
        Ok(ring)
    }

    fn filled(cookie: u32, len: u32, flags: RxFlags) -> RxCompletion {
        RxCompletion {
            cookie: U32::new(cookie),
            len: U32::new(len),
            flags: U16::new(flags.0),
            ..RxCompletion::default()
        }
    }

    #[test]
    fn packet_is_put_together() -> Result {
        let memory = Memory::new()?;
        let mut ring = ring(&memory)?;
        let first = RxFlags::CSUM_OK;
        memory.complete(filled(0, 100, first));
        memory.complete(filled(1, 7, RxFlags::END));
        assert_eq!(ring.ready().ok(), Some(2));
        assert!(matches!(
            ring.step(),
            Some(Step::Start { buffer: Buffer(1), len: 100, headers: None, info, end: false })
                if info.checksum_ok
        ));
        assert!(matches!(
            ring.step(),
            Some(Step::More {
                buffer: Buffer(2),
                len: 7,
                end: true
            })
        ));
        assert_eq!(ring.outstanding(), DEPTH as u32 - 2);
        Ok(())
    }

    #[test]
    fn nonsense_drops_the_packet() -> Result {
        let table = [
            (filled(9, 10, RxFlags::default()), true),
            (filled(0, 101, RxFlags::default()), false),
        ];
        for (bad, is_cookie) in table {
            let memory = Memory::new()?;
            let mut ring = ring(&memory)?;
            memory.complete(bad);
            memory.complete(filled(1, 10, RxFlags::END));
            memory.complete(filled(2, 10, RxFlags::END));
            let Some(Step::Drop {
                fault: Some(fault), ..
            }) = ring.step()
            else {
                return Err(EINVAL);
            };
            assert_eq!(matches!(fault, RxFault::WrongCookie { .. }), is_cookie);
            assert_eq!(matches!(fault, RxFault::WrongLength { .. }), !is_cookie);
            // The rest of the packet goes the same way, the next one is fine.
            assert!(matches!(ring.step(), Some(Step::Drop { fault: None, .. })));
            assert!(matches!(ring.step(), Some(Step::Start { end: true, .. })));
        }
        Ok(())
    }

    #[test]
    fn tail_beyond_the_ring_is_refused() -> Result {
        let memory = Memory::new()?;
        let ring = ring(&memory)?;
        for tail in [DEPTH as u32 + 1, u32::MAX] {
            memory.cq_tail.set(tail);
            assert!(ring.ready().is_err());
        }
        Ok(())
    }

    #[test]
    fn queue_that_stands_still_is_found() -> Result {
        let memory = Memory::new()?;
        let mut ring = ring(&memory)?;
        let mut stall = Stall::default();
        memory.complete(filled(0, 10, RxFlags::END));
        assert!(!stall.look(&*memory));
        assert!(stall.look(&*memory));
        ring.step();
        assert!(!stall.look(&*memory));
        Ok(())
    }
}

#[kunit_tests(ferrite_net_sizes)]
mod sizes {
    use super::*;

    #[test]
    fn buffers_are_cut_by_mtu() {
        let size = |mtu| RxGeometry::of(mtu, 4096, 64, 320, true).map(|geometry| geometry.size);
        assert_eq!(size(1500), Some(2048));
        assert_eq!(size(9000), Some(4096));
        assert!(RxGeometry::of(9000, 4096, 64, 320, false).is_none());
    }

    #[test]
    fn rings_are_powers_of_two() {
        let depth = |entries| ring_depth(entries, 13).map(Depth::entries);
        assert_eq!(depth(300), Some(512));
        assert_eq!(depth(0), Some(64));
        assert_eq!(depth(8193), None);
    }

    #[test]
    fn resets_come_to_an_end() {
        let mut resets = Resets::default();
        let allowed = (0..50).filter(|n| resets.allow(*n)).count();
        assert_eq!(allowed, LIMIT as usize);
    }

    #[test]
    fn hashes_are_spread() {
        assert_eq!(entries(200), Some(128));
        assert_eq!(entries(0), None);
        assert_eq!(spread(5, 4), 1);
    }
}
