// SPDX-License-Identifier: GPL-2.0

//! Rates of functions that send all that they can: what leaves in a second of the machine's clock.

use std::collections::BTreeMap;

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    AttachFunction,
    CreateRateNode,
    CreateSf,
    DestroyRateNode,
    EswitchMode,
    QueryEswitch,
    QueryFunction,
    QueryRate,
    Rate,
    SetEswitchMode,
    SetFunctionState,
    SetRate,
    RATE_ROOT, //
};
use ferrite_abi::desc::{
    TxDesc,
    TxFlags, //
};
use ferrite_abi::event::FunctionState;
use ferrite_abi::ids::FunctionId;
use ferrite_abi::regs::Control;
use ferrite_abi::ring::Index;
use ferrite_abi::wire::{
    U16,
    U32,
    U64, //
};
use ferrite_model::testing::{
    frame,
    Driver,
    Machine,
    TxQueue, //
};
use ferrite_model::{
    Config,
    PciFn, //
};

const MS: u64 = 1_000_000;
/// Bytes of each packet.
const LENGTH: u64 = 1000;

/// A TX queue that never runs empty.
struct Source {
    tx: TxQueue,
    desc: TxDesc,
    /// Descriptors before this are done.
    done: Index,
    /// What tells its packets from others'.
    mark: u8,
}

impl Source {
    /// `tci` is the tag of its packets.
    fn open(
        m: &mut Machine,
        driver: &mut Driver,
        id: FunctionId,
        index: u16,
        mark: u8,
        tci: Option<u16>,
    ) -> Self {
        let mac = driver.send_about(m, id, QueryFunction {}).unwrap().mac;
        let tx = driver.tx_queue_of(m, id, index);
        driver.open_of(m, id);
        let tag = if tci.is_some() { 4 } else { 0 };
        let payload = vec![mark; LENGTH as usize - 14 - tag];
        let mut desc = TxQueue::place(m, &frame::plain([2, 0xaa, 0, 0, 0, 9], mac, &payload));
        if let Some(tci) = tci {
            desc.flags = U16::new(TxFlags::END.0 | TxFlags::VLAN.0);
            desc.vlan = U16::new(tci);
        }
        Self {
            tx,
            desc,
            done: Index(0),
            mark,
        }
    }

    /// Fills the ring up.
    fn fill(&mut self, m: &mut Machine) {
        if let Some((index, _)) = self.tx.reap(m).last() {
            self.done = Index(*index);
        }
        let rings = &mut self.tx.0;
        let free = rings.depth.entries() - rings.tail.since(self.done);
        rings.post(m, &vec![self.desc; free as usize]);
    }
}

/// Lets time pass in steps of a millisecond, with all sources full. Returns the bytes that left, by
/// mark.
fn run(m: &mut Machine, sources: &mut [Source], ms: u64) -> BTreeMap<u8, u64> {
    m.host.sent.clear();
    let mut sent = BTreeMap::new();
    for _ in 0..ms {
        for source in sources.iter_mut() {
            source.fill(m);
        }
        m.advance(MS);
        for frame in m.host.sent.drain(..) {
            *sent.entry(*frame.last().unwrap()).or_default() += frame.len() as u64;
        }
    }
    for source in sources {
        sent.entry(source.mark).or_default();
    }
    sent
}

fn rate(tx_max: u64) -> Rate {
    Rate {
        tx_max: U64::new(tx_max),
        ..Rate::default()
    }
}

fn set(
    m: &mut Machine,
    pf: &mut Driver,
    id: FunctionId,
    (node, parent): (u16, u16),
    rate: &Rate,
) -> Result<(), Status> {
    let command = SetRate {
        node: U16::new(node),
        parent: U16::new(parent),
    };
    pf.send_about_with(m, id, command, rate)
}

fn node(m: &mut Machine, pf: &mut Driver) -> u16 {
    pf.send(m, CreateRateNode {}).unwrap().node.get()
}

/// A PF and three VFs, each with a source; marks are the numbers of the VFs.
fn vfs() -> (Machine, Driver, Vec<Driver>, Vec<Source>) {
    let mut m = Machine::new(Config::default());
    m.set_vfs(3);
    let pf = Driver::start(&mut m, PciFn::PF);
    let mut drivers: Vec<_> = (0..3)
        .map(|vf| Driver::start(&mut m, PciFn::vf(vf)))
        .collect();
    let sources = drivers.iter_mut().zip(1..).map(|(driver, mark)| {
        let id = driver.id();
        Source::open(&mut m, driver, id, 0, mark, None)
    });
    let sources = sources.collect();
    (m, pf, drivers, sources)
}

