// SPDX-License-Identifier: GPL-2.0

//! Rules as the driver makes them of those of the network stack, and frames that the real switch
//! holds against them.

use ferrite_abi::cmd::{
    AddRule,
    EswitchMode,
    QueryRule,
    RemoveRule,
    SetEswitchMode, //
};
use ferrite_abi::ids::FunctionId;
use ferrite_abi::wire::U16;
use ferrite_model::testing::{
    frame,
    Driver,
    Machine, //
};
use ferrite_model::{
    Config,
    PciFn, //
};
use ferrite_net_logic::flow::{
    Frames,
    Masked,
    Refusal,
    Steps,
    SwitchPort,
    IPV4,
    IPV6,
    VLAN, //
};

const TCP: u8 = 6;
const UDP: u8 = 17;
/// The stack's flags for a fragment and for the first one.
const FLAGS: [u32; 2] = [1, 2];

/// Frames that come from the uplink, and what they are called here.
fn frames() -> Vec<(&'static str, Vec<u8>)> {
    let mut tagged = frame::tcp4(b"x");
    tagged.splice(12..12, [0x81, 0x00, 0x60, 0x05]);
    let mut piece = frame::udp4(b"x");
    // There are more fragments.
    piece[20] = 0x20;
    vec![
        ("tcp4", frame::tcp4(b"x")),
        ("tcp6", frame::tcp6(b"x")),
        ("udp4", frame::udp4(b"x")),
        ("udp6", frame::udp6(b"x")),
        ("tagged", tagged),
        ("piece", piece),
        (
            "plain",
            frame::plain(frame::DESTINATION, frame::SOURCE, &[0; 46]),
        ),
    ]
}

/// Returns the names of the frames that meet a rule.
fn met(wanted: Result<Frames, Refusal>) -> Vec<&'static str> {
    let mut machine = Machine::new(Config::default());
    let mut driver = Driver::start(&mut machine, PciFn::PF);
    let mode = SetEswitchMode {
        mode: U16::new(EswitchMode::SWITCHDEV.0),
        rsvd: [0; 2],
    };
    driver.send(&mut machine, mode).unwrap();
    let wanted = wanted.unwrap();
    let uplink = SwitchPort::of(FunctionId::PF).unwrap();
    let mut steps = Steps::new(&wanted);
    steps.drop_frame().unwrap();
    let rule = steps.rule(1, uplink, &wanted).unwrap();
    let mut met = Vec::new();
    for (name, frame) in frames() {
        let id = driver
            .send_with(&mut machine, AddRule {}, &rule)
            .unwrap()
            .rule;
        machine.receive(&frame);
        let done = driver.send(&mut machine, QueryRule { rule: id }).unwrap();
        match (done.packets.get(), done.bytes.get()) {
            (0, 0) => {}
            (1, bytes) if bytes == frame.len() as u64 => met.push(name),
            other => panic!("{name}: {other:?}"),
        }
        driver.send(&mut machine, RemoveRule { rule: id }).unwrap();
    }
    met
}

fn of(
    protocol: Option<u16>,
    more: impl FnOnce(&mut Frames) -> Result<(), Refusal>,
) -> Vec<&'static str> {
    met(Frames::new(protocol).and_then(|mut frames| more(&mut frames).map(|()| frames)))
}

fn all<T>(key: T, mask: T) -> Masked<T> {
    Masked::new(key, mask)
}

#[test]
fn protocol_tells_frames_apart() {
    let every = frames().into_iter().map(|(name, _)| name);
    assert_eq!(of(None, |_| Ok(())), every.collect::<Vec<_>>());
    assert_eq!(of(Some(IPV4), |_| Ok(())), ["tcp4", "udp4", "piece"]);
    assert_eq!(of(Some(IPV6), |_| Ok(())), ["tcp6", "udp6"]);
    assert_eq!(of(Some(VLAN), |_| Ok(())), ["tagged"]);
    assert_eq!(of(Some(0x88b5), |_| Ok(())), ["plain"]);
    let tcp = of(Some(IPV4), |frames| frames.ip_proto(all(TCP, 0xff)));
    assert_eq!(tcp, ["tcp4"]);
}

#[test]
fn tag_is_matched_by_its_parts() {
    let tag = |tci, mask| {
        of(Some(VLAN), |frames| {
            frames.vlan(all(VLAN, 0xffff), all(tci, mask))?;
            frames.eth_type(all(IPV4, 0xffff))?;
            frames.ip_proto(all(TCP, 0xff))
        })
    };
    assert_eq!(tag(5, 0xfff), ["tagged"]);
    assert_eq!(tag(0x6000, 0xe000), ["tagged"]);
    assert_eq!(tag(6, 0xfff), [""; 0]);
    assert_eq!(tag(0x8000, 0xe000), [""; 0]);
}

#[test]
fn addresses_are_matched_under_their_mask() {
    let mac = |last| {
        of(None, |frames| {
            let mut source = frame::SOURCE;
            source[5] = last;
            frames.mac(all(frame::DESTINATION, [0xff; 6]), all(source, [0xff; 6]));
            Ok(())
        })
    };
    assert_eq!(mac(0x99).len(), frames().len());
    assert_eq!(mac(0x98), [""; 0]);
    let ip = |address, mask| {
        of(Some(IPV4), |frames| {
            frames.ipv4(all(address, mask), all([0; 4], [0; 4]))
        })
    };
    assert_eq!(ip([192, 0, 2, 1], [255; 4]), ["tcp4", "udp4", "piece"]);
    assert_eq!(
        ip([192, 0, 2, 77], [255, 255, 255, 0]),
        ["tcp4", "udp4", "piece"]
    );
    assert_eq!(ip([192, 0, 2, 77], [255; 4]), [""; 0]);
}

#[test]
fn ports_and_flags_are_those_of_the_header() {
    let udp = |port| {
        of(Some(IPV4), |frames| {
            frames.ip_proto(all(UDP, 0xff))?;
            frames.ports(all(0, 0), all(port, 0xffff))
        })
    };
    // The stack does not look for ports in a piece either, be it the first one.
    assert!(udp(53).starts_with(&["udp4"]));
    assert_eq!(udp(54), [""; 0]);
    let flags = |flags| {
        of(Some(IPV6), |frames| {
            frames.ip_proto(all(TCP, 0xff))?;
            frames.tcp_flags(all(flags, 0xfff))
        })
    };
    assert_eq!(flags(0x10), ["tcp6"]);
    assert_eq!(flags(0x02), [""; 0]);
}

#[test]
fn pieces_are_told_from_whole_packets() {
    let piece = |flags, mask| of(Some(IPV4), |frames| frames.flags(FLAGS, all(flags, mask)));
    assert_eq!(piece(1, 1), ["piece"]);
    assert_eq!(piece(3, 3), ["piece"]);
    assert_eq!(piece(0, 1), ["tcp4", "udp4"]);
    assert_eq!(piece(1, 3), [""; 0]);
}
