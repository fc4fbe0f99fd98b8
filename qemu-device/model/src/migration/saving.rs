// SPDX-License-Identifier: GPL-2.0

//! A function that is being saved: what was already given out, and the part that is read.

use std::collections::BTreeMap;

use ferrite_abi::cmd::{
    QuerySaveDone,
    SaveFlags, //
};
use ferrite_abi::mig::{
    RecordHeader,
    StreamEnd,
    StreamTag,
    OLDEST_STREAM,
    REMOVED,
    STREAM_VERSION, //
};
use ferrite_abi::wire::{
    IntoBytes,
    U16,
    U32, //
};

use crate::migration::records::Records;
use crate::save::{
    saved,
    LoadError, //
};

/// Tag and instance of a record.
pub(crate) type Key = (u16, u16);

/// A function that is being saved.
#[derive(Debug)]
pub(crate) struct Saving {
    version: u16,
    /// Records that were given out.
    count: u32,
    /// What a driver set up, as it was given out.
    sent: BTreeMap<Key, Vec<u8>>,
    /// The part that is read.
    part: Vec<u8>,
    /// How far it was read.
    read: u32,
    /// Whether it is the last.
    last: bool,
    /// Whether the PF knows of nothing more to save, and is told when there is something.
    waits: bool,
}

saved!(Saving {
    version,
    count,
    sent,
    part,
    read,
    last,
    waits
});

impl Saving {
    /// Begins a stream.
    pub(crate) fn new(version: u16) -> Self {
        Self {
            version,
            count: 0,
            sent: BTreeMap::new(),
            part: Vec::new(),
            read: 0,
            last: false,
            waits: false,
        }
    }

    /// Checks what was loaded.
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        let known = (OLDEST_STREAM..=STREAM_VERSION).contains(&self.version);
        if known && self.read as usize <= self.part.len() {
            Ok(())
        } else {
            Err(LoadError::Invalid("saving of a function"))
        }
    }

    /// Returns the version of the stream.
    pub(crate) fn version(&self) -> u16 {
        self.version
    }

    /// Returns whether the stream is at its end.
    pub(crate) fn is_final(&self) -> bool {
        self.last
    }

    /// Returns whether another part of a stream of this version may follow.
    pub(crate) fn may_go_on(&self, version: u16) -> bool {
        !self.last && version == self.version && self.read as usize == self.part.len()
    }

    /// Returns whether the PF waits for something to save.
    pub(crate) fn waits(&self) -> bool {
        self.waits
    }

    /// Notes that the PF knows whether there is something more to save, which it waits for if not.
    pub(crate) fn told(&mut self, dirty: bool) {
        self.waits = !dirty && !self.last;
    }

    /// Makes the next part. Returns its length.
    pub(crate) fn pass(&mut self, records: &Records, last: bool) -> u32 {
        self.part.clear();
        self.read = 0;
        self.last = last;
        self.waits = !last;
        if self.count == 0 {
            self.push(StreamTag::HEADER, 0, &records.header);
        }
        let (removed, changed) = self.differences(records);
        for (tag, instance) in removed {
            self.sent.remove(&(tag, instance));
            self.push(StreamTag(tag | REMOVED), instance, &[]);
        }
        for key in changed {
            if let Some(payload) = records.setup.get(&key) {
                self.push(StreamTag(key.0), key.1, payload);
                self.sent.insert(key, payload.clone());
            }
        }
        if last {
            for ((tag, instance), payload) in &records.live {
                self.push(StreamTag(*tag), *instance, payload);
            }
            let end = StreamEnd {
                records: U32::new(self.count),
                rsvd: [0; 4],
            };
            self.push(StreamTag::END, 0, end.as_bytes());
        }
        self.length()
    }

    fn length(&self) -> u32 {
        // CAST: packets that wait in all queues are bounded, the rest is little.
        self.part.len() as u32
    }

    /// Appends a record to the part.
    fn push(&mut self, tag: StreamTag, instance: u16, payload: &[u8]) {
        let header = RecordHeader::new(tag, instance, self.count, payload);
        self.count += 1;
        self.part.extend_from_slice(header.as_bytes());
        self.part.extend_from_slice(payload);
    }

    /// Returns the records of the set-up that are no longer, and those that are new or another.
    fn differences(&self, records: &Records) -> (Vec<Key>, Vec<Key>) {
        let gone = |key: &&Key| !records.setup.contains_key(key);
        let removed = self.sent.keys().filter(gone).copied().collect();
        let new = |(key, payload): &(&Key, &Vec<u8>)| self.sent.get(key) != Some(payload);
        let changed = records.setup.iter().filter(new).map(|(key, _)| *key);
        (removed, changed.collect())
    }

    /// Tells how much there is to save.
    pub(crate) fn query(&self, records: &Records) -> QuerySaveDone {
        let (removed, changed) = self.differences(records);
        let header = size_of::<RecordHeader>();
        let size = |payload: &Vec<u8>| header + payload.len();
        let changes = changed.iter().filter_map(|key| records.setup.get(key));
        let mut dirty = removed.len() * header + changes.map(size).sum::<usize>();
        let live: usize = records.live.iter().map(|(_, payload)| size(payload)).sum();
        let end = header + size_of::<StreamEnd>();
        let queues = [StreamTag::TX_QUEUE.0, StreamTag::RX_QUEUE.0];
        let mut made_anew = removed.iter().chain(&changed);
        let mut flags = SaveFlags(0);
        if self.count == 0 {
            dirty += size(&records.header);
        } else if made_anew.any(|(tag, _)| queues.contains(tag)) {
            flags = flags.with(SaveFlags::REINIT);
        }
        if self.last {
            flags = flags.with(SaveFlags::FINAL);
        }
        let remaining = if self.last { 0 } else { dirty + live + end };
        QuerySaveDone {
            unread: U32::new(self.length() - self.read),
            // CAST: as for `length`.
            dirty: U32::new(dirty as u32),
            remaining: U32::new(remaining as u32),
            full: U32::new(0),
            flags: U16::new(flags.0),
            rsvd: [0; 2],
        }
    }

    /// Cuts so many bytes off the part's end, as a fault would have it; returns what is left.
    pub(crate) fn shorten(&mut self, by: u32) -> u32 {
        self.part
            .truncate(self.part.len().saturating_sub(by as usize));
        self.length()
    }

    /// Returns a piece of the part, which then was read up to the piece's end; [`None`] if it is not
    /// there or would leave a gap.
    pub(crate) fn read(&mut self, offset: u32, length: u32) -> Option<&[u8]> {
        let end = offset.checked_add(length)?;
        if offset > self.read {
            return None;
        }
        let piece = self.part.get(offset as usize..end as usize)?;
        self.read = self.read.max(end);
        Some(piece)
    }
}
