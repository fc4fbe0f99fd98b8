// SPDX-License-Identifier: GPL-2.0

//! The switch when it follows rules: representors, rules, and what goes where without any.

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    AddRule,
    AttachFunction,
    ConfigureFunction,
    CreateSf,
    DestroySf,
    EswitchMode,
    FunctionCaps,
    FunctionFields,
    PortStats,
    QueryEswitch,
    QueryFunction,
    QueryFunctionConfig,
    QueryRule,
    QueryStats,
    RemoveRule,
    Rule,
    RuleAction,
    RuleActionKind,
    RxMode,
    SetEswitchMode,
    SetFunctionState,
    SetRxMode,
    UPLINK, //
};
use ferrite_abi::desc::{
    RxFlags,
    TxDesc,
    TxFlags,
    TxStatus, //
};
use ferrite_abi::event::FunctionState;
use ferrite_abi::ids::FunctionId;
use ferrite_abi::regs::Control;
use ferrite_abi::wire::{
    U16,
    U32, //
};
use ferrite_model::testing::{
    frame,
    Driver,
    Machine,
    RxPacket,
    RxQueue,
    TxQueue, //
};
use ferrite_model::{
    Config,
    PciFn, //
};
use zerocopy::FromZeros;

const SF: FunctionId = FunctionId(0x100);
const SF_REPRESENTOR: FunctionId = FunctionId(0x8100);
const VF: FunctionId = FunctionId(1);
const VF_REPRESENTOR: FunctionId = FunctionId(0x8001);
const STRANGER: [u8; 6] = [0x02, 0xaa, 0, 0, 0, 1];

/// A function with an open port.
struct Port {
    id: FunctionId,
    tx: TxQueue,
    rx: RxQueue,
    mac: [u8; 6],
}

impl Port {
    fn open(m: &mut Machine, driver: &mut Driver, id: FunctionId) -> Self {
        let mac = driver.send_about(m, id, QueryFunction {}).unwrap().mac;
        let (tx, mut rx) = (driver.tx_queue_of(m, id, 0), driver.rx_queue_of(m, id, 0));
        driver.open_of(m, id);
        rx.post(m, 32);
        Self { id, tx, rx, mac }
    }

    fn send(&mut self, m: &mut Machine, frame: &[u8]) -> TxStatus {
        self.tx.send(m, frame);
        TxStatus(self.tx.reap(m).last().unwrap().1)
    }

    fn received(&mut self, m: &mut Machine) -> Vec<RxPacket> {
        let packets = self.rx.reap(m);
        self.rx.post(m, packets.len() as u32);
        packets
    }

    fn count(&mut self, m: &mut Machine) -> usize {
        self.received(m).len()
    }
}

fn set_mode(m: &mut Machine, pf: &mut Driver, mode: EswitchMode) {
    let command = SetEswitchMode {
        mode: U16::new(mode.0),
        rsvd: [0; 2],
    };
    pf.send(m, command).unwrap();
}

fn used_sf(m: &mut Machine, pf: &mut Driver) -> FunctionId {
    let done = pf.send(m, CreateSf { sfnum: U32::new(1) }).unwrap();
    let id = FunctionId(done.function.get());
    let state = SetFunctionState {
        state: U16::new(FunctionState::ACTIVE.0),
        rsvd: [0; 2],
    };
    pf.send_about(m, id, state).unwrap();
    let attach = AttachFunction {
        attach: 1,
        rsvd: [0; 3],
    };
    pf.send_about(m, id, attach).unwrap();
    id
}

/// PF, a VF and an SF, with the representors of both.
struct World {
    m: Machine,
    driver: Driver,
    vf_driver: Driver,
    pf: Port,
    vf: Port,
    sf: Port,
    vf_rep: Port,
    sf_rep: Port,
}

fn world() -> World {
    let mut m = Machine::new(Config::default());
    m.set_vfs(1);
    let mut driver = Driver::start(&mut m, PciFn::PF);
    driver.create_event_queue(&mut m);
    let mut vf_driver = Driver::start(&mut m, PciFn::vf(0));
    set_mode(&mut m, &mut driver, EswitchMode::SWITCHDEV);
    assert_eq!(used_sf(&mut m, &mut driver), SF);
    let pf = Port::open(&mut m, &mut driver, FunctionId::PF);
    let vf = Port::open(&mut m, &mut vf_driver, VF);
    let sf = Port::open(&mut m, &mut driver, SF);
    let vf_rep = Port::open(&mut m, &mut driver, VF_REPRESENTOR);
    let sf_rep = Port::open(&mut m, &mut driver, SF_REPRESENTOR);
    World {
        m,
        driver,
        vf_driver,
        pf,
        vf,
        sf,
        vf_rep,
        sf_rep,
    }
}

