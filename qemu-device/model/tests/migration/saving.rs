// SPDX-License-Identifier: GPL-2.0

//! Parts of a stream, what ends them, and what travels in them.

use super::*;

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

/// Takes the PF's events that there is something to save.
fn news(m: &mut Machine, pf: &mut Driver) -> Vec<FunctionId> {
    let is_news = |event: &Event| event.payload::<SaveChange>().is_some();
    let events = pf.events(m).into_iter().filter(is_news);
    events
        .map(|event| FunctionId(event.function.get()))
        .collect()
}

fn set_mtu(mtu: u16) -> SetMtu {
    SetMtu {
        mtu: U16::new(mtu),
        rsvd: [0; 2],
    }
}

#[test]
fn something_to_save_is_told_once() {
    let (mut m, mut pf, mut guest) = machine(1);
    let m = &mut m;
    pf.create_event_queue(m);
    guest.driver.send(m, set_mtu(1400)).unwrap();
    assert_eq!(news(m, &mut pf), [], "nobody saves it");
    pf.save_part(m, VF[0], SavePass::SETUP, 0).unwrap();
    guest.driver.send(m, set_mtu(1400)).unwrap();
    guest.send(m, b"x");
    assert_eq!(
        news(m, &mut pf),
        [],
        "nothing changed that is saved before the end"
    );
    for mtu in [1401, 1402] {
        guest.driver.send(m, set_mtu(mtu)).unwrap();
    }
    assert_eq!(news(m, &mut pf), [VF[0]]);
    // Who knows that there is something is not told.
    pf.send_about(m, VF[0], QuerySave {}).unwrap();
    guest.driver.send(m, set_mtu(1403)).unwrap();
    assert_eq!(news(m, &mut pf), []);
    pf.save_part(m, VF[0], SavePass::SETUP, 0).unwrap();
    m.migrate();
    guest.driver.send(m, set_mtu(1404)).unwrap();
    assert_eq!(news(m, &mut pf), [VF[0]]);
    // It is as it was saved: there is nothing any more.
    guest.driver.send(m, set_mtu(1403)).unwrap();
    assert_eq!(
        pf.send_about(m, VF[0], QuerySave {}).unwrap().dirty.get(),
        0
    );
    guest.driver.send(m, set_mtu(1405)).unwrap();
    assert_eq!(news(m, &mut pf), [VF[0]]);
    pf.suspend(m, VF[0], SuspendLevel::FULL).unwrap();
    pf.save_part(m, VF[0], SavePass::FINAL, 0).unwrap();
    pf.end_save(m, VF[0]).unwrap();
    pf.resume(m, VF[0], SuspendLevel::RUNNING).unwrap();
    guest.driver.send(m, set_mtu(1406)).unwrap();
    assert_eq!(news(m, &mut pf), [], "nobody saves it any more");
}

#[test]
fn whatever_changes_what_is_saved_is_told() {
    let (mut m, mut pf, mut guest) = machine(1);
    let m = &mut m;
    pf.create_event_queue(m);
    let told = |m: &mut Machine, pf: &mut Driver, what: &str| {
        assert_eq!(news(m, pf), [VF[0]], "{what}");
        pf.save_part(m, VF[0], SavePass::SETUP, 0).unwrap();
    };
    pf.save_part(m, VF[0], SavePass::SETUP, 0).unwrap();
    let closed = EnablePort {
        enable: 0,
        rsvd: [0; 3],
    };
    guest.driver.send(m, closed).unwrap();
    told(m, &mut pf, "the port is closed");
    let around = SetLoopback {
        enable: 1,
        rsvd: [0; 3],
    };
    guest.driver.send(m, around).unwrap();
    told(m, &mut pf, "the port is turned around");
    let configure = ConfigureFunction {
        mask: U16::new(FunctionFields::VLAN.0),
        vlan: U16::new(42),
        ..ConfigureFunction::default()
    };
    pf.send_about(m, VF[0], configure).unwrap();
    told(m, &mut pf, "another VLAN");
    let rate = SetRate {
        node: U16::new(0),
        parent: U16::new(0),
    };
    let limit = Rate {
        tx_max: 1_000_000.into(),
        ..Rate::default()
    };
    pf.send_about_with(m, VF[0], rate, &limit).unwrap();
    told(m, &mut pf, "another rate");
    m.write(PciFn::vf(0), Control(1));
    m.advance(RESET_NS);
    told(m, &mut pf, "a reset by the driver");
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
    let unknown = pf.save_part(m, VF[0], SavePass::SETUP, 4);
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
    let limit = |tx_max: u64| Rate {
        tx_max: tx_max.into(),
        ..Rate::default()
    };
    let rate_there = |m: &mut Machine, pf: &mut Driver| {
        let query = QueryRate {
            node: U16::new(0),
            rsvd: [0; 2],
        };
        pf.fetch_about(m, VF[1], query).unwrap().1.tx_max.get()
    };
    pf.send_about_with(m, VF[0], rate, &limit(1_000_000))
        .unwrap();
    let uuid = info(m, &mut pf, VF[0]).uuid;
    assert_ne!(uuid, info(m, &mut pf, VF[1]).uuid);
    let stream = saved(m, &mut pf);
    assert_eq!(load(m, &mut pf, &stream), StreamFault::NONE);
    let there = config(m, &mut pf, VF[1]);
    assert_eq!((there.mac, there.vlan.get()), ([2, 7, 7, 7, 7, 7], 42));
    assert_eq!(rate_there(m, &mut pf), 1_000_000);
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
    pf.send_about_with(m, VF[1], rate, &limit(2_000_000))
        .unwrap();
    assert_eq!(load(m, &mut pf, &stream), StreamFault::NONE);
    let there = config(m, &mut pf, VF[1]);
    assert_eq!((there.mac, there.vlan.get()), ([2, 8, 8, 8, 8, 8], 43));
    assert_eq!(rate_there(m, &mut pf), 2_000_000);
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
