// SPDX-License-Identifier: GPL-2.0

//! Safe wrappers for drivers on top of VFIO's PCI core, such as one that migrates functions.
//!
//! A driver implements [`Driver`] and registers a [`kernel::driver::Registration`] of the [`Adapter`]. Each PCI
//! function that it is bound to is a [`Device`]: VFIO's own device with the driver's data beside it, which user
//! space may hold on to for longer than the function is bound.
//!
//! This is a crate of its own since it needs VFIO, which not everybody does who uses `kernel_ext`.
//!
//! C headers: [`include/linux/vfio.h`](srctree/include/linux/vfio.h),
//! [`include/linux/vfio_pci_core.h`](srctree/include/linux/vfio_pci_core.h)

// That of `kernel_ext`, over the headers of this crate.
#[path = "../bindings.rs"]
mod bindings;
mod device;
mod log;
mod migration;
mod ops;
mod pci;
mod window;

pub use device::{
    Device,
    Driver, //
};
pub use log::{
    Dirty,
    Ranges, //
};
pub use migration::{
    next_state,
    precopy_info,
    PrecopyInfo,
    MIGRATION_P2P,
    MIGRATION_PRE_COPY,
    MIGRATION_STOP_COPY, //
};
pub use pci::{
    Adapter,
    DeviceId,
    IdTable, //
};