impl World {
    /// Returns how many packets came to PF, VF, SF, and the representors of both, and left.
    fn counts(&mut self) -> [usize; 6] {
        let m = &mut self.m;
        let sent = std::mem::take(&mut m.host.sent).len();
        [
            self.pf.count(m),
            self.vf.count(m),
            self.sf.count(m),
            self.vf_rep.count(m),
            self.sf_rep.count(m),
            sent,
        ]
    }

    fn add(&mut self, rule: &Rule) -> Result<u32, Status> {
        let done = self.driver.send_with(&mut self.m, AddRule {}, rule)?;
        Ok(done.rule.get())
    }

    /// Returns packets and bytes that met a rule, and the time since then.
    fn met(&mut self, rule: u32) -> Result<(u64, u64, u32), Status> {
        let query = QueryRule {
            rule: U32::new(rule),
        };
        let done = self.driver.send(&mut self.m, query)?;
        Ok((done.packets.get(), done.bytes.get(), done.idle_ms.get()))
    }

    fn stats(&mut self, id: FunctionId) -> PortStats {
        let (_, stats) = self
            .driver
            .fetch_about(&mut self.m, id, QueryStats {})
            .unwrap();
        stats
    }
}

fn action(kind: RuleActionKind, argument: u16) -> RuleAction {
    RuleAction {
        kind: U16::new(kind.0),
        argument: U16::new(argument),
    }
}

fn forward(port: u16) -> RuleAction {
    action(RuleActionKind::FORWARD, port)
}

/// A rule for all frames from a port.
fn rule(in_port: u16, actions: &[RuleAction]) -> Rule {
    let mut rule = Rule::new_zeroed();
    rule.priority = U32::new(1);
    rule.in_port = U16::new(in_port);
    rule.actions[..actions.len()].copy_from_slice(actions);
    rule
}

#[test]
fn representors_come_and_go_with_mode_and_function() {
    let mut machine = Machine::new(Config::default());
    let m = &mut machine;
    m.set_vfs(1);
    let mut pf = Driver::start(m, PciFn::PF);
    let there = |m: &mut Machine, pf: &mut Driver, id| {
        pf.send_about(m, id, QueryFunction {}).map(|about| {
            assert_eq!(about.state.get(), FunctionState::IN_USE.0);
            (about.mac, about.doorbell_page.get())
        })
    };
    let gone = Err(Status::INVALID_FUNCTION);
    assert_eq!(there(m, &mut pf, VF_REPRESENTOR), gone);
    set_mode(m, &mut pf, EswitchMode::SWITCHDEV);
    assert_eq!(
        there(m, &mut pf, VF_REPRESENTOR),
        Ok(([0x5a, 0x80, 0x01, 0x12, 0x34, 0x56], 2049))
    );
    assert_eq!(there(m, &mut pf, FunctionId(0x8002)), gone);
    assert_eq!(there(m, &mut pf, SF_REPRESENTOR), gone);
    let done = pf.send(m, CreateSf { sfnum: U32::new(1) }).unwrap();
    assert_eq!(done.function.get(), SF.0);
    assert_eq!(
        there(m, &mut pf, SF_REPRESENTOR),
        Ok(([0x5a, 0x81, 0x00, 0x12, 0x34, 0x56], 1025))
    );
    m.set_vfs(2);
    assert!(there(m, &mut pf, FunctionId(0x8002)).is_ok());
    m.migrate();
    m.settle();
    assert!(there(m, &mut pf, SF_REPRESENTOR).is_ok());
    set_mode(m, &mut pf, EswitchMode::SWITCHDEV_INACTIVE);
    pf.send_about(m, SF, DestroySf {}).unwrap();
    assert_eq!(there(m, &mut pf, SF_REPRESENTOR), gone);
    m.set_vfs(0);
    assert_eq!(there(m, &mut pf, VF_REPRESENTOR), gone);
    m.set_vfs(1);
    set_mode(m, &mut pf, EswitchMode::LEGACY);
    assert_eq!(there(m, &mut pf, VF_REPRESENTOR), gone);
    // They are not provisioned, nor have they a rate.
    set_mode(m, &mut pf, EswitchMode::SWITCHDEV);
    assert_eq!(
        pf.send_about(m, VF_REPRESENTOR, QueryFunctionConfig {})
            .err(),
        Some(Status::INVALID_FUNCTION)
    );
    m.write(PciFn::PF, Control(1));
    m.advance(10_000_000);
    let mut pf = Driver::start(m, PciFn::PF);
    assert_eq!(
        pf.send(m, QueryEswitch {}).unwrap().mode.get(),
        EswitchMode::LEGACY.0
    );
    assert_eq!(there(m, &mut pf, VF_REPRESENTOR), gone);
}

