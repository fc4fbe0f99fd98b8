// SPDX-License-Identifier: GPL-2.0

//! Migration of VFs: its commands in any order, and streams with any contents or with some of a good
//! one changed: refused, or loaded and worked with.

#![no_main]

use ferrite_abi::admin::Submission;
use ferrite_abi::cmd::{
    BeginLoad,
    DirtyFlags,
    Echo,
    EndLoad,
    EndSave,
    LogRange,
    LogRanges,
    QuerySave,
    ReadDirtyLog,
    ResumeFunction,
    SavePass,
    StartDirtyLog,
    StopDirtyLog,
    SuspendLevel,
    MAX_LOG_RANGES, //
};
use ferrite_abi::ids::FunctionId;
use ferrite_abi::mig::{
    Record,
    RecordHeader, //
};
use ferrite_abi::wire::{
    IntoBytes,
    U16,
    U32,
    U64, //
};
use ferrite_model::testing::{
    frame,
    Driver,
    Machine, //
};
use ferrite_model::PciFn;
use ferrite_model_fuzz::{
    disturb,
    machine,
    Bytes,
    RUNS, //
};
use libfuzzer_sys::fuzz_target;

/// The VFs that are moved.
const VF: [FunctionId; 2] = [FunctionId(1), FunctionId(2)];

/// Puts numbers and checksums of records right, so that what they hold is looked at.
fn mend(stream: &[u8]) -> Vec<u8> {
    let mut mended = Vec::new();
    let (mut rest, mut number) = (stream, 0);
    while rest.len() >= size_of::<RecordHeader>() {
        let (header, after) = rest.split_at(size_of::<RecordHeader>());
        let field = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let length = (usize::from(field(4)) | usize::from(field(6)) << 16).min(after.len());
        let (payload, after) = after.split_at(length);
        let tag = ferrite_abi::mig::StreamTag(field(0));
        let header = RecordHeader::new(tag, field(2), number, payload);
        mended.extend_from_slice(header.as_bytes());
        mended.extend_from_slice(payload);
        number += 1;
        rest = after;
    }
    mended.extend_from_slice(rest);
    mended
}

/// Hands over and commits a stream, whatever becomes of it.
fn load(machine: &mut Machine, pf: &mut Driver, vf: FunctionId, stream: &[u8]) {
    let _ = pf.suspend(machine, vf, SuspendLevel::FULL);
    // What was begun before is forgotten anyway.
    let end = EndLoad {
        commit: 0,
        rsvd: [0; 3],
    };
    // So often that the device's trail of commands is full, which it saves as well.
    for _ in 0..64 {
        let _ = pf.send_about(machine, vf, end);
    }
    let before = machine.device.save();
    let Ok(verdict) = pf.load_stream(machine, vf, stream) else {
        return;
    };
    if verdict.fault.get() == 0 {
        // What was loaded is saved as a stream that is a good one.
        let version = 0;
        if let Ok(part) = pf.save_part(machine, vf, SavePass::FINAL, version) {
            let mut rest = part.as_slice();
            while let Some((_, after)) = Record::split(rest).expect("a good stream") {
                rest = after;
            }
            let _ = pf.end_save(machine, vf);
            let again = pf.load_stream(machine, vf, &part).expect("no verdict");
            assert_eq!(again.fault.get(), 0, "what was saved is refused");
        }
    } else {
        assert_eq!(before.len(), machine.device.save().len(), "refused, and changed");
    }
}

fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes::new(data);
    let mut machine = machine();
    let m = &mut machine;
    let mut pf = Driver::start(m, PciFn::PF);
    for vf in VF {
        pf.make_migratable(m, vf);
    }
    let mut guest = Driver::start(m, PciFn::vf(0));
    guest.create_event_queue(m);
    let mut tx = guest.tx_queue(m, 0);
    let mut rx = guest.rx_queue(m, 0);
    guest.open(m);
    rx.post(m, 1);
    for _ in 0..2 {
        m.receive(&frame::udp4(b"x"));
    }
    tx.send(m, &frame::udp4(b"x"));
    let mut steps = 0;
    // A function that was loaded with anything may find work without end, so that it is not resumed
    // before the end.
    let mut is_tame = true;
    while !bytes.is_empty() && steps < 64 {
        steps += 1;
        let choice = bytes.byte();
        let vf = VF[usize::from(choice >> 7)];
        match choice & 0x0f {
            0 => {
                let level = SuspendLevel(u16::from(bytes.byte() % 4));
                let _ = pf.suspend(m, vf, level);
            }
            1 if is_tame => {
                let level = SuspendLevel(u16::from(bytes.byte() % 4));
                let _ = pf.resume(m, vf, level);
            }
            2 => {
                let pass = SavePass(u16::from(bytes.byte() % 4));
                let _ = pf.save_part(m, vf, pass, u16::from(choice >> 4 & 3));
            }
            3 => {
                let _ = pf.end_save(m, vf);
                let _ = pf.send_about(m, vf, QuerySave {});
            }
            4 => {
                let _ = pf.suspend(m, vf, SuspendLevel::FULL);
                let _ = pf.end_save(m, vf);
                let Ok(mut stream) = pf.save_part(m, vf, SavePass::FINAL, 0) else {
                    continue;
                };
                let _ = pf.end_save(m, vf);
                for _ in 0..bytes.byte() % 8 {
                    let at = usize::from(bytes.half()) % stream.len();
                    stream[at] = bytes.byte();
                }
                if choice & 0x10 == 0 {
                    stream = mend(&stream);
                }
                is_tame = false;
                load(m, &mut pf, VF[usize::from(bytes.byte() & 1)], &stream);
            }
            5 => {
                let count = usize::from(bytes.half());
                let stream = bytes.slice(count).to_vec();
                let stream = if choice & 0x10 == 0 {
                    mend(&stream)
                } else {
                    stream
                };
                is_tame = false;
                load(m, &mut pf, vf, &stream);
            }
            6 => {
                let _ = pf.send_about(m, vf, BeginLoad {});
                let count = usize::from(bytes.byte());
                let piece = bytes.slice(count).to_vec();
                let _ = pf.write_stream(m, vf, u64::from(bytes.byte()), &piece);
            }
            7 => {
                is_tame = false;
                let end = EndLoad {
                    commit: bytes.byte() & 1,
                    rsvd: [0; 3],
                };
                let _ = pf.send_about(m, vf, end);
            }
            8 => {
                let mut ranges = LogRanges {
                    ranges: [LogRange::default(); MAX_LOG_RANGES],
                };
                let count = bytes.byte() % 4;
                for range in &mut ranges.ranges[..count.into()] {
                    range.iova = U64::new(u64::from_le_bytes(bytes.array()));
                    range.length = U64::new(u64::from_le_bytes(bytes.array()));
                }
                if choice & 0x10 == 0 {
                    ranges.ranges[0].iova = U64::new(0);
                }
                let start = StartDirtyLog {
                    count: U16::new(count.into()),
                    page_shift: bytes.byte(),
                    rsvd: 0,
                    max_runs: U32::new(bytes.byte().into()),
                };
                let _ = pf.send_about_with(m, vf, start, &ranges);
            }
            9 => {
                let read = ReadDirtyLog {
                    iova: U64::new(u64::from_le_bytes(bytes.array())),
                    length: U64::new(u64::from_le_bytes(bytes.array())),
                    number: U32::new(bytes.byte().into()),
                    rsvd: [0; 4],
                };
                if let Ok((done, _)) = pf.fetch_about(m, vf, read) {
                    let flags = DirtyFlags(done.flags.get());
                    assert!(!flags.contains(DirtyFlags::OVERFLOW) || done.runs.get() == 0);
                }
            }
            10 => {
                let _ = pf.send_about(m, vf, StopDirtyLog {});
            }
            11 => {
                let function = PciFn(1 + u16::from(choice >> 7));
                let offset = u32::from(bytes.byte()) * 4;
                let value = bytes.word();
                m.write_at(function, offset, value);
                m.run(RUNS);
            }
            12 => {
                m.receive(&frame::udp4(bytes.slice(20)));
                m.ring_at(PciFn(1 + u16::from(choice >> 7)), u64::from(bytes.byte()) * 4);
                m.run(RUNS);
            }
            13 => {
                let echo = Submission::new(1, guest.id(), Echo { value: U64::new(9) });
                guest.submit(m, &echo);
                m.run(RUNS);
            }
            14 => m.migrate(),
            _ => {
                let choice = bytes.byte();
                // Nothing that takes the PF's own queue away: what follows asks it.
                let function = PciFn(1 + u16::from(choice & 1));
                if choice & 2 == 0 {
                    m.device.reset_function(&mut m.host, function);
                }
                m.advance(u64::from(bytes.half()) * 1000);
            }
        }
    }
    let running = ResumeFunction {
        level: U16::new(SuspendLevel::RUNNING.0),
        rsvd: [0; 2],
    };
    for vf in VF {
        for submission in [
            Submission::new(2, vf, EndSave {}),
            Submission::new(3, vf, running),
        ] {
            pf.submit(m, &submission);
            m.run(RUNS);
        }
    }
    for _ in 0..4 {
        disturb(m, &mut bytes);
        m.run(RUNS);
    }
});
