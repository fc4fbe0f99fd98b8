// SPDX-License-Identifier: GPL-2.0

//! What rules of the network stack are to the switch, and which ones it cannot carry out.

use ferrite_abi::cmd::{
    Rule,
    RuleActionKind,
    MAX_RULE_ACTIONS,
    UPLINK, //
};
use ferrite_abi::ids::FunctionId;
use ferrite_abi::wire::IntoBytes;
use ferrite_net_logic::flow::{
    Frames,
    Masked,
    Refusal,
    Steps,
    SwitchPort,
    Told,
    IPV4,
    IPV6,
    SERVICE_VLAN,
    VLAN, //
};
use proptest::prelude::*;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;
const ARP: u16 = 0x0806;
/// The stack's flags for a fragment and for the first one.
const FLAGS: [u32; 2] = [1, 2];

const VF: FunctionId = FunctionId(3);
const SF: FunctionId = FunctionId(0x100);

fn port(function: FunctionId) -> SwitchPort {
    SwitchPort::of(function).unwrap()
}

fn vf_port() -> SwitchPort {
    port(VF.representor().unwrap())
}

fn sf_port() -> SwitchPort {
    port(SF.representor().unwrap())
}

fn exact<T>(key: T, mask: T) -> Masked<T> {
    Masked::new(key, mask)
}

/// Frames of a protocol of layer 3 and one of layer 4.
fn frames(protocol: u16, ip_proto: u8) -> Frames {
    let mut frames = Frames::new(Some(protocol)).unwrap();
    frames.ip_proto(exact(ip_proto, 0xff)).unwrap();
    frames
}

/// The rule that drops such frames.
fn rule(frames: &Frames) -> Rule {
    let mut steps = Steps::new(frames);
    steps.drop_frame().unwrap();
    steps.rule(1, vf_port(), frames).unwrap()
}

/// Kinds and arguments of the actions of a rule.
fn actions(rule: &Rule) -> Vec<(RuleActionKind, u16)> {
    rule.actions
        .iter()
        .map(|action| (RuleActionKind(action.kind.get()), action.argument.get()))
        .take_while(|(kind, _)| *kind != RuleActionKind::END)
        .collect()
}

#[test]
fn ports_are_those_of_what_is_represented() {
    let uplink = port(FunctionId::PF);
    assert_eq!((uplink.outside, uplink.inside), (UPLINK, 0));
    let vf = vf_port();
    assert_eq!((vf.outside, vf.inside), (VF.0, VF.0 | 0x8000));
    let sf = sf_port();
    assert_eq!((sf.outside, sf.inside), (SF.0, SF.0 | 0x8000));
    for function in [VF, SF, FunctionId(0x8000), FunctionId(0x7fff)] {
        assert_eq!(SwitchPort::of(function), Err(Refusal::NotOfSwitch));
    }
}

#[test]
fn rule_without_match_is_for_all_frames() {
    let rule = rule(&Frames::new(None).unwrap());
    assert!(rule.key.as_bytes().iter().all(|byte| *byte == 0));
    assert!(rule.mask.as_bytes().iter().all(|byte| *byte == 0));
    assert_eq!((rule.priority.get(), rule.in_port.get()), (1, VF.0));
}

#[test]
fn protocol_of_the_filter_is_that_of_untagged_frames() {
    for protocol in [IPV4, IPV6, ARP] {
        let rule = rule(&Frames::new(Some(protocol)).unwrap());
        assert_eq!(rule.key.eth_type.get(), protocol);
        assert_eq!(rule.mask.eth_type.get(), 0xffff);
        assert_eq!((rule.key.tagged, rule.mask.tagged), (0, 0xff));
    }
    let rule = rule(&Frames::new(Some(VLAN)).unwrap());
    assert_eq!((rule.key.tagged, rule.mask.tagged), (1, 0xff));
    assert_eq!(rule.mask.eth_type.get(), 0);
    assert_eq!(
        Frames::new(Some(SERVICE_VLAN)).err(),
        Some(Refusal::Tag(SERVICE_VLAN))
    );
}

