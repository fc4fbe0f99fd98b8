// SPDX-License-Identifier: GPL-2.0

//! Any order of posting, answering, waiting, failing: nobody gets another's answer, everybody gets
//! an outcome in time, and the queue works when the device does.

use std::collections::HashMap;
use std::task::Poll;

use ferrite_abi::cmd::{
    ClearFaults,
    Echo,
    FaultKind,
    InjectFault, //
};
use ferrite_abi::wire::{
    U16,
    U32,
    U64, //
};
use ferrite_core_logic::slot::{
    Nanos,
    Tag, //
};
use proptest::prelude::*;

use super::driver::{
    Rig,
    MS,
    SLOTS,
    TIMEOUT, //
};

#[derive(Clone, Debug)]
enum Step {
    Post,
    Run,
    Reap,
    Tick,
    Collect,
    Pass(Nanos),
    Reset,
    Fault(FaultKind, u32, u32),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    let fault = (
        prop::sample::select(vec![
            FaultKind::LOSE_COMPLETION,
            FaultKind::DELAY_COMPLETION,
            FaultKind::DUPLICATE_COMPLETION,
            FaultKind::WRONG_TAG,
            FaultKind::WRONG_OPCODE,
            FaultKind::FAIL_COMMAND,
            FaultKind::LOSE_INTERRUPT,
        ]),
        1..4u32,
        prop_oneof![0..2000u32, Just(0xffff_ffff)],
    );
    prop_oneof![
        12 => Just(Step::Post),
        8 => Just(Step::Run),
        6 => Just(Step::Reap),
        2 => Just(Step::Tick),
        6 => Just(Step::Collect),
        3 => (1..1500u64).prop_map(|ms| Step::Pass(ms * MS)),
        1 => Just(Step::Reset),
        4 => fault.prop_map(|(kind, count, param)| match kind {
            // The tag of no slot: that of another command nobody could tell from the right one.
            FaultKind::WRONG_TAG => Step::Fault(kind, count, param | SLOTS as u32),
            // A status that says so: a device that claims success without having done a thing lies
            // beyond discovery.
            FaultKind::FAIL_COMMAND => Step::Fault(kind, count, param.max(1)),
            _ => Step::Fault(kind, count, param),
        }),
        1 => Just(Step::Clear),
    ]
}

/// What waits: by tag, the value that was sent and the time by which there must be an outcome.
type Waiting = HashMap<u16, (u64, Nanos)>;

/// Takes in the outcomes that there are.
fn collect(rig: &mut Rig, waiting: &mut Waiting) {
    let now = rig.board.now();
    waiting.retain(|tag, (value, deadline)| {
        let tag = Tag(*tag);
        match rig.poll(tag) {
            Poll::Pending => {
                assert!(now < *deadline, "{tag:?} waits past its deadline");
                return true;
            }
            Poll::Ready(Ok(answer)) if answer.status.get() == 0 => {
                assert_eq!(
                    answer.done::<Echo>().value.get(),
                    *value,
                    "another's answer"
                );
            }
            Poll::Ready(_) => {}
        }
        rig.queue.release(tag);
        false
    });
}

fn play(steps: &[Step]) {
    let mut rig = Rig::new();
    let mut waiting = Waiting::new();
    // Orders to the device itself are not waited for; their slots come back all the same.
    let mut orders: Vec<Tag> = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        match *step {
            Step::Post => {
                let value = number as u64;
                let deadline = rig.board.now() + TIMEOUT;
                if let Some(tag) = rig.post(Echo {
                    value: U64::new(value),
                }) {
                    let taken = waiting.insert(tag.0, (value, deadline));
                    assert!(taken.is_none(), "{tag:?} given out twice");
                }
            }
            Step::Run => rig.board.run(),
            Step::Reap => _ = rig.reap(),
            Step::Tick => _ = rig.tick(),
            Step::Collect => collect(&mut rig, &mut waiting),
            Step::Pass(time) => rig.board.pass(time),
            Step::Reset => rig.queue.reset(&rig.board, &rig.board),
            Step::Fault(kind, count, param) => {
                orders.extend(rig.post(InjectFault {
                    kind: U16::new(kind.0),
                    opcode: U16::new(0),
                    count: U32::new(count),
                    param: U32::new(param),
                    ..InjectFault::default()
                }));
            }
            Step::Clear => orders.extend(rig.post(ClearFaults {})),
        }
        orders.retain(|tag| {
            let over = rig.poll(*tag).is_ready();
            if over {
                rig.queue.release(*tag);
            }
            !over
        });
    }

    // All waiters get their outcome without help from the device.
    rig.board.pass(2 * TIMEOUT);
    collect(&mut rig, &mut waiting);
    assert!(waiting.is_empty());
    for tag in orders {
        let _ = rig.poll(tag);
        rig.queue.release(tag);
    }
    // From here on the device is well: whatever happened, the queue is too.
    rig.board.run();
    rig.reap();
    while rig.disarm().is_err() {}
    rig.board.pass(10 * TIMEOUT);
    rig.board.run();
    rig.reap();
    for value in 0..2 * SLOTS as u64 {
        rig.echo(value).expect("an answer");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn nobody_gets_anothers_answer(steps in prop::collection::vec(step(), 1..250)) {
        play(&steps);
    }
}
