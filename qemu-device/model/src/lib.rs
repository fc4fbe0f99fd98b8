// SPDX-License-Identifier: GPL-2.0

//! The Ferrite DPU as a device model that knows neither QEMU nor Linux.
//!
//! [`Device`] is the board. Whatever it is plugged into, QEMU by way of `qemu-device/ffi` or a
//! test by way of [`testing`], implements [`Host`] and calls the device's methods one at a time;
//! only doorbells may be rung from any thread, through the [`Latch`].
//!
//! The device never trusts its driver: whatever the registers, rings and descriptors hold, it
//! neither panics nor loops nor allocates without bound. A mistake is answered with a status, a
//! counter or a [`Trace`].

#![warn(missing_docs, unreachable_pub)]

mod admin;
mod backlog;
mod bus;
mod checksum;
mod cmd;
mod coalesce;
mod config;
mod crash;
mod device;
mod dirty;
mod eswitch;
mod events;
pub mod faults;
mod firmware;
mod flow;
mod function;
mod host;
mod latch;
mod lifecycle;
mod mac;
mod migration;
mod packet;
mod pci;
mod port;
mod provision;
mod queue;
mod rates;
mod registers;
mod rss;
mod rules;
mod rx;
mod save;
mod segment;
mod slot;
mod state;
mod steering;
mod switch;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod text;
mod timers;
mod traps;
mod tso;
mod turns;
mod tx;
mod virtio;
mod work;

pub use config::{
    Config,
    ConfigError,
    ASIC,
    FIRMWARE, //
};
pub use device::{
    Device,
    Received, //
};
pub use host::{
    BusError,
    DmaFault,
    GuestError,
    Host,
    PciFn,
    Trace, //
};
pub use latch::Latch;
pub use save::{
    LoadError,
    SAVE_VERSION, //
};
