// SPDX-License-Identifier: GPL-2.0

//! The handle of a VF, for the driver that controls it from outside: commands about it go through its PF.

use crate::{
    error::CmdError,
    event::{
        EventHandler,
        Subscribers,
        Subscription, //
    },
    function::Function, //
};
use ferrite_abi::{
    admin::Command,
    ids::{
        FunctionId,
        FunctionKind, //
    }, //
};
use kernel::{
    auxiliary,
    device::Bound,
    pci,
    prelude::*,
    sync::Arc,
    types::ForLt, //
};

/// What the auxiliary devices `ferrite_core.vfio_mig.N` carry.
pub type ControlledLt = ForLt!(Controlled);

/// Handle of a VF that is controlled from outside, as one is that user space drives.
///
/// It may be cloned and kept, as a [`Function`]: when the PF is gone, so is what it controls, and all commands
/// fail with [`CmdError::Gone`].
#[derive(Clone)]
pub struct Controlled {
    pf: Function,
    vf: FunctionId,
    subscribers: Arc<Subscribers>,
}

impl Controlled {
    pub(crate) fn new(pf: Function, vf: FunctionId, subscribers: Arc<Subscribers>) -> Self {
        Self {
            pf,
            vf,
            subscribers,
        }
    }

    /// Returns the VF that `adev` carries.
    ///
    /// # Errors
    ///
    /// `EINVAL` or `ENOENT` if `adev` was not published by
    /// [`Owner::publish_controlled`](crate::Owner::publish_controlled).
    pub fn of(adev: &auxiliary::Device<Bound>) -> Result<Self> {
        Ok(adev.registration_data::<ControlledLt>()?.get_ref().clone())
    }

    /// Returns its id.
    pub fn id(&self) -> FunctionId {
        self.vf
    }

    /// Returns whether it is the VF that this PCI device is. Not, once the PF is gone.
    pub fn is(&self, vf: &pci::Device) -> bool {
        match (self.vf.kind(), self.pf.dma_device()) {
            (Some(FunctionKind::Vf(index)), Ok(pf)) => kernel_ext::pci::is_vf_of(vf, &pf, index),
            _ => false,
        }
    }

    /// Sends a command about it that has no data buffer, as [`Function::send`].
    ///
    /// # Errors
    ///
    /// Those of [`CmdError`].
    pub fn send<C: Command>(&self, command: C) -> Result<C::Done, CmdError> {
        self.pf.about(self.vf).send(command)
    }

    /// Sends a command about it together with `data`, as [`Function::send_with`].
    ///
    /// # Errors
    ///
    /// Those of [`CmdError`].
    pub fn send_with<C: Command>(&self, command: C, data: &C::Data) -> Result<C::Done, CmdError> {
        self.pf.about(self.vf).send_with(command, data)
    }

    /// Sends a command about it, for the device to fill `data`.
    ///
    /// # Errors
    ///
    /// Those of [`CmdError`].
    pub fn fetch<C: Command>(&self, command: C, data: &mut C::Data) -> Result<C::Done, CmdError> {
        self.pf.about(self.vf).fetch(command, data)
    }

    /// Passes what the PF is told about it to `handler`, until what is returned is dropped. What got lost on the way, or may have
    /// come about while the PF was reset, is made up for by a [`SaveChange`](ferrite_abi::event::SaveChange).
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn subscribe(&self, handler: Arc<dyn EventHandler>) -> Result<Subscription> {
        self.subscribers.clone().add(handler)
    }
}
