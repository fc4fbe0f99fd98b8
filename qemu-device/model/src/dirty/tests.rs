// SPDX-License-Identifier: GPL-2.0

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const ALL: Span = (0, u64::MAX);
const TIB: u64 = 1 << 40;

fn range(iova: u64, length: u64) -> LogRange {
    LogRange {
        iova: U64::new(iova),
        length: U64::new(length),
    }
}

fn log(length: u64, max_runs: u32) -> DirtyLog {
    DirtyLog::new(&[range(0, length)], 12, max_runs).unwrap()
}

/// Reads with a number that no read had.
fn read(log: &mut DirtyLog, span: Span, room: usize) -> (DirtyFlags, Vec<(u64, u64)>) {
    let number = log.answer.as_ref().map_or(0, |answer| answer.number + 1);
    let (flags, runs) = log.read(span, number, room);
    let pair = |run: &DirtyRun| (run.iova.get(), run.length.get());
    (flags, runs.iter().map(pair).collect())
}

#[test]
fn whole_pages_are_told_once() {
    let mut log = log(TIB, 0);
    log.mark(0x1fff, 2);
    log.mark(0x5000, 1);
    log.mark(0x5001, 0x10);
    let told = (DirtyFlags(0), vec![(0x1000, 0x2000), (0x5000, 0x1000)]);
    assert_eq!(read(&mut log, ALL, 256), told);
    assert_eq!(read(&mut log, ALL, 256).1, []);
    log.mark(0x5004, 4);
    assert_eq!(read(&mut log, ALL, 256).1, [(0x5000, 0x1000)]);
}

#[test]
fn what_is_not_in_a_range_is_not_logged() {
    let ranges = [range(0x10_0000, 0x2000), range(0x1800, 0x1000)];
    let mut log = DirtyLog::new(&ranges, 12, 0).unwrap();
    for addr in [0, 0x2800, 0x3000, 0x10_2000, u64::MAX] {
        log.mark(addr, 1);
    }
    // The page is, as far as it is in the range.
    assert_eq!(read(&mut log, ALL, 256).1, [(0x2000, 0x800)]);
    log.mark(0x1000, 0x20_0000);
    assert_eq!(
        read(&mut log, ALL, 256).1,
        [(0x1800, 0x1000), (0x10_0000, 0x2000)]
    );
}

#[test]
fn ranges_must_make_sense() {
    let bad: [&[LogRange]; 4] = [
        &[],
        &[range(0x1000, 0)],
        &[range(0xffff_ffff_ffff_f000, 0x1001)],
        &[range(0x3000, 0x1000), range(0x2000, 0x1001)],
    ];
    for ranges in bad {
        assert_eq!(
            DirtyLog::new(ranges, 12, 0).err(),
            Some(Status::INVALID_FIELD)
        );
    }
    assert!(DirtyLog::new(&[range(0, u64::MAX)], 12, 0).is_ok());
    assert_eq!(
        DirtyLog::new(&[range(0, 1)], 3, 0).unwrap().page_shift(),
        12
    );
    assert_eq!(
        DirtyLog::new(&[range(0, 1)], 63, 0).unwrap().page_shift(),
        30
    );
}

#[test]
fn read_of_a_part_leaves_the_rest() {
    let mut log = DirtyLog::new(&[range(0, TIB)], 30, 0).unwrap();
    log.mark(0, 1);
    // The page is larger than what is asked for.
    assert_eq!(
        read(&mut log, (0x20_0000, 0x3f_ffff), 256).1,
        [(0x20_0000, 0x20_0000)]
    );
    assert_eq!(
        read(&mut log, ALL, 256).1,
        [(0, 0x20_0000), (0x40_0000, (1 << 30) - 0x40_0000)]
    );
}

#[test]
fn answer_is_repeated_for_the_same_number() {
    let mut log = log(TIB, 0);
    log.mark(0x1000, 1);
    let first = log.read(ALL, 7, 256).1.len();
    log.mark(0x1000, 1);
    assert_eq!((first, log.read(ALL, 7, 256).1.len()), (1, 1));
    assert_eq!(log.read(ALL, 8, 256).1.len(), 1);
    assert_eq!(log.read(ALL, 9, 256).1.len(), 0);
}

