// SPDX-License-Identifier: GPL-2.0

//! What a rule of the network stack is to the device.
//!
//! The stack's classifiers and the switch do not mean quite the same by a rule. Whatever the device
//! would do differently is refused, and stays in software. So a rule is put together of what the
//! stack says ([`Frames`], [`Steps`]), each part of which may be a [`Refusal`].

use core::fmt;
use ferrite_abi::{
    cmd::{
        Fragment,
        Rule,
        RuleAction,
        RuleActionKind,
        RuleKey,
        MAX_RULE_ACTIONS,
        UPLINK, //
    },
    ids::{
        FunctionId,
        FunctionKind, //
    },
    wire::{
        U16,
        U32, //
    },
};

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
/// EtherType of the VLAN tags that the switch knows.
pub const VLAN: u16 = 0x8100;
/// EtherType of the VLAN tags that it does not know.
pub const SERVICE_VLAN: u16 = 0x88a8;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;

/// Bits of the flags of TCP that the switch looks at.
const TCP_FLAGS: u16 = 0xfff;

/// Why the device cannot carry out a rule. What is printed is shown to the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The device is not a port of the switch.
    NotOfSwitch,
    /// A field that the device cannot match.
    Match(&'static str),
    /// A flag of the packet that it cannot match.
    Flags(u32),
    /// EtherType of VLAN tags that it does not know.
    Tag(u16),
    /// A field that needs the type of packet to be given, which is this.
    Needs(&'static str, &'static str),
    /// No packet can meet the rule.
    Never,
    /// An action that it cannot do.
    Action(&'static str),
    /// A packet is to be sent from a device that is not a port of the same switch.
    Target,
    /// A tag is to be taken off packets that may have none.
    PopUntagged,
    /// There is another action after the one that ends the rule.
    AfterEnd,
    /// There is no action.
    NoAction,
    /// There are too many.
    TooMany,
    /// Counters that it does not have.
    Stats,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOfSwitch => f.write_str("not a port of the switch: use its representor"),
            Self::Match(what) => write!(f, "the device cannot match {what}"),
            Self::Flags(flags) => write!(f, "the device cannot match the flags {flags:#x}"),
            Self::Tag(tpid) => write!(f, "the device knows 802.1Q tags only, not {tpid:#06x}"),
            Self::Needs(what, kind) => write!(f, "to match {what}, match {kind} too"),
            Self::Never => f.write_str("no packet can meet this rule"),
            Self::Action(what) => write!(f, "the device cannot do \"{what}\""),
            Self::Target => f.write_str("the target is not a port of the same switch"),
            Self::PopUntagged => {
                f.write_str("to pop a VLAN tag, match packets that have one: protocol 802.1q")
            }
            Self::AfterEnd => f.write_str("an action after the one that ends the rule"),
            Self::NoAction => f.write_str("a rule without action"),
            Self::TooMany => write!(f, "more than {MAX_RULE_ACTIONS} actions"),
            Self::Stats => f.write_str("use hw_stats immediate, disabled or any"),
        }
    }
}

/// A field and which of its bits count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Masked<T> {
    /// What the bits that count must be.
    pub key: T,
    /// Ones where bits count.
    pub mask: T,
}

impl<T> Masked<T> {
    /// Returns the field.
    pub fn new(key: T, mask: T) -> Self {
        Self { key, mask }
    }
}

/// Adds a field to the key and mask of a rule; refuses if it has another value already.
macro_rules! put {
    ($self:ident, $field:ident, $value:expr) => {{
        let value: Masked<_> = $value;
        let (key, mask) = ($self.key.$field.get(), $self.mask.$field.get());
        if (key ^ value.key) & mask & value.mask != 0 {
            return Err(Refusal::Never);
        }
        $self.key.$field = U16::new(key | value.key & value.mask);
        $self.mask.$field = U16::new(mask | value.mask);
    }};
}

/// What frames must look like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Frames {
    key: RuleKey,
    mask: RuleKey,
}

impl Frames {
    /// Starts with the EtherType that the filter is for, that of a tag if there is one; [`None`] for
    /// all.
    ///
    /// # Errors
    ///
    /// [`Refusal::Tag`].
    pub fn new(protocol: Option<u16>) -> Result<Self, Refusal> {
        let mut frames = Self::default();
        match protocol {
            None => {}
            Some(VLAN) => frames.tagged(true)?,
            Some(SERVICE_VLAN) => return Err(Refusal::Tag(SERVICE_VLAN)),
            Some(eth_type) => {
                frames.tagged(false)?;
                frames.eth_type(Masked::new(eth_type, u16::MAX))?;
            }
        }
        Ok(frames)
    }

