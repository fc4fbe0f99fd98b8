// SPDX-License-Identifier: GPL-2.0

//! What packets must look like to meet a rule.

use super::Rule;
use crate::bindings;

/// A field, or some of them, and which bits count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Match<T> {
    /// What the bits that count must be.
    pub key: T,
    /// Ones where bits count.
    pub mask: T,
}

/// Types of the packet. All integers of matches are in the byte order of the processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Basic {
    /// EtherType, that behind VLAN tags that the rule is about.
    pub eth_type: u16,
    /// Protocol of layer 4.
    pub ip_proto: u8,
}

/// What the dissection of the packet came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// Bits such as [`Control::FRAGMENT`].
    pub flags: u32,
}

impl Control {
    /// The packet has a piece of an IP packet only.
    pub const FRAGMENT: u32 = bindings::flow_dissector_ctrl_flags_FLOW_DIS_IS_FRAGMENT;
    /// The piece is the first one.
    pub const FIRST_FRAGMENT: u32 = bindings::flow_dissector_ctrl_flags_FLOW_DIS_FIRST_FRAG;
}

/// MAC addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EthAddrs {
    /// Destination.
    pub dst: [u8; 6],
    /// Source.
    pub src: [u8; 6],
}

/// The outermost VLAN tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vlan {
    /// EtherType of the tag itself.
    pub tpid: u16,
    /// Tag control information.
    pub tci: u16,
}

/// Addresses of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses<const N: usize> {
    /// Source.
    pub src: [u8; N],
    /// Destination.
    pub dst: [u8; N],
}

/// Fields of the header of IP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ip {
    /// Type of service or traffic class.
    pub tos: u8,
    /// Time to live or hop limit.
    pub ttl: u8,
}

/// Ports of layer 4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// Source.
    pub src: u16,
    /// Destination.
    pub dst: u16,
}

/// What a message of ICMP is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Icmp {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
}

macro_rules! keys {
    ($( $name:ident = $key:ident; )*) => {
        /// Fields that the methods of [`Rule`] tell; see `enum flow_dissector_key_id`.
        #[derive(Clone, Copy)]
        #[repr(u32)]
        enum Key {
            $( $name = bindings::$key, )*
        }

        /// All of them.
        const KNOWN: u64 = 0 $( | 1 << bindings::$key )*;
    };
}

keys! {
    Control = flow_dissector_key_id_FLOW_DISSECTOR_KEY_CONTROL;
    Basic = flow_dissector_key_id_FLOW_DISSECTOR_KEY_BASIC;
    Ipv4Addrs = flow_dissector_key_id_FLOW_DISSECTOR_KEY_IPV4_ADDRS;
    Ipv6Addrs = flow_dissector_key_id_FLOW_DISSECTOR_KEY_IPV6_ADDRS;
    Ports = flow_dissector_key_id_FLOW_DISSECTOR_KEY_PORTS;
    Icmp = flow_dissector_key_id_FLOW_DISSECTOR_KEY_ICMP;
    EthAddrs = flow_dissector_key_id_FLOW_DISSECTOR_KEY_ETH_ADDRS;
    Vlan = flow_dissector_key_id_FLOW_DISSECTOR_KEY_VLAN;
    Tcp = flow_dissector_key_id_FLOW_DISSECTOR_KEY_TCP;
    Ip = flow_dissector_key_id_FLOW_DISSECTOR_KEY_IP;
}

macro_rules! names {
    ($( $key:ident = $name:literal; )*) => {
        &[$( (bindings::$key, $name) ),*]
    };
}

/// Names of other fields.
const NAMES: &[(u32, &str)] = names! {
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_PORTS_RANGE = "ranges of ports";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ARP = "ARP";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_MPLS = "MPLS";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_CVLAN = "a second VLAN tag";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_KEYID = "a tunnel's key";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_IPV4_ADDRS = "a tunnel's addresses";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_IPV6_ADDRS = "a tunnel's addresses";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_CONTROL = "a tunnel's flags";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_PORTS = "a tunnel's ports";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_IP = "a tunnel's TOS and TTL";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_OPTS = "a tunnel's options";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_META = "the ingress device or l2_miss";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_CT = "connection tracking";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_HASH = "the hash";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_NUM_OF_VLANS = "the number of VLAN tags";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_PPPOE = "PPPoE";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_L2TPV3 = "L2TPv3";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_CFM = "CFM";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_IPSEC = "IPsec";
};

/// Returns from a method of [`Rule`] what `$function` says of a field, if the rule has that: `$raw` is
/// the type that it fills, with pointers to what `$convert` takes.
macro_rules! field {
    ($self:ident, $key:ident, $raw:ident, $function:ident, $convert:expr) => {{
        if !$self.has(Key::$key) {
            return None;
        }
        let mut raw: bindings::$raw = pin_init::zeroed();
        // SAFETY: the rule is valid, by the invariants of `Rule`, and has the field: key and mask
        // have one of it, where the dissector says, which does not change.
        let (key, mask) = unsafe {
            bindings::$function($self.rule, &mut raw);
            (raw.key.read_unaligned(), raw.mask.read_unaligned())
        };
        let convert = $convert;
        Some(Match {
            key: convert(&key),
            mask: convert(&mask),
        })
    }};
}

