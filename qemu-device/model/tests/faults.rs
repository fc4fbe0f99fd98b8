// SPDX-License-Identifier: GPL-2.0

//! Every kind of fault does what the contract says.

use std::mem::offset_of;

use ferrite_abi::admin::{
    Opcode,
    Status, //
};
use ferrite_abi::cmd::{
    one_queue,
    ClearFaults,
    Echo,
    EchoDone,
    FaultKind,
    Identify,
    InjectFault,
    QueryLink,
    QueueKind, //
};
use ferrite_abi::desc::{
    QueueState,
    RxCompletion,
    TxCompletion,
    TxStatus, //
};
use ferrite_abi::event::{
    QueueError,
    QueueSyndrome,
    Syndrome, //
};
use ferrite_abi::ids::FunctionId;
use ferrite_abi::regs::{
    Heartbeat,
    Magic,
    Register,
    Status as StatusRegister,
    SyndromeCode, //
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
    Machine,
    Rings, //
};
use ferrite_model::{
    BusError,
    Config,
    PciFn,
    Trace, //
};

const ANY: u16 = 0xffff;

fn start(script: &str) -> (Machine, Driver) {
    let config = Config {
        faults: true,
        fault_script: script.into(),
        ..Config::default()
    };
    let mut machine = Machine::new(config);
    let driver = Driver::start(&mut machine, PciFn::PF);
    (machine, driver)
}

/// Arms a fault that strikes once.
fn arm(machine: &mut Machine, driver: &mut Driver, kind: FaultKind, param: u32) {
    let fault = InjectFault {
        kind: U16::new(kind.0),
        opcode: U16::new(ANY),
        skip: U32::new(0),
        count: U32::new(1),
        param: U32::new(param),
        ..InjectFault::default()
    };
    driver.send(machine, fault).unwrap();
}

fn echo(value: u64) -> Echo {
    Echo {
        value: U64::new(value),
    }
}

/// Sends an echo and returns its completion, if there is one.
fn try_echo(machine: &mut Machine, driver: &mut Driver) -> Option<ferrite_abi::admin::Completion> {
    let submission = ferrite_abi::admin::Submission::new(0x77, driver.id(), echo(5));
    driver.submit(machine, &submission);
    machine.settle();
    driver.poll(machine)
}

#[test]
fn completion_is_lost_and_the_next_is_not() {
    let (mut machine, mut driver) = start("");
    arm(&mut machine, &mut driver, FaultKind::LOSE_COMPLETION, 0);
    assert!(try_echo(&mut machine, &mut driver).is_none());
    assert!(try_echo(&mut machine, &mut driver).is_some());
    let struck = Trace::Fault {
        kind: FaultKind::LOSE_COMPLETION.0,
        param: 0,
    };
    assert!(machine.host.traces.contains(&struck));
}

#[test]
fn completion_comes_late_and_others_overtake_it() {
    let (mut machine, mut driver) = start("");
    arm(&mut machine, &mut driver, FaultKind::DELAY_COMPLETION, 20);
    assert!(try_echo(&mut machine, &mut driver).is_none());
    driver.send(&mut machine, echo(1)).unwrap();
    machine.advance(19_999_999);
    assert!(driver.poll(&mut machine).is_none());
    machine.advance(1);
    assert_eq!(driver.poll(&mut machine).unwrap().tag.get(), 0x77);
    assert_eq!(machine.host.timer, None);
}

#[test]
fn late_completion_is_aborted_with_the_queue() {
    let (mut machine, mut driver) = start("");
    arm(&mut machine, &mut driver, FaultKind::DELAY_COMPLETION, 20);
    assert!(try_echo(&mut machine, &mut driver).is_none());
    machine.device.reset_function(&mut machine.host, PciFn::PF);
    assert_eq!(machine.host.timer, None);
    let before = machine.host.dma_accesses;
    machine.advance(50_000_000);
    assert_eq!(machine.host.dma_accesses, before);
}

#[test]
fn completion_comes_twice() {
    let (mut machine, mut driver) = start("");
    arm(
        &mut machine,
        &mut driver,
        FaultKind::DUPLICATE_COMPLETION,
        0,
    );
    assert_eq!(try_echo(&mut machine, &mut driver).unwrap().tag.get(), 0x77);
    assert_eq!(driver.poll(&mut machine).unwrap().tag.get(), 0x77);
    assert!(driver.poll(&mut machine).is_none());
}

