// SPDX-License-Identifier: GPL-2.0

//! The log of what a VF writes to memory is complete, and costs what was written.

use std::collections::BTreeSet;

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    CopyMemory,
    DirtyFlags,
    DirtyRun,
    Echo,
    LogRange,
    LogRanges,
    ReadDirtyLog,
    SetFunctionState,
    StartDirtyLog,
    StartDirtyLogDone,
    StopDirtyLog,
    MAX_LOG_RANGES, //
};
use ferrite_abi::event::FunctionState;
use ferrite_abi::ids::FunctionId;
use ferrite_abi::regs::Control;
use ferrite_abi::wire::{
    U16,
    U32,
    U64, //
};
use ferrite_model::testing::{
    frame,
    Driver,
    Machine,
    RxQueue,
    TxQueue, //
};
use ferrite_model::{
    Config,
    PciFn, //
};
use proptest::prelude::*;

const VF: FunctionId = FunctionId(1);
const PEER: [u8; 6] = [2, 9, 9, 9, 9, 9];
/// What an address space of a TiB has beside memory is never written.
const SPACE: u64 = 1 << 40;

struct World {
    m: Machine,
    pf: Driver,
    vf: Driver,
    tx: TxQueue,
    rx: RxQueue,
    mac: [u8; 6],
    number: u32,
}

impl World {
    fn new() -> Self {
        let config = Config {
            max_vfs: 2,
            ..Config::default()
        };
        let mut m = Machine::with_memory(config, 32 << 20);
        m.set_vfs(2);
        let mut pf = Driver::start(&mut m, PciFn::PF);
        pf.make_migratable(&mut m, VF);
        let mut vf = Driver::start(&mut m, PciFn::vf(0));
        vf.create_event_queue(&mut m);
        let (tx, rx) = (vf.tx_queue(&mut m, 0), vf.rx_queue(&mut m, 0));
        vf.open(&mut m);
        let query = ferrite_abi::cmd::QueryFunction {};
        let mac = vf.send(&mut m, query).unwrap().mac;
        Self {
            m,
            pf,
            vf,
            tx,
            rx,
            mac,
            number: 0,
        }
    }

    fn start_with(
        &mut self,
        ranges: &[(u64, u64)],
        page_shift: u8,
        max_runs: u32,
    ) -> Result<StartDirtyLogDone, Status> {
        let mut data = LogRanges {
            ranges: [LogRange::default(); MAX_LOG_RANGES],
        };
        for (to, (iova, length)) in data.ranges.iter_mut().zip(ranges) {
            to.iova = U64::new(*iova);
            to.length = U64::new(*length);
        }
        let start = StartDirtyLog {
            count: U16::new(ranges.len() as u16),
            page_shift,
            rsvd: 0,
            max_runs: U32::new(max_runs),
        };
        self.pf.send_about_with(&mut self.m, VF, start, &data)
    }

    fn start(&mut self) {
        self.start_with(&[(0, SPACE)], 12, 0).unwrap();
        self.m.host.writes = Some(Vec::new());
    }

    fn read(&mut self, iova: u64, length: u64) -> Result<(DirtyFlags, Vec<DirtyRun>), Status> {
        self.number += 1;
        let read = ReadDirtyLog {
            iova: U64::new(iova),
            length: U64::new(length),
            number: U32::new(self.number),
            rsvd: [0; 4],
        };
        let (done, data) = self.pf.fetch_about(&mut self.m, VF, read)?;
        assert_eq!(done.number.get(), self.number);
        let runs = data.runs[..done.runs.get().into()].to_vec();
        Ok((DirtyFlags(done.flags.get()), runs))
    }

    /// Returns all pages that are told.
    fn pages(&mut self) -> BTreeSet<u64> {
        let mut pages = BTreeSet::new();
        loop {
            let (flags, runs) = self.read(0, SPACE).unwrap();
            for run in runs {
                let (first, length) = (run.iova.get(), run.length.get());
                pages.extend(first >> 12..=(first + length - 1) >> 12);
            }
            if !flags.contains(DirtyFlags::MORE) {
                assert_eq!(flags, DirtyFlags(0));
                return pages;
            }
        }
    }

    /// Returns all pages that the VF wrote since the last call, as memory saw it.
    fn truth(&mut self) -> BTreeSet<u64> {
        let writes = self.m.host.writes.replace(Vec::new()).unwrap();
        let own = writes.iter().filter(|(who, ..)| *who == PciFn::vf(0));
        own.flat_map(|(_, addr, length)| addr >> 12..=(addr + *length as u64 - 1) >> 12)
            .collect()
    }

    fn arrive(&mut self, length: usize) {
        let frame = frame::udp4(&vec![7; length]);
        self.m.receive(&frame::addressed(frame, self.mac, PEER));
    }

    fn send(&mut self, length: usize) {
        let frame = frame::udp4(&vec![7; length]);
        self.tx
            .send(&mut self.m, &frame::addressed(frame, PEER, self.mac));
    }

    fn copy(&mut self, length: u32) {
        let at = |w: &mut Self| U64::new(w.m.host.alloc(length as usize));
        let (source, destination) = (at(self), at(self));
        let copy = CopyMemory {
            source,
            destination,
            length: U32::new(length),
            rsvd: [0; 4],
        };
        self.vf.send(&mut self.m, copy).unwrap();
    }

    fn echo(&mut self) {
        self.vf.send(&mut self.m, Echo { value: 1.into() }).unwrap();
    }
}

/// Something that makes a VF write to memory.
type Act<'a> = &'a dyn Fn(&mut World);