#[test]
fn mode_is_checked() {
    let mut machine = Machine::new(Config::default());
    let m = &mut machine;
    m.set_vfs(1);
    let mut pf = Driver::start(m, PciFn::PF);
    let command = |mode| SetEswitchMode {
        mode: U16::new(mode),
        rsvd: [0; 2],
    };
    assert_eq!(pf.send(m, command(3)), Err(Status::INVALID_FIELD));
    assert_eq!(
        pf.send_about(m, VF, command(1)),
        Err(Status::INVALID_FUNCTION)
    );
    assert_eq!(
        pf.send_with(m, AddRule {}, &rule(UPLINK, &[])).err(),
        Some(Status::BAD_STATE),
        "no rules in legacy mode"
    );
}

#[test]
fn without_rules_all_goes_to_representors_and_from_them() {
    let mut w = world();
    let m = &mut w.m;
    // Wherever it is for.
    let (vf, sf, pf) = (w.vf.mac, w.sf.mac, w.pf.mac);
    assert_eq!(w.vf.send(m, &frame::plain(sf, vf, b"1")), TxStatus::OK);
    assert_eq!(w.sf.send(m, &frame::plain(pf, sf, b"2")), TxStatus::OK);
    assert_eq!(
        w.sf.send(m, &frame::plain([0xff; 6], STRANGER, b"3")),
        TxStatus::OK
    );
    assert_eq!(w.counts(), [0, 0, 0, 1, 2, 0]);
    let m = &mut w.m;
    w.vf_rep.send(m, &frame::plain(vf, sf, b"4"));
    w.sf_rep.send(m, &frame::plain([0xff; 6], STRANGER, b"5"));
    w.pf.send(m, &frame::plain(vf, STRANGER, b"6"));
    assert_eq!(w.counts(), [0, 1, 1, 0, 0, 1]);
    w.m.receive(&frame::plain(vf, STRANGER, b"7"));
    w.m.receive(&frame::plain(STRANGER, STRANGER, b"8"));
    assert_eq!(w.counts(), [2, 0, 0, 0, 0, 0]);
    // Interrupts of representors are those of the PF.
    assert!(w.m.host.raised.iter().all(|(function, _)| function.0 < 2));
    let stats = w.stats(SF_REPRESENTOR);
    assert_eq!((stats.rx_packets.get(), stats.tx_packets.get()), (2, 1));
}

#[test]
fn function_gets_of_its_representor_what_is_for_it() {
    let mut w = world();
    let group = [0x01, 0x00, 0x5e, 0, 0, 7];
    for (destination, expected) in [(STRANGER, 0), (group, 0), (w.vf.mac, 1), ([0xff; 6], 1)] {
        w.vf_rep
            .send(&mut w.m, &frame::plain(destination, STRANGER, b"x"));
        assert_eq!(w.counts()[1], expected, "{destination:x?}");
    }
    let mode = SetRxMode {
        mode: U16::new(RxMode::PROMISCUOUS.0),
        count: U16::new(0),
    };
    w.vf_driver.send(&mut w.m, mode).unwrap();
    w.vf_rep
        .send(&mut w.m, &frame::plain(STRANGER, STRANGER, b"x"));
    assert_eq!(w.counts()[1], 1);
}

