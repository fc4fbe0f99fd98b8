// SPDX-License-Identifier: GPL-2.0

//! A function that is being loaded: a stream is taken apart, checked, and takes the place of the
//! function's state.
//!
//! The stream may come from anywhere. What is taken of it is bounded by what a function can have, and
//! nothing of the function changes before all of it was found good.

use std::collections::{
    BTreeMap,
    BTreeSet, //
};

use ferrite_abi::admin::Completion;
use ferrite_abi::cmd::{
    CreateQueue,
    FrameStats,
    LoadVerdict,
    PortStats,
    Rate,
    RxMode,
    MAX_CHUNK,
    MAX_RSS_TABLE,
    MAX_RX_FILTER,
    RATE_ROOT, //
};
use ferrite_abi::event::FunctionState;
use ferrite_abi::ids::{
    FunctionId,
    FunctionKind, //
};
use ferrite_abi::mig::{
    AdminRecord,
    EventQueueRecord,
    FilterRecord,
    IdentityRecord,
    PacketRecord,
    PortRecord,
    QueueRecord,
    Record,
    RecordHeader,
    RegisterRecord,
    RssRecord,
    StreamEnd,
    StreamFault,
    StreamHeader,
    StreamTag,
    MAX_RECORD,
    OLDEST_STREAM,
    STREAM_MAGIC,
    STREAM_VERSION, //
};
use ferrite_abi::wire::{
    IntoBytes,
    Wire, //
    U16,
    U32,
    U64,
};

use crate::admin::Running;
use crate::backlog::{
    Backlog,
    Waiting, //
};
use crate::device::Device;
use crate::events::EventQueue;
use crate::flow::Pattern;
use crate::function::Function;
use crate::host::{
    Host,
    Trace, //
};
use crate::mac::Mac;
use crate::migration::records::IDENTITY_1;
use crate::migration::saving::Key;
use crate::migration::{
    Brought,
    Latched, //
};
use crate::packet::ETH_HEADER;
use crate::pci::PciFunction;
use crate::port::Port;
use crate::provision::{
    Provision,
    MAX_VLAN, //
};
use crate::queue::{
    Kind,
    Queue, //
};
use crate::rss::Rss;
use crate::rx::RxQueue;
use crate::save::{
    saved,
    LoadError, //
};
use crate::slot::Slot;
use crate::steering::Filter;
use crate::tx::TxQueue;

/// Bytes of packets and completions that wait, at most: what all queues together may keep.
const MAX_WAITING: u64 = 24 << 20;
/// Completions of admin commands that wait for slots, at most.
const MAX_COMPLETIONS: usize = 2 * 256;

/// Why a stream is refused, and the record because of which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Refusal {
    fault: StreamFault,
    tag: u16,
    record: u32,
}

saved!(Refusal { fault, tag, record });

/// A function that is being loaded.
#[derive(Debug, Default)]
pub(crate) struct Loading {
    /// Bytes that were taken.
    taken: u64,
    /// Where the last piece began.
    last: u64,
    /// A record that is not there to its end.
    rest: Vec<u8>,
    /// Records that were taken.
    count: u32,
    /// Version of the stream, 0 before its header came.
    version: u16,
    /// What there is one of: tag, instance, payload.
    records: BTreeMap<Key, Vec<u8>>,
    /// Packets that wait, with their queue.
    packets: Vec<(u16, Vec<u8>)>,
    /// Completions that wait.
    completions: Vec<Vec<u8>>,
    /// Bytes of both.
    waiting: u64,
    /// Whether the end came.
    ended: bool,
    refusal: Option<Refusal>,
}

saved!(Loading {
    taken,
    last,
    rest,
    count,
    version,
    records,
    packets,
    completions,
    waiting,
    ended,
    refusal
});

