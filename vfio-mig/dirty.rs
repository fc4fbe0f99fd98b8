// SPDX-License-Identifier: GPL-2.0

//! The log of what a VF writes to memory. The device keeps it; what it forgot for lack of room counts as written.

use ferrite_abi::{
    admin::Status,
    cmd::{
        DirtyFlags,
        DirtyRuns,
        LogRange,
        LogRanges,
        ReadDirtyLog,
        StartDirtyLog,
        StopDirtyLog,
        MAX_DIRTY_RUNS,
        MAX_LOG_PAGE_SHIFT,
        MAX_LOG_RANGES,
        MIN_LOG_PAGE_SHIFT, //
    },
    wire::{
        U16,
        U32,
        U64, //
    },
};
use ferrite_aux::CmdError;
use kernel::prelude::*;
use kernel_vfio::{
    Dirty,
    Ranges, //
};

use crate::{
    boxed::Boxed,
    logic::owed::{
        common,
        rest,
        Range, //
    },
    migrator::{
        errno,
        insist,
        Migrator, //
    },
};

/// The log of a VF.
pub(crate) struct Log {
    /// What is logged; nothing if there is no log.
    ranges: KVec<Range>,
    /// What counts as written and was not reported.
    owed: KVec<Range>,
    /// Number of the last read.
    number: u32,
    /// What a read tells.
    runs: Boxed<DirtyRuns>,
}

impl Log {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            ranges: KVec::new(),
            owed: KVec::new(),
            number: 0,
            runs: Boxed::zeroed()?,
        })
    }

    fn forget(&mut self) {
        self.ranges = KVec::new();
        self.owed = KVec::new();
    }

    /// Notes that everything counts as written.
    fn owe_all(&mut self) -> Result {
        let mut owed = KVec::with_capacity(self.ranges.len(), GFP_KERNEL)?;
        for range in &self.ranges {
            owed.push(range.clone(), GFP_KERNEL)?;
        }
        self.owed = owed;
        Ok(())
    }

    /// Reports what is owed of a range.
    fn settle(&mut self, asked: &Range, dirty: &mut Dirty<'_>) -> Result {
        let mut left = KVec::with_capacity(self.owed.len(), GFP_KERNEL)?;
        for owed in &self.owed {
            if let Some(now) = common(owed, asked) {
                set(dirty, &now);
            }
            for later in rest(owed, asked).into_iter().flatten() {
                left.push(later, GFP_KERNEL)?;
            }
        }
        self.owed = left;
        Ok(())
    }
}

fn set(dirty: &mut Dirty<'_>, range: &Range) {
    // CAST: addresses are of 64 bits.
    let (start, last) = (*range.start() as usize, *range.end() as usize);
    dirty.set(start, (last - start).saturating_add(1));
}

/// Begins to log what the VF writes to in `ranges`. Returns the page size that it is logged by.
pub(crate) fn start(migrator: &Migrator, mut ranges: Ranges<'_>, page_size: u64) -> Result<u64> {
    let controlled = migrator.controlled()?;
    let mut log = migrator.log.lock();
    if !log.ranges.is_empty() {
        return Err(EEXIST);
    }
    if !page_size.is_power_of_two() {
        return Err(EINVAL);
    }
    // CAST: what is joined fits, and a logarithm is small.
    ranges.join(MAX_LOG_RANGES as u32);
    let shift = (page_size.trailing_zeros() as u8).clamp(MIN_LOG_PAGE_SHIFT, MAX_LOG_PAGE_SHIFT);
    let mut logged = KVec::with_capacity(MAX_LOG_RANGES, GFP_KERNEL)?;
    let mut told = Boxed::<LogRanges>::zeroed()?;
    for (range, told) in ranges.iter().zip(&mut told.ranges) {
        if range.is_empty() {
            return Err(EINVAL);
        }
        let length = (range.end() - range.start()).checked_add(1).ok_or(EINVAL)?;
        *told = LogRange {
            iova: U64::new(*range.start()),
            length: U64::new(length),
        };
        logged.push(range, GFP_KERNEL)?;
    }
    let command = StartDirtyLog {
        // CAST: no more than `MAX_LOG_RANGES`.
        count: U16::new(logged.len() as u16),
        page_shift: shift,
        rsvd: 0,
        max_runs: U32::new(0),
    };
    let begin = || controlled.send_with(command, &told);
    let mut begun = begin();
    if let Err(CmdError::Timeout | CmdError::Status(Status::IN_USE)) = begun {
        // It may be that of somebody before us, or ours.
        let _ = controlled.send(StopDirtyLog {});
        begun = begin();
    }
    let done = begun.map_err(errno)?;
    if !(MIN_LOG_PAGE_SHIFT..=MAX_LOG_PAGE_SHIFT).contains(&done.page_shift) {
        let _ = controlled.send(StopDirtyLog {});
        return Err(EIO);
    }
    log.ranges = logged;
    Ok(1 << done.page_shift)
}

/// Ends the log, if there is one.
pub(crate) fn stop(migrator: &Migrator) {
    let Ok(controlled) = migrator.controlled() else {
        return;
    };
    let mut log = migrator.log.lock();
    if log.ranges.is_empty() {
        return;
    }
    log.forget();
    if let Err(error) = insist(|| controlled.send(StopDirtyLog {})) {
        dev_warn!(migrator.device, "the log of writes goes on: {error}\n");
    }
}

/// Reports what was written to in a range, and takes it out of the log.
pub(crate) fn report(
    migrator: &Migrator,
    iova: usize,
    length: usize,
    dirty: &mut Dirty<'_>,
) -> Result {
    let controlled = migrator.controlled()?;
    let mut log = migrator.log.lock();
    if log.ranges.is_empty() || length == 0 {
        return Err(EINVAL);
    }
    let asked = iova as u64..=iova.checked_add(length - 1).ok_or(EINVAL)? as u64;
    // There is a run for each page at most, and one of these tells of many.
    let most = (length >> MIN_LOG_PAGE_SHIFT) + 16;
    for _ in 0..most {
        let log = &mut *log;
        log.number = log.number.wrapping_add(1);
        let read = ReadDirtyLog {
            iova: U64::new(iova as u64),
            length: U64::new(length as u64),
            number: U32::new(log.number),
            rsvd: [0; 4],
        };
        let done = insist(|| controlled.fetch(read, &mut log.runs)).map_err(errno)?;
        let flags = done.flags.get();
        if flags & DirtyFlags::OVERFLOW.0 != 0 {
            log.owe_all()?;
        }
        let runs = usize::from(done.runs.get());
        if runs > MAX_DIRTY_RUNS {
            return Err(EIO);
        }
        for run in &log.runs.runs[..runs] {
            let (start, length) = (run.iova.get(), run.length.get());
            let last = length
                .checked_sub(1)
                .and_then(|more| start.checked_add(more));
            let last = last.ok_or(EIO)?;
            if let Some(run) = common(&(start..=last), &asked) {
                set(dirty, &run);
            }
        }
        if flags & DirtyFlags::MORE.0 == 0 {
            return log.settle(&asked, dirty);
        }
    }
    Err(EIO)
}
