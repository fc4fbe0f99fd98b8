// SPDX-License-Identifier: GPL-2.0

//! The log of what functions write to memory.
//!
//! A log holds runs of bytes, whole pages as far as they are in the ranges that are logged, in a map by
//! address: what it costs, to write and to read, goes with the number of runs and not with the size
//! of the ranges.

use std::collections::BTreeMap;

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    DirtyFlags,
    DirtyRun,
    LogRange,
    MAX_DIRTY_RUNS,
    MAX_LOG_PAGE_SHIFT,
    MAX_LOG_RANGES,
    MIN_LOG_PAGE_SHIFT, //
};
use ferrite_abi::wire::U64;

use crate::host::PciFn;
use crate::save::{
    saved,
    LoadError, //
};

/// Runs that a log holds, at most: as many as 1 GiB has pages, and as many again.
pub(crate) const MAX_RUNS: u32 = 512 * 1024;

/// Bytes from the first to the last, both included.
pub(crate) type Span = (u64, u64);

/// Returns the bytes of a range, if there are any and the range is possible.
pub(crate) fn span(iova: u64, length: u64) -> Option<Span> {
    let last = iova.checked_add(length.checked_sub(1)?)?;
    Some((iova, last))
}

/// What a read was answered with, in case it comes again.
#[derive(Debug)]
struct Answer {
    number: u32,
    flags: DirtyFlags,
    runs: Vec<Span>,
}

saved!(Answer {
    number,
    flags,
    runs
});

/// The log of a function.
#[derive(Debug)]
pub(crate) struct DirtyLog {
    /// What is logged, by ascending address; none overlap.
    ranges: Vec<Span>,
    page_shift: u8,
    max_runs: u32,
    /// What was written: first byte and last; none overlap or touch.
    runs: BTreeMap<u64, u64>,
    /// Whether there was more than it can hold.
    overflow: bool,
    answer: Option<Answer>,
    /// The run that was touched last. Follows from nothing and matters to nobody but for speed.
    hot: Hot,
}

saved!(DirtyLog {
    ranges,
    page_shift,
    max_runs,
    runs,
    overflow,
    answer,
    hot
});

/// A run that is known to be in the log.
#[derive(Debug, Default)]
struct Hot(Option<Span>);

impl crate::save::Saved for Hot {
    fn save(&self, _: &mut crate::save::Writer) {}

    fn load(_: &mut crate::save::Reader<'_>) -> Result<Self, LoadError> {
        Ok(Self(None))
    }
}

impl DirtyLog {
    /// Makes a log of these ranges. `max_runs` is 0 for as many as there can be.
    pub(crate) fn new(ranges: &[LogRange], page_shift: u8, max_runs: u32) -> Result<Self, Status> {
        if ranges.is_empty() || ranges.len() > MAX_LOG_RANGES {
            return Err(Status::INVALID_FIELD);
        }
        let mut spans = Vec::with_capacity(ranges.len());
        for range in ranges {
            let span = span(range.iova.get(), range.length.get()).ok_or(Status::INVALID_FIELD)?;
            spans.push(span);
        }
        spans.sort_unstable();
        let log = Self {
            ranges: spans,
            page_shift: page_shift.clamp(MIN_LOG_PAGE_SHIFT, MAX_LOG_PAGE_SHIFT),
            max_runs: if max_runs == 0 {
                MAX_RUNS
            } else {
                max_runs.min(MAX_RUNS)
            },
            runs: BTreeMap::new(),
            overflow: false,
            answer: None,
            hot: Hot::default(),
        };
        log.check().map_err(|_| Status::INVALID_FIELD)?;
        Ok(log)
    }