/// What a tag may be used for: instances, least and largest payload of a reader of this version.
fn shape(tag: StreamTag) -> Option<(u16, usize, usize)> {
    let one = |least: usize, most: usize| Some((1, least, most));
    let queue = size_of::<CreateQueue>();
    let state = size_of::<QueueRecord>();
    match tag {
        StreamTag::IDENTITY => one(IDENTITY_1, size_of::<IdentityRecord>()),
        StreamTag::PORT => one(size_of::<PortRecord>(), size_of::<PortRecord>()),
        StreamTag::ADDRESSES => one(0, 6 * MAX_RX_FILTER),
        StreamTag::RSS_CONTEXT => {
            let record = size_of::<RssRecord>();
            let contexts = crate::steering::MAX_CONTEXTS + 1;
            Some((contexts, record + 2, record + 2 * MAX_RSS_TABLE))
        }
        StreamTag::FILTER => {
            let record = size_of::<FilterRecord>();
            Some((crate::steering::MAX_FILTERS, record, record))
        }
        StreamTag::TX_QUEUE | StreamTag::RX_QUEUE => Some((u16::MAX, queue, queue)),
        StreamTag::REGISTERS => one(size_of::<RegisterRecord>(), size_of::<RegisterRecord>()),
        StreamTag::ADMIN_QUEUE => one(size_of::<AdminRecord>(), size_of::<AdminRecord>()),
        StreamTag::ADMIN_COMPLETION => one(size_of::<Completion>(), size_of::<Completion>()),
        StreamTag::EVENT_QUEUE => one(size_of::<EventQueueRecord>(), size_of::<EventQueueRecord>()),
        StreamTag::TX_STATE | StreamTag::RX_STATE => Some((u16::MAX, state, state)),
        StreamTag::RX_PACKET => {
            let record = size_of::<PacketRecord>();
            Some((u16::MAX, record + ETH_HEADER, MAX_RECORD as usize))
        }
        StreamTag::INTERRUPTS => one(0, 2 * usize::from(ferrite_abi::ids::MAX_VECTORS)),
        StreamTag::STATS => one(size_of::<PortStats>(), size_of::<PortStats>()),
        StreamTag::FRAMES => one(size_of::<FrameStats>(), size_of::<FrameStats>()),
        StreamTag::END => one(size_of::<StreamEnd>(), size_of::<StreamEnd>()),
        _ => None,
    }
}

/// Returns why a stream of a function like `theirs` does not fit a function like `ours`.
fn misfit(theirs: &StreamHeader, ours: &StreamHeader) -> Option<StreamFault> {
    let faults = [
        (
            StreamFault::VERSION,
            theirs.version.get() < OLDEST_STREAM
                || theirs.oldest_reader.get() > STREAM_VERSION
                || theirs.oldest_reader.get() > theirs.version.get()
                || theirs.abi_version.get() >> 16 != ours.abi_version.get() >> 16,
        ),
        (
            StreamFault::FEATURES,
            theirs.features.get() & !ours.features.get() != 0,
        ),
        (
            StreamFault::QUEUES,
            theirs.max_queues.get() > ours.max_queues.get()
                || theirs.max_depth_log2 > ours.max_depth_log2
                || theirs.max_mtu.get() > ours.max_mtu.get(),
        ),
        (
            StreamFault::VECTORS,
            theirs.vectors.get() != ours.vectors.get(),
        ),
        (
            StreamFault::STEERING,
            theirs.rss_table.get() > ours.rss_table.get()
                || theirs.max_contexts.get() > ours.max_contexts.get()
                || theirs.max_filters.get() > ours.max_filters.get(),
        ),
    ];
    faults
        .into_iter()
        .find_map(|(fault, is)| is.then_some(fault))
}

