// SPDX-License-Identifier: GPL-2.0

//! The C ABI of the Ferrite device model.
//!
//! QEMU's C glue sees an opaque [`FerriteDevice`], calls it through the functions of [`device`] and
//! is called back through the table in [`host`]. Everything that C needs to know of the hardware
//! contract it asks for ([`contract`]), so that no number of it appears in C.
//!
//! All `unsafe` code of the device is in this crate. What the glue has to keep to is said once:
//!
//! 1. A pointer to a [`FerriteDevice`] or [`FerriteLatch`](doorbell::FerriteLatch) that is passed
//!    in came from this crate and was not freed.
//! 2. The callbacks of a [`FerriteHost`](host::FerriteHost) do what their documentation says, with
//!    no access to a buffer beyond its length or after the return.
//!
//! Nothing is asked about threads or about calls from within callbacks: a device that is called
//! while a call is under way refuses it (see [`device`]).

#![warn(missing_docs)]

pub mod contract;
pub mod device;
pub mod doorbell;
pub mod host;
mod text;

pub use device::FerriteDevice;
