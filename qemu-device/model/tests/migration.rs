// SPDX-License-Identifier: GPL-2.0

//! VFs are suspended, saved, loaded and resumed, and their drivers notice nothing.

use ferrite_abi::admin::{
    Status,
    Submission, //
};
use ferrite_abi::bar::Doorbell;
use ferrite_abi::cmd::{
    BeginLoad,
    ConfigureFunction,
    CreateVirtio,
    DestroyVirtio,
    Echo,
    EndLoad,
    FilterAction,
    FunctionCaps,
    FunctionFields,
    MigrationActivity,
    MigrationInfo,
    ModifyQueue,
    QueryFunction,
    QueryMigration,
    QuerySave,
    QueryStats,
    QueueKind,
    Rate,
    ReadSave,
    ResumeFunction,
    RssHash,
    RssTable,
    RxFilter,
    SaveFlags,
    SavePass,
    SetFilter,
    SetFunctionState,
    SetMtu,
    SetRate,
    SetRss,
    SetRxMode,
    SuspendFunction,
    SuspendLevel,
    MAX_CHUNK,
    MAX_RSS_TABLE,
    RSS_KEY, //
};
use ferrite_abi::event::{
    EventKind,
    FunctionState, //
};
use ferrite_abi::ids::FunctionId;
use ferrite_abi::mig::{
    Record,
    RecordHeader,
    StreamFault,
    StreamTag, //
};
use ferrite_abi::regs::{
    Control,
    Function,
    Scratch,
    Status as StatusRegister, //
};
use ferrite_abi::wire::{
    FromBytes,
    IntoBytes,
    U16,
    U32,
    U64, //
};
use ferrite_model::testing::{
    frame,
    virtio,
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

const VF: [FunctionId; 2] = [FunctionId(1), FunctionId(2)];
const RESET_NS: u64 = 2_000_000;
const PEER: [u8; 6] = [2, 9, 9, 9, 9, 9];

fn config() -> Config {
    Config {
        max_vfs: 4,
        ..Config::default()
    }
}

/// The driver of a VF with some pairs of queues.
struct Guest {
    driver: Driver,
    tx: Vec<TxQueue>,
    rx: Vec<RxQueue>,
    mac: [u8; 6],
}

impl Guest {
    fn start(m: &mut Machine, vf: u16, pairs: u16) -> Self {
        let mut driver = Driver::start(m, PciFn::vf(vf));
        driver.create_event_queue(m);
        let tx = (0..pairs).map(|index| driver.tx_queue(m, index)).collect();
        let rx = (0..pairs).map(|index| driver.rx_queue(m, index)).collect();
        driver.open(m);
        let mac = driver.send(m, QueryFunction {}).unwrap().mac;
        Self {
            driver,
            tx,
            rx,
            mac,
        }
    }

    /// The machine that the driver is in has moved.
    fn moved(&mut self, vf: u16) {
        let function = PciFn::vf(vf);
        self.driver.function = function;
        let rx = self.rx.iter_mut().map(|rx| &mut rx.rings);
        for rings in self.tx.iter_mut().map(|tx| &mut tx.0).chain(rx) {
            rings.function = function;
        }
    }

    fn send(&mut self, m: &mut Machine, payload: &[u8]) {
        let frame = frame::addressed(frame::udp4(payload), PEER, self.mac);
        self.tx[0].send(m, &frame);
    }

    fn arrive(&self, m: &mut Machine, payload: &[u8]) {
        m.receive(&frame::addressed(frame::udp4(payload), self.mac, PEER));
    }
}

/// A machine with two VFs that can be migrated, the first of which is in use.
fn machine(pairs: u16) -> (Machine, Driver, Guest) {
    let mut m = Machine::with_memory(config(), 64 << 20);
    m.set_vfs(2);
    let mut pf = Driver::start(&mut m, PciFn::PF);
    for vf in VF {
        pf.make_migratable(&mut m, vf);
    }
    let guest = Guest::start(&mut m, 0, pairs);
    (m, pf, guest)
}

fn info(m: &mut Machine, pf: &mut Driver, vf: FunctionId) -> MigrationInfo {
    pf.fetch_about(m, vf, QueryMigration {}).unwrap().1
}

fn level(m: &mut Machine, pf: &mut Driver, vf: FunctionId) -> SuspendLevel {
    SuspendLevel(info(m, pf, vf).level.get())
}

/// Suspends VF 0 and saves it in one part.
fn saved(m: &mut Machine, pf: &mut Driver) -> Vec<u8> {
    pf.suspend(m, VF[0], SuspendLevel::FULL).unwrap();
    pf.save_part(m, VF[0], SavePass::FINAL, 0).unwrap()
}

/// Loads VF 1. Returns why the stream is refused.
fn load(m: &mut Machine, pf: &mut Driver, stream: &[u8]) -> StreamFault {
    pf.suspend(m, VF[1], SuspendLevel::FULL).unwrap();
    let verdict = pf.load_stream(m, VF[1], stream).unwrap();
    StreamFault(verdict.fault.get())
}

fn records(mut stream: &[u8]) -> Vec<Record<'_>> {
    let mut records = Vec::new();
    while let Some((record, rest)) = Record::split(stream).unwrap() {
        records.push(record);
        stream = rest;
    }
    assert_eq!(stream, []);
    records
}

