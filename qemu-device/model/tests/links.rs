// SPDX-License-Identifier: GPL-2.0

//! Links of VFs that the PF holds up or down.

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    ConfigureFunction,
    FunctionCaps,
    FunctionFields,
    PortStats,
    QueryLink,
    QueryStats, //
};
use ferrite_abi::event::LinkChange;
use ferrite_abi::ids::FunctionId;
use ferrite_abi::wire::U16;
use ferrite_model::testing::{
    frame,
    Driver,
    Machine,
    RxQueue,
    TxQueue, //
};
use ferrite_model::{
    Config,
    PciFn, //
};

/// A VF that is open, and its PF.
struct Net {
    machine: Machine,
    pf: Driver,
    vf: Driver,
    tx: TxQueue,
    rx: RxQueue,
}

fn id() -> FunctionId {
    FunctionId::vf(0).unwrap()
}

fn net() -> Net {
    let mut machine = Machine::new(Config::default());
    machine.set_vfs(1);
    let pf = Driver::start(&mut machine, PciFn::PF);
    let mut vf = Driver::start(&mut machine, PciFn::vf(0));
    vf.create_event_queue(&mut machine);
    let tx = vf.tx_queue(&mut machine, 0);
    let mut rx = vf.rx_queue(&mut machine, 0);
    vf.open(&mut machine);
    rx.post(&mut machine, 8);
    Net {
        machine,
        pf,
        vf,
        tx,
        rx,
    }
}

impl Net {
    fn hold(&mut self, caps: FunctionCaps) -> Result<(), Status> {
        let command = ConfigureFunction {
            mask: U16::new(FunctionFields::CAPS.0),
            caps: U16::new(caps.0),
            ..ConfigureFunction::default()
        };
        self.pf.send_about(&mut self.machine, id(), command)
    }

    fn is_up(&mut self) -> bool {
        self.vf.send(&mut self.machine, QueryLink {}).unwrap().up == 1
    }

    fn told(&mut self) -> Vec<u8> {
        let events = self.vf.events(&mut self.machine);
        let changes = events
            .iter()
            .filter_map(|event| event.payload::<LinkChange>());
        changes.map(|change| change.up).collect()
    }

    fn stats(&mut self) -> PortStats {
        self.vf.fetch(&mut self.machine, QueryStats {}).unwrap().1
    }
}

/// To everybody, from nobody in particular.
fn group() -> Vec<u8> {
    frame::addressed(frame::udp4(b"all"), [0xff; 6], frame::SOURCE)
}

#[test]
fn nothing_passes_while_a_link_is_held_down_and_what_waits_passes_then() {
    let mut net = net();
    net.hold(FunctionCaps::LINK_DOWN).unwrap();
    assert!(!net.is_up());
    assert_eq!(net.told(), [0]);
    net.tx.send(&mut net.machine, &group());
    assert!(net.machine.host.sent.is_empty());
    net.machine.receive(&group());
    assert!(net.rx.reap(&mut net.machine).is_empty());
    assert_eq!(net.stats().rx_closed.get(), 1);
    net.hold(FunctionCaps(0)).unwrap();
    net.machine.settle();
    assert!(net.is_up());
    assert_eq!(net.told(), [1]);
    assert_eq!(net.machine.host.sent, [group()]);
    net.machine.receive(&group());
    assert_eq!(net.rx.reap(&mut net.machine).len(), 1);
}

#[test]
fn link_that_is_held_up_needs_no_cable() {
    let mut net = net();
    net.machine.device.set_uplink(&mut net.machine.host, false);
    assert!(!net.is_up());
    net.hold(FunctionCaps::LINK_UP).unwrap();
    assert!(net.is_up());
    assert_eq!(net.told(), [0, 1]);
}

#[test]
fn link_is_not_held_both_ways() {
    let both = FunctionCaps::LINK_UP.with(FunctionCaps::LINK_DOWN);
    assert_eq!(net().hold(both), Err(Status::INVALID_FIELD));
}