#[test]
fn vlan_is_matched_with_what_is_behind_it() {
    let mut frames = Frames::new(Some(VLAN)).unwrap();
    frames
        .vlan(exact(VLAN, 0xffff), exact(0x6005, 0xefff))
        .unwrap();
    frames.eth_type(exact(IPV4, 0xffff)).unwrap();
    frames.ip_proto(exact(TCP, 0xff)).unwrap();
    let rule = rule(&frames);
    assert_eq!(rule.key.vlan_tci.get(), 0x6005);
    assert_eq!(rule.mask.vlan_tci.get(), 0xefff);
    assert_eq!((rule.key.tagged, rule.mask.tagged), (1, 0xff));
    assert_eq!(rule.key.eth_type.get(), IPV4);
    assert_eq!(rule.key.ip_proto, TCP);
}

#[test]
fn tags_that_the_switch_does_not_know_are_refused() {
    let mut frames = Frames::new(None).unwrap();
    let tci = exact(1, 0xfff);
    for (tpid, mask) in [(SERVICE_VLAN, 0xffff), (VLAN, 0xff00)] {
        assert_eq!(frames.vlan(exact(tpid, mask), tci), Err(Refusal::Tag(tpid)));
    }
    frames.vlan(exact(0, 0), tci).unwrap();
}

#[test]
fn what_no_frame_can_be_is_refused() {
    let mut untagged = Frames::new(Some(IPV4)).unwrap();
    assert_eq!(
        untagged.vlan(exact(VLAN, 0xffff), exact(1, 0xfff)),
        Err(Refusal::Never)
    );
    assert_eq!(untagged.eth_type(exact(IPV6, 0xffff)), Err(Refusal::Never));
    untagged.eth_type(exact(IPV4, 0xffff)).unwrap();
}

#[test]
fn addresses_are_masked() {
    let mut frames = frames(IPV4, UDP);
    frames.mac(
        exact([0xff; 6], [0xff, 0xff, 0xff, 0, 0, 0]),
        exact([2, 0, 0, 0, 0, 1], [0xff; 6]),
    );
    frames
        .ipv4(
            exact([10, 1, 2, 3], [255, 255, 255, 0]),
            exact([10, 9, 8, 7], [255; 4]),
        )
        .unwrap();
    let rule = rule(&frames);
    assert_eq!(rule.key.dst_mac, [0xff, 0xff, 0xff, 0, 0, 0]);
    assert_eq!(rule.mask.dst_mac, [0xff, 0xff, 0xff, 0, 0, 0]);
    assert_eq!(rule.key.src_mac, [2, 0, 0, 0, 0, 1]);
    assert_eq!(rule.key.src_ip[..5], [10, 1, 2, 0, 0]);
    assert_eq!(rule.mask.src_ip[..5], [255, 255, 255, 0, 0]);
    assert_eq!(rule.key.dst_ip[..5], [10, 9, 8, 7, 0]);
    assert_eq!(rule.mask.dst_ip[..5], [255, 255, 255, 255, 0]);

    let mut frames = Frames::new(Some(IPV6)).unwrap();
    frames
        .ipv6(exact([0x20; 16], [0xff; 16]), exact([0; 16], [0; 16]))
        .unwrap();
    let rule = self::rule(&frames);
    assert_eq!(rule.key.src_ip, [0x20; 16]);
    assert_eq!(rule.mask.src_ip, [0xff; 16]);
    assert_eq!(rule.mask.dst_ip, [0; 16]);
}

#[test]
fn header_of_ip_is_matched() {
    let mut frames = frames(IPV6, UDP);
    frames.ip(exact(0xb8, 0xfc), exact(64, 0xff)).unwrap();
    let rule = rule(&frames);
    assert_eq!((rule.key.tos, rule.mask.tos), (0xb8, 0xfc));
    assert_eq!((rule.key.ttl, rule.mask.ttl), (64, 0xff));
}

