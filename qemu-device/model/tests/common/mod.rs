// SPDX-License-Identifier: GPL-2.0

//! A machine with an open port, for the tests of packets.

#![allow(dead_code, reason = "each test crate uses some of it")]

use ferrite_abi::cmd::{
    PortStats,
    QueryQueue,
    QueryStats,
    QueueKind,
    SetMac, //
};
use ferrite_abi::event::{
    QueueError,
    QueueSyndrome, //
};
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

/// A machine whose PF has one queue of each kind, port open, event queue there.
pub struct Net {
    pub machine: Machine,
    pub driver: Driver,
    pub tx: TxQueue,
    pub rx: RxQueue,
}

/// With the address that the frames here are for.
pub fn net() -> Net {
    net_with(Config {
        mac: frame::DESTINATION,
        ..Config::default()
    })
}

/// With an address to which the frames here are foreign.
pub fn sender() -> Net {
    net_with(Config {
        mac: [0x02, 0, 0, 0, 0, 1],
        ..Config::default()
    })
}

fn net_with(config: Config) -> Net {
    let mut machine = Machine::new(config);
    let mut driver = Driver::start(&mut machine, PciFn::PF);
    driver.create_event_queue(&mut machine);
    let tx = driver.tx_queue(&mut machine, 0);
    let rx = driver.rx_queue(&mut machine, 0);
    driver.open(&mut machine);
    machine.host.raised.clear();
    Net {
        machine,
        driver,
        tx,
        rx,
    }
}

impl Net {
    /// Takes the address that the frames here are for, so that what was sent can come back.
    pub fn receive_own(&mut self) {
        let mac = SetMac {
            mac: frame::DESTINATION,
            rsvd: [0; 2],
        };
        self.driver.send(&mut self.machine, mac).unwrap();
    }

    pub fn stats(&mut self) -> PortStats {
        self.driver
            .fetch(&mut self.machine, QueryStats {})
            .unwrap()
            .1
    }

    /// Returns what a queue stopped for, as `QueryQueue` and the event say.
    pub fn syndrome(&mut self, kind: QueueKind) -> QueueSyndrome {
        let query = QueryQueue {
            kind: U16::new(kind.0),
            index: U16::new(0),
        };
        let done = self.driver.send(&mut self.machine, query).unwrap();
        let events = self.driver.events(&mut self.machine);
        let told = events
            .iter()
            .find_map(|event| event.payload::<QueueError>());
        assert_eq!(
            told.map(|told| told.syndrome.get()),
            Some(done.syndrome.get())
        );
        assert_eq!(told.map(|told| told.kind.get()), Some(kind.0));
        QueueSyndrome(done.syndrome.get())
    }
}