/// Tag, instance and payload of a record.
type Part = (StreamTag, u16, Vec<u8>);

/// Makes a stream of records, with numbers and checksums as they must be.
fn stream(records: &[Part]) -> Vec<u8> {
    let mut stream = Vec::new();
    for (number, (tag, instance, payload)) in (0..).zip(records) {
        let header = RecordHeader::new(*tag, *instance, number, payload);
        stream.extend_from_slice(header.as_bytes());
        stream.extend_from_slice(payload);
    }
    stream
}

fn parts(stream: &[u8]) -> Vec<Part> {
    let part = |record: &Record<'_>| {
        let header = record.header;
        (header.tag(), header.instance.get(), record.payload.to_vec())
    };
    records(stream).iter().map(part).collect()
}

#[test]
fn traffic_goes_on_at_the_destination() {
    let (mut m, mut pf, mut guest) = machine(2);
    guest.rx[0].post(&mut m, 8);
    guest.arrive(&mut m, b"before");
    guest.send(&mut m, b"before");
    pf.move_vf(&mut m, VF[0], VF[1]);
    guest.moved(1);
    m.device.reset_function(&mut m.host, PciFn::vf(0));
    guest.arrive(&mut m, b"after");
    guest.send(&mut m, b"after");
    let received: Vec<_> = guest.rx[0]
        .reap(&mut m)
        .iter()
        .map(|packet| packet.bytes.clone())
        .collect();
    assert_eq!(received.len(), 2);
    assert!(received[1].ends_with(b"after"));
    assert_eq!(m.host.sent.len(), 2);
    assert_eq!(
        guest
            .driver
            .send(&mut m, Echo { value: 7.into() })
            .unwrap()
            .value
            .get(),
        7
    );
    // The driver need not know that it is another function now.
    assert_eq!(m.read::<Function>(PciFn::vf(1)), Function(1));
    let echo = Echo { value: 8.into() };
    assert!(guest.driver.send_about(&mut m, VF[0], echo).is_ok());
    let refused = guest.driver.send_about(&mut m, FunctionId(3), echo);
    assert_eq!(refused.err(), Some(Status::NOT_PERMITTED));
    let events = guest.driver.events(&mut m);
    assert_eq!(events[0].function.get(), VF[0].0);
    let (_, stats) = guest.driver.fetch(&mut m, QueryStats {}).unwrap();
    assert_eq!((stats.tx_packets.get(), stats.rx_packets.get()), (2, 2));
}

#[test]
fn suspended_initiator_does_no_dma_and_answers() {
    let (mut m, mut pf, mut guest) = machine(1);
    guest.rx[0].post(&mut m, 8);
    guest
        .driver
        .submit(&mut m, &Submission::new(9, VF[0], Echo { value: 1.into() }));
    m.settle();
    pf.suspend(&mut m, VF[0], SuspendLevel::INITIATOR).unwrap();
    m.host.writes = Some(Vec::new());
    let raised = m.host.raised.len();
    guest.send(&mut m, b"held back");
    guest.arrive(&mut m, b"held back");
    guest.driver.submit(
        &mut m,
        &Submission::new(10, VF[0], Echo { value: 2.into() }),
    );
    m.write(PciFn::vf(0), Scratch(0x1234));
    m.device.set_uplink(&mut m.host, false);
    m.device.set_uplink(&mut m.host, true);
    m.advance(1_000_000_000);
    assert_eq!(m.read::<Scratch>(PciFn::vf(0)), Scratch(0x1234));
    assert_eq!(m.read::<StatusRegister>(PciFn::vf(0)).ready(), 1);
    let own = |(who, ..): &(PciFn, u64, usize)| *who == PciFn::vf(0);
    let writes = m.host.writes.take().unwrap();
    assert_eq!(writes.iter().filter(|write| own(write)).count(), 0);
    assert!(m.host.raised[raised..]
        .iter()
        .all(|(who, _)| *who == PciFn::PF));
    assert!(m.host.sent.is_empty());
    // All of it happens when it goes on.
    pf.resume(&mut m, VF[0], SuspendLevel::RUNNING).unwrap();
    m.settle();
    assert_eq!(m.host.sent.len(), 1);
    assert_eq!(guest.rx[0].reap(&mut m).len(), 1);
    assert!(guest.driver.poll(&mut m).is_some());
    assert_eq!(guest.driver.poll(&mut m).unwrap().tag.get(), 10);
    let events = guest.driver.events(&mut m);
    assert_eq!(events[0].kind.get(), EventKind::LINK_CHANGE.0);
    assert!(events[0].sequence() > 0, "no gap: {events:?}");
}

