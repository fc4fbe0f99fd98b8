// SPDX-License-Identifier: GPL-2.0

//! Sizes and limits: receive buffers, rings, watermarks, resets, receive side scaling.

use ferrite_abi::ids::{
    MAX_MTU,
    MIN_MTU, //
};
use ferrite_abi::ring::Depth;
use ferrite_net_logic::dump;
use ferrite_net_logic::frames::CLASSES;
use ferrite_net_logic::geometry::{
    mtu_range,
    ring_depth,
    RxGeometry,
    Watermarks,
    MAX_SKB_SEGMENTS, //
};
use ferrite_net_logic::rate::{
    bytes,
    megabits, //
};
use ferrite_net_logic::reset::{
    Resets,
    LIMIT,
    WINDOW_MS, //
};
use ferrite_net_logic::rss::{
    entries,
    spread, //
};
use proptest::prelude::*;

// What Linux wants around the data on x86-64.
const HEADROOM: u32 = 64;
const TAILROOM: u32 = 320;

fn geometry(mtu: u32, scatter: bool) -> Option<RxGeometry> {
    RxGeometry::of(mtu, 4096, HEADROOM, TAILROOM, scatter)
}

#[test]
fn usual_packets_take_half_a_page() {
    let geometry = geometry(1500, true).unwrap();
    assert_eq!((geometry.size, geometry.data), (2048, 1664));
}

#[test]
fn mtu_that_just_fits_half_a_page_takes_half_a_page() {
    assert_eq!(geometry(1664 - 18, true).unwrap().size, 2048);
    assert_eq!(geometry(1664 - 17, true).unwrap().size, 4096);
}

#[test]
fn nothing_is_around_data() {
    let data = |mtu| RxGeometry::data(mtu, 4096, true).unwrap();
    assert_eq!((data(1500).size, data(1500).data), (2048, 2048));
    assert_eq!(data(2048 - 18).size, 2048);
    let jumbo = data(2048 - 17);
    assert_eq!((jumbo.size, jumbo.headroom, jumbo.data), (4096, 0, 4096));
}

#[test]
fn jumbo_packets_are_scattered_over_pages() {
    let geometry = geometry(9600, true).unwrap();
    assert_eq!((geometry.size, geometry.data), (4096, 3712));
}

#[test]
fn jumbo_packets_need_scattering() {
    assert_eq!(geometry(9600, false), None);
    assert!(geometry(3712 - 18, false).is_some());
    assert_eq!(geometry(3712 - 17, false), None);
}

#[test]
fn buffer_that_is_all_overhead_is_none() {
    assert_eq!(RxGeometry::of(1500, 4096, 4000, 96, true), None);
}

#[test]
fn ring_depth_is_a_power_of_two_within_limits() {
    let entries = |wanted, max| ring_depth(wanted, max).map(Depth::entries);
    assert_eq!(entries(300, 13), Some(512));
    assert_eq!(entries(512, 13), Some(512));
    assert_eq!(entries(0, 13), Some(64));
    assert_eq!(entries(8192, 13), Some(8192));
    assert_eq!(entries(8193, 13), None);
    assert_eq!(entries(1024, 9), None);
    assert_eq!(entries(u32::MAX, 13), None);
    assert_eq!(entries(16, 5), None);
}

#[test]
fn any_packet_fits_while_the_queue_runs() {
    for log2 in 6..=13 {
        let depth = Depth::from_log2(log2).unwrap();
        let watermarks = Watermarks::of(depth);
        assert_eq!(watermarks.stop, MAX_SKB_SEGMENTS);
        assert!(watermarks.stop < watermarks.wake);
        assert!(watermarks.wake < depth.entries());
    }
}

#[test]
fn mtu_range_is_that_of_device_and_contract() {
    let (min, max) = (u32::from(MIN_MTU), u32::from(MAX_MTU));
    assert_eq!(mtu_range(9600), (min, 9600));
    assert_eq!(mtu_range(1500), (min, 1500));
    assert_eq!(mtu_range(u16::MAX), (min, max));
    assert_eq!(mtu_range(0), (min, min));
}

