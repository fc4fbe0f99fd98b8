// SPDX-License-Identifier: GPL-2.0

//! The hardware contract of the Ferrite DPU.
//!
//! Every number that the device and its drivers must agree on is here and nowhere else: ids, BAR
//! map, registers, admin commands, descriptors, ring arithmetic. The crate is compiled twice from
//! the same files: by kbuild into the kernel modules, by cargo into the device model. The prose
//! that goes with it is `Documentation/hw`, which a test holds against these tables.
//!
//! # Glossary
//!
//! - *function*: something that owns queues and an identity: the PF, a VF or an SF.
//! - *driver* and *device*: the two ends of every queue.
//! - *tail*: where the producer of a ring writes next; *head*: where its consumer reads next. Both
//!   run freely through all of `u32` and are masked only when a slot is addressed.
//! - *doorbell*: an MMIO write which tells the device that a tail moved.
//! - *vector*: an index into the MSI-X table of a PCI function.
//! - *event*: what the device says without being asked, through the event queue.
//!
//! # Rules of the wire
//!
//! Integers are little-endian. Reserved fields are written as zero; the device refuses a command
//! whose reserved bytes are not. Unknown values survive decoding: a code is a newtype with
//! constants, never a Rust enum.

#![no_std]

pub mod admin;
pub mod bar;
pub mod cmd;
pub mod desc;
pub mod event;
pub mod firmware;
pub mod ids;
pub mod mig;
pub mod regs;
pub mod ring;
pub mod wire;

/// Version of this contract: major in bits 31:16, minor in bits 15:0.
///
/// A driver refuses a device with another major version. A device with a higher minor version
/// understands everything that a lower one does.
pub const ABI_VERSION: u32 = 0x0001_0002;
