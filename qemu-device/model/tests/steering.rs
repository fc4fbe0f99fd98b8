// SPDX-License-Identifier: GPL-2.0

//! Filters and contexts of receive side scaling, as a driver sees them.

use std::collections::BTreeMap;

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    Filter,
    FilterAction,
    QueryStats,
    QuerySteering,
    RemoveFilter,
    RemoveRss,
    RssFields,
    RssHash,
    RssTable,
    RssTransform,
    RuleKey,
    SetFilter,
    SetRss,
    MAX_RSS_TABLE,
    RSS_FLOWS,
    RSS_KEY, //
};
use ferrite_abi::desc::RxFlags;
use ferrite_abi::wire::U16;
use ferrite_model::testing::{
    frame,
    Driver,
    Machine,
    RxQueue, //
};
use ferrite_model::{
    Config,
    PciFn, //
};
use proptest::prelude::*;

/// Queues of the function here.
const QUEUES: u16 = 4;

struct World {
    machine: Machine,
    driver: Driver,
    queues: Vec<RxQueue>,
}

fn world() -> World {
    let mut machine = Machine::new(Config {
        mac: frame::DESTINATION,
        num_queues: QUEUES,
        ..Config::default()
    });
    let mut driver = Driver::start(&mut machine, PciFn::PF);
    let mut queues: Vec<_> = (0..QUEUES)
        .map(|index| driver.rx_queue(&mut machine, index))
        .collect();
    driver.open(&mut machine);
    for queue in &mut queues {
        queue.post(&mut machine, 60);
    }
    World {
        machine,
        driver,
        queues,
    }
}

fn context(number: u16) -> SetRss {
    SetRss {
        hash: U16::new(RssHash::FIELDS.0),
        entries: U16::new(2),
        context: U16::new(number),
        fields: [(RssFields::SRC_IP.0 | RssFields::DST_IP.0); RSS_FLOWS],
        ..SetRss::default()
    }
}

fn table(queues: [u16; 2]) -> RssTable {
    RssTable {
        key: [0x5a; RSS_KEY],
        queues: std::array::from_fn::<_, MAX_RSS_TABLE, _>(|at| U16::new(queues[at % 2])),
    }
}

fn at(location: u16, action: FilterAction, queue: u16, context: u16) -> SetFilter {
    SetFilter {
        location: U16::new(location),
        action: U16::new(action.0),
        queue: U16::new(queue),
        context: U16::new(context),
    }
}

/// What goes to this port.
fn to_port(port: u16) -> Filter {
    let mut filter = Filter::default();
    filter.key.ip_proto = 17;
    filter.mask.ip_proto = 0xff;
    filter.key.dst_port = U16::new(port);
    filter.mask.dst_port = U16::new(0xffff);
    filter
}

fn frame_to(port: u16) -> Vec<u8> {
    let mut bytes = frame::udp4(b"x");
    bytes[36..38].copy_from_slice(&port.to_be_bytes());
    bytes
}

impl World {
    fn set_context(&mut self, command: SetRss, queues: [u16; 2]) -> Result<(), Status> {
        self.driver
            .send_with(&mut self.machine, command, &table(queues))
    }

    fn set_filter(&mut self, command: SetFilter, filter: &Filter) -> Result<(), Status> {
        self.driver.send_with(&mut self.machine, command, filter)
    }

    fn remove_filter(&mut self, location: u16) -> Result<(), Status> {
        let command = RemoveFilter {
            location: U16::new(location),
            rsvd: [0; 2],
        };
        self.driver.send(&mut self.machine, command)
    }

    fn remove_context(&mut self, number: u16) -> Result<(), Status> {
        let command = RemoveRss {
            context: U16::new(number),
            rsvd: [0; 2],
        };
        self.driver.send(&mut self.machine, command)
    }

    fn counts(&mut self) -> (u16, u16) {
        let done = self
            .driver
            .send(&mut self.machine, QuerySteering {})
            .unwrap();
        (done.contexts.get(), done.filters.get())
    }

    fn filtered(&mut self) -> u64 {
        let stats = self.driver.fetch(&mut self.machine, QueryStats {});
        stats.unwrap().1.rx_filtered.get()
    }

    /// Returns the queue that a frame goes to, and whether it came with a hash.
    fn way(&mut self, bytes: &[u8]) -> Option<(u16, bool)> {
        self.machine.receive(bytes);
        let mut found = None;
        for (index, queue) in (0..).zip(&mut self.queues) {
            for packet in queue.reap(&mut self.machine) {
                assert!(found.is_none(), "one packet, one queue");
                found = Some((index, packet.has(RxFlags::HASH)));
                queue.post(&mut self.machine, 1);
            }
        }
        found
    }
}