#[test]
fn stopped_function_does_not_change() {
    let (mut m, mut pf, mut guest) = machine(2);
    guest.rx[0].post(&mut m, 2);
    let before = saved(&mut m, &mut pf);
    pf.end_save(&mut m, VF[0]).unwrap();
    guest.send(&mut m, b"x");
    guest.rx[0].post(&mut m, 2);
    guest.arrive(&mut m, b"x");
    guest
        .driver
        .submit(&mut m, &Submission::new(9, VF[0], Echo { value: 1.into() }));
    for offset in (0..0x200).step_by(4) {
        m.write_at(PciFn::vf(0), offset, 0xffff_ffff);
        m.read_at(PciFn::vf(0), offset);
    }
    m.write(PciFn::vf(0), Control(1));
    m.ring(PciFn::vf(0), Doorbell::Tx(1));
    m.advance(1_000_000_000);
    let after = pf.save_part(&mut m, VF[0], SavePass::FINAL, 0).unwrap();
    let state = |stream: &[u8]| {
        let mut parts = parts(stream);
        for (tag, _, payload) in &mut parts {
            if [StreamTag::TX_STATE, StreamTag::RX_STATE].contains(tag) {
                // Time goes on.
                payload[16..24].fill(0);
            }
        }
        parts
    };
    assert_eq!(state(&before), state(&after));
}

#[test]
fn doorbells_that_were_rung_meanwhile_count() {
    let (mut m, mut pf, mut guest) = machine(1);
    pf.suspend(&mut m, VF[0], SuspendLevel::FULL).unwrap();
    guest.send(&mut m, b"x");
    guest
        .driver
        .submit(&mut m, &Submission::new(9, VF[0], Echo { value: 1.into() }));
    m.settle();
    assert!(m.host.sent.is_empty() && guest.driver.poll(&mut m).is_none());
    pf.resume(&mut m, VF[0], SuspendLevel::INITIATOR).unwrap();
    m.settle();
    assert!(m.host.sent.is_empty() && guest.driver.poll(&mut m).is_none());
    pf.resume(&mut m, VF[0], SuspendLevel::RUNNING).unwrap();
    m.settle();
    assert_eq!(m.host.sent.len(), 1);
    assert!(guest.driver.poll(&mut m).is_some());
}

#[test]
fn levels_are_kept_apart() {
    let (mut m, mut pf, _guest) = machine(1);
    let m = &mut m;
    let [vf, other] = VF;
    assert_eq!(
        pf.suspend(m, vf, SuspendLevel::RUNNING),
        Err(Status::INVALID_FIELD)
    );
    assert_eq!(
        pf.resume(m, vf, SuspendLevel::FULL),
        Err(Status::INVALID_FIELD)
    );
    for level_now in [SuspendLevel::INITIATOR, SuspendLevel::FULL] {
        assert_eq!(pf.suspend(m, vf, level_now), Ok(()));
        assert_eq!(pf.suspend(m, vf, level_now), Ok(()));
        assert_eq!(level(m, &mut pf, vf), level_now);
    }
    assert_eq!(
        pf.suspend(m, vf, SuspendLevel::INITIATOR),
        Err(Status::BAD_STATE)
    );
    assert_eq!(level(m, &mut pf, other), SuspendLevel::RUNNING);
    for level_now in [SuspendLevel::INITIATOR, SuspendLevel::RUNNING] {
        assert_eq!(pf.resume(m, vf, level_now), Ok(()));
        assert_eq!(pf.resume(m, vf, level_now), Ok(()));
        assert_eq!(level(m, &mut pf, vf), level_now);
    }
}

#[test]
fn vf_moves_nobody() {
    let (mut m, mut pf, mut guest) = machine(1);
    let suspend = SuspendFunction {
        level: U16::new(SuspendLevel::FULL.0),
        rsvd: [0; 2],
    };
    for target in [VF[0], VF[1], FunctionId::PF] {
        let refused = guest.driver.send_about(&mut m, target, suspend);
        assert_eq!(refused, Err(Status::NOT_PERMITTED), "{target:?}");
        let refused = guest.driver.send_about(&mut m, target, BeginLoad {});
        assert_eq!(refused, Err(Status::NOT_PERMITTED), "{target:?}");
    }
    assert_eq!(level(&mut m, &mut pf, VF[0]), SuspendLevel::RUNNING);
}

#[test]
fn only_migratable_vfs_are_moved() {
    let mut m = Machine::new(config());
    m.set_vfs(1);
    let mut pf = Driver::start(&mut m, PciFn::PF);
    let m = &mut m;
    let full = SuspendLevel::FULL;
    assert_eq!(pf.suspend(m, VF[0], full), Err(Status::NOT_PERMITTED));
    assert_eq!(
        pf.suspend(m, FunctionId::PF, full),
        Err(Status::INVALID_FUNCTION)
    );
    assert_eq!(
        pf.suspend(m, FunctionId(0x100), full),
        Err(Status::INVALID_FUNCTION)
    );
    pf.make_migratable(m, VF[0]);
    let inactive = SetFunctionState {
        state: U16::new(FunctionState::INACTIVE.0),
        rsvd: [0; 2],
    };
    pf.send_about(m, VF[0], inactive).unwrap();
    assert_eq!(pf.suspend(m, VF[0], full), Err(Status::BAD_STATE));
}

#[test]
fn virtio_device_is_not_moved() {
    let (mut m, mut pf, _guest) = machine(0);
    let m = &mut m;
    let create = CreateVirtio {
        features: U64::new(virtio::NEEDED),
        pairs: U16::new(1),
        mtu: U16::new(1500),
        ..CreateVirtio::default()
    };
    pf.send_about(m, VF[0], create).unwrap();
    let refused = pf.suspend(m, VF[0], SuspendLevel::FULL);
    assert_eq!(refused, Err(Status::NOT_SUPPORTED));
    let refused = pf.save_part(m, VF[0], SavePass::SETUP, 0);
    assert_eq!(refused, Err(Status::NOT_SUPPORTED));
    pf.send_about(m, VF[0], DestroyVirtio {}).unwrap();
    pf.suspend(m, VF[0], SuspendLevel::FULL).unwrap();
    assert_eq!(pf.send_about(m, VF[0], create), Err(Status::BAD_STATE));
}

