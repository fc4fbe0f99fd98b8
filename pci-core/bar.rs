// SPDX-License-Identifier: GPL-2.0

//! The registers of the function, typed.

use ferrite_abi::{
    bar::{
        BAR_REGS,
        BAR_REGS_SIZE, //
    },
    regs::{
        Control,
        Register,
        RegisterInfo, //
    },
};
use kernel::{
    device::Bound,
    pci,
    prelude::*,
    time::{
        delay::fsleep,
        Delta, //
    },
};
use kernel_ext::iomap::Window;

use crate::logic::{
    identity::{
        self,
        Basics,
        Unfit, //
    },
    port::Registers, //
};

/// How long a reset of the function may take.
const RESET_TIMEOUT: Delta = Delta::from_millis(3000);
/// How often to look whether it is over.
const RESET_POLL: Delta = Delta::from_millis(1);

/// The registers of the function.
///
/// Once the device is unbound they read as all ones, as those of a device that was pulled.
#[derive(Clone)]
pub(crate) struct Bar(Window);

impl Bar {
    /// Maps the registers.
    ///
    /// # Errors
    ///
    /// `ENODEV` if the BAR is smaller than the contract says; `EBUSY` or `ENOMEM` if it cannot be
    /// mapped.
    pub(crate) fn map(pdev: &pci::Device<Bound>) -> Result<Self> {
        let window = Window::map(pdev, BAR_REGS.into(), c"ferrite_core registers")?;
        if window.len() < BAR_REGS_SIZE as usize {
            dev_err!(
                pdev,
                "register BAR has {} bytes, not {BAR_REGS_SIZE}\n",
                window.len()
            );
            return Err(ENODEV);
        }
        Ok(Self(window))
    }

    /// Finds out whether this is a device that the driver can work with, and gets it into the state
    /// that it has after power-on, whatever its last driver left behind.
    pub(crate) fn bring_up(&self) -> Result<Basics, Unfit> {
        // First of all: write nothing to a device that is not ours.
        identity::check_registers(self)?;
        if identity::check_ready(self) == Err(Unfit::Inactive) {
            return Err(Unfit::Inactive);
        }
        self.reset()?;
        // Again: what it says now is what counts.
        identity::check_registers(self)
    }

    /// Reads a register of which only the description is known.
    pub(crate) fn raw(&self, register: &RegisterInfo) -> u32 {
        self.0.read32(register.offset)
    }

    /// Reads the word at an offset, register or not.
    pub(crate) fn word(&self, offset: u32) -> u32 {
        self.0.read32(offset)
    }

    /// Resets the function and waits until that is over.
    pub(crate) fn reset(&self) -> Result<(), Unfit> {
        if !self.alive() {
            return Err(Unfit::Vanished);
        }
        self.write(Control::default().with_reset(1));
        self.settle()
    }

    /// Waits until a reset is over.
    pub(crate) fn settle(&self) -> Result<(), Unfit> {
        let mut left = RESET_TIMEOUT.as_millis();
        loop {
            let outcome = identity::check_ready(self);
            // A function in reset reads as all ones, like one that is gone.
            if matches!(outcome, Ok(()) | Err(Unfit::Inactive)) || left <= 0 {
                return outcome;
            }
            fsleep(RESET_POLL);
            left -= RESET_POLL.as_millis();
        }
    }
}

impl Registers for Bar {
    fn read<R: Register>(&self) -> R {
        R::from_raw(self.0.read32(R::OFFSET))
    }

    fn write<R: Register>(&self, register: R) {
        self.0.write32(R::OFFSET, register.raw());
    }
}
