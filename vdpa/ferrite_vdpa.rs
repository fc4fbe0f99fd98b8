// SPDX-License-Identifier: GPL-2.0

//! vDPA for a function of the Ferrite DPU: the function as a virtio-net device, whose rings the device
//! itself works on, and whose control path goes through the admin queue.

mod device;
mod driver;
mod health;
mod mgmt;
mod queue;

kernel::module_auxiliary_driver! {
    type: driver::Driver,
    name: "ferrite_vdpa",
    authors: ["The Ferrite developers"],
    description: "vDPA driver of the Ferrite DPU",
    license: "GPL",
}
