// SPDX-License-Identifier: GPL-2.0

//! The core driver of the Ferrite DPU: it owns the PCI functions, PF and VF alike, operates their
//! admin queue, and publishes what they can do as auxiliary devices.

mod adminq;
mod auxdev;
mod bar;
mod debugfs;
mod devlink;
mod driver;
mod eventq;
mod function;
mod health;
mod irq;
mod kunit;
#[expect(
    unreachable_pub,
    reason = "the logic is also a crate of its own, on the host"
)]
mod logic;
mod sriov;

kernel::module_driver!(<T>, kernel_ext::pci::Adapter<T>, {
    type: driver::Driver,
    name: "ferrite_core",
    authors: ["The Ferrite developers"],
    description: "Core driver of the Ferrite DPU",
    license: "GPL",
});
