// SPDX-License-Identifier: GPL-2.0

//! What is done with packets that meet a rule.

use super::Rule;
use crate::{
    bindings,
    netdev::{
        Device,
        NetDevice,
        Operations, //
    },
};
use core::marker::PhantomData;

/// An action of a rule. They are done in order.
#[derive(Clone, Copy)]
pub enum Action<'a> {
    /// Hand the packet to the stack, as if there were no rules.
    Accept,
    /// Drop it.
    Drop,
    /// Hand it to the stack, as a packet that the device could not deal with.
    Trap,
    /// Do the next action.
    Pipe,
    /// Send it from another device.
    Redirect(Target<'a>),
    /// Send a copy from another device.
    Mirror(Target<'a>),
    /// Put a VLAN tag on.
    PushVlan {
        /// EtherType of the tag.
        tpid: u16,
        /// Tag control information.
        tci: u16,
    },
    /// Take the outermost VLAN tag off.
    PopVlan,
    /// Another one, of this name.
    Other(&'static str),
}

/// Which counters the user wants of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HwStats(u32);

impl HwStats {
    /// Returns whether those do that are read from the device when they are asked for.
    pub fn allows_immediate(self) -> bool {
        self.0 & bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_IMMEDIATE != 0
    }

    /// Returns whether it is fine to have none.
    pub fn allows_none(self) -> bool {
        self.0 & bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_DISABLED != 0
    }
}

/// A network device that a rule sends packets from, whatever drives it.
///
/// # Invariants
///
/// The pointer is null, or valid for `'a`.
#[derive(Clone, Copy)]
pub struct Target<'a>(*mut bindings::net_device, PhantomData<&'a NetDevice>);

impl<'a> Target<'a> {
    /// Returns it as a device that a driver made of a `T`, if it is one.
    pub fn downcast<T: Operations>(&self) -> Option<&'a Device<T>> {
        // SAFETY: by the invariants of this type.
        unsafe { Device::downcast(self.0) }
    }
}

impl<'a> Rule<'a> {
    fn entries(&self) -> &'a [bindings::flow_action_entry] {
        // SAFETY: the rule is valid and does not change for `'a`, and has as many entries as it says.
        unsafe {
            let action = &raw const (*self.rule).action;
            let entries = (&raw const (*action).entries).cast();
            core::slice::from_raw_parts(entries, (*action).num_entries as usize)
        }
    }

    /// Returns the actions.
    pub fn actions(&self) -> impl ExactSizeIterator<Item = Action<'a>> {
        self.entries().iter().map(action)
    }

    /// Returns which counters the user wants. [`None`] if they are not the same for all actions.
    pub fn hw_stats(&self) -> Option<HwStats> {
        let mut kinds = self.entries().iter().map(|entry| entry.hw_stats);
        let Some(first) = kinds.next() else {
            return Some(HwStats(
                bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_DONT_CARE,
            ));
        };
        kinds.all(|kind| kind == first).then_some(HwStats(first))
    }
}

macro_rules! others {
    ($id:expr; $( $constant:ident => $name:literal, )*) => {
        match $id {
            $( bindings::$constant => $name, )*
            _ => "an action that is new",
        }
    };
}

/// Returns what an entry says.
fn action(entry: &bindings::flow_action_entry) -> Action<'_> {
    // What `Target` promises is promised for the whole rule.
    let target = || {
        // SAFETY: the entry is one that has a device.
        // INVARIANT: by the invariants of `Rule`.
        Target(unsafe { entry.__bindgen_anon_1.dev }, PhantomData)
    };
    match entry.id {
        bindings::flow_action_id_FLOW_ACTION_ACCEPT => Action::Accept,
        bindings::flow_action_id_FLOW_ACTION_DROP => Action::Drop,
        bindings::flow_action_id_FLOW_ACTION_TRAP => Action::Trap,
        bindings::flow_action_id_FLOW_ACTION_PIPE => Action::Pipe,
        bindings::flow_action_id_FLOW_ACTION_REDIRECT => Action::Redirect(target()),
        bindings::flow_action_id_FLOW_ACTION_MIRRED => Action::Mirror(target()),
        bindings::flow_action_id_FLOW_ACTION_VLAN_PUSH => {
            // SAFETY: the entry is one that has a tag.
            let vlan = unsafe { &entry.__bindgen_anon_1.vlan };
            Action::PushVlan {
                tpid: u16::from_be(vlan.proto),
                tci: vlan.vid & 0xfff | u16::from(vlan.prio) << 13,
            }
        }
        bindings::flow_action_id_FLOW_ACTION_VLAN_POP => Action::PopVlan,
        id => Action::Other(others! { id;
            flow_action_id_FLOW_ACTION_GOTO => "goto chain",
            flow_action_id_FLOW_ACTION_REDIRECT_INGRESS => "redirect to ingress",
            flow_action_id_FLOW_ACTION_MIRRED_INGRESS => "mirror to ingress",
            flow_action_id_FLOW_ACTION_VLAN_MANGLE => "vlan modify",
            flow_action_id_FLOW_ACTION_TUNNEL_ENCAP => "tunnel_key set",
            flow_action_id_FLOW_ACTION_TUNNEL_DECAP => "tunnel_key unset",
            flow_action_id_FLOW_ACTION_MANGLE => "pedit",
            flow_action_id_FLOW_ACTION_ADD => "pedit",
            flow_action_id_FLOW_ACTION_CSUM => "csum",
            flow_action_id_FLOW_ACTION_MARK => "skbedit mark",
            flow_action_id_FLOW_ACTION_PTYPE => "skbedit ptype",
            flow_action_id_FLOW_ACTION_PRIORITY => "skbedit priority",
            flow_action_id_FLOW_ACTION_RX_QUEUE_MAPPING => "skbedit queue_mapping",
            flow_action_id_FLOW_ACTION_SAMPLE => "sample",
            flow_action_id_FLOW_ACTION_POLICE => "police",
            flow_action_id_FLOW_ACTION_CT => "ct",
            flow_action_id_FLOW_ACTION_CT_METADATA => "ct",
            flow_action_id_FLOW_ACTION_MPLS_PUSH => "mpls push",
            flow_action_id_FLOW_ACTION_MPLS_POP => "mpls pop",
            flow_action_id_FLOW_ACTION_MPLS_MANGLE => "mpls modify",
            flow_action_id_FLOW_ACTION_GATE => "gate",
            flow_action_id_FLOW_ACTION_PPPOE_PUSH => "pppoe push",
            flow_action_id_FLOW_ACTION_JUMP => "jump",
            flow_action_id_FLOW_ACTION_VLAN_PUSH_ETH => "vlan push_eth",
            flow_action_id_FLOW_ACTION_VLAN_POP_ETH => "vlan pop_eth",
            flow_action_id_FLOW_ACTION_CONTINUE => "continue",
        }),
    }
}
