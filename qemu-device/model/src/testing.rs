// SPDX-License-Identifier: GPL-2.0

//! A machine for tests: memory, interrupts, clock and uplink in plain sight, and a small driver.
//!
//! [`Machine`] is a device plugged into a [`FakeHost`]. The drivers' own logic is tested against
//! it in one process; the device's own tests use [`Driver`], which does what a driver does in the
//! plainest way.

mod driver;
pub mod frame;
mod host;
mod image;
mod machine;
mod mover;
pub mod virtio;

pub use driver::{
    Driver,
    Rings,
    RxPacket,
    RxQueue,
    TxQueue,
    BUFFER, //
};
pub use host::FakeHost;
pub use image::image;
pub use machine::Machine;