#[test]
fn fragments_are_matched() {
    // What the user wants, and what the device is told.
    for (flags, mask, key_bits, mask_bits) in [
        (1, 1, 1, 1),
        (0, 1, 0, 1),
        (3, 3, 3, 3),
        (1, 3, 1, 3),
        (0, 0, 0, 0),
    ] {
        let mut frames = Frames::new(Some(IPV4)).unwrap();
        frames.flags(FLAGS, exact(flags, mask)).unwrap();
        let rule = rule(&frames);
        assert_eq!(
            (rule.key.fragment, rule.mask.fragment),
            (key_bits, mask_bits)
        );
    }
    let mut frames = Frames::new(Some(IPV4)).unwrap();
    assert_eq!(
        frames.flags(FLAGS, exact(0, 0x11)),
        Err(Refusal::Flags(0x10))
    );
}

#[test]
fn ports_are_those_of_layer_4() {
    for ip_proto in [TCP, UDP, SCTP] {
        let mut frames = frames(IPV4, ip_proto);
        frames
            .ports(exact(0x1234, 0xff00), exact(443, 0xffff))
            .unwrap();
        let rule = rule(&frames);
        assert_eq!(rule.key.src_port.get(), 0x1200);
        assert_eq!(rule.mask.src_port.get(), 0xff00);
        assert_eq!(rule.key.dst_port.get(), 443);
        assert_eq!(rule.mask.dst_port.get(), 0xffff);
    }
    for (protocol, ip_proto) in [(IPV4, ICMP), (IPV6, ICMPV6)] {
        let mut frames = frames(protocol, ip_proto);
        frames.icmp(exact(8, 0xff), exact(1, 0xff)).unwrap();
        let rule = rule(&frames);
        assert_eq!(rule.key.src_port.get(), 0x0801);
        assert_eq!(rule.mask.src_port.get(), 0xffff);
        assert_eq!(rule.mask.dst_port.get(), 0);
    }
    let mut frames = frames(IPV4, TCP);
    frames.tcp_flags(exact(0x02, 0x12)).unwrap();
    let rule = rule(&frames);
    assert_eq!(rule.key.tcp_flags.get(), 0x02);
    assert_eq!(rule.mask.tcp_flags.get(), 0x12);
    assert_eq!(
        frames.tcp_flags(exact(0, 0x1000)),
        Err(Refusal::Match("these tcp_flags"))
    );
}

#[test]
fn field_needs_the_type_of_its_header() {
    let any = exact(0, 0xff);
    let mut none = Frames::new(None).unwrap();
    let refused = |result| match result {
        Err(Refusal::Needs(what, _)) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(none.ip_proto(any)), "ip_proto");
    assert_eq!(refused(none.ip(any, any)), "ip_tos and ip_ttl");
    assert_eq!(refused(none.flags(FLAGS, exact(0, 1))), "ip_flags");
    let v4 = exact([0; 4], [0xff; 4]);
    let v6 = exact([0; 16], [0xff; 16]);
    let mut ipv4 = Frames::new(Some(IPV4)).unwrap();
    let mut ipv6 = Frames::new(Some(IPV6)).unwrap();
    assert_eq!(refused(ipv6.ipv4(v4, v4)), "IPv4 addresses");
    assert_eq!(refused(ipv4.ipv6(v6, v6)), "IPv6 addresses");
    let ports = exact(0, 0xffff);
    for ip_proto in [ICMP, 47] {
        assert_eq!(refused(frames(IPV4, ip_proto).ports(ports, ports)), "ports");
    }
    assert_eq!(refused(ipv4.ports(ports, ports)), "ports");
    assert_eq!(refused(frames(IPV4, UDP).icmp(any, any)), "ICMP");
    assert_eq!(
        refused(frames(IPV4, UDP).tcp_flags(exact(0, 1))),
        "tcp_flags"
    );
    // What does not count is not matched.
    none.ip_proto(exact(7, 0)).unwrap();
    none.flags(FLAGS, exact(1, 0)).unwrap();
}