#[test]
fn first_filter_that_fits_counts_and_others_go_on_as_before() {
    let mut world = world();
    world
        .set_filter(at(9, FilterAction::QUEUE, 1, 0), &Filter::default())
        .unwrap();
    world
        .set_filter(at(5, FilterAction::QUEUE, 2, 0), &to_port(53))
        .unwrap();
    world
        .set_filter(at(0, FilterAction::DROP, 0, 0), &to_port(54))
        .unwrap();
    assert_eq!(world.way(&frame_to(53)), Some((2, false)));
    assert_eq!(world.way(&frame_to(54)), None);
    assert_eq!(world.filtered(), 1);
    assert_eq!(world.way(&frame_to(55)), Some((1, false)));
    assert_eq!(world.counts(), (0, 3));
    // Another in its place.
    world
        .set_filter(at(5, FilterAction::QUEUE, 3, 0), &to_port(53))
        .unwrap();
    assert_eq!(world.way(&frame_to(53)), Some((3, false)));
    world.remove_filter(5).unwrap();
    assert_eq!(world.way(&frame_to(53)), Some((1, false)));
    world.remove_filter(9).unwrap();
    assert_eq!(world.way(&frame_to(53)), Some((0, false)));
    assert_eq!(world.remove_filter(9), Err(Status::BAD_STATE));
}

#[test]
fn filter_leads_to_a_context_and_adds_its_queue() {
    let mut world = world();
    world.set_context(context(0), [0, 0]).unwrap();
    world.set_context(context(7), [1, 1]).unwrap();
    world
        .set_filter(at(0, FilterAction::RSS, 0, 7), &to_port(53))
        .unwrap();
    world
        .set_filter(at(1, FilterAction::RSS, 2, 7), &to_port(54))
        .unwrap();
    world
        .set_filter(at(2, FilterAction::RSS, 3, 0), &to_port(55))
        .unwrap();
    assert_eq!(world.way(&frame_to(53)), Some((1, true)));
    assert_eq!(world.way(&frame_to(54)), Some((3, true)));
    assert_eq!(world.way(&frame_to(55)), Some((3, true)));
    assert_eq!(world.way(&frame_to(56)), Some((0, true)));
    // What is not hashed goes to the first entry.
    let mut other = context(7);
    other.fields = [0; RSS_FLOWS];
    world.set_context(other, [1, 0]).unwrap();
    assert_eq!(world.way(&frame_to(53)), Some((1, false)));
}

#[test]
fn queues_beyond_the_last_are_refused() {
    let mut world = world();
    assert_eq!(
        world.set_filter(at(0, FilterAction::QUEUE, 4, 0), &to_port(1)),
        Err(Status::INVALID_FIELD)
    );
    world.set_context(context(1), [0, 2]).unwrap();
    assert_eq!(
        world.set_filter(at(0, FilterAction::RSS, 2, 1), &to_port(1)),
        Err(Status::INVALID_FIELD)
    );
    world
        .set_filter(at(0, FilterAction::RSS, 1, 1), &to_port(1))
        .unwrap();
    // The table would lead beyond, together with the filter.
    assert_eq!(
        world.set_context(context(1), [0, 3]),
        Err(Status::INVALID_FIELD)
    );
    world.set_context(context(2), [0, 3]).unwrap();
    assert_eq!(
        world.set_context(context(2), [0, 4]),
        Err(Status::INVALID_FIELD)
    );
    assert_eq!(world.counts(), (2, 1));
}

#[test]
fn contexts_and_filters_hold_each_other() {
    let mut world = world();
    assert_eq!(
        world.set_filter(at(0, FilterAction::RSS, 0, 3), &to_port(1)),
        Err(Status::BAD_STATE)
    );
    assert_eq!(world.remove_context(3), Err(Status::BAD_STATE));
    world.set_context(context(3), [0, 1]).unwrap();
    world
        .set_filter(at(0, FilterAction::RSS, 0, 3), &to_port(1))
        .unwrap();
    assert_eq!(world.remove_context(3), Err(Status::IN_USE));
    let mut off = context(3);
    off.hash = U16::new(0);
    assert_eq!(world.set_context(off, [0, 0]), Err(Status::IN_USE));
    world.remove_filter(0).unwrap();
    world.set_context(off, [0, 0]).unwrap();
    assert_eq!(world.counts(), (0, 0));
    // Context 0 may go although filters name it: they then lead to queue 0 and what they add.
    world.set_context(context(0), [1, 1]).unwrap();
    world
        .set_filter(at(0, FilterAction::RSS, 2, 0), &to_port(53))
        .unwrap();
    assert_eq!(world.way(&frame_to(53)), Some((3, true)));
    world.remove_context(0).unwrap();
    assert_eq!(world.way(&frame_to(53)), Some((2, false)));
}

