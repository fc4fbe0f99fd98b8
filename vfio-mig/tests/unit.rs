// SPDX-License-Identifier: GPL-2.0

//! Tests of the pure part of the VFIO driver.

#[path = "unit/account.rs"]
mod account;
#[path = "unit/owed.rs"]
mod owed;
#[path = "unit/state.rs"]
mod state;
