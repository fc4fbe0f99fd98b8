// SPDX-License-Identifier: GPL-2.0

//! Commands about the embedded switch: its mode, and the rules that it follows in switchdev mode.

use super::command;
use crate::wire::*;

codes! {
    /// How the embedded switch works.
    pub struct EswitchMode(u16) {
        /// It learns addresses, as a bridge does.
        LEGACY = 0;
        /// It follows rules; what meets none goes to the representor of the port that it came
        /// from, or to the PF if it came from the uplink.
        SWITCHDEV = 1;
        /// As `SWITCHDEV`, but that nothing passes between the uplink, VFs and SFs.
        SWITCHDEV_INACTIVE = 2;
    }
}

/// Changes the mode of the switch. Between legacy and the others, all rules, all that was learned
/// and the queues of all representors go; functions stay as they are.
///
/// `INVALID_FIELD` for an unknown mode.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetEswitchMode {
    /// [`EswitchMode`].
    pub mode: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
}
layout!(SetEswitchMode: 4 { mode @ 0 });
command!(SetEswitchMode = SET_ESWITCH_MODE, done (), none [u8; 0], pf);

/// Describes the switch.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueryEswitch {}
command!(QueryEswitch = QUERY_ESWITCH, done QueryEswitchDone, none [u8; 0], pf);

/// Answer to [`QueryEswitch`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueryEswitchDone {
    /// [`EswitchMode`].
    pub mode: U16,
    /// Largest number of nodes of the rate tree.
    pub max_rate_nodes: U16,
    /// Rules that there are.
    pub rules: U32,
    /// Largest number of rules.
    pub max_rules: U32,
}
layout!(QueryEswitchDone: 12 { mode @ 0, max_rate_nodes @ 2, rules @ 4, max_rules @ 8 });

/// Adds a rule to the switch. Of the rules that a frame meets, the one with the lowest `priority`
/// counts, among equals the older one.
///
/// `BAD_STATE` in legacy mode, `NO_RESOURCE` if there are as many rules as the device can have,
/// `INVALID_FIELD` for actions that make no sense, `INVALID_FUNCTION` for a port that there is not.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AddRule {}
command!(AddRule = ADD_RULE, done AddRuleDone, to_device Rule, pf);

/// Answer to [`AddRule`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AddRuleDone {
    /// Names the rule. Numbers are given out in turn, so that an old one names nothing else for a
    /// long time, whatever was reset meanwhile.
    pub rule: U32,
}
layout!(AddRuleDone: 4 { rule @ 0 });

/// A port of the switch that is not a function: the wire.
pub const UPLINK: u16 = 0xffff;
/// Largest number of actions of a [`Rule`].
pub const MAX_RULE_ACTIONS: usize = 8;

/// Data buffer of [`AddRule`].
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Rule {
    /// Lower ones come first.
    pub priority: U32,
    /// Where frames must come from: [`UPLINK`], or the [`FunctionId`](crate::ids::FunctionId) of a
    /// VF or SF.
    pub in_port: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
    /// What is done with the frame, in this order, up to the first that is
    /// [`RuleActionKind::END`].
    pub actions: [RuleAction; MAX_RULE_ACTIONS],
    /// What frames must look like.
    pub key: RuleKey,
    /// Which bits of `key` count. A field of which a bit counts is one that the frame must have.
    pub mask: RuleKey,
}
layout!(Rule: 168 { priority @ 0, in_port @ 4, rsvd @ 6, actions @ 8, key @ 40, mask @ 104 });

/// An action of a [`Rule`]. A rule that forwards nowhere drops.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RuleAction {
    /// [`RuleActionKind`].
    pub kind: U16,
    /// Its argument, 0 if it has none.
    pub argument: U16,
}
layout!(RuleAction: 4 { kind @ 0, argument @ 2 });

codes! {
    /// Kind of a [`RuleAction`].
    pub struct RuleActionKind(u16) {
        /// No further action.
        END = 0;
        /// Send the frame as it is now to a port: [`UPLINK`] or the
        /// [`FunctionId`](crate::ids::FunctionId) of the PF, a VF, an SF or a representor. Further
        /// actions go on with the frame, so that one rule can mirror.
        FORWARD = 1;
        /// Take the outermost VLAN tag off; a frame without is dropped.
        POP_VLAN = 2;
        /// Put an 802.1Q tag on, with the argument as its tag control information.
        PUSH_VLAN = 3;
    }
}

/// Fields of a frame. Those that a frame does not have are zero.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RuleKey {
    /// Destination MAC address.
    pub dst_mac: [u8; 6],
    /// Source MAC address.
    pub src_mac: [u8; 6],
    /// EtherType, that behind the VLAN tag if there is one.
    pub eth_type: U16,
    /// Tag control information of the outermost VLAN tag.
    pub vlan_tci: U16,
    /// 1 if there is a VLAN tag.
    pub tagged: u8,
    /// Protocol of IPv4, last next header of IPv6.
    pub ip_proto: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// [`Fragment`].
    pub fragment: u8,
    /// Reserved.
    pub rsvd: [u8; 3],
    /// Source address in network order, that of IPv4 in the first four bytes.
    pub src_ip: [u8; 16],
    /// Destination address, likewise.
    pub dst_ip: [u8; 16],
    /// Source port of TCP, UDP or SCTP, type and code of ICMP.
    pub src_port: U16,
    /// Destination port of TCP, UDP or SCTP.
    pub dst_port: U16,
    /// Flags of TCP: the low 12 bits of the word at offset 12 of its header.
    pub tcp_flags: U16,
    /// Reserved.
    pub rsvd2: [u8; 2],
}
layout!(RuleKey: 64 {
    dst_mac @ 0, src_mac @ 6, eth_type @ 12, vlan_tci @ 14, tagged @ 16, ip_proto @ 17, tos @ 18,
    ttl @ 19, fragment @ 20, rsvd @ 21, src_ip @ 24, dst_ip @ 40, src_port @ 56, dst_port @ 58,
    tcp_flags @ 60, rsvd2 @ 62,
});

codes! {
    /// What piece of an IP packet a frame has.
    pub struct Fragment(u8) {
        /// It has but a piece.
        FRAGMENT = 1 << 0;
        /// The piece is the first one, with the header of layer 4.
        FIRST = 1 << 1;
    }
}

/// Removes a rule. No frame meets it after the completion.
///
/// `BAD_STATE` if there is no such rule, as for [`QueryRule`].
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RemoveRule {
    /// From [`AddRuleDone`].
    pub rule: U32,
}
layout!(RemoveRule: 4 { rule @ 0 });
command!(RemoveRule = REMOVE_RULE, done (), none [u8; 0], pf);

/// Tells what met a rule.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueryRule {
    /// From [`AddRuleDone`].
    pub rule: U32,
}
layout!(QueryRule: 4 { rule @ 0 });
command!(QueryRule = QUERY_RULE, done QueryRuleDone, none [u8; 0], pf);

/// Answer to [`QueryRule`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueryRuleDone {
    /// Frames that met it since it was added.
    pub packets: U64,
    /// Their bytes, from the destination address up to the end of the payload.
    pub bytes: U64,
    /// Milliseconds since the last of them, or since the rule was added.
    pub idle_ms: U32,
}
layout!(QueryRuleDone: 20 { packets @ 0, bytes @ 8, idle_ms @ 16 });