#[test]
fn redirect_ends_the_rule() {
    let frames = frames(IPV4, TCP);
    let mut steps = Steps::new(&frames);
    steps.mirror(sf_port()).unwrap();
    steps.redirect(port(FunctionId::PF)).unwrap();
    assert_eq!(steps.mirror(sf_port()), Err(Refusal::AfterEnd));
    assert_eq!(steps.drop_frame(), Err(Refusal::AfterEnd));
    let rule = steps.rule(7, vf_port(), &frames).unwrap();
    assert_eq!(
        actions(&rule),
        [
            (RuleActionKind::FORWARD, SF.0),
            (RuleActionKind::FORWARD, UPLINK)
        ]
    );
    assert_eq!(rule.priority.get(), 7);
}

#[test]
fn drop_forwards_nowhere_else() {
    let frames = Frames::new(None).unwrap();
    assert_eq!(actions(&rule(&frames)), []);
    let mut steps = Steps::new(&frames);
    steps.mirror(sf_port()).unwrap();
    steps.drop_frame().unwrap();
    let rule = steps.rule(1, vf_port(), &frames).unwrap();
    assert_eq!(actions(&rule), [(RuleActionKind::FORWARD, SF.0)]);
}

#[test]
fn what_is_not_ended_goes_to_the_stack() {
    let frames = Frames::new(None).unwrap();
    let representor = VF.0 | FunctionId::REPRESENTOR;
    let mut mirrored = Steps::new(&frames);
    mirrored.mirror(sf_port()).unwrap();
    let rule = mirrored.rule(1, vf_port(), &frames).unwrap();
    assert_eq!(
        actions(&rule),
        [
            (RuleActionKind::FORWARD, SF.0),
            (RuleActionKind::FORWARD, representor)
        ]
    );
    let mut accepted = Steps::new(&frames);
    accepted.accept(port(FunctionId::PF)).unwrap();
    let rule = accepted.rule(1, port(FunctionId::PF), &frames).unwrap();
    assert_eq!(actions(&rule), [(RuleActionKind::FORWARD, 0)]);
    assert_eq!(rule.in_port.get(), UPLINK);
    assert_eq!(
        Steps::new(&frames).rule(1, vf_port(), &frames).err(),
        Some(Refusal::NoAction)
    );
}

#[test]
fn tags_come_and_go() {
    let plain = Frames::new(Some(IPV4)).unwrap();
    let mut steps = Steps::new(&plain);
    assert_eq!(steps.pop_vlan(), Err(Refusal::PopUntagged));
    assert_eq!(
        steps.push_vlan(SERVICE_VLAN, 1),
        Err(Refusal::Tag(SERVICE_VLAN))
    );
    steps.push_vlan(VLAN, 0x6005).unwrap();
    steps.pop_vlan().unwrap();
    assert_eq!(steps.pop_vlan(), Err(Refusal::PopUntagged));
    steps.redirect(sf_port()).unwrap();
    let rule = steps.rule(1, vf_port(), &plain).unwrap();
    assert_eq!(
        actions(&rule),
        [
            (RuleActionKind::PUSH_VLAN, 0x6005),
            (RuleActionKind::POP_VLAN, 0),
            (RuleActionKind::FORWARD, SF.0)
        ]
    );
    let tagged = Frames::new(Some(VLAN)).unwrap();
    Steps::new(&tagged).pop_vlan().unwrap();
    // Frames of all protocols may have no tag.
    let all = Frames::new(None).unwrap();
    assert_eq!(Steps::new(&all).pop_vlan(), Err(Refusal::PopUntagged));
}