#[test]
fn set_up_of_a_suspended_function_is_left_alone() {
    let (mut m, mut pf, _guest) = machine(1);
    let m = &mut m;
    pf.suspend(m, VF[0], SuspendLevel::INITIATOR).unwrap();
    let mtu = SetMtu {
        mtu: U16::new(1400),
        rsvd: [0; 2],
    };
    assert_eq!(pf.send_about(m, VF[0], mtu), Err(Status::BAD_STATE));
    let caps = ConfigureFunction {
        mask: U16::new(FunctionFields::CAPS.0),
        ..ConfigureFunction::default()
    };
    assert_eq!(pf.send_about(m, VF[0], caps), Err(Status::BAD_STATE));
    assert!(pf.send_about(m, VF[0], QueryFunction {}).is_ok());
    pf.resume(m, VF[0], SuspendLevel::RUNNING).unwrap();
    assert!(pf.send_about(m, VF[0], mtu).is_ok());
    // While it is saved it stays one that can be.
    pf.save_part(m, VF[0], SavePass::SETUP, 0).unwrap();
    assert_eq!(pf.send_about(m, VF[0], caps), Err(Status::BAD_STATE));
    pf.end_save(m, VF[0]).unwrap();
    assert!(pf.send_about(m, VF[0], caps).is_ok());
}

#[test]
fn last_part_of_an_idle_function_is_small() {
    let (mut m, mut pf, mut guest) = machine(4);
    guest.rx[0].post(&mut m, 32);
    for n in 0..20 {
        guest.arrive(&mut m, &[n; 100]);
        guest.send(&mut m, &[n; 100]);
    }
    let first = pf.save_part(&mut m, VF[0], SavePass::SETUP, 0).unwrap();
    assert!(!first.is_empty());
    let again = pf.save_part(&mut m, VF[0], SavePass::SETUP, 0).unwrap();
    assert_eq!(again, []);
    pf.suspend(&mut m, VF[0], SuspendLevel::FULL).unwrap();
    let sizes = pf.send_about(&mut m, VF[0], QuerySave {}).unwrap();
    let last = pf.save_part(&mut m, VF[0], SavePass::FINAL, 0).unwrap();
    assert!(last.len() < 16 * 1024, "{} bytes", last.len());
    assert_eq!(sizes.remaining.get() as usize, last.len());
    assert_eq!(sizes.full.get() as usize, first.len() + last.len());
}

#[test]
fn later_parts_hold_what_changed() {
    let (mut m, mut pf, mut guest) = machine(2);
    let m = &mut m;
    pf.save_part(m, VF[0], SavePass::SETUP, 0).unwrap();
    let query = |m: &mut Machine, pf: &mut Driver| pf.send_about(m, VF[0], QuerySave {}).unwrap();
    assert_eq!(query(m, &mut pf).dirty.get(), 0);
    let mtu = SetMtu {
        mtu: U16::new(1400),
        rsvd: [0; 2],
    };
    guest.driver.send(m, mtu).unwrap();
    let sizes = query(m, &mut pf);
    assert_eq!(SaveFlags(sizes.flags.get()), SaveFlags(0));
    let part = pf.save_part(m, VF[0], SavePass::SETUP, 0).unwrap();
    assert_eq!(sizes.dirty.get() as usize, part.len());
    let tags: Vec<_> = records(&part)
        .iter()
        .map(|record| record.header.tag())
        .collect();
    assert_eq!(tags, [StreamTag::PORT]);
    // Queues that are made anew are as good as a new beginning.
    m.write(PciFn::vf(0), Control(1));
    m.advance(RESET_NS);
    let sizes = query(m, &mut pf);
    assert!(SaveFlags(sizes.flags.get()).contains(SaveFlags::REINIT));
    let part = pf.save_part(m, VF[0], SavePass::SETUP, 0).unwrap();
    let removed = records(&part)
        .iter()
        .filter(|record| record.header.tag().is_removed())
        .count();
    assert_eq!(removed, 4);
}

