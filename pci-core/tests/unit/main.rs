// SPDX-License-Identifier: GPL-2.0

//! The pure part of the core driver against bytes written by hand.

mod adminq;
mod bench;
mod eventq;
mod fault;
mod function;
mod identity;
mod idset;
mod rate;
mod request;