    fn tagged(&mut self, tagged: bool) -> Result<(), Refusal> {
        let tagged = u8::from(tagged);
        if self.mask.tagged != 0 && self.key.tagged != tagged {
            return Err(Refusal::Never);
        }
        self.key.tagged = tagged;
        self.mask.tagged = u8::MAX;
        Ok(())
    }

    /// Returns whether all these frames have a VLAN tag.
    fn all_tagged(&self) -> bool {
        self.mask.tagged != 0 && self.key.tagged == 1
    }

    /// Returns the EtherType, if there is one only.
    fn only_eth_type(&self) -> Option<u16> {
        (self.mask.eth_type.get() == u16::MAX).then_some(self.key.eth_type.get())
    }

    /// Returns the protocol of layer 4, if there is one only.
    fn only_ip_proto(&self) -> Option<u8> {
        (self.mask.ip_proto == u8::MAX).then_some(self.key.ip_proto)
    }

    fn needs_ip(&self, what: &'static str) -> Result<(), Refusal> {
        match self.only_eth_type() {
            Some(IPV4 | IPV6) => Ok(()),
            _ => Err(Refusal::Needs(what, "protocol ip or ipv6")),
        }
    }

    /// Matches the EtherType, that behind a VLAN tag.
    ///
    /// # Errors
    ///
    /// [`Refusal::Never`].
    pub fn eth_type(&mut self, value: Masked<u16>) -> Result<(), Refusal> {
        put!(self, eth_type, value);
        Ok(())
    }

    /// Matches the protocol of layer 4. To be called after [`Frames::eth_type`].
    ///
    /// # Errors
    ///
    /// [`Refusal::Needs`].
    pub fn ip_proto(&mut self, value: Masked<u8>) -> Result<(), Refusal> {
        if value.mask != 0 {
            self.needs_ip("ip_proto")?;
        }
        self.key.ip_proto = value.key & value.mask;
        self.mask.ip_proto = value.mask;
        Ok(())
    }

    /// Matches MAC addresses.
    pub fn mac(&mut self, dst: Masked<[u8; 6]>, src: Masked<[u8; 6]>) {
        copy(&mut self.key.dst_mac, &mut self.mask.dst_mac, &dst);
        copy(&mut self.key.src_mac, &mut self.mask.src_mac, &src);
    }

    /// Matches a VLAN tag, and so frames that have one.
    ///
    /// # Errors
    ///
    /// [`Refusal::Tag`], [`Refusal::Never`].
    pub fn vlan(&mut self, tpid: Masked<u16>, tci: Masked<u16>) -> Result<(), Refusal> {
        if tpid.mask != 0 && (tpid.mask != u16::MAX || tpid.key != VLAN) {
            return Err(Refusal::Tag(tpid.key));
        }
        self.tagged(true)?;
        put!(self, vlan_tci, tci);
        Ok(())
    }

    /// Matches addresses of IPv4. To be called after [`Frames::eth_type`].
    ///
    /// # Errors
    ///
    /// [`Refusal::Needs`].
    pub fn ipv4(&mut self, src: Masked<[u8; 4]>, dst: Masked<[u8; 4]>) -> Result<(), Refusal> {
        if self.only_eth_type() != Some(IPV4) {
            return Err(Refusal::Needs("IPv4 addresses", "protocol ip"));
        }
        copy(&mut self.key.src_ip, &mut self.mask.src_ip, &src);
        copy(&mut self.key.dst_ip, &mut self.mask.dst_ip, &dst);
        Ok(())
    }

    /// Matches addresses of IPv6. To be called after [`Frames::eth_type`].
    ///
    /// # Errors
    ///
    /// [`Refusal::Needs`].
    pub fn ipv6(&mut self, src: Masked<[u8; 16]>, dst: Masked<[u8; 16]>) -> Result<(), Refusal> {
        if self.only_eth_type() != Some(IPV6) {
            return Err(Refusal::Needs("IPv6 addresses", "protocol ipv6"));
        }
        copy(&mut self.key.src_ip, &mut self.mask.src_ip, &src);
        copy(&mut self.key.dst_ip, &mut self.mask.dst_ip, &dst);
        Ok(())
    }

