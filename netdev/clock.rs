// SPDX-License-Identifier: GPL-2.0

//! The clock of the device, by which packets are stamped.

use ferrite_abi::{
    cmd::QueryClock,
    ids::FunctionKind,
    regs::Features, //
};
use ferrite_aux::Function;
use kernel::prelude::*;
use kernel_ext::ptp::{
    Clock,
    Registration, //
};

/// The clock, as a function sees it.
pub(crate) struct DeviceClock(Function);

impl Clock for DeviceClock {
    fn now(&self) -> Result<u64> {
        Ok(self.0.send(QueryClock {})?.time.get())
    }
}

/// Offers the clock to users, if the function has it. What represents another has none of its own.
///
/// # Errors
///
/// `ENOMEM`, `ENODEV` if the device is gone.
pub(crate) fn register(function: &Function) -> Result<Option<Registration<DeviceClock>>> {
    let represents = matches!(
        function.id().kind(),
        Some(FunctionKind::VfRepresentor(_) | FunctionKind::SfRepresentor(_)) | None
    );
    if represents || !function.has(Features::TIMESTAMP) {
        return Ok(None);
    }
    let parent = function.dma_device()?;
    Registration::new(&parent, DeviceClock(function.clone())).map(Some)
}
