// SPDX-License-Identifier: GPL-2.0

//! Streams that are refused, other versions, and the state of the whole device.

use super::*;

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
        (8, &[4, 0, 4, 0], StreamFault::VERSION),
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
fn port_stays_turned_around_and_goes_on_counting_frames() {
    let (mut m, mut pf, mut guest) = machine(1);
    let loopback = SetLoopback {
        enable: 1,
        rsvd: [0; 3],
    };
    guest.driver.send(&mut m, loopback).unwrap();
    let frames = |m: &mut Machine, pf: &mut Driver, vf| {
        let (_, stats) = pf.fetch_about(m, vf, QueryFrames {}).unwrap();
        (stats.tx.frames.get(), stats.rx.frames.get())
    };
    guest.rx[0].post(&mut m, 4);
    guest.send(&mut m, b"x");
    assert_eq!(frames(&mut m, &mut pf, VF[0]), (1, 1));
    let stream = saved(&mut m, &mut pf);
    assert_eq!(load(&mut m, &mut pf, &stream), StreamFault::NONE);
    guest.moved(1);
    pf.resume(&mut m, VF[1], SuspendLevel::RUNNING).unwrap();
    m.device.reset_function(&mut m.host, PciFn::vf(0));
    guest.send(&mut m, b"y");
    assert_eq!(frames(&mut m, &mut pf, VF[1]), (2, 2));
}

#[test]
fn newer_version_is_read_as_far_as_it_is_known() {
    let (mut m, mut pf, _guest) = machine(1);
    let mut newer = parts(&saved(&mut m, &mut pf));
    newer[0].2[8] = 4;
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

#[test]
fn stream_that_a_fault_altered_or_cut_is_refused() {
    let faults = [
        (FaultKind::CORRUPT_STREAM, 0),
        (FaultKind::CORRUPT_STREAM, u32::MAX),
        (FaultKind::SHORT_STREAM, 1),
        (FaultKind::SHORT_STREAM, 24),
        (FaultKind::SHORT_STREAM, u32::MAX),
    ];
    for (kind, param) in faults {
        let (mut m, mut pf, _guest) = machine(1);
        let fault = InjectFault {
            kind: U16::new(kind.0),
            opcode: U16::new(u16::MAX),
            count: U32::new(1),
            param: U32::new(param),
            ..InjectFault::default()
        };
        pf.send(&mut m, fault).unwrap();
        let altered = saved(&mut m, &mut pf);
        // A stream of nothing is none that could be loaded.
        if !altered.is_empty() {
            let fault = load(&mut m, &mut pf, &altered);
            assert_ne!(fault, StreamFault::NONE, "{kind:?} {param}");
        }
    }
}