impl Rule<'_> {
    fn keys(&self) -> u64 {
        // SAFETY: by the invariants of this type; a rule for all packets has no dissector.
        unsafe { (*self.rule).match_.dissector.as_ref() }.map_or(0, |dissector| dissector.used_keys)
    }

    fn has(&self, key: Key) -> bool {
        self.keys() & (1 << key as u32) != 0
    }

    /// Returns the name of a field of the rule that no other method tells, if there is one: whoever
    /// carries out the rule as the other methods tell it makes a mistake.
    pub fn unknown_key(&self) -> Option<&'static str> {
        let unknown = self.keys() & !KNOWN;
        (unknown != 0).then(|| {
            NAMES
                .iter()
                .find(|(key, _)| unknown & (1 << key) != 0)
                .map_or("a field that is new", |(_, name)| *name)
        })
    }

    /// Returns the types of packets.
    pub fn basic(&self) -> Option<Match<Basic>> {
        field!(self, Basic, flow_match_basic, flow_rule_match_basic, {
            |raw: &bindings::flow_dissector_key_basic| Basic {
                eth_type: u16::from_be(raw.n_proto),
                ip_proto: raw.ip_proto,
            }
        })
    }

    /// Returns the flags of packets.
    pub fn control(&self) -> Option<Match<Control>> {
        field!(
            self,
            Control,
            flow_match_control,
            flow_rule_match_control,
            { |raw: &bindings::flow_dissector_key_control| Control { flags: raw.flags } }
        )
    }

    /// Returns the MAC addresses.
    pub fn eth_addrs(&self) -> Option<Match<EthAddrs>> {
        field!(
            self,
            EthAddrs,
            flow_match_eth_addrs,
            flow_rule_match_eth_addrs,
            {
                |raw: &bindings::flow_dissector_key_eth_addrs| EthAddrs {
                    dst: raw.dst,
                    src: raw.src,
                }
            }
        )
    }

    /// Returns the outermost VLAN tag. A rule with this is for packets with a tag, whatever counts of
    /// it.
    pub fn vlan(&self) -> Option<Match<Vlan>> {
        field!(self, Vlan, flow_match_vlan, flow_rule_match_vlan, {
            |raw: &bindings::flow_dissector_key_vlan| {
                // SAFETY: all of the union is initialized: it is plain memory of the classifier.
                let tag = unsafe { &raw.__bindgen_anon_1.__bindgen_anon_1 };
                Vlan {
                    tpid: u16::from_be(raw.vlan_tpid),
                    tci: tag.vlan_id() | tag.vlan_dei() << 12 | tag.vlan_priority() << 13,
                }
            }
        })
    }

    /// Returns the addresses of IPv4.
    pub fn ipv4_addrs(&self) -> Option<Match<Addresses<4>>> {
        field!(
            self,
            Ipv4Addrs,
            flow_match_ipv4_addrs,
            flow_rule_match_ipv4_addrs,
            {
                |raw: &bindings::flow_dissector_key_ipv4_addrs| Addresses {
                    src: raw.src.to_ne_bytes(),
                    dst: raw.dst.to_ne_bytes(),
                }
            }
        )
    }

    /// Returns the addresses of IPv6.
    pub fn ipv6_addrs(&self) -> Option<Match<Addresses<16>>> {
        field!(
            self,
            Ipv6Addrs,
            flow_match_ipv6_addrs,
            flow_rule_match_ipv6_addrs,
            {
                |raw: &bindings::flow_dissector_key_ipv6_addrs| {
                    // SAFETY: the unions are plain memory of the classifier, seen as bytes.
                    unsafe {
                        Addresses {
                            src: raw.src.in6_u.u6_addr8,
                            dst: raw.dst.in6_u.u6_addr8,
                        }
                    }
                }
            }
        )
    }

    /// Returns fields of the header of IP.
    pub fn ip(&self) -> Option<Match<Ip>> {
        field!(self, Ip, flow_match_ip, flow_rule_match_ip, {
            |raw: &bindings::flow_dissector_key_ip| Ip {
                tos: raw.tos,
                ttl: raw.ttl,
            }
        })
    }

    /// Returns the ports of layer 4.
    pub fn ports(&self) -> Option<Match<Ports>> {
        field!(self, Ports, flow_match_ports, flow_rule_match_ports, {
            |raw: &bindings::flow_dissector_key_ports| {
                // SAFETY: all of the union is initialized: it is plain memory of the classifier.
                let ports = unsafe { &raw.__bindgen_anon_1.__bindgen_anon_1 };
                Ports {
                    src: u16::from_be(ports.src),
                    dst: u16::from_be(ports.dst),
                }
            }
        })
    }

    /// Returns type and code of ICMP.
    pub fn icmp(&self) -> Option<Match<Icmp>> {
        field!(self, Icmp, flow_match_icmp, flow_rule_match_icmp, {
            |raw: &bindings::flow_dissector_key_icmp| Icmp {
                kind: raw.__bindgen_anon_1.type_,
                code: raw.__bindgen_anon_1.code,
            }
        })
    }

    /// Returns the flags of TCP.
    pub fn tcp_flags(&self) -> Option<Match<u16>> {
        field!(self, Tcp, flow_match_tcp, flow_rule_match_tcp, {
            |raw: &bindings::flow_dissector_key_tcp| u16::from_be(raw.flags)
        })
    }
}