#[test]
fn what_there_is_has_an_end() {
    let mut world = world();
    let done = world
        .driver
        .send(&mut world.machine, QuerySteering {})
        .unwrap();
    let (contexts, filters) = (done.max_contexts.get(), done.max_filters.get());
    for number in 0..=contexts {
        world.set_context(context(number), [0, 1]).unwrap();
    }
    assert_eq!(
        world.set_context(context(contexts + 1), [0, 1]),
        Err(Status::NO_RESOURCE)
    );
    for location in 0..filters {
        world
            .set_filter(
                at(location, FilterAction::RSS, 0, contexts),
                &to_port(location),
            )
            .unwrap();
    }
    assert_eq!(
        world.set_filter(at(filters, FilterAction::DROP, 0, 0), &to_port(1)),
        Err(Status::NO_RESOURCE)
    );
    assert_eq!(world.counts(), (contexts, filters));
    let Machine { device, host, .. } = &mut world.machine;
    device.reset_function(host, PciFn::PF);
    world.machine.advance(1_000_000);
    world.driver = Driver::start(&mut world.machine, PciFn::PF);
    assert_eq!(world.counts(), (0, 0));
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let mut world = world();
    for bad in [
        at(0, FilterAction(3), 0, 0),
        at(0, FilterAction::DROP, 1, 0),
        at(0, FilterAction::QUEUE, 0, 1),
    ] {
        assert_eq!(
            world.set_filter(bad, &to_port(1)),
            Err(Status::INVALID_FIELD)
        );
    }
    let mut filter = to_port(1);
    filter.mask.rsvd2 = [1, 0];
    assert_eq!(
        world.set_filter(at(0, FilterAction::DROP, 0, 0), &filter),
        Err(Status::INVALID_FIELD)
    );
    let mut both = context(0);
    both.hash = U16::new(RssHash::FIELDS.with(RssHash::IPV4).0);
    let mut ports_of_ip = context(0);
    ports_of_ip.fields = [RssFields::SRC_PORT.0; RSS_FLOWS];
    let mut lopsided = context(0);
    lopsided.fields = [RssFields::SRC_IP.0; RSS_FLOWS];
    lopsided.transform = U16::new(RssTransform::XOR.0);
    let mut unknown = context(0);
    unknown.transform = U16::new(3);
    let mut reserved = context(0);
    reserved.rsvd = [0, 1];
    for bad in [both, ports_of_ip, lopsided, unknown, reserved] {
        assert_eq!(world.set_context(bad, [0, 1]), Err(Status::INVALID_FIELD));
    }
    assert_eq!(world.counts(), (0, 0));
}

/// A filter of the reference: action, queue, port that it wants, if any.
type Wanted = (FilterAction, u16, Option<u16>);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn packets_go_as_a_plain_reference_says_also_after_migration(
        steps in proptest::collection::vec(
            (0..6u16, 0..3u16, 0..QUEUES, proptest::option::of(0..3u16), any::<bool>()),
            1..20,
        ),
        ports in proptest::collection::vec(0..3u16, 1..10),
    ) {
        let mut world = world();
        let mut reference: BTreeMap<u16, Wanted> = BTreeMap::new();
        for (location, action, queue, port, remove) in steps {
            if remove {
                let known = reference.remove(&location).is_some();
                prop_assert_eq!(world.remove_filter(location).is_ok(), known);
                continue;
            }
            let action = FilterAction(action);
            let queue = if action == FilterAction::DROP { 0 } else { queue };
            let filter = port.map_or_else(Filter::default, to_port);
            world.set_filter(at(location, action, queue, 0), &filter).unwrap();
            reference.insert(location, (action, queue, port));
        }
        world.machine.migrate();
        for port in ports {
            let wanted = reference
                .values()
                .find(|(_, _, wanted)| wanted.is_none_or(|wanted| wanted == port));
            let expected = match wanted {
                Some((FilterAction::DROP, ..)) => None,
                // Scaling is off: it says queue 0.
                Some((_, queue, _)) => Some((*queue, false)),
                None => Some((0, false)),
            };
            prop_assert_eq!(world.way(&frame_to(port)), expected);
        }
    }

    #[test]
    fn no_filter_upsets_the_device(
        key in proptest::array::uniform::<_, 64>(any::<u8>()),
        mask in proptest::array::uniform::<_, 64>(any::<u8>()),
        bytes in proptest::collection::vec(any::<u8>(), 14..200),
    ) {
        let mut world = world();
        let clean = |bytes: [u8; 64]| {
            let mut key: RuleKey = zerocopy::transmute!(bytes);
            (key.rsvd, key.rsvd2) = ([0; 3], [0; 2]);
            key
        };
        let filter = Filter { key: clean(key), mask: clean(mask) };
        world.set_filter(at(0, FilterAction::DROP, 0, 0), &filter).unwrap();
        world.machine.receive(&bytes);
        world.machine.receive(&frame::tcp6(&bytes));
    }
}