impl Loading {
    /// Checks what was loaded with the whole device.
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        let longest = MAX_RECORD as usize + size_of::<RecordHeader>() + MAX_CHUNK;
        if self.last <= self.taken && self.rest.len() <= longest && self.waiting <= MAX_WAITING {
            Ok(())
        } else {
            Err(LoadError::Invalid("loading of a function"))
        }
    }

    /// Takes a piece of the stream for a function like `ours`; [`None`] if it neither follows what was
    /// taken nor is the last that was.
    pub(crate) fn write(
        &mut self,
        offset: u64,
        piece: &[u8],
        ours: &StreamHeader,
    ) -> Option<LoadVerdict> {
        let end = offset.checked_add(piece.len() as u64)?;
        if offset == self.last && end == self.taken && self.taken > 0 {
            return Some(self.verdict());
        }
        if offset != self.taken {
            return None;
        }
        (self.last, self.taken) = (offset, end);
        if self.refusal.is_none() {
            self.rest.extend_from_slice(piece);
            if let Err(refusal) = self.take_records(ours) {
                self.refuse(refusal);
            }
        }
        Some(self.verdict())
    }

    /// Refuses the stream, and keeps nothing of it.
    fn refuse(&mut self, refusal: Refusal) {
        *self = Self {
            taken: self.taken,
            last: self.last,
            refusal: Some(refusal),
            ..Self::default()
        };
    }

    /// Returns what there is to say of the stream so far.
    pub(crate) fn verdict(&self) -> LoadVerdict {
        let refusal = self.refusal.unwrap_or_default();
        LoadVerdict {
            fault: U16::new(refusal.fault.0),
            tag: U16::new(refusal.tag),
            record: U32::new(refusal.record),
            taken: U64::new(self.taken),
        }
    }

    /// Takes the records that are there to their end.
    fn take_records(&mut self, ours: &StreamHeader) -> Result<(), Refusal> {
        let rest = std::mem::take(&mut self.rest);
        let mut stream = rest.as_slice();
        let at = |tag: u16, record: u32| move |fault: StreamFault| Refusal { fault, tag, record };
        // Garbage is called that, and not a record with a wrong checksum.
        let magic = size_of::<RecordHeader>()..size_of::<RecordHeader>() + STREAM_MAGIC.len();
        if self.count == 0 && stream.get(magic).is_some_and(|bytes| bytes != STREAM_MAGIC) {
            return Err(at(0, 0)(StreamFault::NOT_A_STREAM));
        }
        loop {
            match Record::split(stream).map_err(at(0, self.count))? {
                Some((record, rest)) => {
                    let tag = record.header.tag().0;
                    let fault = at(tag, self.count);
                    self.take(&record, ours).map_err(fault)?;
                    self.count += 1;
                    stream = rest;
                }
                None if self.ended && !stream.is_empty() => {
                    return Err(at(0, self.count)(StreamFault::TRAILING));
                }
                None => break,
            }
        }
        self.rest = stream.to_vec();
        Ok(())
    }

    /// Takes a record.
    fn take(&mut self, record: &Record<'_>, ours: &StreamHeader) -> Result<(), StreamFault> {
        let (tag, instance) = (record.header.tag(), record.header.instance.get());
        if self.ended {
            return Err(StreamFault::TRAILING);
        }
        if record.header.number.get() != self.count {
            return Err(StreamFault::SEQUENCE);
        }
        if (tag == StreamTag::HEADER) != (self.count == 0) {
            return Err(StreamFault::SEQUENCE);
        }
        if tag == StreamTag::HEADER {
            let (header, more) = record.read::<StreamHeader>(size_of::<StreamHeader>())?;
            if !more.is_empty() && header.version.get() <= STREAM_VERSION {
                return Err(StreamFault::LENGTH);
            }
            if let Some(fault) = misfit(&header, ours) {
                return Err(fault);
            }
            self.version = header.version.get();
            return Ok(());
        }
        let kind = tag.kind();
        let Some((instances, least, most)) = shape(kind) else {
            return if tag.is_optional() {
                Ok(())
            } else {
                Err(StreamFault::UNKNOWN_RECORD)
            };
        };
        if instance >= instances {
            return Err(StreamFault::INVALID_VALUE);
        }
        let is_queues = [
            StreamTag::TX_QUEUE,
            StreamTag::RX_QUEUE,
            StreamTag::TX_STATE,
            StreamTag::RX_STATE,
            StreamTag::RX_PACKET,
        ];
        if is_queues.contains(&kind) && instance >= ours.max_queues.get() {
            return Err(StreamFault::QUEUES);
        }
        if tag.is_removed() {
            let removed = self.records.remove(&(kind.0, instance));
            return match removed {
                Some(_) if record.payload.is_empty() => Ok(()),
                Some(_) => Err(StreamFault::LENGTH),
                None => Err(StreamFault::SEQUENCE),
            };
        }
        // Only a later version knows more.
        let newer = self.version > STREAM_VERSION;
        if record.payload.len() < least || record.payload.len() > most && !newer {
            return Err(StreamFault::LENGTH);
        }
        let payload = record.payload[..record.payload.len().min(most)].to_vec();
        match kind {
            StreamTag::END => {
                let (end, _) = record.read::<StreamEnd>(least)?;
                if end.records.get() != self.count {
                    return Err(StreamFault::SEQUENCE);
                }
                self.ended = true;
            }
            StreamTag::RX_PACKET | StreamTag::ADMIN_COMPLETION => {
                self.waiting += payload.len() as u64;
                if self.waiting > MAX_WAITING {
                    return Err(StreamFault::TOO_MUCH);
                }
                if kind == StreamTag::RX_PACKET {
                    self.packets.push((instance, payload));
                } else {
                    self.completions.push(payload);
                    if self.completions.len() > MAX_COMPLETIONS {
                        return Err(StreamFault::TOO_MUCH);
                    }
                }
            }
            _ => {
                self.records.insert((kind.0, instance), payload);
            }
        }
        Ok(())
    }

    /// Returns the record of a tag and instance as `T`.
    fn get<T: Wire>(&self, tag: StreamTag, instance: u16) -> Option<(T, &[u8])> {
        let payload = self.records.get(&(tag.0, instance))?;
        let record = Record {
            header: RecordHeader::default(),
            payload,
        };
        // The length was checked when it came.
        record.read(0).ok()
    }

    /// Returns the record of a tag that there must be.
    fn need<T: Wire>(&self, tag: StreamTag) -> Result<T, Refusal> {
        let fault = Refusal {
            fault: StreamFault::INCOMPLETE,
            tag: tag.0,
            record: self.count,
        };
        self.get(tag, 0).map(|(record, _)| record).ok_or(fault)
    }

    /// Returns the records of a tag.
    fn all(&self, tag: StreamTag) -> impl Iterator<Item = u16> + '_ {
        let range = (tag.0, 0)..=(tag.0, u16::MAX);
        self.records
            .range(range)
            .map(|((_, instance), _)| *instance)
    }

    /// Returns a fault of a record.
    fn fault(&self, fault: StreamFault, tag: StreamTag) -> Refusal {
        Refusal {
            fault,
            tag: tag.0,
            record: self.count,
        }
    }

    fn invalid(&self, tag: StreamTag) -> Refusal {
        self.fault(StreamFault::INVALID_VALUE, tag)
    }
}

