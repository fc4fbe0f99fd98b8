// SPDX-License-Identifier: GPL-2.0

//! The part of the core driver that is pure computation.
//!
//! It knows the hardware contract and nothing else: rings, registers and time are handed in. The
//! kernel module compiles it as `mod logic`, cargo compiles it as a crate and plugs it into the
//! real device model in `tests/`.

#[path = "logic/adminq.rs"]
pub mod adminq;
#[path = "logic/eventq.rs"]
pub mod eventq;
#[path = "logic/failure.rs"]
pub mod failure;
#[path = "logic/fault.rs"]
pub mod fault;
#[path = "logic/function.rs"]
pub mod function;
#[path = "logic/identity.rs"]
pub mod identity;
#[path = "logic/idset.rs"]
pub mod idset;
#[path = "logic/port.rs"]
pub mod port;
#[path = "logic/rate.rs"]
pub mod rate;
#[path = "logic/request.rs"]
pub mod request;
#[path = "logic/slot.rs"]
pub mod slot;
