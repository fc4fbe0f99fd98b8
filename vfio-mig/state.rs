// SPDX-License-Identifier: GPL-2.0

//! Where a VF is, and the way from one state to another.

use ferrite_abi::{
    cmd::{
        BeginLoad,
        BeginSave,
        EndLoad,
        EndSave,
        LoadVerdict,
        QuerySave,
        QuerySaveDone,
        ReadSave,
        ResumeFunction,
        SavePass,
        StreamChunk,
        SuspendFunction,
        SuspendLevel,
        MAX_CHUNK, //
    },
    mig::{
        StreamFault,
        StreamTag, //
    },
    wire::{
        U16,
        U32, //
    },
};
use ferrite_aux::{
    CmdError,
    Controlled, //
};
use kernel::{
    fs::File,
    prelude::*,
    sync::aref::ARef, //
};

use crate::{
    boxed::Boxed,
    file,
    logic::{
        account::Account,
        state::{
            Failure,
            State,
            Step, //
        },
    },
    migrator::{
        errno,
        insist,
        Migrator, //
    },
    reset::Held,
};

/// Largest part of a stream that is taken from the device at a time: it says how long a part is, and may say
/// anything.
const MAX_PART: usize = 64 << 20;

/// Where a VF is.
pub(crate) struct Progress {
    state: State,
    /// What the file of these states is for.
    pub(crate) session: Option<Session>,
    /// Number of the next session.
    next: u64,
    /// A piece of a stream, on its way.
    pub(crate) chunk: Boxed<StreamChunk>,
}

/// What one file is for.
pub(crate) struct Session {
    /// The file has the same; files of other sessions are dead.
    pub(crate) number: u64,
    pub(crate) way: Way,
}

/// Which way the data go.
pub(crate) enum Way {
    /// From the device to the user.
    Out(Saved),
    /// From the user to the device.
    In(Loaded),
}

/// What the device saved and the user has not read.
#[derive(Default)]
pub(crate) struct Saved {
    pub(crate) bytes: KVVec<u8>,
    /// What is before this was read.
    pub(crate) head: usize,
    pub(crate) account: Account,
    /// A part got lost on the way: this is not a stream any more.
    pub(crate) broken: bool,
}

/// What the user wrote.
#[derive(Default)]
pub(crate) struct Loaded {
    /// How much of it the device took.
    pub(crate) taken: u64,
    /// The device will take no more: the stream does not fit.
    pub(crate) refused: bool,
}

impl Saved {
    /// Returns what was not read.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.head..]
    }

    /// Notes that the user read `len` bytes.
    pub(crate) fn read(&mut self, len: usize) {
        self.head += len;
        self.account.read(len as u64);
        if self.head == self.bytes.len() {
            self.bytes.clear();
            self.head = 0;
        }
    }

    /// Takes what `pass` saves; returns how much that is.
    pub(crate) fn take(
        &mut self,
        controlled: &Controlled,
        chunk: &mut StreamChunk,
        pass: SavePass,
    ) -> Result<usize, CmdError> {
        let begin = BeginSave {
            pass: U16::new(pass.0),
            version: U16::new(0),
        };
        // Once the device has made the part it must get here.
        let before = core::mem::replace(&mut self.broken, true);
        let done = controlled.send(begin).inspect_err(|error| {
            if let CmdError::Status(_) | CmdError::Gone = error {
                self.broken = before;
            }
        })?;
        let len = done.length.get() as usize;
        if len > MAX_PART {
            return Err(CmdError::Memory);
        }
        let room = self.bytes.reserve(len, GFP_KERNEL);
        room.map_err(|_| CmdError::Memory)?;
        let mut offset = 0;
        while offset < len {
            let piece = (len - offset).min(MAX_CHUNK);
            let read = ReadSave {
                // CAST: no more than `MAX_PART`.
                offset: U32::new(offset as u32),
                length: U32::new(piece as u32),
            };
            insist(|| controlled.fetch(read, chunk))?;
            let piece = &chunk.bytes[..piece];
            let copied = self.bytes.extend_from_slice(piece, GFP_KERNEL);
            copied.map_err(|_| CmdError::Memory)?;
            offset += piece.len();
        }
        self.account.save(len as u64);
        self.broken = before;
        Ok(len)
    }
}

