// SPDX-License-Identifier: GPL-2.0

//! Commands about the way of a received packet to its queue: filters, and receive side scaling.
//!
//! A packet meets the filters of the port first. One that meets none, and one that a filter sends
//! there, goes to a context of receive side scaling, which hashes it and looks its queue up.

use super::{
    command,
    RuleKey, //
};
use crate::wire::*;

/// Length of an RSS key in bytes.
pub const RSS_KEY: usize = 40;
/// Largest size of the RSS indirection table.
pub const MAX_RSS_TABLE: usize = 256;
/// Number of kinds of packets whose hash is chosen apart, see [`RssFlow`].
pub const RSS_FLOWS: usize = 6;

codes! {
    /// Which packets are hashed over what.
    pub struct RssHash(u16) {
        /// IPv4 addresses.
        IPV4 = 1 << 0;
        /// IPv6 addresses.
        IPV6 = 1 << 1;
        /// TCP ports as well.
        TCP = 1 << 2;
        /// UDP ports as well.
        UDP = 1 << 3;
        /// What [`SetRss::fields`] says; no other bit is set.
        FIELDS = 1 << 4;
    }
}

codes! {
    /// Kinds of packets whose fields are chosen apart, by their index in [`SetRss::fields`].
    pub struct RssFlow(u16) {
        /// TCP over IPv4.
        TCP4 = 0;
        /// UDP over IPv4.
        UDP4 = 1;
        /// TCP over IPv6.
        TCP6 = 2;
        /// UDP over IPv6.
        UDP6 = 3;
        /// All else over IPv4, fragments too.
        IP4 = 4;
        /// All else over IPv6, fragments too.
        IP6 = 5;
    }
}

codes! {
    /// Fields of a packet that are hashed. The input of the hash is those that were chosen, in the
    /// order of these bits, each as it stands in the packet.
    pub struct RssFields(u8) {
        /// Source address.
        SRC_IP = 1 << 0;
        /// Destination address.
        DST_IP = 1 << 1;
        /// Source port, of TCP and UDP only.
        SRC_PORT = 1 << 2;
        /// Destination port, of TCP and UDP only.
        DST_PORT = 1 << 3;
        /// Flow label, of IPv6 only: as four bytes whose upper twelve bits are zero.
        FLOW_LABEL = 1 << 4;
    }
}

codes! {
    /// What is done to source and destination before they are hashed, so that both directions of a
    /// connection have the same hash.
    pub struct RssTransform(u16) {
        /// Nothing.
        NONE = 0;
        /// Both are replaced by their exclusive or.
        XOR = 1;
        /// The source is replaced by the or of both, the destination by their exclusive or.
        OR_XOR = 2;
    }
}

/// Sets a context of receive side scaling, making it if need be: hash, key and indirection table.
///
/// Context 0 is for the packets that no filter sends elsewhere; without it they go to RX queue 0.
///
/// `INVALID_FIELD` if `entries` is no power of two or more than the function has, if the table, or
/// the table together with a filter, names a queue above the function's maximum, if fields are
/// chosen that packets of the kind do not have, or if a transformation meets a source without its
/// destination or the other way round; `NO_RESOURCE` for a context that the function cannot have.
///
/// A device without [`RSS_CONTEXTS`](crate::regs::Features::RSS_CONTEXTS) takes only what has zeros
/// behind `entries`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetRss {
    /// [`RssHash`]; 0 is as good as [`RemoveRss`].
    pub hash: U16,
    /// Entries of the table that count, a power of two, at most what
    /// [`QueryFunctionDone`](super::QueryFunctionDone) says.
    pub entries: U16,
    /// The context, from 0 to `max_contexts` of [`QuerySteeringDone`].
    pub context: U16,
    /// [`RssTransform`].
    pub transform: U16,
    /// With [`RssHash::FIELDS`], the [`RssFields`] of each [`RssFlow`]; a kind without is not
    /// hashed.
    pub fields: [u8; RSS_FLOWS],
    /// Reserved.
    pub rsvd: [u8; 2],
}
layout!(SetRss: 16 {
    hash @ 0, entries @ 2, context @ 4, transform @ 6, fields @ 8, rsvd @ 14,
});
command!(SetRss = SET_RSS, done (), to_device RssTable, any);

/// Data buffer of [`SetRss`].
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RssTable {
    /// Toeplitz key, which is repeated for as long as the input goes on.
    pub key: [u8; RSS_KEY],
    /// RX queue for each value of the low bits of the hash; a packet that is not hashed goes to the
    /// first.
    pub queues: [U16; MAX_RSS_TABLE],
}
layout!(RssTable: 552 { key @ 0, queues @ 40 });

/// Takes a context of receive side scaling away; for context 0, turns scaling off.
///
/// `BAD_STATE` if there is no such context, `IN_USE` if a filter names it, unless it is context 0.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RemoveRss {
    /// The context.
    pub context: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
}
layout!(RemoveRss: 4 { context @ 0 });
command!(RemoveRss = REMOVE_RSS);

codes! {
    /// What a filter does with a packet.
    pub struct FilterAction(u16) {
        /// Drops it.
        DROP = 0;
        /// Puts it in the RX queue.
        QUEUE = 1;
        /// Gives it to the context of receive side scaling, and adds `queue` to the RX queue that
        /// comes out.
        RSS = 2;
    }
}

/// Sets the filter at a location, in place of the one that is there. Of the filters that a packet
/// meets, the one at the lowest location counts.
///
/// `INVALID_FIELD` for an unknown action, for arguments that it does not have and for a queue above
/// the function's maximum; `BAD_STATE` for a context that there is not, other than 0;
/// `NO_RESOURCE` for a location that the function does not have.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetFilter {
    /// The location, below `max_filters` of [`QuerySteeringDone`].
    pub location: U16,
    /// [`FilterAction`].
    pub action: U16,
    /// RX queue; 0 to drop.
    pub queue: U16,
    /// Context; 0 but for [`FilterAction::RSS`].
    pub context: U16,
}
layout!(SetFilter: 8 { location @ 0, action @ 2, queue @ 4, context @ 6 });
command!(SetFilter = SET_FILTER, done (), to_device Filter, any);

/// Data buffer of [`SetFilter`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Filter {
    /// What packets must look like, as they come from the switch.
    pub key: RuleKey,
    /// Which bits of `key` count. A field of which a bit counts is one that the packet must have.
    pub mask: RuleKey,
}
layout!(Filter: 128 { key @ 0, mask @ 64 });

/// Removes a filter. No packet meets it after the completion.
///
/// `BAD_STATE` if there is none at the location.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RemoveFilter {
    /// The location.
    pub location: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
}
layout!(RemoveFilter: 4 { location @ 0 });
command!(RemoveFilter = REMOVE_FILTER);

/// Tells what there can be, and what there is, of contexts and filters.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QuerySteering {}
command!(QuerySteering = QUERY_STEERING, done QuerySteeringDone, none [u8; 0], any);

/// Answer to [`QuerySteering`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QuerySteeringDone {
    /// Contexts that there can be beside context 0: 1 up to this number.
    pub max_contexts: U16,
    /// Number of locations for filters.
    pub max_filters: U16,
    /// Contexts that there are beside context 0.
    pub contexts: U16,
    /// Filters that there are.
    pub filters: U16,
}
layout!(QuerySteeringDone: 8 { max_contexts @ 0, max_filters @ 2, contexts @ 4, filters @ 6 });
