// SPDX-License-Identifier: GPL-2.0

//! Commands about the log of what a VF writes to memory. The VF is named in the submission and must have
//! [`FunctionCaps::MIGRATABLE`](super::FunctionCaps::MIGRATABLE); a VF may send none of these.

use super::command;
use crate::wire::*;

/// Largest number of ranges that can be logged.
pub const MAX_LOG_RANGES: usize = 256;
/// Least logarithm of the page size of a log.
pub const MIN_LOG_PAGE_SHIFT: u8 = 12;
/// Largest logarithm of the page size of a log.
pub const MAX_LOG_PAGE_SHIFT: u8 = 30;

/// Begins to log what the function writes to memory, by bus address. The log is empty at first.
///
/// `IN_USE` if it is logged already; `INVALID_FIELD` if a range is empty, passes the end of the
/// address space or overlaps another, or their number is 0 or larger than [`MAX_LOG_RANGES`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StartDirtyLog {
    /// Number of ranges in the data buffer.
    pub count: U16,
    /// Logarithm of the page size that is wished for. The device takes the nearest that it has.
    pub page_shift: u8,
    /// Reserved.
    pub rsvd: u8,
    /// Number of runs of pages that the log holds at most, 0 for as many as the device can.
    pub max_runs: U32,
}
layout!(StartDirtyLog: 8 { count @ 0, page_shift @ 2, rsvd @ 3, max_runs @ 4 });
command!(StartDirtyLog = START_DIRTY_LOG, done StartDirtyLogDone, to_device LogRanges, pf);

/// Data buffer of [`StartDirtyLog`].
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LogRanges {
    /// The ranges; only the first `count` have a meaning.
    pub ranges: [LogRange; MAX_LOG_RANGES],
}
layout!(LogRanges: 4096 { ranges @ 0 });

/// A range of bus addresses.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LogRange {
    /// First address.
    pub iova: U64,
    /// Length in bytes.
    pub length: U64,
}
layout!(LogRange: 16 { iova @ 0, length @ 8 });

/// Answer to [`StartDirtyLog`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StartDirtyLogDone {
    /// Logarithm of the page size of the log.
    pub page_shift: u8,
    /// Reserved.
    pub rsvd: [u8; 3],
}
layout!(StartDirtyLogDone: 4 { page_shift @ 0 });

/// Largest number of runs that one [`ReadDirtyLog`] tells.
pub const MAX_DIRTY_RUNS: usize = 256;

/// Tells which pages of a range were written, by ascending address, in the data buffer, and takes
/// them out of the log. Pages that are written again from then on are told again.
///
/// The number of each read differs from that of the one before. The same number is the same read, as
/// when its completion was lost: it is answered as before, and takes nothing out of the log.
///
/// It tells as many runs as the data buffer has room for, one at least, and no more than
/// [`MAX_DIRTY_RUNS`]; [`DirtyFlags::MORE`] says that there are more. With [`DirtyFlags::OVERFLOW`] the
/// log had to hold more runs than it can: all pages of all ranges that are logged count as written
/// up to this read, which tells no run and leaves the log empty.
///
/// `BAD_STATE` if nothing is logged; `INVALID_FIELD` if the range is empty or passes the end of the
/// address space.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ReadDirtyLog {
    /// First address of the range.
    pub iova: U64,
    /// Its length in bytes.
    pub length: U64,
    /// Number of the read.
    pub number: U32,
    /// Reserved.
    pub rsvd: [u8; 4],
}
layout!(ReadDirtyLog: 24 { iova @ 0, length @ 8, number @ 16, rsvd @ 20 });
command!(ReadDirtyLog = READ_DIRTY_LOG, done ReadDirtyLogDone, from_device DirtyRuns, pf);

/// What [`ReadDirtyLog`] writes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DirtyRuns {
    /// The runs; only the first `runs` of the answer have a meaning.
    pub runs: [DirtyRun; MAX_DIRTY_RUNS],
}
layout!(DirtyRuns: 4096 { runs @ 0 });

/// Pages in a row that were written, as far as they are in the range that was asked for.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DirtyRun {
    /// First address.
    pub iova: U64,
    /// Length in bytes.
    pub length: U64,
}
layout!(DirtyRun: 16 { iova @ 0, length @ 8 });

codes! {
    /// What [`ReadDirtyLog`] says beside runs.
    pub struct DirtyFlags(u16) {
        /// More pages of the range were written: read again.
        MORE = 1 << 0;
        /// The log overflowed: all pages of all ranges count as written.
        OVERFLOW = 1 << 1;
    }
}

/// Answer to [`ReadDirtyLog`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ReadDirtyLogDone {
    /// Number of runs in the data buffer.
    pub runs: U16,
    /// [`DirtyFlags`].
    pub flags: U16,
    /// Number of the read.
    pub number: U32,
}
layout!(ReadDirtyLogDone: 8 { runs @ 0, flags @ 2, number @ 4 });

/// Ends logging. Nothing happens if nothing is logged.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StopDirtyLog {}
command!(StopDirtyLog = STOP_DIRTY_LOG, done (), none [u8; 0], pf);