#[test]
fn doubled_completions_do_not_overrun_the_ring() {
    let (mut machine, mut driver) = start("duplicate-completion:count=0");
    for tag in 0..40 {
        let submission = ferrite_abi::admin::Submission::new(tag, driver.id(), echo(0));
        driver.submit(&mut machine, &submission);
    }
    machine.settle();
    for tag in 0..40 {
        for _ in 0..2 {
            assert_eq!(driver.poll(&mut machine).unwrap().tag.get(), tag);
            machine.settle();
        }
    }
    assert!(driver.poll(&mut machine).is_none());
}

#[test]
fn completion_carries_what_is_wrong() {
    let (mut machine, mut driver) = start("");
    arm(&mut machine, &mut driver, FaultKind::WRONG_TAG, 0x1_2345);
    assert_eq!(
        try_echo(&mut machine, &mut driver).unwrap().tag.get(),
        0x2345
    );
    arm(&mut machine, &mut driver, FaultKind::WRONG_OPCODE, 0x99);
    assert_eq!(
        try_echo(&mut machine, &mut driver).unwrap().opcode.get(),
        0x99
    );
    arm(
        &mut machine,
        &mut driver,
        FaultKind::FAIL_COMMAND,
        Status::INTERNAL.0.into(),
    );
    let failed = try_echo(&mut machine, &mut driver).unwrap();
    assert_eq!(failed.status.get(), Status::INTERNAL.0);
    assert_eq!(failed.result, [0; 20], "not carried out");
}

#[test]
fn answers_are_garbage_and_the_same_garbage_each_time() {
    let (mut machine, mut driver) = start("");
    let (_, truth) = driver.fetch(&mut machine, Identify {}).unwrap();
    let mut garbage = Vec::new();
    for _ in 0..2 {
        arm(&mut machine, &mut driver, FaultKind::GARBAGE_ANSWER, 42);
        let (_, data) = driver.fetch(&mut machine, Identify {}).unwrap();
        garbage.push(data.as_bytes().to_vec());
    }
    assert_eq!(garbage[0], garbage[1]);
    assert_ne!(garbage[0], truth.as_bytes());
}

#[test]
fn hung_firmware_is_silent_until_the_pf_is_reset() {
    let (mut machine, mut driver) = start("");
    arm(&mut machine, &mut driver, FaultKind::HANG, 0);
    assert!(try_echo(&mut machine, &mut driver).is_none());
    let heartbeat = machine.read::<Heartbeat>(PciFn::PF);
    machine.advance(4_000_000_000);
    assert!(try_echo(&mut machine, &mut driver).is_none());
    assert_eq!(machine.read::<Heartbeat>(PciFn::PF), heartbeat);
    assert_eq!(machine.read::<StatusRegister>(PciFn::PF), StatusRegister(1));
    // After five seconds the watchdog says so.
    machine.advance(1_000_000_000);
    assert_eq!(
        machine.read::<StatusRegister>(PciFn::PF),
        StatusRegister(1 << 2)
    );
    assert_eq!(
        machine.read::<SyndromeCode>(PciFn::PF).code(),
        Syndrome::FIRMWARE_HUNG.0
    );
    machine.device.reset_function(&mut machine.host, PciFn::PF);
    machine.advance(1_000_000);
    assert_eq!(machine.read::<StatusRegister>(PciFn::PF), StatusRegister(1));
    let mut driver = Driver::start(&mut machine, PciFn::PF);
    driver.send(&mut machine, echo(1)).unwrap();
}

