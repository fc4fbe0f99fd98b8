// SPDX-License-Identifier: GPL-2.0

//! Streams of saved state, with any contents or with some of a good one changed: refused, or
//! loaded and worked with.

#![no_main]

use ferrite_abi::admin::Submission;
use ferrite_abi::cmd::{
    AddRule,
    CreateQueue,
    CreateRateNode,
    CreateSf,
    Echo,
    EswitchMode,
    FaultKind,
    InjectFault,
    QueueKind,
    Rate,
    Rule,
    SetEswitchMode,
    SetRate, //
};
use ferrite_abi::ids::FunctionId;
use ferrite_abi::wire::{
    FromBytes,
    U16,
    U32,
    U64, //
};
use ferrite_model::testing::{
    frame,
    Driver,
    Machine,
    Rings,
    TxQueue, //
};
use ferrite_model::PciFn;
use ferrite_model_fuzz::{
    disturb,
    machine,
    Bytes,
    RUNS, //
};
use libfuzzer_sys::fuzz_target;

/// Returns a machine in whose device there is something of everything that is saved.
fn busy() -> Machine {
    let mut machine = machine();
    let m = &mut machine;
    let mut driver = Driver::start(m, PciFn::PF);
    driver.create_event_queue(m);
    let tx = Rings::unborn(PciFn::PF, m, QueueKind::TX, 0, 4);
    let command = CreateQueue {
        moderation_usecs: U16::new(1000),
        ..tx.command(QueueKind::TX, 0)
    };
    driver.send(m, command).expect("no queue");
    let mut tx = TxQueue(tx);
    let mut rx = driver.rx_queue(m, 0);
    driver.open(m);
    rx.post(m, 2);
    for _ in 0..3 {
        // To nowhere, and so that an interrupt has to wait.
        tx.send(m, &frame::addressed(frame::udp4(b"x"), [2; 6], [4; 6]));
        tx.reap(m);
        // One has a buffer; its completion is not written yet. The others wait.
        let _ = m.device.uplink_receive(&mut m.host, &frame::udp4(b"x"));
    }
    // A switch that follows a rule, an SF with its representor, and a rate.
    let mode = SetEswitchMode {
        mode: U16::new(EswitchMode::SWITCHDEV.0),
        rsvd: [0; 2],
    };
    driver.send(m, mode).expect("no switchdev mode");
    let sf = driver.send(m, CreateSf { sfnum: U32::new(1) });
    let sf = sf.expect("no SF").function.get();
    let mut rule = Rule::read_from_bytes(&[0; size_of::<Rule>()]).expect("size of a rule");
    rule.in_port = U16::new(sf);
    (rule.key.ip_proto, rule.mask.ip_proto) = (17, 0xff);
    driver.send_with(m, AddRule {}, &rule).expect("no rule");
    let node = driver.send(m, CreateRateNode {}).expect("no node").node;
    let set = SetRate {
        node: U16::new(0),
        parent: node,
    };
    let rate = Rate {
        tx_max: U64::new(1_000_000),
        ..Rate::default()
    };
    driver
        .send_about_with(m, FunctionId(sf), set, &rate)
        .expect("no rate");
    let fault = InjectFault {
        kind: U16::new(FaultKind::DELAY_COMPLETION.0),
        count: U32::new(1),
        param: U32::new(10),
        ..InjectFault::default()
    };
    driver.send(m, fault).expect("not armed");
    driver.submit(
        m,
        &Submission::new(1, driver.id(), Echo { value: U64::new(9) }),
    );
    m.settle();
    let _ = m.device.uplink_receive(&mut m.host, &frame::udp4(b"x"));
    machine
}

fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes::new(data);
    let mut machine;
    if data.starts_with(b"FERRITE\0") {
        machine = ferrite_model_fuzz::machine();
        if machine.device.load(data).is_err() {
            return;
        }
    } else {
        machine = busy();
        let mut stream = machine.device.save();
        for _ in 0..bytes.byte() % 8 {
            let at = usize::from(bytes.half()) % stream.len();
            stream[at] = bytes.byte();
        }
        if machine.device.load(&stream).is_err() {
            return;
        }
    }
    machine.host.scheduled = true;
    machine.run(RUNS);
    // What was loaded can be saved, and is the same when it is loaded again.
    machine.migrate();
    machine.run(RUNS);
    for function in 0..3 {
        for offset in (0..0x130).step_by(4) {
            machine.read_at(PciFn(function), offset);
        }
    }
    for _ in 0..8 {
        disturb(&mut machine, &mut bytes);
        machine.run(RUNS);
    }
});