#[track_caller]
fn near(sent: u64, expected: u64) {
    assert!(
        sent.abs_diff(expected) <= expected / 20 + 2 * LENGTH,
        "{sent} bytes, not {expected}"
    );
}

#[test]
fn limit_of_a_vf_is_kept_and_lifted() {
    let (mut m, mut pf, _, mut sources) = vfs();
    let (m, vf) = (&mut m, FunctionId(1));
    set(m, &mut pf, vf, (RATE_ROOT, RATE_ROOT), &rate(1_000_000)).unwrap();
    let sent = run(m, &mut sources[..2], 500);
    near(sent[&1], 500_000);
    // The other sends all that its ring holds in each step.
    assert!(sent[&2] > 10_000_000, "{sent:?}");
    m.migrate();
    let sent = run(m, &mut sources[..1], 500);
    near(sent[&1], 500_000);
    set(m, &mut pf, vf, (RATE_ROOT, RATE_ROOT), &rate(0)).unwrap();
    let sent = run(m, &mut sources[..1], 100);
    assert!(sent[&1] > 2_000_000, "{sent:?}");
}

#[test]
fn weights_and_node_limit_share_among_vfs() {
    let (mut m, mut pf, _, mut sources) = vfs();
    let m = &mut m;
    let node = node(m, &mut pf);
    let pf_id = FunctionId::PF;
    set(m, &mut pf, pf_id, (node, RATE_ROOT), &rate(6_000_000)).unwrap();
    for vf in 1..4 {
        let weight = Rate {
            weight: U32::new(vf.into()),
            ..Rate::default()
        };
        set(m, &mut pf, FunctionId(vf), (RATE_ROOT, node), &weight).unwrap();
    }
    let sent = run(m, &mut sources, 500);
    near(sent[&1], 500_000);
    near(sent[&2], 1_000_000);
    near(sent[&3], 1_500_000);
    // What one does not use, the others do.
    let sent = run(m, &mut sources[..2], 500);
    near(sent[&1], 1_000_000);
    near(sent[&2], 2_000_000);
}

#[test]
fn priority_and_guaranteed_share_come_first() {
    let (mut m, mut pf, _, mut sources) = vfs();
    let m = &mut m;
    let node = node(m, &mut pf);
    set(
        m,
        &mut pf,
        FunctionId::PF,
        (node, RATE_ROOT),
        &rate(4_000_000),
    )
    .unwrap();
    let first = Rate {
        priority: U32::new(5),
        ..rate(1_000_000)
    };
    let guaranteed = Rate {
        tx_share: U64::new(2_000_000),
        ..Rate::default()
    };
    let heavy = Rate {
        weight: U32::new(200),
        ..Rate::default()
    };
    for (vf, rate) in [(1, first), (2, guaranteed), (3, heavy)] {
        set(m, &mut pf, FunctionId(vf), (RATE_ROOT, node), &rate).unwrap();
    }
    let sent = run(m, &mut sources, 500);
    near(sent[&1], 500_000);
    near(sent[&2], 1_000_000);
    near(sent[&3], 500_000);
}

#[test]
fn traffic_classes_share_as_told() {
    let mut m = Machine::new(Config::default());
    let m = &mut m;
    let mut pf = Driver::start(m, PciFn::PF);
    let sf = FunctionId(
        pf.send(m, CreateSf { sfnum: U32::new(1) })
            .unwrap()
            .function
            .get(),
    );
    let state = SetFunctionState {
        state: U16::new(FunctionState::ACTIVE.0),
        rsvd: [0; 2],
    };
    pf.send_about(m, sf, state).unwrap();
    let attach = AttachFunction {
        attach: 1,
        rsvd: [0; 3],
    };
    pf.send_about(m, sf, attach).unwrap();
    let mut classes = rate(5_000_000);
    (classes.tc_bw[3], classes.tc_bw[4]) = (U32::new(20), U32::new(80));
    set(m, &mut pf, sf, (RATE_ROOT, RATE_ROOT), &classes).unwrap();
    let mut sources = [
        Source::open(m, &mut pf, sf, 0, 3, Some(3 << 13 | 101)),
        Source::open(m, &mut pf, sf, 1, 4, Some(4 << 13 | 102)),
    ];
    let sent = run(m, &mut sources, 500);
    near(sent[&3], 500_000);
    near(sent[&4], 2_000_000);
    let sent = run(m, &mut sources[..1], 500);
    near(sent[&3], 2_500_000);
}