#[test]
fn more_is_told_when_there_is_no_room() {
    let mut log = log(TIB, 0);
    for page in [1, 3, 5] {
        log.mark(page << 12, 1);
    }
    let (flags, runs) = read(&mut log, ALL, 2);
    assert_eq!((flags, runs.len()), (DirtyFlags::MORE, 2));
    assert_eq!(
        read(&mut log, ALL, 2),
        (DirtyFlags(0), vec![(0x5000, 0x1000)])
    );
}

#[test]
fn overflow_is_told_and_the_log_starts_anew() {
    let mut log = log(TIB, 2);
    for page in [1, 3, 5, 7] {
        log.mark(page << 12, 1);
    }
    assert_eq!(read(&mut log, ALL, 256), (DirtyFlags::OVERFLOW, vec![]));
    log.mark(0x9000, 1);
    assert_eq!(
        read(&mut log, ALL, 256),
        (DirtyFlags(0), vec![(0x9000, 0x1000)])
    );
}

#[test]
fn the_whole_address_space_can_be_dirty() {
    let mut log = DirtyLog::new(&[range(0, u64::MAX)], 30, 0).unwrap();
    log.insert((0, u64::MAX));
    let (_, runs) = read(&mut log, ALL, 256);
    assert_eq!(runs, [(0, u64::MAX), (u64::MAX, 1)]);
}

/// 1 GiB of a TiB is dirty, every other page: the work goes with that, as the number of runs that the
/// map is asked for shows; a scan of the space would be 268 million pages.
#[test]
fn cost_goes_with_what_is_dirty() {
    let mut log = log(TIB, 0);
    let pages = 1u64 << 18;
    let stride = TIB / pages;
    for page in 0..pages {
        log.mark(page * stride, 1);
    }
    assert_eq!(log.runs.len() as u64, pages);
    let (mut reads, mut told) = (0, 0);
    loop {
        let (flags, runs) = read(&mut log, ALL, MAX_DIRTY_RUNS);
        reads += 1;
        told += runs.len() as u64;
        if !flags.contains(DirtyFlags::MORE) {
            break;
        }
    }
    assert_eq!((reads, told), (pages / MAX_DIRTY_RUNS as u64, pages));
    assert!(log.runs.is_empty());
}

proptest! {
    #[test]
    fn told_is_what_was_written(
        steps in prop::collection::vec(
            (0u64..0x80_000, 0usize..0x5000, prop::option::of((0u64..0x80_000, 1u64..0x40_000, 1usize..5))),
            1..60,
        ),
    ) {
        let ranges = [range(0x3000, 0x1_1000), range(0x2_0000, 0x1800), range(0x4_0000, 0x2_0000)];
        let logged = |page: u64| {
            let (first, last) = (page << 12, (page << 12) + 0xfff);
            ranges.iter().any(|range| {
                let start = range.iova.get();
                first < start + range.length.get() && start <= last
            })
        };
        let mut log = DirtyLog::new(&ranges, 12, 0).unwrap();
        let mut truth = BTreeSet::new();
        let mut told = BTreeSet::new();
        for (addr, length, reads) in steps {
            log.mark(addr, length);
            if length > 0 {
                truth.extend((addr >> 12..=(addr + length as u64 - 1) >> 12).filter(|page| logged(*page)));
            }
            prop_assert_eq!(log.check(), Ok(()));
            if let Some((iova, length, room)) = reads {
                let (_, runs) = read(&mut log, (iova, iova + length - 1), room);
                prop_assert!(runs.len() <= room);
                for (first, length) in runs {
                    told.extend(first >> 12..=(first + length - 1) >> 12);
                }
                prop_assert!(told.is_subset(&truth));
            }
        }
        loop {
            let (flags, runs) = read(&mut log, ALL, 256);
            for (first, length) in runs {
                told.extend(first >> 12..=(first + length - 1) >> 12);
            }
            if flags == DirtyFlags(0) {
                break;
            }
        }
        prop_assert_eq!(told, truth);
    }
}
