// SPDX-License-Identifier: GPL-2.0

//! The device survives being saved and loaded, and refuses what it did not save.

use ferrite_abi::admin::Submission;
use ferrite_abi::cmd::{
    Echo,
    FaultKind,
    InjectFault,
    QueryStats,
    QueueKind,
    RssHash,
    RssTable,
    SetRss,
    MAX_RSS_TABLE,
    RSS_KEY, //
};
use ferrite_abi::wire::{
    U16,
    U32,
    U64, //
};
use ferrite_model::testing::{
    frame,
    Driver,
    Machine,
    Rings,
    RxQueue,
    TxQueue, //
};
use ferrite_model::{
    Config,
    Device,
    LoadError,
    PciFn, //
};
use proptest::prelude::*;

fn config() -> Config {
    Config {
        faults: true,
        max_vfs: 4,
        ..Config::default()
    }
}

/// A machine in the midst of it: traffic, waiting packets, delayed completions, moderation.
fn busy() -> (Machine, Driver, TxQueue, RxQueue) {
    let mut machine = Machine::new(config());
    let m = &mut machine;
    m.set_vfs(2);
    let mut driver = Driver::start(m, PciFn::PF);
    driver.create_event_queue(m);
    let tx = driver.tx_queue(m, 0);
    let mut rx = driver.rx_queue(m, 0);
    driver.open(m);
    let table = RssTable {
        key: [7; RSS_KEY],
        queues: [U16::new(0); MAX_RSS_TABLE],
    };
    let rss = SetRss {
        hash: U16::new(RssHash::IPV4.0),
        entries: U16::new(128),
        ..SetRss::default()
    };
    driver.send_with(m, rss, &table).unwrap();
    let moderated = Rings::unborn(PciFn::PF, m, QueueKind::TX, 1, 6);
    let mut command = moderated.command(QueueKind::TX, 1);
    command.moderation_usecs = U16::new(1000);
    driver.send(m, command).unwrap();
    let mut moderated = TxQueue(moderated);
    for _ in 0..3 {
        moderated.send(m, &frame::addressed(frame::udp4(b"x"), [2; 6], [4; 6]));
        moderated.reap(m);
    }
    moderated.send(m, &frame::addressed(frame::udp4(b"x"), [2; 6], [4; 6]));
    rx.post(m, 2);
    for n in 0..5 {
        m.receive(&frame::udp4(&[n; 20]));
    }
    let fault = InjectFault {
        kind: U16::new(FaultKind::DELAY_COMPLETION.0),
        count: U32::new(1),
        param: U32::new(10),
        ..InjectFault::default()
    };
    driver.send(m, fault).unwrap();
    driver.submit(
        m,
        &Submission::new(0x55, driver.id(), Echo { value: U64::new(9) }),
    );
    m.settle();
    (machine, driver, tx, rx)
}

#[test]
fn everything_goes_on_in_the_other_device() {
    let (mut machine, mut driver, mut tx, mut rx) = busy();
    let m = &mut machine;
    let timer = m.host.timer;
    let before = driver.fetch(m, QueryStats {}).unwrap().1;
    m.migrate();
    m.settle();
    assert_eq!(m.host.timer, timer, "the same is due");
    assert_eq!(
        driver
            .fetch(m, QueryStats {})
            .unwrap()
            .1
            .values()
            .collect::<Vec<_>>(),
        before.values().collect::<Vec<_>>()
    );
    // Two had buffers, three wait.
    rx.post(m, 8);
    let order: Vec<_> = rx.reap(m).iter().map(|packet| packet.bytes[42]).collect();
    assert_eq!(order, [0, 1, 2, 3, 4]);
    m.receive(&frame::udp4(&[5; 20]));
    let packets = rx.reap(m);
    assert!(
        packets[0].has(ferrite_abi::desc::RxFlags::HASH),
        "scaling is on"
    );
    let sent = m.host.sent.len();
    tx.send(m, &frame::addressed(frame::udp4(b"x"), [2; 6], [4; 6]));
    assert_eq!(m.host.sent.len(), sent + 1);
    // The interrupt of the moderated queue and the late completion come in time.
    m.host.raised.clear();
    m.advance(20_000_000);
    assert!(m.host.raised.contains(&(PciFn::PF, 2)));
    assert_eq!(driver.poll(m).unwrap().tag.get(), 0x55);
}

#[test]
fn state_may_be_saved_between_any_two_steps() {
    let mut machine = Machine::new(config());
    let m = &mut machine;
    let mut driver = Driver::start(m, PciFn::PF);
    m.migrate();
    let mut tx = driver.tx_queue(m, 0);
    let mut rx = driver.rx_queue(m, 0);
    m.migrate();
    driver.open(m);
    let out = frame::addressed(frame::udp4(b"out"), [2; 6], [4; 6]);
    let desc = TxQueue::place(m, &out);
    for round in 0..200u32 {
        tx.0.post(m, &[desc; 3]);
        m.migrate();
        m.settle();
        if round % 3 == 0 {
            rx.post(m, 3);
        }
        // The completion of this frame is not written before the next run.
        let _ = m
            .device
            .uplink_receive(&mut m.host, &frame::udp4(&round.to_be_bytes()));
        m.migrate();
        m.settle();
        assert_eq!(tx.reap(m), [(3 * (round + 1), 0)]);
        m.migrate();
        let seen: Vec<_> = rx
            .reap(m)
            .iter()
            .map(|packet| packet.bytes[42..46].to_vec())
            .collect();
        assert_eq!(seen, [round.to_be_bytes()]);
        driver.send(m, Echo { value: U64::new(1) }).unwrap();
    }
    assert_eq!(m.host.sent.len(), 600);
}