#[test]
fn actions_have_an_end() {
    let frames = Frames::new(None).unwrap();
    let mut steps = Steps::new(&frames);
    for _ in 0..MAX_RULE_ACTIONS {
        steps.mirror(sf_port()).unwrap();
    }
    assert_eq!(steps.mirror(sf_port()), Err(Refusal::TooMany));
    // There is no room for what the stack is to have.
    assert_eq!(
        steps.rule(1, vf_port(), &frames).err(),
        Some(Refusal::TooMany)
    );
}

#[test]
fn refusals_say_what_to_do() {
    for (refusal, text) in [
        (
            Refusal::NotOfSwitch,
            "not a port of the switch: use its representor",
        ),
        (Refusal::Match("MPLS"), "the device cannot match MPLS"),
        (
            Refusal::Flags(0x10),
            "the device cannot match the flags 0x10",
        ),
        (
            Refusal::Tag(SERVICE_VLAN),
            "the device knows 802.1Q tags only, not 0x88a8",
        ),
        (
            Refusal::Needs("ports", "ip_proto tcp, udp or sctp"),
            "to match ports, match ip_proto tcp, udp or sctp too",
        ),
        (Refusal::Never, "no packet can meet this rule"),
        (Refusal::Action("pedit"), "the device cannot do \"pedit\""),
        (
            Refusal::Target,
            "the target is not a port of the same switch",
        ),
        (
            Refusal::PopUntagged,
            "to pop a VLAN tag, match packets that have one: protocol 802.1q",
        ),
        (
            Refusal::AfterEnd,
            "an action after the one that ends the rule",
        ),
        (Refusal::NoAction, "a rule without action"),
        (Refusal::TooMany, "more than 8 actions"),
        (Refusal::Stats, "use hw_stats immediate, disabled or any"),
    ] {
        assert_eq!(refusal.to_string(), text);
    }
}

#[test]
fn counters_tell_what_came_since() {
    let mut told = Told::default();
    assert_eq!(told.next(5, 500), (5, 500));
    assert_eq!(told.next(5, 500), (0, 0));
    assert_eq!(told.next(7, 800), (2, 300));
    // The device counts anew.
    assert_eq!(told.next(3, 100), (3, 100));
    assert_eq!(told.next(4, 200), (1, 100));
}

proptest! {
    /// The device wants no bit set in a key that does not count.
    #[test]
    fn key_is_within_the_mask(
        mac: [u8; 6], mac_mask: [u8; 6], ip: [u8; 4], ip_mask: [u8; 4],
        tos: (u8, u8), ttl: (u8, u8), ports: (u16, u16), ports_mask: (u16, u16),
        tcp: (u16, u16), tci: (u16, u16), flags: (u32, u32),
    ) {
        let mut frames = Frames::new(Some(VLAN)).unwrap();
        frames.vlan(exact(VLAN, 0xffff), exact(tci.0, tci.1)).unwrap();
        frames.eth_type(exact(IPV4, 0xffff)).unwrap();
        frames.ip_proto(exact(TCP, 0xff)).unwrap();
        frames.mac(exact(mac, mac_mask), exact(mac, mac_mask));
        frames.ipv4(exact(ip, ip_mask), exact(ip, ip_mask)).unwrap();
        frames.ip(exact(tos.0, tos.1), exact(ttl.0, ttl.1)).unwrap();
        frames.flags(FLAGS, exact(flags.0, flags.1 & 3)).unwrap();
        frames
            .ports(exact(ports.0, ports_mask.0), exact(ports.1, ports_mask.1))
            .unwrap();
        frames.tcp_flags(exact(tcp.0, tcp.1 & 0xfff)).unwrap();
        let rule = rule(&frames);
        for (key, mask) in rule.key.as_bytes().iter().zip(rule.mask.as_bytes()) {
            prop_assert_eq!(key & !mask, 0);
        }
    }
}