#[test]
fn rule_takes_frames_off_the_representor_until_it_is_removed() {
    let mut w = world();
    let mut udp = rule(VF.0, &[forward(UPLINK)]);
    (udp.key.ip_proto, udp.mask.ip_proto) = (17, 0xff);
    let id = w.add(&udp).unwrap();
    let frame = frame::udp4(b"payload");
    w.vf.send(&mut w.m, &frame);
    w.vf.send(&mut w.m, &frame::tcp4(b"payload"));
    assert_eq!(w.counts(), [0, 0, 0, 1, 0, 1]);
    w.m.advance(5_000_000_000);
    assert_eq!(w.met(id), Ok((1, frame.len() as u64, 5000)));
    w.sf.send(&mut w.m, &frame);
    assert_eq!(
        w.counts(),
        [0, 0, 0, 0, 1, 0],
        "the rule is for another port"
    );
    let remove = RemoveRule { rule: U32::new(id) };
    w.driver.send(&mut w.m, remove).unwrap();
    w.vf.send(&mut w.m, &frame);
    assert_eq!(w.counts(), [0, 0, 0, 1, 0, 0]);
    assert_eq!(w.driver.send(&mut w.m, remove), Err(Status::BAD_STATE));
    assert_eq!(w.met(id), Err(Status::BAD_STATE));
}

#[test]
fn rules_forward_drop_and_mirror() {
    let mut w = world();
    let (vf, sf) = (w.vf.mac, w.sf.mac);
    let from_uplink = w.add(&rule(UPLINK, &[forward(SF.0)])).unwrap();
    w.m.receive(&frame::plain(sf, STRANGER, b"in"));
    assert_eq!(w.counts(), [0, 0, 1, 0, 0, 0]);
    w.add(&rule(
        SF.0,
        &[forward(SF_REPRESENTOR.0), forward(VF.0), forward(UPLINK)],
    ))
    .unwrap();
    w.sf.send(&mut w.m, &frame::plain(vf, sf, b"mirrored"));
    assert_eq!(w.counts(), [0, 1, 0, 0, 1, 1]);
    w.add(&rule(VF.0, &[])).unwrap();
    assert_eq!(
        w.vf.send(&mut w.m, &frame::plain(sf, vf, b"dropped")),
        TxStatus::OK
    );
    assert_eq!(w.counts(), [0; 6]);
    assert_eq!(w.stats(VF).tx_dropped.get(), 1);
    let done = w.driver.send(&mut w.m, QueryEswitch {}).unwrap();
    assert_eq!((done.mode.get(), done.rules.get()), (1, 3));
    // Not followed while the switch is inactive, and not forgotten either.
    set_mode(&mut w.m, &mut w.driver, EswitchMode::SWITCHDEV_INACTIVE);
    w.m.receive(&frame::plain(sf, STRANGER, b"in"));
    assert_eq!(w.counts(), [1, 0, 0, 0, 0, 0]);
    set_mode(&mut w.m, &mut w.driver, EswitchMode::SWITCHDEV);
    w.m.receive(&frame::plain(sf, STRANGER, b"in"));
    assert_eq!(w.counts(), [0, 0, 1, 0, 0, 0]);
    assert_eq!(w.met(from_uplink).unwrap().0, 2);
    set_mode(&mut w.m, &mut w.driver, EswitchMode::LEGACY);
    set_mode(&mut w.m, &mut w.driver, EswitchMode::SWITCHDEV);
    assert_eq!(w.met(from_uplink), Err(Status::BAD_STATE));
}

#[test]
fn rules_put_tags_on_and_take_them_off() {
    let mut w = world();
    let push = [action(RuleActionKind::PUSH_VLAN, 0x2005), forward(UPLINK)];
    w.add(&rule(SF.0, &push)).unwrap();
    let pop = [
        forward(SF_REPRESENTOR.0),
        action(RuleActionKind::POP_VLAN, 0),
        forward(SF.0),
    ];
    w.add(&rule(UPLINK, &pop)).unwrap();
    let plain = frame::udp4(b"payload");
    w.sf.send(&mut w.m, &plain);
    let tagged = w.m.host.sent.pop().unwrap();
    assert_eq!(tagged[12..16], [0x81, 0x00, 0x20, 0x05]);
    assert_eq!(tagged.len(), plain.len() + 4);
    let mut back = tagged.clone();
    back[..6].copy_from_slice(&w.sf.mac);
    w.m.receive(&back);
    let mirrored = w.sf_rep.received(&mut w.m);
    assert!(mirrored[0].has(RxFlags::VLAN), "as it came");
    assert_eq!(mirrored[0].about.vlan.get(), 0x2005);
    let popped = w.sf.received(&mut w.m);
    assert!(!popped[0].has(RxFlags::VLAN));
    assert_eq!(popped[0].bytes[12..], plain[12..]);
    // Without a tag to take off, it is dropped there.
    w.m.receive(&plain);
    assert_eq!(w.counts(), [0, 0, 0, 0, 1, 0]);
}

