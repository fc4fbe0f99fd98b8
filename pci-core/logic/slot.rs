// SPDX-License-Identifier: GPL-2.0

//! Slots of the admin queue: where a command lives from its reservation to its collection.
//!
//! A slot stands for more than a place in a table: the driver gives each one a data buffer. The
//! device may write to that buffer until it has answered, so a slot whose command timed out is
//! quarantined, not free, until the late answer arrives or the queue was reset.

use ferrite_abi::admin::{
    Completion,
    Opcode, //
};

/// Time in nanoseconds of any clock that only goes forward.
pub type Nanos = u64;

/// Tag of a command: the slot in the low byte, the slot's generation in the high byte.
///
/// A generation is one use of a slot. An answer that carries another generation than the slot has
/// now is late or repeated and reaches nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(pub u16);

impl Tag {
    /// Returns the tag of use `generation` of `slot`, which is less than 256.
    pub fn new(slot: usize, generation: u8) -> Self {
        Self((u16::from(generation) << 8) | (slot & 0xff) as u16)
    }

    /// Returns the slot.
    pub fn slot(self) -> usize {
        usize::from(self.0 & 0xff)
    }

    /// Returns the generation.
    pub fn generation(self) -> u8 {
        (self.0 >> 8) as u8
    }
}

/// Why a command has no completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// Its time was over, or the queue was reset to get others going.
    Timeout,
    /// The device is gone, or was given up.
    Gone,
}

/// Where a slot is in its life.
#[derive(Clone, Copy, Debug)]
pub enum SlotState {
    /// Belongs to nobody.
    Free,
    /// Belongs to a caller who fills the data buffer.
    Reserved,
    /// The device has the command.
    Pending,
    /// The outcome waits to be collected.
    Done(Result<Completion, Unanswered>),
    /// The caller went away without an outcome; the device may still answer.
    Quarantined,
}

/// A slot.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// Counts the uses of the slot, modulo 256.
    pub generation: u8,
    /// Opcode of the current or last command.
    pub opcode: Opcode,
    /// When the command was posted.
    pub posted: Nanos,
    /// When its time is over.
    pub deadline: Nanos,
    /// Where it is in its life.
    pub state: SlotState,
}

impl Slot {
    /// A slot that was never used.
    pub const UNUSED: Self = Self {
        generation: 0,
        opcode: Opcode(0),
        posted: 0,
        deadline: 0,
        state: SlotState::Free,
    };

    /// Returns a word for the state, for people.
    pub fn word(&self) -> &'static str {
        match self.state {
            SlotState::Free => "free",
            SlotState::Reserved => "reserved",
            SlotState::Pending => "pending",
            SlotState::Done(_) => "done",
            SlotState::Quarantined => "quarantined",
        }
    }
}