#[test]
fn vanished_device_is_gone_until_power_on() {
    let (mut machine, mut driver) = start("");
    driver.tx_queue(&mut machine, 0);
    driver.open(&mut machine);
    arm(&mut machine, &mut driver, FaultKind::VANISH, 0);
    assert!(try_echo(&mut machine, &mut driver).is_none());
    assert_eq!(machine.read::<Magic>(PciFn::PF), Magic(u32::MAX));
    machine.device.reset_function(&mut machine.host, PciFn::PF);
    machine.advance(1_000_000_000);
    assert_eq!(machine.read::<Magic>(PciFn::PF), Magic(u32::MAX));
    let before = (machine.host.dma_accesses, machine.host.raised.len());
    machine.receive(&frame::udp4(b"x"));
    machine.ring(PciFn::PF, ferrite_abi::bar::Doorbell::Tx(0));
    machine.settle();
    machine.device.set_uplink(&mut machine.host, false);
    assert_eq!(
        (machine.host.dma_accesses, machine.host.raised.len()),
        before
    );
    machine.device.reset(&mut machine.host);
    machine
        .device
        .set_bus_master(&mut machine.host, PciFn::PF, true);
    let mut driver = Driver::start(&mut machine, PciFn::PF);
    driver.send(&mut machine, echo(1)).unwrap();
}

#[test]
fn interrupt_is_lost_and_the_completion_is_there() {
    let (mut machine, mut driver) = start("");
    arm(&mut machine, &mut driver, FaultKind::LOSE_INTERRUPT, 0);
    // The completion of arming was that opportunity.
    machine.host.raised.clear();
    let fault = InjectFault {
        kind: U16::new(FaultKind::LOSE_INTERRUPT.0),
        skip: U32::new(1),
        count: U32::new(1),
        ..InjectFault::default()
    };
    driver.send(&mut machine, fault).unwrap();
    assert_eq!(machine.host.raised.len(), 1);
    assert!(try_echo(&mut machine, &mut driver).is_some());
    assert_eq!(machine.host.raised.len(), 1);
    driver.send(&mut machine, echo(1)).unwrap();
    assert_eq!(machine.host.raised.len(), 2);
}

#[test]
fn packets_complete_wrongly() {
    let (mut machine, mut driver) = start("");
    let mut tx = driver.tx_queue(&mut machine, 0);
    let mut rx = driver.rx_queue(&mut machine, 0);
    driver.open(&mut machine);
    rx.post(&mut machine, 8);
    let m = &mut machine;
    let about = |rings: &mut Rings, machine: &mut Machine| -> RxCompletion {
        rings.reap::<RxCompletion>(machine).remove(0)
    };
    arm(m, &mut driver, FaultKind::RX_WRONG_COOKIE, 0xdead);
    m.receive(&frame::udp4(b"x"));
    assert_eq!(about(&mut rx.rings, m).cookie.get(), 0xdead);
    arm(m, &mut driver, FaultKind::RX_WRONG_LENGTH, 0x1_0000);
    m.receive(&frame::udp4(b"x"));
    assert_eq!(about(&mut rx.rings, m).len.get(), 0x1_0000);
    arm(m, &mut driver, FaultKind::TX_WRONG_INDEX, 100);
    tx.send(m, &frame::udp4(b"x"));
    assert_eq!(tx.reap(m), [(101, TxStatus::OK.0)]);
    arm(m, &mut driver, FaultKind::WRONG_CQ_TAIL, 1000);
    tx.send(m, &frame::udp4(b"x"));
    assert_eq!(tx.0.word(m, offset_of!(QueueState, cq_tail)), 1002);
    tx.send(m, &frame::udp4(b"x"));
    assert_eq!(tx.0.word(m, offset_of!(QueueState, cq_tail)), 3, "once");
    let completions: Vec<TxCompletion> = tx.0.take(m);
    assert_eq!(completions.len(), 2);
}

#[test]
fn event_is_of_a_wrong_kind() {
    let (mut machine, mut driver) = start("");
    driver.create_event_queue(&mut machine);
    arm(&mut machine, &mut driver, FaultKind::WRONG_EVENT, 0x4242);
    machine.device.set_uplink(&mut machine.host, false);
    assert_eq!(driver.events(&mut machine)[0].kind.get(), 0x4242);
}

#[test]
fn queue_stops_with_an_event() {
    let (mut machine, mut driver) = start("");
    driver.create_event_queue(&mut machine);
    let mut tx = driver.tx_queue(&mut machine, 3);
    driver.open(&mut machine);
    arm(&mut machine, &mut driver, FaultKind::STOP_QUEUE, 0);
    tx.send(&mut machine, &frame::udp4(b"x"));
    let error: QueueError = driver.events(&mut machine)[0].payload().unwrap();
    assert_eq!((error.kind.get(), error.index.get()), (0, 3));
    assert_eq!(error.syndrome.get(), QueueSyndrome::INJECTED.0);
    assert_eq!(machine.host.sent.len(), 0);
}

