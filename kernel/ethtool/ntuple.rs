// SPDX-License-Identifier: GPL-2.0

//! Filters of received packets, which users call ntuple filters or receive classification.

use super::NOT_SUPPORTED;
use crate::{
    bindings,
    devlink::not_supported,
    netdev::{
        self,
        Device, //
    },
    netdev_lock::Lock, //
};
use core::{
    marker::PhantomData,
    mem::offset_of, //
};
use kernel::{
    error::from_result,
    prelude::*, //
};

/// What a driver does for filters.
///
/// Of the filters that a packet meets, the one at the lowest location counts.
#[vtable]
pub trait Ntuple: netdev::Operations {
    /// Whether a filter that names a context of receive side scaling may add to the queue that comes
    /// out.
    const ADDS_QUEUE: bool = false;

    /// Returns how many filters there are, and the number of locations.
    fn filter_count(device: &Device<Self>) -> (u32, u32) {
        let _ = device;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Calls `tell` with the location of each filter, until it returns `false`.
    fn filter_locations(device: &Device<Self>, tell: &mut dyn FnMut(u32) -> bool) {
        let _ = (device, tell);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Returns the filter at a location.
    fn filter(device: &Device<Self>, location: u32) -> Result<Filter> {
        let _ = (device, location);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Sets a filter, in place of the one that is at its location, and returns where it is.
    fn set_filter(device: &Device<Self>, lock: &Lock, filter: &Filter) -> Result<u32> {
        let _ = (device, lock, filter);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Removes the filter at a location.
    fn remove_filter(device: &Device<Self>, lock: &Lock, location: u32) -> Result {
        let _ = (device, lock, location);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// A filter as a user wrote it.
#[derive(Clone, Copy)]
pub struct Filter {
    spec: bindings::ethtool_rx_flow_spec,
    context: u32,
}

/// Where a filter is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// There.
    At(u32),
    /// Anywhere; in place of one for the same packets, if there is one.
    Any,
    /// Before all others.
    First,
    /// Behind all others.
    Last,
}

/// Where a filter sends packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Nowhere.
    Drop,
    /// To a queue.
    Queue(u32),
    /// To a context of receive side scaling, to add this to the queue that comes out.
    Context(u32, u32),
}

/// Fields of a packet; what does not count is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Destination MAC address.
    pub dst_mac: [u8; 6],
    /// Source MAC address.
    pub src_mac: [u8; 6],
    /// EtherType, that behind the VLAN tag if there is one.
    pub eth_type: u16,
    /// EtherType of the VLAN tag.
    pub vlan_type: u16,
    /// Tag control information of the VLAN tag.
    pub vlan_tci: u16,
    /// Protocol of layer 4.
    pub ip_proto: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// Source address in network order, that of IPv4 in the first four bytes.
    pub src_ip: [u8; 16],
    /// Destination address, likewise.
    pub dst_ip: [u8; 16],
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
}

impl Fields {
    fn and(mut self, mask: &Self) -> Self {
        fn bytes<const N: usize>(bytes: &mut [u8; N], mask: &[u8; N]) {
            for (byte, mask) in bytes.iter_mut().zip(mask) {
                *byte &= mask;
            }
        }
        bytes(&mut self.dst_mac, &mask.dst_mac);
        bytes(&mut self.src_mac, &mask.src_mac);
        bytes(&mut self.src_ip, &mask.src_ip);
        bytes(&mut self.dst_ip, &mask.dst_ip);
        self.eth_type &= mask.eth_type;
        self.vlan_type &= mask.vlan_type;
        self.vlan_tci &= mask.vlan_tci;
        self.ip_proto &= mask.ip_proto;
        self.tos &= mask.tos;
        self.src_port &= mask.src_port;
        self.dst_port &= mask.dst_port;
        self
    }
}

/// What packets a filter is for: those whose `fields`, where bits of `mask` are set, are these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pattern {
    /// The fields.
    pub fields: Fields,
    /// The bits of them that count.
    pub mask: Fields,
}

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

/// Stands for no queue.
// CAST: the constant is one of 64 bits, which bindgen does not see.
const DISCARD: u64 = bindings::RX_CLS_FLOW_DISC as i64 as u64;

/// Bits of a flow type that are none of the kind of packet.
const FLAGS: u32 = bindings::FLOW_EXT | bindings::FLOW_MAC_EXT | bindings::FLOW_RSS;

/// Returns the fields that a specification has for packets of a kind, [`None`] for an unknown kind.
/// Of `union`, this is called with the values and with the masks.
fn fields(flow: u32, union: &bindings::ethtool_flow_union) -> Option<Fields> {
    let bytes = union_bytes(union);
    let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let address = |at: usize, len: usize| {
        let mut to = [0; 16];
        to[..len].copy_from_slice(&bytes[at..at + len]);
        to
    };
    let mut fields = Fields::default();
    match flow {
        bindings::TCP_V4_FLOW | bindings::UDP_V4_FLOW | bindings::SCTP_V4_FLOW => {
            use bindings::ethtool_tcpip4_spec as Spec;
            fields.src_ip = address(offset_of!(Spec, ip4src), 4);
            fields.dst_ip = address(offset_of!(Spec, ip4dst), 4);
            fields.src_port = port(offset_of!(Spec, psrc));
            fields.dst_port = port(offset_of!(Spec, pdst));
            fields.tos = bytes[offset_of!(Spec, tos)];
        }
        bindings::TCP_V6_FLOW | bindings::UDP_V6_FLOW | bindings::SCTP_V6_FLOW => {
            use bindings::ethtool_tcpip6_spec as Spec;
            fields.src_ip = address(offset_of!(Spec, ip6src), 16);
            fields.dst_ip = address(offset_of!(Spec, ip6dst), 16);
            fields.src_port = port(offset_of!(Spec, psrc));
            fields.dst_port = port(offset_of!(Spec, pdst));
            fields.tos = bytes[offset_of!(Spec, tclass)];
        }
        bindings::IPV4_USER_FLOW => {
            use bindings::ethtool_usrip4_spec as Spec;
            fields.src_ip = address(offset_of!(Spec, ip4src), 4);
            fields.dst_ip = address(offset_of!(Spec, ip4dst), 4);
            let layer4 = offset_of!(Spec, l4_4_bytes);
            (fields.src_port, fields.dst_port) = (port(layer4), port(layer4 + 2));
            fields.tos = bytes[offset_of!(Spec, tos)];
            fields.ip_proto = bytes[offset_of!(Spec, proto)];
        }
        bindings::IPV6_USER_FLOW => {
            use bindings::ethtool_usrip6_spec as Spec;
            fields.src_ip = address(offset_of!(Spec, ip6src), 16);
            fields.dst_ip = address(offset_of!(Spec, ip6dst), 16);
            let layer4 = offset_of!(Spec, l4_4_bytes);
            (fields.src_port, fields.dst_port) = (port(layer4), port(layer4 + 2));
            fields.tos = bytes[offset_of!(Spec, tclass)];
            fields.ip_proto = bytes[offset_of!(Spec, l4_proto)];
        }
        bindings::ETHER_FLOW => {
            fields.dst_mac.copy_from_slice(&bytes[..6]);
            fields.src_mac.copy_from_slice(&bytes[6..12]);
            fields.eth_type = port(12);
        }
        _ => return None,
    }
    Some(fields)
}

/// Returns the bytes of a union, all of which are valid: its largest member is an array of bytes.
fn union_bytes(union: &bindings::ethtool_flow_union) -> &[u8; 52] {
    // SAFETY: `hdata` is as large as the union, and any bytes are valid for it; the core has
    // initialized all of them.
    unsafe { &union.hdata }
}

impl Filter {
    /// Returns the filter as it is at a location.
    #[must_use]
    pub fn at(&self, location: u32) -> Self {
        let mut this = *self;
        this.spec.location = location;
        this
    }

    /// Returns where it is to be.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a special location that is unknown.
    pub fn location(&self) -> Result<Place> {
        match self.spec.location {
            bindings::RX_CLS_LOC_ANY => Ok(Place::Any),
            bindings::RX_CLS_LOC_FIRST => Ok(Place::First),
            bindings::RX_CLS_LOC_LAST => Ok(Place::Last),
            at if at & bindings::RX_CLS_LOC_SPECIAL != 0 => Err(EINVAL),
            at => Ok(Place::At(at)),
        }
    }

    /// Returns where it sends packets.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` for what is no queue of the device's own.
    pub fn target(&self) -> Result<Target> {
        let cookie = self.spec.ring_cookie;
        let is_rss = self.spec.flow_type & bindings::FLOW_RSS != 0;
        match u32::try_from(cookie) {
            Ok(queue) if is_rss => Ok(Target::Context(self.context, queue)),
            Ok(queue) => Ok(Target::Queue(queue)),
            Err(_) if cookie == DISCARD && !is_rss => Ok(Target::Drop),
            Err(_) => Err(not_supported()),
        }
    }

    /// Returns what packets it is for.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` for packets that cannot be described by [`Fields`].
    pub fn pattern(&self) -> Result<Pattern> {
        let flow = self.spec.flow_type & !FLAGS;
        let fields_of = |union| fields(flow, union).ok_or_else(not_supported);
        let (mut fields, mut mask) = (fields_of(&self.spec.h_u)?, fields_of(&self.spec.m_u)?);
        let (eth_type, protocol) = match flow {
            bindings::TCP_V4_FLOW => (IPV4, TCP),
            bindings::UDP_V4_FLOW => (IPV4, UDP),
            bindings::SCTP_V4_FLOW => (IPV4, SCTP),
            bindings::TCP_V6_FLOW => (IPV6, TCP),
            bindings::UDP_V6_FLOW => (IPV6, UDP),
            bindings::SCTP_V6_FLOW => (IPV6, SCTP),
            bindings::IPV4_USER_FLOW => (IPV4, 0),
            bindings::IPV6_USER_FLOW => (IPV6, 0),
            _ => (0, 0),
        };
        if eth_type != 0 {
            (fields.eth_type, mask.eth_type) = (eth_type, u16::MAX);
        }
        if protocol != 0 {
            (fields.ip_proto, mask.ip_proto) = (protocol, u8::MAX);
        } else if (mask.src_port | mask.dst_port) != 0 {
            // The first bytes of layer 4 are ports only where the protocol says so.
            let has_ports = [TCP, UDP, SCTP].contains(&fields.ip_proto);
            if mask.ip_proto != u8::MAX || !has_ports {
                return Err(not_supported());
            }
        }
        let (value, counts) = (&self.spec.h_ext, &self.spec.m_ext);
        if self.spec.flow_type & bindings::FLOW_EXT != 0 {
            if counts.data != [0; 2] {
                return Err(not_supported());
            }
            (fields.vlan_type, mask.vlan_type) = (
                u16::from_be(value.vlan_etype),
                u16::from_be(counts.vlan_etype),
            );
            (fields.vlan_tci, mask.vlan_tci) =
                (u16::from_be(value.vlan_tci), u16::from_be(counts.vlan_tci));
        }
        if self.spec.flow_type & bindings::FLOW_MAC_EXT != 0 {
            (fields.dst_mac, mask.dst_mac) = (value.h_dest, counts.h_dest);
        }
        Ok(Pattern {
            fields: fields.and(&mask),
            mask,
        })
    }
}

/// The entries of the C table for the operations of a `T`, under the rules of
/// [`super::Table`].
pub(super) struct Table<T: Ntuple>(PhantomData<T>);

#[expect(
    clippy::missing_safety_doc,
    reason = "what holds for all of them is said at `super::Table`"
)]
impl<T: Ntuple> Table<T> {
    pub(super) unsafe extern "C" fn get(
        device: *mut bindings::net_device,
        info: *mut bindings::ethtool_rxnfc,
        locations: *mut u32,
    ) -> c_int {
        // SAFETY: see `Table`.
        let (device, info) = unsafe { (Device::<T>::from_raw(device), &mut *info) };
        let (count, size) = T::filter_count(device);
        match info.cmd {
            bindings::ETHTOOL_GRXCLSRLCNT => {
                info.__bindgen_anon_1.rule_cnt = count;
                info.data = u64::from(size | bindings::RX_CLS_LOC_SPECIAL);
                0
            }
            bindings::ETHTOOL_GRXCLSRULE => from_result(|| {
                let filter = T::filter(device, info.fs.location)?;
                info.fs = filter.spec;
                if filter.spec.flow_type & bindings::FLOW_RSS != 0 {
                    info.__bindgen_anon_1.rss_context = filter.context;
                }
                Ok(0)
            }),
            bindings::ETHTOOL_GRXCLSRLALL => {
                // SAFETY: with this command the core tells how many locations there is room for.
                let room = unsafe { info.__bindgen_anon_1.rule_cnt } as usize;
                let to: &mut [u32] = if locations.is_null() || room == 0 {
                    &mut []
                } else {
                    // SAFETY: the core has this room at `locations`, and nobody else uses it.
                    unsafe { core::slice::from_raw_parts_mut(locations, room) }
                };
                let mut told = 0;
                let mut fits = true;
                T::filter_locations(device, &mut |location| {
                    fits = to.get_mut(told).map(|to| *to = location).is_some();
                    told += usize::from(fits);
                    fits
                });
                if !fits {
                    // CAST: errno values are small.
                    return -(kernel::bindings::EMSGSIZE as c_int);
                }
                // CAST: no more than there is room for, which is a `u32`.
                info.__bindgen_anon_1.rule_cnt = told as u32;
                info.data = size.into();
                0
            }
            _ => NOT_SUPPORTED,
        }
    }

