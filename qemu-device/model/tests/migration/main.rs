// SPDX-License-Identifier: GPL-2.0

//! VFs are suspended, saved, loaded and resumed, and their drivers notice nothing.

mod controls;
mod random;
mod saving;
mod streams;
mod suspending;

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
    EnablePort,
    EndLoad,
    FaultKind,
    FilterAction,
    FunctionCaps,
    FunctionFields,
    InjectFault,
    MigrationActivity,
    MigrationInfo,
    ModifyQueue,
    QueryFrames,
    QueryFunction,
    QueryMigration,
    QueryRate,
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
    SetLoopback,
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
    Event,
    EventKind,
    FunctionState,
    SaveChange, //
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
        faults: true,
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
