// SPDX-License-Identifier: GPL-2.0

//! The life of provisioned functions as the driver knows it, beside what the device makes of it.

use std::collections::BTreeMap;

use ferrite_abi::admin::{
    Command,
    Opcode,
    Status, //
};
use ferrite_abi::cmd::{
    AttachFunction,
    CreateSf,
    DestroySf,
    FaultKind,
    InjectFault,
    QueryFunctionConfig,
    SetFunctionState, //
};
use ferrite_abi::event::FunctionState;
use ferrite_abi::ids::{
    FunctionId,
    FunctionKind, //
};
use ferrite_abi::wire::{
    U16,
    U32, //
};
use ferrite_core_logic::function::{
    Stage,
    Step, //
};
use ferrite_core_logic::slot::Unanswered;
use proptest::prelude::*;

use super::driver::Rig;

fn create(rig: &mut Rig, sfnum: u32) -> Result<FunctionId, Status> {
    let command = CreateSf {
        sfnum: U32::new(sfnum),
    };
    let done = rig.send_to(FunctionId::PF, command).expect("an answer")?;
    Ok(FunctionId(done.function.get()))
}

fn state(rig: &mut Rig, id: FunctionId) -> FunctionState {
    match rig.send_to(id, QueryFunctionConfig {}).expect("an answer") {
        Ok(config) => FunctionState(config.state.get()),
        Err(status) => {
            assert_eq!(status, Status::INVALID_FUNCTION);
            FunctionState::ABSENT
        }
    }
}

fn order(rig: &mut Rig, id: FunctionId, state: FunctionState) -> Result<(), Status> {
    let command = SetFunctionState {
        state: U16::new(state.0),
        rsvd: [0; 2],
    };
    rig.send_to(id, command).expect("an answer")
}

fn attach(rig: &mut Rig, id: FunctionId, attach: bool) -> Result<(), Status> {
    let command = AttachFunction {
        attach: attach.into(),
        rsvd: [0; 3],
    };
    rig.send_to(id, command).expect("an answer")
}

/// Takes a step as the driver does: asks its own table first, then the device.
fn take(rig: &mut Rig, id: FunctionId, stage: Stage, step: Step) -> Stage {
    let Ok(asked) = stage.after(step) else {
        return stage;
    };
    let answer = match step {
        Step::Activate => order(rig, id, FunctionState::ACTIVE),
        Step::Deactivate => order(rig, id, FunctionState::INACTIVE),
        Step::Destroy => rig.send_to(id, DestroySf {}).expect("an answer"),
        _ => return stage,
    };
    assert_eq!(answer, Ok(()), "{stage:?} {step:?}");
    asked.after(Step::Confirmed).expect("a stage")
}

fn agree(rig: &mut Rig, id: FunctionId, stage: Stage) {
    let state = state(rig, id);
    let expected = match stage {
        Stage::Absent => FunctionState::ABSENT,
        Stage::Inactive => FunctionState::INACTIVE,
        Stage::Active => FunctionState::ACTIVE,
        other => panic!("no stage to rest in: {other:?}"),
    };
    assert_eq!(state, expected);
    let active = stage == Stage::Active;
    assert_eq!(stage.shown(state), (active, false));
}

const STEPS: [Step; 3] = [Step::Activate, Step::Deactivate, Step::Destroy];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What the table allows the device does, and both agree after each step.
    #[test]
    fn device_does_what_the_table_allows(
        steps in prop::collection::vec((0u32..4, 0..=STEPS.len()), 1..60),
    ) {
        let mut rig = Rig::new();
        let mut sfs = BTreeMap::new();
        for (sfnum, step) in steps {
            match STEPS.get(step) {
                None => {
                    sfs.entry(sfnum).or_insert_with(|| {
                        let id = create(&mut rig, sfnum).expect("an SF");
                        (id, Stage::Absent.after(Step::Created).unwrap())
                    });
                }
                Some(step) => {
                    if let Some((id, stage)) = sfs.get_mut(&sfnum) {
                        *stage = take(&mut rig, *id, *stage, *step);
                    }
                }
            }
            for (id, stage) in sfs.values() {
                agree(&mut rig, *id, *stage);
            }
            sfs.retain(|_, (_, stage)| *stage != Stage::Absent);
        }
        prop_assert!(rig.board.complaints().is_empty());
    }
}