/// What a stream makes of a function.
struct Loaded {
    function: Function,
    pci: PciFunction,
    identity: IdentityRecord,
    owed: BTreeSet<u16>,
}

impl Device {
    /// Puts what was taken in the place of a function's state, if it is good. Returns the verdict.
    pub(crate) fn commit(
        &mut self,
        host: &mut dyn Host,
        slot: Slot,
        mut loading: Loading,
    ) -> LoadVerdict {
        if loading.refusal.is_none() {
            let loaded = if loading.ended && loading.rest.is_empty() {
                self.build(slot, &loading)
            } else {
                Err(loading.fault(StreamFault::INCOMPLETE, StreamTag(0)))
            };
            match loaded {
                Ok(loaded) => self.become_loaded(host, slot, loaded, loading.version),
                Err(refusal) => loading.refuse(refusal),
            }
        }
        let verdict = loading.verdict();
        host.trace(&Trace::Loaded {
            function: slot.pci(),
            fault: verdict.fault.get(),
            tag: verdict.tag.get(),
        });
        verdict
    }

    /// Makes a function of what was taken.
    fn build(&self, slot: Slot, loading: &Loading) -> Result<Loaded, Refusal> {
        let inconsistent = |tag| loading.fault(StreamFault::INCONSISTENT, tag);
        let Some(own) = self.function(slot) else {
            return Err(inconsistent(StreamTag::HEADER));
        };
        let identity = loading.need::<IdentityRecord>(StreamTag::IDENTITY)?;
        let provision = self.identity_of(slot, &own.provision, &identity);
        let places = provision.queues(&self.config, slot);
        let mut function = Function::new(FunctionState::ACTIVE, provision, places);
        function.port = build_port(loading, own, places)?;
        self.build_queues(slot, loading, &mut function)?;
        let pci = self.build_pci(slot, loading)?;
        if pci.admin.running.is_some() {
            function.state = FunctionState::IN_USE;
        }
        let vectors = provision.vectors;
        function
            .check(slot, &self.config, vectors)
            .map_err(|_| inconsistent(StreamTag::END))?;
        let owed = loading.get::<[u8; 0]>(StreamTag::INTERRUPTS, 0);
        let owed: BTreeSet<u16> = owed.map_or_else(BTreeSet::new, |(_, bytes)| {
            let pairs = bytes.chunks_exact(2);
            pairs
                .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
                .collect()
        });
        if owed.last().is_some_and(|last| *last >= vectors) {
            return Err(loading.invalid(StreamTag::INTERRUPTS));
        }
        Ok(Loaded {
            function,
            pci,
            identity,
            owed,
        })
    }