#[test]
fn doorbell_that_was_rung_is_not_lost() {
    let mut machine = Machine::new(config());
    let m = &mut machine;
    let mut driver = Driver::start(m, PciFn::PF);
    let mut tx = driver.tx_queue(m, 0);
    driver.open(m);
    let desc = TxQueue::place(m, &frame::addressed(frame::udp4(b"x"), [2; 6], [4; 6]));
    tx.0.post(m, &[desc]);
    driver.submit(
        m,
        &Submission::new(1, driver.id(), Echo { value: U64::new(1) }),
    );
    m.migrate();
    m.settle();
    assert_eq!(m.host.sent.len(), 1);
    assert!(driver.poll(m).is_some());
}

#[test]
fn learned_addresses_and_faults_are_kept() {
    let (mut machine, mut driver, mut tx, _rx) = busy();
    let m = &mut machine;
    // A station behind the PF, learned from its frame.
    tx.send(m, &frame::addressed(frame::udp4(b"x"), [2; 6], [0x0a; 6]));
    let fault = InjectFault {
        kind: U16::new(FaultKind::FAIL_COMMAND.0),
        param: U32::new(11),
        ..InjectFault::default()
    };
    driver.send(m, fault).unwrap();
    m.migrate();
    assert!(driver.send(m, Echo { value: U64::new(1) }).is_err());
    let mut vf = Driver::start(m, PciFn::vf(0));
    let mac = [0x52, 0x54, 0x00, 0x12, 0x34, 0x57];
    let mut out = vf.tx_queue(m, 0);
    vf.open(m);
    let sent = m.host.sent.len();
    out.send(m, &frame::addressed(frame::udp4(b"x"), [0x0a; 6], mac));
    assert_eq!(
        m.host.sent.len(),
        sent,
        "it is behind the PF, not the uplink"
    );
}

#[test]
fn vanished_stays_vanished() {
    let config = Config {
        fault_script: "vanish".into(),
        ..config()
    };
    let mut machine = Machine::new(config);
    let mut driver = Driver::start(&mut machine, PciFn::PF);
    driver.submit(
        &mut machine,
        &Submission::new(1, driver.id(), Echo { value: U64::new(1) }),
    );
    machine.settle();
    machine.migrate();
    assert_eq!(machine.read_at(PciFn::PF, 0), u32::MAX);
}

#[test]
fn other_set_up_is_refused_and_says_what_differs() {
    let saved = Device::new(config()).unwrap().save();
    let load = |config| Device::new(config).unwrap().load(&saved);
    assert_eq!(
        load(Config {
            mac: [2; 6],
            serial: "other".into(),
            ..config()
        }),
        Ok(())
    );
    let refused = |config| load(config).unwrap_err().to_string();
    assert_eq!(
        refused(Config {
            num_queues: 4,
            ..config()
        }),
        "saved by a device with another number of queues"
    );
    assert_eq!(
        refused(Config {
            max_vfs: 5,
            ..config()
        }),
        "saved by a device with another number of VFs"
    );
    assert_eq!(
        refused(Config {
            faults: false,
            ..config()
        }),
        "saved by a device with another setting of faults"
    );
}

#[test]
fn bad_streams_are_refused_with_a_reason() {
    let (machine, ..) = busy();
    let good = machine.device.save();
    let mut device = Device::new(config()).unwrap();
    let before = device.save();
    assert_eq!(device.load(&[]), Err(LoadError::Truncated));
    assert_eq!(device.load(b"FERRITEx........"), Err(LoadError::Magic));
    let mut other_version = good.clone();
    other_version[8] = 0xff;
    assert_eq!(device.load(&other_version), Err(LoadError::Version(0xff)));
    let mut longer = good.clone();
    longer.push(0);
    assert_eq!(device.load(&longer), Err(LoadError::Trailing));
    for length in 0..good.len() {
        assert!(device.load(&good[..length]).is_err(), "cut at {length}");
    }
    assert_eq!(device.save(), before, "a refused stream changes nothing");
    assert_eq!(device.load(&good), Ok(()));
}

#[test]
fn counter_that_would_overflow_is_refused() {
    let (mut machine, mut driver, mut tx, _rx) = busy();
    let m = &mut machine;
    // Where a counter is in the stream: the one that differs after one more packet was sent.
    let before = m.device.save();
    tx.send(m, &frame::addressed(frame::udp4(b"x"), [2; 6], [4; 6]));
    let stats = driver.fetch(m, QueryStats {}).unwrap().1;
    let mut bytes = m.device.save();
    let sent = stats.tx_packets.get().to_le_bytes();
    let at = (0..bytes.len().min(before.len()) - 8)
        .find(|at| bytes[*at..*at + 8] == sent && before[*at] == sent[0] - 1)
        .expect("no such counter");
    bytes[at..at + 8].fill(0xff);
    assert_eq!(m.device.load(&bytes), Err(LoadError::Invalid("counter")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever is in the stream, the device loads it or refuses it, and works on if it loads.
    #[test]
    fn corrupt_streams_do_no_harm(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let (mut machine, ..) = busy();
        let mut bytes = machine.device.save();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if machine.device.load(&bytes).is_ok() {
            machine.host.scheduled = true;
            for _ in 0..50 {
                if !std::mem::take(&mut machine.host.scheduled) {
                    break;
                }
                machine.host.scheduled = machine.device.run(&mut machine.host, 256);
            }
            machine.device.timer(&mut machine.host);
            let _ = machine.device.uplink_receive(&mut machine.host, &frame::udp4(b"x"));
            let again = machine.device.save();
            let mut other = Device::new(config()).unwrap();
            prop_assert_eq!(other.load(&again), Ok(()));
        }
    }
}
