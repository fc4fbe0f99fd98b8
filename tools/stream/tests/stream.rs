// SPDX-License-Identifier: GPL-2.0

//! Streams that the device makes are printed, others refused.

use std::process::{
    Command,
    Stdio, //
};

use ferrite_abi::cmd::{
    SavePass,
    SuspendLevel, //
};
use ferrite_abi::ids::FunctionId;
use ferrite_abi::mig::StreamFault;
use ferrite_model::testing::{
    frame,
    Driver,
    Machine, //
};
use ferrite_model::{
    Config,
    PciFn, //
};
use ferrite_stream::print;

/// A stream in two parts, of a VF that a packet waits in.
fn stream() -> Vec<u8> {
    let mut machine = Machine::new(Config::default());
    let m = &mut machine;
    m.set_vfs(1);
    let vf = FunctionId(1);
    let mut pf = Driver::start(m, PciFn::PF);
    pf.make_migratable(m, vf);
    let mut driver = Driver::start(m, PciFn::vf(0));
    driver.create_event_queue(m);
    let (_tx, _rx) = (driver.tx_queue(m, 0), driver.rx_queue(m, 0));
    driver.open(m);
    let query = ferrite_abi::cmd::QueryFunction {};
    let mac = driver.send(m, query).unwrap().mac;
    m.receive(&frame::addressed(frame::udp4(b"x"), mac, [2; 6]));
    let mut stream = pf.save_part(m, vf, SavePass::SETUP, 0).unwrap();
    pf.suspend(m, vf, SuspendLevel::FULL).unwrap();
    stream.extend(pf.save_part(m, vf, SavePass::FINAL, 0).unwrap());
    stream
}

#[test]
fn every_record_is_named() {
    let text = print(&stream()).unwrap();
    let expected = [
        "0x000000     0 HEADER 0, 40 bytes",
        "    version 3, for readers from 1 on",
        " TX_QUEUE 0, 40 bytes",
        " RX_STATE 0, 32 bytes",
        " RX_PACKET 0, ",
        "    packet of 43 bytes: 525400123457020202020202",
        " STATS 0, optional, 144 bytes",
        " FRAMES 0, optional, 192 bytes",
        "    arrived 1 frames of 64 bytes",
        " END 0, 8 bytes",
        "    after ",
    ];
    for line in expected {
        assert!(text.contains(line), "no {line:?} in\n{text}");
    }
    assert!(!text.contains("not known"), "{text}");
}

#[test]
fn damage_is_told_with_its_place() {
    let good = stream();
    let fault = |stream: &[u8]| print(stream).unwrap_err().1;
    let mut bad = good.clone();
    bad[60] ^= 1;
    let found = fault(&bad);
    assert_eq!(
        (found.fault, found.record, found.offset),
        (StreamFault::CHECKSUM, 1, 56)
    );
    assert_eq!(found.to_string(), "record 1 at 0x38: the checksum is wrong");
    assert_eq!(
        fault(&good[..good.len() - 1]).fault,
        StreamFault::INCOMPLETE
    );
    assert_eq!(fault(&good[..56]).fault, StreamFault::INCOMPLETE);
    assert_eq!(
        fault(&[&good[..], b"x"].concat()).fault,
        StreamFault::TRAILING
    );
    assert_eq!(
        fault(&[&good[..], &good[..]].concat()).fault,
        StreamFault::TRAILING
    );
    for garbage in [&b""[..], b"x", &[0xff; 100], &[0; 4096]] {
        assert_eq!(fault(garbage).fault, StreamFault::NOT_A_STREAM);
    }
    // A record is missing.
    let identity = 56 + 16 + 88;
    let gap = [&good[..56], &good[identity..]].concat();
    assert_eq!(fault(&gap).fault, StreamFault::SEQUENCE);
}

#[test]
fn program_tells_by_its_status() {
    let run = |path: &str, input: Vec<u8>| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ferrite-stream"))
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || {
            // One that does not read closes the pipe.
            let _ = std::io::Write::write_all(&mut pipe, &input);
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let (code, out, _) = run("-", stream());
    assert_eq!(code, Some(0));
    assert_eq!(out, print(&stream()).unwrap());
    let (code, out, error) = run("-", b"garbage".to_vec());
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(error.contains("this is not the stream of a VF"), "{error}");
    assert_eq!(run("/no/such/file", Vec::new()).0, Some(2));
}
