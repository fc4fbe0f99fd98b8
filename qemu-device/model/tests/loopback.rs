// SPDX-License-Identifier: GPL-2.0

//! A port that is turned around hears itself and nobody else.

mod common;

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    QueryLink,
    SetLoopback, //
};
use ferrite_model::testing::frame;

use common::{
    sender,
    Net, //
};

fn turn(net: &mut Net, enable: u8) -> Result<(), Status> {
    let command = SetLoopback {
        enable,
        rsvd: [0; 3],
    };
    net.driver.send(&mut net.machine, command)
}

#[test]
fn what_is_sent_comes_back_and_goes_nowhere_else() {
    let mut net = sender();
    net.rx.post(&mut net.machine, 8);
    turn(&mut net, 1).unwrap();
    let own = frame::addressed(
        frame::udp4(b"hello"),
        [0x02, 0, 0, 0, 0, 1],
        [0x02, 0, 0, 0, 0, 1],
    );
    net.tx.send(&mut net.machine, &own);
    let packets = net.rx.reap(&mut net.machine);
    assert_eq!(packets.len(), 1);
    assert_eq!(packets[0].bytes, own);
    assert!(net.machine.host.sent.is_empty());
    turn(&mut net, 0).unwrap();
    net.tx.send(&mut net.machine, &frame::udp4(b"away"));
    assert_eq!(net.machine.host.sent, [frame::udp4(b"away")]);
    assert!(net.rx.reap(&mut net.machine).is_empty());
}

#[test]
fn what_others_send_does_not_come() {
    let mut net = sender();
    net.rx.post(&mut net.machine, 8);
    turn(&mut net, 1).unwrap();
    let group = frame::addressed(frame::udp4(b"all"), [0xff; 6], frame::SOURCE);
    net.machine.receive(&group);
    assert!(net.rx.reap(&mut net.machine).is_empty());
    assert_eq!(net.stats().rx_closed.get(), 1);
    turn(&mut net, 0).unwrap();
    net.machine.receive(&group);
    assert_eq!(net.rx.reap(&mut net.machine).len(), 1);
}

#[test]
fn there_is_a_link_without_a_cable() {
    let mut net = sender();
    net.machine.device.set_uplink(&mut net.machine.host, false);
    let is_up = |net: &mut Net| {
        let link = net.driver.send(&mut net.machine, QueryLink {}).unwrap();
        (link.up, link.speed.get() > 0)
    };
    assert_eq!(is_up(&mut net), (0, false));
    turn(&mut net, 1).unwrap();
    assert_eq!(is_up(&mut net), (1, true));
}

#[test]
fn other_numbers_mean_nothing() {
    assert_eq!(turn(&mut sender(), 2), Err(Status::INVALID_FIELD));
}