    /// Checks a log that was loaded.
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        let ordered = |spans: &[Span], gap: u64| {
            spans.iter().all(|(first, last)| first <= last)
                && spans
                    .windows(2)
                    .all(|pair| pair[0].1.saturating_add(gap) < pair[1].0)
        };
        let runs: Vec<Span> = self.runs.iter().map(|(a, b)| (*a, *b)).collect();
        let answered = self.answer.as_ref().map_or(0, |answer| answer.runs.len());
        let good = !self.ranges.is_empty()
            && self.ranges.len() <= MAX_LOG_RANGES
            && ordered(&self.ranges, 0)
            && (MIN_LOG_PAGE_SHIFT..=MAX_LOG_PAGE_SHIFT).contains(&self.page_shift)
            && (1..=MAX_RUNS).contains(&self.max_runs)
            && runs.len() <= self.max_runs as usize
            && ordered(&runs, 1)
            && answered <= MAX_DIRTY_RUNS;
        good.then_some(())
            .ok_or(LoadError::Invalid("log of writes"))
    }

    /// Returns the logarithm of the page size.
    pub(crate) fn page_shift(&self) -> u8 {
        self.page_shift
    }

    /// Takes note of a write.
    pub(crate) fn mark(&mut self, addr: u64, length: usize) {
        let Some((first, last)) = span(addr, length as u64) else {
            // One that passes the end of the address space reaches no memory.
            return;
        };
        if let Some(hot) = self.hot.0 {
            if hot.0 <= first && last <= hot.1 {
                return;
            }
        }
        if self.overflow {
            return;
        }
        let page = (1 << self.page_shift) - 1;
        let (first, last) = (first & !page, last | page);
        let from = self.ranges.partition_point(|range| range.1 < first);
        let mut at = from;
        while let Some(range) = self.ranges.get(at).filter(|range| range.0 <= last) {
            let part = (first.max(range.0), last.min(range.1));
            self.insert(part);
            at += 1;
        }
    }

    /// Adds a run, joined with those that it overlaps or touches.
    fn insert(&mut self, (mut first, mut last): Span) {
        if let Some((before, end)) = self.runs.range(..=first).next_back() {
            if *end >= last {
                self.hot.0 = Some((*before, *end));
                return;
            }
            if end.saturating_add(1) >= first {
                first = *before;
            }
        }
        while let Some((start, end)) = self.runs.range(first..=last.saturating_add(1)).next() {
            let (start, end) = (*start, *end);
            last = last.max(end);
            self.runs.remove(&start);
        }
        self.runs.insert(first, last);
        self.hot.0 = Some((first, last));
        if self.runs.len() > self.max_runs as usize {
            self.runs.clear();
            self.hot.0 = None;
            self.overflow = true;
        }
    }

    /// Answers read `number` with what was written in a span, `room` runs at most, and forgets that.
    pub(crate) fn read(
        &mut self,
        span: Span,
        number: u32,
        room: usize,
    ) -> (DirtyFlags, Vec<DirtyRun>) {
        let again = self
            .answer
            .as_ref()
            .is_some_and(|answer| answer.number == number);
        if !again {
            let (flags, runs) = self.take(span, room.min(MAX_DIRTY_RUNS));
            self.answer = Some(Answer {
                number,
                flags,
                runs,
            });
        }
        let Some(answer) = &self.answer else {
            return (DirtyFlags(0), Vec::new());
        };
        let runs = answer.runs.iter().take(room).map(|(first, last)| DirtyRun {
            iova: U64::new(*first),
            length: U64::new(last - first + 1),
        });
        (answer.flags, runs.collect())
    }

    /// Takes runs out of the log.
    fn take(&mut self, (first, last): Span, room: usize) -> (DirtyFlags, Vec<Span>) {
        self.hot.0 = None;
        if std::mem::take(&mut self.overflow) {
            return (DirtyFlags::OVERFLOW, Vec::new());
        }
        let mut taken = Vec::new();
        let before = self.runs.range(..first).next_back().map(|(a, b)| (*a, *b));
        if let Some((start, end)) = before.filter(|(_, end)| *end >= first) {
            // What is before the span stays.
            self.runs.insert(start, first - 1);
            self.runs.insert(first, end);
        }
        loop {
            let Some((start, end)) = self.runs.range(first..=last).next().map(|(a, b)| (*a, *b))
            else {
                return (DirtyFlags(0), taken);
            };
            if taken.len() >= room {
                return (DirtyFlags::MORE, taken);
            }
            self.runs.remove(&start);
            if end > last {
                // What is behind the span stays.
                self.runs.insert(last + 1, end);
            }
            // A run as long as the address space has a length of 65 bits.
            let end = end.min(last);
            if (start, end) == (0, u64::MAX) {
                self.runs.insert(u64::MAX, u64::MAX);
                taken.push((0, u64::MAX - 1));
            } else {
                taken.push((start, end));
            }
        }
    }
}

/// The logs of all PCI functions.
#[derive(Debug, Default)]
pub(crate) struct DirtyLogs {
    /// By PCI function; those at the end that have none are missing.
    logs: Vec<Option<Box<DirtyLog>>>,
}

saved!(DirtyLogs { logs });

impl DirtyLogs {
    /// Takes note of a write of a PCI function.
    #[inline]
    pub(crate) fn mark(&mut self, function: PciFn, addr: u64, length: usize) {
        if let Some(Some(log)) = self.logs.get_mut(usize::from(function.0)) {
            log.mark(addr, length);
        }
    }

    /// Returns the log of a PCI function, if there is one.
    pub(crate) fn get(&mut self, function: PciFn) -> Option<&mut DirtyLog> {
        self.logs.get_mut(usize::from(function.0))?.as_deref_mut()
    }

    /// Returns whether a PCI function is logged.
    pub(crate) fn has(&self, function: PciFn) -> bool {
        self.logs
            .get(usize::from(function.0))
            .is_some_and(Option::is_some)
    }

    /// Begins a log.
    pub(crate) fn start(&mut self, function: PciFn, log: DirtyLog) {
        let at = usize::from(function.0);
        if self.logs.len() <= at {
            self.logs.resize_with(at + 1, || None);
        }
        self.logs[at] = Some(Box::new(log));
    }

    /// Ends a log, if there is one.
    pub(crate) fn stop(&mut self, function: PciFn) {
        if let Some(place) = self.logs.get_mut(usize::from(function.0)) {
            *place = None;
        }
        while self.logs.last().is_some_and(Option::is_none) {
            self.logs.pop();
        }
    }

    /// Checks what was loaded; `may_have` tells whether a PCI function can be logged.
    pub(crate) fn check(&self, may_have: impl Fn(PciFn) -> bool) -> Result<(), LoadError> {
        for (function, log) in (0..).map(PciFn).zip(&self.logs) {
            if let Some(log) = log {
                if !may_have(function) {
                    return Err(LoadError::Invalid("log of writes"));
                }
                log.check()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
