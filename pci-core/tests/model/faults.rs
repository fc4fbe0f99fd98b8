// SPDX-License-Identifier: GPL-2.0

//! The admin queue of a device that is broken in each of the ways it can be told to be.

use ferrite_abi::admin::{
    Opcode,
    Status, //
};
use ferrite_abi::cmd::{
    Echo,
    FaultKind,
    Identify, //
};
use ferrite_abi::regs::{
    Control,
    Scratch, //
};
use ferrite_abi::wire::U64;
use ferrite_core_logic::adminq::{
    Notice,
    State, //
};
use ferrite_core_logic::failure::{
    FailureKind,
    Loss, //
};
use ferrite_core_logic::identity::{
    check_ready,
    text,
    Unfit, //
};
use ferrite_core_logic::port::Registers;
use ferrite_core_logic::slot::Unanswered;

use super::driver::{
    Rig,
    MS,
    SLOTS,
    TIMEOUT, //
};

/// The device does as it should again, and so does the queue.
fn all_is_well(rig: &mut Rig) {
    let failures = rig.queue.failures().total();
    for value in 0..2 * SLOTS as u64 {
        rig.echo(value).unwrap();
    }
    assert_eq!(rig.queue.failures().total(), failures);
}

fn kinds(rig: &Rig) -> Vec<FailureKind> {
    rig.queue
        .failures()
        .since(0)
        .map(|(_, failure)| failure.kind)
        .collect()
}

#[test]
fn lost_completion_times_out_and_the_queue_goes_on() {
    let mut rig = Rig::new();
    rig.arm(FaultKind::LOSE_COMPLETION, 1, 0);
    assert_eq!(rig.echo(1), Err(Unanswered::Timeout));
    assert_eq!(kinds(&rig), [FailureKind::TimedOut]);
    all_is_well(&mut rig);
    assert_eq!(rig.queue.counters().resets, 0);
}

#[test]
fn queue_recovers_when_all_completions_were_lost() {
    let mut rig = Rig::new();
    rig.arm(FaultKind::LOSE_COMPLETION, SLOTS as u32, 0);
    let tags: Vec<_> = (0..SLOTS)
        .map(|_| rig.post(Echo { value: U64::new(1) }).unwrap())
        .collect();
    for tag in tags {
        assert_eq!(rig.wait(tag).err(), Some(Unanswered::Timeout));
    }
    assert!(rig.tick());
    assert_eq!(
        rig.queue.take_notice(),
        Some(Notice::Reset { unanswered: SLOTS })
    );
    all_is_well(&mut rig);
}

#[test]
fn completion_that_is_late_but_in_time_counts() {
    let mut rig = Rig::new();
    rig.arm(FaultKind::DELAY_COMPLETION, 1, 300);
    rig.echo(1).unwrap();
    assert_eq!(kinds(&rig), []);
}

#[test]
fn completion_that_is_too_late_frees_the_slot() {
    let mut rig = Rig::new();
    rig.arm(FaultKind::DELAY_COMPLETION, 1, 5000);
    assert_eq!(rig.echo(1), Err(Unanswered::Timeout));
    all_is_well(&mut rig);
    rig.board.pass(5000 * MS);
    assert!(rig.reap());
    assert_eq!(rig.queue.counters().late, 1);
    assert_eq!(kinds(&rig), [FailureKind::TimedOut, FailureKind::Late]);
    all_is_well(&mut rig);
}

#[test]
fn duplicate_is_ignored() {
    let mut rig = Rig::new();
    rig.arm(FaultKind::DUPLICATE_COMPLETION, 3, 0);
    for value in 0..3 {
        rig.echo(value).unwrap();
        rig.board.run();
        rig.reap();
    }
    assert_eq!(kinds(&rig), [FailureKind::Stale; 3]);
    all_is_well(&mut rig);
}

#[test]
fn wrong_tags_reach_nobody() {
    for tag in [0x0020, 0x00ff, 0xff00, 0xffff] {
        let mut rig = Rig::new();
        rig.arm(FaultKind::WRONG_TAG, 1, tag);
        assert_eq!(rig.echo(1), Err(Unanswered::Timeout));
        let kinds = kinds(&rig);
        assert!(
            matches!(kinds[0], FailureKind::UnknownTag | FailureKind::Stale),
            "{tag:#06x}: {kinds:?}"
        );
        assert_eq!(kinds[1..], [FailureKind::TimedOut]);
        all_is_well(&mut rig);
    }
}