#[test]
fn only_the_queue_that_is_named_stops() {
    let (mut machine, mut driver) = start("");
    driver.create_event_queue(&mut machine);
    let mut other = driver.tx_queue(&mut machine, 2);
    let mut named = driver.tx_queue(&mut machine, 3);
    driver.open(&mut machine);
    let away =
        |payload: &[u8]| frame::addressed(frame::udp4(payload), [2, 0, 0, 0, 0, 9], frame::SOURCE);
    let name = one_queue(FunctionId::PF, QueueKind::TX, 3);
    arm(&mut machine, &mut driver, FaultKind::STOP_QUEUE, name);
    other.send(&mut machine, &away(b"x"));
    assert_eq!(machine.host.sent.len(), 1);
    named.send(&mut machine, &away(b"y"));
    let error: QueueError = driver.events(&mut machine)[0].payload().unwrap();
    assert_eq!((error.kind.get(), error.index.get()), (0, 3));
    assert_eq!(machine.host.sent.len(), 1);
    other.send(&mut machine, &away(b"z"));
    assert_eq!(machine.host.sent.len(), 2);
}

#[test]
fn script_strikes_from_the_start_and_after_power_on_again() {
    let (mut machine, mut driver) = start("fail-command:opcode=query_link:param=11:count=2");
    for _ in 0..2 {
        driver.send(&mut machine, echo(0)).unwrap();
        assert_eq!(
            driver.send(&mut machine, QueryLink {}).err(),
            Some(Status::INTERNAL)
        );
        assert_eq!(
            driver.send(&mut machine, QueryLink {}).err(),
            Some(Status::INTERNAL)
        );
        assert!(driver.send(&mut machine, QueryLink {}).is_ok());
        machine.device.reset(&mut machine.host);
        machine
            .device
            .set_bus_master(&mut machine.host, PciFn::PF, true);
        driver = Driver::start(&mut machine, PciFn::PF);
    }
}

#[test]
fn faults_survive_a_function_reset_and_are_cleared_by_command() {
    let (mut machine, mut driver) = start("");
    let fault = InjectFault {
        kind: U16::new(FaultKind::FAIL_COMMAND.0),
        opcode: U16::new(Opcode::ECHO.0),
        param: U32::new(Status::INTERNAL.0.into()),
        ..InjectFault::default()
    };
    driver.send(&mut machine, fault).unwrap();
    machine.device.reset_function(&mut machine.host, PciFn::PF);
    machine.advance(1_000_000);
    let mut driver = Driver::start(&mut machine, PciFn::PF);
    for _ in 0..5 {
        assert_eq!(
            driver.send(&mut machine, echo(0)).err(),
            Some(Status::INTERNAL)
        );
    }
    driver.send(&mut machine, ClearFaults {}).unwrap();
    assert!(driver.send(&mut machine, echo(0)).is_ok());
    // No more than there is room for.
    for _ in 0..64 {
        driver.send(&mut machine, fault).unwrap();
    }
    assert_eq!(driver.send(&mut machine, fault), Err(Status::NO_RESOURCE));
    let unknown = InjectFault {
        kind: U16::new(99),
        ..fault
    };
    assert_eq!(
        driver.send(&mut machine, unknown),
        Err(Status::INVALID_FIELD)
    );
}

#[test]
fn event_is_lost_and_its_number_missing() {
    let (mut machine, mut driver) = start("");
    driver.create_event_queue(&mut machine);
    arm(&mut machine, &mut driver, FaultKind::LOSE_EVENT, 0);
    machine.device.set_uplink(&mut machine.host, false);
    assert_eq!(driver.events(&mut machine).len(), 0);
    machine.device.set_uplink(&mut machine.host, true);
    assert_eq!(driver.events(&mut machine)[0].sequence(), 1);
}