    /// Returns what a function is provisioned with after it was loaded: what it brings, as far as it
    /// was given nothing else here.
    fn identity_of(&self, slot: Slot, own: &Provision, brought: &IdentityRecord) -> Provision {
        let default = Provision::new(&self.config, slot);
        // What came with a stream before was not given here.
        let before = self.migration(slot).brought;
        let mut provision = *own;
        let (mac, vlan) = (Mac(brought.mac), brought.vlan.get());
        let came = before.is_some_and(|before| own.mac == before.mac);
        if (own.mac == default.mac || came) && mac.is_station() {
            provision.mac = mac;
        }
        let came = before.is_some_and(|before| own.vlan == before.vlan);
        if (own.vlan == 0 || came) && vlan <= MAX_VLAN {
            provision.vlan = vlan;
        }
        provision
    }

    fn build_queues(
        &self,
        slot: Slot,
        loading: &Loading,
        function: &mut Function,
    ) -> Result<(), Refusal> {
        let kinds = [
            (Kind::Tx, StreamTag::TX_QUEUE, StreamTag::TX_STATE),
            (Kind::Rx, StreamTag::RX_QUEUE, StreamTag::RX_STATE),
        ];
        for (kind, tag, state_tag) in kinds {
            let states: Vec<u16> = loading.all(state_tag).collect();
            if !loading.all(tag).eq(states) {
                return Err(loading.fault(StreamFault::INCONSISTENT, state_tag));
            }
            for index in loading.all(tag) {
                let command = loading.get::<CreateQueue>(tag, index);
                let state = loading.get::<QueueRecord>(state_tag, index);
                let (Some((command, _)), Some((state, _))) = (command, state) else {
                    return Err(loading.invalid(tag));
                };
                let queue = Queue::restore(slot, kind, &command, &state, self.now)
                    .filter(|queue| queue.index == index)
                    .ok_or_else(|| loading.invalid(tag))?;
                let place = usize::from(index);
                let too_many = loading.fault(StreamFault::QUEUES, tag);
                match kind {
                    Kind::Tx => {
                        let queue = TxQueue::restore(queue, &state);
                        *function.tx.get_mut(place).ok_or(too_many)? = Some(Box::new(queue));
                    }
                    Kind::Rx => {
                        let waiting = build_backlog(loading, index)?;
                        let queue = RxQueue::restore(queue, &state, waiting)
                            .ok_or_else(|| loading.invalid(state_tag))?;
                        *function.rx.get_mut(place).ok_or(too_many)? = Some(Box::new(queue));
                    }
                }
            }
        }
        let has_queue = |(index, _): &(u16, Vec<u8>)| {
            function
                .rx
                .get(usize::from(*index))
                .is_some_and(Option::is_some)
        };
        if !loading.packets.iter().all(has_queue) {
            return Err(loading.fault(StreamFault::INCONSISTENT, StreamTag::RX_PACKET));
        }
        Ok(())
    }