#[test]
fn tag_is_matched_apart_from_what_is_behind_it() {
    let mut w = world();
    let mut tagged = rule(UPLINK, &[forward(SF.0)]);
    (tagged.key.tagged, tagged.mask.tagged) = (1, 1);
    (tagged.key.vlan_tci, tagged.mask.vlan_tci) = (U16::new(5), U16::new(0x0fff));
    (tagged.key.eth_type, tagged.mask.eth_type) = (U16::new(0x0800), U16::new(0xffff));
    w.add(&tagged).unwrap();
    let mut bytes = frame::udp4(b"payload");
    bytes[..6].copy_from_slice(&w.sf.mac);
    w.m.receive(&bytes);
    assert_eq!(w.counts(), [1, 0, 0, 0, 0, 0]);
    bytes.splice(12..12, [0x81, 0x00, 0xe0, 0x05]);
    w.m.receive(&bytes);
    assert_eq!(w.counts(), [0, 0, 1, 0, 0, 0]);
    bytes[15] = 6;
    w.m.receive(&bytes);
    assert_eq!(w.counts(), [1, 0, 0, 0, 0, 0]);
}

#[test]
fn segmented_packet_is_matched_once_and_counted_in_pieces() {
    let mut w = world();
    let mut syn = rule(SF.0, &[forward(UPLINK)]);
    // By a flag that only the last piece has.
    (syn.key.tcp_flags, syn.mask.tcp_flags) = (U16::new(8), U16::new(8));
    let id = w.add(&syn).unwrap();
    let mut bytes = frame::tcp4(&[7; 3000]);
    bytes[47] |= 8;
    let desc = TxDesc {
        flags: U16::new(TxFlags::END.0 | TxFlags::TSO.0),
        csum_start: U16::new(34),
        csum_offset: U16::new(16),
        mss: U16::new(1000),
        header_len: U16::new(54),
        ..TxQueue::place(&mut w.m, &bytes)
    };
    w.sf.tx.post(&mut w.m, &[desc]);
    assert_eq!(w.counts(), [0, 0, 0, 0, 0, 3]);
    assert_eq!(w.met(id).unwrap().0, 3);
    assert_eq!(w.met(id).unwrap().1, 3 * 54 + 3000);
}

#[test]
fn rules_go_with_the_functions_that_they_name() {
    let mut w = world();
    let from = w.add(&rule(SF.0, &[forward(UPLINK)])).unwrap();
    let to = w.add(&rule(UPLINK, &[forward(SF.0)])).unwrap();
    let to_representor = w.add(&rule(VF.0, &[forward(SF_REPRESENTOR.0)])).unwrap();
    let other = w.add(&rule(VF.0, &[forward(UPLINK)])).unwrap();
    let state = SetFunctionState {
        state: U16::new(FunctionState::INACTIVE.0),
        rsvd: [0; 2],
    };
    w.driver.send_about(&mut w.m, SF, state).unwrap();
    w.met(from).unwrap();
    w.driver.send_about(&mut w.m, SF, DestroySf {}).unwrap();
    for gone in [from, to, to_representor] {
        assert_eq!(w.met(gone), Err(Status::BAD_STATE));
    }
    w.met(other).unwrap();
    assert_eq!(w.add(&rule(SF.0, &[])), Err(Status::INVALID_FUNCTION));
    assert_eq!(
        w.add(&rule(UPLINK, &[forward(SF_REPRESENTOR.0)])),
        Err(Status::INVALID_FUNCTION)
    );
    w.m.set_vfs(0);
    assert_eq!(w.met(other), Err(Status::BAD_STATE));
}

#[test]
fn rules_survive_migration() {
    let mut w = world();
    let drop = w.add(&rule(VF.0, &[])).unwrap();
    let id = w.add(&rule(SF.0, &[forward(UPLINK)])).unwrap();
    w.sf.send(&mut w.m, &frame::udp4(b"x"));
    w.m.migrate();
    w.m.settle();
    w.sf.send(&mut w.m, &frame::udp4(b"x"));
    assert_eq!(w.met(id).unwrap().0, 2);
    assert_eq!(w.m.host.sent.len(), 2);
    assert_ne!(w.add(&rule(SF.0, &[])).unwrap(), drop);
    assert_eq!(w.sf.id, SF);
}

