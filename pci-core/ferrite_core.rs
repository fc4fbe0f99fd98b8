// SPDX-License-Identifier: GPL-2.0

//! The core driver of the Ferrite DPU: it owns the PCI functions, PF and VF alike, operates their
//! admin queue, and publishes what they can do as auxiliary devices.

mod adminq;
mod auxdev;
mod bar;
mod board;
mod debugfs;
mod devlink;
mod driver;
mod eswitch;
mod eventq;
mod flash;
mod function;
mod functions;
mod health;
mod irq;
mod kunit;
mod life;
#[expect(
    unreachable_pub,
    reason = "the logic is also a crate of its own, on the host"
)]
mod logic;
mod port;
mod rate;
mod region;
mod reporters;
mod resource;
mod retire;
mod routes;
mod sf;
mod sriov;
mod trap;
mod vectors;
mod vf;
mod vnic;

use kernel::{
    driver::Registration,
    prelude::*,
    InPlaceModule, //
};

/// The module: its drivers.
///
/// Fields are dropped in this order: PFs go first, and with them the SFs.
#[pin_data]
struct Core {
    #[pin]
    _pci: Registration<kernel_ext::pci::Adapter<driver::Driver>>,
    #[pin]
    _sf: Registration<kernel::auxiliary::Adapter<sf::Driver>>,
    _settled: Settled,
}

/// Waits, when it is dropped, for what is still done for PFs that are gone.
struct Settled;

impl Drop for Settled {
    fn drop(&mut self) {
        retire::settle();
    }
}

impl InPlaceModule for Core {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _settled: Settled,
            // In this order: SFs find their driver as soon as there are some.
            _sf <- Registration::new(<Self as kernel::ModuleMetadata>::NAME, module),
            _pci <- Registration::new(<Self as kernel::ModuleMetadata>::NAME, module),
        })
    }
}

module! {
    type: Core,
    name: "ferrite_core",
    authors: ["The Ferrite developers"],
    description: "Core driver of the Ferrite DPU",
    license: "GPL",
}
