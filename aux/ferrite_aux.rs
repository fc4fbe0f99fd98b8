// SPDX-License-Identifier: GPL-2.0

//! What the drivers of Ferrite's auxiliary devices ride on.
//!
//! The core driver owns the PCI function. For each client of it, it publishes an auxiliary device
//! that carries a [`Function`]: a typed handle for admin commands, doorbells, interrupt vectors,
//! events. A client is a driver for such a device. It depends on this crate and never on the core,
//! which stands behind the handle as a [`Backend`].
//!
//! # How to add a client
//!
//! 1. Name its kind of device in [`names`] and let the core publish it.
//! 2. Write `<folder>/<module>.rs`: an [`auxiliary::Driver`](kernel::auxiliary::Driver) whose id
//!    table holds [`names::id`] of that kind and whose probe starts with [`Function::of`].
//! 3. Add its module to `Kbuild`: two lines, as those of `ferrite_net`.
//!
//! # Lifetime
//!
//! A [`Function`] may be cloned and kept, and dropped where sleeping is allowed. When the core lets go of the device, each method that
//! needs it fails with [`CmdError::Gone`], or does nothing if it cannot fail; the core waits for
//! calls under way. Nothing of the core's is reachable afterwards, so that its module can go.

mod backend;
mod controlled;
mod error;
mod event;
mod function;
mod health;
pub mod names;

pub use backend::{
    Backend,
    Data,
    Description,
    Owner, //
};
pub use controlled::{
    Controlled,
    ControlledLt, //
};
pub use error::CmdError;
pub use event::{
    EventHandler,
    Subscribers,
    Subscription, //
};
pub use function::{
    About,
    DmaDevice,
    Function,
    FunctionLt, //
};
pub use health::{
    Ailment,
    Care,
    Caretaker,
    Part, //
};

use kernel::prelude::*;

struct Library;

impl kernel::Module for Library {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self)
    }
}

module! {
    type: Library,
    name: "ferrite_aux",
    authors: ["The Ferrite developers"],
    description: "Library of the Ferrite DPU's drivers",
    license: "GPL",
}