#[test]
fn legacy_function_in_a_vlan_sees_that_alone_and_without_tag() {
    let mut machine = Machine::new(Config::default());
    let m = &mut machine;
    m.set_vfs(2);
    let mut driver = Driver::start(m, PciFn::PF);
    let configure = ConfigureFunction {
        mask: U16::new(FunctionFields::VLAN.0),
        vlan: U16::new(5),
        ..ConfigureFunction::default()
    };
    driver.send_about(m, VF, configure).unwrap();
    let mut in_vlan = Driver::start(m, PciFn::vf(0));
    let mut trunk = Driver::start(m, PciFn::vf(1));
    let mut a = Port::open(m, &mut in_vlan, VF);
    let mut b = Port::open(m, &mut trunk, FunctionId(2));
    let frame = frame::plain(b.mac, a.mac, b"hello");
    assert_eq!(a.send(m, &frame), TxStatus::OK);
    let packets = b.received(m);
    assert!(packets[0].has(RxFlags::VLAN));
    assert_eq!(packets[0].about.vlan.get(), 5);
    let mut tagged = frame.clone();
    tagged.splice(12..12, [0x81, 0x00, 0x00, 0x05]);
    assert_eq!(a.send(m, &tagged), TxStatus::NOT_PERMITTED);
    let back = frame::plain(a.mac, b.mac, b"hello");
    b.send(m, &back);
    let mut other = back.clone();
    other.splice(12..12, [0x81, 0x00, 0x00, 0x06]);
    b.send(m, &other);
    assert_eq!(a.count(m), 0);
    other[14..16].copy_from_slice(&[0x60, 0x05]);
    b.send(m, &other);
    let packets = a.received(m);
    assert_eq!(packets.len(), 1);
    assert!(!packets[0].has(RxFlags::VLAN));
    assert_eq!(packets[0].bytes, back);
    // In switchdev mode the VLAN is the business of rules.
    set_mode(m, &mut driver, EswitchMode::SWITCHDEV);
    let mut rep = Port::open(m, &mut driver, VF_REPRESENTOR);
    a.send(m, &tagged);
    assert_eq!(rep.count(m), 1);
}

#[test]
fn trusted_function_may_send_from_any_address_and_see_everything() {
    let mut machine = Machine::new(Config::default());
    let m = &mut machine;
    m.set_vfs(2);
    let mut driver = Driver::start(m, PciFn::PF);
    let mut vf_driver = Driver::start(m, PciFn::vf(0));
    let mut other = Driver::start(m, PciFn::vf(1));
    let mut pf = Port::open(m, &mut driver, FunctionId::PF);
    let mut vf = Port::open(m, &mut vf_driver, VF);
    let mut b = Port::open(m, &mut other, FunctionId(2));
    let promiscuous = SetRxMode {
        mode: U16::new(RxMode::PROMISCUOUS.0),
        count: U16::new(0),
    };
    vf_driver.send(m, promiscuous).unwrap();
    let for_b = frame::plain(b.mac, pf.mac, b"x");
    let forged = frame::plain(b.mac, STRANGER, b"x");
    pf.send(m, &for_b);
    assert_eq!((vf.count(m), b.count(m)), (0, 1));
    assert_eq!(vf.send(m, &forged), TxStatus::NOT_PERMITTED);
    for (caps, sends, sees) in [
        (
            FunctionCaps::TRUSTED.with(FunctionCaps::SPOOF_CHECK),
            true,
            true,
        ),
        (FunctionCaps(0), true, false),
        (FunctionCaps::SPOOF_CHECK, false, false),
    ] {
        let configure = ConfigureFunction {
            mask: U16::new(FunctionFields::CAPS.0),
            caps: U16::new(caps.0),
            ..ConfigureFunction::default()
        };
        driver.send_about(m, VF, configure).unwrap();
        assert_eq!(vf.send(m, &forged) == TxStatus::OK, sends, "{caps:?}");
        pf.send(m, &for_b);
        assert_eq!(vf.count(m) == 1, sees, "{caps:?}");
        b.count(m);
        // What was learned is found behind it.
        if sends {
            pf.send(m, &frame::plain(STRANGER, pf.mac, b"x"));
            assert_eq!(vf.count(m), 1);
        }
    }
}
