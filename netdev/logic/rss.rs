// SPDX-License-Identifier: GPL-2.0

//! Receive side scaling: contexts, and which queue a hash leads to.

use ferrite_abi::{
    cmd::{
        RssFields,
        RssFlow,
        RssHash,
        RssTable,
        RssTransform,
        SetRss,
        MAX_RSS_TABLE,
        RSS_FLOWS,
        RSS_KEY, //
    },
    wire::U16, //
};

/// Entries of the table for each queue, at least: fewer make the shares of queues uneven.
const ENTRIES_PER_QUEUE: u16 = 4;

/// Returns the largest number of entries of the indirection table, given what the device says it has:
/// a power of two that fits in the command. [`None`] if the device has no usable table.
pub fn entries(device: u16) -> Option<u16> {
    let count = usize::from(device).min(MAX_RSS_TABLE);
    if count == 0 {
        return None;
    }
    Some(1 << count.ilog2())
}

/// Returns the number of entries of the table for `queues` queues: `most`, or less if that is enough.
pub fn entries_for(queues: u16, most: u16) -> u16 {
    let queues = queues.clamp(1, 1 << 12).next_power_of_two();
    (queues * ENTRIES_PER_QUEUE).min(most)
}

/// Returns the default queue of entry `index` when `queues` are in use.
pub fn spread(index: usize, queues: u16) -> u16 {
    (index % usize::from(queues.max(1))) as u16
}

/// What is hashed of packets, as their kind has it, unless a user says otherwise.
const DEFAULT_FIELDS: [RssFields; RSS_FLOWS] = {
    let ip = RssFields::SRC_IP.with(RssFields::DST_IP);
    let all = ip.with(RssFields::SRC_PORT).with(RssFields::DST_PORT);
    // In the order of `RssFlow`.
    [all, all, all, all, ip, ip]
};

/// A context of receive side scaling, as it was set.
#[derive(Clone, Debug)]
pub struct Context {
    /// Toeplitz key.
    pub key: [u8; RSS_KEY],
    /// What is done to fields before they are hashed.
    pub transform: RssTransform,
    fields: [RssFields; RSS_FLOWS],
    /// The table, repeated up to its end.
    table: [u16; MAX_RSS_TABLE],
}

impl Context {
    /// Returns a context that spreads packets over `queues` queues.
    pub fn new(key: [u8; RSS_KEY], queues: u16) -> Self {
        let mut this = Self {
            key,
            transform: RssTransform::NONE,
            fields: DEFAULT_FIELDS,
            table: [0; MAX_RSS_TABLE],
        };
        this.respread(queues);
        this
    }

    /// Spreads packets evenly over `queues` queues.
    pub fn respread(&mut self, queues: u16) {
        for (index, queue) in self.table.iter_mut().enumerate() {
            *queue = spread(index, queues);
        }
    }

    /// Returns the first entries of the table; it has no more than [`MAX_RSS_TABLE`].
    pub fn table(&self, entries: u16) -> &[u16] {
        &self.table[..usize::from(entries).min(MAX_RSS_TABLE)]
    }

    /// Sets the table, which is repeated if more entries are asked for later. Returns whether it can be
    /// a table.
    pub fn set_table(&mut self, table: &[u32]) -> bool {
        let fits = |queue: &u32| u16::try_from(*queue).is_ok();
        if table.is_empty() || table.len() > MAX_RSS_TABLE || !table.iter().all(fits) {
            return false;
        }
        for (to, queue) in self.table.iter_mut().zip(table.iter().cycle()) {
            // CAST: that it fits was seen above.
            *to = *queue as u16;
        }
        true
    }

    /// Lets the first entries be the table: those behind are repetitions of them from now on.
    pub fn cut(&mut self, entries: u16) {
        let split = self.table.split_at_mut_checked(entries.into());
        if let Some((first, rest)) = split {
            for (to, queue) in rest.iter_mut().zip(first.iter().cycle()) {
                *to = *queue;
            }
        }
    }

    /// Returns the highest queue among the first entries.
    pub fn highest(&self, entries: u16) -> u16 {
        self.table(entries).iter().copied().max().unwrap_or(0)
    }

    /// Returns what is hashed of packets of a kind.
    pub fn fields(&self, flow: RssFlow) -> Option<RssFields> {
        self.fields.get(usize::from(flow.0)).copied()
    }

    /// Chooses what is hashed of packets of a kind. Returns whether that is possible: whether they have
    /// these fields, and no transformation is in the way.
    pub fn set_fields(&mut self, flow: RssFlow, fields: RssFields) -> bool {
        let is_possible = possible_fields(flow).contains(fields)
            && (self.transform == RssTransform::NONE || is_symmetric(fields));
        match self.fields.get_mut(usize::from(flow.0)) {
            Some(to) if is_possible => {
                *to = fields;
                true
            }
            _ => false,
        }
    }

    /// Sets what is done to fields. Returns whether that is possible with the fields that are hashed.
    pub fn set_transform(&mut self, transform: RssTransform) -> bool {
        let is_possible = transform == RssTransform::NONE
            || self.fields.iter().all(|fields| is_symmetric(*fields));
        if is_possible {
            self.transform = transform;
        }
        is_possible
    }

    /// Returns the command by which the device learns of the context, which has this number.
    /// `has_contexts` says whether the device knows of contexts; if not, this is context 0.
    pub fn command(&self, number: u16, entries: u16, has_contexts: bool) -> (SetRss, RssTable) {
        let mut data = RssTable {
            key: self.key,
            queues: [U16::new(0); MAX_RSS_TABLE],
        };
        for (to, queue) in data.queues.iter_mut().zip(self.table(entries)) {
            *to = U16::new(*queue);
        }
        let command = SetRss {
            entries: U16::new(entries),
            ..SetRss::default()
        };
        let command = if has_contexts {
            SetRss {
                hash: U16::new(RssHash::FIELDS.0),
                context: U16::new(number),
                transform: U16::new(self.transform.0),
                fields: self.fields.map(|fields| fields.0),
                ..command
            }
        } else {
            let ip = RssHash::IPV4.with(RssHash::IPV6);
            SetRss {
                hash: U16::new(ip.with(RssHash::TCP).with(RssHash::UDP).0),
                ..command
            }
        };
        (command, data)
    }
}

/// Returns the fields that packets of a kind have.
fn possible_fields(flow: RssFlow) -> RssFields {
    let ip = RssFields::SRC_IP.with(RssFields::DST_IP);
    let ports = RssFields::SRC_PORT.with(RssFields::DST_PORT);
    let label = RssFields::FLOW_LABEL;
    match flow {
        RssFlow::TCP4 | RssFlow::UDP4 => ip.with(ports),
        RssFlow::TCP6 | RssFlow::UDP6 => ip.with(ports).with(label),
        RssFlow::IP4 => ip,
        RssFlow::IP6 => ip.with(label),
        _ => RssFields(0),
    }
}

/// Returns whether there is no source without its destination, and no destination without its source.
fn is_symmetric(fields: RssFields) -> bool {
    let both = |a, b| fields.contains(a) == fields.contains(b);
    both(RssFields::SRC_IP, RssFields::DST_IP) && both(RssFields::SRC_PORT, RssFields::DST_PORT)
}