    pub(super) unsafe extern "C" fn set(
        device: *mut bindings::net_device,
        info: *mut bindings::ethtool_rxnfc,
    ) -> c_int {
        // SAFETY: see `Table`.
        let (device, lock, info) = unsafe {
            (
                Device::<T>::from_raw(device),
                Lock::assume(device),
                &mut *info,
            )
        };
        match info.cmd {
            bindings::ETHTOOL_SRXCLSRLINS => from_result(|| {
                let context = if info.fs.flow_type & bindings::FLOW_RSS != 0 {
                    // SAFETY: with this flag this member of the union counts; any bits are valid.
                    unsafe { info.__bindgen_anon_1.rss_context }
                } else {
                    0
                };
                let filter = Filter {
                    spec: info.fs,
                    context,
                };
                info.fs.location = T::set_filter(device, &lock, &filter)?;
                Ok(0)
            }),
            bindings::ETHTOOL_SRXCLSRLDEL => {
                from_result(|| T::remove_filter(device, &lock, info.fs.location).map(|()| 0))
            }
            _ => NOT_SUPPORTED,
        }
    }
}

#[kunit_tests(ferrite_ntuple)]
mod tests {
    use super::*;

    /// Returns a filter for packets of a kind, whose first bytes of fields and of mask are these.
    fn filter(flow: u32, value: &[u8], mask: &[u8]) -> Filter {
        let mut spec: bindings::ethtool_rx_flow_spec = pin_init::zeroed();
        spec.flow_type = flow;
        let (mut value_bytes, mut mask_bytes) = ([0; 52], [0; 52]);
        value_bytes[..value.len()].copy_from_slice(value);
        mask_bytes[..mask.len()].copy_from_slice(mask);
        spec.h_u.hdata = value_bytes;
        spec.m_u.hdata = mask_bytes;
        Filter { spec, context: 0 }
    }

