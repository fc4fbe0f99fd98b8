// SPDX-License-Identifier: GPL-2.0

//! Packets between functions.

use ferrite_abi::admin::Submission;
use ferrite_abi::cmd::{
    EnablePort,
    PortStats,
    QueryStats,
    RxFilter,
    RxMode,
    SetMac,
    SetRxMode,
    MAX_RX_FILTER, //
};
use ferrite_abi::desc::TxStatus;
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

const BROADCAST: [u8; 6] = [0xff; 6];
const GROUP: [u8; 6] = [0x01, 0x00, 0x5e, 0x00, 0x00, 0x05];
const STRANGER: [u8; 6] = [0x02, 0xaa, 0, 0, 0, 1];

/// A function with an open port.
struct Station {
    driver: Driver,
    tx: TxQueue,
    rx: RxQueue,
    mac: [u8; 6],
}

impl Station {
    fn start(machine: &mut Machine, function: PciFn) -> Self {
        let mut driver = Driver::start(machine, function);
        let mac = driver
            .send(machine, ferrite_abi::cmd::QueryFunction {})
            .unwrap()
            .mac;
        let tx = driver.tx_queue(machine, 0);
        let mut rx = driver.rx_queue(machine, 0);
        driver.open(machine);
        rx.post(machine, 64);
        Self {
            driver,
            tx,
            rx,
            mac,
        }
    }

    /// Sends to `destination` and returns how that ended.
    fn send(&mut self, machine: &mut Machine, destination: [u8; 6], source: [u8; 6]) -> TxStatus {
        self.tx
            .send(machine, &frame::plain(destination, source, &[0; 46]));
        TxStatus(self.tx.reap(machine).last().unwrap().1)
    }

    /// Returns how many packets came.
    fn received(&mut self, machine: &mut Machine) -> usize {
        let count = self.rx.reap(machine).len();
        self.rx.post(machine, count as u32);
        count
    }

    fn receive(&mut self, machine: &mut Machine, mode: RxMode, addresses: &[[u8; 6]]) {
        let mut filter = RxFilter {
            addresses: [[0; 6]; MAX_RX_FILTER],
        };
        filter.addresses[..addresses.len()].copy_from_slice(addresses);
        let mode = SetRxMode {
            mode: U16::new(mode.0),
            count: U16::new(addresses.len() as u16),
        };
        self.driver.send_with(machine, mode, &filter).unwrap();
    }

    fn stats(&mut self, machine: &mut Machine) -> PortStats {
        self.driver.fetch(machine, QueryStats {}).unwrap().1
    }
}

/// The PF and two VFs.
fn stations() -> (Machine, [Station; 3]) {
    let mut machine = Machine::new(Config::default());
    machine.set_vfs(2);
    let stations = [PciFn::PF, PciFn::vf(0), PciFn::vf(1)]
        .map(|function| Station::start(&mut machine, function));
    machine.host.sent.clear();
    (machine, stations)
}

#[test]
fn unicast_between_functions_stays_inside() {
    let (mut machine, [mut pf, mut a, mut b]) = stations();
    let m = &mut machine;
    assert_eq!(a.send(m, b.mac, a.mac), TxStatus::OK);
    assert_eq!(a.send(m, pf.mac, a.mac), TxStatus::OK);
    assert_eq!(pf.send(m, a.mac, pf.mac), TxStatus::OK);
    assert_eq!([pf.received(m), a.received(m), b.received(m)], [1, 1, 1]);
    assert_eq!(m.host.sent.len(), 0);
    let stats = a.stats(m);
    assert_eq!((stats.tx_packets.get(), stats.rx_packets.get()), (2, 1));
}

#[test]
fn interrupt_and_dma_are_those_of_the_receiving_function() {
    let (mut machine, [mut pf, a, _b]) = stations();
    machine.host.raised.clear();
    let base = ferrite_model::testing::FakeHost::base();
    // Only the VF may access memory from here on, but for what the PF sends from.
    let bytes = frame::plain(a.mac, pf.mac, &[0; 46]);
    pf.tx.send(&mut machine, &bytes);
    assert!(machine.host.raised.contains(&(PciFn::vf(0), 1)));
    machine.host.raised.clear();
    machine.host.break_range(Some(PciFn::vf(0)), base..u64::MAX);
    pf.tx.send(&mut machine, &bytes);
    machine.host.mend();
    assert!(
        !machine.host.raised.contains(&(PciFn::vf(0), 1)),
        "the VF cannot be written to"
    );
}