#[test]
fn parts_come_one_after_the_other() {
    let (mut m, mut pf, _guest) = machine(1);
    let m = &mut m;
    let part = pf.save_part(m, VF[0], SavePass::SETUP, 0).unwrap();
    let read = |offset: usize, length: usize| ReadSave {
        offset: U32::new(offset as u32),
        length: U32::new(length as u32),
    };
    // What was read can be read again.
    let ((), chunk) = pf.fetch_about(m, VF[0], read(3, 5)).unwrap();
    assert_eq!(chunk.bytes[..5], part[3..8]);
    for bad in [
        read(0, 0),
        read(part.len(), 1),
        read(0, MAX_CHUNK + 1),
        read(usize::MAX, 1),
    ] {
        let refused = pf.fetch_about(m, VF[0], bad);
        assert_eq!(refused.err(), Some(Status::INVALID_FIELD));
    }
    let full = pf.save_part(m, VF[0], SavePass::FINAL, 0);
    assert_eq!(full.err(), Some(Status::BAD_STATE), "it is not stopped");
    let other = pf.save_part(m, VF[0], SavePass::SETUP, 1);
    assert_eq!(other.err(), Some(Status::BAD_STATE), "another version");
    pf.suspend(m, VF[0], SuspendLevel::FULL).unwrap();
    pf.save_part(m, VF[0], SavePass::FINAL, 0).unwrap();
    let after = pf.save_part(m, VF[0], SavePass::SETUP, 0);
    assert_eq!(after.err(), Some(Status::BAD_STATE), "behind the end");
    assert_eq!(
        pf.resume(m, VF[0], SuspendLevel::RUNNING),
        Err(Status::BAD_STATE)
    );
    pf.end_save(m, VF[0]).unwrap();
    assert_eq!(pf.resume(m, VF[0], SuspendLevel::RUNNING), Ok(()));
    let unknown = pf.save_part(m, VF[0], SavePass::SETUP, 3);
    assert_eq!(unknown.err(), Some(Status::NOT_SUPPORTED));
}

#[test]
fn reset_ends_the_migration_of_that_function_alone() {
    let (mut m, mut pf, _guest) = machine(1);
    let m = &mut m;
    for vf in VF {
        pf.suspend(m, vf, SuspendLevel::FULL).unwrap();
    }
    pf.save_part(m, VF[0], SavePass::FINAL, 0).unwrap();
    pf.send_about(m, VF[1], BeginLoad {}).unwrap();
    m.device.reset_function(&mut m.host, PciFn::vf(0));
    m.advance(RESET_NS);
    assert_eq!(level(m, &mut pf, VF[0]), SuspendLevel::RUNNING);
    assert_eq!(info(m, &mut pf, VF[0]).activity.get(), 0);
    assert_eq!(level(m, &mut pf, VF[1]), SuspendLevel::FULL);
    let activity = MigrationActivity(info(m, &mut pf, VF[1]).activity.get());
    assert_eq!(activity, MigrationActivity::LOADING);
    // It works again.
    let mut guest = Guest::start(m, 0, 1);
    guest.send(m, b"x");
    assert_eq!(m.host.sent.len(), 1);
}

#[test]
fn reset_by_the_driver_of_a_suspended_function_wakes_nothing() {
    let (mut m, mut pf, _guest) = machine(1);
    pf.suspend(&mut m, VF[0], SuspendLevel::INITIATOR).unwrap();
    m.write(PciFn::vf(0), Control(1));
    m.advance(RESET_NS);
    assert_eq!(level(&mut m, &mut pf, VF[0]), SuspendLevel::INITIATOR);
}

#[test]
fn reset_of_the_pf_leaves_nobody_suspended() {
    let (mut m, mut pf, _guest) = machine(1);
    pf.suspend(&mut m, VF[0], SuspendLevel::FULL).unwrap();
    m.device.reset_function(&mut m.host, PciFn::PF);
    m.advance(RESET_NS);
    let mut pf = Driver::start(&mut m, PciFn::PF);
    assert_eq!(level(&mut m, &mut pf, VF[0]), SuspendLevel::RUNNING);
    // It was reset with it: its queues do not go on unwatched.
    assert_eq!(
        m.read::<ferrite_abi::regs::AdminControl>(PciFn::vf(0))
            .enable(),
        0
    );
}

#[test]
fn identity_travels_and_policy_wins() {
    let (mut m, mut pf, _guest) = machine(1);
    let m = &mut m;
    let configure = |mac: [u8; 6], vlan: u16| ConfigureFunction {
        mask: U16::new(FunctionFields::MAC.with(FunctionFields::VLAN).0),
        mac,
        vlan: U16::new(vlan),
        ..ConfigureFunction::default()
    };
    let config = |m: &mut Machine, pf: &mut Driver, vf| {
        pf.send_about(m, vf, ferrite_abi::cmd::QueryFunctionConfig {})
            .unwrap()
    };
    pf.send_about(m, VF[0], configure([2, 7, 7, 7, 7, 7], 42))
        .unwrap();
    let rate = SetRate {
        node: U16::new(0),
        parent: U16::new(0),
    };
    let limit = Rate {
        tx_max: 1_000_000.into(),
        ..Rate::default()
    };
    pf.send_about_with(m, VF[0], rate, &limit).unwrap();
    let uuid = info(m, &mut pf, VF[0]).uuid;
    assert_ne!(uuid, info(m, &mut pf, VF[1]).uuid);
    let stream = saved(m, &mut pf);
    assert_eq!(load(m, &mut pf, &stream), StreamFault::NONE);
    let there = config(m, &mut pf, VF[1]);
    assert_eq!((there.mac, there.vlan.get()), ([2, 7, 7, 7, 7, 7], 42));
    assert_eq!(info(m, &mut pf, VF[1]).uuid, uuid);
    assert_eq!(
        FunctionCaps(there.caps.get()),
        FunctionCaps::MIGRATABLE.with(FunctionCaps::SPOOF_CHECK)
    );
    // What came with one stream makes way for what comes with another.
    pf.end_save(m, VF[0]).unwrap();
    pf.resume(m, VF[0], SuspendLevel::RUNNING).unwrap();
    pf.send_about(m, VF[0], configure([2, 6, 6, 6, 6, 6], 44))
        .unwrap();
    let stream = saved(m, &mut pf);
    assert_eq!(load(m, &mut pf, &stream), StreamFault::NONE);
    let there = config(m, &mut pf, VF[1]);
    assert_eq!((there.mac, there.vlan.get()), ([2, 6, 6, 6, 6, 6], 44));
    // What the destination was given stays.
    m.device.reset_function(&mut m.host, PciFn::vf(1));
    m.advance(RESET_NS);
    pf.send_about(m, VF[1], configure([2, 8, 8, 8, 8, 8], 43))
        .unwrap();
    assert_eq!(load(m, &mut pf, &stream), StreamFault::NONE);
    let there = config(m, &mut pf, VF[1]);
    assert_eq!((there.mac, there.vlan.get()), ([2, 8, 8, 8, 8, 8], 43));
}

