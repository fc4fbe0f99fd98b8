// SPDX-License-Identifier: GPL-2.0

//! Ethernet for a function of the Ferrite DPU: PF, VF or SF.
//!
//! One pair of queues per interrupt vector. Sending runs under the network stack's own lock of the
//! transmit queue ([`tx::Sender`]); completions and received packets are the business of the pair's
//! NAPI instance ([`poll::Pair`]). The two share indices and a FIFO, and no lock.
//!
//! What the device says is checked in [`logic`], which knows neither kernel nor device.

mod adaptive;
mod clock;
mod diagnostics;
mod driver;
mod ethtool;
mod frames;
mod health;
#[cfg(CONFIG_KUNIT = "y")]
mod kunit;
mod link;
#[expect(
    unreachable_pub,
    reason = "the logic is also a crate of its own, on the host"
)]
mod logic;
mod memory;
mod netdev;
mod ntuple;
mod pair;
mod poll;
mod port;
mod restart;
mod rss;
mod rx;
mod stats;
mod steering;
mod tc;
mod tx;
mod vf;
mod watchdog;
mod xdp;

kernel::module_auxiliary_driver! {
    type: driver::Driver,
    name: "ferrite_net",
    authors: ["The Ferrite developers"],
    description: "Ethernet driver of the Ferrite DPU",
    license: "GPL",
}