#[test]
fn rates_go_with_functions_and_with_the_pf() {
    let (mut m, mut pf, _, mut sources) = vfs();
    let m = &mut m;
    let node = node(m, &mut pf);
    set(m, &mut pf, FunctionId(1), (RATE_ROOT, node), &rate(1_000)).unwrap();
    let destroy = DestroyRateNode {
        node: U16::new(node),
        rsvd: [0; 2],
    };
    assert_eq!(pf.send(m, destroy), Err(Status::IN_USE));
    // The PF is reset while a VF waits for its turn.
    run(m, &mut sources[..1], 20);
    m.write(PciFn::PF, Control(1));
    m.advance(10 * MS);
    let sent = run(m, &mut sources[..1], 10);
    assert!(sent[&1] > 200_000, "{sent:?}");
    let mut pf = Driver::start(m, PciFn::PF);
    assert_eq!(pf.send(m, destroy), Err(Status::BAD_STATE));
    let node = self::node(m, &mut pf);
    set(m, &mut pf, FunctionId(1), (RATE_ROOT, node), &rate(1_000)).unwrap();
    m.set_vfs(0);
    pf.send(m, destroy).unwrap();
}

#[test]
fn rates_are_for_vfs_sfs_and_nodes() {
    let (mut m, mut pf, mut drivers, _) = vfs();
    let m = &mut m;
    let rate = rate(1);
    let invalid = Err(Status::INVALID_FUNCTION);
    assert_eq!(
        set(m, &mut pf, FunctionId::PF, (RATE_ROOT, RATE_ROOT), &rate),
        invalid
    );
    let node = node(m, &mut pf);
    assert_eq!(
        set(m, &mut pf, FunctionId(1), (node, RATE_ROOT), &rate),
        invalid
    );
    assert_eq!(
        set(m, &mut pf, FunctionId::PF, (node + 1, RATE_ROOT), &rate),
        Err(Status::BAD_STATE)
    );
    assert_eq!(
        set(
            m,
            &mut drivers[0],
            FunctionId(1),
            (RATE_ROOT, RATE_ROOT),
            &rate
        ),
        Err(Status::NOT_PERMITTED)
    );
    let about = pf.send(m, QueryEswitch {}).unwrap();
    for _ in 1..about.max_rate_nodes.get() {
        pf.send(m, CreateRateNode {}).unwrap();
    }
    assert_eq!(
        pf.send(m, CreateRateNode {}).err(),
        Some(Status::NO_RESOURCE)
    );
}

#[test]
fn rate_can_be_asked_for_until_the_mode_changes() {
    let mut machine = Machine::new(Config::default());
    let m = &mut machine;
    m.set_vfs(1);
    let mut driver = Driver::start(m, PciFn::PF);
    let vf = FunctionId::vf(0).unwrap();
    let leaf = QueryRate {
        node: U16::new(RATE_ROOT),
        rsvd: [0; 2],
    };
    let tell = |driver: &mut Driver, m: &mut Machine| {
        let (done, rate) = driver.fetch_about(m, vf, leaf).unwrap();
        (done.parent.get(), rate.tx_max.get(), rate.tx_share.get())
    };
    assert_eq!(tell(&mut driver, m), (RATE_ROOT, 0, 0));
    let command = SetRate {
        node: U16::new(RATE_ROOT),
        parent: U16::new(RATE_ROOT),
    };
    let rate = Rate {
        tx_max: U64::new(1000),
        tx_share: U64::new(10),
        ..Rate::default()
    };
    driver.send_about_with(m, vf, command, &rate).unwrap();
    assert_eq!(tell(&mut driver, m), (RATE_ROOT, 1000, 10));
    // No node, and no function with a rate.
    let node = QueryRate {
        node: U16::new(1),
        rsvd: [0; 2],
    };
    assert_eq!(driver.fetch(m, node).err(), Some(Status::BAD_STATE));
    assert_eq!(driver.fetch(m, leaf).err(), Some(Status::INVALID_FUNCTION));
    let mode = SetEswitchMode {
        mode: U16::new(EswitchMode::SWITCHDEV.0),
        rsvd: [0; 2],
    };
    driver.send(m, mode).unwrap();
    assert_eq!(tell(&mut driver, m), (RATE_ROOT, 0, 0));
}
