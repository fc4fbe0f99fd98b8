// SPDX-License-Identifier: GPL-2.0

//! Commands about the rates at which VFs and SFs send: a tree whose leaves are functions and whose
//! nodes share among those below them.

use super::command;
use crate::wire::*;

/// Parent of what hangs from no node: the device itself.
pub const RATE_ROOT: u16 = 0;

/// Adds a node below the root.
///
/// `NO_RESOURCE` if there are as many as the device can have.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CreateRateNode {}
command!(CreateRateNode = CREATE_RATE_NODE, done CreateRateNodeDone, none [u8; 0], pf);

/// Answer to [`CreateRateNode`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CreateRateNodeDone {
    /// Names the node; not [`RATE_ROOT`].
    pub node: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
}
layout!(CreateRateNodeDone: 4 { node @ 0 });

/// Removes a node.
///
/// `BAD_STATE` if there is no such node, `IN_USE` if something hangs from it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DestroyRateNode {
    /// From [`CreateRateNodeDone`].
    pub node: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
}
layout!(DestroyRateNode: 4 { node @ 0 });
command!(DestroyRateNode = DESTROY_RATE_NODE, done (), none [u8; 0], pf);

/// Sets the rate of a node, or of the VF or SF that the submission names.
///
/// `BAD_STATE` if there is no such node or parent; `INVALID_FIELD` if a node would hang from itself
/// or what hangs from it, or if shares of bandwidth are neither all zero nor 100 together.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetRate {
    /// The node, or [`RATE_ROOT`] for the function's leaf.
    pub node: U16,
    /// The node that it hangs from, or [`RATE_ROOT`].
    pub parent: U16,
}
layout!(SetRate: 4 { node @ 0, parent @ 2 });
command!(SetRate = SET_RATE, done (), to_device Rate, pf);

/// Tells the rate of a node, or of the VF or SF that the submission names.
///
/// `BAD_STATE` if there is no such node.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueryRate {
    /// As in [`SetRate`].
    pub node: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
}
layout!(QueryRate: 4 { node @ 0 });
command!(QueryRate = QUERY_RATE, done QueryRateDone, from_device Rate, pf);

/// Answer to [`QueryRate`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueryRateDone {
    /// As in [`SetRate`].
    pub parent: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
}
layout!(QueryRateDone: 4 { parent @ 0 });

/// Number of traffic classes. A frame's is the priority of its VLAN tag, 0 without.
pub const TRAFFIC_CLASSES: usize = 8;

/// Data buffer of [`SetRate`] and [`QueryRate`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Rate {
    /// Largest rate in bytes a second, 0 for no limit.
    pub tx_max: U64,
    /// Rate in bytes a second that it gets before its siblings get more than theirs, 0 for none.
    pub tx_share: U64,
    /// Siblings of a higher priority come first, with all that they have.
    pub priority: U32,
    /// Share among siblings of the same priority, 1 to 200; 0 counts as 1.
    pub weight: U32,
    /// Shares of the traffic classes in percent, all zero for none.
    pub tc_bw: [U32; TRAFFIC_CLASSES],
}
layout!(Rate: 56 { tx_max @ 0, tx_share @ 8, priority @ 16, weight @ 20, tc_bw @ 24 });