    /// Matches type of service and time to live. To be called after [`Frames::eth_type`].
    ///
    /// # Errors
    ///
    /// [`Refusal::Needs`].
    pub fn ip(&mut self, tos: Masked<u8>, ttl: Masked<u8>) -> Result<(), Refusal> {
        self.needs_ip("ip_tos and ip_ttl")?;
        (self.key.tos, self.mask.tos) = (tos.key & tos.mask, tos.mask);
        (self.key.ttl, self.mask.ttl) = (ttl.key & ttl.mask, ttl.mask);
        Ok(())
    }

    /// Matches whether frames have a fragment. `known` are the flags of the stack for one, and for the
    /// first one. To be called after [`Frames::eth_type`].
    ///
    /// # Errors
    ///
    /// [`Refusal::Needs`], [`Refusal::Flags`] for any other flag.
    pub fn flags(&mut self, known: [u32; 2], flags: Masked<u32>) -> Result<(), Refusal> {
        let other = flags.mask & !(known[0] | known[1]);
        if other != 0 {
            return Err(Refusal::Flags(other));
        }
        if flags.mask != 0 {
            self.needs_ip("ip_flags")?;
        }
        for (flag, bit) in known.into_iter().zip([Fragment::FRAGMENT, Fragment::FIRST]) {
            if flags.mask & flag != 0 {
                self.mask.fragment |= bit.0;
                if flags.key & flag != 0 {
                    self.key.fragment |= bit.0;
                }
            }
        }
        Ok(())
    }

    /// Matches ports. To be called after [`Frames::ip_proto`].
    ///
    /// # Errors
    ///
    /// [`Refusal::Needs`].
    pub fn ports(&mut self, src: Masked<u16>, dst: Masked<u16>) -> Result<(), Refusal> {
        if !matches!(self.only_ip_proto(), Some(TCP | UDP | SCTP)) {
            return Err(Refusal::Needs("ports", "ip_proto tcp, udp or sctp"));
        }
        put!(self, src_port, src);
        put!(self, dst_port, dst);
        Ok(())
    }

    /// Matches type and code of ICMP, which are the source port to the device. To be called after
    /// [`Frames::ip_proto`].
    ///
    /// # Errors
    ///
    /// [`Refusal::Needs`].
    pub fn icmp(&mut self, kind: Masked<u8>, code: Masked<u8>) -> Result<(), Refusal> {
        if !matches!(self.only_ip_proto(), Some(ICMP | ICMPV6)) {
            return Err(Refusal::Needs("ICMP", "ip_proto icmp or icmpv6"));
        }
        let both = |kind, code| u16::from_be_bytes([kind, code]);
        put!(
            self,
            src_port,
            Masked::new(both(kind.key, code.key), both(kind.mask, code.mask))
        );
        Ok(())
    }

    /// Matches the flags of TCP. To be called after [`Frames::ip_proto`].
    ///
    /// # Errors
    ///
    /// [`Refusal::Needs`], [`Refusal::Match`] for bits that are no flags.
    pub fn tcp_flags(&mut self, flags: Masked<u16>) -> Result<(), Refusal> {
        if self.only_ip_proto() != Some(TCP) {
            return Err(Refusal::Needs("tcp_flags", "ip_proto tcp"));
        }
        if flags.mask & !TCP_FLAGS != 0 {
            return Err(Refusal::Match("these tcp_flags"));
        }
        put!(self, tcp_flags, flags);
        Ok(())
    }
}

fn copy<const N: usize>(key: &mut [u8], mask: &mut [u8], value: &Masked<[u8; N]>) {
    for (to, (key, mask)) in key.iter_mut().zip(value.key.iter().zip(&value.mask)) {
        *to = key & mask;
    }
    for (to, mask) in mask.iter_mut().zip(&value.mask) {
        *to = *mask;
    }
}

/// A network device as a port of the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwitchPort {
    /// Where frames come from that the device would receive if there were no rules, and go that are
    /// sent from it.
    pub outside: u16,
    /// Where frames go that the device is to receive.
    pub inside: u16,
}

impl SwitchPort {
    /// Returns what the device of a function is in switchdev mode.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotOfSwitch`] for a VF or SF: it is represented by another device.
    pub fn of(function: FunctionId) -> Result<Self, Refusal> {
        let outside = match (function.kind(), function.represented()) {
            (Some(FunctionKind::Pf), _) => UPLINK,
            (_, Some(represented)) => represented.0,
            _ => return Err(Refusal::NotOfSwitch),
        };
        Ok(Self {
            outside,
            inside: function.0,
        })
    }
}