#[test]
fn error_is_reported_to_the_bus_and_the_command_carried_out() {
    let (mut machine, mut driver) = start("");
    let severities = [BusError::Correctable, BusError::NonFatal, BusError::Fatal];
    for (param, severity) in (0..).zip(severities) {
        arm(&mut machine, &mut driver, FaultKind::BUS_ERROR, param);
        driver.send(&mut machine, echo(1)).unwrap();
        assert_eq!(machine.host.errors.pop(), Some((PciFn::PF, severity)));
    }
}

#[test]
fn register_that_was_named_reads_wrongly() {
    let (mut machine, mut driver) = start("");
    let fault = InjectFault {
        kind: U16::new(FaultKind::CORRUPT_REGISTER.0),
        opcode: U16::new(Magic::OFFSET as u16),
        count: U32::new(1),
        param: U32::new(1),
        ..InjectFault::default()
    };
    driver.send(&mut machine, fault).unwrap();
    machine.read::<StatusRegister>(PciFn::PF);
    let magic = Magic::INFO.reset.unwrap();
    assert_eq!(machine.read::<Magic>(PciFn::PF), Magic(magic ^ 1));
    assert_eq!(machine.read::<Magic>(PciFn::PF), Magic(magic));
}

#[test]
fn what_is_written_and_published_is_altered() {
    let (mut machine, mut driver) = start("");
    // The completion of a command: 28 bytes as a block, then a word with the phase.
    let order = |machine: &mut Machine, script| machine.device.set_fault_script(script).unwrap();
    order(&mut machine, "corrupt_word:param=1");
    assert!(
        try_echo(&mut machine, &mut driver).is_none(),
        "its phase is wrong"
    );
    let (mut machine, mut driver) = start("");
    let submission = ferrite_abi::admin::Submission::new(0x77, driver.id(), echo(5));
    let right = ferrite_abi::admin::Completion {
        tag: submission.tag,
        opcode: submission.opcode,
        ..Default::default()
    }
    .with_done::<Echo>(EchoDone { value: U64::new(5) });
    order(&mut machine, "corrupt_write:param=0x80000000");
    let completion = try_echo(&mut machine, &mut driver).unwrap();
    let differ = |a: &[u8], b: &[u8]| {
        let bits = |(a, b): (&u8, &u8)| (a ^ b).count_ones();
        a.iter().zip(b).map(bits).sum::<u32>()
    };
    // All but the head and the meta word is known.
    let known = |completion: &ferrite_abi::admin::Completion| {
        let bytes = completion.as_bytes();
        [&bytes[..6], &bytes[8..28]].concat()
    };
    assert!(differ(&known(&completion), &known(&right)) <= 1);
    let struck = |trace: &&Trace| {
        **trace
            == Trace::Fault {
                kind: FaultKind::CORRUPT_WRITE.0,
                param: 1 << 31,
            }
    };
    assert_eq!(machine.host.traces.iter().filter(struck).count(), 1);
}

#[test]
fn fault_script_is_changed_while_the_device_runs() {
    let (mut machine, mut driver) = start("fail_command:count=0:param=11");
    assert_eq!(
        driver.send(&mut machine, echo(0)).err(),
        Some(Status::INTERNAL)
    );
    assert!(machine.device.set_fault_script("nonsense").is_err());
    assert_eq!(
        driver.send(&mut machine, echo(0)).err(),
        Some(Status::INTERNAL)
    );
    machine.device.set_fault_script("").unwrap();
    driver.send(&mut machine, echo(0)).unwrap();
    let mut healthy = Machine::new(Config::default());
    assert!(healthy.device.set_fault_script("hang").is_err());
    healthy.device.set_fault_script("").unwrap();
}

#[test]
fn chaos_with_the_same_seed_is_the_same() {
    let seen = |seed: u32| {
        let script = format!(
            "corrupt_register:count=0:chance=3:seed={seed};corrupt_write:count=0:chance=3:seed={seed};\
             corrupt_word:count=0:chance=5:seed={seed}"
        );
        let (mut machine, mut driver) = start("");
        machine.device.set_fault_script(&script).unwrap();
        for _ in 0..50 {
            try_echo(&mut machine, &mut driver);
            machine.read::<StatusRegister>(PciFn::PF);
        }
        let mut memory = machine.host.memory_mut().to_vec();
        memory.truncate(1 << 16);
        memory
    };
    assert_eq!(seen(1), seen(1));
    assert_ne!(seen(1), seen(2));
}