#[test]
fn wrong_opcode_is_no_answer() {
    let mut rig = Rig::new();
    rig.arm(FaultKind::WRONG_OPCODE, 1, 0xbeef);
    assert_eq!(rig.echo(1), Err(Unanswered::Timeout));
    let expected = Opcode::ECHO;
    assert_eq!(
        kinds(&rig),
        [FailureKind::WrongOpcode { expected }, FailureKind::TimedOut]
    );
    all_is_well(&mut rig);
}

#[test]
fn any_status_is_passed_on() {
    for status in [Status::INTERNAL.0, 0xdead] {
        let mut rig = Rig::new();
        rig.arm(FaultKind::FAIL_COMMAND, 1, status.into());
        let tag = rig.post(Echo { value: U64::new(1) }).unwrap();
        assert_eq!(rig.wait(tag).unwrap().status.get(), status);
        assert_eq!(kinds(&rig), [FailureKind::Refused(Status(status))]);
        all_is_well(&mut rig);
    }
}

#[test]
fn garbage_is_an_answer_that_does_not_make_sense() {
    let mut rig = Rig::new();
    rig.arm(FaultKind::GARBAGE_ANSWER, 1, 42);
    let tag = rig.post(Echo { value: U64::new(1) }).unwrap();
    assert_ne!(rig.wait(tag).unwrap().done::<Echo>().value.get(), 1);
    all_is_well(&mut rig);

    let fault = ferrite_abi::cmd::InjectFault {
        kind: FaultKind::GARBAGE_ANSWER.0.into(),
        opcode: Opcode::IDENTIFY.0.into(),
        count: 1.into(),
        ..Default::default()
    };
    rig.send(fault).unwrap();
    let identity = rig.fetch(Identify {}).unwrap();
    assert_eq!(text(&identity.serial), None);
}

#[test]
fn lost_interrupt_costs_time_but_no_answer() {
    let mut rig = Rig::new();
    rig.queue.set_vector(&rig.board, Some(0));
    rig.arm(FaultKind::LOSE_INTERRUPT, 1, 0);
    let before = rig.board.now();
    let tag = rig.post(Echo { value: U64::new(1) }).unwrap();
    rig.board.run();
    // Nobody calls `reap`: there was no interrupt.
    assert!(rig.tick());
    rig.wait(tag).unwrap();
    assert!(rig.board.now() - before < TIMEOUT);
    assert!(rig.queue.counters().polled >= 1);
}

#[test]
fn hung_firmware_is_given_up_before_all_commands_time_out() {
    let mut rig = Rig::new();
    rig.arm(FaultKind::HANG, 1, 0);
    let before = rig.board.now();
    let mut timeouts = 0;
    loop {
        match rig.echo(1) {
            Err(Unanswered::Timeout) => timeouts += 1,
            Err(Unanswered::Gone) => break,
            Ok(()) => panic!("answered by hung firmware"),
        }
    }
    assert!(timeouts <= 3, "{timeouts}");
    assert!(rig.board.now() - before < 4000 * MS);
    assert_eq!(rig.queue.state(), State::Lost(Loss::Hung));
    assert_eq!(rig.queue.take_notice(), Some(Notice::Lost(Loss::Hung)));

    // A reset mends it, as the driver does when it is bound again.
    rig.board.write(Control::default().with_reset(1));
    rig.board.pass(100 * MS);
    check_ready(&rig.board).unwrap();
    rig.queue.start(&rig.board, &rig.board).unwrap();
    all_is_well(&mut rig);
}

#[test]
fn vanished_device_is_given_up_at_once() {
    let mut rig = Rig::new();
    rig.arm(FaultKind::VANISH, 1, 0);
    let before = rig.board.now();
    assert_eq!(rig.echo(1), Err(Unanswered::Gone));
    assert!(rig.board.now() - before < TIMEOUT);
    assert_eq!(rig.queue.state(), State::Lost(Loss::Vanished));
    assert_eq!(check_ready(&rig.board), Err(Unfit::Vanished));
    assert_eq!(rig.board.read::<Scratch>(), Scratch(u32::MAX));
    rig.queue.stop(&rig.board);
}