/// What is done with the frames, put together step by step.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    actions: [RuleAction; MAX_RULE_ACTIONS],
    len: usize,
    tags: usize,
    ended: bool,
}

impl Steps {
    /// Starts with frames that are of `frames`.
    pub fn new(frames: &Frames) -> Self {
        Self {
            actions: [RuleAction::default(); MAX_RULE_ACTIONS],
            len: 0,
            tags: usize::from(frames.all_tagged()),
            ended: false,
        }
    }

    fn push(&mut self, kind: RuleActionKind, argument: u16) -> Result<(), Refusal> {
        if self.ended {
            return Err(Refusal::AfterEnd);
        }
        let to = self.actions.get_mut(self.len).ok_or(Refusal::TooMany)?;
        *to = RuleAction {
            kind: U16::new(kind.0),
            argument: U16::new(argument),
        };
        self.len += 1;
        Ok(())
    }

    /// Sends a copy from `target`.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooMany`], [`Refusal::AfterEnd`], as for all steps.
    pub fn mirror(&mut self, target: SwitchPort) -> Result<(), Refusal> {
        self.push(RuleActionKind::FORWARD, target.outside)
    }

    /// Sends the frame from `target`, and is done.
    ///
    /// # Errors
    ///
    /// As [`Steps::mirror`].
    pub fn redirect(&mut self, target: SwitchPort) -> Result<(), Refusal> {
        self.push(RuleActionKind::FORWARD, target.outside)?;
        self.ended = true;
        Ok(())
    }

    /// Has the device of the rule receive the frame, and is done.
    ///
    /// # Errors
    ///
    /// As [`Steps::mirror`].
    pub fn accept(&mut self, device: SwitchPort) -> Result<(), Refusal> {
        self.push(RuleActionKind::FORWARD, device.inside)?;
        self.ended = true;
        Ok(())
    }

    /// Drops the frame.
    ///
    /// # Errors
    ///
    /// [`Refusal::AfterEnd`].
    pub fn drop_frame(&mut self) -> Result<(), Refusal> {
        if self.ended {
            return Err(Refusal::AfterEnd);
        }
        self.ended = true;
        Ok(())
    }

    /// Puts a tag on.
    ///
    /// # Errors
    ///
    /// As [`Steps::mirror`], [`Refusal::Tag`].
    pub fn push_vlan(&mut self, tpid: u16, tci: u16) -> Result<(), Refusal> {
        if tpid != VLAN {
            return Err(Refusal::Tag(tpid));
        }
        self.push(RuleActionKind::PUSH_VLAN, tci)?;
        self.tags += 1;
        Ok(())
    }

    /// Takes the outermost tag off.
    ///
    /// # Errors
    ///
    /// As [`Steps::mirror`], [`Refusal::PopUntagged`]: the stack leaves a frame without tag as it is,
    /// the switch drops it.
    pub fn pop_vlan(&mut self) -> Result<(), Refusal> {
        if self.tags == 0 {
            return Err(Refusal::PopUntagged);
        }
        self.push(RuleActionKind::POP_VLAN, 0)?;
        self.tags -= 1;
        Ok(())
    }

    /// Returns the rule of `device` for `frames`.
    ///
    /// What was not ended goes on to the stack, as it does there.
    ///
    /// # Errors
    ///
    /// [`Refusal::NoAction`], [`Refusal::TooMany`].
    pub fn rule(
        mut self,
        priority: u32,
        device: SwitchPort,
        frames: &Frames,
    ) -> Result<Rule, Refusal> {
        if !self.ended {
            if self.len == 0 {
                return Err(Refusal::NoAction);
            }
            self.accept(device)?;
        }
        Ok(Rule {
            priority: U32::new(priority),
            in_port: U16::new(device.outside),
            rsvd: [0; 2],
            actions: self.actions,
            key: frames.key,
            mask: frames.mask,
        })
    }
}

/// What met a rule, as it was told last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    packets: u64,
    bytes: u64,
}

impl Told {
    /// Returns how many packets and bytes came on top of what was told last.
    ///
    /// A device that counts backwards started anew.
    pub fn next(&mut self, packets: u64, bytes: u64) -> (u64, u64) {
        if packets < self.packets || bytes < self.bytes {
            *self = Self::default();
        }
        let more = (packets - self.packets, bytes - self.bytes);
        *self = Self { packets, bytes };
        more
    }
}
