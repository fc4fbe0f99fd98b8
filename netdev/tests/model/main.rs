// SPDX-License-Identifier: GPL-2.0

//! The queues and rules of the Ethernet driver, plugged into the real device model in one process.

mod chaos;
mod faults;
mod interrupts;
mod port;
mod rules;
mod traffic;