    #[test]
    fn tcp_over_ipv4_is_understood() -> Result {
        let value = [192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x34, 0, 80, 0xb8];
        let mask = [255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 255, 255, 0];
        let pattern = filter(bindings::TCP_V4_FLOW, &value, &mask).pattern()?;
        assert_eq!(pattern.fields.eth_type, 0x0800);
        assert_eq!(pattern.fields.ip_proto, 6);
        // What does not count is zero.
        assert_eq!(pattern.fields.src_ip[..4], [192, 0, 2, 0]);
        assert_eq!(pattern.fields.dst_ip, [0; 16]);
        assert_eq!((pattern.fields.src_port, pattern.fields.dst_port), (0, 80));
        assert_eq!((pattern.mask.dst_port, pattern.mask.tos), (0xffff, 0));
        Ok(())
    }

    #[test]
    fn udp_over_ipv6_is_understood() -> Result {
        let mut value = [0; 37];
        value[15] = 1;
        value[31] = 2;
        value[32..].copy_from_slice(&[0x12, 0x34, 0, 53, 0xb8]);
        let pattern = filter(bindings::UDP_V6_FLOW, &value, &[255; 37]).pattern()?;
        assert_eq!(
            (pattern.fields.eth_type, pattern.fields.ip_proto),
            (0x86dd, 17)
        );
        assert_eq!(
            (pattern.fields.src_ip[15], pattern.fields.dst_ip[15]),
            (1, 2)
        );
        assert_eq!(pattern.fields.src_port, 0x1234);
        assert_eq!((pattern.fields.dst_port, pattern.fields.tos), (53, 0xb8));
        Ok(())
    }