    fn build_pci(&self, slot: Slot, loading: &Loading) -> Result<PciFunction, Refusal> {
        let registers = loading.need::<RegisterRecord>(StreamTag::REGISTERS)?;
        let own = &self.state.pci[usize::from(slot.pci().0)];
        let mut pci = PciFunction::restore(&registers, own.bus_master, self.now)
            .ok_or_else(|| loading.invalid(StreamTag::REGISTERS))?;
        if let Some((record, _)) = loading.get::<AdminRecord>(StreamTag::ADMIN_QUEUE, 0) {
            let completions = loading.completions.iter().filter_map(|bytes| {
                let record = Record {
                    header: RecordHeader::default(),
                    payload: bytes,
                };
                record.read::<Completion>(size_of::<Completion>()).ok()
            });
            let running = Running::restore(&record, completions.map(|(completion, _)| completion));
            pci.admin.running =
                Some(running.ok_or_else(|| loading.invalid(StreamTag::ADMIN_QUEUE))?);
        } else if !loading.completions.is_empty() {
            return Err(loading.fault(StreamFault::INCONSISTENT, StreamTag::ADMIN_COMPLETION));
        }
        pci.admin
            .check()
            .map_err(|_| loading.invalid(StreamTag::ADMIN_QUEUE))?;
        if let Some((record, _)) = loading.get::<EventQueueRecord>(StreamTag::EVENT_QUEUE, 0) {
            let events = EventQueue::restore(&record)
                .filter(|events| events.check(self.vectors(slot.pci())).is_ok());
            pci.events = Some(events.ok_or_else(|| loading.invalid(StreamTag::EVENT_QUEUE))?);
        }
        Ok(pci)
    }

    /// Lets a function be what was loaded.
    fn become_loaded(&mut self, host: &mut dyn Host, slot: Slot, loaded: Loaded, version: u16) {
        let Loaded {
            function,
            pci,
            identity,
            mut owed,
        } = loaded;
        self.clear_function(slot);
        self.unplug(slot);
        for rx in function.rx.iter().flatten() {
            rx.adopt(&mut self.pool);
        }
        let trusted = function.is_trusted();
        self.state.switch.plug(slot, &function.port, trusted);
        self.state.functions[slot.index()] = Some(Box::new(function));
        self.state.pci[usize::from(slot.pci().0)] = pci;
        if version == 1 {
            // It does not tell which are owed.
            if let Some(function) = self.function(slot) {
                owed = self.vectors_in_use(slot, function);
            }
        }
        let before = self.migration(slot).brought;
        let rates = &self.state.rates;
        let same = |rate: Rate| rate.as_bytes() == rates.rate_of(slot).as_bytes();
        if !rates.has_rate(slot) || before.is_some_and(|before| same(before.rate)) {
            // One that is impossible here is left out: the function works without.
            let rates = &mut self.state.rates;
            let _ = rates.set_leaf(slot, RATE_ROOT, &identity.rate);
        }
        let migration = self.migration_mut(slot);
        migration.latched = Latched::default();
        migration.owed = owed;
        migration.brought = Some(Brought {
            mac: Mac(identity.mac),
            vlan: identity.vlan.get(),
            rate: identity.rate,
        });
        let known_as = FunctionId(identity.function.get());
        let is_vf = matches!(known_as.kind(), Some(FunctionKind::Vf(_)));
        migration.known_as = Some(known_as.0).filter(|id| is_vf && *id != slot.id().0);
        // The link is another.
        migration.missed_event = true;
        if version > 1 {
            migration.uuid = Some(identity.uuid);
        }
        self.tell_state(host, slot);
    }
}

