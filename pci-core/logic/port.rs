// SPDX-License-Identifier: GPL-2.0

//! What the logic needs of its surroundings: registers and ring memory.

use ferrite_abi::admin::{
    Completion,
    Submission, //
};
use ferrite_abi::event::Event;
use ferrite_abi::regs::{
    Magic,
    Register, //
};

/// Value of every register of a function that is gone.
pub const ALL_ONES: u32 = u32::MAX;

/// The registers of a function.
pub trait Registers {
    /// Reads a register.
    fn read<R: Register>(&self) -> R;

    /// Writes a register. All that was stored to ring memory before is visible to the device when
    /// it sees the write.
    fn write<R: Register>(&self, register: R);

    /// Returns whether the device answers to register accesses at all.
    ///
    /// A device that was pulled, or that is in reset, reads as all ones everywhere, which the magic
    /// number of a living one never does.
    fn alive(&self) -> bool {
        self.read::<Magic>().raw() != ALL_ONES
    }
}

/// Memory of the admin queue, shared with the device.
pub trait AdminRings {
    /// Returns the bus addresses of the submission and the completion ring.
    fn bus(&self) -> (u64, u64);

    /// Stores an entry of the submission ring.
    fn post(&self, slot: usize, entry: &Submission);

    /// Loads an entry of the completion ring: first `meta`, then, ordered after it, the rest.
    fn completion(&self, slot: usize) -> Completion;

    /// Fills both rings with zeros. Called only while the device does not use them.
    fn clear(&self);
}

/// Memory of the event queue, shared with the device.
pub trait EventRing {
    /// Loads an entry: first `meta`, then, ordered after it, the rest.
    fn event(&self, slot: usize) -> Event;
}
