// SPDX-License-Identifier: GPL-2.0

//! Rules for packets that a network device carries out itself, in place of the classifiers flower
//! and matchall of the stack.
//!
//! A driver implements [`Operations::flow`](crate::netdev::Operations::flow), which is asked to add
//! and remove rules and to count. A [`Rule`] is a view of what the user wrote: what packets must
//! look like, each field with the bits of it that count, and what is done with them. What the view
//! does not know it names, so that a driver cannot overlook it.
//!
//! Only rules for packets that come in are asked for, in process context and under the RTNL.
//!
//! C header: [`include/net/flow_offload.h`](srctree/include/net/flow_offload.h)

mod action;
pub(crate) mod block;
mod matches;
#[cfg(CONFIG_KUNIT = "y")]
mod tests;

pub use action::{
    Action,
    HwStats,
    Target, //
};
pub use matches::{
    Addresses,
    Basic,
    Control,
    EthAddrs,
    Icmp,
    Ip,
    Match,
    Ports,
    Vlan, //
};

use crate::{
    bindings,
    devlink::ExtAck, //
};
use core::marker::PhantomData;
use kernel::error::Error;

/// Returns the error for a rule that the device cannot carry out.
pub fn not_supported() -> Error {
    // CAST: errno values are small.
    Error::from_errno(-(kernel::bindings::EOPNOTSUPP as kernel::ffi::c_int))
}

/// What the stack wants of a device that carries out rules.
pub enum Command<'a> {
    /// Carry out a rule from now on.
    ///
    /// If that fails the stack does it instead, unless the user forbade it: then the text is shown.
    Add(Rule<'a>, ExtAck<'a>),
    /// Do not carry out a rule any more. It may be one that could not be added.
    Remove(Cookie),
    /// Tell what met a rule.
    Count(Cookie, Counters<'a>),
}

/// Names a rule for as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cookie(usize);

impl Cookie {
    pub(crate) fn new(raw: usize) -> Self {
        Self(raw)
    }
}

/// Where what met a rule is told.
///
/// # Invariants
///
/// The pointer is valid, and nobody else's, for `'a`.
pub struct Counters<'a>(*mut bindings::flow_stats, PhantomData<&'a mut ()>);

impl Counters<'_> {
    /// # Safety
    ///
    /// `stats` is valid, and nobody else's, for the lifetime of what is returned.
    pub(crate) unsafe fn from_raw(stats: *mut bindings::flow_stats) -> Self {
        // INVARIANT: by the requirements of this function.
        Self(stats, PhantomData)
    }

    /// Tells how many packets and bytes met the rule since this was told last, and how long ago the
    /// last one did.
    pub fn add(&mut self, packets: u64, bytes: u64, idle_ms: u32) {
        // SAFETY: by the invariants of this type.
        unsafe {
            bindings::ferrite_helper_flow_stats_update(self.0, bytes, packets, idle_ms);
        }
    }
}

/// A rule that the stack wants carried out.
///
/// # Invariants
///
/// `rule` is valid and does not change for `'a`; the dissector in it, if there is one, tells where
/// in key and mask a field is. The network devices that it names stay for `'a`.
#[derive(Clone, Copy)]
pub struct Rule<'a> {
    rule: *const bindings::flow_rule,
    cookie: Cookie,
    priority: u32,
    protocol: u16,
    lifetime: PhantomData<&'a ()>,
}

impl Rule<'_> {
    /// # Safety
    ///
    /// The type's invariants hold for `rule`, for the lifetime of what is returned.
    pub(crate) unsafe fn from_raw(
        rule: *const bindings::flow_rule,
        common: &bindings::flow_cls_common_offload,
        cookie: usize,
    ) -> Self {
        // INVARIANT: by the requirements of this function.
        Self {
            rule,
            cookie: Cookie::new(cookie),
            priority: common.prio,
            protocol: u16::from_be(common.protocol),
            lifetime: PhantomData,
        }
    }

    /// Returns what names the rule.
    pub fn cookie(&self) -> Cookie {
        self.cookie
    }

    /// Returns its priority: that with the lowest comes first.
    pub fn priority(&self) -> u32 {
        self.priority
    }

    /// Returns the EtherType that the user wrote the rule for, that of a VLAN tag if packets have one;
    /// [`None`] for packets of all types.
    pub fn protocol(&self) -> Option<u16> {
        // CAST: an EtherType.
        (self.protocol != bindings::ETH_P_ALL as u16).then_some(self.protocol)
    }
}