impl Progress {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            state: State::Running,
            session: None,
            next: 1,
            chunk: Boxed::zeroed()?,
        })
    }

    /// Returns the state.
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Returns what the session `number` saved, and what takes pieces of it.
    pub(crate) fn saved(&mut self, number: u64) -> Option<(&mut Saved, &mut StreamChunk)> {
        match &mut self.session {
            Some(Session {
                number: now,
                way: Way::Out(saved),
            }) if *now == number => Some((saved, &mut self.chunk)),
            _ => None,
        }
    }

    /// Returns what was loaded in the session `number`, and what takes pieces of it.
    pub(crate) fn loaded(&mut self, number: u64) -> Option<(&mut Loaded, &mut StreamChunk)> {
        match &mut self.session {
            Some(Session {
                number: now,
                way: Way::In(loaded),
            }) if *now == number => Some((loaded, &mut self.chunk)),
            _ => None,
        }
    }

    fn begin_session(&mut self, way: Way) {
        let number = self.next;
        self.next += 1;
        self.session = Some(Session { number, way });
    }
}

fn level(level: SuspendLevel) -> U16 {
    U16::new(level.0)
}

/// Says why a stream was refused.
pub(crate) fn explain(migrator: &Migrator, verdict: &LoadVerdict) {
    dev_warn!(
        migrator.device,
        "the stream is refused at byte {}, record {}: {:?} ({:?})\n",
        verdict.taken.get(),
        verdict.record.get(),
        StreamFault(verdict.fault.get()),
        StreamTag(verdict.tag.get())
    );
}

/// Why a step was not done, for the table and for the user.
struct Undone(Failure, Error);

impl From<CmdError> for Undone {
    fn from(error: CmdError) -> Self {
        let failure = match error {
            CmdError::Gone => Failure::Gone,
            CmdError::Timeout => Failure::Unknown,
            _ => Failure::Refused,
        };
        Self(failure, errno(error))
    }
}

impl<'a> Held<'a> {
    /// Takes the VF to the state with the number `wanted`, step by step.
    pub(crate) fn go_to(&mut self, wanted: u32) -> Result<Option<ARef<File>>> {
        let wanted = State::from_raw(wanted).ok_or(EINVAL)?;
        let mut file = None;
        while self.state != wanted || wanted == State::Error {
            let next = self.state.next(wanted).ok_or(match self.state {
                State::Error => EIO,
                _ => EINVAL,
            })?;
            file = self.move_to(next)?;
        }
        Ok(file)
    }

    /// Takes the VF to the state next to its own; returns the file that comes with it.
    fn move_to(&mut self, next: State) -> Result<Option<ARef<File>>> {
        let now = self.state;
        let steps = now.steps(next).ok_or(EINVAL)?;
        for (index, step) in steps.iter().enumerate() {
            let done = self.step(*step);
            if let Err(Undone(failure, error)) = done {
                let undone = self.take_back(&steps[..index]);
                let state = now.after_failure(*step, failure, undone);
                dev_warn!(
                    self.migrator().device,
                    "{now:?} to {next:?} fails at {step:?} with {error:?}: {state:?}\n"
                );
                self.arrive(state);
                return Err(error);
            }
        }
        let file = match self.session.as_ref() {
            Some(session) if !(now.saves() || now.loads()) => {
                let opened = file::open(self.device, session);
                Some(opened.inspect_err(|_| {
                    // Nobody got to know of it.
                    self.abandon();
                })?)
            }
            _ => None,
        };
        self.arrive(next);
        Ok(file)
    }

    /// Notes that the VF is in a state, and lets users touch it or not.
    fn arrive(&mut self, state: State) {
        self.state = state;
        if !(state.saves() || state.loads()) {
            self.session = None;
        }
        if state.answers() {
            self.device.open_window();
        } else {
            self.device.close_window();
        }
        self.migrator().changed.notify();
    }

    /// Takes steps back, the last one first; returns whether that was done.
    fn take_back(&mut self, steps: &[Step]) -> bool {
        steps.iter().rev().all(|step| {
            let undo = step.undo();
            undo.is_some_and(|undo| self.step(undo).is_ok())
        })
    }