#[test]
fn masked_interrupts_are_owed_at_the_destination() {
    let (mut m, mut pf, mut guest) = machine(1);
    guest.rx[0].post(&mut m, 4);
    m.host.masked.insert((PciFn::vf(0), 1));
    guest.arrive(&mut m, b"x");
    assert!(m.host.pending.contains(&(PciFn::vf(0), 1)));
    m.host.raised.clear();
    pf.move_vf(&mut m, VF[0], VF[1]);
    assert!(m.host.raised.contains(&(PciFn::vf(1), 1)));
}

#[test]
fn steering_travels() {
    let (mut m, mut pf, mut guest) = machine(4);
    let m = &mut m;
    let table = RssTable {
        key: [0x5a; RSS_KEY],
        queues: std::array::from_fn(|at| U16::new(at as u16 % 4)),
    };
    let rss = SetRss {
        hash: U16::new(RssHash::IPV4.with(RssHash::UDP).0),
        entries: U16::new(MAX_RSS_TABLE as u16),
        ..SetRss::default()
    };
    guest.driver.send_with(m, rss, &table).unwrap();
    let filter = SetFilter {
        location: U16::new(5),
        action: U16::new(FilterAction::DROP.0),
        queue: U16::new(0),
        context: U16::new(0),
    };
    let mut pattern = ferrite_abi::cmd::Filter::read_from_bytes(&[0; 128]).unwrap();
    pattern.key.ip_proto = 6;
    pattern.mask.ip_proto = 0xff;
    guest.driver.send_with(m, filter, &pattern).unwrap();
    let mut addresses = RxFilter::read_from_bytes(&[0; 768]).unwrap();
    addresses.addresses[0] = [2, 6, 6, 6, 6, 6];
    let mode = SetRxMode {
        mode: U16::new(2),
        count: U16::new(1),
    };
    guest.driver.send_with(m, mode, &addresses).unwrap();
    let stream = pf.move_vf(m, VF[0], VF[1]);
    guest.moved(1);
    // What the destination saves is what it was given, but for what is alive.
    pf.suspend(m, VF[1], SuspendLevel::FULL).unwrap();
    let again = pf.save_part(m, VF[1], SavePass::FINAL, 0).unwrap();
    let setup = |stream: &[u8]| {
        let mut parts = parts(stream);
        parts.retain(|(tag, ..)| tag.0 <= StreamTag::RX_QUEUE.0);
        parts
    };
    assert_eq!(setup(&stream), setup(&again));
    assert_eq!(setup(&stream).len(), 1 + 3 + 1 + 1 + 8);
}

#[test]
fn stream_that_is_refused_changes_nothing() {
    let (mut m, mut pf, _guest) = machine(2);
    let m = &mut m;
    let stream = saved(m, &mut pf);
    let mut other = Guest::start(m, 1, 2);
    other.rx[0].post(m, 4);
    pf.suspend(m, VF[1], SuspendLevel::FULL).unwrap();
    for cut in [0, 1, 15, 16, 40, 60, stream.len() / 2, stream.len() - 1] {
        let verdict = pf.load_stream(m, VF[1], &stream[..cut]).unwrap();
        assert_eq!(
            StreamFault(verdict.fault.get()),
            StreamFault::INCOMPLETE,
            "{cut}"
        );
    }
    for at in 16..24 {
        let mut bad = stream.clone();
        bad[at] ^= 1;
        let verdict = pf.load_stream(m, VF[1], &bad).unwrap();
        assert_eq!(
            StreamFault(verdict.fault.get()),
            StreamFault::NOT_A_STREAM,
            "{at}"
        );
    }
    for at in (24..stream.len()).step_by(7) {
        let mut bad = stream.clone();
        bad[at] ^= 0x10;
        let verdict = pf.load_stream(m, VF[1], &bad).unwrap();
        assert_ne!(StreamFault(verdict.fault.get()), StreamFault::NONE, "{at}");
    }
    let longer = [stream.as_slice(), &[0]].concat();
    assert_eq!(load(m, &mut pf, &longer), StreamFault::TRAILING);
    // It is as it was.
    pf.resume(m, VF[1], SuspendLevel::RUNNING).unwrap();
    other.arrive(m, b"x");
    assert_eq!(other.rx[0].reap(m).len(), 1);
}

