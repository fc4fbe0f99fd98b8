// SPDX-License-Identifier: GPL-2.0

//! The driver's queues plugged into the real device model, in one process.

mod driver;
mod events;
mod faults;
mod functions;
mod interleavings;
mod queue;
