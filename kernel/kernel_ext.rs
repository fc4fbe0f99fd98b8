// SPDX-License-Identifier: GPL-2.0

//! Safe wrappers for what Linux 7.2 has in C only, beside those of the [`kernel`] crate.
//!
//! A module here is for one subsystem and is written as one of the `kernel` crate would be, to be
//! sent upstream. Drivers use it without `unsafe`; `bindings` and `unsafe` stay in this crate.
//!
//! Whatever a wrapper hands out survives the device: an object that needs the device bound is
//! revoked when it is not, and says so.

pub mod anon_file;
pub mod auxiliary;
mod bindings;
pub mod completion;
pub mod devlink;
pub mod dim;
pub mod dma;
pub mod ethtool;
pub mod flow;
pub mod gate;
pub mod iomap;
pub mod irq;
pub mod napi;
pub mod netdev;
mod netdev_builder;
mod netdev_classes;
mod netdev_lock;
mod netdev_ops;
mod netdev_queue;
pub mod netdev_restart;
mod netdev_rtnl;
#[cfg(CONFIG_KUNIT = "y")]
mod netdev_tests;
mod netdev_types;
mod netdev_vf;
mod optional;
pub mod page_pool;
pub mod pci;
pub mod ptp;
pub mod registry;
pub mod skb;
mod skb_flight;
#[cfg(CONFIG_KUNIT = "y")]
mod testing;
pub mod vdpa;
pub mod work;
pub mod xdp;
