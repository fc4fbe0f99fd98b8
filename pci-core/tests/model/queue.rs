// SPDX-License-Identifier: GPL-2.0

//! The admin queue of a device that does as it should.

use std::task::Poll;

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    Echo,
    Identify,
    QueryFunction,
    QueryQueue, //
};
use ferrite_abi::ids::FunctionId;
use ferrite_abi::wire::{
    U16,
    U64, //
};
use ferrite_core_logic::identity::{
    check_function,
    check_ready,
    check_registers,
    text, //
};
use ferrite_core_logic::slot::Unanswered;

use super::driver::{
    Queue,
    Rig,
    SLOTS, //
};

#[test]
fn model_passes_the_checks_of_the_driver() {
    let mut rig = Rig::new();
    let basics = check_registers(&rig.board).unwrap();
    assert_eq!(basics.id, FunctionId::PF);
    check_ready(&rig.board).unwrap();
    let answer = rig.send(QueryFunction {}).unwrap();
    check_function(&answer, &basics).unwrap();
    let identity = rig.fetch(Identify {}).unwrap();
    for field in [
        &identity.serial[..],
        &identity.asic,
        &identity.fw_running,
        &identity.fw_stored,
    ] {
        assert!(text(field).is_some(), "{field:?}");
    }
}

#[test]
fn commands_are_answered_one_by_one() {
    let mut rig = Rig::new();
    for value in 0..3 * SLOTS as u64 {
        rig.echo(value).unwrap();
    }
    assert_eq!(rig.queue.failures().total(), 0);
    assert_eq!(rig.board.complaints(), []);
}

#[test]
fn all_slots_are_outstanding_at_once_and_each_gets_its_own_answer() {
    let mut rig = Rig::new();
    for round in 0..20 {
        let commands: Vec<_> = (0..SLOTS as u64)
            .map(|n| {
                let value = round * 1000 + n;
                (
                    value,
                    rig.post(Echo {
                        value: U64::new(value),
                    })
                    .expect("a slot"),
                )
            })
            .collect();
        assert!(rig.post(Echo { value: U64::new(0) }).is_none());
        rig.board.run();
        assert!(rig.reap());
        for (value, tag) in commands {
            match rig.poll(tag) {
                Poll::Ready(Ok(answer)) => assert_eq!(answer.done::<Echo>().value.get(), value),
                other => panic!("{other:?}"),
            }
            rig.queue.release(tag);
        }
    }
    assert_eq!(rig.queue.counters().answered, 20 * SLOTS as u64);
    assert_eq!(rig.queue.failures().total(), 0);
    assert_eq!(rig.board.complaints(), []);
}

#[test]
fn refusal_of_the_device_is_passed_on() {
    let mut rig = Rig::new();
    let nonsense = QueryQueue {
        kind: U16::new(77),
        index: U16::new(0),
    };
    let tag = rig.post(nonsense).unwrap();
    let status = Status(rig.wait(tag).unwrap().status.get());
    assert_ne!(status, Status::OK);
    assert!(status.name().is_some());
    rig.echo(1).unwrap();
}

#[test]
fn reset_of_the_queue_ends_what_was_under_way_and_all_goes_on() {
    let mut rig = Rig::new();
    let lost = rig.post(Echo { value: U64::new(1) }).unwrap();
    rig.queue.reset(&rig.board, &rig.board);
    assert_eq!(rig.wait(lost).err(), Some(Unanswered::Timeout));
    for value in 0..2 * SLOTS as u64 {
        rig.echo(value).unwrap();
    }
}

#[test]
fn stopped_device_answers_nothing_more() {
    let mut rig = Rig::new();
    rig.post(Echo { value: U64::new(1) }).unwrap();
    let before = rig.queue.counters().answered;
    rig.queue.stop(&rig.board);
    rig.board.run();
    rig.reap();
    assert_eq!(rig.queue.counters().answered, before);
    assert_eq!(rig.echo(1), Err(Unanswered::Gone));
}

#[test]
fn queue_starts_again_after_a_driver_that_went_without_a_word() {
    let mut rig = Rig::new();
    for _ in 0..3 {
        rig.post(Echo { value: U64::new(1) }).unwrap();
        rig.queue = Queue::new();
        rig.queue.start(&rig.board, &rig.board).unwrap();
        rig.echo(2).unwrap();
        assert_eq!(rig.queue.failures().total(), 0);
    }
}

#[test]
fn device_may_be_migrated_with_commands_under_way() {
    let mut rig = Rig::new();
    for value in 0..SLOTS as u64 {
        let tag = rig
            .post(Echo {
                value: U64::new(value),
            })
            .unwrap();
        rig.board.machine().migrate();
        let answer = rig.wait(tag).unwrap();
        assert_eq!(answer.done::<Echo>().value.get(), value);
    }
    assert_eq!(rig.queue.failures().total(), 0);
}
