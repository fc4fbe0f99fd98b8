// SPDX-License-Identifier: GPL-2.0

//! What the firmware remembers of its last commands, and keeps of them when it stops.

use std::collections::VecDeque;

use ferrite_abi::admin::{
    Status,
    Submission, //
};
use ferrite_abi::cmd::{
    CrashCommand,
    CrashDump,
    CRASH_COMMANDS, //
};
use ferrite_abi::wire::{
    U16,
    U32,
    U64, //
};

use crate::save::{
    saved,
    LoadError, //
};

/// The status of a command that was not answered.
const UNANSWERED: u16 = 0xffff;

/// What the firmware did, and what it kept when it stopped last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trail {
    commands: VecDeque<CrashCommand>,
    /// Those before the last crash.
    kept: Vec<CrashCommand>,
    /// When that was, and which firmware it was.
    time: u64,
    firmware: u32,
    crashes: u32,
}

saved!(Trail {
    commands,
    kept,
    time,
    firmware,
    crashes
});

impl Trail {
    /// Takes note of a command that is about to be carried out.
    pub(crate) fn begin(&mut self, submission: &Submission, sender: u16, now: u64) {
        if self.commands.len() == CRASH_COMMANDS {
            self.commands.pop_front();
        }
        self.commands.push_back(CrashCommand {
            time: U64::new(now),
            opcode: submission.opcode,
            tag: submission.tag,
            sender: U16::new(sender),
            function: submission.function,
            status: U16::new(UNANSWERED),
            rsvd: [0; 14],
        });
    }

    /// Takes note of what the last command is answered.
    pub(crate) fn end(&mut self, status: Status) {
        if let Some(last) = self.commands.back_mut() {
            last.status = U16::new(status.0);
        }
    }

    /// The firmware stops over the last command.
    pub(crate) fn crash(&mut self, firmware: u32, now: u64) {
        self.kept = std::mem::take(&mut self.commands).into();
        self.time = now;
        self.firmware = firmware;
        self.crashes = self.crashes.saturating_add(1);
    }

    /// Returns what was kept.
    pub(crate) fn dump(&self) -> CrashDump {
        let mut commands = [CrashCommand::default(); CRASH_COMMANDS];
        for (to, from) in commands.iter_mut().zip(&self.kept) {
            *to = *from;
        }
        CrashDump {
            time: U64::new(self.time),
            crashes: U32::new(self.crashes),
            // CAST: there are no more than `CRASH_COMMANDS`.
            count: U32::new(self.kept.len() as u32),
            firmware: U32::new(self.firmware),
            rsvd: [0; 44],
            commands,
        }
    }

    /// Checks what was loaded.
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        let possible = self.commands.len() <= CRASH_COMMANDS && self.kept.len() <= CRASH_COMMANDS;
        possible
            .then_some(())
            .ok_or(LoadError::Invalid("number of commands"))
    }
}
