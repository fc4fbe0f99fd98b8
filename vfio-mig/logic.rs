// SPDX-License-Identifier: GPL-2.0

//! The part of the VFIO driver that is pure computation: which states a function goes through on its way from one
//! to another and what is done on each step, what is told of how much there is to read, what a log that
//! overflowed owes.
//!
//! The kernel module compiles it as `mod logic`, cargo compiles it as a crate.

#[path = "logic/account.rs"]
pub mod account;
#[path = "logic/owed.rs"]
pub mod owed;
#[path = "logic/state.rs"]
pub mod state;
