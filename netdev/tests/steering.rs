// SPDX-License-Identifier: GPL-2.0

//! Contexts of receive side scaling and places of filters, plain and against the device.

use ferrite_abi::cmd::{
    RssFields,
    RssFlow,
    RssHash,
    RssTransform,
    MAX_RSS_TABLE,
    RSS_KEY, //
};
use ferrite_model::testing::{
    frame,
    Driver,
    Machine, //
};
use ferrite_model::{
    Config,
    PciFn, //
};
use ferrite_net_logic::ntuple::{
    locate,
    Place, //
};
use ferrite_net_logic::rss::{
    entries_for,
    Context, //
};
use proptest::prelude::*;

const IP: RssFields = RssFields::SRC_IP.with(RssFields::DST_IP);
const KEY: [u8; RSS_KEY] = [7; RSS_KEY];

#[test]
fn tables_have_four_entries_a_queue_as_long_as_they_fit() {
    for queues in 1..=64 {
        let entries = entries_for(queues, 256);
        assert!(entries.is_power_of_two() && entries >= 4 * queues);
        assert!(entries < 8 * queues);
    }
    assert_eq!(entries_for(64, 128), 128);
    assert_eq!(entries_for(u16::MAX, 256), 256);
    assert_eq!(entries_for(0, 256), 4);
    assert_eq!(entries_for(8, 0), 0);
}

#[test]
fn table_is_repeated_when_it_grows_and_cut_when_it_is_kept() {
    let mut context = Context::new(KEY, 4);
    assert!(context.set_table(&[3, 2, 1, 0]));
    assert_eq!(context.table(8), [3, 2, 1, 0, 3, 2, 1, 0]);
    assert_eq!(context.highest(8), 3);
    context.cut(2);
    assert_eq!(context.table(4), [3, 2, 3, 2]);
    assert_eq!(context.table(u16::MAX).len(), MAX_RSS_TABLE);
    context.cut(0);
    assert_eq!(context.table(4), [3, 2, 3, 2]);
}

#[test]
fn impossible_tables_are_refused() {
    let mut context = Context::new(KEY, 4);
    assert!(!context.set_table(&[]));
    assert!(!context.set_table(&[1; MAX_RSS_TABLE + 1]));
    assert!(!context.set_table(&[1, 0x1_0000]));
    assert_eq!(context.table(4), [0, 1, 2, 3]);
}

#[test]
fn symmetry_and_lopsided_fields_exclude_each_other() {
    let mut context = Context::new(KEY, 4);
    assert!(context.set_transform(RssTransform::XOR));
    assert!(!context.set_fields(RssFlow::TCP4, RssFields::SRC_IP));
    assert!(context.set_fields(RssFlow::TCP4, IP));
    assert!(context.set_transform(RssTransform::NONE));
    assert!(context.set_fields(RssFlow::TCP4, RssFields::SRC_IP));
    assert!(!context.set_transform(RssTransform::OR_XOR));
    assert_eq!(context.transform, RssTransform::NONE);
}

#[test]
fn packets_have_the_fields_of_their_kind() {
    let mut context = Context::new(KEY, 4);
    let label = IP.with(RssFields::FLOW_LABEL);
    for (flow, possible) in [
        (RssFlow::TCP4, false),
        (RssFlow::IP4, false),
        (RssFlow::UDP6, true),
        (RssFlow::IP6, true),
        (RssFlow(6), false),
    ] {
        assert_eq!(context.set_fields(flow, label), possible, "{flow}");
    }
    assert!(!context.set_fields(RssFlow::IP6, RssFields::SRC_PORT));
    assert_eq!(context.fields(RssFlow(6)), None);
}

#[test]
fn device_without_contexts_is_told_in_its_own_words() {
    let (command, _) = Context::new(KEY, 4).command(0, 16, false);
    assert_eq!(command.hash.get(), 15);
    assert_eq!((command.context.get(), command.fields), (0, [0; 6]));
    assert_eq!(RssHash::FIELDS.0 & command.hash.get(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// What a context says yes to, the device accepts, and packets go where its table says.
    #[test]
    fn device_accepts_every_context(
        fields in proptest::array::uniform6(0..32u8),
        transform in 0..3u16,
        queues in 1..=4u16,
        table in proptest::collection::vec(0..4u32, 1..9),
        number in 0..=32u16,
    ) {
        let mut machine = Machine::new(Config { mac: frame::DESTINATION, num_queues: 4, ..Config::default() });
        let mut driver = Driver::start(&mut machine, PciFn::PF);
        let mut rings: Vec<_> = (0..4).map(|index| driver.rx_queue(&mut machine, index)).collect();
        driver.open(&mut machine);
        let mut context = Context::new(KEY, queues);
        for (flow, fields) in (0..).map(RssFlow).zip(fields) {
            let _ = context.set_fields(flow, RssFields(fields));
        }
        let _ = context.set_transform(RssTransform(transform));
        prop_assert!(context.set_table(&table));
        let (command, data) = context.command(number, 16, true);
        prop_assert_eq!(driver.send_with(&mut machine, command, &data), Ok(()));
        if number == 0 {
            for ring in &mut rings {
                ring.post(&mut machine, 2);
            }
            machine.receive(&frame::udp6(b"x"));
            let counts: Vec<_> = rings.iter_mut().map(|ring| ring.reap(&mut machine)).collect();
            for (index, packets) in (0..).zip(counts) {
                for packet in packets {
                    let entry = packet.about.hash.get() as usize % 16;
                    prop_assert_eq!(context.table(16)[entry], index);
                }
            }
        }
    }

    /// Places are found as a search over all of them finds them.
    #[test]
    fn places_are_free_and_the_first_or_last(
        taken in proptest::collection::btree_set(0..12u16, 0..12),
        size in 0..12u16,
        at in 0..20u32,
    ) {
        let taken: std::collections::BTreeSet<_> = taken.into_iter().filter(|at| *at < size).collect();
        let find = |place| locate(place, taken.iter().copied(), size);
        let mut free = (0..size).filter(|at| !taken.contains(at));
        prop_assert_eq!(find(Place::First), free.clone().next());
        prop_assert_eq!(find(Place::Last), free.next_back());
        prop_assert_eq!(find(Place::At(at)), u16::try_from(at).ok().filter(|at| *at < size));
    }
}
