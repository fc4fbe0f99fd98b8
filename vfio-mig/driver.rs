// SPDX-License-Identifier: GPL-2.0

//! The driver of the auxiliary devices `ferrite_core.vfio_mig.N`: knows by which handle a VF is controlled.

use ferrite_aux::{
    names,
    Controlled, //
};
use kernel::{
    auxiliary,
    device::Core,
    pci,
    prelude::*, //
};
use kernel_ext::registry::{
    Entry,
    Registry, //
};

kernel::auxiliary_device_table!(
    TABLE,
    MODULE_TABLE,
    <Control as auxiliary::Driver>::IdInfo,
    [(names::id(names::VFIO_MIG), ())]
);

/// The VFs that can be controlled.
static CONTROLLED: Registry<Controlled> = Registry::new();

/// Returns the handle by which a VF is controlled, if there is one.
pub(crate) fn find(vf: &pci::Device) -> Option<Controlled> {
    CONTROLLED.find(|controlled| controlled.is(vf))
}

/// The driver.
pub(crate) struct Control;

impl auxiliary::Driver for Control {
    type IdInfo = ();
    type Data<'bound> = Entry<Controlled>;

    const ID_TABLE: auxiliary::IdTable<Self::IdInfo> = &TABLE;

    fn probe<'bound>(
        adev: &'bound auxiliary::Device<Core<'_>>,
        _info: &'bound Self::IdInfo,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        Controlled::of(adev).and_then(|controlled| CONTROLLED.add(controlled))
    }
}