/// Makes the port of what was taken; the counters of a stream without are those of the function.
fn build_port(loading: &Loading, own: &Function, places: u16) -> Result<Port, Refusal> {
    let record = loading.need::<PortRecord>(StreamTag::PORT)?;
    let invalid = || loading.invalid(StreamTag::PORT);
    let known = RxMode::PROMISCUOUS.with(RxMode::ALL_MULTICAST);
    let mode = RxMode(record.mode.get());
    if record.open > 1 || record.loops > 1 || !known.contains(mode) {
        return Err(invalid());
    }
    let mut port = Port::new(Mac(record.mac));
    port.mtu = record.mtu.get();
    port.mode = mode;
    port.open = record.open == 1;
    port.loops = record.loops == 1;
    if let Some((_, bytes)) = loading.get::<[u8; 0]>(StreamTag::ADDRESSES, 0) {
        if bytes.len() % 6 != 0 {
            return Err(loading.invalid(StreamTag::ADDRESSES));
        }
        let mac = |bytes: &[u8]| {
            let mut mac = [0; 6];
            mac.copy_from_slice(bytes);
            Mac(mac)
        };
        port.filter = bytes.chunks_exact(6).map(mac).collect();
    }
    for number in loading.all(StreamTag::RSS_CONTEXT) {
        let refused = || loading.invalid(StreamTag::RSS_CONTEXT);
        let (record, table) = loading
            .get::<RssRecord>(StreamTag::RSS_CONTEXT, number)
            .ok_or_else(refused)?;
        let queues = table.chunks_exact(2);
        let queues = queues.map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        let rss = Rss::restore(&record, queues.collect()).filter(|_| table.len() % 2 == 0);
        port.steering
            .set_context(number, rss.ok_or_else(refused)?, places.into())
            .map_err(|_| refused())?;
    }
    for location in loading.all(StreamTag::FILTER) {
        let refused = || loading.invalid(StreamTag::FILTER);
        let (record, _) = loading
            .get::<FilterRecord>(StreamTag::FILTER, location)
            .ok_or_else(refused)?;
        let pattern = Pattern::new(record.key, record.mask).ok_or_else(refused)?;
        let filter = Filter::restore(location, &record, pattern);
        port.steering
            .set_filter(filter, places.into())
            .map_err(|_| refused())?;
    }
    port.stats = match loading.get::<PortStats>(StreamTag::STATS, 0) {
        Some((stats, _)) => stats,
        None => own.port.stats,
    };
    port.frames = match loading.get::<FrameStats>(StreamTag::FRAMES, 0) {
        Some((frames, _)) => frames,
        None => own.port.frames,
    };
    port.check(places.into()).map_err(|_| invalid())?;
    Ok(port)
}

/// Makes the packets that wait in a queue.
fn build_backlog(loading: &Loading, queue: u16) -> Result<Backlog, Refusal> {
    let packets = loading.packets.iter().filter(|(index, _)| *index == queue);
    let packets = packets.filter_map(|(_, payload)| {
        let record = Record {
            header: RecordHeader::default(),
            payload,
        };
        let (record, bytes) = record
            .read::<PacketRecord>(size_of::<PacketRecord>())
            .ok()?;
        Some(Waiting {
            about: record.about,
            bytes: bytes.to_vec(),
        })
    });
    let too_much = loading.fault(StreamFault::TOO_MUCH, StreamTag::RX_PACKET);
    Backlog::restore(packets).ok_or(too_much)
}