#[test]
fn every_kind_of_write_is_logged() {
    let mut w = World::new();
    w.start();
    let kinds: [(&str, Act<'_>); 5] = [
        ("packets", &|w| {
            w.rx.post(&mut w.m, 4);
            w.arrive(1000);
        }),
        ("completions of TX", &|w| w.send(100)),
        ("answers of the admin queue", &World::echo),
        ("copies of memory", &|w| w.copy(0x4001)),
        ("events", &|w| w.m.device.set_uplink(&mut w.m.host, false)),
    ];
    for (kind, act) in kinds {
        act(&mut w);
        let (truth, told) = (w.truth(), w.pages());
        assert!(!truth.is_empty(), "{kind}: nothing was written");
        assert_eq!(told, truth, "{kind}");
        // What the PF wrote to read the log is not the VF's.
        w.truth();
    }
}

#[test]
fn others_are_not_logged() {
    let mut w = World::new();
    w.start();
    let mut other = Driver::start(&mut w.m, PciFn::vf(1));
    other.send(&mut w.m, Echo { value: 1.into() }).unwrap();
    assert_eq!(w.pages(), BTreeSet::new());
}

#[test]
fn failed_write_may_have_written() {
    let mut w = World::new();
    w.rx.post(&mut w.m, 1);
    let buffer = w.rx.buffer(0);
    w.m.host
        .break_range(Some(PciFn::vf(0)), buffer..buffer + 0x800);
    w.start();
    w.arrive(500);
    assert!(w.pages().contains(&(buffer >> 12)));
}

#[test]
fn limits_and_states_are_told() {
    let mut w = World::new();
    assert_eq!(w.read(0, 1).err(), Some(Status::BAD_STATE));
    let bad: [&[(u64, u64)]; 4] = [
        &[],
        &[(0, 0)],
        &[(u64::MAX, 2)],
        &[(0, 0x2000), (0x1000, 0x1000)],
    ];
    for ranges in bad {
        assert_eq!(
            w.start_with(ranges, 12, 0).err(),
            Some(Status::INVALID_FIELD)
        );
    }
    assert_eq!(w.start_with(&[(0, SPACE)], 9, 0).unwrap().page_shift, 12);
    assert_eq!(
        w.start_with(&[(0, SPACE)], 12, 0).err(),
        Some(Status::IN_USE)
    );
    assert_eq!(w.read(0, 0).err(), Some(Status::INVALID_FIELD));
    assert_eq!(w.read(u64::MAX, 2).err(), Some(Status::INVALID_FIELD));
    for _ in 0..2 {
        assert_eq!(w.pf.send_about(&mut w.m, VF, StopDirtyLog {}), Ok(()));
    }
    assert_eq!(w.start_with(&[(0, SPACE)], 21, 0).unwrap().page_shift, 21);
    let refused = w.vf.send(&mut w.m, StopDirtyLog {});
    assert_eq!(refused.err(), Some(Status::NOT_PERMITTED));
}

#[test]
fn answer_that_was_lost_is_given_again() {
    let mut w = World::new();
    w.start();
    w.echo();
    let told = w.read(0, SPACE).unwrap().1.len();
    w.number -= 1;
    let again = w.read(0, SPACE).unwrap().1.len();
    assert!(told > 0);
    assert_eq!(told, again);
    assert_eq!(w.read(0, SPACE).unwrap().1.len(), 0);
}

#[test]
fn overflow_is_told_once() {
    let mut w = World::new();
    w.start_with(&[(0, SPACE)], 12, 1).unwrap();
    w.rx.post(&mut w.m, 8);
    w.arrive(100);
    w.send(100);
    assert_eq!(w.read(0, SPACE).unwrap().0, DirtyFlags::OVERFLOW);
    assert_eq!(w.read(0, SPACE).unwrap().0, DirtyFlags(0));
}

#[test]
fn log_outlives_resets_and_ends_with_the_function() {
    let mut w = World::new();
    w.start();
    w.echo();
    w.m.write(PciFn::vf(0), Control(1));
    w.m.advance(2_000_000);
    w.m.device.reset_function(&mut w.m.host, PciFn::vf(0));
    w.m.advance(2_000_000);
    let truth = w.truth();
    assert!(!truth.is_empty());
    assert_eq!(w.pages(), truth);
    let inactive = SetFunctionState {
        state: U16::new(FunctionState::INACTIVE.0),
        rsvd: [0; 2],
    };
    w.pf.send_about(&mut w.m, VF, inactive).unwrap();
    assert_eq!(w.read(0, SPACE).err(), Some(Status::BAD_STATE));
}

#[test]
fn log_is_saved_with_the_whole_device() {
    let mut w = World::new();
    w.start();
    w.echo();
    w.m.migrate();
    w.send(10);
    let truth = w.truth();
    assert_eq!(w.pages(), truth);
}

proptest! {
    #[test]
    fn told_is_what_memory_saw(
        steps in prop::collection::vec((0u8..5, 1usize..1400, prop::bool::weighted(0.3)), 1..40),
    ) {
        let mut w = World::new();
        w.start();
        let (mut truth, mut told) = (BTreeSet::new(), BTreeSet::new());
        for (kind, length, reads) in steps {
            match kind {
                0 => {
                    let used = w.rx.rings.tail.since(w.rx.rings.cq_head);
                    w.rx.post(&mut w.m, 4.min(w.rx.rings.depth.entries() - used));
                    w.rx.reap(&mut w.m);
                }
                1 => w.arrive(length),
                2 => {
                    w.send(length);
                    w.tx.reap(&mut w.m);
                }
                3 => w.echo(),
                _ => w.m.advance(length as u64 * 1000),
            }
            if reads {
                truth.extend(w.truth());
                told.extend(w.pages());
                prop_assert_eq!(&told, &truth);
            }
        }
        truth.extend(w.truth());
        told.extend(w.pages());
        prop_assert_eq!(told, truth);
    }
}
