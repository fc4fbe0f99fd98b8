// SPDX-License-Identifier: GPL-2.0

//! The part of the Ethernet driver that is pure computation.
//!
//! It knows the hardware contract and nothing else: ring memory, buffers and packets are handed in.
//! The kernel module compiles it as `mod logic`, cargo compiles it as a crate and plugs it into the
//! real device model in `tests/`.
//!
//! What the device writes is not trusted: every index, cookie and length is checked against what
//! the driver posted before anything is done with it.

#[path = "logic/dump.rs"]
pub mod dump;
#[path = "logic/flow.rs"]
pub mod flow;
#[path = "logic/frames.rs"]
pub mod frames;
#[path = "logic/geometry.rs"]
pub mod geometry;
#[path = "logic/memory.rs"]
pub mod memory;
#[path = "logic/ntuple.rs"]
pub mod ntuple;
#[path = "logic/rate.rs"]
pub mod rate;
#[path = "logic/reset.rs"]
pub mod reset;
#[path = "logic/ring.rs"]
pub mod ring;
#[path = "logic/rss.rs"]
pub mod rss;
#[path = "logic/rx.rs"]
pub mod rx;
#[path = "logic/tx.rs"]
pub mod tx;