#[test]
fn broadcast_reaches_all_others_and_the_uplink() {
    let (mut machine, [mut pf, mut a, mut b]) = stations();
    let m = &mut machine;
    a.send(m, BROADCAST, a.mac);
    assert_eq!([pf.received(m), a.received(m), b.received(m)], [1, 0, 1]);
    assert_eq!(m.host.sent.len(), 1);
    m.receive(&frame::plain(BROADCAST, STRANGER, &[0; 46]));
    assert_eq!([pf.received(m), a.received(m), b.received(m)], [1, 1, 1]);
    assert_eq!(m.host.sent.len(), 1);
    assert_eq!(b.stats(m).rx_broadcast.get(), 2);
    assert_eq!(a.stats(m).tx_broadcast.get(), 1);
}

#[test]
fn multicast_reaches_those_who_asked() {
    let (mut machine, [mut pf, mut a, mut b]) = stations();
    let m = &mut machine;
    a.receive(m, RxMode(0), &[GROUP]);
    m.receive(&frame::plain(GROUP, STRANGER, &[0; 46]));
    assert_eq!([pf.received(m), a.received(m), b.received(m)], [0, 1, 0]);
    b.receive(m, RxMode::ALL_MULTICAST, &[]);
    pf.send(m, GROUP, pf.mac);
    assert_eq!([pf.received(m), a.received(m), b.received(m)], [0, 1, 1]);
    assert_eq!(m.host.sent.len(), 1);
    a.receive(m, RxMode(0), &[]);
    m.receive(&frame::plain(GROUP, STRANGER, &[0; 46]));
    assert_eq!([pf.received(m), a.received(m), b.received(m)], [0, 0, 1]);
}

#[test]
fn promiscuous_function_sees_all_and_further_addresses_are_received() {
    let (mut machine, [mut pf, mut a, mut b]) = stations();
    let m = &mut machine;
    let further = [0x02, 0xbb, 0, 0, 0, 1];
    b.receive(m, RxMode(0), &[further]);
    pf.receive(m, RxMode::PROMISCUOUS, &[]);
    a.send(m, b.mac, a.mac);
    a.send(m, further, a.mac);
    m.receive(&frame::plain(STRANGER, STRANGER, &[0; 46]));
    assert_eq!([pf.received(m), a.received(m), b.received(m)], [3, 0, 2]);
}

#[test]
fn vf_cannot_forge_its_address_and_the_pf_may() {
    let (mut machine, [mut pf, mut a, _b]) = stations();
    let m = &mut machine;
    assert_eq!(a.send(m, STRANGER, pf.mac), TxStatus::NOT_PERMITTED);
    assert_eq!(m.host.sent.len(), 0);
    assert_eq!(a.stats(m).tx_not_permitted.get(), 1);
    assert_eq!(pf.send(m, [2, 0, 0, 0, 0, 0x55], STRANGER), TxStatus::OK);
    assert_eq!(m.host.sent.len(), 1);
    // With another address of its own, it sends from that one, and receives for it.
    let mac = [0x02, 0xcc, 0, 0, 0, 1];
    a.driver.send(m, SetMac { mac, rsvd: [0; 2] }).unwrap();
    assert_eq!(a.send(m, STRANGER, a.mac), TxStatus::NOT_PERMITTED);
    assert_eq!(a.send(m, [2, 0, 0, 0, 0, 0x55], mac), TxStatus::OK);
    m.receive(&frame::plain(mac, STRANGER, &[0; 46]));
    m.receive(&frame::plain(a.mac, STRANGER, &[0; 46]));
    assert_eq!(a.received(m), 1);
}

#[test]
fn station_behind_the_pf_is_learned() {
    let (mut machine, [mut pf, mut a, _b]) = stations();
    let m = &mut machine;
    let bridged = [0x02, 0xdd, 0, 0, 0, 1];
    a.send(m, bridged, a.mac);
    assert_eq!((m.host.sent.len(), pf.received(m)), (1, 0));
    pf.send(m, a.mac, bridged);
    a.send(m, bridged, a.mac);
    assert_eq!((m.host.sent.len(), pf.received(m)), (1, 1));
    // It moves behind the uplink.
    m.receive(&frame::plain(a.mac, bridged, &[0; 46]));
    a.send(m, bridged, a.mac);
    assert_eq!((m.host.sent.len(), pf.received(m)), (2, 0));
}

#[test]
fn reset_forgets_what_was_behind_the_function() {
    let (mut machine, [mut pf, mut a, _b]) = stations();
    let m = &mut machine;
    let bridged = [0x02, 0xdd, 0, 0, 0, 1];
    pf.send(m, a.mac, bridged);
    m.device.reset_function(&mut m.host, PciFn::PF);
    a.send(m, bridged, a.mac);
    assert_eq!(m.host.sent.len(), 1, "not looked for behind the PF");
}