#[test]
fn what_does_not_fit_is_refused_with_the_header() {
    let (mut m, mut pf, _guest) = machine(1);
    let m = &mut m;
    let good = parts(&saved(m, &mut pf));
    let cases: [(usize, &[u8], StreamFault); 8] = [
        (8, &[3, 0, 3, 0], StreamFault::VERSION),
        (8, &[0, 0, 0, 0], StreamFault::VERSION),
        (14, &[2], StreamFault::VERSION),
        (23, &[0x80], StreamFault::FEATURES),
        (24, &[65], StreamFault::QUEUES),
        (36, &[14], StreamFault::QUEUES),
        (26, &[15], StreamFault::VECTORS),
        (34, &[1, 1], StreamFault::STEERING),
    ];
    pf.suspend(m, VF[1], SuspendLevel::FULL).unwrap();
    for (at, bytes, fault) in cases {
        let mut header = good[0].clone();
        header.2[at..at + bytes.len()].copy_from_slice(bytes);
        pf.send_about(m, VF[1], BeginLoad {}).unwrap();
        let verdict = pf.write_stream(m, VF[1], 0, &stream(&[header])).unwrap();
        assert_eq!(StreamFault(verdict.fault.get()), fault);
        assert_eq!(
            (verdict.tag.get(), verdict.record.get()),
            (StreamTag::HEADER.0, 0)
        );
        // And again with whatever follows.
        let verdict = pf
            .write_stream(m, VF[1], verdict.taken.get(), b"x")
            .unwrap();
        assert_eq!(StreamFault(verdict.fault.get()), fault);
    }
}

#[test]
fn records_that_cannot_be_are_refused() {
    let (mut m, mut pf, _guest) = machine(1);
    let m = &mut m;
    let good = parts(&saved(m, &mut pf));
    let with = |change: &dyn Fn(&mut Vec<Part>)| {
        let mut parts = good.clone();
        change(&mut parts);
        stream(&parts)
    };
    let find = |parts: &[Part], tag| parts.iter().position(|part| part.0 == tag).unwrap();
    let set = |tag, at: usize, byte: u8| {
        with(&|parts| {
            let place = find(parts, tag);
            parts[place].2[at] = byte;
        })
    };
    let cases = [
        (
            with(&|parts| parts[1].0 = StreamTag(0x0123)),
            StreamFault::UNKNOWN_RECORD,
        ),
        (with(&|parts| parts.swap(0, 1)), StreamFault::NOT_A_STREAM),
        (
            with(&|parts| parts[1].0 = StreamTag::HEADER),
            StreamFault::SEQUENCE,
        ),
        (with(&|parts| parts[1].2.clear()), StreamFault::LENGTH),
        (with(&|parts| parts[1].2.push(0)), StreamFault::LENGTH),
        (with(&|parts| drop(parts.remove(3))), StreamFault::SEQUENCE),
        (
            with(&|parts| parts[2].0 = StreamTag(StreamTag::PORT.0 | 0x4000)),
            StreamFault::SEQUENCE,
        ),
        (set(StreamTag::PORT, 0, 1), StreamFault::INVALID_VALUE),
        (set(StreamTag::PORT, 7, 0xff), StreamFault::INVALID_VALUE),
        (set(StreamTag::PORT, 10, 2), StreamFault::INVALID_VALUE),
        (set(StreamTag::TX_QUEUE, 0, 1), StreamFault::INVALID_VALUE),
        (set(StreamTag::RX_QUEUE, 24, 0), StreamFault::INVALID_VALUE),
        (set(StreamTag::RX_QUEUE, 28, 200), StreamFault::INCONSISTENT),
        (
            set(StreamTag::ADMIN_QUEUE, 0, 200),
            StreamFault::INVALID_VALUE,
        ),
        (
            set(StreamTag::EVENT_QUEUE, 8, 200),
            StreamFault::INVALID_VALUE,
        ),
        (set(StreamTag::REGISTERS, 24, 2), StreamFault::INVALID_VALUE),
        (set(StreamTag::RX_STATE, 24, 99), StreamFault::INVALID_VALUE),
        (set(StreamTag::END, 0, 0), StreamFault::SEQUENCE),
        (
            with(&|parts| {
                let place = find(parts, StreamTag::TX_STATE);
                parts[place].1 = 3;
            }),
            StreamFault::INCONSISTENT,
        ),
        (
            with(&|parts| {
                let place = find(parts, StreamTag::TX_STATE);
                parts[place].1 = 60;
            }),
            StreamFault::QUEUES,
        ),
    ];
    for (at, (stream, fault)) in cases.iter().enumerate() {
        assert_eq!(load(m, &mut pf, stream), *fault, "case {at}");
    }
    assert_eq!(load(m, &mut pf, &stream(&good)), StreamFault::NONE);
}

