// SPDX-License-Identifier: GPL-2.0

use ferrite_vfio_logic::state::{
    Failure,
    State,
    State::*,
    Step, //
};

/// The ways that the kernel's documentation of `vfio_mig_get_next_state` lists, if all features are there; and
/// those of one step.
const WAYS: &[&[State]] = &[
    &[PreCopy, PreCopyP2p, StopCopy],
    &[PreCopy, Running, RunningP2p],
    &[PreCopy, Running, RunningP2p, Stop],
    &[PreCopy, Running, RunningP2p, Stop, Resuming],
    &[PreCopyP2p, RunningP2p, Running],
    &[PreCopyP2p, RunningP2p, Stop],
    &[PreCopyP2p, RunningP2p, Stop, Resuming],
    &[Resuming, Stop, RunningP2p],
    &[Resuming, Stop, RunningP2p, PreCopyP2p],
    &[Resuming, Stop, RunningP2p, Running],
    &[Resuming, Stop, RunningP2p, Running, PreCopy],
    &[Resuming, Stop, StopCopy],
    &[Running, RunningP2p, PreCopyP2p],
    &[Running, RunningP2p, Stop],
    &[Running, RunningP2p, Stop, Resuming],
    &[Running, RunningP2p, Stop, StopCopy],
    &[RunningP2p, Running, PreCopy],
    &[RunningP2p, Stop, Resuming],
    &[RunningP2p, Stop, StopCopy],
    &[Stop, RunningP2p, PreCopyP2p],
    &[Stop, RunningP2p, Running],
    &[Stop, RunningP2p, Running, PreCopy],
    &[StopCopy, Stop, Resuming],
    &[StopCopy, Stop, RunningP2p],
    &[StopCopy, Stop, RunningP2p, Running],
    &[Running, RunningP2p],
    &[RunningP2p, Running],
    &[RunningP2p, Stop],
    &[Stop, RunningP2p],
    &[Stop, StopCopy],
    &[StopCopy, Stop],
    &[Stop, Resuming],
    &[Resuming, Stop],
    &[Running, PreCopy],
    &[PreCopy, Running],
    &[PreCopy, PreCopyP2p],
    &[PreCopyP2p, PreCopy],
    &[RunningP2p, PreCopyP2p],
    &[PreCopyP2p, RunningP2p],
    &[PreCopyP2p, StopCopy],
];

fn way(from: State, to: State) -> Option<Vec<State>> {
    let mut way = vec![from];
    let mut now = from;
    while now != to {
        assert!(way.len() < 8, "{from:?} to {to:?} goes round");
        now = now.next(to)?;
        way.push(now);
    }
    Some(way)
}

#[test]
fn every_pair_of_states_has_the_way_that_is_documented() {
    for from in State::ALL {
        for to in State::ALL {
            let found = way(from, to).filter(|way| way.len() > 1);
            let listed = WAYS
                .iter()
                .find(|way| (way[0], way[way.len() - 1]) == (from, to));
            assert_eq!(found.as_deref(), listed.copied(), "{from:?} to {to:?}");
        }
    }
}

#[test]
fn there_are_fifteen_arcs_and_all_ways_use_them() {
    let mut arcs = 0;
    for from in State::ALL {
        for to in State::ALL {
            let one_step = from != to && from.next(to) == Some(to);
            assert_eq!(from.steps(to).is_some(), one_step, "{from:?} to {to:?}");
            arcs += usize::from(one_step);
        }
    }
    assert_eq!(arcs, 15);
}

#[test]
fn numbers_are_those_of_the_kernel() {
    let names = [
        Error, Stop, Running, StopCopy, Resuming, RunningP2p, PreCopy, PreCopyP2p,
    ];
    for (raw, state) in names.into_iter().enumerate() {
        assert_eq!(State::from_raw(raw as u32), Some(state));
        assert_eq!(state.raw(), raw as u32);
    }
    assert_eq!(State::from_raw(8), None);
}

/// What the function does, as the steps change it: (begins DMA, answers, is saved, is loaded).
fn after(steps: &[Step], mut now: (bool, bool, bool, bool)) -> (bool, bool, bool, bool) {
    for step in steps {
        match step {
            Step::SuspendInitiator => now.0 = false,
            Step::SuspendAll => now.1 = false,
            Step::ResumeResponder => now.1 = true,
            Step::ResumeAll => now.0 = true,
            Step::SaveSetup | Step::SaveFinal => now.2 = true,
            Step::EndSave => now.2 = false,
            Step::BeginLoad => now.3 = true,
            Step::CommitLoad => now.3 = false,
        }
    }
    now
}

#[test]
fn steps_make_of_one_state_the_next() {
    let does = |state: State| {
        (
            matches!(state, Running | PreCopy),
            state.answers(),
            state.saves(),
            state.loads(),
        )
    };
    for from in State::ALL {
        for to in State::ALL {
            if let Some(steps) = from.steps(to) {
                assert_eq!(after(steps, does(from)), does(to), "{from:?} to {to:?}");
            }
        }
    }
}

#[test]
fn the_user_never_asks_for_error_nor_leaves_it() {
    for state in State::ALL {
        assert_eq!(state.next(Error), None);
        assert_eq!(Error.next(state), None);
    }
}

#[test]
fn refused_step_leaves_the_state_but_for_a_load() {
    for from in State::ALL {
        for to in State::ALL {
            for step in from.steps(to).into_iter().flatten() {
                let stays = from.after_failure(*step, Failure::Refused, true);
                let expected = if from == Resuming { Error } else { from };
                assert_eq!(stays, expected, "{from:?} to {to:?}");
                assert_eq!(from.after_failure(*step, Failure::Gone, false), from);
                assert_eq!(from.after_failure(*step, Failure::Unknown, true), Error);
                assert_eq!(from.after_failure(*step, Failure::Refused, false), Error);
            }
        }
    }
}

#[test]
fn what_takes_a_step_back_undoes_it() {
    let before = [
        (true, true, false, false),
        (false, true, false, false),
        (false, false, false, false),
    ];
    for step in [
        Step::SuspendInitiator,
        Step::SuspendAll,
        Step::ResumeResponder,
        Step::ResumeAll,
        Step::SaveSetup,
    ] {
        let undo = step.undo().unwrap();
        let undone = before
            .into_iter()
            .filter(|now| after(&[step], *now) != *now)
            .map(|now| (now, after(&[step, undo], now)));
        for (was, is) in undone {
            assert_eq!(was, is, "{step:?}");
        }
    }
}
