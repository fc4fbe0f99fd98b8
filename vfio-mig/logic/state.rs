// SPDX-License-Identifier: GPL-2.0

//! The states of a function that is migrated, as VFIO defines them, and what is done between them.
//!
//! There are fifteen pairs of states between which something is done, [`State::steps`]; every other pair that can
//! be asked for is a walk over some of these, which [`State::next`] leads.

/// Where a function is, with the numbers of `enum vfio_device_mig_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    /// It has failed and must be reset.
    Error = 0,
    /// It does nothing.
    Stop = 1,
    /// It works.
    Running = 2,
    /// It does nothing and is saved, to the end.
    StopCopy = 3,
    /// It does nothing and is loaded.
    Resuming = 4,
    /// It works, but does no DMA to other devices: none at all.
    RunningP2p = 5,
    /// It works and is saved.
    PreCopy = 6,
    /// It works, without DMA, and is saved.
    PreCopyP2p = 7,
}

/// What is done between two states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It begins no DMA any more.
    SuspendInitiator,
    /// It does nothing any more.
    SuspendAll,
    /// It answers accesses again.
    ResumeResponder,
    /// It works again.
    ResumeAll,
    /// What was set up is saved.
    SaveSetup,
    /// The rest is saved.
    SaveFinal,
    /// Saving ends.
    EndSave,
    /// Loading begins.
    BeginLoad,
    /// What was loaded is made the state of the function.
    CommitLoad,
}

/// Why a step was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The device says no, and has not done it; or it was not even asked.
    Refused,
    /// There is no device any more to ask.
    Gone,
    /// The device did not answer: it may have done it.
    Unknown,
}

impl State {
    /// All states.
    pub const ALL: [Self; 8] = [
        Self::Error,
        Self::Stop,
        Self::Running,
        Self::StopCopy,
        Self::Resuming,
        Self::RunningP2p,
        Self::PreCopy,
        Self::PreCopyP2p,
    ];

    /// Returns the state with a number of `enum vfio_device_mig_state`.
    pub fn from_raw(raw: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.raw() == raw)
    }

    /// Returns its number.
    pub const fn raw(self) -> u32 {
        self as u32
    }

    /// Returns the state to go to next on the way to `wanted`: the way is the shortest, and does not begin or end
    /// to save in passing. [`None`] if there is no way.
    pub const fn next(self, wanted: Self) -> Option<Self> {
        use State::*;
        Some(match (self, wanted) {
            // Nobody asks for an error, and only a reset leads out of it. What was saved to the end is not
            // begun again.
            (Error, _) | (_, Error) | (StopCopy, PreCopy | PreCopyP2p) => return None,
            (Stop, Stop)
            | (Running, Running)
            | (StopCopy, StopCopy)
            | (Resuming, Resuming)
            | (RunningP2p, RunningP2p)
            | (PreCopy, PreCopy)
            | (PreCopyP2p, PreCopyP2p) => wanted,

            (Stop, StopCopy | Resuming) => wanted,
            (Stop, _) => RunningP2p,
            (StopCopy | Resuming, _) => Stop,

            (Running, PreCopy) => PreCopy,
            (Running, _) => RunningP2p,
            (RunningP2p, Running | PreCopy) => Running,
            (RunningP2p, PreCopyP2p) => PreCopyP2p,
            (RunningP2p, _) => Stop,

            (PreCopy, PreCopyP2p | StopCopy) => PreCopyP2p,
            (PreCopy, _) => Running,
            (PreCopyP2p, PreCopy | StopCopy) => wanted,
            (PreCopyP2p, _) => RunningP2p,
        })
    }

    /// Returns what is done to get to `next`, [`None`] if that is not one step away.
    pub const fn steps(self, next: Self) -> Option<&'static [Step]> {
        use State::*;
        Some(match (self, next) {
            (Running, RunningP2p) | (PreCopy, PreCopyP2p) => &[Step::SuspendInitiator],
            (RunningP2p, Running) | (PreCopyP2p, PreCopy) => &[Step::ResumeAll],
            (RunningP2p, Stop) => &[Step::SuspendAll],
            (Stop, RunningP2p) => &[Step::ResumeResponder],
            (Running, PreCopy) | (RunningP2p, PreCopyP2p) => &[Step::SaveSetup],
            (PreCopy, Running) | (PreCopyP2p, RunningP2p) | (StopCopy, Stop) => &[Step::EndSave],
            (PreCopyP2p, StopCopy) => &[Step::SuspendAll, Step::SaveFinal],
            (Stop, StopCopy) => &[Step::SaveFinal],
            (Stop, Resuming) => &[Step::BeginLoad],
            (Resuming, Stop) => &[Step::CommitLoad],
            _ => return None,
        })
    }

    /// Returns whether the function is being saved, through a file that stays the same in all such states.
    pub const fn saves(self) -> bool {
        matches!(self, Self::PreCopy | Self::PreCopyP2p | Self::StopCopy)
    }

    /// Returns whether it is saved while it works: more may come.
    pub const fn is_pre_copy(self) -> bool {
        matches!(self, Self::PreCopy | Self::PreCopyP2p)
    }

    /// Returns whether the function is being loaded.
    pub const fn loads(self) -> bool {
        matches!(self, Self::Resuming)
    }

    /// Returns whether user space may touch the function: it answers.
    pub const fn answers(self) -> bool {
        matches!(
            self,
            Self::Running | Self::RunningP2p | Self::PreCopy | Self::PreCopyP2p
        )
    }

    /// Returns the state that the function is in after a step away from this one was not done, where all steps
    /// before it on the same way were `undone`, or there were none.
    ///
    /// [`State::Error`] is for functions of which nobody knows any more what they do, and for one whose load was
    /// refused: what it was given is lost.
    pub const fn after_failure(self, step: Step, failure: Failure, undone: bool) -> Self {
        match (failure, step) {
            // There is nothing that it could do: neither did it begin anything new.
            (Failure::Gone, _) => self,
            (Failure::Unknown, _) | (Failure::Refused, Step::CommitLoad) => Self::Error,
            (Failure::Refused, _) if undone => self,
            (Failure::Refused, _) => Self::Error,
        }
    }
}

impl Step {
    /// Returns what takes the step back, if something does.
    pub const fn undo(self) -> Option<Self> {
        match self {
            Self::SuspendInitiator => Some(Self::ResumeAll),
            Self::SuspendAll => Some(Self::ResumeResponder),
            Self::ResumeResponder => Some(Self::SuspendAll),
            Self::ResumeAll => Some(Self::SuspendInitiator),
            Self::SaveSetup => Some(Self::EndSave),
            _ => None,
        }
    }
}