#[test]
fn piece_that_is_sent_twice_is_taken_once() {
    let (mut m, mut pf, _guest) = machine(1);
    let m = &mut m;
    let stream = saved(m, &mut pf);
    pf.suspend(m, VF[1], SuspendLevel::FULL).unwrap();
    pf.send_about(m, VF[1], BeginLoad {}).unwrap();
    for (at, piece) in stream.chunks(100).enumerate() {
        for _ in 0..2 {
            let verdict = pf.write_stream(m, VF[1], 100 * at as u64, piece).unwrap();
            assert_eq!(verdict.taken.get() as usize, 100 * at + piece.len());
        }
    }
    for offset in [0, stream.len() as u64 + 1, u64::MAX] {
        let refused = pf.write_stream(m, VF[1], offset, b"x");
        assert_eq!(refused.err(), Some(Status::INVALID_FIELD));
    }
    let end = EndLoad {
        commit: 1,
        rsvd: [0; 3],
    };
    let verdict = pf.send_about(m, VF[1], end).unwrap();
    assert_eq!(StreamFault(verdict.fault.get()), StreamFault::NONE);
    assert_eq!(pf.send_about(m, VF[1], end).err(), Some(Status::BAD_STATE));
}

#[test]
fn older_version_is_written_and_read() {
    let (mut m, mut pf, mut guest) = machine(1);
    guest.rx[0].post(&mut m, 4);
    pf.suspend(&mut m, VF[0], SuspendLevel::FULL).unwrap();
    let old = pf.save_part(&mut m, VF[0], SavePass::FINAL, 1).unwrap();
    let tags: Vec<_> = records(&old)
        .iter()
        .map(|record| record.header.tag())
        .collect();
    assert!(!tags.contains(&StreamTag::INTERRUPTS));
    let uuid = info(&mut m, &mut pf, VF[1]).uuid;
    assert_eq!(load(&mut m, &mut pf, &old), StreamFault::NONE);
    assert_eq!(info(&mut m, &mut pf, VF[1]).uuid, uuid);
    guest.moved(1);
    m.host.raised.clear();
    pf.resume(&mut m, VF[1], SuspendLevel::RUNNING).unwrap();
    // It does not tell what is owed, so that all is.
    for vector in [0, 1] {
        assert!(m.host.raised.contains(&(PciFn::vf(1), vector)));
    }
    m.device.reset_function(&mut m.host, PciFn::vf(0));
    guest.arrive(&mut m, b"x");
    assert_eq!(guest.rx[0].reap(&mut m).len(), 1);
}

#[test]
fn newer_version_is_read_as_far_as_it_is_known() {
    let (mut m, mut pf, _guest) = machine(1);
    let mut newer = parts(&saved(&mut m, &mut pf));
    newer[0].2[8] = 3;
    for part in &mut newer {
        if [StreamTag::HEADER, StreamTag::IDENTITY, StreamTag::PORT].contains(&part.0) {
            part.2.extend([0xff; 12]);
        }
    }
    newer.insert(3, (StreamTag(0x8ffe), 77, vec![1, 2, 3]));
    let end = newer.len() - 1;
    newer[end].2[0] += 1;
    assert_eq!(load(&mut m, &mut pf, &stream(&newer)), StreamFault::NONE);
}

#[test]
fn whole_device_is_saved_in_the_midst_of_it() {
    let (mut m, mut pf, mut guest) = machine(2);
    guest.rx[0].post(&mut m, 4);
    let first = pf.save_part(&mut m, VF[0], SavePass::SETUP, 0).unwrap();
    m.migrate();
    pf.suspend(&mut m, VF[0], SuspendLevel::FULL).unwrap();
    m.migrate();
    assert_eq!(level(&mut m, &mut pf, VF[0]), SuspendLevel::FULL);
    let last = pf.save_part(&mut m, VF[0], SavePass::FINAL, 0).unwrap();
    pf.suspend(&mut m, VF[1], SuspendLevel::FULL).unwrap();
    pf.send_about(&mut m, VF[1], BeginLoad {}).unwrap();
    pf.write_stream(&mut m, VF[1], 0, &first).unwrap();
    m.migrate();
    pf.write_stream(&mut m, VF[1], first.len() as u64, &last)
        .unwrap();
    let end = EndLoad {
        commit: 1,
        rsvd: [0; 3],
    };
    let verdict = pf.send_about(&mut m, VF[1], end).unwrap();
    assert_eq!(StreamFault(verdict.fault.get()), StreamFault::NONE);
    pf.resume(&mut m, VF[1], SuspendLevel::RUNNING).unwrap();
    guest.moved(1);
    m.device.reset_function(&mut m.host, PciFn::vf(0));
    guest.arrive(&mut m, b"x");
    assert_eq!(guest.rx[0].reap(&mut m).len(), 1);
}

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

#[test]
fn resume_while_loading_is_refused() {
    let (mut m, mut pf, _guest) = machine(1);
    let m = &mut m;
    assert_eq!(
        pf.send_about(m, VF[1], BeginLoad {}).err(),
        Some(Status::BAD_STATE)
    );
    pf.suspend(m, VF[1], SuspendLevel::FULL).unwrap();
    pf.send_about(m, VF[1], BeginLoad {}).unwrap();
    let resume = ResumeFunction {
        level: U16::new(SuspendLevel::RUNNING.0),
        rsvd: [0; 2],
    };
    assert_eq!(
        pf.send_about(m, VF[1], resume).err(),
        Some(Status::BAD_STATE)
    );
    let end = EndLoad {
        commit: 0,
        rsvd: [0; 3],
    };
    pf.send_about(m, VF[1], end).unwrap();
    assert!(pf.send_about(m, VF[1], resume).is_ok());
}