#[test]
fn what_the_table_refuses_the_device_refuses() {
    let mut rig = Rig::new();
    let id = create(&mut rig, 7).unwrap();
    order(&mut rig, id, FunctionState::ACTIVE).unwrap();
    assert!(Stage::Active.after(Step::Destroy).is_err());
    let destroyed = rig.send_to(id, DestroySf {}).expect("an answer");
    assert_eq!(destroyed, Err(Status::BAD_STATE));
}

#[test]
fn use_of_an_sf_is_what_the_user_is_shown() {
    let mut rig = Rig::new();
    let id = create(&mut rig, 88).unwrap();
    assert_eq!(attach(&mut rig, id, true), Err(Status::BAD_STATE));
    order(&mut rig, id, FunctionState::ACTIVE).unwrap();
    attach(&mut rig, id, true).unwrap();
    assert_eq!(Stage::Active.shown(state(&mut rig, id)), (true, true));
    attach(&mut rig, id, false).unwrap();
    assert_eq!(Stage::Active.shown(state(&mut rig, id)), (true, false));
    attach(&mut rig, id, true).unwrap();
    order(&mut rig, id, FunctionState::INACTIVE).unwrap();
    assert_eq!(Stage::Inactive.shown(state(&mut rig, id)), (false, false));
}

/// Has the device lose the answer to the next `command`.
fn lose_answer(rig: &mut Rig, command: Opcode) {
    let fault = InjectFault {
        kind: U16::new(FaultKind::LOSE_COMPLETION.0),
        opcode: U16::new(command.0),
        count: U32::new(1),
        ..InjectFault::default()
    };
    rig.send(fault).expect("a fault that arms");
}

#[test]
fn id_stays_out_of_use_until_the_end_of_its_sf_is_confirmed() {
    let mut rig = Rig::new();
    let id = create(&mut rig, 1).unwrap();
    lose_answer(&mut rig, DestroySf::OPCODE);
    let stage = Stage::Inactive.after(Step::Destroy).unwrap();
    assert_eq!(
        rig.send_to(id, DestroySf {}).err(),
        Some(Unanswered::Timeout)
    );
    assert_eq!(stage, Stage::Destroying);
    // Asked again, the device says that there is none: that is a confirmation, too.
    let again = rig.send_to(id, DestroySf {}).expect("an answer");
    assert_eq!(again, Err(Status::INVALID_FUNCTION));
    assert_eq!(stage.after(Step::Confirmed), Ok(Stage::Absent));
}

#[test]
fn unconfirmed_deactivation_can_be_asked_for_again() {
    let mut rig = Rig::new();
    let id = create(&mut rig, 1).unwrap();
    order(&mut rig, id, FunctionState::ACTIVE).unwrap();
    lose_answer(&mut rig, SetFunctionState::OPCODE);
    let stage = Stage::Active.after(Step::Deactivate).unwrap();
    let command = SetFunctionState {
        state: U16::new(FunctionState::INACTIVE.0),
        rsvd: [0; 2],
    };
    assert_eq!(rig.send_to(id, command).err(), Some(Unanswered::Timeout));
    assert!(stage.after(Step::Destroy).is_err());
    let stage = take(&mut rig, id, stage, Step::Deactivate);
    agree(&mut rig, id, stage);
}

#[test]
fn five_hundred_and_twelve_sfs_have_ids_of_their_own() {
    let mut rig = Rig::new();
    let mut ids: Vec<_> = (0..512)
        .map(|n| create(&mut rig, n).expect("an SF"))
        .collect();
    assert_eq!(create(&mut rig, 512), Err(Status::NO_RESOURCE));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 512);
    for id in &ids {
        assert!(matches!(id.kind(), Some(FunctionKind::Sf(_))));
        assert_eq!(state(&mut rig, *id), FunctionState::INACTIVE);
    }
    for id in &ids {
        rig.send_to(*id, DestroySf {}).expect("an answer").unwrap();
    }
    create(&mut rig, 0).expect("room again");
}

#[test]
fn reset_of_the_pf_ends_sfs() {
    let mut rig = Rig::new();
    let id = create(&mut rig, 1).unwrap();
    rig.reset();
    assert_eq!(state(&mut rig, id), FunctionState::ABSENT);
    assert_eq!(Stage::Active.after(Step::Gone), Ok(Stage::Absent));
}
