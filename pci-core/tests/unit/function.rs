// SPDX-License-Identifier: GPL-2.0

//! The life of a provisioned function.

use ferrite_abi::event::FunctionState;
use ferrite_core_logic::function::{
    Conflict,
    Consumer,
    Refusal,
    Stage,
    Step, //
};
use proptest::prelude::*;

const STAGES: [Stage; 6] = [
    Stage::Absent,
    Stage::Inactive,
    Stage::Activating,
    Stage::Active,
    Stage::Deactivating,
    Stage::Destroying,
];
const STEPS: [Step; 7] = [
    Step::Created,
    Step::Activate,
    Step::Deactivate,
    Step::Destroy,
    Step::Confirmed,
    Step::Denied,
    Step::Gone,
];

fn walk(from: Stage, steps: &[Step]) -> Result<Stage, Refusal> {
    steps
        .iter()
        .try_fold(from, |stage, step| stage.after(*step))
}

#[test]
fn life_from_creation_to_the_end() {
    use Step::*;
    let life = [
        Created, Activate, Confirmed, Deactivate, Confirmed, Destroy, Confirmed,
    ];
    let stages = [
        Stage::Inactive,
        Stage::Activating,
        Stage::Active,
        Stage::Deactivating,
        Stage::Inactive,
        Stage::Destroying,
        Stage::Absent,
    ];
    for (end, stage) in stages.iter().enumerate() {
        assert_eq!(walk(Stage::Absent, &life[..=end]), Ok(*stage));
    }
}

#[test]
fn function_that_is_not_known_to_be_inactive_cannot_be_activated_or_destroyed() {
    use Step::*;
    let stage = walk(Stage::Active, &[Deactivate]).unwrap();
    assert_eq!(stage.after(Activate), Err(Refusal::Unconfirmed));
    assert_eq!(stage.after(Destroy), Err(Refusal::Unconfirmed));
    assert_eq!(
        walk(stage, &[Deactivate, Confirmed, Destroy]),
        Ok(Stage::Destroying)
    );
}

#[test]
fn active_function_is_not_destroyed() {
    for stage in [Stage::Active, Stage::Activating] {
        assert_eq!(stage.after(Step::Destroy), Err(Refusal::Active));
    }
}

#[test]
fn same_state_again_changes_nothing() {
    assert_eq!(Stage::Active.after(Step::Activate), Ok(Stage::Active));
    assert_eq!(Stage::Inactive.after(Step::Deactivate), Ok(Stage::Inactive));
}

#[test]
fn id_given_out_again_confirms_that_the_last_function_ended() {
    assert_eq!(Stage::Destroying.after(Step::Created), Ok(Stage::Inactive));
    for stage in [
        Stage::Inactive,
        Stage::Activating,
        Stage::Active,
        Stage::Deactivating,
    ] {
        assert_eq!(stage.after(Step::Created), Err(Refusal::Exists));
    }
}

#[test]
fn user_is_shown_what_was_asked_for_and_what_the_device_says() {
    let table = [
        (Stage::Inactive, FunctionState::INACTIVE, (false, false)),
        (Stage::Active, FunctionState::ACTIVE, (true, false)),
        (Stage::Active, FunctionState::IN_USE, (true, true)),
        (Stage::Deactivating, FunctionState::IN_USE, (false, true)),
        (Stage::Inactive, FunctionState(0xffff), (false, false)),
    ];
    for (stage, device, shown) in table {
        assert_eq!(stage.shown(device), shown, "{stage:?} {device:?}");
    }
}

#[test]
fn one_driver_at_a_time() {
    assert_eq!(Consumer::of_sf(false, false), Ok(None));
    assert_eq!(Consumer::of_sf(true, false), Ok(Some(Consumer::Netdev)));
    assert_eq!(Consumer::of_sf(false, true), Ok(Some(Consumer::Vdpa)));
    assert_eq!(Consumer::of_sf(true, true), Err(Conflict));
    assert_eq!(Consumer::of_vf(true), Consumer::Vfio);
    assert_eq!(Consumer::of_vf(false), Consumer::Netdev);
}

proptest! {
    /// From wherever steps lead, a function can be got rid of: the user who is refused is told
    /// something that helps.
    #[test]
    fn there_is_always_a_way_out(steps in prop::collection::vec(0..STEPS.len(), 0..20)) {
        let mut stage = Stage::Absent;
        for step in steps {
            stage = stage.after(STEPS[step]).unwrap_or(stage);
        }
        if matches!(stage, Stage::Activating | Stage::Active | Stage::Deactivating) {
            stage = walk(stage, &[Step::Deactivate, Step::Confirmed]).unwrap();
        }
        if stage != Stage::Absent {
            stage = walk(stage, &[Step::Destroy, Step::Confirmed]).unwrap();
        }
        prop_assert_eq!(stage, Stage::Absent);
    }
}

#[test]
fn reset_ends_every_function() {
    for stage in STAGES {
        assert_eq!(stage.after(Step::Gone), Ok(Stage::Absent));
    }
}

#[test]
fn texts_fit_an_extended_acknowledgement() {
    let refusals = [
        Refusal::Absent,
        Refusal::Active,
        Refusal::Unconfirmed,
        Refusal::Exists,
    ];
    for refusal in refusals {
        // NETLINK_MAX_FMTMSG_LEN, with the zero at the end.
        assert!(refusal.to_string().len() < 80, "{refusal}");
    }
    assert!(Conflict.to_string().len() < 80);
}