#[test]
fn packet_that_no_port_takes_is_counted() {
    let (mut machine, [mut pf, mut a, mut b]) = stations();
    let m = &mut machine;
    m.device.set_uplink(&mut m.host, false);
    assert_eq!(a.send(m, STRANGER, a.mac), TxStatus::OK);
    let off = EnablePort {
        enable: 0,
        rsvd: [0; 3],
    };
    b.driver.send(m, off).unwrap();
    assert_eq!(a.send(m, b.mac, a.mac), TxStatus::OK);
    assert_eq!(a.send(m, pf.mac, a.mac), TxStatus::OK);
    let stats = a.stats(m);
    assert_eq!((stats.tx_dropped.get(), stats.tx_packets.get()), (2, 1));
    assert_eq!((b.stats(m).rx_closed.get(), pf.received(m)), (1, 1));
}

#[test]
fn frames_of_a_downed_uplink_are_dropped() {
    let (mut machine, [mut pf, ..]) = stations();
    machine.device.set_uplink(&mut machine.host, false);
    machine.receive(&frame::plain(pf.mac, STRANGER, &[0; 46]));
    assert_eq!(pf.received(&mut machine), 0);
}

#[test]
fn vf_that_goes_away_leaves_nothing_behind() {
    let (mut machine, [mut pf, mut a, b]) = stations();
    let m = &mut machine;
    m.set_vfs(1);
    a.send(m, b.mac, a.mac);
    assert_eq!(m.host.sent.len(), 1, "now an address outside");
    m.set_vfs(2);
    // Its port is closed and its queues are gone, its address is there again.
    a.send(m, b.mac, a.mac);
    assert_eq!(m.host.sent.len(), 1);
    let query = Submission::new(
        9,
        FunctionId::vf(1).unwrap(),
        ferrite_abi::cmd::QueryQueue {
            kind: U16::new(0),
            index: U16::new(0),
        },
    );
    let status = pf.driver.call(m, &query).status.get();
    assert_eq!(status, ferrite_abi::admin::Status::BAD_STATE.0);
    let mut again = Station::start(m, PciFn::vf(1));
    a.send(m, b.mac, a.mac);
    assert_eq!(again.received(m), 1);
    assert_eq!(again.stats(m).rx_closed.get(), 1);
}

#[test]
fn function_reset_closes_the_port_and_keeps_the_counters() {
    let (mut machine, [mut pf, a, _b]) = stations();
    let m = &mut machine;
    pf.send(m, a.mac, pf.mac);
    m.device.reset_function(&mut m.host, PciFn::vf(0));
    let before = m.host.dma_accesses;
    m.receive(&frame::plain(a.mac, STRANGER, &[0; 46]));
    assert_eq!(m.host.dma_accesses, before, "no DMA while in reset");
    m.advance(2_000_000);
    m.receive(&frame::plain(a.mac, STRANGER, &[0; 46]));
    let mut a = Station::start(m, PciFn::vf(0));
    pf.send(m, a.mac, pf.mac);
    assert_eq!(a.received(m), 1);
    let stats = a.stats(m);
    assert_eq!((stats.rx_packets.get(), stats.rx_closed.get()), (2, 2));
}

#[test]
fn function_without_bus_master_moves_nothing_until_it_has() {
    let (mut machine, [mut pf, mut a, _b]) = stations();
    let m = &mut machine;
    m.device.set_bus_master(&mut m.host, PciFn::vf(0), false);
    pf.send(m, a.mac, pf.mac);
    let bytes = frame::plain(STRANGER, a.mac, &[0; 46]);
    a.tx.send(m, &bytes);
    assert_eq!((a.received(m), m.host.sent.len()), (0, 0));
    m.device.set_bus_master(&mut m.host, PciFn::vf(0), true);
    m.settle();
    assert_eq!(m.host.sent, [bytes]);
}

#[test]
fn reset_of_the_device_turns_vfs_off() {
    let (mut machine, [_pf, a, _b]) = stations();
    machine.device.reset(&mut machine.host);
    assert_eq!(machine.read_at(PciFn::vf(0), 0), u32::MAX);
    machine
        .device
        .set_bus_master(&mut machine.host, PciFn::PF, true);
    let mut pf = Station::start(&mut machine, PciFn::PF);
    assert_eq!(
        pf.stats(&mut machine).tx_packets.get(),
        0,
        "counters begin anew"
    );
    pf.send(&mut machine, a.mac, pf.mac);
    assert_eq!(machine.host.sent.len(), 1, "the uplink is still up");
}