#[test]
fn resets_in_a_row_come_to_an_end() {
    let mut resets = Resets::default();
    let allowed = (0..100).filter(|n| resets.allow(*n)).count();
    assert_eq!(allowed as u32, LIMIT);
}

#[test]
fn resets_now_and_then_are_allowed_for_ever() {
    let mut resets = Resets::default();
    assert!((0..100).all(|n| resets.allow(n * WINDOW_MS / u64::from(LIMIT) + n)));
}

#[test]
fn resets_are_allowed_again_after_a_while() {
    let mut resets = Resets::default();
    while resets.allow(5) {}
    assert!(!resets.allow(WINDOW_MS));
    assert!(resets.allow(WINDOW_MS + 5));
}

#[test]
fn indirection_table_is_what_device_and_command_have_room_for() {
    assert_eq!(entries(0), None);
    assert_eq!(entries(1), Some(1));
    assert_eq!(entries(128), Some(128));
    assert_eq!(entries(129), Some(128));
    assert_eq!(entries(u16::MAX), Some(256));
}

#[test]
fn packets_are_spread_evenly() {
    let queues: Vec<_> = (0..7).map(|index| spread(index, 3)).collect();
    assert_eq!(queues, [0, 1, 2, 0, 1, 2, 0]);
    assert_eq!(spread(5, 0), 0);
}

proptest! {
    /// Headroom, data and tailroom fit in every buffer, and the packet in as many as it may have.
    #[test]
    fn buffers_are_sound(
        mtu in 68..=9600_u32,
        page in prop_oneof![Just(4096_u32), Just(16384), Just(65536)],
        headroom in 0..512_u32,
        tailroom in 0..1024_u32,
        scatter in any::<bool>(),
    ) {
        if let Some(geometry) = RxGeometry::of(mtu, page, headroom, tailroom, scatter) {
            prop_assert!(geometry.headroom + geometry.data + tailroom <= geometry.size);
            prop_assert!(geometry.size == page || geometry.size == page / 2);
            prop_assert!(scatter || geometry.data >= mtu + 18);
            prop_assert!((mtu + 18).div_ceil(geometry.data) <= MAX_SKB_SEGMENTS);
        }
    }
}

#[test]
fn joined_packets_fit_into_the_pages_that_a_packet_may_have() {
    let cut = RxGeometry::joining(1500, 4096, 64, 320).unwrap();
    assert_eq!((cut.size, cut.data), (4096, 3712));
    // 18 times 3520 bytes are less than the largest packet.
    assert_eq!(RxGeometry::joining(1500, 4096, 256, 320), None);
}

#[test]
fn program_that_takes_one_buffer_has_it_up_to_some_mtu() {
    let holds = |mtu| RxGeometry::of(mtu, 4096, 256, 320, true).map(|cut| cut.holds(mtu));
    assert_eq!(holds(1500), Some(true));
    assert_eq!(holds(3520 - 18), Some(true));
    assert_eq!(holds(3520 - 17), Some(false));
    assert_eq!(holds(9000), Some(false));
}

#[test]
fn classes_of_frames_leave_no_gap() {
    assert_eq!(
        CLASSES,
        [
            (64, 64),
            (65, 127),
            (128, 255),
            (256, 511),
            (512, 1023),
            (1024, 1518),
            (1519, 9622)
        ]
    );
}

#[test]
fn dump_has_each_register_that_can_be_read() {
    let mut words = [0; dump::WORDS];
    dump::fill(&mut words, |register| !register.offset);
    for pair in words.chunks_exact(2) {
        assert_eq!(pair[1], !pair[0]);
    }
    let offsets: Vec<_> = words.chunks_exact(2).map(|pair| pair[0]).collect();
    assert_eq!((offsets[0], offsets[1]), (0x000, 0x004));
    // `Control` is write only, and so are the doorbells at the end.
    assert!(!offsets.contains(&0x01c));
    assert_eq!(offsets.last(), Some(&0x11c));
}

#[test]
fn rates_come_back_as_they_were_set() {
    for rate in [0, 1, 7, 25_000, u32::MAX] {
        assert_eq!(megabits(bytes(rate)), rate);
    }
    // Less than can be named is not none, and more is not little.
    assert_eq!(megabits(1), 1);
    assert_eq!(megabits(u64::MAX), u32::MAX);
}
