// SPDX-License-Identifier: GPL-2.0

//! What went wrong on the admin queue: counters, and a short memory of the last failures.

use core::fmt;

use ferrite_abi::admin::{
    Opcode,
    Status, //
};
use ferrite_abi::regs::AdminError;

use super::slot::Nanos;

macro_rules! counters {
    ($(#[$meta:meta])* $name:ident { $( $(#[doc = $doc:literal])* $field:ident, )* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $( $(#[doc = $doc])* pub $field: u64, )*
        }

        impl $name {
            /// All counters at zero.
            pub const ZERO: Self = Self { $( $field: 0, )* };

            /// Returns each counter with its name.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$( (stringify!($field), self.$field) ),*].into_iter()
            }
        }
    };
}
pub(super) use counters;

counters! {
    /// What happened on the admin queue.
    AdminCounters {
        /// Commands given to the device.
        posted,
        /// Commands that the device answered in time, with whatever status.
        answered,
        /// Answers with a status other than `OK`.
        refused,
        /// Answers with a status that the contract does not name.
        unknown_status,
        /// Commands whose time was over.
        timed_out,
        /// Answers to commands whose time was over.
        late,
        /// Answers that repeat or outlived the use of their slot.
        stale,
        /// Answers with a tag that no command ever had.
        unknown_tag,
        /// Answers with the opcode of another command.
        wrong_opcode,
        /// Answers that claim the device had read what was never written.
        bad_sq_head,
        /// Commands that found the queue full.
        full,
        /// Answers found by looking, without interrupt.
        polled,
        /// Resets of the queue.
        resets,
    }
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The device refused the command.
    Refused(Status),
    /// No answer in time.
    TimedOut,
    /// The answer came after all, but too late.
    Late,
    /// An answer that repeats or outlived the use of its slot.
    Stale,
    /// An answer with a tag that no command ever had.
    UnknownTag,
    /// An answer with the opcode of another command.
    WrongOpcode {
        /// Opcode of the command.
        expected: Opcode,
    },
    /// An answer which claims that the device had read what was never written.
    BadSqHead {
        /// The claim.
        claimed: u16,
    },
}

/// One failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// When.
    pub at: Nanos,
    /// Tag of the command or answer.
    pub tag: u16,
    /// Opcode of the command or answer.
    pub opcode: Opcode,
    /// What.
    pub kind: FailureKind,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tag, opcode, kind, ..
        } = self;
        write!(f, "{opcode} (tag {tag:#06x}): ")?;
        match kind {
            FailureKind::Refused(status) => write!(f, "refused, {status}"),
            FailureKind::TimedOut => f.write_str("no answer in time"),
            FailureKind::Late => f.write_str("answered too late"),
            FailureKind::Stale => f.write_str("answer repeated or stale, ignored"),
            FailureKind::UnknownTag => f.write_str("answer to no command, ignored"),
            FailureKind::WrongOpcode { expected } => {
                write!(f, "answer to a command that was {expected}, ignored")
            }
            FailureKind::BadSqHead { claimed } => {
                write!(
                    f,
                    "answer claims submission index {claimed:#06x}, claim ignored"
                )
            }
        }
    }
}

/// How many failures are remembered.
pub const REMEMBERED: usize = 8;

/// The last failures.
#[derive(Clone, Debug)]
pub struct Failures {
    last: [Option<Failure>; REMEMBERED],
    total: u64,
}

impl Failures {
    /// No failure yet.
    pub const NONE: Self = Self {
        last: [None; REMEMBERED],
        total: 0,
    };

    /// Remembers a failure in place of the oldest.
    pub fn remember(&mut self, failure: Failure) {
        self.last[(self.total % REMEMBERED as u64) as usize] = Some(failure);
        self.total += 1;
    }

    /// Returns how many failures there were.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Returns those of the failures from number `from` on, counted from 0, that are remembered,
    /// each with its number, oldest first.
    pub fn since(&self, from: u64) -> impl Iterator<Item = (u64, &Failure)> {
        let oldest = self.total.saturating_sub(REMEMBERED as u64);
        (from.max(oldest)..self.total).filter_map(|number| {
            let failure = self.last[(number % REMEMBERED as u64) as usize].as_ref()?;
            Some((number, failure))
        })
    }
}

/// Why the device was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Registers read as all ones.
    Vanished,
    /// The heartbeat stopped.
    Hung,
    /// The device says that only a reset mends it.
    Fatal,
    /// The admin queue does not start.
    Refused(AdminError),
    /// The driver let go of it.
    Unbound,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vanished => f.write_str("registers read as all ones"),
            Self::Hung => f.write_str("heartbeat stopped"),
            Self::Fatal => f.write_str("device reports a fatal state"),
            Self::Refused(error) => write!(f, "admin queue does not start, {error}"),
            Self::Unbound => f.write_str("driver is unbinding"),
        }
    }
}
