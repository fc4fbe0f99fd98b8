// SPDX-License-Identifier: GPL-2.0

//! VFIO for VFs of the Ferrite DPU that can be migrated.
//!
//! Two drivers stand here. One is for the auxiliary device `ferrite_core.vfio_mig.N` that the core makes below the
//! PF: it notes the handle by which a VF is controlled. The other is for the PCI device of the VF, which the core
//! chooses it for: it makes a VFIO device of it, and looks for the handle. A VF without one can be used through
//! VFIO as well, and cannot be migrated.
//!
//! User space drives the VF directly; all that is done here goes through the PF: [`state`] takes the function from
//! one state to another, [`file`] is what its state is read from and written to, [`dirty`] is the log of what it
//! writes to memory, [`reset`] puts all that back when somebody resets the VF.

mod boxed;
mod changed;
mod dirty;
mod driver;
mod file;
#[cfg(CONFIG_KUNIT = "y")]
mod kunit;
#[expect(
    unreachable_pub,
    reason = "the logic is also a crate of its own, on the host"
)]
mod logic;
mod migrator;
mod reset;
mod state;

use kernel::{
    driver::Registration,
    prelude::*,
    InPlaceModule, //
};

/// The module: its drivers.
///
/// Fields are dropped in this order: VFs go before what controls them.
#[pin_data]
struct Vfio {
    #[pin]
    _pci: Registration<kernel_vfio::Adapter<migrator::Migrator>>,
    #[pin]
    _aux: Registration<kernel::auxiliary::Adapter<driver::Control>>,
}

impl InPlaceModule for Vfio {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _aux <- Registration::new(<Self as kernel::ModuleMetadata>::NAME, module),
            _pci <- Registration::new(<Self as kernel::ModuleMetadata>::NAME, module),
        })
    }
}

module! {
    type: Vfio,
    name: "ferrite_vfio",
    authors: ["The Ferrite developers"],
    description: "VFIO driver of the Ferrite DPU",
    license: "GPL",
    imports_ns: ["IOMMUFD"],
}