    fn step(&mut self, step: Step) -> Result<(), Undone> {
        let controlled = self.migrator().controlled();
        let controlled = controlled.map_err(|error| Undone(Failure::Refused, error))?;
        let suspend = |to| {
            let command = SuspendFunction {
                level: level(to),
                rsvd: [0; 2],
            };
            insist(|| controlled.send(command))
        };
        let resume = |to| {
            let command = ResumeFunction {
                level: level(to),
                rsvd: [0; 2],
            };
            insist(|| controlled.send(command))
        };
        match step {
            Step::SuspendInitiator => suspend(SuspendLevel::INITIATOR)?,
            Step::SuspendAll => suspend(SuspendLevel::FULL)?,
            Step::ResumeResponder => resume(SuspendLevel::INITIATOR)?,
            Step::ResumeAll => resume(SuspendLevel::RUNNING)?,
            Step::SaveSetup => {
                let mut saved = Saved::default();
                let len = saved.take(controlled, &mut self.chunk, SavePass::SETUP);
                len.inspect_err(|_| {
                    let _ = controlled.send(EndSave {});
                })?;
                saved.account.begin();
                self.begin_session(Way::Out(saved));
            }
            Step::SaveFinal => self.save_final(controlled)?,
            Step::EndSave => insist(|| controlled.send(EndSave {}))?,
            Step::BeginLoad => {
                insist(|| controlled.send(BeginLoad {}))?;
                self.begin_session(Way::In(Loaded::default()));
            }
            Step::CommitLoad => {
                let commit = EndLoad {
                    commit: 1,
                    rsvd: [0; 3],
                };
                let verdict = controlled.send(commit)?;
                if StreamFault(verdict.fault.get()) != StreamFault::NONE {
                    explain(self.migrator(), &verdict);
                    return Err(Undone(Failure::Refused, EINVAL));
                }
            }
        }
        Ok(())
    }

    /// Saves the rest, for the file that there is or a new one.
    fn save_final(&mut self, controlled: &Controlled) -> Result<(), Undone> {
        let progress = &mut **self;
        if let Some(Session {
            way: Way::Out(saved),
            ..
        }) = &mut progress.session
        {
            if saved.broken {
                return Err(Undone(Failure::Refused, EIO));
            }
            saved.take(controlled, &mut progress.chunk, SavePass::FINAL)?;
            return Ok(());
        }
        let mut saved = Saved::default();
        let len = saved.take(controlled, &mut progress.chunk, SavePass::FINAL);
        len.inspect_err(|_| {
            let _ = controlled.send(EndSave {});
        })?;
        progress.begin_session(Way::Out(saved));
        Ok(())
    }

    /// Ends the session, whose file is dead from then on. The state stays what it is until the VF is reset.
    pub(crate) fn end_session(&mut self) {
        if self.session.take().is_some() {
            self.abandon();
            self.migrator().changed.notify();
        }
    }

    /// Has the device forget what it saved or was loading.
    fn abandon(&mut self) {
        self.session = None;
        if let Ok(controlled) = self.migrator().controlled() {
            // What fails here is over with the next reset at the latest.
            let _ = controlled.send(EndSave {});
            let _ = controlled.send(EndLoad {
                commit: 0,
                rsvd: [0; 3],
            });
        }
    }

    /// The VF was reset: it works, and files of the time before are dead.
    pub(crate) fn start_over(&mut self) {
        if self.state != State::Running {
            // Something may have been done to it after its reset by who did not know of that.
            self.abandon();
            let resume = ResumeFunction {
                level: level(SuspendLevel::RUNNING),
                rsvd: [0; 2],
            };
            let resumed = self
                .migrator()
                .controlled()
                .map(|controlled| controlled.send(resume));
            if let Ok(Err(error)) = resumed {
                dev_warn!(
                    self.migrator().device,
                    "the VF may be suspended after its reset: {error}\n"
                );
            }
        }
        self.arrive(State::Running);
    }

    /// Returns how much there is to save, as the device says.
    pub(crate) fn query_save(&self) -> Result<QuerySaveDone> {
        let controlled = self.migrator().controlled()?;
        insist(|| controlled.send(QuerySave {})).map_err(errno)
    }

    /// Returns how much there will be to read once the VF is stopped.
    pub(crate) fn data_size(&mut self) -> Result<usize> {
        let unread = match &self.session {
            Some(Session {
                way: Way::Out(saved),
                ..
            }) => saved.unread().len(),
            _ => 0,
        };
        if self.state == State::StopCopy {
            return Ok(unread);
        }
        let done = self.query_save()?;
        let rest = if self.state.saves() {
            done.remaining
        } else {
            done.full
        };
        Ok(unread.saturating_add(rest.get() as usize))
    }
}