    #[test]
    fn ports_need_a_protocol_that_has_them() {
        // Addresses, four bytes of layer 4, type of service, version, protocol.
        let value = [0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 9, 0, 1, 17];
        let mask = [0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 255];
        let pattern = filter(bindings::IPV4_USER_FLOW, &value, &mask).pattern();
        assert!(pattern.is_ok_and(|pattern| pattern.fields.dst_port == 9));
        let without = filter(bindings::IPV4_USER_FLOW, &value, &mask[..12]);
        assert!(without.pattern().is_err());
        let icmp = [0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 9, 0, 1, 1];
        assert!(filter(bindings::IPV4_USER_FLOW, &icmp, &mask)
            .pattern()
            .is_err());
    }

    #[test]
    fn extensions_count_where_flags_say_so() -> Result {
        let mut plain = filter(bindings::ETHER_FLOW, &[2; 14], &[255; 14]);
        plain.spec.h_ext.vlan_tci = 0x0123u16.to_be();
        plain.spec.m_ext.vlan_tci = 0x0fffu16.to_be();
        plain.spec.h_ext.h_dest = [4; 6];
        plain.spec.m_ext.h_dest = [255; 6];
        let pattern = plain.pattern()?;
        assert_eq!((pattern.mask.vlan_tci, pattern.fields.dst_mac), (0, [2; 6]));
        assert_eq!(pattern.fields.eth_type, 0x0202);
        let mut both = plain;
        both.spec.flow_type |= bindings::FLOW_EXT | bindings::FLOW_MAC_EXT;
        let pattern = both.pattern()?;
        assert_eq!(
            (pattern.fields.vlan_tci, pattern.mask.vlan_tci),
            (0x123, 0xfff)
        );
        assert_eq!(pattern.fields.dst_mac, [4; 6]);
        both.spec.m_ext.data = [1, 0];
        assert!(both.pattern().is_err());
        Ok(())
    }

    #[test]
    fn targets_and_locations_are_told_apart() {
        let mut filter = filter(bindings::TCP_V4_FLOW, &[], &[]);
        filter.spec.ring_cookie = 5;
        assert_eq!(filter.target(), Ok(Target::Queue(5)));
        filter.spec.ring_cookie = DISCARD;
        assert_eq!(filter.target(), Ok(Target::Drop));
        filter.spec.ring_cookie = bindings::RX_CLS_FLOW_WAKE as i64 as u64;
        assert!(filter.target().is_err());
        filter.spec.ring_cookie = 1 << 32;
        assert!(filter.target().is_err());
        filter.spec.flow_type |= bindings::FLOW_RSS;
        filter.context = 3;
        filter.spec.ring_cookie = 2;
        assert_eq!(filter.target(), Ok(Target::Context(3, 2)));
        assert_eq!(filter.at(9).location(), Ok(Place::At(9)));
        let special = |location| filter.at(location).location();
        assert_eq!(special(bindings::RX_CLS_LOC_ANY), Ok(Place::Any));
        assert_eq!(special(bindings::RX_CLS_LOC_LAST), Ok(Place::Last));
        assert!(special(0x8000_0000).is_err());
    }
}
