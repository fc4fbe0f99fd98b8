// SPDX-License-Identifier: GPL-2.0

//! Names of the auxiliary devices, on which the core and its clients must agree.

use kernel::{
    auxiliary,
    prelude::*, //
};

/// Module that publishes the devices: the first half of their names.
pub const CORE: &CStr = c"ferrite_core";

/// Ethernet port of a function.
pub const ETH: &CStr = c"eth";
/// Sub-function.
pub const SF: &CStr = c"sf";
/// Representor of a VF or SF: its [`Function`](crate::Function) is the one of the representor, the
/// devlink port of that is the one of the function represented.
pub const REP: &CStr = c"rep";
/// virtio-net device of a function, for vDPA.
pub const VNET: &CStr = c"vnet";
/// Migration of a VF, for VFIO: carries the VF as [`Controlled`](crate::Controlled).
pub const VFIO_MIG: &CStr = c"vfio_mig";

/// Name of the PCI driver that VFs are handed to which can be migrated.
pub const VFIO_DRIVER: &CStr = c"ferrite_vfio";

/// Returns what the id table of a driver for devices of `kind` holds.
pub const fn id(kind: &'static CStr) -> auxiliary::DeviceId {
    auxiliary::DeviceId::new(CORE, kind)
}
